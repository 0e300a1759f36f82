//! The parts of a statement that writes: its table, the columns that it writes, and for each value the column that it
//! is for. A comparison of two adapters names them (`host/src/target/compare.rs`).
//!
//! The writer of templates notes them while it writes the statement's tree (`render.rs`), so that values are in the
//! order of the parameters.

use super::lexer;
use super::notes::{Notes, Slot};
use super::parser::Parser;
use super::render;
use super::tree::{Factor, Statement};
use crate::database::Dialect;

/// A statement that writes.
#[derive(Clone)]
pub struct StatementParts {
    /// `INSERT`, `UPDATE` or `DELETE`.
    pub verb: &'static str,
    /// The table that is written, or the first one of several.
    pub table: String,
    /// The whole statement without its values.
    pub template: String,
    /// The columns that are written, in order.
    pub columns: Vec<String>,
    /// Parameters and literals, in order.
    pub slots: Vec<Slot>,
}

/// The parts of a statement that an adapter ran; `None` for one that only reads, and for one that cannot be read.
#[must_use]
pub fn statement_parts(dialect: Dialect, sql: &str) -> Option<StatementParts> {
    let tokens = lexer::tokens(dialect, sql).ok()?;
    let statement = Parser::new(dialect, sql, &tokens).statement().ok()??;
    let (verb, table) = match &statement {
        Statement::Query(_) => return None,
        Statement::Insert(_, insert) => ("INSERT", Some(&insert.table)),
        Statement::Update(_, update) => ("UPDATE", update.tables.first().and_then(|joined| first_table(&joined.first))),
        Statement::Delete(_, delete) => ("DELETE", delete.from.first().and_then(|joined| first_table(&joined.first))),
    };
    let table = table.map(|table| table.name.0.clone()).unwrap_or_default();
    let (template, Notes { columns, slots, .. }) = render::noted(dialect, &statement);
    Some(StatementParts { verb, table, template, columns, slots })
}

fn first_table(factor: &Factor) -> Option<&super::tree::TableName> {
    match factor {
        Factor::Table { name, .. } => Some(name),
        Factor::Nested(joined) => first_table(&joined.first),
        Factor::Query { .. } | Factor::Function { .. } | Factor::JsonTable { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each value as `column=` where it is written and `column?` in a condition, then a literal.
    fn slots(sql: &str) -> Vec<String> {
        let parts = statement_parts(Dialect::MySql, sql).expect("a statement that writes");
        let shown = |slot: &Slot| {
            let sign = if slot.is_written { '=' } else { '?' };
            format!(
                "{}{sign}{}",
                slot.column.as_deref().unwrap_or_default(),
                slot.literal.as_deref().unwrap_or_default()
            )
        };
        parts.slots.iter().map(shown).collect()
    }

    #[test]
    fn each_value_has_the_column_that_it_is_for() {
        assert_eq!(slots("INSERT INTO t (a, b) VALUES (?, 'x'), (?, 7)"), ["a=", "b=x", "a=", "b=7"]);
        assert_eq!(
            slots("UPDATE t SET a = ?, b = CONCAT(?, 'y') WHERE c = ? AND d > 3"),
            ["a=", "b=", "b=y", "c?", "d?3"]
        );
        assert_eq!(slots("INSERT INTO t (a, b) SELECT ?, c FROM u WHERE d = ?"), ["a=", "d?"]);
        assert_eq!(slots("INSERT INTO t (a) VALUES (?) ON DUPLICATE KEY UPDATE b = ?"), ["a=", "b="]);
        assert_eq!(slots("DELETE FROM t WHERE a = ?"), ["a?"]);
        assert_eq!(slots("INSERT INTO t VALUES (?, 1)"), ["=", "=1"]);
    }

    #[test]
    fn a_statement_has_its_table_and_every_column_that_it_writes() {
        let parts =
            statement_parts(Dialect::Postgres, "UPDATE t SET a = 1, b = CURRENT_TIMESTAMP WHERE c = 2").expect("it");
        assert_eq!(
            (parts.verb, parts.table.as_str(), parts.columns),
            ("UPDATE", "t", vec!["a".to_owned(), "b".to_owned()])
        );
        assert!(!parts.template.contains(['1', '2']), "{}", parts.template);
        assert!(statement_parts(Dialect::Sqlite, "SELECT a FROM t").is_none());
        assert!(statement_parts(Dialect::Sqlite, "DROP TABLE t").is_none());
    }

    #[test]
    fn a_long_statement_keeps_its_whole_template() {
        let columns: Vec<_> = (0..500).map(|number| format!("column_{number}")).collect();
        let values = vec!["?"; 500].join(", ");
        let sql = format!("INSERT INTO t ({}) VALUES ({values})", columns.join(", "));
        let parts = statement_parts(Dialect::Sqlite, &sql).expect("it");
        assert!(parts.template.contains("column_499"));
        assert_eq!((parts.columns.len(), parts.slots.len()), (500, 500));
    }
}
