//! A store of schema 10, which development builds made, is carried over with everything in flight.
//!
//! `tests/fixtures/schema_10` holds the files that made it, byte for byte: the host compares their digests.

use host::database::{RowLimits, Value};
use host::domain::delivery::Status;
use host::domain::ids::{AggregateKey, ChangeId, LeaseId};
use host::store::{Claim, Lease, MigrationError, Settled, Store};
use sha2::{Digest as _, Sha256};
use tests::environment::{Backend, workspace};

use crate::support::{Stand, TARGET, confirmed, request, target_name};

/// What a host of schema 10 leaves behind when it is killed: a claimed batch (lease 1), a directly dispatched change
/// (lease 2), an expired lease with a change in doubt whose attempts are spent (lease 3), queued, failed and finished
/// deliveries.
const LEFT_BEHIND: &[&str] = &[
    "INSERT INTO sync_target (name, enabled, state, updated_at, aggregate_types, adapter_sha256) \
     VALUES ('openemr', 1, 'up', 1700000000000, '[\"patient\"]', 'a1')",
    "INSERT INTO sync_adapter_wish (target, rejected_sha256, reload_requests) VALUES ('openemr', 'b2', 3)",
    "INSERT INTO patient_cache (patient_id, family_name, given_name, birth_date, gender, created_at, updated_at) \
     VALUES ('P-1', 'Kim', 'MinJun', '1980-01-31', 'male', 1700000000000, 1700000000000)",
    "INSERT INTO sync_outbox (id, aggregate_type, aggregate_id, operation, payload, created_at, routed_at) VALUES \
     (1, 'patient', 'P-1', 'create', '{}', 1700000000000, 1700000000000), \
     (2, 'patient', 'P-2', 'create', '{}', 1700000000000, 1700000000000), \
     (3, 'patient', 'P-3', 'create', '{}', 1700000000000, 1700000000000), \
     (4, 'patient', 'P-4', 'create', '{}', 1700000000000, 1700000000000), \
     (5, 'patient', 'P-5', 'create', '{}', 1700000000000, 1700000000000), \
     (6, 'patient', 'P-6', 'create', '{}', 1700000000000, 1700000000000)",
    "INSERT INTO sync_delivery (target, outbox_id, aggregate_type, aggregate_id, status, attempts, next_attempt_at, \
     lease_epoch, error_kind, error_message, created_at, finished_at) VALUES \
     ('openemr', 1, 'patient', 'P-1', 'processing', 0, NULL, 1, NULL, NULL, 1700000000000, NULL), \
     ('openemr', 3, 'patient', 'P-3', 'processing', 10, NULL, 3, 'transient', 'no answer', 1700000000000, 1700000000000), \
     ('openemr', 4, 'patient', 'P-4', 'pending', 0, 1700000000000, NULL, NULL, NULL, 1700000000000, NULL), \
     ('openemr', 5, 'patient', 'P-5', 'failed', 1, 9223372036854775807, NULL, 'invalid', 'x', 1700000000000, 1700000000000), \
     ('openemr', 6, 'patient', 'P-6', 'done', 1, NULL, NULL, NULL, NULL, 1700000000000, 1700000000000)",
    "INSERT INTO sync_work (target, aggregate_type, aggregate_id, outbox_id, epoch) VALUES \
     ('openemr', 'patient', 'P-1', 1, 1), ('openemr', 'patient', 'P-2', 2, 2), ('openemr', 'patient', 'P-3', 3, 3)",
    "INSERT INTO sync_lease (epoch, target, owner, acquired_at, lease_until) VALUES \
     (1, 'openemr', 'host-a', 1700000000000, 1700000030000), (2, 'openemr', 'host-a', 1700000000000, 1700000030000), \
     (3, 'openemr', 'host-b', 1699999000000, 1699999030000)",
    "INSERT INTO sync_count (target, shard, made, done, superseded) VALUES ('openemr', 0, 6, 1, 0)",
];

fn folder(backend: Backend) -> &'static str {
    match backend {
        Backend::Sqlite => "sqlite",
        Backend::MariaDb => "mysql",
        _ => "postgres",
    }
}

/// Makes the tables as a host of schema 10 did.
async fn make_schema_10(stand: &Stand) {
    let backend = stand.database.backend();
    let folder = workspace().join("tests/fixtures/schema_10").join(folder(backend));
    let mut files: Vec<_> =
        std::fs::read_dir(folder).expect("fixtures").map(|file| file.expect("file").path()).collect();
    files.sort();
    let marker = "CREATE TABLE schema_migration (version BIGINT NOT NULL PRIMARY KEY, name VARCHAR(64) NOT NULL, \
                  sha256 VARCHAR(64) NOT NULL)";
    stand.database.execute(marker).await.expect("the marker");
    for (version, file) in (1..).zip(files) {
        let sql = std::fs::read_to_string(&file).expect("read");
        let digest = Sha256::digest(sql.as_bytes());
        let digest = digest.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat();
        let written = sql.replace("{NO_PAD_BIN}", "utf8mb4_nopad_bin").replace("{USERS_TABLE}", "users");
        let code: Vec<_> = written.lines().filter(|line| !line.trim_start().starts_with("--")).collect();
        for statement in code.join("\n").split(";\n").map(str::trim).filter(|statement| !statement.is_empty()) {
            stand.database.execute(statement).await.unwrap_or_else(|error| panic!("{}: {error:#}", file.display()));
        }
        let insert =
            format!("INSERT INTO schema_migration (version, name, sha256) VALUES ({version}, 'x', '{digest}')");
        stand.database.execute(&insert).await.expect("record");
    }
}

async fn left_behind(backend: Backend) -> Option<Stand> {
    let stand = Stand::empty(backend).await?;
    make_schema_10(&stand).await;
    for sql in LEFT_BEHIND {
        stand.database.execute(sql).await.expect(sql);
    }
    if backend == Backend::Postgres {
        let given = "ALTER TABLE sync_lease ALTER COLUMN epoch RESTART WITH 4";
        stand.database.execute(given).await.expect("three leases were given");
    }
    Some(stand)
}

async fn rows(store: &Store, sql: &str) -> Vec<Vec<Value>> {
    let mut transaction = store.database().begin_read().await.expect("begin");
    let rows = transaction.query(sql, &[], RowLimits::NONE).await.expect(sql).rows;
    transaction.rollback().await.expect("rollback");
    rows
}

async fn texts(store: &Store, sql: &str) -> Vec<String> {
    let text = |value: Value| match value {
        Value::I64(number) => number.to_string(),
        value => value.into_text().unwrap_or_else(|| "NULL".to_owned()),
    };
    let line = |row: Vec<Value>| row.into_iter().map(text).collect::<Vec<_>>().join(" ");
    rows(store, sql).await.into_iter().map(line).collect()
}

/// Every table's columns and indexes, as the database describes them.
fn described(backend: Backend) -> &'static [&'static str] {
    match backend {
        Backend::Sqlite => &[
            "SELECT m.name, c.cid, c.name, c.type, c.\"notnull\", c.dflt_value, c.pk FROM sqlite_schema m \
             JOIN pragma_table_info(m.name) c WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite%' ORDER BY m.name, c.cid",
            "SELECT m.name, i.name, i.\"unique\", i.partial, x.seqno, x.name FROM sqlite_schema m \
             JOIN pragma_index_list(m.name) i JOIN pragma_index_info(i.name) x WHERE m.type = 'table' \
             ORDER BY m.name, i.name, x.seqno",
            "SELECT tbl, idx, stat FROM sqlite_stat1 ORDER BY tbl, idx",
        ],
        Backend::MariaDb => &[
            "SELECT CAST(table_name AS CHAR), ordinal_position, CAST(column_name AS CHAR), CAST(column_type AS CHAR), \
             CAST(is_nullable AS CHAR), CAST(COALESCE(column_default, '-') AS CHAR), \
             CAST(COALESCE(collation_name, '-') AS CHAR), CAST(extra AS CHAR) FROM information_schema.columns \
             WHERE table_schema = DATABASE() ORDER BY 1, 2",
            "SELECT CAST(table_name AS CHAR), CAST(index_name AS CHAR), non_unique, seq_in_index, \
             CAST(column_name AS CHAR) FROM information_schema.statistics WHERE table_schema = DATABASE() ORDER BY 1, 2, 4",
            "SELECT CAST(table_name AS CHAR), CAST(row_format AS CHAR), CAST(table_collation AS CHAR) \
             FROM information_schema.tables WHERE table_schema = DATABASE() ORDER BY 1",
        ],
        _ => &[
            "SELECT CAST(table_name AS TEXT), CAST(ROW_NUMBER() OVER (PARTITION BY table_name ORDER BY ordinal_position) \
             AS BIGINT), CAST(column_name AS TEXT), CAST(data_type AS TEXT), CAST(is_nullable AS TEXT), \
             CAST(COALESCE(column_default, '-') AS TEXT), CAST(COALESCE(character_maximum_length, 0) AS BIGINT) \
             FROM information_schema.columns WHERE table_schema = current_schema() ORDER BY 1, 2",
            "SELECT indexdef FROM pg_indexes WHERE schemaname = current_schema() ORDER BY 1",
            "SELECT CAST(relname AS TEXT), CAST(relkind AS TEXT), CAST(COALESCE(reloptions, '{}') AS TEXT) FROM pg_class \
             WHERE relnamespace = CAST(current_schema() AS regnamespace) ORDER BY 1",
        ],
    }
}

async fn a_store_of_schema_10_is_carried_over_with_what_is_in_flight(backend: Backend) {
    let Some(stand) = left_behind(backend).await else { return };
    let error = stand.store.require_current().await.expect_err("older");
    assert!(matches!(error, MigrationError::Older { found: 10, known: 22 }), "{error}");
    let hosts: Vec<_> = (0..3).map(|_| stand.other_host()).collect();
    let results = futures::future::join_all(hosts.iter().map(Store::migrate)).await;
    let applied: usize = results.into_iter().map(|result| result.expect("migrate").applied).sum();
    assert_eq!((applied, stand.store.require_current().await.expect("current")), (12, 22));

    let store = &stand.store;
    let control = store.desired_state(TARGET).await.expect("read");
    assert_eq!((control.rejected_sha256.as_deref(), control.reload_requests), (Some("b2"), 3));
    let counts = stand.counts().await;
    assert_eq!((counts.pending, counts.processing, counts.done, counts.failed), (1, 3, 1, 1));

    // The killed host is up again under its own id, or was only paused: its leases are its own still.
    let lease = |id, is_direct| Lease {
        target: target_name(TARGET),
        id: LeaseId::new(id),
        owner: "host-a".to_owned(),
        lease_ms: 30_000,
        is_direct,
    };
    assert!(store.renew(&lease(1, false)).await.expect("renew"));
    for (id, is_direct, patient) in [(1, false, "P-1"), (2, true, "P-2")] {
        let settlement = host::domain::delivery::Settlement {
            change_id: ChangeId::new(id),
            key: AggregateKey::patient(patient),
            status: Status::Done,
            attempts: 1,
            pause_ms: 0,
            failure: None,
            skipped: None,
            receipt: None,
            merged_into: None,
            is_moved: false,
            sent: Vec::new(),
        };
        let settled = store.settle(&lease(id, is_direct), &[settlement], None).await.expect("settle");
        assert_eq!(settled, Settled::Written, "lease {id}");
    }
    // The expired lease's change was in doubt with its attempts spent.
    let expired = store.take_expired_leases().await.expect("take");
    assert_eq!(expired.iter().map(|lease| lease.id.get()).collect::<Vec<_>>(), [3]);
    let Claim::Batch(batch) = store.claim(&request(100)).await.expect("claim") else { panic!("no batch") };
    assert_eq!(batch.deliveries.iter().map(|delivery| delivery.change.change_id.get()).collect::<Vec<_>>(), [4]);
    assert!(batch.lease.id.get() > 3, "ids of leases go on counting");
    let settlements: Vec<_> = batch.deliveries.iter().map(|delivery| confirmed(delivery, "7")).collect();
    assert_eq!(store.settle(&batch.lease, &settlements, None).await.expect("settle"), Settled::Written);
    let statuses = texts(store, "SELECT outbox_id, status FROM sync_delivery ORDER BY outbox_id").await;
    assert_eq!(statuses, ["1 done", "2 done", "3 failed", "4 done", "5 failed", "6 done"]);
    let counts = stand.counts().await;
    assert_eq!((counts.pending, counts.processing, counts.done, counts.failed), (0, 0, 4, 2));
}

async fn a_store_that_was_carried_over_has_the_tables_of_a_new_one(backend: Backend) {
    let Some(old) = left_behind(backend).await else { return };
    let Some(new) = Stand::empty(backend).await else { return };
    old.store.migrate().await.expect("carry over");
    new.store.migrate().await.expect("make");
    for sql in described(backend) {
        let (old, new) = (texts(&old.store, sql).await, texts(&new.store, sql).await);
        assert!(!new.is_empty(), "{sql}");
        assert_eq!(old, new);
    }
}

async fn other_development_schemas_and_files_are_refused(backend: Backend) {
    let Some(stand) = left_behind(backend).await else { return };
    stand.database.execute("UPDATE schema_migration SET sha256 = 'y' WHERE version = 4").await.expect("update");
    let error = stand.store.migrate().await.expect_err("another file");
    assert!(matches!(error, MigrationError::Different { .. }), "{error}");
    stand.database.execute("DELETE FROM schema_migration WHERE version > 7").await.expect("delete");
    let error = stand.store.migrate().await.expect_err("too old");
    assert!(matches!(error, MigrationError::TooOld { found: 7, carried: 10 }), "{error}");
    assert_eq!(rows(&stand.store, "SELECT outbox_id FROM sync_work").await.len(), 3, "nothing was touched");
}

/// MySQL commits each statement by itself, so a host may die between any two of them.
#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_migration_from_the_predecessor_is_finished() {
    let file = workspace().join("migrations/mysql/0011_from_0010.sql");
    let sql = std::fs::read_to_string(file).expect("our own file");
    let code: Vec<_> = sql.lines().filter(|line| !line.starts_with("--")).collect();
    let code = code.join("\n");
    let statements: Vec<_> = code.split(";\n").map(str::trim).filter(|statement| !statement.is_empty()).collect();
    assert!(statements.len() > 4);
    for done in 1..=statements.len() {
        let Some(stand) = left_behind(Backend::MariaDb).await else { return };
        for statement in &statements[..done] {
            stand.database.execute(statement).await.expect(statement);
        }
        assert_eq!(stand.store.migrate().await.expect("finish").applied, 12, "after {done} statements");
        assert_eq!(stand.counts().await.processing, 3);
    }
}

/// Another program's table of the new name is never taken for the host's.
#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_table_with_a_new_tables_name_stops_the_migration() {
    for backend in [Backend::Sqlite, Backend::MariaDb, Backend::Postgres] {
        let Some(stand) = left_behind(backend).await else { continue };
        stand.database.execute("CREATE TABLE sync_adapter_control (id BIGINT)").await.expect("another program's");
        let error = stand.store.migrate().await.expect_err("foreign");
        assert!(matches!(&error, MigrationError::Foreign { table, .. } if table == "sync_adapter_control"), "{error}");
        assert_eq!(rows(&stand.store, "SELECT outbox_id FROM sync_work").await.len(), 3, "nothing was touched");
        stand.database.execute("DROP TABLE sync_adapter_control").await.expect("drop");
        if backend == Backend::MariaDb {
            // With all of our columns it would be taken for one that was left half made.
            continue;
        }
        stand.database.execute("CREATE TABLE sync_learned (id BIGINT)").await.expect("another program's");
        let error = stand.store.migrate().await.expect_err("foreign");
        assert!(matches!(&error, MigrationError::Foreign { table, .. } if table == "sync_learned"), "{error}");
    }
}

/// A store of the release before is brought to this version with everything in it, and hosts go on.
async fn a_store_of_schema_11_gets_what_is_new(backend: Backend) {
    let Some(stand) = Stand::empty(backend).await else { return };
    stand.store.migrate().await.expect("migrate");
    for sql in [
        "ALTER TABLE sync_target DROP COLUMN paused_until",
        "DROP TABLE sync_learned",
        "ALTER TABLE sync_count DROP COLUMN skipped",
        "DROP TABLE sync_verification",
        "ALTER TABLE sync_delivery DROP COLUMN last_attempt",
        "DROP TABLE sync_attempt",
        "DROP TABLE sync_effects",
        "DROP TABLE sync_verification_finding",
        "ALTER TABLE sync_link DROP COLUMN merged_into",
        "DROP TABLE patient_merge",
        "DROP TABLE audit_event",
        "DROP TABLE audit_head",
        "DROP TABLE sync_adapter_hold",
        "DROP TABLE sync_alert_send",
        "DROP TABLE sync_alert",
        "DROP TABLE clinical_record",
        "DROP TABLE deleted_record",
        "DROP TABLE sync_dependency",
        "ALTER TABLE sync_outbox DROP COLUMN refs",
        "DELETE FROM schema_migration WHERE version > 11",
    ] {
        stand.database.execute(sql).await.expect(sql);
    }
    let error = stand.store.require_current().await.expect_err("older");
    assert!(matches!(error, MigrationError::Older { found: 11, known: 22 }), "{error}");
    stand.store.register_targets(&[(TARGET, true)]).await.expect("it is in use");
    assert_eq!(stand.store.migrate().await.expect("migrate").applied, 11);
    stand.store.remember_learned(TARGET, "a", b"x").await.expect("keep");
    let routes = stand.store.routes().await.expect("routes");
    assert_eq!(routes.list.len(), 1, "what was there is there");
}

macro_rules! on_every_backend {
    ($($behaviour:ident),+ $(,)?) => {
        mod on_sqlite { $( #[tokio::test(flavor = "multi_thread")] async fn $behaviour() { super::$behaviour(tests::environment::Backend::Sqlite).await; } )+ }
        mod on_mariadb { $( #[tokio::test(flavor = "multi_thread")] async fn $behaviour() { super::$behaviour(tests::environment::Backend::MariaDb).await; } )+ }
        mod on_postgres { $( #[tokio::test(flavor = "multi_thread")] async fn $behaviour() { super::$behaviour(tests::environment::Backend::Postgres).await; } )+ }
    };
}

on_every_backend!(
    a_store_of_schema_10_is_carried_over_with_what_is_in_flight,
    a_store_that_was_carried_over_has_the_tables_of_a_new_one,
    a_store_of_schema_11_gets_what_is_new,
    other_development_schemas_and_files_are_refused,
);
