//! What a scratch database holds: counted, and as texts that are compared and never shown.

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

/// The names of the tables, quoted.
async fn tables(transaction: &mut Transaction, dialect: Dialect) -> Result<Vec<String>, DatabaseError> {
    let sql = match dialect {
        Dialect::Sqlite => "SELECT name FROM sqlite_master WHERE type = 'table'",
        Dialect::MySql => "SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE()",
        Dialect::Postgres => {
            "SELECT table_name::text FROM information_schema.tables WHERE table_schema = current_schema()"
        }
    };
    let quote = if dialect == Dialect::MySql { '`' } else { '"' };
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
