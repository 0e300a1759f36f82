//! What waiting deliveries wait for, beyond what was never there: what was deleted at the target and comes back.

use host::domain::clinical::ClinicalRecord;
use host::domain::delivery::Status;
use host::domain::ids::AggregateKey;
use host::domain::references::NamedReference;
use host::service::ClinicalService;
use host::store::{Claim, LackingReason, WaitingDelivery};
use serde_json::json;

use crate::on_every_store;
use crate::references::{append, confirm, keys, remote_ids, routed, takes};
use crate::support::{
    FIFO_TYPE, Stand, TARGET, confirmed, dispatch, dispatch_along, failed, patient, request, target_name,
};

on_every_store!(
    what_comes_back_after_a_deletion_is_named,
    a_circle_of_what_comes_back_is_named_and_woken_by_nobody,
    what_is_dispatched_directly_is_on_its_way,
    of_what_waits_only_the_newest_state_waits_on,
    every_event_of_an_ordered_type_waits,
    what_waits_at_a_target_that_the_router_lacks_is_left_alone,
    a_record_that_is_sent_again_while_it_waits_waits_once,
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

/// The payloads of what waits for a patient who is not there, and of what goes out once he is.
async fn then_the_patient_comes(stand: &Stand) -> Vec<String> {
    append(stand, "patient P-1", "create", &[]).await;
    routed(stand).await;
    confirm(&stand.store, &stand.claim_batch().await).await;
    let mut delivered = Vec::new();
    loop {
        match stand.claim().await {
            Claim::Nothing => return delivered,
            Claim::OnlySuperseded => {}
            Claim::Batch(batch) => {
                delivered.extend(batch.deliveries.iter().map(|one| one.change.change_id.get().to_string()));
                confirm(&stand.store, &batch).await;
            }
        }
    }
}

async fn of_what_waits_only_the_newest_state_waits_on(stand: Stand) {
    takes(&stand, &["patient", "encounter"]).await;
    // Several in one step of the router, then one by one.
    for _ in 0..3 {
        append(&stand, "encounter E-1", "update", &["subject:patient:P-1"]).await;
    }
    append(&stand, "encounter e-1", "create", &["subject:patient:P-1"]).await;
    routed(&stand).await;
    for _ in 0..2 {
        append(&stand, "encounter E-1", "update", &["subject:patient:P-1"]).await;
        routed(&stand).await;
    }
    let listed = waiting(&stand).await;
    assert_eq!(listed.iter().map(|one| one.key.aggregate_id.as_str()).collect::<Vec<_>>(), ["e-1", "E-1"]);
    let newest: Vec<_> = listed.iter().map(|one| one.change_id.get().to_string()).collect();
    let counts = stand.counts().await;
    assert_eq!((counts.pending, counts.superseded), (2, 4));
    assert_eq!(then_the_patient_comes(&stand).await, newest);
    let counts = stand.counts().await;
    assert_eq!((counts.pending, counts.done, counts.superseded), (0, 3, 4));
}

async fn every_event_of_an_ordered_type_waits(stand: Stand) {
    takes(&stand, &["patient", FIFO_TYPE]).await;
    for _ in 0..3 {
        append(&stand, &format!("{FIFO_TYPE} M-1"), "create", &["subject:patient:P-1"]).await;
        routed(&stand).await;
    }
    assert_eq!(waiting(&stand).await.len(), 3);
    assert_eq!(stand.counts().await.superseded, 0);
}

async fn what_waits_at_a_target_that_the_router_lacks_is_left_alone(stand: Stand) {
    takes(&stand, &["patient", "encounter"]).await;
    let routes = stand.store.routes().await.expect("routes");
    let others = routes.in_order([target_name("fhir")].into(), Vec::new());
    for _ in 0..2 {
        append(&stand, "encounter E-1", "update", &["subject:patient:P-1"]).await;
        dispatch_along(&stand.store, &others, 10, &[]).await;
    }
    assert_eq!(waiting(&stand).await.len(), 2, "another host may deliver every change of it");
}

async fn a_record_that_is_sent_again_while_it_waits_waits_once(stand: Stand) {
    takes(&stand, &["patient", "encounter"]).await;
    let target = target_name(TARGET);
    let subject = NamedReference {
        name: "subject".to_owned(),
        aggregate_type: "patient".to_owned(),
        aggregate_id: "P-0001".to_owned(),
    };
    let put = async |status: &str| {
        let period = json!({ "start": "2026-01-01T09:00:00+09:00" });
        let payload = json!({ "status": status, "class": "AMB", "period": period });
        let record = ClinicalRecord::new(key("encounter", "E-1"), payload, vec![subject.clone()]).expect("valid");
        ClinicalService::new(stand.store.clone()).put(&[record]).await.expect("put");
        routed(&stand).await;
    };
    put("planned").await;
    put("in-progress").await;
    for _ in 0..2 {
        assert!(stand.store.resync_record(&target, &key("encounter", "E-1")).await.expect("resync"));
        assert_eq!(waiting(&stand).await.len(), 1);
    }
    let counts = stand.counts().await;
    assert_eq!((counts.pending, counts.superseded), (1, 3));

    stand.put(&[patient(1, "Seoul")]).await;
    confirm(&stand.store, &stand.claim_batch().await).await;
    let batch = stand.claim_batch().await;
    assert_eq!((keys(&batch), remote_ids(&batch)), (vec!["encounter E-1".to_owned()], vec![Some("#P-0001")]));
    assert!(batch.deliveries[0].change.payload.contains("in-progress"));
    confirm(&stand.store, &batch).await;
    nothing_goes_out(&stand).await;
    let counts = stand.counts().await;
    assert_eq!((counts.pending, counts.done, counts.superseded), (0, 2, 3));
}
