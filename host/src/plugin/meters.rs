//! Counts the resources that one call uses, and records which limit it exceeded. The tasks that serve the call share
//! it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use super::Usage;
use super::auth_failure::AuthFailure;
use super::limits::LimitExceeded;

/// A counter that several tasks increase.
#[derive(Default)]
pub(super) struct Meter(AtomicU64);

impl Meter {
    /// Adds one and returns the new count.
    pub(super) fn add(&self) -> u64 {
        self.add_many(1)
    }

    pub(super) fn add_many(&self, count: u64) -> u64 {
        self.0.fetch_add(count, Ordering::Relaxed) + count
    }

    pub(super) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The resources used by a call so far. Shared with the tasks that send its HTTP requests.
#[derive(Default)]
pub(super) struct Meters {
    pub(super) cpu_ticks: Meter,
    pub(super) host_calls: Meter,
    pub(super) requests: Meter,
    pub(super) log_lines: Meter,
    pub(super) log_bytes: Meter,
    pub(super) refusals: Meter,
    lease_lost: AtomicBool,
    unauthorized: Mutex<Option<AuthFailure>>,
    exceeded: Mutex<Option<LimitExceeded>>,
}

impl Meters {
    /// Records an exceeded limit that does not end the call; only the first one is kept.
    pub(super) fn record(&self, exceeded: LimitExceeded) {
        self.exceeded.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(exceeded);
    }

    pub(super) fn recorded(&self) -> Option<LimitExceeded> {
        *self.exceeded.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records that the host had no credentials for a request; only the last failure is kept.
    pub(super) fn record_unauthorized(&self, failure: AuthFailure) {
        *self.unauthorized.lock().unwrap_or_else(PoisonError::into_inner) = Some(failure);
    }

    pub(super) fn unauthorized(&self) -> Option<AuthFailure> {
        self.unauthorized.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn lose_lease(&self) {
        self.lease_lost.store(true, Ordering::Relaxed);
    }

    pub(super) fn lease_lost(&self) -> bool {
        self.lease_lost.load(Ordering::Relaxed)
    }

    pub(super) fn usage(&self, elapsed_ms: u64, memory_bytes: u64, statements: u64) -> Usage {
        Usage {
            elapsed_ms,
            cpu_ms: self.cpu_ticks.get() * super::ticker::TICK_MS,
            memory_bytes,
            host_calls: self.host_calls.get(),
            statements,
            requests: self.requests.get(),
            log_lines: self.log_lines.get(),
        }
    }
}
