//! Resyncs of what was changed since a time, and of listed patients.

use std::collections::BTreeSet;

use host::domain::clinical::ClinicalRecord;
use host::domain::ids::AggregateKey;
use host::domain::references::NamedReference;
use host::service::{ClinicalService, PatientService};
use host::store::{HostRecord, NewMerge, Resend, ResendScope};
use serde_json::json;

use crate::on_every_store;
use crate::support::{Stand, TARGET, confirmed, patient, route, target_name};

on_every_store!(
    patients_that_were_written_since_are_queued_and_no_others,
    a_merge_and_its_undoing_count_as_changes,
    records_that_were_written_since_are_queued_and_no_others,
    states_of_the_outbox_that_are_older_are_not_sent_again,
    patients_are_known_by_their_deliveries_and_links,
);

/// The patients that a resync queues, page by page.
async fn queued_since(stand: &Stand, since: i64) -> Vec<String> {
    let (target, mut after, mut queued) = (target_name(TARGET), None, Vec::new());
    loop {
        let page = stand.store.resync_page(&target, after.as_deref(), Some(since), 1).await.expect("resync");
        let Some((last, count)) = page else { return queued };
        assert_eq!(count, 1);
        queued.push(last.clone());
        after = Some(last);
    }
}

fn encounter(id: &str) -> ClinicalRecord {
    let key = AggregateKey { aggregate_type: "encounter".to_owned(), aggregate_id: id.to_owned() };
    let AggregateKey { aggregate_type, aggregate_id } = AggregateKey::patient("P-0001");
    let subject = NamedReference { name: "subject".to_owned(), aggregate_type, aggregate_id };
    let period = json!({ "start": "2026-01-01T09:00:00+09:00" });
    let payload = json!({ "status": "planned", "class": "AMB", "period": period });
    ClinicalRecord::new(key, payload, vec![subject]).expect("valid")
}

async fn deliver_all(stand: &Stand) {
    let batch = stand.claim_batch().await;
    let rows: Vec<_> = batch.deliveries.iter().map(|delivery| confirmed(delivery, "7")).collect();
    stand.store.settle(&batch.lease, &rows, None).await.expect("settle");
}

async fn patients_that_were_written_since_are_queued_and_no_others(stand: Stand) {
    stand.put(&[patient(1, "Seoul"), patient(2, "Seoul"), patient(3, "Seoul")]).await;
    stand.pass(5_000);
    let since = stand.now();
    stand.put(&[patient(2, "Busan"), patient(3, "Seoul"), patient(4, "Seoul")]).await;
    deliver_all(&stand).await;
    stand.pass(1_000);
    assert_eq!(queued_since(&stand, since).await, ["P-0002", "P-0004"], "one was written without a change");
    assert_eq!(stand.counts().await.pending, 2);
    deliver_all(&stand).await;
    assert_eq!(queued_since(&stand, since + 1).await, [""; 0], "neither a delivery nor a resync is a change");
    let everybody = stand.store.resync_page(&target_name(TARGET), None, None, 10).await.expect("resync");
    assert_eq!(everybody, Some(("P-0004".to_owned(), 4)));
}

async fn a_merge_and_its_undoing_count_as_changes(stand: Stand) {
    stand.put(&[patient(1, "Seoul"), patient(2, "Seoul")]).await;
    stand.pass(5_000);
    let merged_at = stand.now();
    let service = PatientService::new(stand.store.clone());
    let merge = NewMerge { patient_id: "P-0001", survivor_id: "P-0002", reason: "twice", merged_by: "kim" };
    service.merge(&merge).await.expect("merge");
    assert_eq!(queued_since(&stand, merged_at).await, ["P-0001"]);
    stand.pass(5_000);
    assert_eq!(queued_since(&stand, stand.now()).await, [""; 0]);
    service.unmerge("P-0001").await.expect("unmerge").expect("it was merged");
    assert_eq!(queued_since(&stand, stand.now()).await, ["P-0001"]);
}

async fn records_that_were_written_since_are_queued_and_no_others(stand: Stand) {
    let types = ["patient", "encounter"].map(str::to_owned);
    let host = HostRecord {
        id: "host-a".to_owned(),
        targets: [(target_name(TARGET), BTreeSet::from(types.clone()))].into(),
        ..HostRecord::default()
    };
    stand.store.register_host(&host).await.expect("register");
    stand.put(&[patient(1, "Seoul")]).await;
    let service = ClinicalService::new(stand.store.clone());
    service.put(&[encounter("E-1"), encounter("E-2")]).await.expect("put");
    stand.pass(5_000);
    let since = stand.now();
    service.put(&[encounter("E-2"), encounter("E-3")]).await.expect("put");
    let target = target_name(TARGET);
    let page = async |since| stand.store.resync_records_page(&target, &types, None, since, 10).await.expect("page");
    let last = AggregateKey { aggregate_type: "encounter".to_owned(), aggregate_id: "E-3".to_owned() };
    assert_eq!(page(Some(since)).await, Some((last.clone(), 1)), "one was written without a change");
    assert_eq!(page(Some(since + 1)).await, None);
    assert_eq!(page(None).await, Some((last, 3)));
}

async fn states_of_the_outbox_that_are_older_are_not_sent_again(stand: Stand) {
    let write = async |id: &str, created_at: i64| {
        let row = format!(
            "INSERT INTO sync_outbox (aggregate_type, aggregate_id, operation, payload, created_at) \
             VALUES ('patient', '{id}', 'update', '{{}}', {created_at})"
        );
        stand.database.execute(&row).await.expect("insert");
    };
    let old = stand.now();
    // The newest change of the first is old, that of the second new; the third was written long ago and routed late.
    for id in ["D-1", "D-2"] {
        write(id, old).await;
    }
    route(&stand.store, 10).await;
    stand.pass(5_000);
    let since = stand.now();
    write("D-2", since).await;
    write("D-3", old).await;
    route(&stand.store, 10).await;
    deliver_all(&stand).await;
    let resend = async |since: i64| {
        let scope = ResendScope::Types(vec!["patient".to_owned()]);
        let mut walk = Resend::new(target_name(TARGET), scope, None).changed_since(since);
        while stand.store.resend_step(&mut walk).await.expect("resend").is_some() {}
        walk.counts().queued
    };
    assert_eq!(resend(since + 1).await, 0);
    assert_eq!(resend(since).await, 2, "the second and the third");
    deliver_all(&stand).await;
    assert_eq!(resend(i64::MIN).await, 3);
}

async fn patients_are_known_by_their_deliveries_and_links(stand: Stand) {
    stand.put(&[patient(1, "Seoul")]).await;
    let link = format!(
        "INSERT INTO sync_link (target, aggregate_type, aggregate_id, remote_id, delivered_outbox_id, synced_at) \
         VALUES ('{TARGET}', 'patient', 'D-1', '7', 1, 1), ('{TARGET}', 'lab', 'D-2', '8', 1, 1)"
    );
    stand.database.execute(&link).await.expect("insert");
    let known = stand.store.known_patients(&["P-0001", "p-0001", "D-1", "D-2", "D-3"]).await.expect("look");
    assert_eq!(known.into_iter().collect::<BTreeSet<_>>(), BTreeSet::from(["D-1", "P-0001"].map(str::to_owned)));
}
