//! How this host synchronises: what is configured for all targets.

use crate::domain::delivery::{BreakerPolicy, RetryPolicy};
use crate::domain::ids::TargetName;

/// How long old rows are kept.
#[derive(Clone, Copy, Debug)]
pub struct Retention {
    /// Finished deliveries and routed changes, in milliseconds.
    pub finished_ms: i64,
    /// The journal's attempts, in milliseconds.
    pub journal_ms: i64,
}

/// How this host synchronises.
#[derive(Clone, Debug)]
pub struct SyncOptions {
    /// This host's id; no two hosts have the same.
    pub host_id: String,
    /// How long a lease lasts, in milliseconds.
    pub lease_ms: u64,
    /// How often an idle host scans for changes and deliveries, in milliseconds.
    pub poll_ms: u64,
    /// How long running calls may continue after a request to stop, in milliseconds.
    pub drain_ms: u64,
    /// How often a working target is checked again, in milliseconds.
    pub recheck_ms: u64,
    /// How often an adapter's file is checked for a change, in milliseconds.
    pub watch_ms: u64,
    /// A task that was not polled for so long hangs, in milliseconds: the host sends no heartbeat then.
    pub hangs_after_ms: u64,
    /// How deliveries are retried.
    pub retry: RetryPolicy,
    /// How long the breaker of a failing target stays open.
    pub breaker: BreakerPolicy,
    /// How long old rows are kept.
    pub retention: Retention,
    /// Whether each attempt is recorded in the journal.
    pub journal: bool,
    /// Whether a new adapter is activated only if it writes what the active one writes.
    pub compare_effects: bool,
    /// Aggregate types whose every change is delivered, in order.
    pub fifo_types: Vec<String>,
    /// Targets that the configuration names and disables.
    pub disabled_targets: Vec<TargetName>,
}
