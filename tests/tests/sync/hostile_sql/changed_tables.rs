//! A target whose tables change while the host runs: what was judged by the old ones is judged again.

use tests::database::Database;
use tests::environment::Backend;

use super::bench::{Bench, Fate};

/// The host remembers a table's columns. Then the column goes, and a function of its name comes, which PostgreSQL would
/// call.
#[tokio::test]
async fn hostile_function_named_like_a_dropped_column_is_not_called() {
    let Some(database) = Database::fresh(Backend::Postgres).await.expect("database") else { return };
    let bench = Bench::new(&database).await;
    for sql in ["SELECT g.b FROM granted g", "UPDATE granted SET a = 1 WHERE granted.b = 2"] {
        assert_eq!(bench.try_out(sql).await, Fate::Ran, "{sql}");
        database.execute("ALTER TABLE granted DROP COLUMN b").await.expect("drop");
        database
            .execute("CREATE FUNCTION b(granted) RETURNS integer LANGUAGE sql AS 'SELECT 2'")
            .await
            .expect("a function");
        assert_eq!(bench.try_out(sql).await, Fate::Refused, "{sql}");
        assert_eq!(bench.try_out(sql).await, Fate::Refused, "again, from the catalogue: {sql}");
        // What needs no such column goes on.
        assert_eq!(bench.try_out("SELECT g.a FROM granted g").await, Fate::Ran);
        database.execute("DROP FUNCTION b(granted)").await.expect("drop");
        database.execute("ALTER TABLE granted ADD COLUMN b integer").await.expect("add");
        assert_eq!(bench.try_out(sql).await, Fate::Ran, "it is back: {sql}");
    }
    bench.target.close().await;
}

/// A column that a transaction has relied on stays until its end.
#[tokio::test]
async fn a_column_used_by_a_transaction_cannot_be_dropped_until_it_ends() {
    let Some(database) = Database::fresh(Backend::Postgres).await.expect("database") else { return };
    let bench = Bench::new(&database).await;
    let transaction = bench.after("SELECT g.b FROM granted g").await;
    let impatient = "SET lock_timeout = '200ms'; ALTER TABLE granted DROP COLUMN b";
    assert!(database.execute(impatient).await.is_err(), "it waits for the transaction");
    transaction.rollback().await.expect("rollback");
    database.execute(impatient).await.expect("now it may");
    bench.target.close().await;
}
