//! SQLite through sqlx: how a file is opened, parameters in, rows out.

use std::path::Path;
use std::time::Duration;

use sqlx::query::Query;
use sqlx::sqlite::{SqliteArguments, SqliteConnectOptions, SqliteJournalMode, SqliteRow, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Row as _, Sqlite, TypeInfo as _, ValueRef as _};

use super::sqlite_memory::Budget;
use super::{DatabaseError, Value};

/// Rows of our own that may wait to be read: a batch passes from SQLite's thread to ours without one waiting for the
/// other. A target's rows may be of any size, and keep to the driver's own few.
const ROWS_AHEAD: usize = 1_024;

/// What the writer keeps of the file, as SQLite writes it: kibibytes, negative. Its own 2 MiB are fewer pages than a
/// batch touches.
const CACHE_KIB: &str = "-32768";

/// Pages in the write-ahead log before they are brought into the file. A page that several batches change is written
/// there once.
const CHECKPOINT_PAGES: &str = "4000";

/// Durable commits, readers that never wait for the writer. A target's connections have a budget.
pub(super) fn options(path: &Path, read_only: bool, budget: Option<&'static Budget>) -> SqliteConnectOptions {
    let mut options =
        SqliteConnectOptions::new().filename(path).busy_timeout(Duration::from_secs(10)).disable_statement_logging();
    options = match budget {
        Some(budget) => options.thread_name(move |connection| budget.thread_name(connection)),
        None => options.row_buffer_size(ROWS_AHEAD),
    };
    if read_only {
        options.read_only(true)
    } else {
        options
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .pragma("cache_size", CACHE_KIB)
            .pragma("wal_autocheckpoint", CHECKPOINT_PAGES)
    }
}

pub(super) fn bind<'q>(query: Query<'q, Sqlite, SqliteArguments>, value: &Value) -> Query<'q, Sqlite, SqliteArguments> {
    match value {
        Value::Null => query.bind(None::<i64>),
        Value::Bool(truth) => query.bind(i64::from(*truth)),
        Value::I64(number) => query.bind(*number),
        // Above i64 there is no exact integer in SQLite; text keeps the digits.
        Value::U64(number) => match i64::try_from(*number) {
            Ok(number) => query.bind(number),
            Err(_) => query.bind(number.to_string()),
        },
        Value::F64(number) => query.bind(*number),
        Value::Texts(_) => unreachable!("invariant: only PostgreSQL is given lists"),
        Value::Bytes(bytes) => query.bind(bytes.clone()),
        Value::Decimal(text)
        | Value::Text(text)
        | Value::Date(text)
        | Value::DateTime(text)
        | Value::Time(text)
        | Value::Json(text)
        | Value::Other(text) => query.bind(text.clone()),
    }
}

/// The values of one row. SQLite goes by the value and not by the column, so that every column may hold anything.
pub(super) fn values(row: &SqliteRow) -> Result<Vec<Value>, DatabaseError> {
    (0..row.len())
        .map(|index| {
            let raw = row.try_get_raw(index).map_err(|error| DatabaseError::from_sqlx(&error))?;
            if raw.is_null() {
                return Ok(Value::Null);
            }
            let kind = raw.type_info().name().to_owned();
            let bytes = || row.try_get_unchecked(index).map(Value::Bytes);
            let value = match kind.as_str() {
                "INTEGER" => row.try_get_unchecked(index).map(Value::I64),
                "REAL" => row.try_get_unchecked(index).map(Value::F64),
                // A text may be of bytes that are no UTF-8.
                "TEXT" => row.try_get_unchecked(index).map(Value::Text).or_else(|_| bytes()),
                _ => bytes(),
            };
            value.map_err(|error| DatabaseError::from_sqlx(&error))
        })
        .collect()
}
