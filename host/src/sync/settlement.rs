//! Turns the outcome of each delivery of a batch into a status, an attempt count and a pause. Pure functions.

use crate::domain::change::{Failure, FailureKind, Operation, Outcome, Receipt};
use crate::domain::delivery::{Delivery, Event, RetryPolicy, Settlement, Status, after_failure, next_status};

/// Decides what is written about each delivery. `jitter` in `0.0..1.0` spreads the retries.
///
/// # Panics
/// Never: a leased delivery may settle in each of these ways.
#[must_use]
pub fn settlements(
    deliveries: &[Delivery],
    outcomes: Vec<Outcome>,
    retry: &RetryPolicy,
    takes_id: impl Fn(&str) -> bool,
    mut jitter: impl FnMut() -> f64,
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
                    if receipt.remote_id.is_empty() && !delivery.change.operation.ends_record() =>
                {
                    Outcome::Failed(Failure::new(FailureKind::Adapter, "the adapter confirmed it without a remote id"))
                }
                outcome => outcome,
            };
            let mut skipped = None;
            let (event, attempts, failure, receipt) = match outcome {
                Outcome::Applied(receipt) => {
                    // A delete of a record that the target does not have confirms no id. Without a link none is made.
                    // An existing link loses its id and keeps which change was confirmed last. A merge needs a link in
                    // any case: it names the record that stands for the aggregate.
                    let is_linked = delivery.change.link.is_some() || delivery.change.operation == Operation::Merge;
                    let receipt = Some(receipt).filter(|receipt| is_linked || !receipt.remote_id.is_empty());
                    (Event::Confirm, delivery.attempts.saturating_add(1), None, receipt)
                }
                Outcome::Skipped(reason) => {
                    skipped = Some(reason);
                    (Event::Skip, delivery.attempts.saturating_add(1), None, None)
                }
                Outcome::Failed(failure) => {
                    let (event, attempts) = after_failure(failure.kind, delivery.attempts, retry);
                    (event, attempts, Some(failure), None)
                }
            };
            let status = next_status(Status::Processing, event).expect("invariant: a leased delivery may settle");
            // Target-wide failures get no backoff; the breaker delays them.
            let waits_for_target = failure.as_ref().is_some_and(|failure| failure.kind.is_target_wide());
            let pauses = status == Status::Pending && !waits_for_target;
            // A delivery that spent no attempt gets the backoff of a first attempt.
            let spent = if attempts > delivery.attempts { attempts } else { 1 };
            let pause_ms = if pauses { retry.pause_ms(spent, jitter()).max(1) } else { 0 };
            Settlement {
                change_id: delivery.change.change_id,
                key: delivery.change.key.clone(),
                status,
                attempts,
                pause_ms,
                failure,
                skipped,
                merged_into: delivery.survivor_id.clone().filter(|_| receipt.is_some()),
                is_moved: is_moved(delivery, receipt.as_ref()),
                receipt,
                sent: delivery.change.sent(delivery.survivor_id.as_deref()),
            }
        })
        .collect()
}

/// Whether another record stands for the aggregate than before. A merge that is confirmed once more may have another
/// survivor's record, since that one was merged on.
fn is_moved(delivery: &Delivery, receipt: Option<&Receipt>) -> bool {
    let Delivery { change, was_merged, .. } = delivery;
    if receipt.is_some() && (change.operation == Operation::Merge || (*was_merged && !change.operation.ends_record())) {
        return true;
    }
    let before = change.link.as_ref().map(|link| &link.remote_id).filter(|id| !id.is_empty());
    let now = receipt.map(|receipt| &receipt.remote_id).filter(|id| !id.is_empty());
    before.is_some() && now.is_some() && before != now
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::change::{Change, Link, Reference};
    use crate::domain::ids::{AggregateKey, ChangeId};

    fn delivery(operation: Operation, attempts: u32) -> Delivery {
        let change = Change {
            change_id: ChangeId::new(1),
            event_id: String::new(),
            key: AggregateKey::patient("P-1"),
            operation,
            payload: "{}".to_owned(),
            references: Vec::new(),
            survivor: None,
            created_at_ms: 0,
            attempt: attempts + 1,
            link: None,
        };
        Delivery { change, attempts, survivor_id: None, was_merged: false }
    }

    #[test]
    fn a_merge_keeps_the_survivor_that_its_change_names_with_the_id_that_went_out() {
        let mut merge = delivery(Operation::Merge, 0);
        let last = Reference {
            name: "survivor".to_owned(),
            aggregate_type: "patient".to_owned(),
            aggregate_id: "P-3".to_owned(),
            remote_id: Some("33".to_owned()),
        };
        (merge.change.survivor, merge.survivor_id) = (Some(last.clone()), Some("P-2".to_owned()));
        let sent = merge.change.sent(merge.survivor_id.as_deref());
        assert_eq!(sent, [Reference { aggregate_id: "P-2".to_owned(), ..last }]);
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
    fn a_skipped_change_is_finished_with_its_reason() {
        let settlement = settled(&delivery(Operation::Create, 2), Outcome::Skipped("no place for it".to_owned()));
        assert_eq!((settlement.status, settlement.attempts, settlement.pause_ms), (Status::Skipped, 3, 0));
        assert_eq!(settlement.skipped.as_deref(), Some("no place for it"));
        assert!(settlement.failure.is_none() && settlement.receipt.is_none());
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
    fn a_merge_names_its_survivor_and_moves_the_aggregate_as_its_undoing_does() {
        let merge = Delivery { survivor_id: Some("P-2".to_owned()), ..delivery(Operation::Merge, 0) };
        let merged = settled(&merge, applied(""));
        assert_eq!((merged.status, merged.merged_into.as_deref(), merged.is_moved), (Status::Done, Some("P-2"), true));
        assert!(merged.receipt.is_some(), "what refers to it must find the survivor, whatever the target had of it");
        let failed = settled(&merge, Outcome::Failed(Failure::new(FailureKind::Denied, "no")));
        assert_eq!((failed.merged_into, failed.is_moved), (None, false));
        let undone = Delivery { was_merged: true, ..delivery(Operation::Update, 0) };
        let undone = settled(&undone, applied("7"));
        assert_eq!((undone.merged_into, undone.is_moved), (None, true));
        let deleted = settled(&Delivery { was_merged: true, ..delivery(Operation::Delete, 0) }, applied("7"));
        assert!(!deleted.is_moved, "what refers to it keeps the survivor");
    }

    #[test]
    fn an_id_that_does_not_fit_its_column_is_the_adapters_fault() {
        let settlement = settled(&delivery(Operation::Create, 0), applied("abc"));
        assert_eq!(settlement.failure.map(|failure| failure.kind), Some(FailureKind::Adapter));
        assert_eq!(settlement.receipt, None);
    }

    #[test]
    fn a_target_wide_failure_keeps_attempts_and_adds_no_backoff() {
        let outage = Outcome::Failed(Failure::new(FailureKind::Unavailable, "down"));
        let settlement = settled(&delivery(Operation::Create, 3), outage);
        assert_eq!((settlement.status, settlement.attempts, settlement.pause_ms), (Status::Pending, 3, 0));
    }

    #[test]
    fn a_delayed_delivery_keeps_its_attempts_and_waits_shortly() {
        let delayed = Outcome::Failed(Failure::new(FailureKind::Delayed, "locked"));
        let settlement = settled(&delivery(Operation::Create, 9), delayed);
        assert_eq!((settlement.status, settlement.attempts), (Status::Pending, 9));
        assert!(settlement.pause_ms > 0, "it would be claimed again at once");
    }
}
