//! The limits of one call, and the counters of memory and tables.

use wasmtime::ResourceLimiter;

use super::CallError;
use super::error::STACK_KIB;
use crate::domain::limits::{Limits, NAMES};

/// A limit that was exceeded. It passes through wasmtime as the cause of a trap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{limit} of {value} exceeded")]
pub(super) struct LimitExceeded {
    pub(super) limit: &'static str,
    pub(super) value: u64,
}

impl LimitExceeded {
    pub(super) fn new(limit: &'static str, value: u64) -> Self {
        Self { limit, value }
    }

    pub(super) fn into_error(self, target: &str) -> CallError {
        // `describe` runs without a target, and its limits are not configurable.
        let is_a_targets = NAMES.contains(&self.limit) && !target.is_empty();
        let setting = (is_a_targets || self.limit == STACK_KIB).then_some(self.limit);
        CallError::Limit { limit: self.limit, value: self.value, setting, target: target.to_owned() }
    }
}

/// Counts the memory and table elements that instances request, over all memories and tables of a store.
pub(super) struct MemoryLimiter {
    memory_mib: u64,
    table_elements_max: u64,
    memory_bytes: usize,
    table_elements: usize,
}

impl MemoryLimiter {
    pub(super) fn new(limits: &Limits) -> Self {
        let Limits { memory_mib, table_elements_max, .. } = *limits;
        Self { memory_mib, table_elements_max, memory_bytes: 0, table_elements: 0 }
    }

    pub(super) fn memory_bytes(&self) -> u64 {
        self.memory_bytes as u64
    }
}

impl ResourceLimiter for MemoryLimiter {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let total = self.memory_bytes.saturating_add(desired.saturating_sub(current));
        if total as u64 > self.memory_mib.saturating_mul(1 << 20) {
            return Err(LimitExceeded::new("memory_mib", self.memory_mib).into());
        }
        self.memory_bytes = total;
        Ok(true)
    }

    fn table_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let total = self.table_elements.saturating_add(desired.saturating_sub(current));
        if total as u64 > self.table_elements_max {
            return Err(LimitExceeded::new("table_elements_max", self.table_elements_max).into());
        }
        self.table_elements = total;
        Ok(true)
    }
}
