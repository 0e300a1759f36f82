//! Delivers a batch: calls the adapter, and splits a part that fails as a whole.
//!
//! Only a failure of the target as a whole ends a batch. Any other failure of a part (a trigger that refuses one row, a
//! lock, an adapter that crashes) halves the part, again and again. So one bad change costs about log2(n) extra calls
//! and its own attempts alone. Each part has its own transaction at the target. Splitting is bounded (`splits.rs`):
//! what it does not get to is delayed and spends no attempt.
//!
//! A trigger of the target that fails on something of its own (a missing table, a missing right) may do so for every
//! row or for one. The statement cannot tell, so the part is halved too. Where other changes arrived, in this batch or
//! just before, it is the change's own; where nothing arrives, the target is misconfigured and no change pays for it.
//!
//! At an HTTP target a call may end with a request that was sent and has no complete answer. Its changes are then in
//! doubt, except those with a definite outcome. They are neither split nor sent again here, and the settlement keeps
//! their lease.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::atomic::Ordering;

use super::checked::CheckedAdapter;
use super::session::{Applied, CallFailure, TargetSession};
use super::splits::{Next, Splits};
use crate::domain::change::{BatchOutcome, Change, Failure, FailureKind, Outcome};
use crate::plugin::{CallError, Usage};

/// The result of a batch.
#[derive(Debug)]
pub struct Delivered {
    /// One for each change, in order.
    pub outcomes: Vec<Outcome>,
    /// Which of them are in doubt.
    pub in_doubt: Vec<bool>,
    /// A failure of the target as a whole.
    pub target_failure: Option<Failure>,
    /// The first time that the adapter crashed.
    pub crash: Option<CallError>,
    /// The most that one call used.
    pub most: Usage,
}

/// The lease was lost: what was not committed is rolled back, and nothing may be settled.
#[derive(Debug)]
pub struct FenceLost;

impl TargetSession<'_> {
    /// Delivers a batch.
    ///
    /// # Errors
    /// When the fence did not hold.
    pub async fn deliver(&self, adapter: &CheckedAdapter, changes: &[Change]) -> Result<Delivered, FenceLost> {
        let mut progress = Progress::of(changes.len());
        let mut parts = VecDeque::new();
        parts.push_back(0..changes.len());
        let mut splits = Splits::new(changes.len());
        while let Some(part) = parts.pop_front() {
            let Applied { result, in_doubt, usage } = self.apply(adapter, &changes[part.clone()]).await;
            progress.most = most(progress.most, usage);
            let (failure, next) = match result {
                Err(CallFailure::FenceLost) => return Err(FenceLost),
                Ok(BatchOutcome { outcomes, learned }) => {
                    splits.worked();
                    // What was learned of something that was rolled back may not be true.
                    if let Some(learned) = learned.filter(|_| self.commits()) {
                        adapter.learn(learned);
                    }
                    let target_failure = outcomes.iter().find_map(target_wide);
                    if outcomes.iter().any(|outcome| matches!(outcome, Outcome::Applied(_))) {
                        progress.anything_applied = true;
                    }
                    progress.put(part, outcomes, in_doubt);
                    // An adapter that meets an outage half-way reports it for the changes that it did not get to.
                    match target_failure {
                        Some(failure) => return Ok(progress.end_by_target(failure)),
                        None => continue,
                    }
                }
                Err(failed) if failed.is_contention() => {
                    let next = splits.after_contention(part.len());
                    (failed.into_failure(), next)
                }
                Err(failed) if failed.is_of_a_routine() => {
                    let failure = failed.into_failure();
                    progress.routine.get_or_insert_with(|| failure.clone());
                    if part.len() == 1 {
                        progress.suspects.push(part.start);
                        continue;
                    }
                    let next = splits.after_failure(part.len());
                    (failure, next)
                }
                Err(failed) => {
                    progress.note_crash(&failed);
                    let failure = failed.into_failure();
                    if failure.kind.is_target_wide() {
                        progress.put(part.clone(), vec![Outcome::Failed(failure.clone()); part.len()], in_doubt);
                        return Ok(progress.end_by_target(failure));
                    }
                    // Changes that were sent are neither split nor sent again here.
                    if in_doubt {
                        progress.put(part.clone(), vec![Outcome::Failed(failure); part.len()], true);
                        continue;
                    }
                    let next = splits.after_failure(part.len());
                    (failure, next)
                }
            };
            match next {
                Next::Halve => {
                    tracing::debug!(
                        target_name = %self.target.spec.name,
                        deliveries = part.len(),
                        kind = failure.kind.as_str(),
                        "part of a batch failed and was split"
                    );
                    let middle = part.start + part.len() / 2;
                    parts.push_front(middle..part.end);
                    parts.push_front(part.start..middle);
                }
                Next::Settle => progress.put(part, vec![Outcome::Failed(failure)], false),
                Next::Stop => return Ok(self.conclude(progress, Some(&failure))),
                Next::TargetFailed => {
                    return Ok(progress.end_by_target(Failure::new(FailureKind::Unavailable, failure.message)));
                }
            }
        }
        Ok(self.conclude(progress, None))
    }

    /// Ends a batch; early after too many failures in a row. A routine's failure is a change's own where others
    /// arrived, and the target's where none of several did. One change alone is judged by what arrived before it.
    fn conclude(&self, mut progress: Progress, early: Option<&Failure>) -> Delivered {
        let has_worked = &self.target.has_worked;
        if progress.anything_applied && self.commits() {
            has_worked.store(true, Ordering::Relaxed);
        }
        if let Some(failure) = progress.routine.take() {
            let worked_before = || {
                if self.commits() {
                    has_worked.swap(false, Ordering::Relaxed)
                } else {
                    has_worked.load(Ordering::Relaxed)
                }
            };
            let is_own = progress.anything_applied || worked_before() && progress.outcomes.len() == 1;
            if !is_own {
                return progress.end_by_target(Failure::new(FailureKind::Misconfigured, failure.message));
            }
            for index in std::mem::take(&mut progress.suspects) {
                progress.outcomes[index] = Some(Outcome::Failed(failure.clone()));
            }
        }
        match early {
            Some(failure) => progress.end_early(failure),
            None => progress.end(None),
        }
    }
}

fn target_wide(outcome: &Outcome) -> Option<Failure> {
    match outcome {
        Outcome::Failed(failure) if failure.kind.is_target_wide() => Some(failure.clone()),
        Outcome::Failed(_) | Outcome::Applied(_) | Outcome::Skipped(_) => None,
    }
}

/// The outcomes of a batch so far.
struct Progress {
    outcomes: Vec<Option<Outcome>>,
    in_doubt: Vec<bool>,
    crash: Option<CallError>,
    most: Usage,
    anything_applied: bool,
    /// What a trigger of the target failed on first.
    routine: Option<Failure>,
    /// The changes that met that alone.
    suspects: Vec<usize>,
}

impl Progress {
    fn of(changes: usize) -> Self {
        Self {
            outcomes: vec![None; changes],
            in_doubt: vec![false; changes],
            crash: None,
            most: Usage::default(),
            anything_applied: false,
            routine: None,
            suspects: Vec::new(),
        }
    }

    fn put(&mut self, part: Range<usize>, outcomes: Vec<Outcome>, in_doubt: bool) {
        for (index, outcome) in part.zip(outcomes) {
            self.in_doubt[index] = in_doubt && !is_definite(&outcome);
            self.outcomes[index] = Some(outcome);
        }
    }

    fn note_crash(&mut self, failure: &CallFailure) {
        if let CallFailure::Crashed(error) = failure {
            self.crash.get_or_insert_with(|| error.clone());
        }
    }

    /// Ends with a failure of the target as a whole. Changes without an outcome were not sent, and wait for the target.
    fn end_by_target(mut self, failure: Failure) -> Delivered {
        self.fill(&failure);
        self.end(Some(failure))
    }

    /// Ends after too many failures in a row. Changes that were not tried alone are delayed.
    fn end_early(mut self, failure: &Failure) -> Delivered {
        let message = format!("not tried by itself yet, since much of its batch failed: {}", failure.message);
        self.fill(&Failure::new(FailureKind::Delayed, message));
        self.end(None)
    }

    fn fill(&mut self, failure: &Failure) {
        for outcome in self.outcomes.iter_mut().filter(|outcome| outcome.is_none()) {
            *outcome = Some(Outcome::Failed(failure.clone()));
        }
    }

    fn end(self, target_failure: Option<Failure>) -> Delivered {
        let Self { outcomes, in_doubt, crash, most, .. } = self;
        let outcomes =
            outcomes.into_iter().map(|outcome| outcome.expect("invariant: every part has outcomes")).collect();
        Delivered { outcomes, in_doubt, target_failure, crash, most }
    }
}

/// The larger of each number.
#[must_use]
pub fn most(one: Usage, other: Usage) -> Usage {
    Usage {
        elapsed_ms: one.elapsed_ms.max(other.elapsed_ms),
        cpu_ms: one.cpu_ms.max(other.cpu_ms),
        memory_bytes: one.memory_bytes.max(other.memory_bytes),
        host_calls: one.host_calls.max(other.host_calls),
        statements: one.statements.max(other.statements),
        requests: one.requests.max(other.requests),
        log_lines: one.log_lines.max(other.log_lines),
    }
}

/// Whether the outcome is certain, whatever became of other requests of the call.
fn is_definite(outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Applied(_) | Outcome::Skipped(_) => true,
        Outcome::Failed(failure) => failure.kind.is_permanent(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::change::Receipt;

    #[test]
    fn only_changes_without_a_known_result_are_in_doubt() {
        use FailureKind::{Adapter, Conflict, Invalid, Misconfigured, Throttled, Transient, Unavailable};
        let outcomes = |kinds: &[FailureKind]| -> Vec<_> {
            let applied = Receipt { remote_id: "1".to_owned(), remote_version: None, fingerprint: None };
            let failed = kinds.iter().map(|kind| Outcome::Failed(Failure::new(*kind, "no")));
            std::iter::once(Outcome::Applied(applied)).chain(failed).collect()
        };
        for (what, kinds, in_doubt, expected) in [
            ("a definite outcome", &[Invalid, Conflict][..], true, &[false, false, false][..]),
            ("what may pass", &[Unavailable, Throttled, Misconfigured], true, &[false, true, true, true]),
            ("what spends an attempt", &[Transient, Adapter], true, &[false, true, true]),
            ("every request was answered", &[Unavailable, Transient], false, &[false, false, false]),
        ] {
            let outcomes = outcomes(kinds);
            let mut progress = Progress::of(outcomes.len());
            progress.put(0..outcomes.len(), outcomes, in_doubt);
            assert_eq!(progress.in_doubt, expected, "{what}");
        }
    }

    #[test]
    fn changes_that_were_never_sent_are_not_in_doubt() {
        let outage = Failure::new(FailureKind::Unavailable, "connection broke");
        let mut progress = Progress::of(3);
        progress.put(0..1, vec![Outcome::Failed(outage.clone())], true);
        let Delivered { in_doubt, outcomes, .. } = progress.end_by_target(outage);
        assert_eq!(in_doubt, [true, false, false]);
        assert!(outcomes.iter().all(|outcome| matches!(outcome, Outcome::Failed(_))));
    }
}
