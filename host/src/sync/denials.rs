//! Notices a target that denies every change. Credentials that may read and not write look like a refusal of each
//! patient, one by one; no check sees them, since a check must not write.

use std::sync::atomic::{AtomicU32, Ordering};

use crate::domain::change::{Failure, FailureKind, Outcome};

/// So many changes may be denied with nothing confirmed between them before it is the target that denies.
const IN_A_ROW_MAX: u32 = 3;

/// The changes that a target denied since it last confirmed one. Its workers share it.
#[derive(Debug, Default)]
pub(super) struct Denials(AtomicU32);

impl Denials {
    /// Counts a batch's denied changes. When they are too many in a row, makes each of them a failure of the target as
    /// a whole, which spends no attempt, and returns that failure.
    pub(super) fn judge(&self, outcomes: &mut [Outcome]) -> Option<Failure> {
        if outcomes.iter().any(|outcome| matches!(outcome, Outcome::Applied(_))) {
            self.0.store(0, Ordering::Relaxed);
            return None;
        }
        let message = outcomes.iter().find_map(denied)?.message.clone();
        let count = u32::try_from(outcomes.iter().filter_map(denied).count()).unwrap_or(u32::MAX);
        let in_a_row = self.0.load(Ordering::Relaxed).saturating_add(count);
        if in_a_row <= IN_A_ROW_MAX {
            self.0.store(in_a_row, Ordering::Relaxed);
            return None;
        }
        // Not counted: they are tried again.
        let message = format!(
            "the target denies every change, {in_a_row} in a row; fix: let its credentials write, or see its policy. The \
             first: {message}"
        );
        let failure = Failure::new(FailureKind::Misconfigured, message);
        for outcome in outcomes.iter_mut().filter(|outcome| denied(outcome).is_some()) {
            *outcome = Outcome::Failed(failure.clone());
        }
        Some(failure)
    }
}

fn denied(outcome: &Outcome) -> Option<&Failure> {
    match outcome {
        Outcome::Failed(failure) if failure.kind == FailureKind::Denied => Some(failure),
        Outcome::Failed(_) | Outcome::Applied(_) | Outcome::Skipped(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::change::Receipt;

    fn failed(kind: FailureKind) -> Outcome {
        Outcome::Failed(Failure::new(kind, "the server answered 403"))
    }

    fn applied() -> Outcome {
        Outcome::Applied(Receipt { remote_id: "7".to_owned(), remote_version: None, fingerprint: None })
    }

    #[test]
    fn the_fourth_single_denial_is_the_targets_failure() {
        let denials = Denials::default();
        for _ in 0..3 {
            assert_eq!(denials.judge(&mut [failed(FailureKind::Denied)]), None);
        }
        for _ in 0..2 {
            let mut fourth = [failed(FailureKind::Denied)];
            let failure = denials.judge(&mut fourth).expect("the target's");
            assert_eq!(failure.kind, FailureKind::Misconfigured);
            assert_eq!(fourth, [Outcome::Failed(failure)]);
        }
    }

    #[test]
    fn several_denials_in_a_batch_are_the_targets_failure_and_other_failures_stay() {
        let mut batch = vec![failed(FailureKind::Denied); 4];
        batch.push(failed(FailureKind::Invalid));
        assert!(Denials::default().judge(&mut batch).is_some());
        assert_eq!(batch.iter().filter_map(denied).count(), 0);
        assert_eq!(batch[4], failed(FailureKind::Invalid));
    }

    #[test]
    fn one_confirmed_change_shows_that_the_target_accepts_writes() {
        let denials = Denials::default();
        for _ in 0..10 {
            assert_eq!(denials.judge(&mut [failed(FailureKind::Denied), failed(FailureKind::Denied), applied()]), None);
            assert_eq!(denials.judge(&mut [failed(FailureKind::Denied)]), None);
        }
    }
}
