//! A target's transaction that its first statement begins: no transaction waits for an adapter that still computes.

use std::time::Duration;

use host::database::RowLimits;
use tests::database::{Database, execute};
use tests::environment::Backend;

use crate::foreign::target;

const NONE: RowLimits = RowLimits::NONE;

/// What an adapter computes before its first statement keeps no other worker from SQLite's only writer.
#[tokio::test]
async fn a_transaction_begins_with_its_first_statement() {
    for backend in [Backend::Sqlite, Backend::MariaDb, Backend::Postgres] {
        let Some(database) = Database::fresh(backend).await.expect("fresh") else { continue };
        execute(database.url(), "CREATE TABLE p (id INT)").await.expect("table");
        let at = target(backend, database.url(), Duration::from_secs(20));
        let mut waiting = at.begin_with_first_statement();
        let unused = at.begin_with_first_statement();
        let mut other = at.begin().await.expect("no one holds the writer");
        other.execute("INSERT INTO p VALUES (1)", &[]).await.expect("writes");
        other.commit().await.expect("commits");
        unused.commit().await.expect("nothing was begun");
        waiting.execute("INSERT INTO p VALUES (2)", &[]).await.expect("begins and writes");
        waiting.rollback().await.expect("undone");
        let mut after = at.begin_with_first_statement();
        let rows = after.query("SELECT id FROM p", &[], NONE).await.expect("begins and reads").rows;
        assert_eq!(rows.len(), 1, "{rows:?}");
        after.lock("q", Duration::from_secs(1)).await.expect("locks");
        after.commit().await.expect("commits");
    }
}

/// What keeps it from beginning ends it, whatever kind of error that is.
#[tokio::test]
async fn a_transaction_that_cannot_begin_reports_why_and_stays_ended() {
    let at = target(Backend::Sqlite, "sqlite:///nowhere/at/all.db", Duration::from_secs(20));
    let mut transaction = at.begin_with_first_statement();
    assert!(transaction.ended_by().is_none());
    let error = transaction.execute("INSERT INTO p VALUES (1)", &[]).await.expect_err("there is no such file");
    let ended = transaction.ended_by().expect("it is over");
    assert_eq!((ended.kind, &ended.message), (error.kind, &error.message));
    transaction.query("SELECT 1", &[], NONE).await.expect_err("it stays over");
    transaction.commit().await.expect_err("nothing was written");
}
