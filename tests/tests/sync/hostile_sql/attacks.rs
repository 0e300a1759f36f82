//! Statements that once went through, word for word, with their kin.

use tests::environment::Backend;

const POSTGRES: &[&str] = &[
    "SELECT (CAST('SELECT a FROM secret' AS text)).ts_stat",
    "SELECT g.peek FROM granted g",
    "SELECT g.spy FROM granted g",
    "SELECT v.pg_sleep FROM (SELECT 1.0 AS a) v",
    "SELECT a @@@ b FROM granted",
    "SELECT total(a) FROM granted",
    "WITH \"Secret\" AS (SELECT 1 AS a) SELECT a FROM secret",
    "WITH only AS (SELECT 1 AS a) SELECT a FROM ONLY secret",
    "SELECT a FROM readonly FOR UPDATE",
];

const MARIADB: &[&str] = &[
    "UPDATE granted T JOIN readonly t ON T.a = t.a SET t.b = 1",
    "UPDATE granted g JOIN readonly r ON g.a = r.a SET r.b = 1",
    "DELETE T FROM log T JOIN readonly t ON T.a = t.a WHERE t.b = 1",
    "SELECT age(a) FROM granted",
    "SELECT any_value(a) FROM granted",
    "WITH `Secret` AS (SELECT 1 AS a) SELECT a FROM secret",
    "SELECT a FROM readonly FOR UPDATE",
];

const SQLITE: &[&str] = &[
    "SELECT a FROM sqlite_schema",
    "SELECT load_extension('x')",
    "SELECT instr(printf('%.30000000c', 'a'), printf('%.20000000c', 'b'))",
    "SELECT zeroblob(1000000000)",
    "WITH RECURSIVE r(a) AS (SELECT 1 UNION ALL SELECT a + 1 FROM r) SELECT COUNT(*) FROM r",
    "ATTACH ':memory:' AS other",
    "PRAGMA journal_mode = DELETE",
];

/// Refused for whoever may touch the tables of `bench.rs`.
pub(super) fn of_old(backend: Backend) -> &'static [&'static str] {
    match backend {
        Backend::Postgres => POSTGRES,
        Backend::Sqlite => SQLITE,
        _ => MARIADB,
    }
}

/// Others that end a transaction, wait, lock, or reach for what is not theirs.
pub(super) const EVERYWHERE: &[&str] = &[
    "COMMIT",
    "ROLLBACK",
    "SELECT SLEEP(60)",
    "SELECT pg_sleep(60)",
    "SELECT BENCHMARK(1000000000, SHA2('a', 512))",
    "SELECT GET_LOCK('x', 60)",
    "SELECT pg_advisory_lock(1)",
    "LOCK TABLES note WRITE",
    "SELECT id FROM note FOR UPDATE",
    "SELECT id FROM secret",
    "INSERT INTO secret (id) VALUES ('taken')",
    "UPDATE secret SET id = 'taken'",
    "DELETE FROM secret",
    "DROP TABLE secret",
    "SELECT id FROM note; DELETE FROM secret",
    "INSERT INTO note (id, body) SELECT id, 'secret' FROM secret",
    "SELECT id FROM note INTO OUTFILE '/tmp/x'",
    "COPY note TO '/tmp/x'",
    "SET GLOBAL max_connections = 1",
];
