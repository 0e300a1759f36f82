//! The host's own database: every statement on our tables stands in this folder, once.
//!
//! One file per table or per step of the protocol. What it must never do: hold a transaction open across a call into an
//! adapter, know an adapter, or decide what a failure means (`domain::delivery` does). Read next: `claim.rs`.

mod adapters;
mod batch;
mod blocked;
mod bulk;
mod claim;
mod clock;
mod conflicts;
mod counts;
mod failed;
mod health;
mod hosts;
mod imports;
mod lease;
mod migrate;
mod newest;
mod notices;
mod ours;
mod outbox;
mod patients;
mod readable;
mod refuse;
mod rehearsal;
mod resync;
mod retention;
mod retry;
mod routing;
mod settle;
mod siblings;
mod sql;
mod status;
mod straight;
mod targets;
mod users;
mod users_table;
mod work;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use self::refuse::RefusedHere;
use crate::database::{AsDatabaseError, Database, DatabaseError, Execution, RowLimits, Rows, Transaction, Value};
use crate::domain::conflict::split_message;
use crate::domain::ids::UsersTable;

pub use adapters::{AdapterEvent, AdapterNews, AdapterRecord, TargetWish};
pub use batch::{Batch, ClaimRequest, Delivery, UnderLease};
pub use blocked::BlockedKey;
pub use claim::{Claim, Place};
pub use clock::ClockState;
pub use conflicts::{Conflict, ConflictKey, Resolved};
pub use counts::Counts;
pub use failed::{DismissedDelivery, FailedDelivery};
pub use hosts::{HostRecord, RunningHost, TargetTypes};
pub use imports::ImportProgress;
pub use lease::Lease;
pub use migrate::{MigrationError, Migrations};
pub use notices::{Notice, NoticeKind};
pub use outbox::NewChange;
pub use patients::StoredPatient;
pub use rehearsal::{NextState, StateSource};
pub use retention::{PurgeCursor, Purged};
pub use retry::RetryFilter;
pub use routing::{Route, Routed, Routes};
pub use settle::Settled;
pub use status::{RecentSync, StatusSnapshot, TargetStatus};
pub use targets::{BreakerState, TargetNews, TargetState};
pub use users::StoredUser;

/// Why the store could not do something.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database said no.
    #[error("{what}: {error}")]
    Database {
        /// What was being done, for example "claim batch for target `openemr`".
        what: String,
        /// What the database said.
        #[source]
        error: DatabaseError,
    },
    /// The store holds something that this version does not understand.
    #[error("{what}: {found}")]
    Corrupt {
        /// Where.
        what: String,
        /// What.
        found: String,
    },
}

impl StoreError {
    /// Whether the store is out of reach, so that trying again later makes sense.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Database { error, .. } if error.is_unavailable() || error.is_contention())
    }
}

impl AsDatabaseError for StoreError {
    fn as_database_error(&self) -> Option<&DatabaseError> {
        match self {
            Self::Database { error, .. } => Some(error),
            Self::Corrupt { .. } => None,
        }
    }
}

/// Where the store's times come from.
#[derive(Clone, Debug, Default)]
pub enum StoreClock {
    /// The database's own clock, which all hosts share.
    #[default]
    Database,
    /// A clock that a test moves, milliseconds since 1970-01-01 UTC.
    Manual(Arc<AtomicI64>),
}

/// The host's own database. Cloning shares its connections.
#[derive(Clone)]
pub struct Store {
    database: Database,
    clock: StoreClock,
    statements: Arc<AtomicU64>,
    refused: RefusedHere,
    users_table: UsersTable,
}

impl Store {
    /// A store on this database; nothing is connected yet.
    #[must_use]
    pub fn new(database: Database, clock: StoreClock) -> Self {
        Self {
            database,
            clock,
            statements: Arc::default(),
            refused: RefusedHere::default(),
            users_table: UsersTable::default(),
        }
    }

    /// The same store with another name of its table of users.
    #[must_use]
    pub fn with_users_table(self, users_table: UsersTable) -> Self {
        Self { users_table, ..self }
    }

    /// How many statements this store has run, without BEGIN and COMMIT. Speed is decided by this number.
    #[must_use]
    pub fn statements_run(&self) -> u64 {
        self.statements.load(Ordering::Relaxed)
    }

    /// Where it is.
    #[must_use]
    pub fn database(&self) -> &Database {
        &self.database
    }

    /// Begins a transaction that may write.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn begin(&self, what: &str) -> Result<StoreTransaction, StoreError> {
        let collation = self.collation(what).await?;
        let inner = self.database.begin().await.map_err(|error| failed(what, error))?;
        Ok(self.transaction(inner, what, collation))
    }

    /// Begins a transaction that only reads.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn begin_read(&self, what: &str) -> Result<StoreTransaction, StoreError> {
        let collation = self.collation(what).await?;
        let inner = self.database.begin_read().await.map_err(|error| failed(what, error))?;
        Ok(self.transaction(inner, what, collation))
    }

    fn transaction(&self, inner: Transaction, what: &str, collation: &'static str) -> StoreTransaction {
        let (what, now) = (what.to_owned(), self.now());
        StoreTransaction { inner, what, now, collation, statements: self.statements.clone() }
    }

    async fn collation(&self, what: &str) -> Result<&'static str, StoreError> {
        self.database.exact_collation().await.map_err(|error| failed(what, error))
    }

    /// SQL for the current time: the database's clock, or a test's.
    fn now(&self) -> String {
        match &self.clock {
            StoreClock::Database => self.database.dialect().now_ms().to_owned(),
            StoreClock::Manual(millis) => millis.load(Ordering::SeqCst).to_string(),
        }
    }

    /// Runs one statement that is a transaction by itself, without the way to the database and back for BEGIN and COMMIT.
    /// It may run twice when a connection is lost.
    async fn execute_alone(&self, what: &str, sql: &str, values: &[(&str, Value)]) -> Result<Execution, StoreError> {
        let (sql, parameters) = sql::named(sql, values, None, self.collation(what).await?);
        self.statements.fetch_add(1, Ordering::Relaxed);
        self.database.execute_alone(&sql, &parameters).await.map_err(|error| failed(what, error))
    }

    /// Runs one SELECT that is a transaction by itself.
    async fn query_alone(
        &self,
        what: &str,
        sql: &str,
        values: &[(&str, Value)],
        ids: &[i64],
    ) -> Result<Rows, StoreError> {
        let ids = sql::Ids { dialect: self.database.dialect(), ids };
        let (sql, parameters) = sql::named(sql, values, Some(ids), self.collation(what).await?);
        self.statements.fetch_add(1, Ordering::Relaxed);
        self.database.query_alone(&sql, &parameters).await.map_err(|error| failed(what, error))
    }

    /// The store's time, milliseconds since 1970-01-01 UTC.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn now_ms(&self) -> Result<i64, StoreError> {
        let rows = self.query_alone("read the store's clock", &format!("SELECT {}", self.now()), &[], &[]).await?;
        rows.rows
            .first()
            .and_then(|row| row.first())
            .and_then(Value::as_i64)
            .ok_or_else(|| corrupt("read the store's clock", "no number"))
    }
}

/// A transaction of the store, with parameters by name and errors that say what was being done.
pub struct StoreTransaction {
    inner: Transaction,
    what: String,
    /// SQL for the current time: the database's clock, or a test's.
    now: String,
    /// The one that MySQL's columns have, see [`Database::exact_collation`].
    collation: &'static str,
    statements: Arc<AtomicU64>,
}

impl StoreTransaction {
    fn dialect(&self) -> crate::database::Dialect {
        self.inner.dialect()
    }

    async fn execute(&mut self, sql: &str, values: &[(&str, Value)]) -> Result<Execution, StoreError> {
        self.execute_for(sql, values, &[]).await
    }

    /// As [`Self::execute`], with `:ids` in the statement.
    async fn execute_for(&mut self, sql: &str, values: &[(&str, Value)], ids: &[i64]) -> Result<Execution, StoreError> {
        let ids = sql::Ids { dialect: self.dialect(), ids };
        let (sql, parameters) = sql::named(sql, values, Some(ids), self.collation);
        self.statements.fetch_add(1, Ordering::Relaxed);
        self.inner.execute(&sql, &parameters).await.map_err(|error| failed(&self.what, error))
    }

    /// A statement whose parameters are written `?` already.
    async fn execute_at(&mut self, sql: &str, parameters: Vec<Value>) -> Result<(), StoreError> {
        self.statements.fetch_add(1, Ordering::Relaxed);
        self.inner.execute(sql, &parameters).await.map(drop).map_err(|error| failed(&self.what, error))
    }

    async fn query(&mut self, sql: &str, values: &[(&str, Value)]) -> Result<Rows, StoreError> {
        self.query_for(sql, values, &[]).await
    }

    /// As [`Self::query`], with `:ids` in the statement.
    async fn query_for(&mut self, sql: &str, values: &[(&str, Value)], ids: &[i64]) -> Result<Rows, StoreError> {
        let ids = sql::Ids { dialect: self.dialect(), ids };
        let (sql, parameters) = sql::named(sql, values, Some(ids), self.collation);
        self.statements.fetch_add(1, Ordering::Relaxed);
        self.inner.query(&sql, &parameters, RowLimits::NONE).await.map_err(|error| failed(&self.what, error))
    }

    /// Makes everything last.
    ///
    /// # Errors
    /// What the database says.
    pub async fn commit(self) -> Result<(), StoreError> {
        let what = self.what;
        self.inner.commit().await.map_err(|error| failed(&what, error))
    }

    /// Undoes everything so far.
    ///
    /// # Errors
    /// What the database says; the effect is undone all the same.
    pub async fn rollback(self) -> Result<(), StoreError> {
        let what = self.what;
        self.inner.rollback().await.map_err(|error| failed(&what, error))
    }
}

fn failed(what: &str, error: DatabaseError) -> StoreError {
    StoreError::Database { what: what.to_owned(), error }
}

fn corrupt(what: &str, found: impl Into<String>) -> StoreError {
    StoreError::Corrupt { what: what.to_owned(), found: found.into() }
}

/// Reads one row's values in order, by kind.
struct Reader<'a> {
    what: &'a str,
    values: std::vec::IntoIter<Value>,
}

impl<'a> Reader<'a> {
    fn new(what: &'a str, row: Vec<Value>) -> Self {
        Self { what, values: row.into_iter() }
    }

    fn next(&mut self) -> Result<Value, StoreError> {
        self.values.next().ok_or_else(|| corrupt(self.what, "a column is missing"))
    }

    fn integer(&mut self) -> Result<i64, StoreError> {
        self.optional_integer()?.ok_or_else(|| corrupt(self.what, "a number is missing"))
    }

    fn optional_integer(&mut self) -> Result<Option<i64>, StoreError> {
        Ok(self.next()?.as_i64())
    }

    fn text(&mut self) -> Result<String, StoreError> {
        self.optional_text()?.ok_or_else(|| corrupt(self.what, "a text is missing"))
    }

    fn optional_text(&mut self) -> Result<Option<String>, StoreError> {
        Ok(self.next()?.into_text())
    }

    /// A delivery's failure as people read it, without the fingerprint that a conflict's message carries for its adapter.
    fn failure_message(&mut self) -> Result<Option<String>, StoreError> {
        Ok(self.optional_text()?.map(|message| split_message(&message).0.to_owned()))
    }

    /// An aggregate's type or id, or another word for people. What is not text is shown as far as that goes: a row that somebody
    /// else spoilt must not keep the others from being read.
    fn key(&mut self) -> Result<String, StoreError> {
        Ok(match self.next()? {
            Value::Bytes(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Value::I64(number) => number.to_string(),
            Value::F64(number) => number.to_string(),
            value => value.into_text().unwrap_or_default(),
        })
    }
}
