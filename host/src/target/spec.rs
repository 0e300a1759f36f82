//! The configuration of a target, and its connections. Nothing is connected before the first call.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use crate::database::{Database, Locator};
use crate::domain::change::RemoteEdit;
use crate::domain::grants::{SqlGrants, TableVerb};
use crate::domain::ids::{IdColumn, TargetName};
use crate::domain::verification::VerifySchedule;
use crate::plugin::{CallContext, HttpAccess, HttpOptions, Limits, PluginError, SqlAccess, World};

/// A configured target.
#[derive(Clone, Debug)]
pub struct TargetSpec {
    /// `NAME` of `[targets.NAME]`.
    pub name: TargetName,
    /// The adapter's file.
    pub adapter: PathBuf,
    /// Database or HTTP.
    pub kind: TargetKind,
    /// The column of the patient that takes the target's ids.
    pub id_column: Option<IdColumn>,
    /// What to do when the target's own users have edited the record.
    pub on_remote_edit: RemoteEdit,
    /// The types of aggregates that are delivered there.
    pub aggregate_types: Vec<String>,
    /// `[targets.NAME.settings]` as JSON.
    pub settings_json: String,
    /// Limits of one call.
    pub limits: Limits,
    /// Deliveries in one batch at most.
    pub batch_max: u32,
    /// Batches in flight at most.
    pub concurrency: u32,
    /// How a daemon verifies it by itself, if at all.
    pub verify: Option<VerifySchedule>,
}

/// How the host reaches a target.
#[derive(Clone, Debug)]
pub enum TargetKind {
    /// Through its database.
    Database {
        /// The server or file.
        locator: Locator,
        /// Connections at most.
        connections_max: u32,
        /// The tables and verbs that the adapter may use.
        grants: SqlGrants,
    },
    /// Over HTTP.
    Http {
        /// Base URL, credentials and certificates.
        options: HttpOptions,
        /// How long the server may go on working on a request that it has not answered, in milliseconds.
        in_doubt_ms: u64,
    },
}

/// A target, ready to be called.
pub struct Target {
    /// What was configured.
    pub spec: TargetSpec,
    pub(super) context: CallContext,
    pub(super) access: Access,
    /// Whether changes arrived here since a trigger last failed on something of its own.
    pub(super) has_worked: AtomicBool,
}

/// What the connections to a database are made with.
#[derive(PartialEq, Eq)]
struct ConnectionSettings<'a> {
    locator: &'a Locator,
    connections_max: u32,
    statement_timeout: Duration,
    query_bytes_max: u64,
}

impl<'a> ConnectionSettings<'a> {
    /// `None` over HTTP.
    fn of(spec: &'a TargetSpec) -> Option<Self> {
        match &spec.kind {
            TargetKind::Database { locator, connections_max, .. } => {
                Some(Self::new(locator, *connections_max, &spec.limits))
            }
            TargetKind::Http { .. } => None,
        }
    }

    fn new(locator: &'a Locator, connections_max: u32, limits: &Limits) -> Self {
        let Limits { deadline_ms, query_bytes_max, .. } = *limits;
        // Shorter than the call's own deadline, so that a database that does not answer is reported as such, and not as
        // the adapter's fault.
        let statement_timeout = Duration::from_millis(deadline_ms - deadline_ms / 10);
        Self { locator, connections_max, statement_timeout, query_bytes_max }
    }

    fn open(self, target: &TargetName) -> Result<Database, PluginError> {
        let Self { locator, connections_max, statement_timeout, query_bytes_max } = self;
        Database::of_target(locator.clone(), connections_max, statement_timeout, query_bytes_max)
            .map_err(|error| PluginError::Access { target: target.to_string(), reason: error.message })
    }
}

pub(super) enum Access {
    Database { database: Database, sql: Arc<SqlAccess>, reading: Arc<SqlAccess> },
    Http(Arc<HttpAccess>),
}

impl Target {
    /// Prepares connections and connects nothing yet.
    ///
    /// # Errors
    /// When a URL, a certificate or a credential is not valid.
    pub fn new(spec: TargetSpec) -> Result<Self, PluginError> {
        Self::with_connections(spec, None)
    }

    /// The same target under other settings. It goes on with the connections to a database where these settings are not
    /// about connections. Calls under way end as they began.
    ///
    /// # Errors
    /// As [`Target::new`].
    pub fn reconfigured(&self, spec: TargetSpec) -> Result<Self, PluginError> {
        let open = self.database().filter(|_| ConnectionSettings::of(&self.spec) == ConnectionSettings::of(&spec));
        Self::with_connections(spec, open.cloned())
    }

    fn with_connections(spec: TargetSpec, open: Option<Database>) -> Result<Self, PluginError> {
        let access = match &spec.kind {
            TargetKind::Database { locator, connections_max, grants } => Access::Database {
                database: match open {
                    Some(open) => open,
                    None => ConnectionSettings::new(locator, *connections_max, &spec.limits).open(&spec.name)?,
                },
                sql: SqlAccess::new(locator.dialect(), grants.clone()),
                reading: SqlAccess::new(locator.dialect(), grants.for_reading()),
            },
            TargetKind::Http { options, .. } => {
                let options = HttpOptions { headers_max: spec.limits.http_headers_max, ..options.clone() };
                Access::Http(HttpAccess::new(spec.name.as_str(), &options)?)
            }
        };
        let base_url = match &spec.kind {
            TargetKind::Http { options, .. } => Some(options.base_url.trim_end_matches('/').to_owned()),
            TargetKind::Database { .. } => None,
        };
        let context = CallContext {
            target: spec.name.to_string(),
            settings_json: spec.settings_json.clone(),
            base_url,
            limits: spec.limits.clone(),
            ..CallContext::default()
        };
        Ok(Self { spec, context, access, has_worked: AtomicBool::new(false) })
    }

    /// How long the server may go on working on a request that it has not answered. `None` at a database, which rolls
    /// back.
    #[must_use]
    pub fn in_doubt_ms(&self) -> Option<u64> {
        match self.spec.kind {
            TargetKind::Http { in_doubt_ms, .. } => Some(in_doubt_ms),
            TargetKind::Database { .. } => None,
        }
    }

    /// The world that its adapter must have.
    #[must_use]
    pub fn world(&self) -> World {
        match self.access {
            Access::Database { .. } => World::Database,
            Access::Http(_) => World::Http,
        }
    }

    /// Its database, for one who counts what an adapter has left there; `None` over HTTP.
    #[must_use]
    pub fn database(&self) -> Option<&Database> {
        match &self.access {
            Access::Database { database, .. } => Some(database),
            Access::Http(_) => None,
        }
    }

    /// When the certificate of its HTTPS server ends, milliseconds since 1970-01-01 UTC; `None` before a connection.
    #[must_use]
    pub fn certificate_ends_at(&self) -> Option<i64> {
        match &self.access {
            Access::Http(http) => http.certificate_ends_at(),
            Access::Database { .. } => None,
        }
    }

    /// Closes its connections.
    pub async fn close(&self) {
        if let Some(database) = self.database() {
            database.close().await;
        }
    }

    /// Of these tables, those that the adapter may write.
    pub(super) fn writable<'a>(&self, tables: &'a [String]) -> Vec<&'a String> {
        let TargetKind::Database { grants, .. } = &self.spec.kind else { return Vec::new() };
        let verbs = [TableVerb::Insert, TableVerb::Update, TableVerb::Delete];
        tables.iter().filter(|table| verbs.iter().any(|verb| grants.allows_in_any_case(*verb, table))).collect()
    }
}
