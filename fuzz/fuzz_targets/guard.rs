//! The SQL guard under any text: it ends soon, what it lets through is one statement of granted tables to another parser as well,
//! and what it wrote is permitted again, word for word.
//!
//! The lower bits of the first byte choose the dialect, its highest bit the verb; the rest is the statement.

#![no_main]

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use host::database::Dialect;
use host::plugin::{SqlGrants, rewrite_statement};
use libfuzzer_sys::fuzz_target;
use sqlparser::ast::{ObjectName, Visit as _, Visitor};
use sqlparser::dialect::{Dialect as Grammar, MySqlDialect, PostgreSqlDialect, SQLiteDialect};
use sqlparser::parser::Parser;

/// More than judging a text of this length ever takes.
const JUDGING_MAX: Duration = Duration::from_secs(2);

struct Names;

impl Visitor for Names {
    type Break = String;
    fn pre_visit_relation(&mut self, relation: &ObjectName) -> ControlFlow<String> {
        let name = relation.to_string().to_lowercase();
        if name.contains("secret") { ControlFlow::Break(name) } else { ControlFlow::Continue(()) }
    }
}

fuzz_target!(|data: &[u8]| {
    let Some((choice, text)) = data.split_first() else { return };
    let Ok(sql) = std::str::from_utf8(text) else { return };
    let (dialect, grammar): (Dialect, &dyn Grammar) = match (choice & 0x7f) % 3 {
        0 => (Dialect::Sqlite, &SQLiteDialect {}),
        1 => (Dialect::MySql, &MySqlDialect {}),
        _ => (Dialect::Postgres, &PostgreSqlDialect {}),
    };
    let writes = choice & 0x80 != 0;
    let only = || ["granted"].into_iter().collect();
    let grants = SqlGrants { read: only(), insert: only(), update: only(), delete: only() };
    let began = Instant::now();
    let verdict = rewrite_statement(dialect, &grants, sql, writes);
    assert!(began.elapsed() < JUDGING_MAX, "judging took {:?}", began.elapsed());
    let Ok(sent) = verdict else { return };
    assert!(!sent.contains("/*") && !sent.contains("--") && !sent.contains('\0'), "{sent}");
    let bare = sent.replace("pg_catalog.", "");
    assert_eq!(rewrite_statement(dialect, &grants, &bare, writes).as_deref(), Ok(sent.as_str()), "{sent}");
    // Deep texts cost the other parser more than they teach.
    if sent.len() > 2_000 || sent.matches('(').count() > 12 || sent.contains("WITH") {
        return;
    }
    let numbered = dialect.placeholders(&sent, &[]);
    let Ok(statements) = Parser::parse_sql(grammar, &numbered) else { return };
    assert_eq!(statements.len(), 1, "{sent}");
    assert_eq!(statements.visit(&mut Names), ControlFlow::Continue(()), "{sent}");
});
