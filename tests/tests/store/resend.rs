//! Sending again what only the outbox holds: the newest state of each aggregate, and never one that overtakes a newer.

use std::collections::BTreeSet;

use host::domain::delivery::Status;
use host::domain::ids::{AggregateKey, ChangeId};
use host::service::PatientService;
use host::store::{Batch, Claim, HostRecord, PurgeCursor, Resend, ResendCounts, ResendScope, RetryFilter};
use tests::environment::Backend;
use tests::session::Session;

use crate::on_every_store;
use crate::support::{Stand, TARGET, confirmed, failed, patient, request, route, settlement, target_name};

on_every_store!(
    a_new_target_gets_the_newest_state_of_each_aggregate,
    a_restored_target_gets_confirmed_states_again,
    a_resent_state_loses_to_a_state_that_commits_later,
    a_state_whose_transaction_began_before_the_resend_is_still_newer,
    a_newer_state_supersedes_a_resent_one_even_if_it_failed,
    open_and_dismissed_deliveries_are_not_resent,
    failed_and_skipped_deliveries_are_resent,
    a_purged_change_has_no_state_to_resend,
    an_older_state_is_not_resent_when_the_newest_was_purged,
    deletes_are_resent_only_for_linked_records,
    the_hosts_own_patients_are_resent_from_their_own_rows,
    one_aggregate_can_be_resent_alone,
    a_resend_resumes_before_the_change_where_it_stopped,
    retention_stops_at_young_rows_after_a_resend,
);

const INSERT: &str = "INSERT INTO sync_outbox (aggregate_type, aggregate_id, operation, payload) VALUES ";

async fn write(stand: &Stand, id: &str, operation: &str, state: &str) {
    write_of(stand, "lab", id, operation, state).await;
}

async fn write_of(stand: &Stand, kind: &str, id: &str, operation: &str, state: &str) {
    let row = format!("{INSERT} ('{kind}', '{id}', '{operation}', '{{\"state\": \"{state}\"}}')");
    stand.database.execute(&row).await.expect("insert");
}

/// From now on the target takes laboratory results too.
async fn take_labs(stand: &Stand) {
    let types = || BTreeSet::from(["patient".to_owned(), "lab".to_owned()]);
    let host = HostRecord {
        id: "host-a".to_owned(),
        targets: [TARGET, "fhir"].map(|name| (target_name(name), types())).into(),
        ..HostRecord::default()
    };
    stand.store.register_host(&host).await.expect("register");
}

fn labs() -> ResendScope {
    ResendScope::Types(vec!["lab".to_owned()])
}

async fn resend(stand: &Stand, scope: ResendScope, before: Option<ChangeId>) -> ResendCounts {
    let mut walk = Resend::new(target_name(TARGET), scope, before);
    while stand.store.resend_step(&mut walk).await.expect("resend").is_some() {}
    stand.store.count_without_state(&mut walk).await.expect("count");
    walk.counts()
}

fn queued(queued: u64) -> ResendCounts {
    ResendCounts { queued, ..ResendCounts::default() }
}

fn states(batch: &Batch) -> Vec<String> {
    let state = |payload: &str| {
        let payload: serde_json::Value = serde_json::from_str(payload).expect("JSON");
        payload["state"].as_str().expect("a state").to_owned()
    };
    let change = |delivery: &host::domain::delivery::Delivery| {
        let change = &delivery.change;
        format!("{} {}", change.key.aggregate_id, state(&change.payload))
    };
    batch.deliveries.iter().map(change).collect()
}

async fn confirm(stand: &Stand, batch: &Batch) {
    let settlements: Vec<_> = batch.deliveries.iter().map(|delivery| confirmed(delivery, "7")).collect();
    stand.store.settle(&batch.lease, &settlements, None).await.expect("settle");
}

/// Delivers what is due, and returns what was delivered.
async fn deliver(stand: &Stand) -> Vec<String> {
    route(&stand.store, 100).await;
    let mut delivered = Vec::new();
    loop {
        match stand.claim().await {
            Claim::Batch(batch) => {
                delivered.extend(states(&batch));
                confirm(stand, &batch).await;
            }
            Claim::OnlySuperseded => {}
            Claim::Nothing => return delivered,
        }
    }
}

/// The number of the newest change.
async fn newest_change(stand: &Stand) -> i64 {
    let mut session = Session::open(stand.database.url()).await.expect("session");
    let text = match stand.database.backend() {
        Backend::MariaDb => "CHAR",
        _ => "VARCHAR(20)",
    };
    let rows = session.rows(&format!("SELECT CAST(MAX(id) AS {text}) FROM sync_outbox")).await.expect("read");
    rows[0][0].as_deref().expect("a change").parse().expect("a number")
}

async fn a_new_target_gets_the_newest_state_of_each_aggregate(stand: Stand) {
    for (id, state) in [("L-1", "old"), ("L-2", "only"), ("L-1", "new")] {
        write(&stand, id, "update", state).await;
    }
    write_of(&stand, "invoice", "I-1", "create", "another type").await;
    assert_eq!(route(&stand.store, 100).await, 4);
    assert_eq!(stand.counts().await.pending, 0, "no target took them");
    take_labs(&stand).await;
    assert_eq!(resend(&stand, labs(), None).await, queued(2));
    assert_eq!(deliver(&stand).await, ["L-2 only", "L-1 new"]);
    let status = stand.store.status(10).await.expect("status");
    assert_eq!(
        (status.targets[TARGET].counts.done, status.targets["fhir"].counts.pending),
        (2, 0),
        "this target alone"
    );
    assert_eq!(status.unrouted, 0);
}

async fn a_restored_target_gets_confirmed_states_again(stand: Stand) {
    take_labs(&stand).await;
    for (id, state) in [("L-1", "old"), ("L-1", "new"), ("L-2", "only")] {
        write(&stand, id, "update", state).await;
    }
    assert_eq!(deliver(&stand).await, ["L-1 new", "L-2 only"]);
    let before = stand.counts().await;
    assert_eq!(resend(&stand, labs(), None).await, queued(2));
    let counts = stand.counts().await;
    assert_eq!((counts.done + 2, counts.pending), (before.done, before.pending + 2));
    let again = resend(&stand, labs(), None).await;
    assert_eq!(again, ResendCounts { waiting: 2, ..ResendCounts::default() }, "what waits is not doubled");
    assert_eq!(deliver(&stand).await, ["L-1 new", "L-2 only"]);
    assert_eq!(stand.counts().await, before);
}

async fn a_resent_state_loses_to_a_state_that_commits_later(stand: Stand) {
    take_labs(&stand).await;
    write(&stand, "L-1", "update", "old").await;
    assert_eq!(deliver(&stand).await, ["L-1 old"]);
    assert_eq!(resend(&stand, labs(), None).await, queued(1));
    write(&stand, "L-1", "update", "new").await;
    // Not directly either, as long as the older one is open.
    let direct = crate::support::dispatch(&stand.store, 100, &[request(10)]).await;
    assert!(direct.some_queued && direct.claimed[0].is_none());
    assert_eq!(deliver(&stand).await, ["L-1 new"]);
    let counts = stand.counts().await;
    assert_eq!((counts.pending, counts.superseded), (2, 1), "the other target has its two pending");
}

/// An application has taken its number, and commits only after the state before it was sent again and confirmed. A copy
/// of that state would have got a greater number, and would win for good.
async fn a_state_whose_transaction_began_before_the_resend_is_still_newer(stand: Stand) {
    take_labs(&stand).await;
    write(&stand, "L-1", "update", "old").await;
    assert_eq!(deliver(&stand).await, ["L-1 old"]);
    let late = format!("{INSERT} ('lab', 'L-1', 'update', '{{\"state\": \"late\"}}')");
    if stand.database.backend() == Backend::Sqlite {
        // There is one writer at a time, so no transaction can commit late.
        assert_eq!(resend(&stand, labs(), None).await, queued(1));
        assert_eq!(deliver(&stand).await, ["L-1 old"]);
        stand.database.execute(&late).await.expect("insert");
    } else {
        let mut application = Session::open(stand.database.url()).await.expect("session");
        application.execute(application.begin()).await.expect("begin");
        application.execute(&late).await.expect("insert");
        assert_eq!(resend(&stand, labs(), None).await, queued(1));
        assert_eq!(deliver(&stand).await, ["L-1 old"]);
        application.execute("COMMIT").await.expect("commit");
    }
    assert_eq!(deliver(&stand).await, ["L-1 late"]);
    // Nor does the older one come back, whatever is retried or sent again.
    assert_eq!(resend(&stand, labs(), None).await, queued(1));
    assert_eq!(deliver(&stand).await, ["L-1 late"]);
}

async fn a_newer_state_supersedes_a_resent_one_even_if_it_failed(stand: Stand) {
    take_labs(&stand).await;
    write(&stand, "L-1", "update", "old").await;
    assert_eq!(deliver(&stand).await, ["L-1 old"]);
    assert_eq!(resend(&stand, labs(), None).await, queued(1));
    let batch = stand.claim_batch().await;
    let rows = [failed(&batch.deliveries[0], Status::Failed, 0)];
    stand.store.settle(&batch.lease, &rows, None).await.expect("settle");
    write(&stand, "L-1", "update", "new").await;
    assert_eq!(deliver(&stand).await, ["L-1 new"]);
    let counts = stand.counts().await;
    assert_eq!((counts.failed, counts.superseded), (0, 1), "nobody has to decide about it any more");
}

async fn open_and_dismissed_deliveries_are_not_resent(stand: Stand) {
    take_labs(&stand).await;
    write(&stand, "L-1", "update", "dismissed").await;
    route(&stand.store, 100).await;
    let batch = stand.claim_batch().await;
    let rows = [failed(&batch.deliveries[0], Status::Failed, 0)];
    stand.store.settle(&batch.lease, &rows, None).await.expect("settle");
    let of_target = RetryFilter { target: Some(TARGET.to_owned()), ..RetryFilter::default() };
    assert_eq!(stand.store.dismiss(&of_target, "a test", "kim").await.expect("dismiss"), 1);
    write(&stand, "L-2", "update", "in flight").await;
    route(&stand.store, 100).await;
    let held = stand.claim_batch().await;
    write(&stand, "L-3", "update", "in flight, directly").await;
    let direct = crate::support::dispatch(&stand.store, 100, &[request(10)]).await.claimed.remove(0).expect("direct");
    write(&stand, "L-4", "update", "pending").await;
    route(&stand.store, 100).await;
    write(&stand, "L-5", "update", "not routed").await;
    write(&stand, "L-6", "upsert", "invalid").await;
    let expected = ResendCounts { waiting: 4, dismissed: 1, invalid: 1, ..ResendCounts::default() };
    assert_eq!(resend(&stand, labs(), None).await, expected);
    let direct = stand.store.load(direct, &request(10)).await.expect("load").expect("a batch");
    confirm(&stand, &held).await;
    confirm(&stand, &direct).await;
    assert_eq!(deliver(&stand).await, ["L-4 pending", "L-5 not routed"]);
    let expected = ResendCounts { queued: 4, dismissed: 1, invalid: 1, ..ResendCounts::default() };
    assert_eq!(resend(&stand, labs(), None).await, expected);
}

async fn failed_and_skipped_deliveries_are_resent(stand: Stand) {
    take_labs(&stand).await;
    write(&stand, "L-1", "update", "failed").await;
    write(&stand, "L-2", "update", "skipped").await;
    route(&stand.store, 100).await;
    let batch = stand.claim_batch().await;
    let skipped = host::domain::delivery::Settlement {
        skipped: Some("no place".to_owned()),
        ..settlement(&batch.deliveries[1], Status::Skipped)
    };
    let rows = [failed(&batch.deliveries[0], Status::Failed, 0), skipped];
    stand.store.settle(&batch.lease, &rows, None).await.expect("settle");
    assert_eq!(resend(&stand, labs(), None).await, queued(2));
    let counts = stand.store.status(1).await.expect("status").targets[TARGET].counts;
    assert_eq!((counts.pending, counts.failed, counts.skipped), (2, 0, 0));
    assert_eq!(deliver(&stand).await, ["L-1 failed", "L-2 skipped"]);
}

async fn a_purged_change_has_no_state_to_resend(stand: Stand) {
    take_labs(&stand).await;
    write(&stand, "L-1", "update", "purged").await;
    assert_eq!(deliver(&stand).await, ["L-1 purged"]);
    stand.store.disable_target("fhir").await.expect("disable");
    stand.database.execute("DELETE FROM sync_delivery WHERE target = 'fhir'").await.expect("delete");
    stand.pass(1_000);
    assert_eq!(stand.store.purge_deliveries(TARGET, 500, PurgeCursor::default()).await.expect("purge").deleted, 1);
    assert_eq!(stand.store.purge_changes(500, PurgeCursor::default()).await.expect("purge").deleted, 1);
    write(&stand, "L-2", "update", "there").await;
    assert_eq!(deliver(&stand).await, ["L-2 there"]);
    assert_eq!(resend(&stand, labs(), None).await, ResendCounts { without_state: 1, ..queued(1) });
    let one = ResendScope::One(AggregateKey { aggregate_type: "lab".to_owned(), aggregate_id: "L-1".to_owned() });
    assert_eq!(resend(&stand, one, None).await, ResendCounts { without_state: 1, ..ResendCounts::default() });
}

async fn an_older_state_is_not_resent_when_the_newest_was_purged(stand: Stand) {
    take_labs(&stand).await;
    write(&stand, "L-1", "update", "old").await;
    assert_eq!(deliver(&stand).await, ["L-1 old"]);
    // Another target has confirmed a change that is purged by now.
    stand
        .database
        .execute(&format!(
            "INSERT INTO sync_link (target, aggregate_type, aggregate_id, remote_id, delivered_outbox_id, synced_at) \
             VALUES ('fhir', 'lab', 'L-1', '7', {}, 1)",
            newest_change(&stand).await + 100
        ))
        .await
        .expect("insert");
    assert_eq!(resend(&stand, labs(), None).await, ResendCounts { without_state: 1, ..ResendCounts::default() });
    assert_eq!(deliver(&stand).await, Vec::<String>::new());
}

async fn deletes_are_resent_only_for_linked_records(stand: Stand) {
    write(&stand, "L-1", "delete", "never here").await;
    route(&stand.store, 100).await;
    take_labs(&stand).await;
    write(&stand, "L-2", "create", "here").await;
    assert_eq!(deliver(&stand).await, ["L-2 here"]);
    write(&stand, "L-2", "delete", "gone").await;
    assert_eq!(deliver(&stand).await, ["L-2 gone"]);
    assert_eq!(resend(&stand, labs(), None).await, ResendCounts { deletes: 1, ..queued(1) });
    assert_eq!(deliver(&stand).await, ["L-2 gone"]);
}

async fn the_hosts_own_patients_are_resent_from_their_own_rows(stand: Stand) {
    take_labs(&stand).await;
    PatientService::new(stand.store.clone()).put(&[patient(1, "Seoul")]).await.expect("put");
    write_of(&stand, "patient", "D-1", "create", "of another application").await;
    route(&stand.store, 100).await;
    confirm(&stand, &stand.claim_batch().await).await;
    let patients = || ResendScope::Types(vec!["patient".to_owned()]);
    assert_eq!(resend(&stand, patients(), None).await, queued(1));
    assert_eq!(deliver(&stand).await, ["D-1 of another application"]);
    assert!(stand.store.resync_patient(&target_name(TARGET), "P-0001").await.expect("resync"));
    assert!(!stand.store.resync_patient(&target_name(TARGET), "D-1").await.expect("resync"), "no row of theirs");
}

async fn one_aggregate_can_be_resent_alone(stand: Stand) {
    take_labs(&stand).await;
    for id in ["L-1", "L-2", "l-1"] {
        write(&stand, id, "update", "state").await;
    }
    assert_eq!(deliver(&stand).await.len(), 3);
    let one =
        |id: &str| ResendScope::One(AggregateKey { aggregate_type: "lab".to_owned(), aggregate_id: id.to_owned() });
    assert_eq!(resend(&stand, one("L-1"), None).await, queued(1));
    assert_eq!(deliver(&stand).await, ["L-1 state"]);
    assert_eq!(resend(&stand, one("L-9"), None).await, queued(0));
}

async fn a_resend_resumes_before_the_change_where_it_stopped(stand: Stand) {
    take_labs(&stand).await;
    for (id, state) in [("L-1", "old"), ("L-2", "only"), ("L-1", "new")] {
        write(&stand, id, "update", state).await;
    }
    assert_eq!(deliver(&stand).await.len(), 2);
    let stopped = ChangeId::new(newest_change(&stand).await);
    assert_eq!(resend(&stand, labs(), Some(stopped)).await, queued(1));
    assert_eq!(deliver(&stand).await, ["L-2 only"], "the old state of L-1 is not its newest, also behind the stop");
}

async fn retention_stops_at_young_rows_after_a_resend(stand: Stand) {
    write(&stand, "L-1", "update", "old").await;
    route(&stand.store, 100).await;
    take_labs(&stand).await;
    stand.store.disable_target("fhir").await.expect("disable");
    stand.pass(1_000);
    write(&stand, "L-2", "update", "finished long ago").await;
    assert_eq!(deliver(&stand).await, ["L-2 finished long ago"]);
    stand.pass(10_000);
    // The delivery of the oldest change is made last, and must not end the purge before the other.
    let one = ResendScope::One(AggregateKey { aggregate_type: "lab".to_owned(), aggregate_id: "L-1".to_owned() });
    assert_eq!(resend(&stand, one, None).await, queued(1));
    assert_eq!(deliver(&stand).await, ["L-1 old"]);
    let purged = stand.store.purge_deliveries(TARGET, 5_000, PurgeCursor::default()).await.expect("purge");
    assert_eq!(purged.deleted, 1);
}
