//! A database by its URL: pools of connections, and transactions on them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use sqlx::pool::PoolOptions;
use sqlx::{ConnectOptions, Connection as _, MySql, Pool, Postgres, Sqlite};
use tokio::sync::OnceCell;

use super::connection::Connection;
use super::interrupt::Interrupt;
use super::locator::Locator;
use super::relay::{Relay, Server};
use super::sqlite_memory::Budget;
use super::transaction::BeginsTransactions;
use super::{
    DatabaseError, Dialect, ErrorKind, Execution, RowLimits, Rows, Transaction, Value, mysql, postgres, sqlite,
    sqlite_memory,
};

/// How long a connection may take to be had.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a statement that runs alone is retried on other connections when its connection is dead.
const STALE_CONNECTIONS: Duration = Duration::from_millis(250);

/// Between two such tries.
const STALE_PAUSE: Duration = Duration::from_millis(5);

/// After this wait for a connection, a direct attempt shows whether the server can be reached at all.
const SUSPICIOUS_WAIT: Duration = Duration::from_millis(500);

/// MariaDB's, and MySQL's.
const EXACT_COLLATIONS: [&str; 2] = ["utf8mb4_nopad_bin", "utf8mb4_0900_bin"];

/// The name of a relay's socket for MySQL.
const MYSQL_SOCKET: &str = "mysql.sock";

/// Prepared statements that a connection keeps. An adapter runs few, and may make them as long as it likes
/// (`connection.rs` bounds what is kept of each).
const STATEMENTS_KEPT_OWN: usize = 100;
const STATEMENTS_KEPT_TARGET: usize = 32;

/// A database that transactions can be begun on. Cloning shares the connections.
#[derive(Clone)]
pub struct Database {
    inner: Arc<Inner>,
}

struct Inner {
    locator: Locator,
    pools: Pools,
    statement_timeout: Duration,
    /// See [`Database::exact_collation`].
    collation: OnceCell<&'static str>,
    /// Whether it is a target's database. An adapter's statements may not terminate.
    target_owned: bool,
}

enum Pools {
    /// One writer, so that transactions queue instead of failing with `busy`; readers are separate.
    Sqlite {
        writer: Pool<Sqlite>,
        readers: Pool<Sqlite>,
        /// What a target's connections may take together.
        budget: Option<&'static Budget>,
    },
    /// With the relay of a target's connections.
    MySql(Pool<MySql>, Option<Relay>),
    Postgres(Pool<Postgres>, Option<Relay>),
}

/// Whose a database is.
#[derive(Clone, Copy)]
enum Owner {
    /// The host's own.
    Host,
    /// A target's database. An adapter's statements may not terminate, and a result has a limit in bytes.
    Target { answer_bytes_max: u64 },
}

impl Database {
    /// Our own database: an SQLite file is made when it is not there. Nothing is connected before the first
    /// transaction.
    ///
    /// # Errors
    /// `Rejected` when the URL does not fit the driver.
    pub fn new(locator: Locator, connections_max: u32, statement_timeout: Duration) -> Result<Self, DatabaseError> {
        Self::prepare(locator, connections_max, statement_timeout, Owner::Host)
    }

    /// A target's database: an SQLite file must exist, and a statement that was given up is stopped, by SQLite itself
    /// or by the server soon after `statement_timeout`. A server's result is cut off soon after `answer_bytes_max`;
    /// SQLite's memory is limited by it.
    ///
    /// # Errors
    /// `Rejected` when the URL does not fit the driver.
    pub fn of_target(
        locator: Locator,
        connections_max: u32,
        statement_timeout: Duration,
        answer_bytes_max: u64,
    ) -> Result<Self, DatabaseError> {
        Self::prepare(locator, connections_max, statement_timeout, Owner::Target { answer_bytes_max })
    }

    fn prepare(
        locator: Locator,
        connections_max: u32,
        statement_timeout: Duration,
        owner: Owner,
    ) -> Result<Self, DatabaseError> {
        let target_owned = matches!(owner, Owner::Target { .. });
        // The host's own timeout ends first, so the server needs none.
        let kept = if target_owned { STATEMENTS_KEPT_TARGET } else { STATEMENTS_KEPT_OWN };
        let server_timeout = target_owned.then(|| statement_timeout + Duration::from_secs(1));
        let pools = match &locator {
            Locator::Sqlite(path) => {
                sqlite_memory::install();
                let budget = match owner {
                    Owner::Target { answer_bytes_max } => Some(Budget::of_target(answer_bytes_max)),
                    Owner::Host => None,
                };
                let options = |read_only| sqlite::options(path, read_only, budget).statement_cache_capacity(kept);
                Pools::Sqlite {
                    writer: pool_options(1).connect_lazy_with(options(false).create_if_missing(!target_owned)),
                    readers: pool_options(connections_max.max(1)).connect_lazy_with(options(true)),
                    budget,
                }
            }
            Locator::MySql(url) => {
                let options =
                    pool_options(connections_max).after_connect(move |connection: &mut sqlx::MySqlConnection, _| {
                        Box::pin(mysql::prepare(connection, server_timeout))
                    });
                let mut connect = mysql::options(url)?.statement_cache_capacity(kept);
                let server = match connect.get_socket() {
                    Some(path) => Server::Socket(path.clone()),
                    None => Server::Tcp(connect.get_host().to_owned(), connect.get_port()),
                };
                let relay = relay(owner, server, MYSQL_SOCKET)?;
                if let Some(relay) = &relay {
                    connect = connect.socket(relay.folder().join(MYSQL_SOCKET));
                }
                Pools::MySql(options.connect_lazy_with(connect), relay)
            }
            Locator::Postgres(url) => {
                let options =
                    pool_options(connections_max).after_connect(move |connection: &mut sqlx::PgConnection, _| {
                        Box::pin(postgres::prepare(connection, server_timeout))
                    });
                let mut connect = postgres::options(url)?.statement_cache_capacity(kept);
                // The driver's own rule.
                let name = format!(".s.PGSQL.{}", connect.get_port());
                let folder = connect.get_socket().cloned();
                let folder =
                    folder.or_else(|| Some(connect.get_host().into()).filter(|_| connect.get_host().starts_with('/')));
                let server = match folder {
                    Some(folder) => Server::Socket(folder.join(&name)),
                    None => Server::Tcp(connect.get_host().to_owned(), connect.get_port()),
                };
                let relay = relay(owner, server, &name)?;
                if let Some(relay) = &relay {
                    connect = connect.socket(relay.folder());
                }
                Pools::Postgres(options.connect_lazy_with(connect), relay)
            }
        };
        let collation = OnceCell::new();
        Ok(Self { inner: Arc::new(Inner { locator, pools, statement_timeout, collation, target_owned }) })
    }

    /// Where it is.
    #[must_use]
    pub fn locator(&self) -> &Locator {
        &self.inner.locator
    }

    /// The family of SQL.
    #[must_use]
    pub fn dialect(&self) -> Dialect {
        self.inner.locator.dialect()
    }

    /// The name of the collation that compares texts byte for byte, blanks at the end included. MariaDB and MySQL each
    /// have one that the other lacks. The other dialects need none: the name is empty.
    ///
    /// # Errors
    /// `Rejected` when the server has neither (MySQL before 8.0.17), and the database's error.
    pub async fn exact_collation(&self) -> Result<&'static str, DatabaseError> {
        if self.dialect() != Dialect::MySql {
            return Ok("");
        }
        self.inner.collation.get_or_try_init(|| self.find_exact_collation()).await.copied()
    }

    async fn find_exact_collation(&self) -> Result<&'static str, DatabaseError> {
        let sql =
            "SELECT CAST(collation_name AS CHAR) FROM information_schema.collations WHERE collation_name IN (?, ?)";
        let rows = self.query_alone(&sql.into(), &EXACT_COLLATIONS.map(Value::from)).await?.rows;
        let found: Vec<_> = rows.into_iter().filter_map(|row| row.into_iter().next()?.into_text()).collect();
        let exact = EXACT_COLLATIONS.into_iter().find(|name| found.iter().any(|found| found == name));
        exact.ok_or_else(|| {
            let message = format!(
                "has no collation that tells ids with and without a blank at the end apart ({}): MariaDB 10.6 or MySQL 8.0.17 is needed",
                EXACT_COLLATIONS.join(" or ")
            );
            self.inner.locator.explain(DatabaseError::new(ErrorKind::Rejected, message))
        })
    }

    /// Begins a transaction that may write.
    ///
    /// # Errors
    /// `Unavailable` or `Rejected`, with the place and the reason and without the password.
    pub async fn begin(&self) -> Result<Transaction, DatabaseError> {
        self.begin_with(false).await
    }

    /// A transaction that may write, begun with its first statement. On SQLite that statement takes the only writer, so
    /// that earlier work delays no other transaction.
    #[must_use]
    pub fn begin_with_first_statement(&self) -> Transaction {
        Transaction::with_first_statement(Arc::new(self.clone()), self.dialect(), self.inner.statement_timeout)
    }

    /// Begins a read-only transaction, which the database enforces. On SQLite it does not wait for the writer.
    ///
    /// # Errors
    /// As [`Database::begin`].
    pub async fn begin_read(&self) -> Result<Transaction, DatabaseError> {
        self.begin_with(true).await
    }

    /// Begins a transaction that only reads, and that [`Transaction::make_writable`] may exchange for one that writes.
    ///
    /// # Errors
    /// As [`Database::begin`].
    pub async fn begin_reading_first(&self) -> Result<Transaction, DatabaseError> {
        if self.dialect() == Dialect::Sqlite {
            // A file that takes no writes shows at once.
            self.begin().await?.rollback().await?;
        }
        Ok(self.begin_with(true).await?.writable_at(Arc::new(self.clone())))
    }

    async fn begin_with(&self, read_only: bool) -> Result<Transaction, DatabaseError> {
        let inner = &self.inner;
        let begin = match (self.dialect(), read_only) {
            (Dialect::Sqlite, false) => "BEGIN IMMEDIATE",
            // Its connection was opened to read alone.
            (Dialect::Sqlite, true) | (Dialect::Postgres, false) => "BEGIN",
            (Dialect::Postgres, true) => "BEGIN READ ONLY",
            (Dialect::MySql, false) => "START TRANSACTION",
            (Dialect::MySql, true) => "START TRANSACTION READ ONLY",
        };
        let mut tries = 0;
        loop {
            let connection = self.acquire(read_only).await.map_err(|error| inner.locator.explain(error))?;
            match Transaction::begin(connection, begin, inner.statement_timeout, inner.locator.scope()).await {
                // A pooled connection may have died while it lay idle; the pool's other ones may have, too.
                Err(error) if error.is_unavailable() && tries < 16 => tries += 1,
                Err(error) if error.is_contention() => return Err(error),
                result => return result.map_err(|error| inner.locator.explain(error)),
            }
        }
    }

    /// Runs one statement by itself, as [`Transaction::execute_text`]: no BEGIN and no COMMIT travel with it. It may
    /// run twice when its connection is lost, so it must do no harm then.
    ///
    /// # Errors
    /// The database's error.
    pub async fn execute_alone(&self, sql: &Arc<str>, parameters: &[Value]) -> Result<Execution, DatabaseError> {
        let mut began = None;
        loop {
            let mut transaction = self.begin_alone(false).await?;
            let result = transaction.execute_text(sql, parameters).await;
            if let Some(result) = self.end_alone(transaction, result, &mut began) {
                return result;
            }
            // Not every reason is a stale connection: a disk that is full still is.
            tokio::time::sleep(STALE_PAUSE).await;
        }
    }

    /// Runs one SELECT by itself, as [`Transaction::query_text`], and gives its rows: no BEGIN and no COMMIT travel
    /// with it.
    ///
    /// # Errors
    /// The database's error.
    pub async fn query_alone(&self, sql: &Arc<str>, parameters: &[Value]) -> Result<Rows, DatabaseError> {
        let mut began = None;
        loop {
            let mut transaction = self.begin_alone(true).await?;
            let result = transaction.query_text(sql, parameters, RowLimits::NONE).await;
            if let Some(result) = self.end_alone(transaction, result, &mut began) {
                return result;
            }
            // Not every reason is a stale connection: a disk that is full still is.
            tokio::time::sleep(STALE_PAUSE).await;
        }
    }

    async fn begin_alone(&self, read_only: bool) -> Result<Transaction, DatabaseError> {
        let connection = self.acquire(read_only).await.map_err(|error| self.inner.locator.explain(error))?;
        Ok(Transaction::alone(connection, self.inner.statement_timeout))
    }

    /// `None` when it is to be tried again: a pooled connection may have died while it lay idle, and the pool's other
    /// ones may have, too.
    fn end_alone<T>(
        &self,
        transaction: Transaction,
        result: Result<T, DatabaseError>,
        first_try: &mut Option<Instant>,
    ) -> Option<Result<T, DatabaseError>> {
        match result {
            Ok(value) => {
                transaction.give_back();
                Some(Ok(value))
            }
            Err(error) if error.is_unavailable() => {
                let is_stale = first_try.get_or_insert_with(Instant::now).elapsed() < STALE_CONNECTIONS;
                (!is_stale).then(|| Err(self.inner.locator.explain(error)))
            }
            Err(error) => Some(Err(error)),
        }
    }

    async fn acquire(&self, read_only: bool) -> Result<Connection, DatabaseError> {
        match &self.inner.pools {
            Pools::Sqlite { writer, readers, budget } => {
                let mut connection = acquire(if read_only { readers } else { writer }).await?;
                let interrupt = match budget {
                    Some(budget) => Interrupt::set(&mut connection, budget)
                        .await
                        .map_err(|error| DatabaseError::from_sqlx(&error))?,
                    None => Interrupt::default(),
                };
                Ok(Connection::Sqlite(connection, interrupt))
            }
            Pools::MySql(pool, relay) => {
                let connection = acquire(pool).await.map_err(|error| explained(error, relay.as_ref()))?;
                Ok(Connection::MySql(connection, relay.as_ref().map(Relay::state)))
            }
            Pools::Postgres(pool, relay) => {
                let connection = acquire(pool).await.map_err(|error| explained(error, relay.as_ref()))?;
                Ok(Connection::Postgres(connection, relay.as_ref().map(Relay::state)))
            }
        }
    }

    /// Closes every connection, and waits for them. On SQLite the write-ahead log is written into the
    /// file first, as far as no other process reads from it.
    pub async fn close(&self) {
        match &self.inner.pools {
            Pools::Sqlite { writer, readers, .. } => {
                readers.close().await;
                if writer.size() > 0
                    && !self.inner.target_owned
                    && let Ok(mut connection) = writer.acquire().await
                {
                    // Another process that is busy with the file, or closes it last, does the same.
                    drop(sqlx::raw_sql("PRAGMA wal_checkpoint(TRUNCATE)").execute(&mut *connection).await);
                }
                writer.close().await;
            }
            Pools::MySql(pool, _) => pool.close().await,
            Pools::Postgres(pool, _) => pool.close().await,
        }
    }
}

impl BeginsTransactions for Database {
    fn begin_to_write(&self) -> BoxFuture<'_, Result<Transaction, DatabaseError>> {
        Box::pin(self.begin())
    }
}

/// The relay to a target's server; none to the host's own.
fn relay(owner: Owner, server: Server, name: &str) -> Result<Option<Relay>, DatabaseError> {
    let Owner::Target { answer_bytes_max } = owner else { return Ok(None) };
    Relay::open(server, answer_bytes_max, name).map_err(|error| {
        let message = format!("cannot make a socket in the folder for temporary files: {error}; fix: set TMPDIR");
        DatabaseError::new(ErrorKind::Rejected, message)
    })
}

/// Why a server behind a relay could not be reached: the driver itself only saw that its connection ended.
fn explained(error: DatabaseError, relay: Option<&Relay>) -> DatabaseError {
    match relay.and_then(|relay| relay.state().refusal()) {
        Some(refusal) if error.is_unavailable() => refusal,
        _ => error,
    }
}

fn pool_options<DB: sqlx::Database>(connections_max: u32) -> PoolOptions<DB> {
    PoolOptions::new()
        .max_connections(connections_max.max(1))
        .acquire_timeout(CONNECT_TIMEOUT)
        // A dead connection shows at BEGIN, which costs nothing extra.
        .test_before_acquire(false)
}

/// The pool keeps trying while connections are refused, and then only reports that time is up. So where one is long in
/// coming, a direct attempt asks for the reason.
async fn acquire<DB: sqlx::Database>(pool: &Pool<DB>) -> Result<sqlx::pool::PoolConnection<DB>, DatabaseError> {
    let acquiring = pool.acquire();
    tokio::pin!(acquiring);
    if let Ok(acquired) = tokio::time::timeout(SUSPICIOUS_WAIT, &mut acquiring).await {
        return acquired.map_err(|error| DatabaseError::from_sqlx(&error));
    }
    match tokio::time::timeout(CONNECT_TIMEOUT, pool.connect_options().connect()).await {
        // The server is there, so it is the pool that is busy. Whether this connection closes well is no matter.
        Ok(Ok(connection)) => drop(connection.close().await),
        Ok(Err(error)) => return Err(DatabaseError::from_sqlx(&error)),
        Err(_) => return Err(DatabaseError::timeout("connecting", CONNECT_TIMEOUT)),
    }
    acquiring.await.map_err(|error| match error {
        sqlx::Error::PoolTimedOut => DatabaseError::new(ErrorKind::Contention, "no connection was free in time"),
        error => DatabaseError::from_sqlx(&error),
    })
}
