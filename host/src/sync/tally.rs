//! Counts what a run did at each target, for its summary and for the metrics.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::domain::delivery::{Settlement, Status};
use crate::telemetry::TargetMeters;

/// The counts of one target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct TargetTally {
    /// Deliveries confirmed.
    pub delivered: u64,
    /// Attempts that are retried later.
    pub deferred: u64,
    /// Deliveries left to an operator.
    pub failed: u64,
    /// Deliveries that the target does not support.
    pub skipped: u64,
    /// Batches whose lease was lost before they could be settled.
    pub leases_lost: u64,
}

impl TargetTally {
    /// The difference to an earlier reading; `None` when nothing was delivered or failed.
    pub(super) fn since(&self, earlier: &Self) -> Option<Self> {
        let since = Self {
            delivered: self.delivered - earlier.delivered,
            deferred: self.deferred - earlier.deferred,
            failed: self.failed - earlier.failed,
            skipped: self.skipped - earlier.skipped,
            leases_lost: self.leases_lost - earlier.leases_lost,
        };
        (since.delivered + since.failed + since.skipped > 0).then_some(since)
    }
}

/// Counters of one target, shared by its workers.
#[derive(Debug, Default)]
pub(super) struct Tally {
    delivered: AtomicU64,
    deferred: AtomicU64,
    failed: AtomicU64,
    skipped: AtomicU64,
    leases_lost: AtomicU64,
    pub(super) meters: Arc<TargetMeters>,
}

impl Tally {
    pub(super) fn new(meters: TargetMeters) -> Self {
        Self { meters: Arc::new(meters), ..Self::default() }
    }

    pub(super) fn settled(&self, settlements: &[Settlement]) {
        self.meters.settled(settlements);
        for settlement in settlements {
            let counter = match settlement.status {
                Status::Done => &self.delivered,
                Status::Failed => &self.failed,
                Status::Skipped => &self.skipped,
                _ => &self.deferred,
            };
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Counts deliveries that wait for the end of their lease.
    pub(super) fn deferred(&self, deliveries: usize) {
        self.meters.in_doubt(deliveries);
        self.deferred.fetch_add(u64::try_from(deliveries).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    pub(super) fn lease_lost(&self) {
        self.meters.lease_lost();
        self.leases_lost.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn read(&self) -> TargetTally {
        TargetTally {
            delivered: self.delivered.load(Ordering::Relaxed),
            deferred: self.deferred.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
            skipped: self.skipped.load(Ordering::Relaxed),
            leases_lost: self.leases_lost.load(Ordering::Relaxed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_covers_the_time_since_the_last_one() {
        let tally = Tally::default();
        let earlier = tally.read();
        tally.deferred(5);
        assert_eq!(tally.read().since(&earlier), None, "an outage is no delivery");
        let counted = |delivered| TargetTally { delivered, ..TargetTally::default() };
        assert_eq!(counted(12).since(&counted(10)), Some(counted(2)));
        assert_eq!(counted(12).since(&counted(12)), None);
    }
}
