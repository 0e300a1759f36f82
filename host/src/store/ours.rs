//! Whether the tables that bear our names are ours: another program's `users` is never taken for the host's.
//!
//! What shows that a table is ours is the row of `schema_migration` for the migration that made it. A table that is there without
//! that row is another program's, with one exception: MySQL commits each statement by itself, so that a host that died between
//! two of them leaves tables without the row. Those have all of our columns, and `schema_migration` is there before them. It owns
//! the question only; `migrate.rs` asks it.

use std::collections::BTreeSet;

use crate::database::{DatabaseError, Dialect, RowLimits, Transaction, Value};

const CREATE: &str = "CREATE TABLE IF NOT EXISTS ";

/// A table that is made by a migration, with its columns.
#[derive(Debug, PartialEq, Eq)]
struct Table {
    name: String,
    columns: BTreeSet<String>,
}

/// The name of a table that is there and is not ours, among those that this SQL makes. One that may be half made is ours when it
/// has all of our columns.
pub(super) async fn foreign_table(
    transaction: &mut Transaction,
    sql: &str,
    may_be_half_made: bool,
) -> Result<Option<String>, DatabaseError> {
    for table in tables(sql) {
        let found = columns(transaction, &table.name).await?;
        let is_ours = may_be_half_made && table.columns.is_subset(&found);
        if !found.is_empty() && !is_ours {
            return Ok(Some(table.name));
        }
    }
    Ok(None)
}

/// Whether a table that this SQL makes is there.
pub(super) async fn is_there(transaction: &mut Transaction, sql: &str) -> Result<bool, DatabaseError> {
    for table in tables(sql) {
        if !columns(transaction, &table.name).await?.is_empty() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// In lower case; none when there is no such table where ours would be made.
async fn columns(transaction: &mut Transaction, table: &str) -> Result<BTreeSet<String>, DatabaseError> {
    let sql = match transaction.dialect() {
        Dialect::Sqlite => "SELECT name FROM pragma_table_info(?)",
        Dialect::MySql => {
            "SELECT CAST(column_name AS CHAR) FROM information_schema.columns WHERE table_schema = DATABASE() AND table_name = ?"
        }
        Dialect::Postgres => {
            "SELECT CAST(column_name AS TEXT) FROM information_schema.columns \
             WHERE table_schema = current_schema() AND table_name = ?"
        }
    };
    let rows = transaction.query(sql, &[table.into()], RowLimits::NONE).await?;
    let names = rows.rows.into_iter().filter_map(|row| row.into_iter().next().and_then(Value::into_text));
    Ok(names.map(|name| name.to_lowercase()).collect())
}

/// Our files have one column in each line, and keys and constraints in lines of their own.
fn tables(sql: &str) -> Vec<Table> {
    let mut tables = Vec::new();
    for (at, _) in sql.match_indices(CREATE) {
        let mut lines = sql[at + CREATE.len()..].lines();
        let name = lines.next().unwrap_or_default().trim_end_matches(['(', ' ']).trim_matches(['"', '`']).to_owned();
        let columns = lines
            .take_while(|line| !line.starts_with(')'))
            .filter_map(|line| line.split_whitespace().next())
            .filter(|word| {
                word.chars()
                    .all(|character| character.is_ascii_lowercase() || character == '_' || character.is_ascii_digit())
            })
            .map(str::to_owned)
            .collect();
        tables.push(Table { name, columns });
    }
    tables
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_and_their_columns_are_read_from_our_files() {
        let sql = "-- x\nCREATE TABLE IF NOT EXISTS users (\n    username VARCHAR(64) NOT NULL PRIMARY KEY,\n    role2 TEXT,\n    \
                   CONSTRAINT a UNIQUE (role2),\n    PRIMARY KEY (username)\n) ENGINE=InnoDB;\nCREATE TABLE IF NOT EXISTS `b` (\n    c TEXT\n);\n";
        let columns = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let expected = [
            Table { name: "users".to_owned(), columns: columns(&["username", "role2"]) },
            Table { name: "b".to_owned(), columns: columns(&["c"]) },
        ];
        assert_eq!(tables(sql), expected);
    }
}
