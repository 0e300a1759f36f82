//! What the protocol costs, in statements, and what is counted about it: neither depends on the machine.

use std::collections::BTreeMap;

use host::domain::delivery::Status;
use host::domain::ids::{AggregateKey, IdColumn};
use host::store::{Claim, ClaimRequest, Counts, PurgeCursor, RetryFilter, ScanCursor};
use tests::environment::Backend;
use tests::session::Session;

use crate::on_every_store;
use crate::support::{
    Stand, TARGET, confirmed, dispatch, dispatch_along, failed, patient, request, route, target_name,
};

on_every_store!(
    a_batch_takes_a_fixed_number_of_statements,
    direct_dispatch_takes_a_fixed_number_of_statements,
    an_idle_claim_takes_one_statement,
    counts_match_the_rows,
    a_change_that_is_routed_again_is_counted_once,
    a_continued_claim_finds_requeued_deliveries,
);

/// SQLite looks before it takes its only writer.
fn looks(stand: &Stand) -> u64 {
    u64::from(stand.database.backend() == Backend::Sqlite)
}

async fn a_batch_takes_a_fixed_number_of_statements(stand: Stand) {
    for size in [1, 10, 300] {
        let patients: Vec<_> = (0..size).map(|number| patient(size * 1_000 + number, "Seoul")).collect();
        host::service::PatientService::new(stand.store.clone()).put(&patients).await.expect("put");
        let spent = |before: u64| stand.store.statements_run() - before;

        let before = stand.store.statements_run();
        route(&stand.store, 1_000).await;
        assert_eq!(spent(before), 6, "the routes; a look; the changes, their deliveries, the mark, the count");

        let before = stand.store.statements_run();
        let request = request(1_000);
        let Claim::Batch(batch) = stand.store.claim(&request).await.expect("claim") else { panic!("no batch") };
        assert_eq!(batch.deliveries.len(), size as usize);
        assert_eq!(
            spent(before),
            5 + looks(&stand),
            "what is due, the lease, the deliveries, their work; what they hold"
        );

        let before = stand.store.statements_run();
        assert!(stand.store.renew(&batch.lease).await.expect("renew"));
        assert_eq!(spent(before), 1, "the fence");

        let before = stand.store.statements_run();
        let rows: Vec<_> = batch.deliveries.iter().map(|delivery| confirmed(delivery, "1")).collect();
        stand.store.settle(&batch.lease, &rows, Some(IdColumn::OpenemrPatientId)).await.expect("settle");
        assert_eq!(spent(before), 6, "the lease, its work, the deliveries, the links, the ids, the count");
    }
}

async fn direct_dispatch_takes_a_fixed_number_of_statements(stand: Stand) {
    for size in [1, 10, 300] {
        let patients: Vec<_> = (0..size).map(|number| patient(size * 1_000 + number, "Seoul")).collect();
        host::service::PatientService::new(stand.store.clone()).put(&patients).await.expect("put");
        let before = stand.store.statements_run();
        let request = request(1_000);
        let asked = std::slice::from_ref(&request);
        let mut routed = dispatch(&stand.store, 1_000, asked).await;
        let taken = routed.claimed.remove(0).expect("something was taken");
        let batch = stand.store.load(taken, &request).await.expect("load").expect("a batch");
        assert_eq!(batch.deliveries.len(), size as usize);
        let spent = stand.store.statements_run() - before;
        assert_eq!(
            spent, 9,
            "the routes; a look; the changes, their siblings, the lease, their work, the mark, the count; what they hold"
        );
        let before = stand.store.statements_run();
        let rows: Vec<_> = batch.deliveries.iter().map(|delivery| confirmed(delivery, "1")).collect();
        stand.store.settle(&batch.lease, &rows, Some(IdColumn::OpenemrPatientId)).await.expect("settle");
        let spent = stand.store.statements_run() - before;
        assert_eq!(spent, 6, "the lease, its work, the deliveries, the links, the ids, the count");
    }
}

async fn an_idle_claim_takes_one_statement(stand: Stand) {
    let routes = stand.store.routes().await.expect("routes");
    let before = stand.store.statements_run();
    assert_eq!(dispatch_along(&stand.store, &routes, 1_000, &[]).await.changes, 0);
    assert!(matches!(stand.claim().await, Claim::Nothing));
    assert_eq!(stand.store.statements_run() - before, 2);
}

/// The counts as the rows themselves have them, read without the host.
async fn counted(stand: &Stand) -> Counts {
    let mut session = Session::open(stand.database.url()).await.expect("connect");
    let rows: BTreeMap<_, u64> = session
        .rows("SELECT status, COUNT(*) FROM sync_delivery GROUP BY status")
        .await
        .expect("count")
        .into_iter()
        .map(|row| (row[0].clone().expect("a status"), row[1].as_deref().expect("a count").parse().expect("a number")))
        .collect();
    let of = |status: Status| rows.get(status.as_str()).copied().unwrap_or_default();
    Counts {
        pending: of(Status::Pending),
        processing: of(Status::Processing),
        done: of(Status::Done),
        failed: of(Status::Failed),
        superseded: of(Status::Superseded),
        dismissed: of(Status::Dismissed),
        skipped: of(Status::Skipped),
    }
}

async fn counts_match_the_rows(stand: Stand) {
    for city in ["Seoul", "Busan"] {
        stand.put(&(0..40).map(|number| patient(number, city)).collect::<Vec<_>>()).await;
    }
    assert_eq!(stand.counts().await, counted(&stand).await);
    let Claim::Batch(batch) = stand.store.claim(&request(60)).await.expect("claim") else { panic!("no batch") };
    assert_eq!(stand.counts().await, counted(&stand).await);
    let settled: Vec<_> = batch
        .deliveries
        .iter()
        .enumerate()
        .map(|(index, delivery)| match index % 3 {
            0 => failed(delivery, Status::Failed, 0),
            1 => failed(delivery, Status::Pending, 1_000),
            _ => confirmed(delivery, "1"),
        })
        .collect();
    stand.store.settle(&batch.lease, &settled, None).await.expect("settle");
    let counts = stand.counts().await;
    assert_eq!(counts, counted(&stand).await);
    assert!(counts.done > 0 && counts.failed > 0 && counts.superseded > 0 && counts.pending > 0, "{counts:?}");
    stand.pass(100_000);
    let purged = stand.store.purge_deliveries(TARGET, 50_000, PurgeCursor::default()).await.expect("purge");
    assert!(purged.deleted > 0);
    assert_eq!(stand.counts().await, counted(&stand).await);
}

async fn a_change_that_is_routed_again_is_counted_once(stand: Stand) {
    stand.put(&[patient(1, "Seoul"), patient(2, "Seoul")]).await;
    stand.database.execute("UPDATE sync_outbox SET routed_at = NULL").await.expect("set back");
    stand.put(&[patient(3, "Seoul")]).await;
    assert_eq!(stand.counts().await, counted(&stand).await);
    assert_eq!(stand.counts().await.pending, 3);
}

async fn a_continued_claim_finds_requeued_deliveries(stand: Stand) {
    stand.put(&[patient(1, "Seoul")]).await;
    stand.pass(10);
    stand.put(&[patient(2, "Seoul")]).await;
    let mut cursor = ScanCursor::of_claims();
    let one: ClaimRequest = request(1);
    let Claim::Batch(first) = stand.store.claim_from(&one, &mut cursor).await.expect("claim") else {
        panic!("no batch")
    };
    let Claim::Batch(second) = stand.store.claim_from(&one, &mut cursor).await.expect("claim") else {
        panic!("no batch")
    };
    assert_ne!(first.deliveries[0].change.change_id, second.deliveries[0].change.change_id);
    // It lies before the place where the last claim ended.
    assert!(stand.store.release(&first.lease).await.expect("release"));
    let Claim::Batch(again) = stand.store.claim_from(&one, &mut cursor).await.expect("claim") else {
        panic!("no batch")
    };
    assert_eq!(again.deliveries[0].change.change_id, first.deliveries[0].change.change_id);
}

/// Finished deliveries in the table, of far more than any question may read.
const FINISHED: u64 = 5_000;

/// MariaDB alone tells how many rows were read of a table, and its planner is the one that is easily misled: once it
/// has measured that all deliveries are of one target, walking over all of them seems as good as any index.
#[tokio::test(flavor = "multi_thread")]
async fn no_statement_scans_finished_rows() {
    let Some(stand) = Stand::on(Backend::MariaDb).await else { return };
    let mut session = Session::open(stand.database.url()).await.expect("session");
    for table in [
        "sync_outbox (id, aggregate_type, aggregate_id, operation, payload, routed_at) \
         SELECT seq, 'patient', CONCAT('F-', seq), 'create', '{}', 1",
        "sync_delivery (target, outbox_id, aggregate_type, aggregate_id, status, created_at, finished_at) \
         SELECT 'openemr', seq, 'patient', CONCAT('F-', seq), 'done', 1, 1",
    ] {
        session.execute(&format!("INSERT INTO {table} FROM seq_1_to_{FINISHED}")).await.expect("fill");
    }
    // Measured while nothing waited and nothing had failed: no index seems better than another.
    session.rows("ANALYZE TABLE sync_delivery, sync_outbox").await.expect("measure");
    stand.put(&[patient(1, "Seoul"), patient(2, "Seoul"), patient(3, "Seoul")]).await;
    let batch = stand.claim_batch().await;
    let (first, others) = batch.deliveries.split_first().expect("three deliveries");
    let mut settlements = vec![failed(first, Status::Failed, 0)];
    settlements.extend(others.iter().map(|delivery| confirmed(delivery, "1")));
    stand.store.settle(&batch.lease, &settlements, None).await.expect("settle");
    stand.put(&[patient(4, "Seoul")]).await;
    session.execute("SET GLOBAL userstat = 1").await.expect("count the rows that are read");

    let store = &stand.store;
    let mut before = rows_read(&mut session).await;
    let mut walked = Vec::new();
    for question in
        ["status", "conflicts", "failed", "blocked", "open", "due", "next state", "retry", "claim in order", "claim"]
    {
        match question {
            "status" => drop(store.status(10).await.expect(question)),
            "conflicts" => drop(store.conflicts(None, None, 10).await.expect(question)),
            "failed" => assert_eq!(store.count_failed(&RetryFilter::default()).await.expect(question), 1),
            "blocked" => drop(store.blocked_keys(&["patient".to_owned()], 10).await.expect(question)),
            "open" => assert_eq!(store.open_work().await.expect(question), 1),
            "due" => assert!(store.has_due_work(&[TARGET], &["patient".to_owned()]).await.expect(question)),
            "next state" => {
                let key = AggregateKey::patient("P-0004");
                assert!(store.next_state(&target_name(TARGET), &key).await.expect(question).is_some());
            }
            "retry" => assert_eq!(store.retry(&RetryFilter::default()).await.expect(question), 1),
            "claim in order" => {
                let in_order = ClaimRequest { fifo_types: vec!["patient".to_owned()], ..request(1) };
                assert!(matches!(store.claim(&in_order).await.expect(question), Claim::Batch(_)));
            }
            _ => assert!(matches!(stand.claim().await, Claim::Batch(_)), "{question}"),
        }
        let now = rows_read(&mut session).await;
        if now - before > FINISHED / 5 {
            walked.push((question, now - before));
        }
        before = now;
    }
    assert!(before > 0, "the server counts nothing");
    assert_eq!(walked, [], "rows read");
}

/// Rows that were read so far of this store's deliveries and changes.
async fn rows_read(session: &mut Session) -> u64 {
    let rows = session
        .rows(
            "SELECT CAST(COALESCE(SUM(rows_read), 0) AS CHAR) FROM information_schema.table_statistics \
             WHERE table_schema = DATABASE() AND table_name IN ('sync_delivery', 'sync_outbox')",
        )
        .await
        .expect("statistics");
    rows[0][0].as_deref().expect("a number").parse().expect("a number")
}

/// PostgreSQL plans the host's statements once, on each connection, and here while the tables are nearly empty: then it
/// seems as well to walk over a whole table, or over all deliveries of a target, as to look for each of the batch.
/// Which of them, depends on whether there is nothing at all or so little that one index has a page more than another.
#[tokio::test(flavor = "multi_thread")]
async fn plans_made_on_small_tables_scan_no_large_table_later() {
    for planned_of in [0, 200] {
        let Some(stand) = Stand::on(Backend::Postgres).await else { return };
        let mut session = Session::open(stand.database.url()).await.expect("session");
        fill(&mut session, 1..=planned_of).await;
        for round in 0..4 {
            carry_directly(&stand, round).await;
            carry_queued(&stand, round).await;
        }
        fill(&mut session, planned_of + 1..=FINISHED).await;
        let before = entries_read(&stand, &mut session).await;
        carry_directly(&stand, 4).await;
        carry_queued(&stand, 4).await;
        let read = entries_read(&stand, &mut session).await - before;
        assert!(read > 0, "the server counts nothing");
        // Purging looks at a thousand deliveries, and at a thousand changes, to begin with.
        assert!(read < FINISHED, "planned of {planned_of}: {read} entries of indexes read");
    }
}

/// Finished deliveries with these numbers, of which none is old enough to be purged.
async fn fill(session: &mut Session, numbers: std::ops::RangeInclusive<u64>) {
    for table in [
        "sync_outbox (id, aggregate_type, aggregate_id, operation, payload, routed_at) \
         SELECT 1000000 + n, 'patient', 'F-' || n, 'create', '{}', 1",
        "sync_delivery (target, outbox_id, aggregate_type, aggregate_id, status, created_at, finished_at) \
         SELECT 'openemr', 1000000 + n, 'patient', 'F-' || n, 'done', 1, 9000000000000",
        "patient_cache (patient_id, family_name, given_name, birth_date, gender, created_at, updated_at) \
         SELECT 'F-' || n, 'F', 'F', '1970-01-01', 'unknown', 1, 1",
    ] {
        let series = format!("generate_series({}, {}) AS numbers(n)", numbers.start(), numbers.end());
        session.execute(&format!("INSERT INTO {table} FROM {series}")).await.expect("fill");
    }
}

async fn carry_directly(stand: &Stand, round: u32) {
    let patients: Vec<_> = (0..10).map(|number| patient(1_000 + 10 * round + number, "Seoul")).collect();
    host::service::PatientService::new(stand.store.clone()).put(&patients).await.expect("put");
    let request = request(10);
    let asked = std::slice::from_ref(&request);
    let mut done = dispatch(&stand.store, 10, asked).await;
    let taken = done.claimed.remove(0).expect("a batch");
    let batch = stand.store.load(taken, &request).await.expect("load").expect("a batch");
    let settlements: Vec<_> = batch.deliveries.iter().map(|delivery| confirmed(delivery, "1")).collect();
    stand.store.settle(&batch.lease, &settlements, Some(IdColumn::OpenemrPatientId)).await.expect("settle");
}

/// Every way that a queued delivery can go: superseded, failed, deferred, done, released, purged.
async fn carry_queued(stand: &Stand, round: u32) {
    let of = |number| patient(10 * round + number, "Seoul");
    stand.put(&[of(1), of(2), of(3), of(4)]).await;
    stand.put(&[patient(10 * round + 1, "Busan")]).await;
    let batch = stand.claim_batch().await;
    let settlements: Vec<_> = batch
        .deliveries
        .iter()
        .enumerate()
        .map(|(place, delivery)| match place {
            0 => failed(delivery, Status::Failed, 0),
            1 => failed(delivery, Status::Pending, 0),
            _ => confirmed(delivery, "1"),
        })
        .collect();
    stand.store.settle(&batch.lease, &settlements, None).await.expect("settle");
    let again = stand.claim_batch().await;
    assert!(stand.store.release(&again.lease).await.expect("release"));
    let last = stand.claim_batch().await;
    let settlements: Vec<_> = last.deliveries.iter().map(|delivery| confirmed(delivery, "1")).collect();
    stand.store.settle(&last.lease, &settlements, Some(IdColumn::OpenemrPatientId)).await.expect("settle");
    stand.pass(1_000);
    assert!(stand.store.purge_deliveries(TARGET, 500, PurgeCursor::default()).await.expect("purge").deleted > 0);
    assert!(stand.store.purge_changes(500, PurgeCursor::default()).await.expect("purge").deleted > 0);
}

/// Entries of indexes of deliveries and patients that were read so far. A connection tells at the end of a transaction,
/// once a second.
async fn entries_read(stand: &Stand, session: &mut Session) -> u64 {
    tokio::time::sleep(std::time::Duration::from_millis(1_100)).await;
    for _ in 0..4 {
        stand.store.now_ms().await.expect("now");
    }
    let sql = "SELECT CAST(SUM(idx_tup_read) AS TEXT) FROM pg_stat_user_indexes \
               WHERE relname IN ('sync_delivery', 'patient_cache')";
    let rows = session.rows(sql).await.expect("statistics");
    rows[0][0].as_deref().expect("a number").parse().expect("a number")
}
