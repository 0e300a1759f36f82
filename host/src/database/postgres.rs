//! PostgreSQL through sqlx: how to connect, what a session is set to, parameters. Rows are in `postgres_values.rs`.

use std::time::Duration;

use sqlx::postgres::{PgArguments, PgConnectOptions, PgSslMode};
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Executor as _, PgConnection, Postgres};
use url::Host;

use super::{DatabaseError, ErrorKind, Value, lock_wait};
use crate::domain::database_parameters::{Server, Tls, effective_tls};

/// What every session is set to. Notices and warnings may hold anything, a trigger's words about a patient too, and
/// they are not read: the server sends none.
const SESSION: &str =
    "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL READ COMMITTED; SET client_min_messages = error";

/// Further settings of a session on our own database. A queue is empty in one minute and long in the next, so the
/// planner's statistics are always wrong. Every statement there is written for an index, and is run as written.
const SESSION_OWN: &str = "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL READ COMMITTED; \
     SET client_min_messages = error; SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off; SET enable_bitmapscan = off; \
     SET join_collapse_limit = 1; SET from_collapse_limit = 1; SET jit = off; SET plan_cache_mode = force_generic_plan";

/// A transaction on our own database takes milliseconds; one whose client has fallen silent for so long belongs to a
/// host that froze, and would hold its rows for as long. On a target's database the call's own time limit applies, with
/// a large margin.
const IDLE_OWN: Duration = Duration::from_secs(10);
const IDLE_GRACE: Duration = Duration::from_secs(5);

pub(super) fn options(url: &url::Url) -> Result<PgConnectOptions, DatabaseError> {
    let rejected = |message: String| DatabaseError::new(ErrorKind::Rejected, format!("the database url {message}"));
    let mode = match effective_tls(Server::Postgres, url).map_err(rejected)? {
        Tls::Off => PgSslMode::Disable,
        Tls::Preferred => PgSslMode::Prefer,
        Tls::Required => PgSslMode::Require,
        Tls::VerifyAuthority => PgSslMode::VerifyCa,
        Tls::VerifyHost => PgSslMode::VerifyFull,
    };
    let mut options: PgConnectOptions =
        sqlx::ConnectOptions::from_url(url).map_err(|_| rejected("is not understood".to_owned()))?;
    if let Some(Host::Ipv6(address)) = url.host() {
        options = options.host(&address.to_string());
    }
    Ok(options.ssl_mode(mode).application_name("neuronova-sync").disable_statement_logging())
}

/// Prepares a new session: on our own database, or, with a time limit, on a target's, where the server stops longer
/// statements.
pub(super) async fn prepare(connection: &mut PgConnection, timeout: Option<Duration>) -> Result<(), sqlx::Error> {
    connection.execute(sqlx::raw_sql(if timeout.is_some() { SESSION } else { SESSION_OWN })).await?;
    let idle = timeout.map_or(IDLE_OWN, |timeout| timeout + IDLE_GRACE);
    let statement = timeout.map_or(0, |timeout| timeout.as_millis());
    let limits = format!(
        "SET SESSION idle_in_transaction_session_timeout = {}; SET SESSION statement_timeout = {statement}; \
         SET SESSION lock_timeout = {}",
        idle.as_millis(),
        timeout.map_or(0, |timeout| lock_wait(timeout).as_millis())
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

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(url: &str) -> PgSslMode {
        options(&url.parse().expect("a url")).expect("options").get_ssl_mode()
    }

    #[test]
    fn connections_to_another_machine_require_tls() {
        assert!(matches!(mode("postgres://u@db.example/x"), PgSslMode::Require));
        assert!(matches!(mode("postgres://u@db.example/x?sslmode=verify-full"), PgSslMode::VerifyFull));
    }
}
