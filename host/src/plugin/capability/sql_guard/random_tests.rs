//! The guard with random statements: it always returns a verdict, accepted statements use only granted tables, and its
//! output parses to the same tree.

use proptest::prelude::*;
use sqlparser::ast::{ObjectName, Visit as _, Visitor};
use sqlparser::dialect::{Dialect as Grammar, MySqlDialect, PostgreSqlDialect, SQLiteDialect};
use sqlparser::parser::Parser;
use std::ops::ControlFlow;

use super::{Verb, is_written_faithfully, judge};
use crate::database::Dialect::{self, MySql, Postgres, Sqlite};
use crate::domain::grants::SqlGrants;

/// Pieces of SQL. Random combinations of them are often close to a valid statement.
const PIECES: &[&str] = &[
    "SELECT",
    "INSERT",
    "INTO",
    "UPDATE",
    "DELETE",
    "FROM",
    "WHERE",
    "SET",
    "VALUES",
    "WITH",
    "RECURSIVE",
    "AS",
    "JOIN",
    "USING",
    "ON",
    "UNION",
    "ALL",
    "EXISTS",
    "IN",
    "NOT",
    "NULL",
    "CASE",
    "WHEN",
    "THEN",
    "END",
    "ORDER",
    "BY",
    "LIMIT",
    "FOR",
    "RETURNING",
    "CONFLICT",
    "DO",
    "NOTHING",
    "DUPLICATE",
    "KEY",
    "COMMIT",
    "ROLLBACK",
    "BEGIN",
    "DROP",
    "TABLE",
    "CALL",
    "OUTFILE",
    "(",
    ")",
    "(",
    ")",
    ",",
    ";",
    "=",
    "*",
    "?",
    "'",
    "\"",
    "`",
    "--",
    "/*",
    "*/",
    "/*!",
    "#",
    "\\",
    "@",
    "@@",
    ":",
    "$",
    "$$",
    "1",
    "NaN",
    "1e999",
    "'a'",
    "secret",
    "granted",
    "granted",
    "g",
    "a",
    "b",
    ".",
    "mysql",
    "x'00'",
    "\0",
    "é",
    "\u{202e}",
    "SLEEP",
    "LOAD_FILE",
    "pg_sleep",
    "COALESCE",
    "::",
    "->>",
    "LATERAL",
    "ONLY",
    "TABLESAMPLE",
];

fn grammar(dialect: Dialect) -> Box<dyn Grammar> {
    match dialect {
        Sqlite => Box::new(SQLiteDialect {}),
        MySql => Box::new(MySqlDialect {}),
        Postgres => Box::new(PostgreSqlDialect {}),
    }
}

/// Whether a statement uses a relation of this name, according to a parser other than the guard's.
struct Names(&'static str);

impl Visitor for Names {
    type Break = ();
    fn pre_visit_relation(&mut self, relation: &ObjectName) -> ControlFlow<()> {
        if relation.to_string().to_lowercase().contains(self.0) {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }
}

fn check(sql: &str) {
    let only: fn() -> _ = || ["granted"].into_iter().collect();
    let grants = SqlGrants { read: only(), insert: only(), update: only(), delete: only() };
    for dialect in [Sqlite, MySql, Postgres] {
        for verb in [Verb::Read, Verb::Write] {
            let Ok(permit) = judge(dialect, &grants, sql, verb) else { continue };
            let sent = permit.sql;
            assert!(is_written_faithfully(dialect, sql, &sent), "{dialect:?}: {sql}: {sent}");
            assert!(!sent.contains(';') && !sent.contains("/*") && !sent.contains("--"), "{dialect:?}: {sent}");
            let text = dialect.placeholders(&sent, &[]);
            // Checks with an independent parser whose grammar is wider than ours.
            let Ok(statements) = Parser::parse_sql(&*grammar(dialect), &text) else { continue };
            assert_eq!(statements.len(), 1, "{dialect:?}: {sent}");
            let aliased = sent.contains("WITH");
            assert!(aliased || statements.visit(&mut Names("secret")).is_continue(), "{dialect:?}: {sent}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn any_text_is_checked_without_panic(sql in "\\PC{0,200}") {
        check(&sql);
    }

    #[test]
    fn random_tokens_are_checked_without_panic(pieces in prop::collection::vec(prop::sample::select(PIECES), 0..40)) {
        check(&pieces.join(" "));
    }

    #[test]
    fn tokens_inserted_into_a_valid_statement_are_checked_without_panic(
        which in 0_usize..6,
        place in 0.0_f64..1.0,
        pieces in prop::collection::vec(prop::sample::select(PIECES), 1..5),
    ) {
        let good = [
            "SELECT a , b FROM granted WHERE a IN ( ? , ? ) ORDER BY a",
            "SELECT g . a FROM granted g JOIN ( SELECT a FROM granted ) v ON g . a = v . a",
            "WITH w AS ( SELECT a FROM granted ) SELECT a FROM w",
            "INSERT INTO granted ( a , b ) VALUES ( ? , ? )",
            "UPDATE granted SET a = ? , b = ( SELECT a FROM granted ) WHERE b = ?",
            "DELETE FROM granted WHERE a = ?",
        ][which];
        let mut words: Vec<&str> = good.split(' ').collect();
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
        let at = (place * words.len() as f64) as usize;
        words.splice(at..at, pieces);
        check(&words.join(" "));
    }
}
