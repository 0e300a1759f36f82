//! What a running host works by, as configured: one immutable value, which a reload replaces as a whole.
//!
//! Tasks read it when they begin something, and finish that under what they have read. A batch under way keeps the
//! target that the gate gave it (`gate.rs`); the supervisor takes up another one before its next check.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::domain::delivery::{BreakerPolicy, RetryPolicy};
use crate::domain::ids::TargetName;
use crate::store::TargetTypes;
use crate::target::Target;

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

/// What a running host works by.
pub struct Settings {
    /// What is configured for all targets.
    pub options: Arc<SyncOptions>,
    /// The enabled targets. A reload replaces targets; it adds and removes none.
    pub targets: BTreeMap<TargetName, Arc<Target>>,
}

impl Settings {
    /// Settings for these targets.
    #[must_use]
    pub fn new(options: SyncOptions, targets: impl IntoIterator<Item = Arc<Target>>) -> Self {
        let targets = targets.into_iter().map(|target| (target.spec.name.clone(), target)).collect();
        Self { options: Arc::new(options), targets }
    }

    /// The types of aggregates that each target takes.
    pub(super) fn types(&self) -> TargetTypes {
        let types = |target: &Arc<Target>| target.spec.aggregate_types.iter().cloned().collect();
        self.targets.iter().map(|(name, target)| (name.clone(), types(target))).collect()
    }
}

/// Reads the settings as they are at that moment.
#[derive(Clone)]
pub(super) struct CurrentSettings(watch::Receiver<Arc<Settings>>);

impl CurrentSettings {
    pub(super) fn new(settings: watch::Receiver<Arc<Settings>>) -> Self {
        Self(settings)
    }

    pub(super) fn get(&self) -> Arc<Settings> {
        self.0.borrow().clone()
    }

    pub(super) fn options(&self) -> Arc<SyncOptions> {
        self.0.borrow().options.clone()
    }

    /// The longest pause between two scans.
    pub(super) fn poll(&self) -> Duration {
        Duration::from_millis(self.0.borrow().options.poll_ms)
    }

    /// Waits for a reload that this reader has not seen; without end where none can come.
    pub(super) async fn changed(&mut self) {
        if self.0.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
