//! What a target is to this host: where it is, what may be done there, and how to call its adapter.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::privileges;
use crate::database::{Database, DatabaseError, Locator, Transaction};
use crate::domain::change::{Change, Failure, FailureKind, Finding, FindingLevel, Outcome, RemoteEdit, Report};
use crate::domain::delivery::{BreakerPolicy, RetryPolicy};
use crate::domain::grants::TableVerb;
use crate::domain::ids::IdColumn;
use crate::plugin::{
    Adapter, CallContext, CallError, Fence, HttpAccess, HttpOptions, Limits, PluginError, RequestFates, SqlAccess,
    SqlGrants, World,
};

/// A configured target.
#[derive(Clone, Debug)]
pub struct TargetSpec {
    /// Its name.
    pub name: String,
    /// The adapter's file.
    pub adapter: PathBuf,
    /// How it is spoken to.
    pub kind: TargetKind,
    /// Where its ids of patients go.
    pub id_column: Option<IdColumn>,
    /// What to do when its record was edited there.
    pub on_remote_edit: RemoteEdit,
    /// What it takes.
    pub aggregate_types: Vec<String>,
    /// `[targets.NAME.settings]` as JSON.
    pub settings_json: String,
    /// What a call may take.
    pub limits: Limits,
    /// Deliveries in one batch.
    pub batch_max: u32,
    /// Batches in flight.
    pub concurrency: u32,
}

/// How a target is spoken to.
#[derive(Clone, Debug)]
pub enum TargetKind {
    /// Through its database.
    Database {
        /// Where.
        locator: Locator,
        /// At most so many connections.
        connections_max: u32,
        /// Which tables.
        grants: SqlGrants,
    },
    /// Over HTTP.
    Http {
        /// How.
        options: HttpOptions,
        /// How long the server may go on working on a request whose answer never came, in milliseconds.
        in_doubt_ms: u64,
    },
}

/// How this host synchronises.
#[derive(Clone, Debug)]
pub struct SyncOptions {
    /// This host's id, unlike any other's.
    pub host_id: String,
    /// How long a lease lasts, in milliseconds.
    pub lease_ms: u64,
    /// How often an idle host looks for work, in milliseconds.
    pub poll_ms: u64,
    /// How long calls under way may go on after a request to stop, in milliseconds.
    pub drain_ms: u64,
    /// How often a target that works is checked again, in milliseconds.
    pub recheck_ms: u64,
    /// How often an adapter's file is looked at, in milliseconds.
    pub watch_ms: u64,
    /// How deliveries are tried again.
    pub retry: RetryPolicy,
    /// How long a failing target is left alone.
    pub breaker: BreakerPolicy,
    /// How old finished deliveries and routed changes get, in milliseconds.
    pub retention_ms: i64,
    /// Aggregate types whose every change is delivered, in order.
    pub fifo_types: Vec<String>,
    /// Targets that the configuration names and disables.
    pub disabled_targets: Vec<String>,
}

/// A target, ready to be called.
pub struct Target {
    /// What was configured.
    pub spec: TargetSpec,
    pub(super) context: CallContext,
    pub(super) access: Access,
}

pub(super) enum Access {
    Database { database: Database, sql: Arc<SqlAccess> },
    Http(Arc<HttpAccess>),
}

/// What a whole call came to.
pub(super) enum Called<T> {
    /// The adapter answered.
    Answered(Result<T, Failure>),
    /// The adapter broke off.
    Crashed(CallError),
}

/// What applying a batch came to, before it lasts.
pub(super) enum Applied {
    /// At a database: what the adapter says, and the transaction that is still to be committed or rolled back.
    InTransaction(Called<Vec<Outcome>>, Option<Box<Transaction>>),
    /// The database ended the transaction.
    Broken(DatabaseError),
    /// Over HTTP: what the adapter says; what reached the target is there.
    Sent {
        called: Called<Vec<Outcome>>,
        /// A request that may write was sent and not answered.
        in_doubt: bool,
    },
    /// Over HTTP: the lease was lost, and nothing more was sent.
    LeaseLost,
}

impl Target {
    /// Prepares connections; nothing is connected yet.
    ///
    /// # Errors
    /// When a URL, a certificate or a credential makes no sense.
    pub fn new(spec: TargetSpec) -> Result<Self, PluginError> {
        // Less than the call's own time, so that a database that does not answer is told as such and blames no adapter.
        let statement_timeout = Duration::from_millis(spec.limits.deadline_ms - spec.limits.deadline_ms / 10);
        let access = match &spec.kind {
            TargetKind::Database { locator, connections_max, grants } => Access::Database {
                database: Database::of_target(
                    locator.clone(),
                    *connections_max,
                    statement_timeout,
                    spec.limits.query_bytes_max,
                )
                .map_err(|error| PluginError::Access { target: spec.name.clone(), reason: error.message })?,
                sql: SqlAccess::new(locator.dialect(), grants.clone()),
            },
            TargetKind::Http { options, .. } => {
                let options = HttpOptions { headers_max: spec.limits.http_headers_max, ..options.clone() };
                Access::Http(HttpAccess::new(&spec.name, &options)?)
            }
        };
        let base_url = match &spec.kind {
            TargetKind::Http { options, .. } => Some(options.base_url.trim_end_matches('/').to_owned()),
            TargetKind::Database { .. } => None,
        };
        let context = CallContext {
            target: spec.name.clone(),
            settings_json: spec.settings_json.clone(),
            base_url,
            limits: spec.limits.clone(),
            ..CallContext::default()
        };
        Ok(Self { spec, context, access })
    }

    /// How long the server may go on working on a request whose answer never came; `None` at a database, which rolls back.
    pub(super) fn in_doubt_ms(&self) -> Option<u64> {
        match self.spec.kind {
            TargetKind::Http { in_doubt_ms, .. } => Some(in_doubt_ms),
            TargetKind::Database { .. } => None,
        }
    }

    /// The world that its adapter must be of.
    #[must_use]
    pub fn world(&self) -> World {
        match self.access {
            Access::Database { .. } => World::Database,
            Access::Http(_) => World::Http,
        }
    }

    /// Asks the adapter what is at the target.
    ///
    /// # Errors
    /// Why nothing can be delivered.
    pub async fn check(&self, adapter: &Adapter) -> Result<Report, Failure> {
        let called = match &self.access {
            Access::Database { database, sql } => {
                // Whatever an adapter says of itself, a check that writes nothing cannot be made to.
                let mut transaction = database.begin_reading_first().await.map_err(|error| from_database(&error))?;
                if let Some(obstacle) = transaction.write_obstacle().await.map_err(|error| from_database(&error))? {
                    return Err(Failure::new(FailureKind::Misconfigured, obstacle));
                }
                let mut noticed = Vec::from_iter(lasting_tables(&self.spec.kind, &mut transaction).await);
                let call = adapter.check_database(&self.context, sql, transaction).await;
                if let Some(transaction) = call.transaction {
                    // Nothing was changed, so that it does not matter whether the server hears of it.
                    transaction.rollback().await.ok();
                    // Its connection may be the only one.
                    noticed.extend(privileges::excess(sql.grants(), database).await);
                }
                if let Some(error) = call.broken {
                    return Err(from_database(&error));
                }
                call.result.map(|answer| {
                    answer.map(|mut report| {
                        report.findings.extend(noticed);
                        report
                    })
                })
            }
            Access::Http(http) => adapter.check_http(&self.context, http).await.result,
        };
        match called {
            Ok(answer) => answer,
            Err(error) => Err(Failure::new(FailureKind::Adapter, error.to_string())),
        }
    }

    /// Lets the adapter bring changes to the target.
    pub(super) async fn apply(
        &self,
        adapter: &Adapter,
        state: &[u8],
        (fence, fates): (Arc<dyn Fence>, &RequestFates),
        changes: &[Change],
    ) -> Applied {
        let on_remote_edit = self.spec.on_remote_edit;
        match &self.access {
            Access::Database { database, sql } => {
                let begun = if sql.only_reads() {
                    database.begin_read().await
                } else {
                    Ok(database.begin_with_first_statement())
                };
                let transaction = match begun {
                    Ok(transaction) => transaction,
                    Err(error) => return Applied::Broken(error),
                };
                let call =
                    adapter.apply_database(&self.context, sql, transaction, state, on_remote_edit, changes).await;
                match call.broken {
                    Some(error) => Applied::Broken(error),
                    None => Applied::InTransaction(called(call.result), call.transaction.map(Box::new)),
                }
            }
            Access::Http(http) => {
                let call =
                    adapter.apply_http(&self.context, http, (fence, fates), state, on_remote_edit, changes).await;
                if call.lease_lost {
                    return Applied::LeaseLost;
                }
                Applied::Sent { called: called(call.result), in_doubt: call.in_doubt }
            }
        }
    }

    /// Closes its connections.
    pub async fn close(&self) {
        if let Access::Database { database, .. } = &self.access {
            database.close().await;
        }
    }
}

fn called<T>(result: Result<Result<T, Failure>, CallError>) -> Called<T> {
    match result {
        Ok(answer) => Called::Answered(answer),
        Err(error) => Called::Crashed(error),
    }
}

/// Tables that the adapter may write and no rollback reaches: a batch that fails half-way leaves its first half there.
async fn lasting_tables(kind: &TargetKind, transaction: &mut Transaction) -> Option<Finding> {
    let TargetKind::Database { grants, .. } = kind else { return None };
    // What the catalogue does not show here is no finding; the adapter's own check follows.
    let tables = transaction.tables_without_transactions().await.unwrap_or_default();
    let is_written = |table: &&String| {
        [TableVerb::Insert, TableVerb::Update, TableVerb::Delete]
            .iter()
            .any(|verb| grants.allows_in_any_case(*verb, table))
    };
    let written: Vec<String> = tables.iter().filter(is_written).map(|table| format!("`{table}`")).collect();
    (!written.is_empty()).then(|| Finding {
        level: FindingLevel::Warning,
        message: format!(
            "tables without transactions, where a batch that fails half-way stays half written: {}; convert each with ALTER \
             TABLE ... ENGINE = InnoDB",
            written.join(", ")
        ),
    })
}

/// What a database's error means for the deliveries that it ended. The same judgement as an adapter's by the SDK
/// (`plugins/sdk/src/database.rs`), for errors that no adapter sees: at BEGIN, at COMMIT, and those that end a transaction.
pub(super) fn from_database(error: &DatabaseError) -> Failure {
    use crate::database::ErrorKind;
    let kind = match error.kind {
        ErrorKind::Unavailable => FailureKind::Unavailable,
        ErrorKind::Rejected | ErrorKind::PermissionDenied | ErrorKind::MissingObject => FailureKind::Misconfigured,
        ErrorKind::Contention => FailureKind::Delayed,
        // A constraint that is tested at the commit.
        ErrorKind::InvalidValue => FailureKind::Invalid,
        ErrorKind::DuplicateKey | ErrorKind::Refused | ErrorKind::Other => FailureKind::Transient,
    };
    Failure::new(kind, error.message.clone())
}
