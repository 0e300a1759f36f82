//! Writing many rows at once: the quickest form of INSERT that each database has.
//!
//! One JSON parameter (`sql::json_rows`) is one statement for any number of rows, but it is read field by field: measured,
//! wide rows cost two to three times as much that way. So whole blocks of rows go as a list of VALUES on SQLite and MySQL,
//! and as one array for each column on PostgreSQL. Statements of a few fixed sizes are made, so that they stay prepared.

use std::fmt::Write as _;

use super::{StoreError, StoreTransaction};
use crate::database::{Dialect, Value};

/// Rows in one list of VALUES: below SQLite's 32,766 and MySQL's 65,535 parameters with the widest table.
pub(super) const BLOCK_ROWS: usize = 1_000;

/// Where rows go.
pub(super) struct Insert<'a> {
    /// The table.
    pub(super) table: &'a str,
    /// One for each value of a row. They travel as text.
    pub(super) columns: &'a [&'a str],
    /// Of these, the ones that hold whole numbers.
    pub(super) integers: &'a [&'a str],
    /// Columns that are the same in every row, with their SQL.
    pub(super) same: &'a [(&'a str, &'a str)],
    /// What follows the rows, for example `ON CONFLICT ...`.
    pub(super) tail: &'a str,
}

/// How many of these rows go by [`StoreTransaction::insert_block`]; the others by JSON. PostgreSQL's arrays have any length.
pub(super) fn rows_in_blocks(dialect: Dialect, rows: usize) -> usize {
    match dialect {
        Dialect::Postgres => rows,
        Dialect::Sqlite | Dialect::MySql => rows - rows % BLOCK_ROWS,
    }
}

impl StoreTransaction {
    /// Inserts rows: at most one statement for each [`BLOCK_ROWS`] of them.
    pub(super) async fn insert_blocks(
        &mut self,
        insert: &Insert<'_>,
        rows: Vec<Vec<Option<String>>>,
    ) -> Result<(), StoreError> {
        if rows.is_empty() {
            return Ok(());
        }
        if self.dialect() == Dialect::Postgres {
            let sql = from_arrays(insert);
            return self.execute_at(&sql, by_column(insert.columns.len(), rows)).await;
        }
        let sql = from_values(insert, BLOCK_ROWS);
        let mut rows = rows.into_iter();
        while rows.len() > 0 {
            let block: Vec<Value> = rows.by_ref().take(BLOCK_ROWS).flatten().map(Value::from).collect();
            debug_assert_eq!(block.len(), BLOCK_ROWS * insert.columns.len());
            self.execute_at(&sql, block).await?;
        }
        Ok(())
    }

    /// Inserts rows, or replaces those with the same key, as `insert.tail` says: one statement.
    pub(super) async fn upsert_rows(
        &mut self,
        insert: &Insert<'_>,
        mut rows: Vec<Vec<Option<String>>>,
    ) -> Result<(), StoreError> {
        let Some(last) = rows.last().cloned() else { return Ok(()) };
        if self.dialect() == Dialect::Postgres {
            return self.execute_at(&from_arrays(insert), by_column(insert.columns.len(), rows)).await;
        }
        // The last row again changes nothing.
        rows.resize(padded(rows.len()), last);
        let sql = from_values(insert, rows.len());
        self.execute_at(&sql, rows.into_iter().flatten().map(Value::from).collect()).await
    }
}

/// So many rows, or a few more: few texts are prepared, and stay so.
fn padded(rows: usize) -> usize {
    if rows <= 64 { rows.next_power_of_two() } else { rows.next_multiple_of(64) }
}

fn names(insert: &Insert<'_>) -> String {
    insert.columns.iter().copied().chain(insert.same.iter().map(|(name, _)| *name)).collect::<Vec<_>>().join(", ")
}

fn same(insert: &Insert<'_>) -> String {
    insert.same.iter().fold(String::new(), |text, (_, sql)| text + ", " + sql)
}

fn from_values(insert: &Insert<'_>, rows: usize) -> String {
    let marks = vec!["?"; insert.columns.len()].join(", ");
    let row = format!("({marks}{})", same(insert));
    let mut sql = format!("INSERT INTO {} ({}) VALUES ", insert.table, names(insert));
    for index in 0..rows {
        if index > 0 {
            sql.push_str(", ");
        }
        sql.push_str(&row);
    }
    sql.push_str(insert.tail);
    sql
}

fn from_arrays(insert: &Insert<'_>) -> String {
    let read = |name: &&str| {
        if insert.integers.contains(name) { format!("CAST(j.{name} AS BIGINT)") } else { format!("j.{name}") }
    };
    let columns = insert.columns.iter().map(read).collect::<Vec<_>>().join(", ");
    let marks = vec!["?"; insert.columns.len()].join(", ");
    let mut sql = format!("INSERT INTO {} ({}) SELECT {columns}{}", insert.table, names(insert), same(insert));
    write!(sql, " FROM unnest({marks}) AS j({}){}", insert.columns.join(", "), insert.tail)
        .expect("invariant: a String takes text");
    sql
}

fn by_column(count: usize, rows: Vec<Vec<Option<String>>>) -> Vec<Value> {
    let mut columns: Vec<Vec<Option<String>>> = (0..count).map(|_| Vec::with_capacity(rows.len())).collect();
    for row in rows {
        for (column, value) in columns.iter_mut().zip(row) {
            column.push(value);
        }
    }
    columns.into_iter().map(Value::Texts).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const INSERT: Insert<'_> = Insert {
        table: "t",
        columns: &["a", "b"],
        integers: &["b"],
        same: &[("at", "7")],
        tail: " ON CONFLICT DO NOTHING",
    };

    #[test]
    fn rows_are_written_in_each_dialects_own_form() {
        assert_eq!(
            from_values(&INSERT, 2),
            "INSERT INTO t (a, b, at) VALUES (?, ?, 7), (?, ?, 7) ON CONFLICT DO NOTHING"
        );
        assert_eq!(
            from_arrays(&INSERT),
            "INSERT INTO t (a, b, at) SELECT j.a, CAST(j.b AS BIGINT), 7 FROM unnest(?, ?) AS j(a, b) ON CONFLICT DO NOTHING"
        );
    }

    #[test]
    fn few_sizes_of_statement_are_prepared() {
        assert_eq!([1, 3, 33, 64, 65, 500, 1_000].map(padded), [1, 4, 64, 64, 128, 512, 1_024]);
    }

    #[test]
    fn only_whole_blocks_go_as_values() {
        let counts = [0, 999, 1_000, 2_500].map(|rows| rows_in_blocks(Dialect::Sqlite, rows));
        assert_eq!(counts, [0, 0, 1_000, 2_000]);
        assert_eq!(rows_in_blocks(Dialect::Postgres, 7), 7);
    }

    #[test]
    fn columns_are_rows_turned_round() {
        let row = |a: &str, b: Option<&str>| vec![Some(a.to_owned()), b.map(str::to_owned)];
        let columns = by_column(2, vec![row("1", None), row("2", Some("x"))]);
        assert!(columns[0] == Value::Texts(vec![Some("1".to_owned()), Some("2".to_owned())]));
        assert!(columns[1] == Value::Texts(vec![None, Some("x".to_owned())]));
    }
}
