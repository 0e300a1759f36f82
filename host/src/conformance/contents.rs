//! What a scratch database holds: counted, as texts that are compared and never shown, and changed as others at the
//! target would.

use crate::database::{Database, DatabaseError, Dialect, RowLimits, Transaction, Value};

/// Counts the rows of all tables.
pub(super) async fn count(database: &Database) -> Result<u64, DatabaseError> {
    let mut transaction = database.begin_read().await?;
    let mut total = 0;
    for table in tables(&mut transaction, database.dialect()).await? {
        let counted = transaction.query(&format!("SELECT COUNT(*) FROM {table}"), &[], RowLimits::NONE).await?;
        total += counted.rows.first().and_then(|row| row.first()).and_then(as_number).unwrap_or(0);
    }
    transaction.rollback().await.ok();
    Ok(total)
}

/// The rows of all tables, sorted. Times are left out: a target may note when a row was written.
pub(super) async fn rows(database: &Database) -> Result<Vec<String>, DatabaseError> {
    let mut transaction = database.begin_read().await?;
    let mut rows = Vec::new();
    for table in tables(&mut transaction, database.dialect()).await? {
        let found = transaction.query(&format!("SELECT * FROM {table}"), &[], RowLimits::NONE).await?;
        rows.extend(found.rows.iter().map(|row| {
            let cells: Vec<_> = row.iter().map(shown).collect();
            format!("{table} {}", cells.join(" "))
        }));
    }
    transaction.rollback().await.ok();
    rows.sort_unstable();
    Ok(rows)
}

/// Writes another text in place of one, in every column of text of every table. Returns the number of rows.
pub(super) async fn edit(database: &Database, text: &str, other: &str) -> Result<u64, DatabaseError> {
    change(database, |table, columns| {
        let set: Vec<_> =
            columns.iter().map(|column| format!("{column} = REPLACE({column}, '{text}', '{other}')")).collect();
        format!("UPDATE {table} SET {} WHERE {}", set.join(", "), holds(columns, text))
    })
    .await
}

/// Deletes every row that holds a text. Returns the number of rows.
pub(super) async fn delete(database: &Database, text: &str) -> Result<u64, DatabaseError> {
    change(database, |table, columns| format!("DELETE FROM {table} WHERE {}", holds(columns, text))).await
}

/// Runs one statement on every table that has columns of text.
async fn change(database: &Database, statement: impl Fn(&str, &[String]) -> String) -> Result<u64, DatabaseError> {
    let dialect = database.dialect();
    let mut transaction = database.begin().await?;
    let mut changed = 0;
    for table in tables(&mut transaction, dialect).await? {
        let columns = text_columns(&mut transaction, dialect, &table).await?;
        if !columns.is_empty() {
            changed += transaction.execute(&statement(&table, &columns), &[]).await?.rows_affected;
        }
    }
    transaction.commit().await?;
    Ok(changed)
}

fn holds(columns: &[String], text: &str) -> String {
    columns.iter().map(|column| format!("{column} LIKE '%{text}%'")).collect::<Vec<_>>().join(" OR ")
}

/// The columns of text of a table, quoted.
async fn text_columns(
    transaction: &mut Transaction,
    dialect: Dialect,
    table: &str,
) -> Result<Vec<String>, DatabaseError> {
    let sql = match dialect {
        Dialect::Sqlite => {
            "SELECT name FROM pragma_table_info(?) WHERE type LIKE '%CHAR%' OR type LIKE '%TEXT%' OR type LIKE '%CLOB%'"
        }
        Dialect::MySql => {
            "SELECT column_name FROM information_schema.columns WHERE table_schema = DATABASE() AND table_name = ? \
             AND data_type IN ('char', 'varchar', 'tinytext', 'text', 'mediumtext', 'longtext')"
        }
        Dialect::Postgres => {
            "SELECT column_name::text FROM information_schema.columns WHERE table_schema = current_schema() \
             AND table_name = ? AND data_type IN ('character', 'character varying', 'text')"
        }
    };
    let quote = quote(dialect);
    let found = transaction.query(sql, &[Value::from(table.trim_matches(quote))], RowLimits::NONE).await?;
    let names = found.rows.iter().filter_map(|row| row.first().and_then(as_text));
    Ok(names.map(|name| format!("{quote}{name}{quote}")).collect())
}

fn quote(dialect: Dialect) -> char {
    if dialect == Dialect::MySql { '`' } else { '"' }
}

/// The names of the tables, quoted.
async fn tables(transaction: &mut Transaction, dialect: Dialect) -> Result<Vec<String>, DatabaseError> {
    let sql = match dialect {
        Dialect::Sqlite => "SELECT name FROM sqlite_master WHERE type = 'table'",
        Dialect::MySql => "SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE()",
        Dialect::Postgres => {
            "SELECT table_name::text FROM information_schema.tables WHERE table_schema = current_schema()"
        }
    };
    let quote = quote(dialect);
    let found = transaction.query(sql, &[], RowLimits::NONE).await?;
    let names = found.rows.iter().filter_map(|row| row.first().and_then(as_text));
    Ok(names.map(|name| format!("{quote}{name}{quote}")).collect())
}

/// A value as a text that differs for different values.
fn shown(value: &Value) -> String {
    match value {
        Value::Null => "NULL".to_owned(),
        Value::Bool(truth) => truth.to_string(),
        Value::I64(number) => number.to_string(),
        Value::U64(number) => number.to_string(),
        Value::F64(number) => number.to_string(),
        Value::DateTime(_) | Value::Time(_) => "TIME".to_owned(),
        Value::Text(text) | Value::Other(text) if is_moment(text) => "TIME".to_owned(),
        Value::Text(text) | Value::Decimal(text) | Value::Date(text) | Value::Json(text) | Value::Other(text) => {
            format!("{text:?}")
        }
        Value::Bytes(bytes) => format!("{bytes:?}"),
        Value::Texts(texts) => format!("{texts:?}"),
    }
}

/// Whether it is a day with a time of day, as SQLite keeps it: `2025-01-31 23:59:59`.
fn is_moment(text: &str) -> bool {
    let form = b"0000-00-00?00:00";
    text.len() >= form.len()
        && text.bytes().zip(form).all(|(byte, form)| match form {
            b'0' => byte.is_ascii_digit(),
            b'?' => matches!(byte, b' ' | b'T'),
            other => byte == *other,
        })
}

fn as_text(value: &Value) -> Option<String> {
    match value {
        Value::Text(text) | Value::Other(text) => Some(text.clone()),
        Value::Bytes(bytes) => String::from_utf8(bytes.clone()).ok(),
        _ => None,
    }
}

fn as_number(value: &Value) -> Option<u64> {
    match value {
        Value::I64(number) => u64::try_from(*number).ok(),
        Value::U64(number) => Some(*number),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_times_are_left_out_of_a_comparison() {
        for (value, expected) in [
            (Value::Null, "NULL"),
            (Value::from("NULL"), "\"NULL\""),
            (Value::from("2025-01-31"), "\"2025-01-31\""),
            (Value::from("2025-01-31 10:00:00"), "TIME"),
            (Value::from("2025-01-31T10:00:00Z"), "TIME"),
            (Value::DateTime("2025-01-31 10:00:00".to_owned()), "TIME"),
            (Value::from("P-2025-001 10:00 and more"), "\"P-2025-001 10:00 and more\""),
            (Value::Bytes(vec![1, 2]), "[1, 2]"),
            (Value::I64(7), "7"),
        ] {
            assert_eq!(shown(&value), expected);
        }
    }
}
