//! One session of an adapter at a target: begin, call `apply`, finish. The only place where an adapter's work is
//! committed.
//!
//! At a database the session begins a transaction, lends it to the adapter, and ends it. It commits only behind the
//! fence: the lease is renewed right before. Over HTTP the host checks the fence before each request that may write. A
//! session that rolls back leaves nothing: over HTTP it withholds every such request.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::time::Instant;

use super::checked::CheckedAdapter;
use super::spec::{Access, Target};
use crate::database::{Database, DatabaseError, ErrorKind, Transaction};
use crate::domain::change::{BatchOutcome, Change, Failure, FailureKind, RemoteEdit};
use crate::plugin::{
    AttemptRecorder, CallContext, CallError, Fence, Given, HttpAccess, LogTap, Repeatable, RequestFates, SqlAccess,
    TapeUse, Transcript, Usage,
};

/// Runs of one call at most, while the target's database is contended.
const CONTENTION_RUNS_MAX: u32 = 6;

/// How long a contended call is run again. A lock that is held for longer is found by splitting the batch.
const CONTENTION_PATIENCE: Duration = Duration::from_secs(3);

/// How a session ends what an adapter did.
#[derive(Clone)]
pub enum Finish {
    /// Commits while this fence holds.
    Commit(Arc<dyn Fence>),
    /// Leaves nothing at the target.
    RollBack,
}

/// The result of one call, after its transaction has ended.
#[derive(Debug)]
pub struct Applied {
    /// What the adapter returned. After a failure nothing of the call lasts, except what is in doubt
    /// and a commit whose answer was lost.
    pub result: Result<BatchOutcome, CallFailure>,
    /// A request that may write was sent and has no complete answer.
    pub in_doubt: bool,
    /// What the call used.
    pub usage: Usage,
}

/// Why a call as a whole has no outcomes.
#[derive(Clone, Debug)]
pub enum CallFailure {
    /// The adapter reported it.
    Reported(Failure),
    /// The adapter crashed, exceeded a limit, or gave an invalid response.
    Crashed(CallError),
    /// The target's database refused to begin or commit, or ended the transaction.
    Database(DatabaseError),
    /// The fence did not hold. Nothing was committed, and nothing more was sent.
    FenceLost,
}

/// One way to run an adapter at a target.
#[derive(Clone)]
pub struct TargetSession<'a> {
    pub(super) target: &'a Target,
    pub(super) context: CallContext,
    on_remote_edit: RemoteEdit,
    finish: Finish,
    fates: RequestFates,
}

/// The fence of a session that leaves nothing.
struct NeverHolds;

impl Fence for NeverHolds {
    fn renew(&self) -> BoxFuture<'_, bool> {
        Box::pin(std::future::ready(false))
    }
}

impl Target {
    /// A session that ends each call by `finish`.
    #[must_use]
    pub fn session(&self, finish: Finish) -> TargetSession<'_> {
        TargetSession {
            target: self,
            context: self.context.clone(),
            on_remote_edit: self.spec.on_remote_edit,
            finish,
            fates: RequestFates::default(),
        }
    }
}

impl TargetSession<'_> {
    /// Records the adapter's operations at the target. A contended call is then run once: the transcript shows one run.
    #[must_use]
    pub fn with_transcript(mut self, transcript: Transcript) -> Self {
        self.context.transcript = Some(transcript);
        self
    }

    /// Records the effects of the calls, for the journal.
    #[must_use]
    pub fn with_recorder(mut self, recorder: Option<AttemptRecorder>) -> Self {
        self.context.recorder = recorder;
        self
    }

    /// Records the answers of an HTTP target, or gives recorded ones.
    #[must_use]
    pub fn with_tape(mut self, tape: TapeUse) -> Self {
        self.context.tape = Some(tape);
        self
    }

    /// Gives the calls this clock and these random numbers.
    #[must_use]
    pub fn with_repeatable(mut self, repeatable: Repeatable) -> Self {
        self.context.repeatable = Some(repeatable);
        self
    }

    /// Keeps the adapter's log lines.
    #[must_use]
    pub fn with_log_tap(mut self, log_tap: LogTap) -> Self {
        self.context.log_tap = Some(log_tap);
        self
    }

    /// Limits each call to this number of milliseconds.
    #[must_use]
    pub fn with_deadline_ms(mut self, deadline_ms: u64) -> Self {
        self.context.limits.deadline_ms = deadline_ms;
        self
    }

    /// Replaces the configured policy for records that were edited at the target.
    #[must_use]
    pub fn with_remote_edit(mut self, on_remote_edit: RemoteEdit) -> Self {
        self.on_remote_edit = on_remote_edit;
        self
    }

    /// The state of the requests of all calls of this session, including a call that was dropped halfway.
    #[must_use]
    pub fn fates(&self) -> &RequestFates {
        &self.fates
    }

    /// Whether what an adapter does stays at the target.
    pub(super) fn commits(&self) -> bool {
        matches!(self.finish, Finish::Commit(_))
    }

    /// Calls `apply` once. While the target's database is contended, the call is run again a few times.
    pub async fn apply(&self, adapter: &CheckedAdapter, changes: &[Change]) -> Applied {
        let started = Instant::now();
        let runs_max = if self.context.transcript.is_some() { 1 } else { CONTENTION_RUNS_MAX };
        let mut run = 1;
        loop {
            let applied = self.apply_once(adapter, changes).await;
            let is_contended = applied.result.as_ref().is_err_and(CallFailure::is_contention);
            if !is_contended || run >= runs_max || started.elapsed() >= CONTENTION_PATIENCE {
                return applied;
            }
            tracing::debug!(target_name = %self.target.spec.name, run, "contention at the target: call repeated");
            tokio::time::sleep(Duration::from_millis(rand::random_range(5..=(20 << run)))).await;
            run += 1;
        }
    }

    async fn apply_once(&self, adapter: &CheckedAdapter, changes: &[Change]) -> Applied {
        match &self.target.access {
            Access::Database { database, sql, .. } => self.apply_at_database(database, sql, adapter, changes).await,
            Access::Http(http) => self.apply_over_http(http, adapter, changes).await,
        }
    }

    async fn apply_at_database(
        &self,
        database: &Database,
        sql: &Arc<SqlAccess>,
        checked: &CheckedAdapter,
        changes: &[Change],
    ) -> Applied {
        let begun =
            if sql.only_reads() { database.begin_read().await } else { Ok(database.begin_with_first_statement()) };
        let transaction = match begun {
            Ok(transaction) => transaction,
            Err(error) => {
                let result = Err(CallFailure::Database(error));
                return Applied { result, in_doubt: false, usage: Usage::default() };
            }
        };
        let learned = checked.learned();
        let given = Given { state: &checked.state, learned: &learned, on_remote_edit: self.on_remote_edit };
        let call = checked.adapter.apply_database(&self.context, sql, transaction, given, changes).await;
        let result = match (call.broken, reported(call.result)) {
            (Some(error), _) => Err(CallFailure::Database(error)),
            (None, Ok(batch)) => self.end(call.transaction).await.map(|()| batch),
            (None, Err(failure)) => {
                if let Some(transaction) = call.transaction {
                    // If the rollback fails, the connection is closed, which also undoes the transaction. The first
                    // failure is the one to report.
                    transaction.rollback().await.ok();
                }
                Err(failure)
            }
        };
        Applied { result, in_doubt: false, usage: call.usage }
    }

    async fn apply_over_http(&self, http: &Arc<HttpAccess>, checked: &CheckedAdapter, changes: &[Change]) -> Applied {
        let fence = match &self.finish {
            Finish::Commit(fence) => Arc::clone(fence),
            Finish::RollBack => Arc::new(NeverHolds),
        };
        let permit = (fence, &self.fates);
        let learned = checked.learned();
        let given = Given { state: &checked.state, learned: &learned, on_remote_edit: self.on_remote_edit };
        let call = checked.adapter.apply_http(&self.context, http, permit, given, changes).await;
        let result = if call.lease_lost { Err(CallFailure::FenceLost) } else { reported(call.result) };
        Applied { result, in_doubt: call.in_doubt, usage: call.usage }
    }

    /// Ends the transaction of a call that gave outcomes. Without a transaction there is nothing that a commit could
    /// make last.
    async fn end(&self, transaction: Option<Transaction>) -> Result<(), CallFailure> {
        let Some(transaction) = transaction else {
            return match &self.finish {
                Finish::RollBack => Ok(()),
                Finish::Commit(_) => Err(CallFailure::Database(DatabaseError::new(
                    ErrorKind::Unavailable,
                    "the transaction ended before its commit",
                ))),
            };
        };
        match &self.finish {
            Finish::RollBack => {
                // A connection that was lost has also rolled back.
                transaction.rollback().await.ok();
                Ok(())
            }
            Finish::Commit(fence) if fence.renew().await => transaction.commit().await.map_err(CallFailure::Database),
            Finish::Commit(_) => {
                // As above; the lost lease is the failure to report.
                transaction.rollback().await.ok();
                Err(CallFailure::FenceLost)
            }
        }
    }
}

impl CallFailure {
    /// Whether another transaction's lock caused the failure, so that the same call may succeed at once.
    #[must_use]
    pub fn is_contention(&self) -> bool {
        matches!(self, Self::Database(error) if error.is_contention())
    }

    /// Whether a trigger or routine of the target failed on something of its own: for every row, or for one.
    #[must_use]
    pub fn is_of_a_routine(&self) -> bool {
        matches!(self, Self::Database(error) if error.kind == ErrorKind::Routine)
    }

    /// What it means for each delivery of the call.
    #[must_use]
    pub fn into_failure(self) -> Failure {
        match self {
            Self::Reported(failure) => failure,
            Self::Crashed(error) => Failure::new(FailureKind::Adapter, error.to_string()),
            Self::Database(error) => from_database(&error),
            Self::FenceLost => Failure::new(FailureKind::Delayed, "the lease was lost"),
        }
    }
}

impl fmt::Display for CallFailure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reported(failure) => write!(formatter, "`{}`: {}", failure.kind.as_str(), failure.message),
            Self::Crashed(error) => write!(formatter, "{error}"),
            Self::Database(error) => write!(formatter, "the database failed: {}", error.message),
            Self::FenceLost => formatter.write_str("the lease was lost"),
        }
    }
}

/// Flattens the two levels of a response: the adapter's own failure, and the host's error about the adapter.
pub(super) fn reported<T>(result: Result<Result<T, Failure>, CallError>) -> Result<T, CallFailure> {
    match result {
        Ok(answer) => answer.map_err(CallFailure::Reported),
        Err(error) => Err(CallFailure::Crashed(error)),
    }
}

/// Translates a database's error into a failure of the deliveries that it ended. It classifies as an adapter's SDK does
/// (`plugins/sdk/src/database.rs`), for errors that no adapter sees: at BEGIN, at COMMIT, and those that end a
/// transaction.
pub(super) fn from_database(error: &DatabaseError) -> Failure {
    let kind = match error.kind {
        ErrorKind::Unavailable => FailureKind::Unavailable,
        ErrorKind::Rejected | ErrorKind::PermissionDenied | ErrorKind::MissingObject => FailureKind::Misconfigured,
        ErrorKind::Contention => FailureKind::Delayed,
        // A constraint that is tested at the commit; a trigger that fails on something of its own (`deliver.rs`).
        ErrorKind::InvalidValue | ErrorKind::Routine => FailureKind::Invalid,
        ErrorKind::DuplicateKey | ErrorKind::Refused | ErrorKind::Other => FailureKind::Transient,
    };
    Failure::new(kind, error.message.clone())
}
