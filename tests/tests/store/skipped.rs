//! Skipped deliveries: final, counted, listed with a reason, tried again when an operator or a new adapter wants it.

use host::domain::delivery::{Delivery, Settlement, Status};
use host::domain::ids::AggregateKey;
use host::store::{AdapterEvent, Claim, PurgeCursor, RetryFilter, Settled};

use crate::on_every_store;
use crate::support::{Stand, TARGET, confirmed, patient, settlement, target_name};

on_every_store!(
    a_skipped_delivery_is_finished_with_its_reason,
    skipped_deliveries_can_be_retried,
    a_new_adapter_gets_the_deliveries_that_its_predecessor_skipped,
    a_newer_state_supersedes_a_skipped_one,
    retention_deletes_skipped_deliveries,
);

const REASON: &str = "there is no table for laboratory results";

fn skipped(delivery: &Delivery) -> Settlement {
    Settlement { skipped: Some(REASON.to_owned()), ..settlement(delivery, Status::Skipped) }
}

fn of_patient(number: u32) -> RetryFilter {
    RetryFilter { aggregate: Some(AggregateKey::patient(format!("P-{number:04}"))), ..RetryFilter::default() }
}

/// Three patients of whom the first is done and the others are skipped, one of them by direct dispatch.
async fn with_two_skipped(stand: &Stand) {
    stand.put(&(1..=3).map(|number| patient(number, "Busan")).collect::<Vec<_>>()).await;

    let batch = stand.claim_batch().await;
    let settlements: Vec<_> = batch
        .deliveries
        .iter()
        .map(|delivery| match delivery.change.key.aggregate_id.as_str() {
            "P-0001" => confirmed(delivery, "1"),
            _ => skipped(delivery),
        })
        .collect();
    assert_eq!(stand.store.settle(&batch.lease, &settlements, None).await.expect("settle"), Settled::Written);
}

async fn a_skipped_delivery_is_finished_with_its_reason(stand: Stand) {
    with_two_skipped(&stand).await;
    let counts = stand.counts().await;
    assert_eq!((counts.done, counts.skipped, counts.failed, counts.pending, counts.processing), (1, 2, 0, 0, 0));
    let listed = stand.store.skipped(&RetryFilter::default(), 100).await.expect("list");
    let shown: Vec<_> = listed.iter().map(|one| (one.key.aggregate_id.as_str(), one.message.as_deref())).collect();
    assert_eq!(shown, [("P-0002", Some(REASON)), ("P-0003", Some(REASON))]);
    assert!(listed.iter().all(|one| one.kind.is_none() && one.attempts == 1 && one.failed_at.is_some()));
    assert!(stand.store.failed(&RetryFilter::default(), 100).await.expect("failed").is_empty());
    assert!(matches!(stand.claim().await, Claim::Nothing), "nothing is due");
    assert_eq!(stand.store.open_work().await.expect("open"), 0, "and a run until idle ends");
    assert_eq!(stand.store.retry(&RetryFilter::default()).await.expect("retry"), 0, "it did not fail");
}

async fn skipped_deliveries_can_be_retried(stand: Stand) {
    with_two_skipped(&stand).await;
    assert_eq!(stand.store.count_skipped(&RetryFilter::default()).await.expect("count"), 2);
    assert_eq!(stand.store.retry_skipped(&of_patient(1)).await.expect("retry"), 0, "it is done");
    assert_eq!(stand.store.retry_skipped(&of_patient(2)).await.expect("retry"), 1);
    let counts = stand.counts().await;
    assert_eq!((counts.skipped, counts.pending), (1, 1));
    let batch = stand.claim_batch().await;
    let [delivery] = &batch.deliveries[..] else { panic!("one delivery") };
    assert_eq!((delivery.change.key.aggregate_id.as_str(), delivery.attempts), ("P-0002", 0));
    assert_eq!(
        stand.store.settle(&batch.lease, &[confirmed(delivery, "2")], None).await.expect("settle"),
        Settled::Written
    );
    assert_eq!(stand.store.retry_skipped(&RetryFilter::default()).await.expect("retry"), 1, "the other one");
    let counts = stand.counts().await;
    assert_eq!((counts.done, counts.skipped, counts.pending), (2, 0, 1));
}

async fn a_new_adapter_gets_the_deliveries_that_its_predecessor_skipped(stand: Stand) {
    let target = target_name(TARGET);
    let event =
        |sha256| AdapterEvent { target: &target, name: "a", version: "1", sha256, reason: None, host: "host-a" };
    stand.store.activate_adapter(&event("a1"), b"one").await.expect("activate");
    with_two_skipped(&stand).await;
    stand.store.activate_adapter(&event("a1"), b"one").await.expect("again");
    assert_eq!(stand.counts().await.skipped, 2, "it is the same adapter");
    stand.store.activate_adapter(&event("b2"), b"two").await.expect("another");
    let counts = stand.counts().await;
    assert_eq!((counts.skipped, counts.pending), (0, 2));
}

async fn a_newer_state_supersedes_a_skipped_one(stand: Stand) {
    with_two_skipped(&stand).await;
    stand.put(&[patient(2, "Daegu")]).await;

    let batch = stand.claim_batch().await;
    let settlements: Vec<_> = batch.deliveries.iter().map(|delivery| confirmed(delivery, "2")).collect();
    assert_eq!(stand.store.settle(&batch.lease, &settlements, None).await.expect("settle"), Settled::Written);
    assert_eq!(stand.store.retry_skipped(&of_patient(2)).await.expect("retry"), 1);
    assert!(matches!(stand.claim().await, Claim::OnlySuperseded | Claim::Nothing), "an older state is never delivered");
    let counts = stand.counts().await;
    assert_eq!((counts.done, counts.superseded, counts.skipped, counts.pending), (2, 1, 1, 0));
}

async fn retention_deletes_skipped_deliveries(stand: Stand) {
    with_two_skipped(&stand).await;
    stand.pass(1_000);
    let purged = stand.store.purge_deliveries(TARGET, 500, PurgeCursor::default()).await.expect("purge");
    assert_eq!(purged.deleted, 3);
    let counts = stand.counts().await;
    assert_eq!((counts.done, counts.skipped, counts.pending), (0, 0, 0));
}
