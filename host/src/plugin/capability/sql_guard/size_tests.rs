//! The guard with statements as large as a batch makes them, and as deep as a hostile adapter may.

use std::fmt::Write as _;
use std::thread;
use std::time::Duration;

use super::{Verb, judge};
use crate::database::Dialect::{self, MySql, Postgres, Sqlite};
use crate::domain::grants::SqlGrants;

fn repeated(piece: &str, between: &str, count: usize) -> String {
    vec![piece; count].join(between)
}

/// The statements of a batch of 500, with the number of columns that OpenEMR's adapter writes.
fn batches() -> Vec<(Dialect, &'static str, String)> {
    let row = format!("({})", repeated("?", ", ", 24));
    let names: Vec<String> = (0..24).map(|column| format!("c{column}")).collect();
    let first: Vec<String> = names.iter().map(|name| format!("? AS {name}")).collect();
    let mut assignments = String::new();
    for name in &names {
        write!(assignments, "{}t.{name} = v.{name}", if assignments.is_empty() { "" } else { ", " }).unwrap();
    }
    let union = format!(
        "SELECT {} UNION ALL {}",
        first.join(", "),
        repeated(&format!("SELECT {}", repeated("?", ", ", 24)), " UNION ALL ", 499)
    );
    let insert = format!("INSERT INTO patient_data ({}) VALUES {}", names.join(", "), repeated(&row, ", ", 500));
    let update = format!(
        "UPDATE patient_data AS t SET c1 = v.column2 FROM (VALUES {}) AS v WHERE t.c0 = v.column1",
        repeated(&row, ", ", 500)
    );
    vec![
        (MySql, "insert", insert.clone()),
        (Sqlite, "insert", insert.clone()),
        (Postgres, "insert", insert),
        (
            MySql,
            "update join union",
            format!("UPDATE patient_data t JOIN ({union}) v ON t.c0 = v.c0 SET {assignments}"),
        ),
        (Sqlite, "update from values", update.clone()),
        (Postgres, "update from values", update),
    ]
}

#[test]
fn an_insert_of_500_rows_is_accepted() {
    for (dialect, what, sql) in batches() {
        // No more stack than a thread of tokio's has.
        let took = thread::Builder::new()
            .stack_size(2 << 20)
            .spawn(move || {
                let began = std::time::Instant::now();
                let permit = judge(dialect, &SqlGrants::everything(), &sql, Verb::Write);
                assert!(permit.is_ok(), "{dialect:?} {what}: {permit:?}");
                began.elapsed()
            })
            .unwrap()
            .join()
            .unwrap();
        eprintln!("{dialect:?} {what}: {took:?}");
    }
}

#[test]
fn a_statement_of_any_depth_is_checked_without_overflow() {
    let deep = |sql: String| {
        thread::Builder::new()
            .stack_size(2 << 20)
            .spawn(move || judge(MySql, &SqlGrants::everything(), &sql, Verb::Read).map(drop))
            .unwrap()
            .join()
            .unwrap()
    };
    assert_eq!(deep(format!("SELECT {}", repeated("1", " + ", 30_000))), Ok(()));
    assert_eq!(deep(repeated("SELECT 1", " UNION ALL ", 15_000)), Ok(()));
    assert_eq!(deep(format!("SELECT {}1{}", "(".repeat(45), ")".repeat(45))), Ok(()));
    assert!(deep(format!("SELECT {}", repeated("1", "+", 100_000))).unwrap_err().says("words"));
    assert!(deep(format!("SELECT {}1{}", "(".repeat(10_000), ")".repeat(10_000))).unwrap_err().says("nested"));
    assert!(deep(format!("SELECT 1 FROM {}a", "(".repeat(10_000))).unwrap_err().says("nested"));
    assert!(deep(format!("SELECT {}", "NOT ".repeat(10_000))).is_err());
    assert!(deep(format!("SELECT '{}'", "x".repeat(2 << 20))).unwrap_err().says("bytes"));
}

/// Statements that are as long as this number says, each in one respect.
fn forms(count: usize) -> Vec<String> {
    let many = |one: &dyn Fn(usize) -> String| (1..=count).map(one).collect::<Vec<_>>().concat();
    let list = |one: &str| vec![one; count].join(", ");
    vec![
        format!("SELECT {}1", "NOT ".repeat(count)),
        format!("SELECT {}1", "- ".repeat(count)),
        format!("SELECT {}", repeated("a", " + ", count)),
        format!("SELECT {}", repeated("a", " AND ", count)),
        format!("SELECT {}", "'a' ".repeat(count)),
        format!("SELECT '{}'", "''".repeat(count * 30)),
        format!("SELECT {}", "a.".repeat(count)),
        format!("SELECT {}", list("x COLLATE y")),
        format!("SELECT {} FROM granted g", list("g.a")),
        format!("SELECT {} FROM granted g", many(&|n| format!("g.a{n} AS b{n}, ")) + "1"),
        format!("SELECT {} FROM granted g", list("g.*")),
        format!("SELECT COALESCE({})", list("a")),
        format!("SELECT 1 FROM granted WHERE a IN ({})", list("?")),
        format!("SELECT CASE{} END", " WHEN a THEN 1".repeat(count)),
        format!("SELECT 1 FROM granted ORDER BY {}", list("a")),
        format!("SELECT 1 FROM granted GROUP BY {}", list("a")),
        format!("SELECT 1 FROM granted g0{}", many(&|n| format!(" JOIN granted g{n} ON g{n}.a = g0.a"))),
        format!("SELECT * FROM granted g0{}", many(&|n| format!(", granted g{n}"))),
        format!("WITH {} w AS (SELECT 1) SELECT 1", many(&|n| format!("w{n} AS (SELECT 1),"))),
        format!("SELECT 1{}", " UNION ALL SELECT *".repeat(count)),
        format!("SELECT 1 FROM granted WHERE a = 1{}", " OR EXISTS (SELECT 1 FROM granted)".repeat(count)),
        format!("UPDATE granted SET {}", list("a = 1")),
        format!("UPDATE granted SET {}", many(&|n| format!("a{n} = 1, ")) + "a = 1"),
        format!("INSERT INTO granted (a) VALUES {}", list("(1)")),
        format!("INSERT INTO granted ({}) VALUES (1)", list("a")),
    ]
}

/// The minimum checking time so far, including one more run.
#[cfg(unix)]
fn least(sofar: Duration, dialect: Dialect, sql: &str) -> Duration {
    let verb = if sql.starts_with("SELECT") || sql.starts_with("WITH") { Verb::Read } else { Verb::Write };
    let began = processor_time();
    // The verdict does not matter here.
    drop(judge(dialect, &SqlGrants::everything(), sql, verb));
    sofar.min(processor_time().saturating_sub(began))
}

/// What this thread has used of a processor: other programs of the machine do not add to it.
#[cfg(unix)]
fn processor_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.cast_unsigned(), u32::try_from(time.tv_nsec).expect("below a second"))
}

/// Four times the text takes about four times the time, where a quadratic form would take sixteen times. A busy machine
/// still makes some runs slower: the minimum of several is compared, and a form gets more runs before it fails.
#[cfg(unix)]
#[test]
fn checking_time_grows_only_with_the_length() {
    let (count, ratio_max, runs_min, runs_max) = (2_000, 8.0, 3, 60);
    let quick = Duration::from_millis(4);
    for (short, long) in forms(count).iter().zip(&forms(4 * count)) {
        for dialect in [MySql, Postgres, Sqlite] {
            let (mut least_short, mut least_long) = (Duration::MAX, Duration::MAX);
            let is_linear = (1..=runs_max).any(|run| {
                least_short = least(least_short, dialect, short);
                least_long = least(least_long, dialect, long);
                // Even the longest statement takes little time, for any growth.
                let is_linear = least_long.as_secs_f64() < ratio_max * least_short.as_secs_f64() || least_long < quick;
                run >= runs_min && is_linear
            });
            let form = &short[..short.len().min(60)];
            assert!(is_linear, "{dialect:?}: {least_short:?}, then {least_long:?} for four times the length: {form}");
        }
    }
}
