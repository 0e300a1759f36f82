//! What a connection to a foreign server keeps of the statements that an adapter made up.

use std::time::Duration;

use host::database::{Database as HostDatabase, Locator, RowLimits};
use tests::database::Database;
use tests::environment::Backend;

/// PostgreSQL tells what a session has prepared.
#[tokio::test]
async fn hostile_crowd_of_long_statements_is_not_cached() {
    let Some(database) = Database::fresh(Backend::Postgres).await.expect("database") else { return };
    let locator = Locator::Postgres(database.url().parse().expect("url"));
    let at = HostDatabase::of_target(locator, 1, Duration::from_secs(20), 16 << 20).expect("database");
    let mut transaction = at.begin().await.expect("begin");
    for number in 0..200 {
        // As long as may be kept, and longer.
        for length in [100_000, 300_000] {
            let sql = format!("SELECT length('{}'), {number}", "x".repeat(length));
            transaction.query(&sql, &[], RowLimits::NONE).await.expect("it runs");
        }
    }
    let sql = "SELECT COUNT(*), MAX(length(statement)) FROM pg_prepared_statements";
    let kept = transaction.query(sql, &[], RowLimits::NONE).await.expect("kept").rows.remove(0);
    let (count, longest) = (kept[0].as_i64().expect("a number"), kept[1].as_i64().expect("a number"));
    assert!((1..=33).contains(&count), "{count} are kept");
    assert!(longest <= 256 << 10, "one of {longest} bytes is kept");
    transaction.rollback().await.expect("rollback");
    at.close().await;
}
