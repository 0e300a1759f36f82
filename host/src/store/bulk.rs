//! How many rows one statement inserts.
//!
//! One JSON parameter (`sql::Json`) makes one statement for any number of rows, but the database reads it field by
//! field, which is slow for wide rows. So whole blocks of rows go as a list of VALUES on SQLite and MySQL, and as one
//! array for each column on PostgreSQL. Blocks have a few fixed sizes, so that their statements stay prepared.

use super::sql::{Statement, TextRows};
use super::{StoreError, StoreTransaction};
use crate::database::Dialect;

/// Rows in one list of VALUES: below SQLite's 32,766 and MySQL's 65,535 parameters with the widest table.
pub(super) const BLOCK_ROWS: usize = 1_000;

/// A row's texts, in the order of its statement's columns.
pub(super) type Texts = Vec<Option<String>>;

/// How many of these rows [`StoreTransaction::insert_blocks`] takes; the others go by JSON. PostgreSQL's arrays have
/// any length.
pub(super) fn rows_in_blocks(dialect: Dialect, rows: usize) -> usize {
    match dialect {
        Dialect::Postgres => rows,
        Dialect::Sqlite | Dialect::MySql => rows - rows % BLOCK_ROWS,
    }
}

/// Pads rows for a statement that replaces those with the same key, so that few texts are prepared. The last row is
/// repeated, which changes nothing.
pub(super) fn padded_rows(dialect: Dialect, mut rows: Vec<Texts>) -> Vec<Texts> {
    if let Some(last) = rows.last().filter(|_| dialect != Dialect::Postgres).cloned() {
        rows.resize(padded(rows.len()), last);
    }
    rows
}

fn padded(rows: usize) -> usize {
    if rows <= 64 { rows.next_power_of_two() } else { rows.next_multiple_of(64) }
}

impl StoreTransaction {
    /// Inserts rows: at most one statement for each [`BLOCK_ROWS`] of them.
    pub(super) async fn insert_blocks<S: Statement, const COLUMNS: usize>(
        &mut self,
        rows: Vec<Texts>,
        statement: impl Fn(TextRows<COLUMNS>) -> S,
    ) -> Result<(), StoreError> {
        let block_rows = if self.dialect() == Dialect::Postgres { rows.len() } else { BLOCK_ROWS };
        let mut rows = rows.into_iter();
        while rows.len() > 0 {
            let block = rows.by_ref().take(block_rows).collect();
            self.run(statement(TextRows(block))).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_are_prepared_in_few_sizes() {
        assert_eq!([1, 3, 33, 64, 65, 500, 1_000].map(padded), [1, 4, 64, 64, 128, 512, 1_024]);
        let rows = vec![vec![Some("a".to_owned())], vec![None], vec![Some("b".to_owned())]];
        assert_eq!(padded_rows(Dialect::Postgres, rows.clone()), rows);
        assert_eq!(padded_rows(Dialect::Sqlite, rows.clone())[2..], [rows[2].clone(), rows[2].clone()]);
        assert_eq!(padded_rows(Dialect::MySql, Vec::new()), Vec::<Texts>::new());
    }

    #[test]
    fn only_full_blocks_are_sent_as_values() {
        let counts = [0, 999, 1_000, 2_500].map(|rows| rows_in_blocks(Dialect::Sqlite, rows));
        assert_eq!(counts, [0, 0, 1_000, 2_000]);
        assert_eq!(rows_in_blocks(Dialect::Postgres, 7), 7);
    }
}
