//! What an operator decides about conflicts, and blocked keys.

use host::domain::change::{Failure, FailureKind};
use host::domain::conflict::Resolution;
use host::domain::delivery::{Delivery, Status};
use host::domain::ids::AggregateKey;
use host::store::{Claim, ClaimRequest, ConflictKey, Resolved, RetryFilter};

use crate::on_every_store;
use crate::references;
use crate::support::{Stand, TARGET, confirmed, failed, patient, request, settlement, target_name};

on_every_store!(
    keep_local_delivers_again_as_if_never_confirmed,
    keep_remote_supersedes_the_change_and_clears_the_edit,
    keep_remote_stores_the_fingerprint_of_the_record,
    keep_local_keeps_the_link_to_an_existing_record,
    relink_sets_the_record_of_the_link,
    relink_sends_what_refers_to_the_record_again,
    keep_local_sends_what_refers_to_a_forgotten_record_again,
    another_patients_record_is_not_linked_twice,
    only_a_conflict_is_resolved_and_only_once,
    a_newer_state_ends_a_conflict,
    blocked_keys_are_listed_with_their_waiting_changes,
);

async fn resolve_to(stand: &Stand, resolution: &Resolution) -> Resolved {
    let (target, aggregate) = (target_name(TARGET), AggregateKey::patient("P-0001"));
    let key = ConflictKey { target: &target, aggregate: &aggregate };
    stand.store.resolve_conflict(key, resolution).await.expect("resolve")
}

fn conflict(delivery: &Delivery, message: &str) -> host::domain::delivery::Settlement {
    let failure = Failure::new(FailureKind::Conflict, message);
    host::domain::delivery::Settlement { failure: Some(failure), ..settlement(delivery, Status::Failed) }
}

const EDITED: &str = "the chart with pid 456 was edited";

/// A patient who is linked to 456, and whose second change is a conflict.
async fn in_conflict(stand: &Stand) {
    in_conflict_by(stand, EDITED).await;
}

async fn in_conflict_by(stand: &Stand, message: &str) {
    stand.put(&[patient(1, "Seoul")]).await;
    let batch = stand.claim_batch().await;
    stand.store.settle(&batch.lease, &[confirmed(&batch.deliveries[0], "456")], None).await.expect("settle");
    stand.put(&[patient(1, "Busan")]).await;
    let batch = stand.claim_batch().await;
    stand.store.settle(&batch.lease, &[conflict(&batch.deliveries[0], message)], None).await.expect("settle");
}

async fn resolve(stand: &Stand, resolution: Resolution) -> bool {
    resolve_to(stand, &resolution).await == Resolved::Decided
}

async fn keep_local_delivers_again_as_if_never_confirmed(stand: Stand) {
    in_conflict(&stand).await;
    let listed = stand.store.conflicts(None, None, 10).await.expect("list");
    assert_eq!(listed.len(), 1);
    assert_eq!((listed[0].key.aggregate_id.as_str(), listed[0].remote_id.as_deref()), ("P-0001", Some("456")));
    assert_eq!(listed[0].message.as_deref(), Some("the chart with pid 456 was edited"));
    assert!(stand.store.conflicts(Some("another"), None, 10).await.expect("list").is_empty());
    let of_another_type = AggregateKey { aggregate_type: "lab".to_owned(), aggregate_id: "P-0001".to_owned() };
    for (key, expected) in
        [(AggregateKey::patient("P-0001"), 1), (AggregateKey::patient("P-0002"), 0), (of_another_type, 0)]
    {
        assert_eq!(stand.store.conflicts(None, Some(&key), 10).await.expect("list").len(), expected, "{key}");
    }
    assert_eq!(stand.store.count_conflicts().await.expect("count"), 1);
    assert!(resolve(&stand, Resolution::Local).await);
    assert_eq!(stand.store.count_conflicts().await.expect("count"), 0);
    let batch = stand.claim_batch().await;
    assert!(batch.deliveries[0].change.payload.contains("Busan"));
    assert_eq!((batch.deliveries[0].change.link.as_ref(), batch.deliveries[0].attempts), (None, 0));
}

async fn keep_remote_supersedes_the_change_and_clears_the_edit(stand: Stand) {
    in_conflict(&stand).await;
    assert!(resolve(&stand, Resolution::Remote).await);
    assert!(matches!(stand.claim().await, Claim::Nothing));
    let counts = stand.counts().await;
    assert_eq!((counts.failed, counts.superseded, counts.done), (0, 1, 1));
    stand.put(&[patient(1, "Incheon")]).await;
    let link = stand.claim_batch().await.deliveries[0].change.link.clone().expect("link");
    assert_eq!((link.remote_id.as_str(), link.fingerprint.as_deref()), ("456", Some("")));
    assert_eq!(link.remote_version.as_deref(), Some("1"));
}

async fn keep_remote_stores_the_fingerprint_of_the_record(stand: Stand) {
    in_conflict_by(&stand, "the chart with pid 456 was edited [holds kept:1.ab:1.cd]").await;
    let listed = stand.store.conflicts(None, None, 10).await.expect("list");
    assert_eq!(listed[0].message.as_deref(), Some(EDITED), "the fingerprint is not for people");
    let failed = stand.store.failed(&RetryFilter::default(), 10).await.expect("list");
    assert_eq!(failed[0].message.as_deref(), Some(EDITED), "nor is it in any other list");
    assert!(resolve(&stand, Resolution::Remote).await);
    stand.put(&[patient(1, "Incheon")]).await;
    let link = stand.claim_batch().await.deliveries[0].change.link.clone().expect("link");
    assert_eq!((link.remote_id.as_str(), link.fingerprint.as_deref()), ("456", Some("kept:1.ab:1.cd")));
}

async fn keep_local_keeps_the_link_to_an_existing_record(stand: Stand) {
    in_conflict_by(&stand, "the chart with pid 456 was edited [holds kept:1.ab:1.cd]").await;
    assert!(resolve(&stand, Resolution::Local).await);
    let batch = stand.claim_batch().await;
    assert!(batch.deliveries[0].change.payload.contains("Busan"));
    let link = batch.deliveries[0].change.link.clone().expect("a forgotten link may end in a second record");
    assert_eq!((link.remote_id.as_str(), link.remote_version, link.fingerprint), ("456", None, None));
}

async fn relink_sets_the_record_of_the_link(stand: Stand) {
    in_conflict(&stand).await;
    assert!(resolve(&stand, Resolution::Relink { remote_id: "77".to_owned() }).await);
    let batch = stand.claim_batch().await;
    let link = batch.deliveries[0].change.link.clone().expect("link");
    assert_eq!((link.remote_id.as_str(), link.remote_version, link.fingerprint), ("77", None, None));
    stand.store.settle(&batch.lease, &[confirmed(&batch.deliveries[0], "77")], None).await.expect("settle");
    assert_eq!(stand.counts().await.done, 2);
}

/// As [`in_conflict`], with an encounter of the patient that was delivered before.
async fn in_conflict_with_an_encounter(stand: &Stand) {
    references::takes(stand, &["patient", "encounter"]).await;
    stand.put(&[patient(1, "Seoul")]).await;
    let batch = stand.claim_batch().await;
    stand.store.settle(&batch.lease, &[confirmed(&batch.deliveries[0], "456")], None).await.expect("settle");
    references::append(stand, "encounter E-1", "create", &["subject:patient:P-0001"]).await;
    references::routed(stand).await;
    let batch = stand.claim_batch().await;
    assert_eq!(references::remote_ids(&batch), [Some("456")]);
    references::confirm(&stand.store, &batch).await;
    stand.put(&[patient(1, "Busan")]).await;
    let batch = stand.claim_batch().await;
    stand.store.settle(&batch.lease, &[conflict(&batch.deliveries[0], EDITED)], None).await.expect("settle");
}

async fn relink_sends_what_refers_to_the_record_again(stand: Stand) {
    in_conflict_with_an_encounter(&stand).await;
    assert!(resolve(&stand, Resolution::Relink { remote_id: "77".to_owned() }).await);
    // Before the patient is delivered: that delivery confirms the id that the link has by then.
    let batch = stand.claim_batch().await;
    assert_eq!(references::keys(&batch), ["encounter E-1", "patient P-0001"]);
    assert_eq!(references::remote_ids(&batch), [Some("77")]);
}

async fn keep_local_sends_what_refers_to_a_forgotten_record_again(stand: Stand) {
    in_conflict_with_an_encounter(&stand).await;
    assert!(resolve(&stand, Resolution::Local).await);
    let waiting = stand.store.waiting(TARGET, None, 10).await.expect("waiting");
    let waiting: Vec<_> = waiting.iter().map(|one| one.key.aggregate_id.as_str()).collect();
    assert_eq!(waiting, ["E-1"]);
    let batch = stand.claim_batch().await;
    assert_eq!(references::keys(&batch), ["patient P-0001"]);
    references::confirm(&stand.store, &batch).await;
    let batch = stand.claim_batch().await;
    assert_eq!(
        (references::keys(&batch), references::remote_ids(&batch)),
        (vec!["encounter E-1".to_owned()], vec![Some("#P-0001")])
    );
}

async fn another_patients_record_is_not_linked_twice(stand: Stand) {
    in_conflict(&stand).await;
    stand.put(&[patient(2, "Seoul")]).await;
    let batch = stand.claim_batch().await;
    stand.store.settle(&batch.lease, &[confirmed(&batch.deliveries[0], "77")], None).await.expect("settle");
    let relink = |remote_id: &str| Resolution::Relink { remote_id: remote_id.to_owned() };
    let resolved = resolve_to(&stand, &relink("77")).await;
    assert_eq!(resolved, Resolved::TakenBy("P-0002".to_owned()));
    assert_eq!(stand.store.count_conflicts().await.expect("count"), 1, "it waits for a better decision");
    assert!(resolve(&stand, relink("456")).await, "its own");
}

async fn only_a_conflict_is_resolved_and_only_once(stand: Stand) {
    assert!(!resolve(&stand, Resolution::Local).await, "nothing is there");
    in_conflict(&stand).await;
    assert!(resolve(&stand, Resolution::Local).await);
    assert!(!resolve(&stand, Resolution::Remote).await, "it is decided");
    let batch = stand.claim_batch().await;
    stand.store.settle(&batch.lease, &[failed(&batch.deliveries[0], Status::Failed, 0)], None).await.expect("settle");
    for resolution in [Resolution::Local, Resolution::Remote, Resolution::Relink { remote_id: "1".to_owned() }] {
        assert!(!resolve(&stand, resolution).await, "it failed for another reason");
    }
    assert_eq!(stand.counts().await.failed, 1);
}

async fn a_newer_state_ends_a_conflict(stand: Stand) {
    in_conflict(&stand).await;
    stand.put(&[patient(1, "Incheon")]).await;
    let batch = stand.claim_batch().await;
    assert!(stand.store.conflicts(None, None, 10).await.expect("list").is_empty(), "the newer state is tried first");
    stand.store.settle(&batch.lease, &[conflict(&batch.deliveries[0], EDITED)], None).await.expect("settle");
    assert_eq!(stand.store.conflicts(None, None, 10).await.expect("list").len(), 1, "one patient, one conflict");
}

async fn blocked_keys_are_listed_with_their_waiting_changes(stand: Stand) {
    let fifo = vec!["patient".to_owned()];
    for city in ["Seoul", "Busan", "Incheon"] {
        stand.put(&[patient(1, city)]).await;
    }
    stand.put(&[patient(2, "Seoul")]).await;
    let request = ClaimRequest { fifo_types: fifo.clone(), ..request(100) };
    let Claim::Batch(batch) = stand.store.claim(&request).await.expect("claim") else { panic!("no batch") };
    let rows: Vec<_> = batch.deliveries.iter().map(|delivery| failed(delivery, Status::Failed, 0)).collect();
    stand.store.settle(&batch.lease, &rows, None).await.expect("settle");
    let blocked = stand.store.blocked_keys(&fifo, 10).await.expect("blocked");
    assert_eq!(blocked.len(), 1, "nothing waits behind the other failure");
    assert_eq!((blocked[0].key.aggregate_id.as_str(), blocked[0].waiting), ("P-0001", 2));
    assert_eq!(blocked[0].error_kind.as_deref(), Some("invalid"));
    assert!(stand.store.blocked_keys(&[], 10).await.expect("blocked").is_empty());
}
