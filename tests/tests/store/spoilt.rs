//! Rows of the outbox that cannot be read, and ids that a collation would take for one: one bad row stops nothing else.

use std::collections::BTreeMap;

use host::store::{Batch, NoticeKind, PurgeCursor, RetryFilter, Settled};
use tests::environment::Backend;
use tests::session::Session;

use crate::on_every_store;
use crate::support::{Stand, TARGET, confirmed, dispatch, patient, request, route, target_name};

on_every_store!(
    ids_are_compared_byte_by_byte_directly_and_queued,
    a_deleted_change_stops_no_other,
    types_that_no_target_accepts_are_counted_byte_by_byte,
    a_time_in_another_unit_is_reported_and_its_change_delivered,
    changes_that_the_host_refused_are_not_retried,
    refused_changes_are_counted_once_and_never_purged,
);

const INSERT: &str = "INSERT INTO sync_outbox (aggregate_type, aggregate_id, operation, payload) VALUES ";

async fn insert(stand: &Stand, kind: &str, id: &str) {
    stand.database.execute(&format!("{INSERT} ('{kind}', '{id}', 'create', '{{}}')")).await.expect("insert");
}

/// Routes along both targets, which both ask, and reads what they are given.
async fn route_directly(stand: &Stand) -> Vec<Batch> {
    stand.store.register_targets(&[(TARGET, true), ("fhir", true)]).await.expect("register");
    let requests =
        [TARGET, "fhir"].map(|target| host::store::ClaimRequest { target: target_name(target), ..request(100) });
    let done = dispatch(&stand.store, 1_000, &requests).await;
    let mut batches = Vec::new();
    for (taken, request) in done.claimed.into_iter().zip(&requests) {
        if let Some(taken) = taken {
            batches.extend(stand.store.load(taken, request).await.expect("load"));
        }
    }
    batches
}

fn ids(batch: &Batch) -> Vec<&str> {
    batch.deliveries.iter().map(|delivery| delivery.change.key.aggregate_id.as_str()).collect()
}

async fn settle_all(stand: &Stand, batch: &Batch) {
    let rows: Vec<_> = batch.deliveries.iter().map(|delivery| confirmed(delivery, "1")).collect();
    assert_eq!(stand.store.settle(&batch.lease, &rows, None).await.expect("settle"), Settled::Written);
}

/// What failed at the first target, by the id that its delivery shows.
async fn failures(stand: &Stand) -> BTreeMap<String, String> {
    let mut session = Session::open(stand.database.url()).await.expect("connect");
    let sql = format!(
        "SELECT aggregate_id, error_kind, error_message FROM sync_delivery WHERE target = '{TARGET}' AND status = 'failed'"
    );
    let text = |row: &[Option<String>], column: usize| row[column].clone().unwrap_or_default();
    let rows = session.rows(&sql).await.expect("read");
    rows.iter().map(|row| (text(row, 0), format!("{}: {}", text(row, 1), text(row, 2)))).collect()
}

const GOOD_IDS: [&str; 6] = ["T-1", "t-1", "\u{c9}", "E\u{301}", "ss", "\u{df}"];
const BAD_IDS: [(&str, &str); 5] = [
    ("", "aggregate_id is empty"),
    (" ", "aggregate_id is blank"),
    ("T-1 ", "aggregate_id begins or ends with a blank"),
    (" T-1", "aggregate_id begins or ends with a blank"),
    ("t-1\u{a0}", "aggregate_id begins or ends with a blank"),
];

async fn ids_are_compared_byte_by_byte_directly_and_queued(stand: Stand) {
    for (id, _) in BAD_IDS {
        insert(&stand, "patient", id).await;
    }
    for id in GOOD_IDS {
        insert(&stand, "patient", id).await;
    }
    let batches = route_directly(&stand).await;
    assert_eq!(batches.len(), 2, "both targets are given what they can be given");
    for batch in &batches {
        assert_eq!(ids(batch), GOOD_IDS, "{}", batch.lease.target);
        settle_all(&stand, batch).await;
    }
    let failed = failures(&stand).await;
    assert_eq!(failed.len(), BAD_IDS.len(), "{failed:?}");
    for (id, reason) in BAD_IDS {
        let message = &failed[id];
        assert!(message.starts_with("invalid: outbox row ") && message.ends_with(reason), "{message}");
    }
    // Queued: a second state of each, of which none replaces another's.
    for (id, _) in BAD_IDS {
        insert(&stand, "patient", id).await;
    }
    for id in GOOD_IDS {
        insert(&stand, "patient", id).await;
    }
    route(&stand.store, 1_000).await;
    let batch = stand.claim_batch().await;
    assert_eq!(ids(&batch), GOOD_IDS);
    assert!(batch.deliveries.iter().all(|delivery| delivery.change.link.is_some()), "each has its own link");
    settle_all(&stand, &batch).await;
    assert_eq!(stand.counts().await.superseded, 0);
}

async fn a_deleted_change_stops_no_other(stand: Stand) {
    stand.put(&[patient(1, "Seoul"), patient(2, "Seoul"), patient(3, "Seoul")]).await;
    stand.database.execute("DELETE FROM sync_outbox WHERE aggregate_id = 'P-0002'").await.expect("delete");
    let batch = stand.claim_batch().await;
    assert_eq!(ids(&batch), ["P-0001", "P-0003"]);
    settle_all(&stand, &batch).await;
    let failed = failures(&stand).await;
    assert!(failed["P-0002"].ends_with("it was deleted before it was delivered"), "{failed:?}");
    // Dispatched directly, between the claim and the reading.
    host::service::PatientService::new(stand.store.clone())
        .put(&[patient(4, "Busan"), patient(5, "Busan")])
        .await
        .expect("put");
    let request = request(100);
    let asked = std::slice::from_ref(&request);
    let mut done = dispatch(&stand.store, 100, asked).await;
    stand.database.execute("DELETE FROM sync_outbox WHERE aggregate_id = 'P-0005'").await.expect("delete");
    let taken = done.claimed.remove(0).expect("taken");
    let batch = stand.store.load(taken, &request).await.expect("load").expect("a batch");
    assert_eq!(ids(&batch), ["P-0004"]);
    settle_all(&stand, &batch).await;
    let counts = stand.counts().await;
    assert_eq!((counts.done, counts.failed, counts.pending, counts.processing), (3, 2, 0, 0));
    // In flight, at a host that dies: it is not lost silently.
    host::service::PatientService::new(stand.store.clone()).put(&[patient(6, "Jeju")]).await.expect("put");
    let taken = dispatch(&stand.store, 100, asked).await.claimed.remove(0);
    assert!(taken.is_some());
    stand.database.execute("DELETE FROM sync_outbox WHERE aggregate_id = 'P-0006'").await.expect("delete");
    stand.pass(30_001);
    assert_eq!(stand.store.take_expired_leases().await.expect("take").len(), 1);
    assert!(matches!(stand.claim().await, host::store::Claim::OnlySuperseded));
    assert!(failures(&stand).await.contains_key("P-0006"));
}

async fn types_that_no_target_accepts_are_counted_byte_by_byte(stand: Stand) {
    for kind in ["Patient", "patient ", "invoice", "Patient", "patient"] {
        insert(&stand, kind, "P-1").await;
    }
    assert_eq!(route(&stand.store, 100).await, 5);
    insert(&stand, "Patient", "P-1").await;
    assert_eq!(route(&stand.store, 100).await, 1);
    let notices = stand.store.notices().await.expect("notices");
    let found: BTreeMap<_, _> = notices.iter().map(|notice| (notice.subject.as_str(), notice.changes)).collect();
    assert_eq!(found, BTreeMap::from([("Patient", 3), ("patient ", 1), ("invoice", 1)]));
    assert!(notices.iter().all(|notice| notice.kind == NoticeKind::NotTaken && notice.last_at == stand.now()));
    assert_eq!(ids(&stand.claim_batch().await), ["P-1"]);
    stand.pass(1_000);
    assert_eq!(stand.store.purge_notices(500).await.expect("purge"), 3);
    assert!(stand.store.notices().await.expect("notices").is_empty());
}

async fn a_time_in_another_unit_is_reported_and_its_change_delivered(stand: Stand) {
    for (id, created_at) in [("S-1", 1_700_000_000_i64), ("U-1", 1_700_000_000_000_000), ("M-1", stand.now() - 5_000)] {
        let row = format!(
            "INSERT INTO sync_outbox (aggregate_type, aggregate_id, operation, payload, created_at) \
             VALUES ('patient', '{id}', 'create', '{{}}', {created_at})"
        );
        stand.database.execute(&row).await.expect("insert");
    }
    assert_eq!(stand.store.status(1).await.expect("status").oldest_unrouted_ms, None, "unknown, not thousands of days");
    route(&stand.store, 100).await;
    stand.pass(2_000);
    let status = stand.store.status(1).await.expect("status");
    assert_eq!(status.targets[TARGET].oldest_pending_ms, Some(2_000), "since it was routed");
    let notices = stand.store.notices().await.expect("notices");
    let found: Vec<_> = notices.iter().map(|notice| (notice.kind, notice.subject.as_str(), notice.changes)).collect();
    assert_eq!(found, [(NoticeKind::TimeUnit, "microseconds", 1), (NoticeKind::TimeUnit, "seconds", 1)]);
    assert_eq!(ids(&stand.claim_batch().await), ["S-1", "U-1", "M-1"]);
}

async fn changes_that_the_host_refused_are_not_retried(stand: Stand) {
    insert(&stand, "patient", "T-1 ").await;
    route(&stand.store, 100).await;
    assert_eq!(stand.counts().await.failed, 1);
    assert_eq!(stand.store.count_failed(&RetryFilter::default()).await.expect("count"), 0);
    assert_eq!(stand.store.retry(&RetryFilter::default()).await.expect("retry"), 0);
}

async fn refused_changes_are_counted_once_and_never_purged(stand: Stand) {
    insert(&stand, "patient", "T-1 ").await;
    route(&stand.store, 100).await;
    stand.database.execute("UPDATE sync_outbox SET routed_at = NULL").await.expect("set back");
    route(&stand.store, 100).await;
    stand.pass(100_000);
    let purged = stand.store.purge_deliveries(TARGET, 1, PurgeCursor::default()).await.expect("purge").deleted;
    let changes = stand.store.purge_changes(1, PurgeCursor::default()).await.expect("purge").deleted;
    assert_eq!((purged, changes), (0, 0));
    let counts = stand.counts().await;
    assert_eq!((counts.failed, counts.pending), (1, 0));
}

/// Values that SQLite takes for columns of another type, with the id that their delivery shows and a part of the
/// reason.
const SPOILT: [(&str, &str, &str); 11] = [
    ("'patient', 'B-1', 'create', '{}', 1763000000000.5", "B-1", "created_at is a number with a fraction (REAL)"),
    ("'patient', 'B-2', 'create', '{}', CURRENT_TIMESTAMP", "B-2", "created_at is text"),
    ("'patient', 'B-3', 'create', x'7b7d', 1763000000000", "B-3", "payload is of type blob"),
    ("'patient', x'422d34', 'create', '{}', 1763000000000", "?104", "aggregate_id is bytes"),
    ("x'70617469656e74', 'B-5', 'create', '{}', 1763000000000", "B-5", "aggregate_type is bytes"),
    ("'patient', 'B-6', x'637265617465', '{}', 1763000000000", "B-6", "operation is bytes"),
    ("'patient', CAST(x'ff41' AS TEXT), 'create', '{}', 1763000000000", "?107", "aggregate_id is bytes"),
    ("CAST(x'ff41' AS TEXT), 'B-8', 'create', '{}', 1763000000000", "B-8", "aggregate_type is bytes"),
    ("'patient', 'a' || char(10) || 'b', 'create', '{}', 1763000000000", "?109", "holds a control character"),
    ("'patient', 'a' || char(0) || 'b', 'create', '{}', 1763000000000", "?110", "holds a control character"),
    ("'patient', 'B-11', 'create', CAST(x'ff41' AS TEXT), 1763000000000", "B-11", "payload is bytes"),
];

async fn spoil(stand: &Stand) {
    stand.put(&[]).await;
    for number in 1..=3 {
        insert(stand, "patient", &format!("G-{number}")).await;
    }
    for (place, (values, _, _)) in SPOILT.iter().enumerate() {
        let insert = format!(
            "INSERT INTO sync_outbox (id, aggregate_type, aggregate_id, operation, payload, created_at) \
             VALUES ({}, {values})",
            101 + place
        );
        stand.database.execute(&insert).await.expect("SQLite takes it");
    }
    let below = "INSERT INTO sync_outbox (id, aggregate_type, aggregate_id, operation, payload) \
                 VALUES (-5, 'patient', 'N-1', 'create', '{}')";
    stand.database.execute(below).await.expect("insert");
    for number in 4..=6 {
        insert(stand, "patient", &format!("G-{number}")).await;
    }
}

async fn assert_only_the_spoilt_failed(stand: &Stand) {
    let failed = failures(stand).await;
    for (values, id, reason) in SPOILT {
        let message = failed.get(id).unwrap_or_else(|| panic!("{values}: nothing at {id} in {failed:?}"));
        assert!(message.starts_with("invalid: outbox row 1") && message.contains(reason), "{message}: {reason}");
    }
    assert!(failed["N-1"].contains("outbox row -5: id is below 1"), "{failed:?}");
    assert_eq!(failed.len(), SPOILT.len() + 1, "{failed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreadable_queued_row_stops_no_other() {
    let Some(stand) = Stand::on(Backend::Sqlite).await else { return };
    spoil(&stand).await;
    route(&stand.store, 1_000).await;
    let batch = stand.claim_batch().await;
    assert_eq!(ids(&batch), ["G-1", "G-2", "G-3", "G-4", "G-5", "G-6"]);
    settle_all(&stand, &batch).await;
    assert_only_the_spoilt_failed(&stand).await;
    let counts = stand.counts().await;
    assert_eq!((counts.done, counts.failed, counts.pending, counts.processing), (6, 12, 0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreadable_row_stops_no_direct_dispatch() {
    let Some(stand) = Stand::on(Backend::Sqlite).await else { return };
    spoil(&stand).await;
    for batch in route_directly(&stand).await {
        assert_eq!(ids(&batch), ["G-1", "G-2", "G-3", "G-4", "G-5", "G-6"]);
        settle_all(&stand, &batch).await;
    }
    assert_only_the_spoilt_failed(&stand).await;
    let counts = stand.counts().await;
    assert_eq!((counts.done, counts.failed, counts.pending, counts.processing), (12, 24, 0, 0));
}

/// What an application spoils after its row was routed, in each column that a batch reads.
#[tokio::test(flavor = "multi_thread")]
async fn a_row_corrupted_after_routing_stops_no_other() {
    for change in
        ["payload = x'ff'", "created_at = 'x'", "event_id = x'ff'", "operation = 'no'", "aggregate_id = x'ff'"]
    {
        let Some(stand) = Stand::on(Backend::Sqlite).await else { return };
        stand.put(&[patient(1, "Seoul"), patient(2, "Seoul")]).await;
        let spoil = format!("UPDATE sync_outbox SET {change} WHERE aggregate_id = 'P-0001'");
        stand.database.execute(&spoil).await.expect("spoil");
        let delivered = match stand.store.claim(&request(100)).await {
            Ok(host::store::Claim::Batch(batch)) => {
                settle_all(&stand, &batch).await;
                ids(&batch).join(" ")
            }
            other => panic!("{change}: {other:?}"),
        };
        let counts = stand.counts().await;
        assert_eq!(
            (delivered.as_str(), counts.failed, counts.done, counts.processing),
            ("P-0002", 1, 1, 0),
            "{change}"
        );
    }
}
