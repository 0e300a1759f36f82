//! Tells the host's tables from another program's tables of the same name, for example `users`.
//!
//! A table is ours when `schema_migration` has the row of the migration that made it. Without that row it is another
//! program's, with one exception: MySQL commits each statement by itself, so a host that died between two of them
//! leaves tables without the row. Those have all of our columns, and `schema_migration` exists. This file only reads;
//! `migrate.rs` decides what follows.

use std::collections::BTreeSet;

use crate::database::{DatabaseError, Dialect, RowLimits, Transaction, Value};

const CREATE: &str = "CREATE TABLE IF NOT EXISTS ";

/// A table that a migration makes.
#[derive(Debug, PartialEq, Eq)]
struct Table {
    name: String,
    columns: BTreeSet<String>,
}

/// Returns a table that exists and is not ours, among those that this SQL makes. If tables may be half made, one with
/// all of our columns is ours.
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

/// Returns a table that this SQL makes and that is absent or lacks one of our columns.
pub(super) async fn incomplete_table(
    transaction: &mut Transaction,
    sql: &str,
) -> Result<Option<String>, DatabaseError> {
    for table in tables(sql) {
        if !table.columns.is_subset(&columns(transaction, &table.name).await?) {
            return Ok(Some(table.name));
        }
    }
    Ok(None)
}

/// Whether a table that this SQL makes exists.
pub(super) async fn exists(transaction: &mut Transaction, sql: &str) -> Result<bool, DatabaseError> {
    for table in tables(sql) {
        if !columns(transaction, &table.name).await?.is_empty() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// A table's columns in lower case; none when it does not exist where ours would be made.
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

/// The names of the tables that this SQL makes.
pub(super) fn table_names(sql: &str) -> impl Iterator<Item = String> {
    tables(sql).into_iter().map(|table| table.name)
}

/// Reads the tables of one of our files, which have one column in each line, and keys and constraints in lines of their
/// own.
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
    fn tables_and_columns_are_read_from_the_migrations() {
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
