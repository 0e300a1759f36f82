//! How much one call may take of everything, and who counts it.

use wasmtime::ResourceLimiter;

use super::CallError;

/// The limits of one target's adapter, as in `[targets.NAME.limits]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Memory of all linear memories of a call together, MiB.
    pub memory_mib: u64,
    /// Wall clock of a call, including the time in the host, milliseconds.
    pub deadline_ms: u64,
    /// Time that the adapter itself computes, milliseconds (counted in steps of 10).
    pub cpu_ms: u64,
    /// Calls from the adapter into the host.
    pub host_calls_max: u64,
    /// Bytes that one call from the adapter into the host, or the adapter's answer, may carry.
    pub host_call_bytes_max: u64,
    /// Rows that one query may give.
    pub query_rows_max: u64,
    /// Bytes of all values that one query may give.
    pub query_bytes_max: u64,
    /// Bytes of one HTTP request's body.
    pub http_request_bytes_max: u64,
    /// Bytes of one HTTP response's body.
    pub http_response_bytes_max: u64,
    /// Headers of one HTTP request or response.
    pub http_headers_max: u64,
    /// Bytes of all headers of one HTTP request or response, names and values.
    pub http_header_bytes_max: u64,
    /// HTTP requests that wait for an answer, or whose answer is still being read, at one time.
    pub http_requests_in_flight_max: u64,
    /// Log lines of a call.
    pub log_lines_max: u64,
    /// Bytes of all log lines of a call.
    pub log_bytes_max: u64,
    /// Bytes of one log line; the rest is cut off.
    pub log_line_bytes_max: u64,
    /// Entries of all tables of a call together; at most [`RuntimeOptions::table_elements_max`](super::RuntimeOptions).
    pub table_elements_max: u64,
    /// Handles at a time: the transaction, requests, streams, headers.
    pub handles_max: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory_mib: 64,
            deadline_ms: 30_000,
            cpu_ms: 10_000,
            host_calls_max: 50_000,
            host_call_bytes_max: 32 << 20,
            query_rows_max: 10_000,
            query_bytes_max: 16 << 20,
            http_request_bytes_max: 16 << 20,
            http_response_bytes_max: 32 << 20,
            http_headers_max: 100,
            http_header_bytes_max: 64 << 10,
            http_requests_in_flight_max: 8,
            log_lines_max: 1_000,
            log_bytes_max: 1 << 20,
            log_line_bytes_max: 4_096,
            table_elements_max: TABLE_ELEMENTS_DEFAULT as u64,
            handles_max: 10_000,
        }
    }
}

/// The limits that an operator can set for a target.
const CONFIGURABLE: [&str; 17] = [
    "memory_mib",
    "deadline_ms",
    "cpu_ms",
    "host_calls_max",
    "host_call_bytes_max",
    "query_rows_max",
    "query_bytes_max",
    "http_request_bytes_max",
    "http_response_bytes_max",
    "http_headers_max",
    "http_header_bytes_max",
    "http_requests_in_flight_max",
    "log_lines_max",
    "log_bytes_max",
    "log_line_bytes_max",
    "table_elements_max",
    "handles_max",
];

/// The one that is the same for all targets, since every call's stack comes out of one pool.
pub(super) const STACK_KIB: &str = "stack_kib";

/// A limit that was overstepped. It travels through wasmtime as the cause of a trap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{limit} of {value} exceeded")]
pub(super) struct Breach {
    pub(super) limit: &'static str,
    pub(super) value: u64,
}

impl Breach {
    pub(super) fn new(limit: &'static str, value: u64) -> Self {
        Self { limit, value }
    }

    pub(super) fn into_error(self, target: &str) -> CallError {
        let setting = (CONFIGURABLE.contains(&self.limit) || self.limit == STACK_KIB).then_some(self.limit);
        CallError::Limit { limit: self.limit, value: self.value, setting, target: target.to_owned() }
    }
}

/// Entries of tables, unless the operator says otherwise; sixteen bytes each on the host's side.
pub(super) const TABLE_ELEMENTS_DEFAULT: usize = 100_000;

/// Counts what instances ask for, over all memories and tables of a store.
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
            return Err(Breach::new("memory_mib", self.memory_mib).into());
        }
        self.memory_bytes = total;
        Ok(true)
    }

    fn table_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let total = self.table_elements.saturating_add(desired.saturating_sub(current));
        if total as u64 > self.table_elements_max {
            return Err(Breach::new("table_elements_max", self.table_elements_max).into());
        }
        self.table_elements = total;
        Ok(true)
    }
}
