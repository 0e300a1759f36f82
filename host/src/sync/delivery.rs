//! Delivering one batch: call the adapter, commit at the target only while the lease is ours, and judge what came back.
//!
//! Only a failure that speaks of the target as a whole stops a batch. Whatever else fails a batch as a whole (a trigger that refuses
//! one row, a lock, an adapter that breaks off) is halved again and again, so that one bad change costs about log2(n) extra
//! calls, spends its own attempts alone and never holds back the others. Each part is a transaction of its own at the
//! target. Splitting is bounded: what it does not get to waits for the next batch and spends no attempt.
//!
//! At an HTTP target a call may end with a request that was sent and never answered. Its changes are then in doubt, but for those
//! with a definite outcome: they are neither split nor sent again here, and whoever settles keeps their lease.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::time::Instant;

use super::splits::{Next, Splits};
use super::supervisor::InForce;
use super::target::{Applied, Called, Target, from_database};
use crate::database::DatabaseError;
use crate::domain::change::{Change, Failure, FailureKind, Operation, Outcome};
use crate::domain::delivery::{Event, RetryPolicy, Settlement, Status, after_failure, next_status};
use crate::plugin::{Fence, RequestFates};
use crate::store::{Delivery, Lease, Store};

/// How often a part is applied again when the target's database asks for it, before that is its failure.
const CONTENTION_RUNS_MAX: u32 = 6;

/// For so long a part is applied again; a lock that is held for longer is found by halving.
const CONTENTION_PATIENCE: Duration = Duration::from_secs(3);

/// What became of a batch.
pub(super) enum Delivered {
    /// One outcome per delivery, in order, and which of them are in doubt. The failure, if there is one, speaks of the target as a
    /// whole.
    Judged { outcomes: Vec<Outcome>, in_doubt: Vec<bool>, target_failure: Option<Failure>, adapter_broke: bool },
    /// The lease was lost: what was not committed is rolled back, and nothing may be settled.
    LeaseLost,
}

/// What became of one part of a batch.
enum Part {
    Outcomes {
        outcomes: Vec<Outcome>,
        in_doubt: bool,
    },
    /// The part as a whole failed, and unless it is in doubt nothing of it lasts.
    Failed {
        failure: Failure,
        in_doubt: bool,
    },
    /// Somebody else's lock or transaction at the target was in the way, and nothing of it lasts.
    Contended(Failure),
    LeaseLost,
}

impl Part {
    fn failed(failure: Failure) -> Self {
        Self::Failed { failure, in_doubt: false }
    }
}

/// Asks the store whether the batch is still ours, and renews the lease if so.
#[derive(Clone)]
pub(super) struct StoreFence {
    pub(super) store: Store,
    pub(super) lease: Lease,
    /// How long a request that is sent now may keep the server at work, in milliseconds.
    pub(super) in_doubt_ms: u64,
    /// What became of the requests of the batch.
    pub(super) fates: RequestFates,
}

impl StoreFence {
    /// Whether the lease stands; if so, it lasts at least `least_ms` from now.
    async fn holds(&self, least_ms: u64) -> bool {
        match self.store.renew_for(&self.lease, least_ms).await {
            Ok(true) => true,
            Ok(false) => {
                tracing::warn!(target_name = %self.lease.target, lease_id = self.lease.id.get(), "fence: the lease was lost");
                false
            }
            Err(error) => {
                tracing::warn!(target_name = %self.lease.target, lease_id = self.lease.id.get(), %error, "fence: the lease cannot be renewed");
                false
            }
        }
    }
}

impl Fence for StoreFence {
    fn renew(&self) -> BoxFuture<'_, bool> {
        Box::pin(self.holds(self.in_doubt_ms))
    }
}

/// Brings a batch to the target.
pub(super) async fn deliver(target: &Target, in_force: &InForce, fence: &StoreFence, changes: &[Change]) -> Delivered {
    let mut judged = Judged { outcomes: vec![None; changes.len()], in_doubt: vec![false; changes.len()] };
    let mut parts = VecDeque::new();
    parts.push_back(0..changes.len());
    let mut splits = Splits::new(changes.len());
    let mut adapter_broke = false;
    while let Some(part) = parts.pop_front() {
        let (failure, next) = match deliver_part(target, in_force, fence, &changes[part.clone()]).await {
            Part::LeaseLost => return Delivered::LeaseLost,
            Part::Outcomes { outcomes, in_doubt } => {
                splits.worked();
                let target_failure = outcomes.iter().find_map(target_wide);
                judged.put(part, outcomes, in_doubt);
                // An adapter that met an outage half-way says so for the changes that it did not get to.
                if let Some(failure) = target_failure {
                    return judged.broken_off(failure, adapter_broke);
                }
                continue;
            }
            Part::Failed { failure, in_doubt } if failure.kind.is_target_wide() => {
                let outcomes = vec![Outcome::Failed(failure.clone()); part.len()];
                judged.put(part, outcomes, in_doubt);
                return judged.broken_off(failure, adapter_broke);
            }
            Part::Failed { failure, in_doubt } => {
                adapter_broke |= failure.kind == FailureKind::Adapter;
                // What was sent is neither split nor sent again here.
                if in_doubt {
                    judged.put(part.clone(), vec![Outcome::Failed(failure); part.len()], true);
                    continue;
                }
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
            Next::Settle => judged.put(part, vec![Outcome::Failed(failure)], false),
            Next::Stop => return judged.stopped(&failure, adapter_broke),
            Next::TargetFailed => {
                let failure = Failure::new(FailureKind::Unavailable, failure.message);
                return judged.broken_off(failure, adapter_broke);
            }
        }
    }
    judged.end(None, adapter_broke)
}

fn target_wide(outcome: &Outcome) -> Option<Failure> {
    match outcome {
        Outcome::Failed(failure) if failure.kind.is_target_wide() => Some(failure.clone()),
        Outcome::Failed(_) | Outcome::Applied(_) => None,
    }
}

/// What is known of a batch so far.
struct Judged {
    outcomes: Vec<Option<Outcome>>,
    in_doubt: Vec<bool>,
}

impl Judged {
    fn put(&mut self, part: Range<usize>, outcomes: Vec<Outcome>, in_doubt: bool) {
        for (place, outcome) in part.zip(outcomes) {
            self.in_doubt[place] = in_doubt && !is_definite(&outcome);
            self.outcomes[place] = Some(outcome);
        }
    }

    /// The target as a whole failed: what was not judged yet waits for it. Nothing of it was sent, so that it is not in doubt.
    fn broken_off(mut self, failure: Failure, adapter_broke: bool) -> Delivered {
        for place in self.outcomes.iter_mut().filter(|place| place.is_none()) {
            *place = Some(Outcome::Failed(failure.clone()));
        }
        self.end(Some(failure), adapter_broke)
    }

    /// Too much failed in a row: what was not tried by itself waits for another batch.
    fn stopped(mut self, failure: &Failure, adapter_broke: bool) -> Delivered {
        let message = format!("not tried by itself yet, since much of its batch failed: {}", failure.message);
        for place in self.outcomes.iter_mut().filter(|place| place.is_none()) {
            *place = Some(Outcome::Failed(Failure::new(FailureKind::Delayed, message.clone())));
        }
        self.end(None, adapter_broke)
    }

    fn end(self, target_failure: Option<Failure>, adapter_broke: bool) -> Delivered {
        let outcomes = self.outcomes.into_iter().map(|outcome| outcome.expect("invariant: every part was judged"));
        Delivered::Judged { outcomes: outcomes.collect(), in_doubt: self.in_doubt, target_failure, adapter_broke }
    }
}

/// Whether the adapter knows what became of the change, whatever became of other requests of its call.
fn is_definite(outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Applied(_) => true,
        Outcome::Failed(failure) => failure.kind.is_permanent(),
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
            Err(error) => return Part::failed(from_database(&error)),
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
    let permit = (Arc::new(fence.clone()) as Arc<dyn Fence>, &fence.fates);
    let applied = target.apply(&in_force.adapter, &in_force.state, permit, changes).await;
    let (called, transaction, in_doubt) = match applied {
        Applied::Broken(error) => return Err(error),
        Applied::LeaseLost => return Ok(Part::LeaseLost),
        Applied::Sent { called, in_doubt } => (called, None, in_doubt),
        Applied::InTransaction(called, transaction) => (called, transaction, false),
    };
    let outcomes = match called {
        Called::Answered(Ok(outcomes)) => outcomes,
        Called::Answered(Err(failure)) => {
            if let Some(transaction) = transaction {
                // What cannot be rolled back is closed, which undoes it as well; the failure is what counts.
                transaction.rollback().await.ok();
            }
            return Ok(Part::Failed { failure, in_doubt });
        }
        // A transaction that is dropped is rolled back by the server.
        Called::Broke(error) => {
            let failure = Failure::new(FailureKind::Adapter, error.to_string());
            return Ok(Part::Failed { failure, in_doubt });
        }
    };
    if let Some(transaction) = transaction {
        if !fence.holds(0).await {
            transaction.rollback().await?;
            return Ok(Part::LeaseLost);
        }
        transaction.commit().await?;
    }
    Ok(Part::Outcomes { outcomes, in_doubt })
}

/// What is written about each delivery. `luck` in `0.0..1.0` spreads the retries.
///
/// # Panics
/// Never: a leased delivery may settle in each of these ways.
#[must_use]
pub fn settlements(
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
                    // A delete of what is not at the target has no id. Without a link it leaves none; a link that there is loses its
                    // id, and keeps which change was confirmed last.
                    let is_linked = delivery.change.link.is_some();
                    let receipt = Some(receipt).filter(|receipt| is_linked || !receipt.remote_id.is_empty());
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
    use crate::domain::change::{Link, Receipt};

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

    #[test]
    fn only_what_is_not_known_is_in_doubt() {
        use FailureKind::{Adapter, Conflict, Invalid, Misconfigured, Throttled, Transient, Unavailable};
        let outcomes = |kinds: &[FailureKind]| -> Vec<_> {
            let failed = kinds.iter().map(|kind| Outcome::Failed(Failure::new(*kind, "no")));
            std::iter::once(applied("1")).chain(failed).collect()
        };
        for (what, kinds, in_doubt, expected) in [
            ("a definite outcome", &[Invalid, Conflict][..], true, &[false, false, false][..]),
            ("what may pass", &[Unavailable, Throttled, Misconfigured], true, &[false, true, true, true]),
            ("what spends an attempt", &[Transient, Adapter], true, &[false, true, true]),
            ("every request was answered", &[Unavailable, Transient], false, &[false, false, false]),
        ] {
            let outcomes = outcomes(kinds);
            let mut judged = Judged { outcomes: vec![None; outcomes.len()], in_doubt: vec![false; outcomes.len()] };
            judged.put(0..outcomes.len(), outcomes, in_doubt);
            assert_eq!(judged.in_doubt, expected, "{what}");
        }
    }

    #[test]
    fn what_was_never_sent_is_not_in_doubt() {
        let outage = Failure::new(FailureKind::Unavailable, "connection broke");
        let mut judged = Judged { outcomes: vec![None; 3], in_doubt: vec![false; 3] };
        judged.put(0..1, vec![Outcome::Failed(outage.clone())], true);
        let Delivered::Judged { in_doubt, outcomes, .. } = judged.broken_off(outage, false) else { panic!("lost") };
        assert_eq!(in_doubt, [true, false, false]);
        assert!(outcomes.iter().all(|outcome| matches!(outcome, Outcome::Failed(_))));
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
        let mut linked = delivery(Operation::Delete, 0);
        linked.change.link = Some(Link { remote_id: "7".to_owned(), remote_version: None, fingerprint: None });
        let emptied = settled(&linked, applied(""));
        assert_eq!(emptied.receipt.map(|receipt| receipt.remote_id).as_deref(), Some(""), "the link is emptied");
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
}
