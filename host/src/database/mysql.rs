//! MySQL and MariaDB through sqlx: how to connect, what a session is set to, parameters. Rows are in `mysql_values.rs`.

use std::time::Duration;

use sqlx::mysql::{MySqlArguments, MySqlConnectOptions, MySqlSslMode};
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Executor as _, MySql, MySqlConnection};

use super::{DatabaseError, ErrorKind, Value, lock_wait};
use crate::domain::database_parameters::{Server, Tls, bare_host, effective_tls};

/// The settings of every session: strict values, the same `||` as in other databases, and each statement sees committed
/// data. Errors are in English, since the name of a key is found in their text. The time zone stays the server's, since
/// a target's stored times are local to it.
const SESSION: &str = "SET SESSION sql_mode = 'STRICT_TRANS_TABLES,NO_ENGINE_SUBSTITUTION,PIPES_AS_CONCAT', \
     SESSION lc_messages = 'en_US', SESSION transaction_isolation = 'READ-COMMITTED'";

/// MariaDB before 11.1 knows the isolation level by its older name only.
const SESSION_MARIADB: &str = "SET SESSION sql_mode = 'STRICT_TRANS_TABLES,NO_ENGINE_SUBSTITUTION,PIPES_AS_CONCAT', \
     SESSION lc_messages = 'en_US', SESSION tx_isolation = 'READ-COMMITTED'";

/// Prepares a new session. With a time limit the server stops longer statements (MySQL does so only for SELECT).
pub(super) async fn prepare(connection: &mut MySqlConnection, timeout: Option<Duration>) -> Result<(), sqlx::Error> {
    // MySQL 8 and MariaDB know the isolation level and the limit by different names, so the second is tried.
    if connection.execute(sqlx::raw_sql(SESSION)).await.is_err() {
        connection.execute(sqlx::raw_sql(SESSION_MARIADB)).await?;
    }
    let Some(timeout) = timeout else { return Ok(()) };
    // The server's own limits are 50 seconds and a day: a lock that is held would be taken for a server that does not
    // answer.
    let wait = lock_wait(timeout).as_secs().max(1);
    let waits = format!("SET SESSION innodb_lock_wait_timeout = {wait}, SESSION lock_wait_timeout = {wait}");
    connection.execute(sqlx::raw_sql(AssertSqlSafe(waits))).await?;
    let limit = format!("SET SESSION max_statement_time = {}", timeout.as_secs_f64());
    if connection.execute(sqlx::raw_sql(AssertSqlSafe(limit))).await.is_err() {
        let limit = format!("SET SESSION max_execution_time = {}", timeout.as_millis());
        connection.execute(sqlx::raw_sql(AssertSqlSafe(limit))).await?;
    }
    Ok(())
}

pub(super) fn options(url: &url::Url) -> Result<MySqlConnectOptions, DatabaseError> {
    let rejected = |message: String| DatabaseError::new(ErrorKind::Rejected, format!("the database url {message}"));
    let mode = match effective_tls(Server::Mysql, url).map_err(rejected)? {
        Tls::Off => MySqlSslMode::Disabled,
        Tls::Preferred => MySqlSslMode::Preferred,
        Tls::Required => MySqlSslMode::Required,
        Tls::VerifyAuthority => MySqlSslMode::VerifyCa,
        Tls::VerifyHost => MySqlSslMode::VerifyIdentity,
    };
    let mut options: MySqlConnectOptions =
        sqlx::ConnectOptions::from_url(url).map_err(|_| rejected("is not understood".to_owned()))?;
    options = options.ssl_mode(mode);
    if let Some(host) = bare_host(url) {
        options = options.host(&host);
    }
    // A statement's text may come from an adapter and hold any data, so none is ever logged.
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

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(url: &str) -> MySqlSslMode {
        options(&url.parse().expect("a url")).expect("options").get_ssl_mode()
    }

    #[test]
    fn connections_to_another_machine_require_tls() {
        assert!(matches!(mode("mysql://u@db.example/x"), MySqlSslMode::Required));
        assert!(matches!(mode("mysql://u@db.example/x?ssl-mode=verify_identity"), MySqlSslMode::VerifyIdentity));
    }
}
