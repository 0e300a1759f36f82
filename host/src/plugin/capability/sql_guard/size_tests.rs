//! The guard with statements as large as a batch makes them, and as deep as a hostile adapter may.

use std::fmt::Write as _;
use std::thread;

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
fn a_batch_of_500_rows_is_understood() {
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
fn a_statement_of_any_depth_is_answered() {
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
