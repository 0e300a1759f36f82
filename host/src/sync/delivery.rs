//! Delivering one batch: call the adapter, commit at the target only while the lease is ours, and judge what came back.
//!
//! A batch that fails as a whole for a permanent reason (or by which the adapter breaks off) is split in halves again
//! and again, so that one bad change costs about log2(n) extra calls and never holds back the others. Each part is a
//! transaction of its own at the target.

use std::collections::VecDeque;
use std::sync::Arc;

use futures::future::BoxFuture;

use super::supervisor::InForce;
use super::target::{Applied, Called, Target, from_database};
use crate::database::DatabaseError;
use crate::domain::change::{Change, Failure, FailureKind, Operation, Outcome};
use crate::domain::delivery::{Event, RetryPolicy, Settlement, Status, after_failure, next_status};
use crate::plugin::Fence;
use crate::store::{Delivery, Lease, Store};

/// How often a part is applied again when the target's database asks for it, before that is its failure.
const CONTENTION_RUNS_MAX: u32 = 6;

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
    let mut breaks = BreakBudget::new(changes.len());
    let mut adapter_broke = false;
    while let Some(part) = parts.pop_front() {
        match deliver_part(target, in_force, fence, &changes[part.clone()]).await {
            Part::LeaseLost => return Delivered::LeaseLost,
            Part::Outcomes(part_outcomes) => {
                breaks.worked();
                let target_failure = part_outcomes.iter().find_map(target_wide);
                for (place, outcome) in outcomes[part].iter_mut().zip(part_outcomes) {
                    *place = Some(outcome);
                }
                // An adapter that met an outage half-way says so for the changes that it did not get to.
                if let Some(failure) = target_failure {
                    return broken_off(outcomes, failure, adapter_broke);
                }
            }
            Part::Failed(failure) if failure.kind.is_target_wide() => {
                return broken_off(outcomes, failure, adapter_broke);
            }
            Part::Failed(failure) => {
                adapter_broke |= failure.kind == FailureKind::Adapter;
                let divisible = failure.kind.is_permanent() || failure.kind == FailureKind::Adapter;
                if divisible && part.len() > 1 && breaks.may_split() {
                    tracing::debug!(
                        target_name = %target.spec.name,
                        deliveries = part.len(),
                        kind = failure.kind.as_str(),
                        "a part of the batch failed and is split"
                    );
                    let middle = part.start + part.len() / 2;
                    parts.push_front(middle..part.end);
                    parts.push_front(part.start..middle);
                } else {
                    outcomes[part].fill(Some(Outcome::Failed(failure)));
                }
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

fn judged(outcomes: Vec<Option<Outcome>>, target_failure: Option<Failure>, adapter_broke: bool) -> Delivered {
    let outcomes = outcomes.into_iter().map(|outcome| outcome.expect("invariant: every part was judged")).collect();
    Delivered::Judged { outcomes, target_failure, adapter_broke }
}

/// Splitting pays while something works now and then; an adapter or target that fails whatever it is given is not tried
/// a thousand times.
struct BreakBudget {
    allowed: usize,
    in_a_row: usize,
}

impl BreakBudget {
    fn new(changes: usize) -> Self {
        let halvings = changes.max(1).ilog2() as usize + 1;
        Self { allowed: 4 * halvings, in_a_row: 0 }
    }

    fn worked(&mut self) {
        self.in_a_row = 0;
    }

    fn may_split(&mut self) -> bool {
        self.in_a_row += 1;
        self.in_a_row <= self.allowed
    }
}

/// One call, run again a few times while the target's database is contended.
async fn deliver_part(target: &Target, in_force: &InForce, fence: &StoreFence, changes: &[Change]) -> Part {
    let mut run = 1;
    loop {
        match deliver_once(target, in_force, fence, changes).await {
            Err(error) if error.is_contention() && run < CONTENTION_RUNS_MAX => {
                tracing::debug!(target_name = %target.spec.name, run, "contention at the target: applying again");
                tokio::time::sleep(std::time::Duration::from_millis(rand::random_range(5..=(20 << run)))).await;
                run += 1;
            }
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
                transaction.rollback().await?;
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
            let spent = attempts > delivery.attempts;
            let pause_ms = if status == Status::Pending && spent { retry.pause_ms(attempts, luck()).max(1) } else { 0 };
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
    fn one_bad_change_of_500_is_found_within_the_budget() {
        // The longest way to one bad change: every part that holds it fails, its sibling works.
        let mut budget = BreakBudget::new(500);
        let mut size = 500_usize;
        while size > 1 {
            assert!(budget.may_split());
            size = size.div_ceil(2);
            budget.worked();
        }
    }

    #[test]
    fn an_adapter_that_fails_whatever_it_is_given_is_not_tried_a_thousand_times() {
        let mut budget = BreakBudget::new(500);
        let splits = (0..1_000).take_while(|_| budget.may_split()).count();
        assert!(splits < 50, "{splits}");
    }
}
