//! The trial of a new adapter: a few deliveries go through it before it is put in force, and the old one is the measure.
//!
//! While a trial is on, everything else goes on through the old adapter. One worker takes the canary's batch: what the new
//! adapter fails, the old one is given as well, and what the old one says counts. So a trial costs no delivery anything.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::supervisor::ActiveAdapter;
use crate::domain::change::{FailureKind, Outcome};

/// Deliveries of a canary at most.
pub(super) const CANARY_MAX: u32 = 20;

/// a canary.
pub(super) struct Canary {
    pub(super) candidate: Arc<ActiveAdapter>,
    taken: AtomicBool,
}

/// How a trial ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum CanaryResult {
    /// It did no worse than the old one.
    Passed,
    /// It did worse. Why, for people.
    Rejected(String),
}

impl Canary {
    pub(super) fn new(candidate: Arc<ActiveAdapter>) -> Self {
        Self { candidate, taken: AtomicBool::new(false) }
    }

    /// Whether the caller is the one who tries it.
    pub(super) fn take(&self) -> bool {
        !self.taken.swap(true, Ordering::AcqRel)
    }

    /// Nothing could be learnt: somebody else tries it.
    pub(super) fn give_back(&self) {
        self.taken.store(false, Ordering::Release);
    }

    /// Whether it is being tried.
    pub(super) fn is_taken(&self) -> bool {
        self.taken.load(Ordering::Acquire)
    }
}

/// Failures that speak of the adapter: those that pass by themselves, and those of the target as a whole, do not.
pub(super) fn failures(outcomes: &[Outcome]) -> usize {
    outcomes.iter().filter(|outcome| is_failure(outcome)).count()
}

fn is_failure(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Failed(failure) if failure.kind.is_permanent() || failure.kind == FailureKind::Adapter)
}

/// Compares what both said of the same changes.
pub(super) fn compare(new: &[Outcome], old: &[Outcome]) -> CanaryResult {
    let (with_new, with_old) = (failures(new), failures(old));
    if with_new <= with_old {
        return CanaryResult::Passed;
    }
    let first = new.iter().find_map(|outcome| match outcome {
        Outcome::Failed(failure) if is_failure(outcome) => Some(failure.message.as_str()),
        Outcome::Failed(_) | Outcome::Applied(_) => None,
    });
    CanaryResult::Rejected(format!(
        "on trial {with_new} of {} deliveries failed, {with_old} with the old one: {}",
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
    fn it_is_refused_only_when_it_fails_more_than_the_old_one() {
        let bad = || failed(FailureKind::Invalid);
        assert_eq!(compare(&[bad(), applied()], &[bad(), applied()]), CanaryResult::Passed);
        assert_eq!(compare(&[applied(), applied()], &[bad(), applied()]), CanaryResult::Passed);
        let CanaryResult::Rejected(why) = compare(&[bad(), bad()], &[bad(), applied()]) else { panic!("passed") };
        assert_eq!(why, "on trial 2 of 2 deliveries failed, 1 with the old one: no");
    }

    #[test]
    fn what_may_pass_does_not_count_against_it() {
        let outcomes = [failed(FailureKind::Transient), failed(FailureKind::Unavailable)];
        assert_eq!(compare(&outcomes, &[applied(), applied()]), CanaryResult::Passed);
    }
}
