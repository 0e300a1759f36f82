//! The trial of a new adapter: a few deliveries go through it before it is put in force, and the old one is the measure.
//!
//! While a trial is on, everything else goes on through the old adapter. One worker takes the trial's batch: what the new
//! adapter fails, the old one is given as well, and what the old one says counts. So a trial costs no delivery anything.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::supervisor::InForce;
use crate::domain::change::{FailureKind, Outcome};

/// Deliveries of a trial at most.
pub(super) const TRIAL_MAX: u32 = 20;

/// An adapter on trial.
pub(super) struct Trial {
    pub(super) candidate: Arc<InForce>,
    taken: AtomicBool,
}

/// How a trial ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It did no worse than the old one.
    Passed,
    /// It did worse. Why, for people.
    Refused(String),
}

impl Trial {
    pub(super) fn new(candidate: Arc<InForce>) -> Self {
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
pub(super) fn verdict(new: &[Outcome], old: &[Outcome]) -> Verdict {
    let (with_new, with_old) = (failures(new), failures(old));
    if with_new <= with_old {
        return Verdict::Passed;
    }
    let first = new.iter().find_map(|outcome| match outcome {
        Outcome::Failed(failure) if is_failure(outcome) => Some(failure.message.as_str()),
        Outcome::Failed(_) | Outcome::Applied(_) => None,
    });
    Verdict::Refused(format!(
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
        assert_eq!(verdict(&[bad(), applied()], &[bad(), applied()]), Verdict::Passed);
        assert_eq!(verdict(&[applied(), applied()], &[bad(), applied()]), Verdict::Passed);
        let Verdict::Refused(why) = verdict(&[bad(), bad()], &[bad(), applied()]) else { panic!("passed") };
        assert_eq!(why, "on trial 2 of 2 deliveries failed, 1 with the old one: no");
    }

    #[test]
    fn what_may_pass_does_not_count_against_it() {
        let outcomes = [failed(FailureKind::Transient), failed(FailureKind::Unavailable)];
        assert_eq!(verdict(&outcomes, &[applied(), applied()]), Verdict::Passed);
    }
}
