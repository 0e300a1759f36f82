//! Hostile SQL against the real servers, whose own grants are the judge: the database user may do what the adapter was
//! granted and no more, so that whatever the guard lets through beyond that is denied by the server, and the test
//! fails.

mod attacks;
mod bench;
mod changed_tables;
mod daemon;
mod generator;
mod privileges;

use std::collections::{BTreeMap, BTreeSet};

use host::database::{Dialect, RowLimits, Value};
use host::plugin::{functions_known_to_the_guard, rewrite_statement};
use tests::database::Database;
use tests::environment::Backend;

use self::bench::{Bench, Fate, grants, servers};
use self::generator::Generator;

/// Statements made up for each server.
const STATEMENTS: u64 = 3_000;
/// So many of them at least must reach the server, or the test tries nothing.
const REACHED_MIN: usize = 150;

/// What once went through, word for word.
#[tokio::test]
async fn hostile_sql_of_earlier_attacks_is_refused_on_real_servers() {
    for database in servers().await {
        let bench = Bench::new(&database).await;
        let attacks = attacks::of_old(database.backend());
        for sql in attacks {
            assert_eq!(bench.try_out(sql).await, Fate::Refused, "{:?}: {sql}", database.backend());
        }
        // The guard's own list, and not the absence of anything, is what lets these through.
        for sql in [
            "SELECT UPPER(CAST(g.a AS CHAR(9))), g.b FROM granted g",
            "WITH w AS (SELECT a AS n FROM readonly) SELECT w.n FROM w JOIN granted g ON g.a = w.n",
            "UPDATE granted SET b = a + 1 WHERE a IN (SELECT a FROM readonly)",
            "SELECT a FROM granted FOR UPDATE",
            "INSERT INTO log (a, b) SELECT a, b FROM granted",
            "DELETE FROM log WHERE a = 1",
        ] {
            assert_eq!(bench.try_out(sql).await, Fate::Ran, "{:?}: {sql}", database.backend());
        }
        bench.target.close().await;
    }
}

/// A statement of an adapter that only reads may run for long: it keeps no writer of the file waiting. One that may
/// write holds the write lock, which shows that this test sees it.
#[tokio::test]
async fn a_read_takes_no_write_lock_on_sqlite() {
    let database = Database::fresh(Backend::Sqlite).await.expect("fresh").expect("SQLite is always there");
    database.execute("PRAGMA journal_mode = WAL").await.expect("a write-ahead log");
    let bench = Bench::new(&database).await;
    let reading = bench.during(bench.target.begin_read().await.expect("begin"), "SELECT a FROM readonly").await;
    database.execute("INSERT INTO log VALUES (3, 4)").await.expect("the write lock is free");
    reading.rollback().await.expect("roll back");
    let writing = bench.after("INSERT INTO log (a, b) VALUES (5, 6)").await;
    let refused = database.execute("PRAGMA busy_timeout = 1; INSERT INTO log VALUES (7, 8)").await;
    assert!(refused.is_err(), "a transaction that writes has the lock");
    writing.rollback().await.expect("roll back");
    bench.target.close().await;
}

/// Statements made of names, functions and forms that are nearly right.
#[tokio::test]
async fn generated_sql_touches_nothing_beyond_its_grant_on_real_servers() {
    for database in servers().await {
        let bench = Bench::new(&database).await;
        let mut counts = BTreeMap::from([("refused", 0), ("ran", 0), ("failed", 0)]);
        for seed in 1..=STATEMENTS {
            let sql = Generator::new(seed, database.backend()).statement();
            let what = match bench.try_out(&sql).await {
                Fate::Refused => "refused",
                Fate::Ran => "ran",
                Fate::FailedAtTheServer => "failed",
                Fate::DeniedByTheServer(why) => panic!("{:?}, seed {seed}: {sql}: {why}", database.backend()),
            };
            *counts.entry(what).or_default() += 1;
        }
        eprintln!("{:?}: {counts:?}", database.backend());
        assert!(counts["ran"] + counts["failed"] >= REACHED_MIN, "{:?}: {counts:?}", database.backend());
        bench.target.close().await;
    }
}

/// SQLite has no users: its own program for a statement shows which tables are opened, and how.
#[tokio::test]
async fn generated_sql_opens_nothing_beyond_its_grant_on_sqlite() {
    let database = Database::fresh(Backend::Sqlite).await.expect("database").expect("SQLite is always there");
    let bench = Bench::new(&database).await;
    let mut transaction = bench.target.begin_read().await.expect("begin");
    let roots =
        transaction.query("SELECT rootpage, name FROM sqlite_schema", &[], RowLimits::NONE).await.expect("roots");
    let roots: BTreeMap<i64, String> = roots
        .rows
        .into_iter()
        .filter_map(|row| Some((row[0].as_i64()?, row.into_iter().nth(1)?.into_text()?)))
        .collect();
    let (mut reached, mut opened) = (0, BTreeSet::new());
    for seed in 1..=STATEMENTS {
        let sql = Generator::new(seed, Backend::Sqlite).statement();
        for writes in [false, true] {
            let Ok(sent) = rewrite_statement(Dialect::Sqlite, &grants(), &sql, writes) else { continue };
            let Ok(program) = transaction.query(&format!("EXPLAIN {sent}"), &[], RowLimits::NONE).await else {
                continue;
            };
            reached += 1;
            for step in program.rows {
                let Some(operation @ ("OpenRead" | "OpenWrite")) = text(&step[1]) else { continue };
                let table = step[3].as_i64().and_then(|root| roots.get(&root)).map_or("the schema", String::as_str);
                opened.insert(format!("{operation} {table}"));
            }
        }
    }
    let allowed = ["OpenRead granted", "OpenRead readonly", "OpenRead log", "OpenWrite granted", "OpenWrite log"]
        .map(str::to_owned);
    assert!(opened.is_subset(&BTreeSet::from(allowed)), "{opened:?}");
    assert!(reached >= REACHED_MIN && opened.contains("OpenRead granted"), "{reached} of {STATEMENTS}: {opened:?}");
}

fn text(value: &Value) -> Option<&str> {
    match value {
        Value::Text(text) => Some(text),
        _ => None,
    }
}

/// Each name of the list is a function of the database's own, so that none of them is a routine of the target's.
#[tokio::test]
async fn every_allowed_function_is_the_databases_own() {
    for backend in [Backend::Sqlite, Backend::MariaDb, Backend::Postgres] {
        let Some(database) = Database::fresh(backend).await.expect("database") else { continue };
        let bench = Bench::new(&database).await;
        let dialect = bench.target.dialect();
        let mut missing = Vec::new();
        for name in functions_known_to_the_guard(dialect) {
            let mut transaction = bench.target.begin_read().await.expect("begin");
            let found = match dialect {
                Dialect::Sqlite => {
                    let sql = "SELECT 1 FROM pragma_function_list WHERE name = ? AND builtin = 1";
                    transaction.query(sql, &[name.into()], RowLimits::NONE).await.expect("list").rows.len()
                }
                Dialect::Postgres => {
                    let sql = "SELECT 1 FROM pg_proc WHERE proname = ? AND pronamespace = 'pg_catalog'::regnamespace";
                    transaction.query(sql, &[name.into()], RowLimits::NONE).await.expect("list").rows.len()
                }
                // Without arguments or with a wrong number of them: only a name that it does not know is answered so.
                Dialect::MySql => match transaction.query(&format!("SELECT {name}()"), &[], RowLimits::NONE).await {
                    Err(error) if matches!(error.vendor_code, Some(1305 | 1630 | 1370)) => 0,
                    _ => 1,
                },
            };
            if found == 0 {
                missing.push(name);
            }
            transaction.rollback().await.ok();
        }
        // Forms of PostgreSQL's grammar, which are no functions there.
        let forms: &[&str] = if dialect == Dialect::Postgres {
            &[
                "coalesce",
                "nullif",
                "greatest",
                "least",
                "trim",
                "extract",
                "current_timestamp",
                "current_time",
                "localtime",
                "localtimestamp",
            ]
        } else {
            &[]
        };
        missing.retain(|name| !forms.contains(name));
        assert!(missing.is_empty(), "{backend:?} does not have: {missing:?}");
        bench.target.close().await;
    }
}
