//! PostgreSQL through sqlx: parameters in, rows out.

use std::time::Duration;

use sqlx::postgres::{PgArguments, PgConnectOptions, PgRow};
use sqlx::query::Query;
use sqlx::types::chrono::{NaiveDate, NaiveDateTime, NaiveTime};
use sqlx::types::{BigDecimal, Uuid};
use sqlx::{
    AssertSqlSafe, Column as _, ConnectOptions as _, Executor as _, PgConnection, Postgres, Row as _, TypeInfo as _,
    ValueRef as _,
};

use super::{DatabaseError, ErrorKind, Value};

/// What every session is set to.
const SESSION: &str = "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL READ COMMITTED";

/// What a session on our own database is set to as well. A queue is empty in one minute and long in the next, so that what
/// the planner measured is always wrong: every statement there is written to be found through an index, and is run as written.
const SESSION_OWN: &str = "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL READ COMMITTED; \
     SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off; SET enable_bitmapscan = off; \
     SET join_collapse_limit = 1; SET from_collapse_limit = 1; SET jit = off; SET plan_cache_mode = force_generic_plan";

/// A transaction on our own database takes milliseconds; one whose client has fallen silent for so long belongs to a host that
/// froze, and would hold its rows for as long. On someone else's the call's own time limit counts, and so much more.
const IDLE_OWN: Duration = Duration::from_secs(10);
const IDLE_GRACE: Duration = Duration::from_secs(5);

pub(super) fn options(url: &url::Url) -> Result<PgConnectOptions, DatabaseError> {
    let options: PgConnectOptions = sqlx::ConnectOptions::from_url(url)
        .map_err(|_| DatabaseError::new(ErrorKind::Rejected, "the database url is not understood"))?;
    Ok(options.application_name("neuronova-sync").disable_statement_logging())
}

/// Makes a new session ours: one on our own database, or with a time limit one on someone else's, where the server stops
/// what takes longer.
pub(super) async fn prepare(connection: &mut PgConnection, timeout: Option<Duration>) -> Result<(), sqlx::Error> {
    connection.execute(sqlx::raw_sql(if timeout.is_some() { SESSION } else { SESSION_OWN })).await?;
    let idle = timeout.map_or(IDLE_OWN, |timeout| timeout + IDLE_GRACE);
    let statement = timeout.map_or(0, |timeout| timeout.as_millis());
    let limits = format!(
        "SET SESSION idle_in_transaction_session_timeout = {}; SET SESSION statement_timeout = {statement}",
        idle.as_millis()
    );
    connection.execute(sqlx::raw_sql(AssertSqlSafe(limits))).await.map(drop)
}

/// NULL is never bound: [`super::Dialect::placeholders`] writes it into the statement, where it has no type to clash.
pub(super) fn bind<'q>(query: Query<'q, Postgres, PgArguments>, value: &Value) -> Query<'q, Postgres, PgArguments> {
    match value {
        Value::Null => query,
        Value::Bool(truth) => query.bind(*truth),
        Value::I64(number) => query.bind(*number),
        Value::U64(number) => match i64::try_from(*number) {
            Ok(number) => query.bind(number),
            Err(_) => query.bind(number.to_string()),
        },
        Value::F64(number) => query.bind(*number),
        Value::Texts(texts) => query.bind(texts.as_slice()),
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

pub(super) fn values(row: &PgRow) -> Result<Vec<Value>, DatabaseError> {
    row.columns()
        .iter()
        .enumerate()
        .map(|(index, column)| {
            let raw = row.try_get_raw(index).map_err(|error| DatabaseError::from_sqlx(&error))?;
            if raw.is_null() {
                return Ok(Value::Null);
            }
            let value = match column.type_info().name() {
                "BOOL" => row.try_get(index).map(Value::Bool),
                "INT2" => row.try_get::<i16, _>(index).map(|number| Value::I64(i64::from(number))),
                "INT4" => row.try_get::<i32, _>(index).map(|number| Value::I64(i64::from(number))),
                "INT8" => row.try_get(index).map(Value::I64),
                "FLOAT4" => row.try_get::<f32, _>(index).map(|number| Value::F64(f64::from(number))),
                "FLOAT8" => row.try_get(index).map(Value::F64),
                "NUMERIC" => row.try_get::<BigDecimal, _>(index).map(|number| Value::Decimal(number.to_plain_string())),
                "TEXT" | "VARCHAR" | "CHAR" | "BPCHAR" | "NAME" | "UNKNOWN" | "CITEXT" => {
                    row.try_get_unchecked(index).map(Value::Text)
                }
                "BYTEA" => row.try_get(index).map(Value::Bytes),
                "DATE" => row.try_get::<NaiveDate, _>(index).map(|date| Value::Date(date.to_string())),
                "TIMESTAMP" | "TIMESTAMPTZ" => row
                    .try_get_unchecked::<NaiveDateTime, _>(index)
                    .map(|time| Value::DateTime(time.format("%Y-%m-%d %H:%M:%S%.f").to_string())),
                "TIME" => row.try_get::<NaiveTime, _>(index).map(|time| Value::Time(time.to_string())),
                "UUID" => row.try_get::<Uuid, _>(index).map(|uuid| Value::Text(uuid.to_string())),
                "JSON" | "JSONB" => row
                    .try_get::<sqlx::types::Json<serde_json::Value>, _>(index)
                    .map(|json| Value::Json(json.0.to_string())),
                other => {
                    return Err(DatabaseError::new(
                        ErrorKind::Other,
                        format!("column {} has the PostgreSQL type {other}; cast it to text", column.name()),
                    ));
                }
            };
            value.map_err(|error| DatabaseError::from_sqlx(&error))
        })
        .collect()
}
