//! The name of the table of users, which an operator may choose: how migrations write it, and how a store remembers it.
//!
//! A store keeps the name that its table was made with. A host whose `host.toml` has another name is refused, since the
//! users would seem to be gone. The host never renames the table by itself: applications read it.

use super::{RowReader, StoreError, failed};
use crate::database::{Dialect, RowLimits, Transaction};
use crate::domain::ids::UsersTable;

/// Stands in migrations for the name as a text, and as an identifier.
const NAME: &str = "{USERS_TABLE}";
const IDENTIFIER: &str = "{USERS_TABLE_QUOTED}";

/// Writes the name into a migration's text.
pub(super) fn written(sql: &str, dialect: Dialect, users_table: &UsersTable) -> String {
    sql.replace(IDENTIFIER, &dialect.quoted(users_table.as_str())).replace(NAME, users_table.as_str())
}

/// Reads the name that a store's table was made with.
pub(super) async fn remembered(transaction: &mut Transaction) -> Result<String, StoreError> {
    let operation = "read the name of the table of users";
    let sql = "SELECT value FROM sync_setting WHERE name = 'users_table'";
    let rows = transaction.query(sql, &[], RowLimits::NONE).await.map_err(|error| failed(operation, error))?;
    match rows.rows.into_iter().next() {
        Some(row) => RowReader::new(operation, row).text(),
        None => Ok(UsersTable::default().as_str().to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(folder: &str) -> Vec<(String, String)> {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../migrations").join(folder);
        let entries = std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
        entries.map(|path| (path.display().to_string(), std::fs::read_to_string(path).unwrap())).collect()
    }

    #[test]
    fn every_mention_of_the_users_table_in_migrations_is_replaced() {
        let people = UsersTable::free("people").unwrap();
        for (folder, dialect) in
            [("sqlite", Dialect::Sqlite), ("mysql", Dialect::MySql), ("postgres", Dialect::Postgres)]
        {
            let mut named = 0;
            for (path, sql) in files(folder) {
                let code: Vec<_> = sql.lines().filter(|line| !line.starts_with("--")).collect();
                let written = written(&code.join("\n"), dialect, &people);
                let words = |text: &str, name: &str| {
                    text.split(|character: char| !character.is_ascii_alphanumeric() && character != '_')
                        .filter(|word| word.eq_ignore_ascii_case(name))
                        .count()
                };
                assert_eq!(words(&written, "users"), 0, "{path}");
                assert!(!written.contains(NAME) && !written.contains(IDENTIFIER), "{path}");
                named += words(&written, "people");
            }
            assert!(named >= 2, "{folder}: made and remembered");
        }
    }
}
