//! MySQL and MariaDB through sqlx: parameters in, rows out.

use std::time::Duration;

use sqlx::mysql::{MySqlArguments, MySqlConnectOptions, MySqlRow};
use sqlx::query::Query;
use sqlx::types::BigDecimal;
use sqlx::types::chrono::{NaiveDate, NaiveDateTime};
use sqlx::{
    AssertSqlSafe, Column as _, ConnectOptions as _, Executor as _, MySql, MySqlConnection, Row as _, TypeInfo as _,
    ValueRef as _,
};

use super::{DatabaseError, ErrorKind, Value};

/// What every session is set to: strict about values, the same `||` as elsewhere, and each statement sees what is
/// committed. The time zone stays the server's, since a target's stored times are local to it.
const SESSION: &str = "SET SESSION sql_mode = 'STRICT_TRANS_TABLES,NO_ENGINE_SUBSTITUTION,PIPES_AS_CONCAT', \
     SESSION transaction_isolation = 'READ-COMMITTED'";

/// MariaDB before 11.1 knows the isolation level by its older name only.
const SESSION_MARIADB: &str = "SET SESSION sql_mode = 'STRICT_TRANS_TABLES,NO_ENGINE_SUBSTITUTION,PIPES_AS_CONCAT', \
     SESSION tx_isolation = 'READ-COMMITTED'";

/// Makes a new session ours. With a time limit the server stops what takes longer (MySQL does so for SELECT alone).
pub(super) async fn prepare(connection: &mut MySqlConnection, timeout: Option<Duration>) -> Result<(), sqlx::Error> {
    // MySQL 8 and MariaDB know the isolation level and the limit by different names, so the second is tried.
    if connection.execute(sqlx::raw_sql(SESSION)).await.is_err() {
        connection.execute(sqlx::raw_sql(SESSION_MARIADB)).await?;
    }
    let Some(timeout) = timeout else { return Ok(()) };
    let limit = format!("SET SESSION max_statement_time = {}", timeout.as_secs_f64());
    if connection.execute(sqlx::raw_sql(AssertSqlSafe(limit))).await.is_err() {
        let limit = format!("SET SESSION max_execution_time = {}", timeout.as_millis());
        connection.execute(sqlx::raw_sql(AssertSqlSafe(limit))).await?;
    }
    Ok(())
}

pub(super) fn options(url: &url::Url) -> Result<MySqlConnectOptions, DatabaseError> {
    let options: MySqlConnectOptions = sqlx::ConnectOptions::from_url(url)
        .map_err(|_| DatabaseError::new(ErrorKind::Rejected, "the database url is not understood"))?;
    // A statement's text may be an adapter's and hold anything, so that none is ever logged.
    Ok(options
        .disable_statement_logging()
        .pipes_as_concat(false)
        .no_engine_substitution(false)
        .timezone(None)
        .charset("utf8mb4"))
}

pub(super) fn bind<'q>(query: Query<'q, MySql, MySqlArguments>, value: &Value) -> Query<'q, MySql, MySqlArguments> {
    match value {
        Value::Null => query.bind(None::<&str>),
        Value::Bool(truth) => query.bind(*truth),
        Value::I64(number) => query.bind(*number),
        Value::U64(number) => query.bind(*number),
        Value::F64(number) => query.bind(*number),
        Value::Texts(_) => unreachable!("invariant: only PostgreSQL is given lists"),
        Value::Bytes(bytes) => query.bind(bytes.as_slice()),
        Value::Decimal(text)
        | Value::Text(text)
        | Value::Date(text)
        | Value::DateTime(text)
        | Value::Time(text)
        | Value::Json(text)
        | Value::Other(text) => query.bind(text.as_str()),
    }
}

pub(super) fn values(row: &MySqlRow) -> Result<Vec<Value>, DatabaseError> {
    row.columns()
        .iter()
        .enumerate()
        .map(|(index, column)| {
            let raw = row.try_get_raw(index).map_err(|error| DatabaseError::from_sqlx(&error))?;
            // A zero date is shown as NULL by the driver: there is no such day.
            if raw.is_null() {
                return Ok(Value::Null);
            }
            let value = match column.type_info().name() {
                "BOOLEAN" | "TINYINT" | "SMALLINT" | "MEDIUMINT" | "INT" | "BIGINT" => {
                    row.try_get_unchecked(index).map(Value::I64)
                }
                "TINYINT UNSIGNED" | "SMALLINT UNSIGNED" | "MEDIUMINT UNSIGNED" | "INT UNSIGNED"
                | "BIGINT UNSIGNED" | "YEAR" | "BIT" => row.try_get_unchecked(index).map(Value::U64),
                "FLOAT" => row.try_get_unchecked::<f32, _>(index).map(|number| Value::F64(f64::from(number))),
                "DOUBLE" => row.try_get_unchecked(index).map(Value::F64),
                "DECIMAL" => {
                    row.try_get_unchecked::<BigDecimal, _>(index).map(|number| Value::Decimal(number.to_plain_string()))
                }
                // The name says "binary" for text with a binary collation, too; only the collation tells them apart.
                "CHAR" | "VARCHAR" | "TINYTEXT" | "TEXT" | "MEDIUMTEXT" | "LONGTEXT" | "ENUM" | "SET" | "BINARY"
                | "VARBINARY" | "TINYBLOB" | "BLOB" | "MEDIUMBLOB" | "LONGBLOB" => {
                    if <str as sqlx::Type<MySql>>::compatible(column.type_info()) {
                        row.try_get_unchecked(index).map(Value::Text)
                    } else {
                        row.try_get_unchecked(index).map(Value::Bytes)
                    }
                }
                "DATE" => row.try_get_unchecked::<NaiveDate, _>(index).map(|date| Value::Date(date.to_string())),
                "DATETIME" | "TIMESTAMP" => row
                    .try_get_unchecked::<NaiveDateTime, _>(index)
                    .map(|time| Value::DateTime(time.format("%Y-%m-%d %H:%M:%S%.f").to_string())),
                "TIME" => row
                    .try_get_unchecked::<sqlx::mysql::types::MySqlTime, _>(index)
                    .map(|time| Value::Time(time.to_string())),
                "JSON" => row.try_get_unchecked(index).map(Value::Json),
                other => {
                    return Err(DatabaseError::new(
                        ErrorKind::Other,
                        format!("column {} has the MySQL type {other}, which is not understood", column.name()),
                    ));
                }
            };
            value.map_err(|error| DatabaseError::from_sqlx(&error))
        })
        .collect()
}
