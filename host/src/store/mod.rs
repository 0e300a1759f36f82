//! The host's own database. Every statement on its tables is a template in `sql/`; this folder runs them.
//!
//! There is one file for each table or step of the protocol: a change is routed (`routing.rs`, `direct.rs`), claimed
//! (`claim.rs`), read (`batch.rs`) and settled (`settle.rs`). This folder must never hold a transaction open across a
//! call into an adapter, know an adapter, or decide what a failure means (`domain::delivery` does). Read next:
//! `claim.rs`, and `sql/mod.rs` for how statements are written.

mod adapters;
mod alert_facts;
mod alert_sends;
mod alerts;
mod audit;
mod batch;
mod batch_max;
mod blocked;
mod bulk;
mod circles;
mod claim;
mod clinical;
mod clock;
mod conflicts;
mod counts;
mod deliveries;
mod dependencies;
mod direct;
mod failed_deliveries;
mod health;
mod holds;
mod hosts;
mod imports;
mod in_flight;
mod inspection;
mod journal;
mod lacking;
mod learned;
mod lease;
mod listing;
mod merges;
mod migrate;
mod newest;
mod next_state;
mod notices;
mod ours;
mod outbox;
mod outdated;
mod patients;
mod readable;
mod refuse;
mod request;
mod resend;
mod resend_decision;
mod resolve;
mod resync;
mod retention;
mod retry;
mod routing;
mod scan;
mod schema;
mod settle;
mod skipped;
mod sql;
mod status;
mod targets;
mod trace;
mod users;
mod users_table;
mod verification;
mod verification_parts;
mod waiting;
mod waits_once;
mod why;
mod why_sentence;

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use self::audit::PendingAudit;
use self::dependencies::TargetsWithDependents;
use self::journal::WrittenEffects;
use self::refuse::RefusedHere;
use self::sql::{Bound, Names, Now, Statement, Statements};
use crate::database::{
    AsDatabaseError, Database, DatabaseError, Dialect, Execution, RowLimits, Rows, Transaction, Value,
};
use crate::domain::conflict::split_message;
use crate::domain::ids::{AggregateKey, ChangeId, UsersTable};

pub use adapters::{AdapterEvent, AdapterEventKind, AdapterRecord, DesiredState};
pub use alert_facts::{Heartbeat, NewestChanges};
pub use alert_sends::DueSend;
pub use alerts::{Alert, AlertChanges, AlertFilter, AlertKey, AlertSend, FoundAlert};
pub use audit::{AuditFilter, AuditRecorder, SentDelivery};
pub use batch::{Batch, ClaimedIds};
pub use blocked::BlockedKey;
pub use claim::Claim;
pub use clinical::{EncounterOfPatient, StoredRecord};
pub use clock::ClockState;
pub use conflicts::{Conflict, ConflictKey, Resolved};
pub use counts::Counts;
pub use deliveries::{CauseCount, DeliveryFilter, DeliveryPage};
pub use dependencies::WaitingCursor;
pub use failed_deliveries::{DismissedDelivery, FailedDelivery};
pub use holds::HeldAdapter;
pub use hosts::{HostRecord, RunningHost, TargetTypes};
pub use imports::ImportProgress;
pub use inspection::{AppliedMigration, InspectedColumn, InspectedIndex, InspectedTable, QueryPlan, TableSize};
pub use journal::{LastAttempt, Rate, RecordedAttempt};
pub use learned::Learned;
pub use lease::Lease;
pub use listing::UnlinkedRecord;
pub use merges::{NewMerge, survivor_reference};
pub use migrate::{MigrationError, Migrations};
pub use next_state::{NextState, StateSource};
pub use notices::{Notice, NoticeKind};
pub use outbox::NewChange;
pub use patients::StoredPatient;
pub use request::{ClaimRequest, DirectRequest, RequestId};
pub use resend::{Resend, ResendCounts, ResendScope};
pub use retention::{PurgeCursor, Purged};
pub use retry::{DeliveryKey, RetryFilter, RetryProgress};
pub use routing::{Route, Routed, Routes};
pub use scan::ScanCursor;
pub use settle::{BatchResults, Settled};
pub use status::{RecentSync, StatusSnapshot, TargetStatus};
pub use targets::{BreakerState, TargetReport, TargetState};
pub use trace::{
    Story, Subject, TracedChange, TracedDelivery, TracedDependency, TracedDismissal, TracedFinding, TracedInFlight,
    TracedLink, TracedMerge,
};
pub use users::StoredUser;
pub use verification::{FoundRecord, LinkedRecord, Verification, VerificationCounts, Verifications};
pub use verification_parts::{NOT_IN_STORE_MAX, NotInStore};
pub use waiting::{Lacking, LackingReason, WaitingDelivery};
pub use why_sentence::{Explanation, Reason, ReasonClass};

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("{operation}: {error}")]
    Database {
        /// For example "claim batch for target `openemr`".
        operation: String,
        #[source]
        error: DatabaseError,
    },
    /// The store holds a value that this version does not understand.
    #[error("{operation}: {found}")]
    Corrupt { operation: String, found: String },
}

impl StoreError {
    /// Whether the store cannot be reached, so that a later attempt may succeed.
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

/// The source of the store's times.
#[derive(Clone, Debug, Default)]
pub enum StoreClock {
    /// The database's own clock, which all hosts share.
    #[default]
    Database,
    /// A clock that a test moves, milliseconds since 1970-01-01 UTC.
    Manual(Arc<AtomicI64>),
}

impl StoreClock {
    fn now(&self) -> Now {
        match self {
            Self::Database => Now::Database,
            Self::Manual(_) => Now::Parameter,
        }
    }

    fn now_ms(&self) -> Option<i64> {
        match self {
            Self::Database => None,
            Self::Manual(millis) => Some(millis.load(Ordering::SeqCst)),
        }
    }
}

/// The host's own database. Cloning shares its connections.
#[derive(Clone)]
pub struct Store {
    database: Database,
    clock: StoreClock,
    statements: Arc<OnceLock<Arc<Statements>>>,
    statements_run: Arc<AtomicU64>,
    refused: RefusedHere,
    dependents: TargetsWithDependents,
    written_effects: WrittenEffects,
    users_table: UsersTable,
    /// What its transactions record; `None` for a host's own work.
    audit: Option<Arc<AuditRecorder>>,
}

impl Store {
    /// A store on this database; nothing is connected yet.
    #[must_use]
    pub fn new(database: Database, clock: StoreClock) -> Self {
        Self {
            database,
            clock,
            statements: Arc::default(),
            statements_run: Arc::default(),
            refused: RefusedHere::default(),
            dependents: TargetsWithDependents::default(),
            written_effects: WrittenEffects::default(),
            users_table: UsersTable::default(),
            audit: None,
        }
    }

    /// The same store with another table of users.
    #[must_use]
    pub fn with_users_table(self, users_table: UsersTable) -> Self {
        Self { users_table, statements: Arc::default(), ..self }
    }

    /// The number of statements that this store has run, without BEGIN and COMMIT.
    #[must_use]
    pub fn statements_run(&self) -> u64 {
        self.statements_run.load(Ordering::Relaxed)
    }

    #[must_use]
    pub fn database(&self) -> &Database {
        &self.database
    }

    /// Begins a transaction that may write.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn begin(&self, operation: &str) -> Result<StoreTransaction, StoreError> {
        let statements = self.statements(operation).await?;
        let inner = self.database.begin().await.map_err(|error| failed(operation, error))?;
        Ok(self.transaction(inner, operation, statements))
    }

    /// Begins a transaction that only reads.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn begin_read(&self, operation: &str) -> Result<StoreTransaction, StoreError> {
        let statements = self.statements(operation).await?;
        let inner = self.database.begin_read().await.map_err(|error| failed(operation, error))?;
        Ok(self.transaction(inner, operation, statements))
    }

    fn transaction(&self, inner: Transaction, operation: &str, statements: Arc<Statements>) -> StoreTransaction {
        let (operation, now_ms) = (operation.to_owned(), self.clock.now_ms());
        let (statements_run, audit) = (self.statements_run.clone(), self.audit.as_ref().map(PendingAudit::new));
        StoreTransaction { inner, operation, statements, now_ms, statements_run, audit }
    }

    /// The statements as this database gets them; the first call renders them.
    async fn statements(&self, operation: &str) -> Result<Arc<Statements>, StoreError> {
        if let Some(statements) = self.statements.get() {
            return Ok(Arc::clone(statements));
        }
        let collation = self.database.exact_collation().await.map_err(|error| failed(operation, error))?;
        let dialect = self.database.dialect();
        let users_table = dialect.quoted(self.users_table.as_str());
        let names = Names { collation, users_table: &users_table, now: self.clock.now() };
        Ok(Arc::clone(self.statements.get_or_init(|| Statements::of(dialect, &names))))
    }

    /// Runs one statement as its own transaction, without round trips for BEGIN and COMMIT. It may run twice when a
    /// connection is lost.
    async fn run_alone(&self, operation: &str, statement: impl Statement) -> Result<Execution, StoreError> {
        debug_assert!(self.audit.is_none(), "invariant: what an audited store changes is in a transaction");
        let Bound { sql, values } = self.statements(operation).await?.bind(statement, self.clock.now_ms());
        self.statements_run.fetch_add(1, Ordering::Relaxed);
        self.database.execute_alone(&sql, &values).await.map_err(|error| failed(operation, error))
    }

    /// Runs one SELECT as its own transaction.
    async fn fetch_alone(&self, operation: &str, statement: impl Statement) -> Result<Rows, StoreError> {
        let Bound { sql, values } = self.statements(operation).await?.bind(statement, self.clock.now_ms());
        self.statements_run.fetch_add(1, Ordering::Relaxed);
        self.database.query_alone(&sql, &values).await.map_err(|error| failed(operation, error))
    }

    /// The store's time, milliseconds since 1970-01-01 UTC.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn now_ms(&self) -> Result<i64, StoreError> {
        let rows = self.fetch_alone("read the store's clock", sql::ReadNow {}).await?;
        rows.rows
            .first()
            .and_then(|row| row.first())
            .and_then(Value::as_i64)
            .ok_or_else(|| corrupt("read the store's clock", "no number"))
    }
}

/// A transaction of the store, whose errors name the operation.
pub struct StoreTransaction {
    inner: Transaction,
    operation: String,
    statements: Arc<Statements>,
    /// The time of a test's clock when it began.
    now_ms: Option<i64>,
    statements_run: Arc<AtomicU64>,
    audit: Option<PendingAudit>,
}

impl StoreTransaction {
    fn dialect(&self) -> Dialect {
        self.inner.dialect()
    }

    /// Runs one statement of `sql/`.
    async fn run(&mut self, statement: impl Statement) -> Result<Execution, StoreError> {
        let Bound { sql, values } = self.statements.bind(statement, self.now_ms);
        self.statements_run.fetch_add(1, Ordering::Relaxed);
        let ran = self.inner.execute_text(&sql, &values).await.map_err(|error| failed(&self.operation, error))?;
        if let Some(audit) = &mut self.audit {
            audit.has_changed |= ran.rows_affected > 0;
        }
        Ok(ran)
    }

    /// Runs one SELECT of `sql/`.
    async fn fetch(&mut self, statement: impl Statement) -> Result<Rows, StoreError> {
        let Bound { sql, values } = self.statements.bind(statement, self.now_ms);
        self.statements_run.fetch_add(1, Ordering::Relaxed);
        self.inner.query_text(&sql, &values, RowLimits::NONE).await.map_err(|error| failed(&self.operation, error))
    }

    /// Runs a SELECT of `sql/` that returns one number.
    async fn number(&mut self, statement: impl Statement) -> Result<Option<i64>, StoreError> {
        Ok(self.fetch(statement).await?.rows.first().and_then(|row| row.first()).and_then(Value::as_i64))
    }

    /// Records what it has changed, if the store is audited, and commits.
    ///
    /// # Errors
    /// The database's error; nothing is then changed.
    pub async fn commit(mut self) -> Result<(), StoreError> {
        let event = self.record_changes().await?;
        let operation = self.operation;
        self.inner.commit().await.map_err(|error| failed(&operation, error))?;
        if let Some((recorder, event)) = event {
            (recorder.recorded)(&event);
        }
        Ok(())
    }

    /// Rolls back.
    ///
    /// # Errors
    /// The database's error; the transaction is rolled back all the same.
    pub async fn rollback(self) -> Result<(), StoreError> {
        let operation = self.operation;
        self.inner.rollback().await.map_err(|error| failed(&operation, error))
    }
}

fn failed(operation: &str, error: DatabaseError) -> StoreError {
    StoreError::Database { operation: operation.to_owned(), error }
}

fn corrupt(operation: &str, found: impl Into<String>) -> StoreError {
    StoreError::Corrupt { operation: operation.to_owned(), found: found.into() }
}

/// Reads one row's values in order, by kind.
struct RowReader<'a> {
    operation: &'a str,
    values: std::vec::IntoIter<Value>,
}

impl<'a> RowReader<'a> {
    fn new(operation: &'a str, row: Vec<Value>) -> Self {
        Self { operation, values: row.into_iter() }
    }

    fn next(&mut self) -> Result<Value, StoreError> {
        self.values.next().ok_or_else(|| corrupt(self.operation, "a column is missing"))
    }

    fn integer(&mut self) -> Result<i64, StoreError> {
        self.optional_integer()?.ok_or_else(|| corrupt(self.operation, "a number is missing"))
    }

    fn optional_integer(&mut self) -> Result<Option<i64>, StoreError> {
        Ok(self.next()?.as_i64())
    }

    fn change_id(&mut self) -> Result<ChangeId, StoreError> {
        self.integer().map(ChangeId::new)
    }

    fn optional_change_id(&mut self) -> Result<Option<ChangeId>, StoreError> {
        Ok(self.optional_integer()?.map(ChangeId::new))
    }

    fn text(&mut self) -> Result<String, StoreError> {
        self.optional_text()?.ok_or_else(|| corrupt(self.operation, "a text is missing"))
    }

    fn optional_text(&mut self) -> Result<Option<String>, StoreError> {
        Ok(self.next()?.into_text())
    }

    /// A delivery's failure, without the fingerprint that a conflict's message carries for its adapter.
    fn failure_message(&mut self) -> Result<Option<String>, StoreError> {
        Ok(self.optional_text()?.map(|message| split_message(&message).0.to_owned()))
    }

    fn aggregate_key(&mut self) -> Result<AggregateKey, StoreError> {
        Ok(AggregateKey { aggregate_type: self.key()?, aggregate_id: self.key()? })
    }

    /// An aggregate's type or id. A value that is not text is shown as well as possible, so that a row that another
    /// program changed does not keep the others from being read.
    fn key(&mut self) -> Result<String, StoreError> {
        Ok(match self.next()? {
            Value::Bytes(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Value::I64(number) => number.to_string(),
            Value::F64(number) => number.to_string(),
            value => value.into_text().unwrap_or_default(),
        })
    }
}
