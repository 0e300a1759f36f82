//! What waiting deliveries wait for, beyond what was never there: what was deleted at the target and comes back.

use host::domain::delivery::Status;
use host::domain::ids::AggregateKey;
use host::store::{Claim, LackingReason, WaitingDelivery};

use crate::on_every_store;
use crate::references::{append, confirm, keys, remote_ids, routed, takes};
use crate::support::{Stand, TARGET, confirmed, dispatch, failed, request};

on_every_store!(
    what_comes_back_after_a_deletion_is_named,
    a_circle_of_what_comes_back_is_named_and_woken_by_nobody,
    what_is_dispatched_directly_is_on_its_way,
);

fn key(aggregate_type: &str, aggregate_id: &str) -> AggregateKey {
    AggregateKey { aggregate_type: aggregate_type.to_owned(), aggregate_id: aggregate_id.to_owned() }
}

async fn waiting(stand: &Stand) -> Vec<WaitingDelivery> {
    stand.store.waiting(TARGET, None, 10).await.expect("waiting")
}

/// What a delivery lacks: the aggregate, whether it was deleted, and the reason.
fn lacks(one: &WaitingDelivery) -> Vec<(&str, bool, &LackingReason)> {
    one.lacks.iter().map(|lack| (lack.key.aggregate_id.as_str(), lack.was_deleted, &lack.reason)).collect()
}

/// What is due only waits again.
async fn nothing_goes_out(stand: &Stand) {
    loop {
        match stand.claim().await {
            Claim::Nothing => return,
            Claim::OnlySuperseded => {}
            Claim::Batch(batch) => panic!("{:?} went out", keys(&batch)),
        }
    }
}

/// Conditions that the target had, and that were deleted there.
async fn deleted(stand: &Stand, ids: &[&str]) {
    takes(stand, &["patient", "condition"]).await;
    for id in ids {
        append(stand, &format!("condition {id}"), "create", &[]).await;
    }
    routed(stand).await;
    confirm(&stand.store, &stand.claim_batch().await).await;
    for id in ids {
        append(stand, &format!("condition {id}"), "delete", &[]).await;
    }
    routed(stand).await;
    let batch = stand.claim_batch().await;
    let gone: Vec<_> = batch.deliveries.iter().map(|delivery| confirmed(delivery, "")).collect();
    stand.store.settle(&batch.lease, &gone, None).await.expect("settle");
}

async fn what_comes_back_after_a_deletion_is_named(stand: Stand) {
    deleted(&stand, &["C-1"]).await;
    append(&stand, "condition C-1", "create", &["subject:patient:P-1"]).await;
    append(&stand, "condition C-2", "create", &["part:condition:C-1"]).await;
    routed(&stand).await;
    nothing_goes_out(&stand).await;
    let found = waiting(&stand).await;
    assert_eq!(found.len(), 2, "{found:?}");
    assert_eq!(lacks(&found[0]), [("P-1", false, &LackingReason::NotWritten)]);
    assert_eq!(lacks(&found[1]), [("C-1", true, &LackingReason::Waits)]);
    assert_eq!(stand.store.wake_all_ready(TARGET).await.expect("wake"), 0, "it would only wait again");

    append(&stand, "patient P-1", "create", &[]).await;
    routed(&stand).await;
    assert_eq!(confirm(&stand.store, &stand.claim_batch().await).await, 1);
    let batch = stand.claim_batch().await;
    assert_eq!(keys(&batch), ["condition C-1"]);
    assert_eq!(lacks(&waiting(&stand).await[0]), [("C-1", true, &LackingReason::Delivery(Status::Processing))]);
    // What failed is no longer on its way, and holds up nothing: the adapter gets the reference without an id.
    let rows = [failed(&batch.deliveries[0], Status::Failed, 0)];
    stand.store.settle(&batch.lease, &rows, None).await.expect("settle");
    assert_eq!(waiting(&stand).await, []);
    assert_eq!(stand.store.wake_all_ready(TARGET).await.expect("wake"), 1);
    assert_eq!(remote_ids(&stand.claim_batch().await), [None]);
}

async fn a_circle_of_what_comes_back_is_named_and_woken_by_nobody(stand: Stand) {
    deleted(&stand, &["C-1", "C-2"]).await;
    append(&stand, "condition C-1", "create", &["part:condition:C-2"]).await;
    append(&stand, "condition C-2", "create", &["part:condition:C-1"]).await;
    routed(&stand).await;
    nothing_goes_out(&stand).await;
    let found = waiting(&stand).await;
    let circle = |ids: [&str; 2]| LackingReason::Circle(ids.map(|id| key("condition", id)).to_vec());
    assert_eq!(found.len(), 2, "{found:?}");
    assert_eq!(lacks(&found[0]), [("C-2", true, &circle(["C-2", "C-1"]))]);
    assert_eq!(lacks(&found[1]), [("C-1", true, &circle(["C-1", "C-2"]))]);
    // A run until idle ends: nobody wakes them in vain.
    assert_eq!(stand.store.wake_all_ready(TARGET).await.expect("wake"), 0);
    assert!(!stand.store.has_due_work(&[TARGET], &[]).await.expect("due"));

    // One of them without its reference opens the circle.
    append(&stand, "condition C-2", "update", &[]).await;
    routed(&stand).await;
    let batch = stand.claim_batch().await;
    assert_eq!((keys(&batch), batch.deliveries[0].change.references.len()), (vec!["condition C-2".to_owned()], 0));
    assert_eq!(confirm(&stand.store, &batch).await, 1);
    assert_eq!(remote_ids(&stand.claim_batch().await), [Some("#C-2")]);
}

async fn what_is_dispatched_directly_is_on_its_way(stand: Stand) {
    takes(&stand, &["patient", "condition"]).await;
    append(&stand, "condition C-1", "create", &["subject:patient:P-1"]).await;
    append(&stand, "patient P-1", "create", &[]).await;
    let mut dispatched = dispatch(&stand.store, 100, &[request(10)]).await;
    let claimed = dispatched.claimed.remove(0).expect("the patient");
    assert_eq!(lacks(&waiting(&stand).await[0]), [("P-1", false, &LackingReason::Delivery(Status::Processing))]);
    let batch = stand.store.load(claimed, &request(10)).await.expect("load").expect("a batch");
    assert_eq!(confirm(&stand.store, &batch).await, 1);
    assert!(matches!(stand.claim().await, Claim::Batch(_)));
}
