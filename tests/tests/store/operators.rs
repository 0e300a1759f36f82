//! What operators decide about failures, and what keeps them from losing history: dismissals, the clock, a store that
//! is not ours.

use host::domain::delivery::Status;
use host::domain::ids::AggregateKey;
use host::store::{ClockState, DeliveryKey, MigrationError, PurgeCursor, RetryFilter, RetryProgress};
use tests::environment::Backend;

use crate::on_every_store;
use crate::support::{Stand, TARGET, confirmed, failed, patient, request};

on_every_store!(
    a_dismissal_is_final_counted_and_kept_with_its_reason,
    a_later_change_of_a_dismissed_patient_is_delivered,
    retention_deletes_dismissals,
    a_dismissed_head_unblocks_its_key,
    an_aggregate_is_known_from_any_table,
    failures_of_any_aggregate_are_listed_retried_and_dismissed,
    failures_are_retried_some_at_a_time_behind_the_last_one,
    what_waits_or_was_finished_after_a_retry_is_not_open,
    changes_behind_a_failed_head_are_not_due,
    a_clock_that_jumps_ahead_purges_nothing,
    a_clock_that_stays_ahead_for_a_day_is_trusted,
    a_clock_that_is_behind_is_reported,
    deliveries_deferred_by_a_clock_ten_hours_ahead_become_due,
    deliveries_deferred_by_a_clock_forty_days_ahead_become_due,
    a_writable_store_is_healthy_and_keeps_no_test_row,
);

const DAY: i64 = 86_400_000;

async fn fail(stand: &Stand, numbers: &[u32]) {
    let patients: Vec<_> = numbers.iter().map(|number| patient(*number, "Seoul")).collect();
    stand.put(&patients).await;
    let batch = stand.claim_batch().await;
    let rows: Vec<_> = batch.deliveries.iter().map(|delivery| failed(delivery, Status::Failed, 0)).collect();
    stand.store.settle(&batch.lease, &rows, None).await.expect("settle");
}

fn of(patient: &str) -> RetryFilter {
    RetryFilter { aggregate: Some(AggregateKey::patient(patient)), ..RetryFilter::default() }
}

async fn a_dismissal_is_final_counted_and_kept_with_its_reason(stand: Stand) {
    fail(&stand, &[1, 2]).await;
    let listed = stand.store.failed(&RetryFilter::default(), 10).await.expect("list");
    assert_eq!(listed.len(), 2);
    assert_eq!(
        (listed[0].key.aggregate_id.as_str(), listed[0].kind.as_deref(), listed[0].attempts),
        ("P-0001", Some("invalid"), 1)
    );
    stand.pass(10);
    assert_eq!(stand.store.dismiss(&of("P-0001"), "entered twice", "kim").await.expect("dismiss"), 1);
    assert_eq!(stand.store.dismiss(&of("P-0001"), "again", "kim").await.expect("dismiss"), 0, "only once");
    assert_eq!(stand.store.retry(&of("P-0001")).await.expect("retry"), 0, "it is final");
    let counts = stand.counts().await;
    assert_eq!((counts.dismissed, counts.failed, counts.pending), (1, 1, 0));
    let dismissed = stand.store.dismissed(Some(TARGET), 10).await.expect("list").remove(0);
    assert_eq!((dismissed.reason.as_deref(), dismissed.dismissed_by.as_deref()), (Some("entered twice"), Some("kim")));
    assert_eq!(dismissed.dismissed_at, Some(stand.now()));
    assert_eq!(
        dismissed.delivery.message.as_deref(),
        Some("fname: 300 characters, at most 255"),
        "why it failed is kept"
    );
    assert!(stand.store.dismissed(Some("fhir"), 10).await.expect("list").is_empty());
    assert_eq!(stand.store.open_work().await.expect("open"), 0);
}

async fn a_later_change_of_a_dismissed_patient_is_delivered(stand: Stand) {
    fail(&stand, &[1]).await;
    let change = stand.store.failed(&RetryFilter::default(), 1).await.expect("list")[0].change_id;
    let this = RetryFilter { change_id: Some(change), ..RetryFilter::default() };
    assert_eq!(stand.store.dismiss(&this, "wrong patient", "kim").await.expect("dismiss"), 1);
    stand.put(&[patient(1, "Busan")]).await;
    let batch = stand.claim_batch().await;
    assert!(batch.deliveries[0].change.payload.contains("Busan"));
    stand.store.settle(&batch.lease, &[confirmed(&batch.deliveries[0], "7")], None).await.expect("settle");
    let counts = stand.counts().await;
    assert_eq!((counts.done, counts.dismissed, counts.failed, counts.superseded), (1, 1, 0, 0));
}

async fn retention_deletes_dismissals(stand: Stand) {
    fail(&stand, &[1]).await;
    stand.store.dismiss(&of("P-0001"), "entered twice", "kim").await.expect("dismiss");
    let purge = async |age_ms| {
        stand.store.purge_deliveries(TARGET, age_ms, PurgeCursor::default()).await.expect("purge").deleted
    };
    stand.pass(1_000);
    assert_eq!(purge(2_000).await, 0);
    assert_eq!(stand.store.dismissed(None, 10).await.expect("list").len(), 1);
    assert_eq!(purge(500).await, 1);
    assert!(stand.store.dismissed(None, 10).await.expect("list").is_empty());
    assert_eq!(stand.counts().await, host::store::Counts::default());
}

async fn a_dismissed_head_unblocks_its_key(stand: Stand) {
    fail(&stand, &[1]).await;
    stand.put(&[patient(1, "Busan")]).await;
    let in_order = host::store::ClaimRequest { fifo_types: vec!["patient".to_owned()], ..request(10) };
    assert!(matches!(stand.store.claim(&in_order).await.expect("claim"), host::store::Claim::Nothing));
    stand.store.dismiss(&of("P-0001"), "wrong", "kim").await.expect("dismiss");
    assert!(matches!(stand.store.claim(&in_order).await.expect("claim"), host::store::Claim::Batch(_)));
}

async fn an_aggregate_is_known_from_any_table(stand: Stand) {
    let insert = "INSERT INTO sync_outbox (aggregate_type, aggregate_id, operation, payload) VALUES ('patient', 'D-1', 'create', '{}')";
    stand.database.execute(insert).await.expect("insert");
    stand.put(&[patient(1, "Seoul")]).await;
    for (patient, known) in [("P-0001", true), ("D-1", true), ("p-0001", false), ("P-0001 ", false), ("unknown", false)]
    {
        let key = AggregateKey::patient(patient);
        assert_eq!(stand.store.knows(&key).await.expect("look"), known, "{patient}");
    }
    let lab = |id: &str| AggregateKey { aggregate_type: "lab".to_owned(), aggregate_id: id.to_owned() };
    assert!(!stand.store.knows(&lab("D-1")).await.expect("look"), "of another type");
    let unrouted = "INSERT INTO sync_outbox (aggregate_type, aggregate_id, operation, payload) VALUES ('lab', 'L-1', 'create', '{}')";
    stand.database.execute(unrouted).await.expect("insert");
    assert!(stand.store.knows(&lab("L-1")).await.expect("look"), "nobody has routed it yet");
    stand.database.execute("UPDATE sync_outbox SET routed_at = 1 WHERE aggregate_id = 'L-1'").await.expect("route");
    assert!(stand.store.knows(&lab("L-1")).await.expect("look"), "it was routed nowhere");
    assert!(!stand.store.knows(&lab("l-1")).await.expect("look"), "to the letter");
    let linked = format!(
        "INSERT INTO sync_link (target, aggregate_type, aggregate_id, remote_id, delivered_outbox_id, synced_at) \
         VALUES ('{TARGET}', 'lab', 'L-2', '7', 1, 1)"
    );
    stand.database.execute(&linked).await.expect("insert");
    assert!(stand.store.knows(&lab("L-2")).await.expect("look"), "a target has it");
}

/// A target that takes messages, which are delivered in order, and one message with three changes whose first fails.
async fn blocked(stand: &Stand) -> (host::store::ClaimRequest, AggregateKey) {
    let types = ["patient", "message"].map(str::to_owned).into();
    let targets = [(crate::support::target_name(TARGET), types)].into();
    let host = host::store::HostRecord { id: "host-a".to_owned(), targets, ..host::store::HostRecord::default() };
    stand.store.register_host(&host).await.expect("register");
    for text in [1, 2, 3] {
        let insert = format!(
            "INSERT INTO sync_outbox (aggregate_type, aggregate_id, operation, payload) \
             VALUES ('message', 'M-1', 'update', '{{\"text\": {text}}}')"
        );
        stand.database.execute(&insert).await.expect("insert");
    }
    crate::support::route(&stand.store, 100).await;
    let in_order = host::store::ClaimRequest { fifo_types: vec!["message".to_owned()], ..request(10) };
    let host::store::Claim::Batch(batch) = stand.store.claim(&in_order).await.expect("claim") else {
        panic!("no batch")
    };
    let rows = [failed(&batch.deliveries[0], Status::Failed, 0)];
    stand.store.settle(&batch.lease, &rows, None).await.expect("settle");
    (in_order, AggregateKey { aggregate_type: "message".to_owned(), aggregate_id: "M-1".to_owned() })
}

async fn failures_of_any_aggregate_are_listed_retried_and_dismissed(stand: Stand) {
    let (_, key) = blocked(&stand).await;
    let of = |key: &AggregateKey| RetryFilter { aggregate: Some(key.clone()), ..RetryFilter::default() };
    let patient = AggregateKey::patient("M-1");
    for (key, expected) in [(&key, 1), (&patient, 0)] {
        assert_eq!(stand.store.failed(&of(key), 10).await.expect("list").len(), expected);
        assert_eq!(stand.store.count_failed(&of(key)).await.expect("count"), expected as u64);
    }
    assert_eq!(stand.store.retry(&of(&patient)).await.expect("retry"), 0);
    assert_eq!(stand.store.dismiss(&of(&patient), "another type", "kim").await.expect("dismiss"), 0);
    assert_eq!(stand.store.retry(&of(&key)).await.expect("retry"), 1);
    let target = crate::support::target_name(TARGET);
    let next = stand.store.next_state(&target, &key).await.expect("read").expect("a state");
    assert!(next.change.payload.contains('3'), "the newest that waits: {}", next.change.payload);
    assert!(stand.store.next_state(&target, &patient).await.expect("read").is_none());
    let recent = stand.store.status_with(10, Some(&key)).await.expect("status").recent;
    assert_eq!(recent.len(), 3);
    assert!(stand.store.status_with(10, Some(&patient)).await.expect("status").recent.is_empty());
}

async fn failures_are_retried_some_at_a_time_behind_the_last_one(stand: Stand) {
    fail(&stand, &[1, 2, 3]).await;
    // The same three failed at another target, whose name comes first.
    stand.store.register_targets(&[("fhir", true)]).await.expect("register");
    let columns = "outbox_id, aggregate_type, aggregate_id, status, attempts, next_attempt_at, created_at, finished_at";
    let copy = format!("INSERT INTO sync_delivery (target, {columns}) SELECT 'fhir', {columns} FROM sync_delivery");
    stand.database.execute(&copy).await.expect("copy");
    let all = RetryFilter::default();
    let listed = stand.store.retriable(&all, None, 10).await.expect("list");
    let shown: Vec<_> = listed.iter().map(|key| (key.target.as_str(), key.outbox_id)).collect();
    let ids: Vec<_> = [0, 2, 4].map(|place| listed[place].outbox_id).to_vec();
    let expected: Vec<_> = ids.iter().flat_map(|id| [("fhir", *id), (TARGET, *id)]).collect();
    assert_eq!(shown, expected, "by change, then by target");
    assert!(ids.is_sorted());
    for (place, key) in listed.iter().enumerate() {
        let behind = stand.store.retriable(&all, Some(key), 10).await.expect("list");
        assert_eq!(behind, listed[place + 1..], "behind the one at {place}");
    }
    let from_second = DeliveryKey::before_all_of(ids[1]);
    assert_eq!(stand.store.retriable(&all, Some(&from_second), 3).await.expect("list"), listed[2..5]);

    let here = RetryFilter { target: Some(TARGET.to_owned()), ..RetryFilter::default() };
    let first = stand.store.retriable(&here, None, 2).await.expect("list");
    assert_eq!(first, [&listed[1], &listed[3]].map(Clone::clone));
    assert_eq!(stand.store.retry_these(&first).await.expect("retry"), 2);
    assert_eq!(stand.store.retry_these(&first).await.expect("retry"), 0, "only what is failed");
    let open = RetryProgress { open: 2, ..RetryProgress::default() };
    assert_eq!(stand.store.progress_of(&first).await.expect("progress"), open);

    stand.pass(10);
    let batch = stand.claim_batch().await;
    assert_eq!(stand.store.progress_of(&first).await.expect("progress"), open, "they are in flight");
    let status = |place: usize| [Status::Failed, Status::Pending][place];
    let rows = batch.deliveries.iter().enumerate().map(|(place, delivery)| failed(delivery, status(place), 60_000));
    stand.store.settle(&batch.lease, &rows.collect::<Vec<_>>(), None).await.expect("settle");
    let again = RetryProgress { failed_again: 2, ..RetryProgress::default() };
    assert_eq!(stand.store.progress_of(&first).await.expect("progress"), again, "one for good, one is tried again");
    let behind = stand.store.retriable(&here, first.last(), 10).await.expect("list");
    assert_eq!(behind, listed[5..], "what failed again comes before it");
    let progress = stand.store.progress_of(&listed[5..]).await.expect("progress");
    assert_eq!(progress, RetryProgress { failed_again: 1, ..RetryProgress::default() });
}

async fn what_waits_or_was_finished_after_a_retry_is_not_open(stand: Stand) {
    fail(&stand, &[1, 2]).await;
    let keys = stand.store.retriable(&RetryFilter::default(), None, 10).await.expect("list");
    assert_eq!(stand.store.retry_these(&keys).await.expect("retry"), 2);
    let batch = stand.claim_batch().await;
    let rows = [confirmed(&batch.deliveries[0], "7"), failed(&batch.deliveries[1], Status::Pending, 0)];
    stand.store.settle(&batch.lease, &rows, None).await.expect("settle");
    // As a delivery that lacks what it refers to.
    let waits = format!(
        "UPDATE sync_delivery SET attempts = 0, next_attempt_at = {} WHERE outbox_id = {}",
        i64::MAX - 2,
        batch.deliveries[1].change.change_id
    );
    stand.database.execute(&waits).await.expect("let it wait");
    let expected = RetryProgress { ended: 1, waiting: 1, ..RetryProgress::default() };
    assert_eq!(stand.store.progress_of(&keys).await.expect("progress"), expected);
}

async fn changes_behind_a_failed_head_are_not_due(stand: Stand) {
    let (in_order, key) = blocked(&stand).await;
    let fifo = vec!["message".to_owned()];
    let is_due = async || stand.store.has_due_work(&[TARGET], &fifo).await.expect("look");
    assert!(!is_due().await, "two wait behind the failed one");
    assert_eq!(stand.store.open_work().await.expect("count"), 2);
    assert_eq!(stand.store.blocked_keys(&fifo, 10).await.expect("look")[0].waiting, 2);
    let this = RetryFilter { aggregate: Some(key), ..RetryFilter::default() };
    assert_eq!(stand.store.dismiss(&this, "can never be delivered", "kim").await.expect("dismiss"), 1);
    assert!(is_due().await, "the next one is the head");
    for text in ["2", "3"] {
        let claim = stand.store.claim(&in_order).await.expect("claim");
        let host::store::Claim::Batch(batch) = claim else { panic!("no batch") };
        assert!(batch.deliveries[0].change.payload.contains(text));
        stand.store.settle(&batch.lease, &[confirmed(&batch.deliveries[0], "7")], None).await.expect("settle");
    }
    assert!(!is_due().await);
    assert_eq!(
        stand.store.dismissed(None, 10).await.expect("list")[0].reason.as_deref(),
        Some("can never be delivered")
    );
}

/// A finished delivery of now, in a store whose clock was looked at now.
async fn finished(stand: &Stand) {
    stand.put(&[patient(1, "Seoul")]).await;
    let batch = stand.claim_batch().await;
    stand.store.settle(&batch.lease, &[confirmed(&batch.deliveries[0], "7")], None).await.expect("settle");
    assert_eq!(stand.store.judge_clock().await.expect("judge"), ClockState::Trusted);
}

async fn purge(stand: &Stand) -> u64 {
    let deliveries = stand.store.purge_deliveries(TARGET, 30 * DAY, PurgeCursor::default()).await.expect("purge");
    let changes = stand.store.purge_changes(30 * DAY, PurgeCursor::default()).await.expect("purge");
    deliveries.deleted + changes.deleted
}

async fn a_clock_that_jumps_ahead_purges_nothing(stand: Stand) {
    finished(&stand).await;
    stand.pass(40 * DAY);
    // Whether the purger has looked at the clock or the jump came after its look.
    assert_eq!(purge(&stand).await, 0);
    assert_eq!(stand.store.judge_clock().await.expect("judge"), ClockState::Ahead { step_ms: 40 * DAY });
    assert_eq!(stand.store.clock_state().await.expect("read"), ClockState::Ahead { step_ms: 40 * DAY });
    assert_eq!(purge(&stand).await, 0);
    // It is set right.
    stand.pass(-40 * DAY + 600_000);
    assert_eq!(stand.store.judge_clock().await.expect("judge"), ClockState::Trusted);
    assert_eq!(stand.store.clock_state().await.expect("read"), ClockState::Trusted);
    assert_eq!(purge(&stand).await, 0);
}

/// Or no host ran for 40 days.
async fn a_clock_that_stays_ahead_for_a_day_is_trusted(stand: Stand) {
    finished(&stand).await;
    stand.pass(40 * DAY);
    for _ in 0..24 {
        assert!(matches!(stand.store.judge_clock().await.expect("judge"), ClockState::Ahead { .. }));
        assert_eq!(purge(&stand).await, 0);
        stand.pass(DAY / 24);
    }
    assert_eq!(stand.store.judge_clock().await.expect("judge"), ClockState::Trusted);
    assert_eq!(purge(&stand).await, 2, "the delivery and its change");
}

async fn a_clock_that_is_behind_is_reported(stand: Stand) {
    finished(&stand).await;
    stand.pass(-2 * 3_600_000);
    let behind = ClockState::Behind { by_ms: 2 * 3_600_000 };
    assert_eq!(stand.store.clock_state().await.expect("read"), behind);
    assert_eq!(stand.store.judge_clock().await.expect("judge"), behind);
}

async fn deliveries_deferred_by_a_clock_ten_hours_ahead_become_due(stand: Stand) {
    was_put_off(stand, 10 * 3_600_000).await;
}

async fn deliveries_deferred_by_a_clock_forty_days_ahead_become_due(stand: Stand) {
    was_put_off(stand, 40 * DAY).await;
}

async fn was_put_off(stand: Stand, ahead_ms: i64) {
    finished(&stand).await;
    stand.pass(ahead_ms);
    stand.store.judge_clock().await.expect("judge");
    stand.put(&[patient(2, "Busan")]).await;
    let lost = stand.claim_batch().await;
    stand.put(&[patient(3, "Busan")]).await;
    // It is set right.
    stand.pass(600_000 - ahead_ms);
    assert!(matches!(stand.claim().await, host::store::Claim::Nothing), "due in the future");
    assert!(!matches!(stand.store.judge_clock().await.expect("judge"), ClockState::Ahead { .. }));
    let batch = stand.claim_batch().await;
    assert_eq!(batch.deliveries[0].change.key.aggregate_id, "P-0003");
    stand.pass(3_600_001);
    let taken = stand.store.take_expired_leases().await.expect("take");
    assert!(taken.iter().any(|lease| lease.id == lost.lease.id), "the batch of a host that died meanwhile");
}

async fn a_writable_store_is_healthy_and_keeps_no_test_row(stand: Stand) {
    assert_eq!(stand.store.write_trouble().await, None);
    assert_eq!(stand.store.other_hosts("another").await.expect("count"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_only_server_is_reported_with_the_reason() {
    let Some(stand) = Stand::on(Backend::Postgres).await else { return };
    let name = stand.database.url().rsplit('/').next().expect("a name").to_owned();
    stand
        .database
        .execute(&format!("ALTER DATABASE {name} SET default_transaction_read_only = on"))
        .await
        .expect("set");
    let store = stand.other_host();
    let trouble = store.write_trouble().await.expect("a trouble");
    assert!(trouble.contains("takes no writes"), "{trouble}");
    assert!(store.status(1).await.is_ok(), "reading goes on");
}

async fn a_store_that_is_not_current_is_named_and_left_alone(backend: Backend) {
    let Some(stand) = Stand::empty(backend).await else { return };
    assert!(matches!(stand.store.require_current().await, Err(MigrationError::Absent)));
    let migrated = stand.store.migrate().await.expect("migrate");
    assert_eq!(stand.store.require_current().await.expect("current"), migrated.version);
    stand.database.execute("DELETE FROM schema_migration").await.expect("delete");
    let error = stand.store.require_current().await.expect_err("older");
    assert!(error.to_string().contains("host migrate"), "{error}");
    assert!(matches!(error, MigrationError::Older { found: 0, known } if known == migrated.version));
}

async fn another_programs_table_is_not_taken_for_ours(backend: Backend) {
    for table in [
        "CREATE TABLE users (id BIGINT, name VARCHAR(9))",
        "CREATE TABLE schema_migration (version BIGINT)",
        // Of the last file, and with all of our columns.
        "CREATE TABLE sync_setting (name VARCHAR(64), value VARCHAR(255), more BIGINT)",
        "CREATE TABLE sync_notice (id BIGINT)",
    ] {
        let Some(stand) = Stand::empty(backend).await else { return };
        stand.database.execute(table).await.expect("make");
        let error = stand.store.migrate().await.expect_err("foreign");
        let name = table.split(' ').nth(2).expect("a name");
        assert!(matches!(&error, MigrationError::Foreign { table, .. } if table == name), "{error}");
        assert!(error.to_string().contains("another program's"), "{error}");
        for ours in ["schema_migration", "users", "sync_outbox"].into_iter().filter(|ours| *ours != name) {
            assert!(stand.database.execute(&format!("SELECT 1 FROM {ours}")).await.is_err(), "{ours} was made");
        }
        stand.database.execute(&format!("DROP TABLE {name}")).await.expect("nothing else was touched");
        assert!(stand.store.migrate().await.is_ok());
    }
}

/// MySQL commits each statement by itself, so that a host may die between two of them.
#[tokio::test(flavor = "multi_thread")]
async fn half_created_tables_are_completed() {
    let Some(stand) = Stand::empty(Backend::MariaDb).await else { return };
    let file = tests::environment::workspace().join("migrations/mysql/0011_store.sql");
    let sql = std::fs::read_to_string(file).expect("our own file");
    let sql = sql.replace("{USERS_TABLE_QUOTED}", "users").replace("{NO_PAD_BIN}", "utf8mb4_nopad_bin");
    let first = sql.split(";\n").next().expect("a statement");
    assert!(first.contains("CREATE TABLE IF NOT EXISTS users"));
    let marker = "CREATE TABLE schema_migration (version BIGINT NOT NULL PRIMARY KEY, name VARCHAR(64) NOT NULL, sha256 VARCHAR(64) NOT NULL)";
    stand.database.execute(marker).await.expect("what a host makes first");
    stand.database.execute(first).await.expect("the first statement of the first migration");
    stand.store.migrate().await.expect("migrate");
    stand.database.execute("DELETE FROM schema_migration").await.expect("delete");
    assert_eq!(stand.store.migrate().await.expect("again").applied, 12, "every statement may be run again");
}

macro_rules! on_every_backend {
    ($($behaviour:ident),+) => {
        mod empty_on_sqlite { $( #[tokio::test(flavor = "multi_thread")] async fn $behaviour() { super::$behaviour(tests::environment::Backend::Sqlite).await; } )+ }
        mod empty_on_mariadb { $( #[tokio::test(flavor = "multi_thread")] async fn $behaviour() { super::$behaviour(tests::environment::Backend::MariaDb).await; } )+ }
        mod empty_on_postgres { $( #[tokio::test(flavor = "multi_thread")] async fn $behaviour() { super::$behaviour(tests::environment::Backend::Postgres).await; } )+ }
    };
}

on_every_backend!(a_store_that_is_not_current_is_named_and_left_alone, another_programs_table_is_not_taken_for_ours);
