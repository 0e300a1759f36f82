//! One transaction: it begins and ends here, and has no effect unless it is committed.
//!
//! After an error that took the transaction with it (lost connection, deadlock, timeout) every further statement is
//! refused with the same error, so that nothing can run outside of it by mistake.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;

use super::connection::{Connection, limit_exceeded};
use super::{DatabaseError, Dialect, ErrorKind, Execution, RowLimits, Rows, Value};
use crate::domain::hex::hex;

/// Where a transaction that may write is begun.
pub(super) trait BeginsTransactions: Send + Sync {
    fn begin_to_write(&self) -> BoxFuture<'_, Result<Transaction, DatabaseError>>;
}

/// A transaction of any of the three databases. If it is dropped without [`Transaction::commit`], it is rolled back.
pub struct Transaction {
    connection: Option<Connection>,
    dialect: Dialect,
    statement_timeout: Duration,
    lock_scope: String,
    locks: Vec<String>,
    broken: Option<DatabaseError>,
    /// Where one that may write is begun, while this one only reads.
    writable_at: Option<Arc<dyn BeginsTransactions>>,
    /// Where its first statement begins it.
    begins_at: Option<Arc<dyn BeginsTransactions>>,
}

impl Transaction {
    pub(super) async fn begin(
        mut connection: Connection,
        begin: &str,
        statement_timeout: Duration,
        lock_scope: String,
    ) -> Result<Self, DatabaseError> {
        match tokio::time::timeout(statement_timeout, connection.run(begin)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                connection.discard();
                return Err(error);
            }
            Err(_) => {
                connection.discard();
                return Err(DatabaseError::timeout("BEGIN", statement_timeout));
            }
        }
        let dialect = connection.dialect();
        Ok(Self {
            connection: Some(connection),
            dialect,
            statement_timeout,
            lock_scope,
            locks: Vec::new(),
            broken: None,
            writable_at: None,
            begins_at: None,
        })
    }

    /// A transaction that may write and begins with its first statement. Without a statement nothing is sent to the
    /// database.
    pub(super) fn with_first_statement(
        database: Arc<dyn BeginsTransactions>,
        dialect: Dialect,
        statement_timeout: Duration,
    ) -> Self {
        Self {
            connection: None,
            dialect,
            statement_timeout,
            lock_scope: String::new(),
            locks: Vec::new(),
            broken: None,
            writable_at: None,
            begins_at: Some(database),
        }
    }

    /// For one statement by itself, which the database commits as it runs: nothing is begun, and nothing is to be
    /// ended.
    pub(super) fn alone(connection: Connection, statement_timeout: Duration) -> Self {
        let dialect = connection.dialect();
        Self {
            connection: Some(connection),
            dialect,
            statement_timeout,
            lock_scope: String::new(),
            locks: Vec::new(),
            broken: None,
            writable_at: None,
            begins_at: None,
        }
    }

    /// Lets one that only reads be exchanged by [`Transaction::make_writable`].
    pub(super) fn writable_at(mut self, database: Arc<dyn BeginsTransactions>) -> Self {
        self.writable_at = Some(database);
        self
    }

    /// Begins one that its first statement would begin; without effect on any other.
    ///
    /// # Errors
    /// As [`super::Database::begin`], or that the transaction is gone already.
    pub async fn begin_now(&mut self) -> Result<(), DatabaseError> {
        self.usable().await.map(drop)
    }

    /// The error that ended it, or with which it could not begin.
    #[must_use]
    pub fn ended_by(&self) -> Option<&DatabaseError> {
        self.broken.as_ref()
    }

    /// Returns the connection of a statement that ran alone to its pool.
    pub(super) fn give_back(mut self) {
        drop(self.connection.take());
    }

    /// The family of SQL.
    #[must_use]
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// Sets the timeout of further statements: one that rewrites a large table needs more than a query.
    pub fn allow(&mut self, statement_timeout: Duration) {
        self.statement_timeout = statement_timeout;
    }

    /// Runs one statement. Parameters are written `?` in every dialect.
    ///
    /// # Errors
    /// The database's error, or that the transaction is gone already.
    pub async fn execute(&mut self, sql: &str, parameters: &[Value]) -> Result<Execution, DatabaseError> {
        self.execute_text(&self.dialect.placeholders(sql, parameters).into(), parameters).await
    }

    /// As [`Self::execute`], of a text that [`Dialect::placeholders`] has written once for all calls.
    ///
    /// # Errors
    /// As [`Self::execute`].
    pub async fn execute_text(&mut self, sql: &Arc<str>, parameters: &[Value]) -> Result<Execution, DatabaseError> {
        let timeout = self.statement_timeout;
        let connection = self.usable().await?;
        let refusals = connection.refusals();
        let result = tokio::time::timeout(timeout, connection.execute(sql, parameters)).await;
        let was_too_large = connection.refusals() != refusals;
        match result.unwrap_or_else(|_| Err(DatabaseError::timeout("a statement", timeout))) {
            Err(error) if was_too_large && is_of_refusal(&error, self.dialect) => {
                Err(self.ended(statement_too_large()))
            }
            result => self.recorded(result),
        }
    }

    /// Runs one SELECT and gives its rows, within limits.
    ///
    /// # Errors
    /// The database's error, `Refused` over a limit, or that the transaction is gone already.
    pub async fn query(&mut self, sql: &str, parameters: &[Value], limits: RowLimits) -> Result<Rows, DatabaseError> {
        self.query_text(&self.dialect.placeholders(sql, parameters).into(), parameters, limits).await
    }

    /// As [`Self::query`], of a text that [`Dialect::placeholders`] has written once for all calls.
    ///
    /// # Errors
    /// As [`Self::query`].
    pub async fn query_text(
        &mut self,
        sql: &Arc<str>,
        parameters: &[Value],
        limits: RowLimits,
    ) -> Result<Rows, DatabaseError> {
        let timeout = self.statement_timeout;
        let connection = self.usable().await?;
        let refusals = connection.refusals();
        let result = tokio::time::timeout(timeout, connection.query(sql, parameters, limits)).await;
        let was_too_large = connection.refusals() != refusals;
        match result.unwrap_or_else(|_| Err(DatabaseError::timeout("a query", timeout))) {
            Err(error) if was_too_large && is_of_refusal(&error, self.dialect) => {
                Err(self.ended(limit_exceeded("bytes", limits.bytes_max)))
            }
            result => self.recorded(result),
        }
    }

    /// Ends a transaction that was begun to read first, and begins one that may write in its place. Nothing was written
    /// and nothing is held, so that nothing is lost. Without effect on any other. Whether it was exchanged.
    ///
    /// # Errors
    /// As [`super::Database::begin`].
    pub async fn make_writable(&mut self) -> Result<bool, DatabaseError> {
        let Some(database) = self.writable_at.take() else { return Ok(false) };
        self.usable().await?;
        let reading = Self {
            connection: self.connection.take(),
            lock_scope: self.lock_scope.clone(),
            locks: std::mem::take(&mut self.locks),
            broken: None,
            writable_at: None,
            begins_at: None,
            ..*self
        };
        // The new one may need the connection that this returns.
        let begun = match reading.rollback().await {
            Ok(()) => database.begin_to_write().await,
            Err(error) => Err(error),
        };
        *self = self.recorded(begun)?;
        Ok(true)
    }

    /// Takes a lock by name within this database, and holds it until after the end of the transaction.
    ///
    /// # Errors
    /// `Contention` when it is not to be had within `timeout`.
    pub async fn lock(&mut self, name: &str, timeout: Duration) -> Result<(), DatabaseError> {
        if self.dialect == Dialect::Sqlite || self.locks.iter().any(|taken| taken == name) {
            return Ok(());
        }
        self.usable().await?;
        let scoped = scoped_name(&self.lock_scope, name);
        let waited = self.statement_timeout;
        self.statement_timeout = timeout + Duration::from_secs(5);
        let result = match self.dialect {
            Dialect::MySql => self.lock_mysql(&scoped, timeout).await,
            _ => self.lock_postgres(&scoped, timeout).await,
        };
        self.statement_timeout = waited;
        result?;
        self.locks.push(name.to_owned());
        Ok(())
    }

    async fn lock_mysql(&mut self, name: &str, timeout: Duration) -> Result<(), DatabaseError> {
        let seconds = timeout.as_secs_f64();
        let rows = self.query("SELECT GET_LOCK(?, ?)", &[name.into(), Value::F64(seconds)], RowLimits::NONE).await?;
        match rows.rows.first().and_then(|row| row.first()).and_then(Value::as_i64) {
            Some(1) => Ok(()),
            _ => self.recorded(Err(DatabaseError::new(
                ErrorKind::Contention,
                format!("the lock was not free within {} ms", timeout.as_millis()),
            ))),
        }
    }

    async fn lock_postgres(&mut self, name: &str, timeout: Duration) -> Result<(), DatabaseError> {
        let millis = timeout.as_millis().max(1).to_string();
        let none = RowLimits::NONE;
        let rows = self.query("SELECT current_setting('lock_timeout')", &[], none).await?;
        let before =
            rows.rows.into_iter().flatten().next().and_then(Value::into_text).unwrap_or_else(|| "0".to_owned());
        self.query("SELECT set_config('lock_timeout', ?, true)", &[millis.as_str().into()], none).await?;
        self.query("SELECT 1 FROM pg_advisory_xact_lock(hashtextextended(?, 0))", &[name.into()], none).await?;
        self.query("SELECT set_config('lock_timeout', ?, true)", &[before.into()], none).await.map(drop)
    }

    /// Names, in lower case, of the tables here that no rollback reaches: of an engine without transactions.
    ///
    /// # Errors
    /// The database's error.
    pub async fn tables_without_transactions(&mut self) -> Result<Vec<String>, DatabaseError> {
        if self.dialect != Dialect::MySql {
            return Ok(Vec::new());
        }
        let sql = "SELECT CAST(LOWER(t.table_name) AS CHAR) FROM information_schema.tables t \
                   LEFT JOIN information_schema.engines e ON e.engine = t.engine \
                   WHERE t.table_schema = DATABASE() AND t.table_type = 'BASE TABLE' AND COALESCE(e.transactions, 'NO') <> 'YES'";
        let rows = self.query(sql, &[], RowLimits::NONE).await?;
        Ok(rows.rows.into_iter().filter_map(|row| row.into_iter().next()?.into_text()).collect())
    }

    /// Commits.
    ///
    /// # Errors
    /// The database's error. After a lost connection it is unknown whether the commit took place.
    pub async fn commit(self) -> Result<(), DatabaseError> {
        self.end("COMMIT").await
    }

    /// Rolls back.
    ///
    /// # Errors
    /// The database's error; the effect is undone all the same, since the connection is then closed.
    pub async fn rollback(self) -> Result<(), DatabaseError> {
        self.end("ROLLBACK").await
    }

    async fn end(mut self, verb: &str) -> Result<(), DatabaseError> {
        if let Some(error) = self.broken.take() {
            return if verb == "ROLLBACK" { Ok(()) } else { Err(error) };
        }
        let timeout = self.statement_timeout;
        let Some(mut connection) = self.connection.take() else { return Ok(()) };
        let locks = std::mem::take(&mut self.locks);
        let scope = std::mem::take(&mut self.lock_scope);
        let ended = tokio::time::timeout(timeout, connection.run(verb)).await;
        let result = ended.unwrap_or_else(|_| Err(DatabaseError::timeout(verb, timeout)));
        // The locks end with the connection. A failure to release them does not change the transaction's result.
        if result.is_err() || !released(&mut connection, &scope, &locks, timeout).await {
            connection.discard();
        }
        result
    }

    async fn usable(&mut self) -> Result<&mut Connection, DatabaseError> {
        if let Some(error) = &self.broken {
            return Err(error.clone());
        }
        if let Some(database) = self.begins_at.take() {
            match database.begin_to_write().await {
                Ok(begun) => *self = begun,
                Err(error) => {
                    self.broken = Some(error.clone());
                    return Err(error);
                }
            }
        }
        self.connection.as_mut().ok_or_else(|| DatabaseError::new(ErrorKind::Unavailable, "the transaction is over"))
    }

    /// Remembers an error that ended the transaction, and gets rid of its connection.
    fn recorded<T>(&mut self, result: Result<T, DatabaseError>) -> Result<T, DatabaseError> {
        if let Err(error) = &result
            && matches!(error.kind, ErrorKind::Unavailable | ErrorKind::Contention | ErrorKind::Routine)
        {
            self.ended(error.clone());
        }
        result
    }

    /// The transaction is over, and so is its connection.
    fn ended(&mut self, error: DatabaseError) -> DatabaseError {
        self.broken = Some(error.clone());
        if let Some(connection) = self.connection.take() {
            connection.discard();
        }
        error
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            connection.discard();
        }
    }
}

/// Releases the locks of a transaction that has ended. Whether all are free, so that the connection may be used again.
async fn released(connection: &mut Connection, scope: &str, locks: &[String], timeout: Duration) -> bool {
    if connection.dialect() != Dialect::MySql {
        return true;
    }
    for name in locks {
        let parameters = [scoped_name(scope, name).into()];
        let sql = "DO RELEASE_LOCK(?)".into();
        let release = tokio::time::timeout(timeout, connection.execute(&sql, &parameters));
        if !matches!(release.await, Ok(Ok(_))) {
            return false;
        }
    }
    true
}

/// The error of a statement that changes rows; its object names the limit.
fn statement_too_large() -> DatabaseError {
    let message = "the statement takes more memory than query_bytes_max allows for".to_owned();
    DatabaseError { object: Some("bytes".to_owned()), ..DatabaseError::new(ErrorKind::Refused, message) }
}

/// Lock names are global to a MySQL server and at most 64 characters long, so the database's name goes in, and a name
/// that is too long goes in as its digest.
fn scoped_name(scope: &str, name: &str) -> String {
    use sha2::Digest as _;
    let full = format!("{scope}:{name}");
    if full.chars().count() <= 64 {
        return full;
    }
    let digest = sha2::Sha256::digest(full.as_bytes());
    format!("s:{}", hex(&digest[..31]))
}

/// Whether this is the error after a refusal: SQLite could not allocate (`SQLITE_NOMEM`, `SQLITE_IOERR_NOMEM`), or the
/// connection to a server was cut.
fn is_of_refusal(error: &DatabaseError, dialect: Dialect) -> bool {
    match dialect {
        Dialect::Sqlite => matches!(error.vendor_code, Some(7 | 3082)),
        Dialect::MySql | Dialect::Postgres => error.is_unavailable(),
    }
}
