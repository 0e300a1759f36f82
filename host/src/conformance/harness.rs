//! One adapter at one private place: makes calls as the host makes them, and remembers every word that came out.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::mock_server::MockServer;
use super::patients::Patients;
use super::scratch::ScratchDatabase;
use super::{ConformanceError, Options, context};
use crate::database::{Database, Dialect, RowLimits, Value};
use crate::domain::change::{Change, Failure, FailureKind, Outcome, RemoteEdit, Report};
use crate::plugin::{
    Adapter, CallContext, CallError, Fence, HttpAccess, HttpOptions, LogTap, RequestFates, SqlAccess, Usage,
};

/// How often a call is made again because the database asked for it.
const CONTENTION_RUNS_MAX: u32 = 3;

/// An adapter at a place.
pub(super) struct Harness {
    pub(super) place: String,
    pub(super) patients: Patients,
    adapter: Arc<Adapter>,
    context: CallContext,
    access: Access,
    state: Mutex<Vec<u8>>,
    /// Everything that a person might read: messages, findings, ids, log lines.
    words: Mutex<Vec<String>>,
    log: LogTap,
    /// The most that one call took.
    most: Mutex<Usage>,
}

enum Access {
    Database { database: Database, sql: Arc<SqlAccess> },
    Http { http: Arc<HttpAccess>, server: MockServer },
}

/// What becomes of a call's effects at a database.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Commit,
    /// As after a crash before the commit.
    Rollback,
}

/// Why a batch has no outcomes.
#[derive(Clone, Debug)]
pub(super) enum Stop {
    /// The adapter's own word on the batch as a whole.
    Whole(Failure),
    /// The host broke it off.
    Broke(CallError),
    /// The place itself failed.
    Scratch(String),
}

impl std::fmt::Display for Stop {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Whole(failure) => write!(formatter, "`{}`: {}", failure.kind.as_str(), failure.message),
            Self::Broke(error) => write!(formatter, "{error}"),
            Self::Scratch(message) => write!(formatter, "the database failed: {message}"),
        }
    }
}

/// The lease of a suite is never lost.
struct Always;

impl Fence for Always {
    fn renew(&self) -> futures::future::BoxFuture<'_, bool> {
        Box::pin(std::future::ready(true))
    }
}

impl Harness {
    pub(super) fn database(
        adapter: Arc<Adapter>,
        options: &Options,
        scratch: &ScratchDatabase,
    ) -> Result<Self, ConformanceError> {
        let timeout = Duration::from_millis(options.limits.deadline_ms);
        let database =
            Database::of_target(scratch.locator.clone(), 2, timeout, options.limits.query_bytes_max).map_err(
                |error| ConformanceError::ScratchServer { place: scratch.name.to_owned(), reason: error.message },
            )?;
        let sql = SqlAccess::new(scratch.locator.dialect(), options.grants.clone());
        Ok(Self::new(scratch.name, adapter, context(options, None), Access::Database { database, sql }))
    }

    pub(super) fn http(
        adapter: Arc<Adapter>,
        options: &Options,
        server: &MockServer,
    ) -> Result<Self, ConformanceError> {
        let http_options = HttpOptions { base_url: server.base_url(), allow_private: true, ..HttpOptions::default() };
        let http = HttpAccess::new("conformance", &http_options)?;
        let access = Access::Http { http, server: server.clone() };
        Ok(Self::new("mock server", adapter, context(options, Some(server.base_url())), access))
    }

    fn new(place: &str, adapter: Arc<Adapter>, mut context: CallContext, access: Access) -> Self {
        let log = LogTap::default();
        context.log_tap = Some(log.clone());
        Self {
            place: place.to_owned(),
            patients: Patients::new(),
            adapter,
            context,
            access,
            state: Mutex::default(),
            words: Mutex::default(),
            log,
            most: Mutex::default(),
        }
    }

    pub(super) fn is_database(&self) -> bool {
        matches!(self.access, Access::Database { .. })
    }

    pub(super) fn aggregate_types(&self) -> &[String] {
        &self.adapter.descriptor().aggregate_types
    }

    /// Everything that came out so far.
    pub(super) fn words(&self) -> Vec<String> {
        let mut words = lock(&self.words).clone();
        words.extend(self.log.lines());
        words
    }

    /// The most that one call took so far.
    pub(super) fn most(&self) -> Usage {
        *lock(&self.most)
    }

    pub(super) fn memory_mib_max(&self) -> u64 {
        self.context.limits.memory_mib
    }

    /// `check`, whose state is then handed to every `apply`.
    pub(super) async fn check(&self) -> Result<Report, Stop> {
        let (result, usage) = match &self.access {
            Access::Database { database, sql } => {
                let transaction = database.begin_reading_first().await.map_err(|error| Stop::Scratch(error.message))?;
                let call = self.adapter.check_database(&self.context, sql, transaction).await;
                if let Some(transaction) = call.transaction {
                    transaction.rollback().await.ok();
                }
                (call.result, call.usage)
            }
            Access::Http { http, .. } => {
                let call = self.adapter.check_http(&self.context, http).await;
                (call.result, call.usage)
            }
        };
        self.note(usage);
        let report = self.judge(result)?;
        self.hear(&report.summary);
        report.findings.iter().for_each(|finding| self.hear(&finding.message));
        lock(&self.state).clone_from(&report.state);
        Ok(report)
    }

    /// One call of `apply` with these changes, as they are.
    pub(super) async fn apply(&self, changes: &[Change], edits: RemoteEdit, end: End) -> Result<Vec<Outcome>, Stop> {
        self.apply_within(&self.context, changes, edits, end).await
    }

    /// One call that is cut off after so many milliseconds.
    pub(super) async fn apply_cut_off(&self, changes: &[Change], deadline_ms: u64) -> Result<Vec<Outcome>, Stop> {
        let mut context = self.context.clone();
        context.limits.deadline_ms = deadline_ms;
        self.apply_within(&context, changes, RemoteEdit::Overwrite, End::Rollback).await
    }

    /// As the host delivers: a batch that is refused as a whole for good is split, and each part is tried.
    pub(super) async fn deliver(&self, changes: &[Change]) -> Result<Vec<Outcome>, Stop> {
        match self.apply(changes, RemoteEdit::Overwrite, End::Commit).await {
            Err(Stop::Whole(failure)) if failure.kind.is_permanent() && changes.len() > 1 => {
                let mut outcomes = Vec::with_capacity(changes.len());
                for change in changes {
                    match self.apply(std::slice::from_ref(change), RemoteEdit::Overwrite, End::Commit).await {
                        Ok(one) => outcomes.extend(one),
                        Err(Stop::Whole(failure)) if failure.kind.is_permanent() => {
                            outcomes.push(Outcome::Failed(failure));
                        }
                        Err(stop) => return Err(stop),
                    }
                }
                Ok(outcomes)
            }
            Err(Stop::Whole(failure)) if failure.kind.is_permanent() => Ok(vec![Outcome::Failed(failure)]),
            other => other,
        }
    }

    async fn apply_within(
        &self,
        context: &CallContext,
        changes: &[Change],
        edits: RemoteEdit,
        end: End,
    ) -> Result<Vec<Outcome>, Stop> {
        let state = lock(&self.state).clone();
        let (result, usage) = match &self.access {
            Access::Database { database, sql } => {
                let mut run = 1;
                loop {
                    let transaction = database.begin().await.map_err(|error| Stop::Scratch(error.message))?;
                    let call = self.adapter.apply_database(context, sql, transaction, &state, edits, changes).await;
                    if let Some(error) = call.broken {
                        if error.is_contention() && run < CONTENTION_RUNS_MAX {
                            run += 1;
                            continue;
                        }
                        return Err(Stop::Scratch(error.message));
                    }
                    if let Some(transaction) = call.transaction {
                        let keep = end == End::Commit && matches!(call.result, Ok(Ok(_)));
                        let ended = if keep { transaction.commit().await } else { transaction.rollback().await };
                        ended.map_err(|error| Stop::Scratch(error.message))?;
                    }
                    break (call.result, call.usage);
                }
            }
            Access::Http { http, .. } => {
                let permit = (Arc::new(Always) as Arc<dyn Fence>, &RequestFates::default());
                let call = self.adapter.apply_http(context, http, permit, &state, edits, changes).await;
                (call.result, call.usage)
            }
        };
        self.note(usage);
        let outcomes = self.judge(result)?;
        for outcome in &outcomes {
            match outcome {
                Outcome::Failed(failure) => self.hear(&failure.message),
                Outcome::Applied(receipt) => {
                    self.hear(&receipt.remote_id);
                    receipt.remote_version.iter().chain(&receipt.fingerprint).for_each(|text| self.hear(text));
                }
            }
        }
        Ok(outcomes)
    }

    fn judge<T>(&self, result: Result<Result<T, Failure>, CallError>) -> Result<T, Stop> {
        match result {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(failure)) => {
                self.hear(&failure.message);
                Err(Stop::Whole(failure))
            }
            Err(error) => Err(Stop::Broke(error)),
        }
    }

    /// Records at the place, over all tables or addresses.
    pub(super) async fn records(&self) -> Result<u64, Stop> {
        match &self.access {
            Access::Http { server, .. } => Ok(server.records()),
            Access::Database { database, .. } => count(database).await.map_err(|error| Stop::Scratch(error.message)),
        }
    }

    pub(super) async fn close(&self) {
        if let Access::Database { database, .. } = &self.access {
            database.close().await;
        }
    }

    fn hear(&self, text: &str) {
        lock(&self.words).push(text.to_owned());
    }

    fn note(&self, usage: Usage) {
        let mut most = lock(&self.most);
        most.memory_bytes = most.memory_bytes.max(usage.memory_bytes);
        most.host_calls = most.host_calls.max(usage.host_calls);
        most.cpu_ms = most.cpu_ms.max(usage.cpu_ms);
    }
}

async fn count(database: &Database) -> Result<u64, crate::database::DatabaseError> {
    let tables = match database.dialect() {
        Dialect::Sqlite => "SELECT name FROM sqlite_master WHERE type = 'table'",
        Dialect::MySql => "SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE()",
        Dialect::Postgres => {
            "SELECT table_name::text FROM information_schema.tables WHERE table_schema = current_schema()"
        }
    };
    let mut transaction = database.begin_read().await?;
    let mut total = 0;
    for row in transaction.query(tables, &[], RowLimits::NONE).await?.rows {
        let Some(name) = row.first().and_then(as_text) else { continue };
        let quote = if database.dialect() == Dialect::MySql { '`' } else { '"' };
        let counted =
            transaction.query(&format!("SELECT COUNT(*) FROM {quote}{name}{quote}"), &[], RowLimits::NONE).await?;
        total += counted.rows.first().and_then(|row| row.first()).and_then(as_number).unwrap_or(0);
    }
    transaction.rollback().await.ok();
    Ok(total)
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

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether a failure speaks of the target as a whole, as an outage must.
pub(super) fn is_outage(stop: &Stop, kind: FailureKind) -> bool {
    matches!(stop, Stop::Whole(failure) if failure.kind == kind)
}
