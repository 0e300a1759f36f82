//! How long the guard takes for the statements of a batch, next to a general parser that only reads them: one line of
//! JSON for each.
//!
//! Run by `cargo xtask bench --only judging`. The host judges each text once and then knows it.

#![allow(clippy::print_stdout, reason = "what it prints is its answer")]

use std::time::Instant;

use host::database::Dialect;
use host::plugin::{SqlGrants, rewrite_statement};
use sqlparser::dialect::MySqlDialect;
use sqlparser::parser::Parser;

const ROWS: usize = 500;
const COLUMNS: usize = 24;
const REPEATS: usize = 9;

fn list(one: &str, between: &str, count: usize) -> String {
    vec![one; count].join(between)
}

fn statements() -> [(&'static str, bool, String); 3] {
    let names: Vec<String> = (0..COLUMNS).map(|column| format!("`c{column}`")).collect();
    let row = format!("({})", list("?", ", ", COLUMNS));
    let union = list(&format!("SELECT {}", list("?", ", ", COLUMNS)), " UNION ALL ", ROWS - 1);
    let first: Vec<String> = names.iter().map(|name| format!("CAST(? AS CHAR(255)) AS {name}")).collect();
    let sets: Vec<String> = names.iter().map(|name| format!("p.{name} = v.{name}")).collect();
    [
        (
            "SELECT of 500",
            false,
            format!("SELECT {} FROM `t` WHERE `c0` IN ({})", names.join(", "), list("?", ", ", ROWS)),
        ),
        ("INSERT of 500", true, format!("INSERT INTO `t` ({}) VALUES {}", names.join(", "), list(&row, ", ", ROWS))),
        (
            "UPDATE of 500",
            true,
            format!(
                "UPDATE `t` AS p INNER JOIN (SELECT {} UNION ALL {union}) AS v ON p.`c0` = v.`c0` SET {}",
                first.join(", "),
                sets.join(", ")
            ),
        ),
    ]
}

fn main() {
    let grants = SqlGrants::everything();
    for (name, writes, sql) in statements() {
        let ours =
            milliseconds(|| drop(rewrite_statement(Dialect::MySql, &grants, &sql, writes).expect("it is permitted")));
        let parser = milliseconds(|| drop(Parser::parse_sql(&MySqlDialect {}, &sql).expect("it is read")));
        println!("{{\"name\":\"{name}\",\"ours\":{ours:?},\"parser\":{parser:?}}}");
    }
}

fn milliseconds(work: impl Fn()) -> Vec<f64> {
    let once = |_| {
        let began = Instant::now();
        work();
        began.elapsed().as_secs_f64() * 1_000.0
    };
    (0..REPEATS).map(once).collect()
}
