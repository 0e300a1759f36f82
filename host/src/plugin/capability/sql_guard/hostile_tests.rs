//! Attacks that passed an earlier guard, and similar ones: each is refused, or sent in a harmless form.

use std::time::{Duration, Instant};

use super::{Verb, Wanted, judge};
use crate::database::Dialect::{self, MySql, Postgres, Sqlite};
use crate::domain::grants::SqlGrants;

const ALL: [Dialect; 3] = [Sqlite, MySql, Postgres];

fn grants() -> SqlGrants {
    SqlGrants {
        read: ["granted"].into_iter().collect(),
        update: ["granted"].into_iter().collect(),
        ..SqlGrants::default()
    }
}

#[track_caller]
fn refused(dialects: &[Dialect], sql: &str) {
    for dialect in dialects {
        for verb in [Verb::Read, Verb::Write] {
            let verdict = judge(*dialect, &grants(), sql, verb);
            assert!(verdict.is_err(), "{dialect:?} {verb:?}: {sql}: {verdict:?}");
        }
    }
}

#[track_caller]
fn sent(dialect: Dialect, sql: &str) -> String {
    let verb = if sql.starts_with("UPDATE") { Verb::Write } else { Verb::Read };
    judge(dialect, &grants(), sql, verb).unwrap_or_else(|refusal| panic!("{sql}: {refusal:?}")).sql
}

/// PostgreSQL reads `value.name` and `alias.name` as a call of `name`, if there is no such column.
#[test]
fn field_access_never_calls_a_function() {
    for sql in [
        "SELECT (CAST('SELECT 1' AS text)).ts_stat",
        "SELECT ('x').pg_sleep",
        "SELECT (g).pg_sleep FROM granted g",
        "SELECT (SELECT 1).pg_sleep",
        "SELECT (?).lo_unlink",
        "SELECT g.a.b FROM granted g",
        "SELECT v.pg_sleep FROM (SELECT 1 AS a) v",
        "SELECT v.pg_sleep FROM (VALUES (1)) v",
        "SELECT v.pg_sleep FROM (VALUES (1)) v(a)",
        "SELECT w.setval FROM (SELECT CAST('s' AS text)) w",
        "WITH w AS (SELECT 1 AS a) SELECT w.set_config FROM w",
        "WITH w(b) AS (SELECT 1 AS pg_sleep) SELECT w.pg_sleep FROM w",
        "SELECT u.pg_sleep FROM unnest(?) u",
        "SELECT j.pg_sleep FROM jsonb_to_recordset(?) AS j(a BIGINT)",
        "SELECT x.a FROM granted g",
        "SELECT granted.a FROM granted g",
        "SELECT a FROM granted ORDER BY x.pg_sleep",
        "UPDATE granted SET granted.a = 1",
        // The visible tables decide which of the two columns is meant.
        "SELECT (SELECT 1 FROM (SELECT 1 AS pg_sleep) x, (SELECT x.pg_sleep) y) FROM (SELECT 5.0 AS a) x",
    ] {
        refused(&[Postgres], sql);
    }
    // Columns that only the database knows are queried there.
    for (sql, column) in [
        ("SELECT g.pg_sleep FROM granted g", "pg_sleep"),
        ("SELECT v.b FROM (SELECT * FROM granted) v", "b"),
        ("WITH w AS (SELECT * FROM granted) SELECT w.b FROM w", "b"),
        ("SELECT a FROM granted g WHERE EXISTS (SELECT 1 FROM granted h WHERE h.a = g.c AND h.a > 0)", "a"),
        ("UPDATE granted SET a = granted.b", "b"),
    ] {
        let verb = if sql.starts_with("UPDATE") { Verb::Write } else { Verb::Read };
        let wanted: Vec<Wanted> = judge(Postgres, &grants(), sql, verb).expect(sql).wanted;
        let table = (None, "granted".to_owned());
        assert!(wanted.iter().any(|it| it.column == column && it.tables.contains(&table)), "{sql}: {wanted:?}");
    }
}

#[test]
fn only_the_databases_own_operators_are_allowed() {
    for sql in [
        "SELECT a @@@ b FROM granted",
        "SELECT a OPERATOR(public.+) b FROM granted",
        "SELECT a <-> b FROM granted",
        "SELECT a === b FROM granted",
        "SELECT a ~~~ b FROM granted",
        "SELECT @ a FROM granted",
        "SELECT a ! FROM granted",
        "SELECT |/ a FROM granted",
        "SELECT a ?| b FROM granted",
    ] {
        refused(&[Postgres], sql);
    }
}

/// Each name has one spelling in a statement, and is sent in quotes, so that the database does not fold its case again.
#[test]
fn a_with_name_never_gives_access_to_a_table() {
    for sql in [
        "WITH \"Secret\" AS (SELECT 1 AS a) SELECT a FROM secret",
        "WITH secret AS (SELECT 1 AS a) SELECT a FROM \"SECRET\"",
        "WITH \"sécret\" AS (SELECT 1 AS a) SELECT a FROM sécret",
        "WITH only AS (SELECT 1 AS a) SELECT a FROM ONLY secret",
        "WITH x AS (SELECT 1 AS a) SELECT a FROM x, secret",
        "WITH secret AS (SELECT 1 AS a) SELECT a FROM (SELECT a FROM public.secret) v",
        "WITH secret AS (SELECT a FROM secret) SELECT a FROM secret",
        "SELECT (WITH secret AS (SELECT 1 AS a) SELECT a FROM secret), (SELECT a FROM secret)",
    ] {
        refused(&[Postgres], sql);
    }
    for sql in
        ["WITH `Secret` AS (SELECT 1 AS a) SELECT a FROM secret", "WITH SECRET AS (SELECT 1 AS a) SELECT a FROM secret"]
    {
        refused(&[MySql], sql);
    }
    refused(&[Sqlite], "WITH ſecret AS (SELECT 1 AS a) SELECT a FROM secret");
    let long = "s".repeat(63);
    refused(&[Postgres], &format!("WITH {long}x AS (SELECT 1 AS a) SELECT a FROM {long}"));
    assert_eq!(
        sent(Postgres, "WITH W AS (SELECT 1 AS a) SELECT w.A FROM w"),
        r#"WITH "w" AS (SELECT 1 AS "a") SELECT "w"."a" FROM "w""#
    );
    assert_eq!(
        sent(Sqlite, "WITH W AS (SELECT 1 AS a) SELECT w.A FROM w"),
        "WITH `W` AS (SELECT 1 AS `a`) SELECT `w`.`A` FROM `w`"
    );
}

/// A server setting decides whether MariaDB distinguishes aliases by case.
#[test]
fn a_write_changes_only_the_table_that_was_checked() {
    for sql in [
        "UPDATE granted T JOIN readonly t ON T.a = t.a SET t.b = 1",
        "UPDATE granted g JOIN readonly r ON g.a = r.a SET r.b = 1",
        "UPDATE granted g JOIN readonly r ON g.a = r.a SET b = 1",
        "UPDATE granted JOIN granted ON 1 = 1 SET granted.b = 1",
        "UPDATE granted g, readonly SET readonly.b = 1",
        "UPDATE granted g JOIN (SELECT * FROM readonly) v ON 1 = 1 SET v.b = 1",
        "DELETE T FROM granted T JOIN readonly t ON T.a = t.a",
        "DELETE FROM granted, readonly USING granted JOIN readonly",
        "DELETE granted.* FROM granted",
        "WITH granted AS (SELECT 1 AS a) UPDATE granted SET a = 1",
    ] {
        refused(&[MySql], sql);
    }
    refused(&ALL, "UPDATE Granted.granted SET a = 1");
    assert_eq!(
        sent(MySql, "UPDATE granted g JOIN (SELECT 1 AS a UNION ALL SELECT 2) v ON g.a = v.a SET g.b = v.a"),
        "UPDATE `granted` AS `g` JOIN (SELECT 1 AS `a` UNION ALL SELECT 2) AS `v` ON `g`.`a` = `v`.`a` SET `g`.`b` = `v`.`a`"
    );
}

/// MariaDB has no `age`, PostgreSQL no `total`: such a call would run a routine of the target.
#[test]
fn a_function_that_this_database_lacks_is_refused() {
    for (dialect, names) in [
        (
            MySql,
            &["age", "total", "bin_to_uuid", "regexp_like", "any_value", "json_pretty", "btrim", "digest", "decode"][..],
        ),
        (
            Postgres,
            &["total", "ifnull", "instr", "digest", "unix_timestamp", "group_concat", "json_extract", "hex", "if"],
        ),
        (Sqlite, &["age", "md5", "gen_random_uuid", "load_extension", "if", "field", "instr", "replace", "zeroblob"]),
    ] {
        for name in names {
            refused(&[dialect], &format!("SELECT {name}(a) FROM granted"));
        }
    }
    for call in ["trim(a, b)", "ltrim(a, b)", "rtrim(a, 'x')", "unhex(a, b)"] {
        refused(&[Sqlite], &format!("SELECT {call} FROM granted"));
    }
    assert_eq!(sent(Sqlite, "SELECT TRIM(a) FROM granted"), "SELECT trim(`a`) FROM `granted`");
    assert_eq!(
        sent(Postgres, "SELECT UPPER(a), COALESCE(b, 1) FROM granted"),
        r#"SELECT pg_catalog.upper("a"), coalesce("b", 1) FROM "granted""#
    );
    assert_eq!(
        sent(Postgres, "SELECT SUBSTRING(a FROM 2 FOR 1) FROM granted"),
        r#"SELECT substring("a" FROM 2 FOR 1) FROM "granted""#
    );
    assert_eq!(sent(MySql, "SELECT COUNT (*) FROM granted"), "SELECT count(*) FROM `granted`");
}

/// The parser that the guard once used doubled its work with each of these levels.
#[test]
fn checking_terminates_for_deeply_nested_statements() {
    let nested = |open: &str, close: &str| format!("SELECT {}1{}", open.repeat(45), close.repeat(45));
    let many = |count: usize, one: &dyn Fn(usize) -> String| (1..count).map(one).collect::<Vec<_>>().concat();
    for sql in [
        nested("POSITION(", ")"),
        nested("(", ")"),
        nested("COALESCE(", ")"),
        nested("a IN (", ")"),
        nested("CAST(", " AS CHAR)"),
        nested("INTERVAL (", ") DAY"),
        nested("CASE WHEN ", " THEN 1 END"),
        nested("(SELECT ", ")"),
        nested("EXISTS (", ")"),
        format!("SELECT 1 FROM {}a{}", "(".repeat(45), ")".repeat(45)),
        format!("SELECT 1 FROM {}a", "(SELECT * FROM ".repeat(45)),
        format!("SELECT {}", "(".repeat(1 << 19)),
        format!("SELECT {}", "a.".repeat(1 << 18)),
        format!("SELECT {}", "NOT ".repeat(60_000)),
        format!("SELECT {}", "- ".repeat(60_000)),
        format!("SELECT {}", "'a' ".repeat(60_000)),
        format!("SELECT {}", "'".repeat((1 << 20) - 10)),
        format!("SELECT {}1", "x COLLATE y, ".repeat(15_000)),
        format!("SELECT 1 FROM granted g0{}", many(9_000, &|n| format!(" JOIN granted g{n} ON g{n}.a = g0.a"))),
        format!("WITH {} w AS (SELECT 1) SELECT 1", many(9_000, &|n| format!("w{n} AS (SELECT 1),"))),
        format!("SELECT 1{}", " UNION ALL SELECT *".repeat(20_000)),
        format!("UPDATE granted SET {}", vec!["a = 1"; 15_000].join(", ")),
    ] {
        for dialect in ALL {
            let one = Instant::now();
            // The verdict does not matter here.
            drop(judge(dialect, &grants(), &sql, if sql.starts_with("UPDATE") { Verb::Write } else { Verb::Read }));
            let took = one.elapsed();
            assert!(took < Duration::from_secs(10), "{dialect:?}: {took:?} for {}", &sql[..sql.len().min(60)]);
        }
    }
}

#[test]
fn quotes_inside_a_literal_never_end_it() {
    for (dialect, sql, expected) in [
        (MySql, "SELECT \"it's\"", "SELECT 'it''s'"),
        (MySql, "SELECT 'a''; DROP TABLE x'", "SELECT 'a''; DROP TABLE x'"),
        (Postgres, "SELECT 'it''s', '?'", "SELECT 'it''s', '?'"),
        (Sqlite, "SELECT 'a\\'", "SELECT 'a\\'"),
        (Sqlite, "SELECT X'00ff', .5e3, - - 1", "SELECT x'00ff', .5e3, - - 1"),
    ] {
        assert_eq!(sent(dialect, sql), expected);
    }
}
