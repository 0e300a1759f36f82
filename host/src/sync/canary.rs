//! The canary: a new adapter that gets a few deliveries before it is activated. Its outcomes are compared with those of
//! the old adapter.
//!
//! All other batches still use the old adapter. One worker delivers the canary's batch, after it has compared what both
//! adapters write for it (`comparing.rs`). If the canary fails a delivery of it, the old adapter gets the batch too,
//! and the old one's outcomes count. So a faulty canary fails no delivery.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use crate::domain::change::{FailureKind, Outcome};
use crate::domain::effect_difference::EffectDifferences;
use crate::target::CheckedAdapter;

/// Deliveries of a canary at most.
pub(super) const CANARY_MAX: u32 = 20;

/// After this number of comparisons that have shown nothing, a canary is held.
const INCONCLUSIVE_MAX: u32 = 5;

/// A new adapter that may deliver one batch.
pub(super) struct Canary {
    pub(super) candidate: Arc<CheckedAdapter>,
    is_taken: AtomicBool,
    /// What it writes must still be compared with what the old adapter writes.
    wants_comparison: AtomicBool,
    /// Comparisons that have shown nothing.
    inconclusive: AtomicU32,
}

/// The result of a canary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum CanaryResult {
    /// It failed no more deliveries than the old adapter.
    Passed,
    /// It failed more. The reason is for the operator.
    Rejected(String),
    /// It writes something else.
    Held(EffectDifferences),
}

impl Canary {
    pub(super) fn new(candidate: Arc<CheckedAdapter>, wants_comparison: bool) -> Self {
        Self {
            candidate,
            is_taken: AtomicBool::new(false),
            wants_comparison: AtomicBool::new(wants_comparison),
            inconclusive: AtomicU32::new(0),
        }
    }

    /// Whether what it writes must still be compared.
    pub(super) fn wants_comparison(&self) -> bool {
        self.wants_comparison.load(Ordering::Acquire)
    }

    /// What it writes was compared with what the old adapter writes, as far as that is possible.
    pub(super) fn compared(&self) {
        self.wants_comparison.store(false, Ordering::Release);
    }

    /// Counts a comparison that has shown nothing; `true` when there are too many of them.
    pub(super) fn is_too_inconclusive(&self) -> bool {
        self.inconclusive.fetch_add(1, Ordering::AcqRel) + 1 >= INCONCLUSIVE_MAX
    }

    /// Takes the canary's batch; `false` when another worker has taken it.
    pub(super) fn take(&self) -> bool {
        !self.is_taken.swap(true, Ordering::AcqRel)
    }

    /// The batch has shown nothing: another worker may take one.
    pub(super) fn put_back(&self) {
        self.is_taken.store(false, Ordering::Release);
    }

    /// Whether a worker has taken the canary's batch.
    pub(super) fn is_taken(&self) -> bool {
        self.is_taken.load(Ordering::Acquire)
    }
}

/// Counts failures that the adapter may have caused. Transient failures, and those of the target as a whole, do not
/// count.
pub(super) fn failures(outcomes: &[Outcome]) -> usize {
    outcomes.iter().filter(|outcome| is_failure(outcome)).count()
}

fn is_failure(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Failed(failure) if failure.kind.is_permanent() || failure.kind == FailureKind::Adapter)
}

/// Compares the outcomes of both adapters for the same changes.
pub(super) fn compare(new: &[Outcome], old: &[Outcome]) -> CanaryResult {
    let (with_new, with_old) = (failures(new), failures(old));
    if with_new <= with_old {
        return CanaryResult::Passed;
    }
    let first = new.iter().find_map(|outcome| match outcome {
        Outcome::Failed(failure) if is_failure(outcome) => Some(failure.message.as_str()),
        Outcome::Failed(_) | Outcome::Applied(_) | Outcome::Skipped(_) => None,
    });
    CanaryResult::Rejected(format!(
        "as canary {with_new} of {} deliveries failed, {with_old} with the previous adapter: {}",
        new.len(),
        first.unwrap_or("no reason given")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::change::{Failure, Receipt};

    fn applied() -> Outcome {
        Outcome::Applied(Receipt { remote_id: "1".to_owned(), remote_version: None, fingerprint: None })
    }

    fn failed(kind: FailureKind) -> Outcome {
        Outcome::Failed(Failure::new(kind, "no"))
    }

    #[test]
    fn a_canary_is_rejected_only_if_it_fails_more_than_the_old_adapter() {
        let bad = || failed(FailureKind::Invalid);
        assert_eq!(compare(&[bad(), applied()], &[bad(), applied()]), CanaryResult::Passed);
        assert_eq!(compare(&[applied(), applied()], &[bad(), applied()]), CanaryResult::Passed);
        let CanaryResult::Rejected(why) = compare(&[bad(), bad()], &[bad(), applied()]) else { panic!("passed") };
        assert_eq!(why, "as canary 2 of 2 deliveries failed, 1 with the previous adapter: no");
    }

    #[test]
    fn temporary_failures_do_not_count_against_a_canary() {
        let outcomes = [failed(FailureKind::Transient), failed(FailureKind::Unavailable)];
        assert_eq!(compare(&outcomes, &[applied(), applied()]), CanaryResult::Passed);
    }
}
