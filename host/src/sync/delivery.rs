//! Delivering one batch: call the adapter, commit at the target only while the lease is ours, and judge what came back.
//!
//! Only a failure that speaks of the target as a whole stops a batch. Whatever else fails a batch as a whole (a trigger that refuses
//! one row, a lock, an adapter that breaks off) is halved again and again, so that one bad change costs about log2(n) extra
//! calls, spends its own attempts alone and never holds back the others. Each part is a transaction of its own at the
//! target. Splitting is bounded: what it does not get to waits for the next batch and spends no attempt.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::time::Instant;

use super::supervisor::InForce;
use super::target::{Applied, Called, Target, from_database};
use crate::database::DatabaseError;
use crate::domain::change::{Change, Failure, FailureKind, Operation, Outcome};
use crate::domain::delivery::{Event, RetryPolicy, Settlement, Status, after_failure, next_status};
use crate::plugin::Fence;
use crate::store::{Delivery, Lease, Store};

/// How often a part is applied again when the target's database asks for it, before that is its failure.
const CONTENTION_RUNS_MAX: u32 = 6;

/// For so long a part is applied again; a lock that is held for longer is found by halving.
const CONTENTION_PATIENCE: Duration = Duration::from_secs(3);

/// What became of a batch.
pub(super) enum Delivered {
    /// One outcome per delivery, in order. The failure, if there is one, speaks of the target as a whole.
    Judged { outcomes: Vec<Outcome>, target_failure: Option<Failure>, adapter_broke: bool },
    /// The lease was lost: what was not committed is rolled back, and nothing may be settled.
    LeaseLost,
}

/// What became of one part of a batch.
enum Part {
    Outcomes(Vec<Outcome>),
    /// The part as a whole failed, and nothing of it lasts.
    Failed(Failure),
    /// Somebody else's lock or transaction at the target was in the way, and nothing of it lasts.
    Contended(Failure),
    LeaseLost,
}

/// Asks the store whether the batch is still ours, and renews the lease if so.
#[derive(Clone)]
pub(super) struct StoreFence {
    pub(super) store: Store,
    pub(super) lease: Lease,
}

impl StoreFence {
    async fn holds(&self) -> bool {
        match self.store.renew(&self.lease).await {
            Ok(true) => true,
            Ok(false) => {
                tracing::warn!(target_name = %self.lease.target, lease_epoch = self.lease.epoch, "fence: the lease was lost");
                false
            }
            Err(error) => {
                tracing::warn!(target_name = %self.lease.target, lease_epoch = self.lease.epoch, %error, "fence: the lease cannot be renewed");
                false
            }
        }
    }
}

impl Fence for StoreFence {
    fn renew(&self) -> BoxFuture<'_, bool> {
        Box::pin(self.holds())
    }
}

/// Brings a batch to the target.
pub(super) async fn deliver(target: &Target, in_force: &InForce, fence: &StoreFence, changes: &[Change]) -> Delivered {
    let mut outcomes: Vec<Option<Outcome>> = vec![None; changes.len()];
    let mut parts = VecDeque::new();
    parts.push_back(0..changes.len());
    let mut splits = Splits::new(changes.len());
    let mut adapter_broke = false;
    while let Some(part) = parts.pop_front() {
        let (failure, next) = match deliver_part(target, in_force, fence, &changes[part.clone()]).await {
            Part::LeaseLost => return Delivered::LeaseLost,
            Part::Outcomes(part_outcomes) => {
                splits.worked();
                let target_failure = part_outcomes.iter().find_map(target_wide);
                for (place, outcome) in outcomes[part].iter_mut().zip(part_outcomes) {
                    *place = Some(outcome);
                }
                // An adapter that met an outage half-way says so for the changes that it did not get to.
                if let Some(failure) = target_failure {
                    return broken_off(outcomes, failure, adapter_broke);
                }
                continue;
            }
            Part::Failed(failure) if failure.kind.is_target_wide() => {
                return broken_off(outcomes, failure, adapter_broke);
            }
            Part::Failed(failure) => {
                adapter_broke |= failure.kind == FailureKind::Adapter;
                let next = splits.after_failure(part.len());
                (failure, next)
            }
            Part::Contended(failure) => {
                let next = splits.after_contention(part.len());
                (failure, next)
            }
        };
        match next {
            Next::Halve => {
                tracing::debug!(
                    target_name = %target.spec.name,
                    deliveries = part.len(),
                    kind = failure.kind.as_str(),
                    "a part of the batch failed and is split"
                );
                let middle = part.start + part.len() / 2;
                parts.push_front(middle..part.end);
                parts.push_front(part.start..middle);
            }
            Next::Settle => outcomes[part].fill(Some(Outcome::Failed(failure))),
            Next::Stop => return stopped(outcomes, &failure, adapter_broke),
            Next::TargetFailed => {
                let failure = Failure::new(FailureKind::Unavailable, failure.message);
                return broken_off(outcomes, failure, adapter_broke);
            }
        }
    }
    judged(outcomes, None, adapter_broke)
}

fn target_wide(outcome: &Outcome) -> Option<Failure> {
    match outcome {
        Outcome::Failed(failure) if failure.kind.is_target_wide() => Some(failure.clone()),
        Outcome::Failed(_) | Outcome::Applied(_) => None,
    }
}

/// The target as a whole failed: what was not judged yet waits for it.
fn broken_off(mut outcomes: Vec<Option<Outcome>>, failure: Failure, adapter_broke: bool) -> Delivered {
    for place in outcomes.iter_mut().filter(|place| place.is_none()) {
        *place = Some(Outcome::Failed(failure.clone()));
    }
    judged(outcomes, Some(failure), adapter_broke)
}

/// Too much failed in a row: what was not tried by itself waits for another batch.
fn stopped(mut outcomes: Vec<Option<Outcome>>, failure: &Failure, adapter_broke: bool) -> Delivered {
    let message = format!("not tried by itself yet, since much of its batch failed: {}", failure.message);
    for place in outcomes.iter_mut().filter(|place| place.is_none()) {
        *place = Some(Outcome::Failed(Failure::new(FailureKind::Delayed, message.clone())));
    }
    judged(outcomes, None, adapter_broke)
}

fn judged(outcomes: Vec<Option<Outcome>>, target_failure: Option<Failure>, adapter_broke: bool) -> Delivered {
    let outcomes = outcomes.into_iter().map(|outcome| outcome.expect("invariant: every part was judged")).collect();
    Delivered::Judged { outcomes, target_failure, adapter_broke }
}

/// What happens to a part that failed as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// Each half is tried by itself.
    Halve,
    /// It is a single change, and the failure is its own.
    Settle,
    /// Too much failed in a row; the rest waits.
    Stop,
    /// Nothing of the batch gets through to the target.
    TargetFailed,
}

/// How often parts were split in a row. Splitting pays while something works now and then; an adapter or target that fails
/// whatever it is given is not tried a thousand times.
///
/// On the way to the first single change no more than log2(n) parts are split, so that every batch settles at least one.
struct Splits {
    halvings: usize,
    in_a_row: usize,
    contended_in_a_row: usize,
    anything_worked: bool,
}

impl Splits {
    fn new(changes: usize) -> Self {
        let halvings = changes.max(1).ilog2() as usize + 1;
        Self { halvings, in_a_row: 0, contended_in_a_row: 0, anything_worked: false }
    }

    fn worked(&mut self) {
        self.in_a_row = 0;
        self.contended_in_a_row = 0;
        self.anything_worked = true;
    }

    fn after_failure(&mut self, deliveries: usize) -> Next {
        self.contended_in_a_row = 0;
        if deliveries == 1 {
            return Next::Settle;
        }
        self.in_a_row += 1;
        if self.in_a_row <= 4 * self.halvings { Next::Halve } else { Next::Stop }
    }

    /// One change that is locked is found by as many parts in a row as there are halvings, and its sibling works.
    fn after_contention(&mut self, deliveries: usize) -> Next {
        self.contended_in_a_row += 1;
        let much = self.contended_in_a_row > self.halvings + 1;
        match (deliveries, much, self.anything_worked) {
            (_, true, false) => Next::TargetFailed,
            (_, true, true) => Next::Stop,
            (1, false, _) => Next::Settle,
            (_, false, _) => Next::Halve,
        }
    }
}

/// One call, run again a few times while the target's database is contended.
async fn deliver_part(target: &Target, in_force: &InForce, fence: &StoreFence, changes: &[Change]) -> Part {
    let started = Instant::now();
    let mut run = 1;
    loop {
        match deliver_once(target, in_force, fence, changes).await {
            Err(error)
                if error.is_contention() && run < CONTENTION_RUNS_MAX && started.elapsed() < CONTENTION_PATIENCE =>
            {
                tracing::debug!(target_name = %target.spec.name, run, "contention at the target: applying again");
                tokio::time::sleep(Duration::from_millis(rand::random_range(5..=(20 << run)))).await;
                run += 1;
            }
            Err(error) if error.is_contention() => return Part::Contended(from_database(&error)),
            Err(error) => return Part::Failed(from_database(&error)),
            Ok(part) => return part,
        }
    }
}

async fn deliver_once(
    target: &Target,
    in_force: &InForce,
    fence: &StoreFence,
    changes: &[Change],
) -> Result<Part, DatabaseError> {
    let applied = target.apply(&in_force.adapter, &in_force.state, Arc::new(fence.clone()), changes).await;
    let (called, transaction) = match applied {
        Applied::Broken(error) => return Err(error),
        Applied::LeaseLost => return Ok(Part::LeaseLost),
        Applied::Sent(called) => (called, None),
        Applied::InTransaction(called, transaction) => (called, transaction),
    };
    let outcomes = match called {
        Called::Answered(Ok(outcomes)) => outcomes,
        Called::Answered(Err(failure)) => {
            if let Some(transaction) = transaction {
                // What cannot be rolled back is closed, which undoes it as well; the failure is what counts.
                transaction.rollback().await.ok();
            }
            return Ok(Part::Failed(failure));
        }
        // A transaction that is dropped is rolled back by the server.
        Called::Broke(error) => return Ok(Part::Failed(Failure::new(FailureKind::Adapter, error.to_string()))),
    };
    if let Some(transaction) = transaction {
        if !fence.holds().await {
            transaction.rollback().await?;
            return Ok(Part::LeaseLost);
        }
        transaction.commit().await?;
    }
    Ok(Part::Outcomes(outcomes))
}

/// What is written about each delivery. `luck` in `0.0..1.0` spreads the retries.
pub(super) fn settlements(
    deliveries: &[Delivery],
    outcomes: Vec<Outcome>,
    retry: &RetryPolicy,
    takes_id: impl Fn(&str) -> bool,
    mut luck: impl FnMut() -> f64,
) -> Vec<Settlement> {
    deliveries
        .iter()
        .zip(outcomes)
        .map(|(delivery, outcome)| {
            let outcome = match outcome {
                Outcome::Applied(receipt) if !receipt.remote_id.is_empty() && !takes_id(&receipt.remote_id) => {
                    Outcome::Failed(Failure::new(
                        FailureKind::Adapter,
                        "the adapter's remote id does not fit the target's id_column",
                    ))
                }
                Outcome::Applied(receipt)
                    if receipt.remote_id.is_empty() && delivery.change.operation != Operation::Delete =>
                {
                    Outcome::Failed(Failure::new(FailureKind::Adapter, "the adapter confirmed it without a remote id"))
                }
                outcome => outcome,
            };
            let (event, attempts, failure, receipt) = match outcome {
                Outcome::Applied(receipt) => {
                    // A delete of what never was at the target has no id, and leaves no link.
                    let receipt = Some(receipt).filter(|receipt| !receipt.remote_id.is_empty());
                    (Event::Confirm, delivery.attempts.saturating_add(1), None, receipt)
                }
                Outcome::Failed(failure) => {
                    let (event, attempts) = after_failure(failure.kind, delivery.attempts, retry);
                    (event, attempts, Some(failure), None)
                }
            };
            let status = next_status(Status::Processing, event).expect("invariant: a leased delivery may settle");
            // What waits for its target keeps its place in the line: the breaker does the waiting.
            let waits_for_target = failure.as_ref().is_some_and(|failure| failure.kind.is_target_wide());
            let pauses = status == Status::Pending && !waits_for_target;
            // One that spent no attempt is not made to wait for longer and longer.
            let spent = if attempts > delivery.attempts { attempts } else { 1 };
            let pause_ms = if pauses { retry.pause_ms(spent, luck()).max(1) } else { 0 };
            Settlement {
                outbox_id: delivery.change.change_id,
                aggregate_type: delivery.change.aggregate_type.clone(),
                aggregate_id: delivery.change.aggregate_id.clone(),
                status,
                attempts,
                pause_ms,
                failure,
                receipt,
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::change::Receipt;

    fn delivery(operation: Operation, attempts: u32) -> Delivery {
        let change = Change {
            change_id: 1,
            event_id: String::new(),
            aggregate_type: "patient".to_owned(),
            aggregate_id: "P-1".to_owned(),
            operation,
            payload: "{}".to_owned(),
            created_at_ms: 0,
            attempt: attempts + 1,
            link: None,
        };
        Delivery { change, attempts }
    }

    fn applied(remote_id: &str) -> Outcome {
        Outcome::Applied(Receipt { remote_id: remote_id.to_owned(), remote_version: None, fingerprint: None })
    }

    fn settled(delivery: &Delivery, outcome: Outcome) -> Settlement {
        let takes_id = |remote_id: &str| remote_id.parse::<i64>().is_ok();
        let policy = RetryPolicy::default();
        settlements(std::slice::from_ref(delivery), vec![outcome], &policy, takes_id, || 1.0).remove(0)
    }

    #[test]
    fn only_a_delete_may_be_confirmed_without_an_id() {
        let deleted = settled(&delivery(Operation::Delete, 0), applied(""));
        assert_eq!((deleted.status, deleted.receipt), (Status::Done, None));
        let created = settled(&delivery(Operation::Create, 0), applied(""));
        assert_eq!((created.status, created.attempts), (Status::Pending, 1));
        assert!(created.failure.is_some_and(|failure| failure.message.contains("without a remote id")));
    }

    #[test]
    fn an_id_that_does_not_fit_its_column_is_the_adapters_fault() {
        let settlement = settled(&delivery(Operation::Create, 0), applied("abc"));
        assert_eq!(settlement.failure.map(|failure| failure.kind), Some(FailureKind::Adapter));
        assert_eq!(settlement.receipt, None);
    }

    #[test]
    fn what_waits_for_its_target_keeps_attempts_and_place() {
        let outage = Outcome::Failed(Failure::new(FailureKind::Unavailable, "down"));
        let settlement = settled(&delivery(Operation::Create, 3), outage);
        assert_eq!((settlement.status, settlement.attempts, settlement.pause_ms), (Status::Pending, 3, 0));
    }

    #[test]
    fn what_was_not_tried_by_itself_keeps_its_attempts_and_waits_a_little() {
        let delayed = Outcome::Failed(Failure::new(FailureKind::Delayed, "locked"));
        let settlement = settled(&delivery(Operation::Create, 9), delayed);
        assert_eq!((settlement.status, settlement.attempts), (Status::Pending, 9));
        assert!(settlement.pause_ms > 0, "it would be claimed again at once");
    }

    /// What a batch of `size` comes to when a call fails as a whole as soon as it holds one of these changes: calls, changes
    /// that were delivered, changes that were judged by themselves, and how it ended.
    fn split(size: usize, bad: &[usize], next: impl Fn(&mut Splits, usize) -> Next) -> (usize, usize, usize, Option<Next>) {
        let mut splits = Splits::new(size);
        let (mut calls, mut delivered, mut settled) = (0, 0, 0);
        let mut parts = VecDeque::from([0..size]);
        while let Some(part) = parts.pop_front() {
            calls += 1;
            if !bad.iter().any(|one| part.contains(one)) {
                splits.worked();
                delivered += part.len();
                continue;
            }
            match next(&mut splits, part.len()) {
                Next::Halve => {
                    let middle = part.start + part.len() / 2;
                    parts.push_front(middle..part.end);
                    parts.push_front(part.start..middle);
                }
                Next::Settle => settled += 1,
                end => return (calls, delivered, settled, Some(end)),
            }
        }
        (calls, delivered, settled, None)
    }

    #[test]
    fn one_bad_change_of_500_is_found_wherever_it_is() {
        for bad in [0, 1, 249, 250, 498, 499] {
            let (calls, delivered, settled, end) = split(500, &[bad], Splits::after_failure);
            assert_eq!((delivered, settled, end), (499, 1, None), "{bad}");
            assert!(calls <= 2 * 10, "{calls}");
            let locked = split(500, &[bad], Splits::after_contention);
            assert_eq!((locked.1, locked.2, locked.3), (499, 1, None), "{bad}");
        }
    }

    #[test]
    fn many_bad_changes_are_found_and_none_is_blamed_for_another() {
        let scattered: Vec<usize> = (0..500).step_by(25).collect();
        assert_eq!(split(500, &scattered, Splits::after_failure).1, 480);
        // So many in a row that splitting stops: what was judged was judged by itself, and at least one was.
        let row: Vec<usize> = (0..400).collect();
        let (calls, delivered, settled, end) = split(500, &row, Splits::after_failure);
        assert_eq!((delivered, end), (0, Some(Next::Stop)));
        assert!(settled >= 1 && calls < 100, "{settled} of {calls}");
    }

    #[test]
    fn a_target_on_which_everything_is_locked_has_failed_after_a_few_calls() {
        let all: Vec<usize> = (0..500).collect();
        let (calls, .., end) = split(500, &all, Splits::after_contention);
        assert_eq!(end, Some(Next::TargetFailed));
        assert!(calls <= 11, "{calls}");
        assert_eq!(Splits::new(1).after_contention(1), Next::Settle);
    }
}
