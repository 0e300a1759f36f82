//! One call of an adapter.
use std::sync::Arc;

use super::{Adapter, CallError, Fence, HttpAccess, Limits, SqlAccess};
use crate::database::{DatabaseError, Transaction};
use crate::domain::change::{Change, Failure, Outcome, RemoteEdit, Report};

/// What stays the same for every call to a target.
#[derive(Clone, Debug, Default)]
pub struct CallContext {
    /// The target's name.
    pub target: String,
    /// `[targets.NAME.settings]` as one JSON object; `{}` when there is none.
    pub settings_json: String,
    /// `[targets.NAME.http] base_url` without a trailing slash.
    pub base_url: Option<String>,
    /// How much a call may take.
    pub limits: Limits,
}

/// What a call took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Wall clock, milliseconds.
    pub elapsed_ms: u64,
    /// Time the adapter computed, in steps of 10 milliseconds.
    pub cpu_ms: u64,
    /// Memory at the end, bytes (it never shrinks).
    pub memory_bytes: u64,
    /// Calls into the host.
    pub host_calls: u64,
    /// SQL statements that reached the database.
    pub statements: u64,
    /// HTTP requests that were sent.
    pub requests: u64,
    /// Log lines.
    pub log_lines: u64,
}

/// A call to a database target.
pub struct DatabaseCall<T> {
    /// Lent to the call and given back, to be committed or rolled back. `None` when the call was cut off in the middle of
    /// a statement: the connection was closed, and the server rolls back.
    pub transaction: Option<Transaction>,
    /// Set when the database ended the transaction (`Contention`: run the whole call again; `Unavailable`), whatever the
    /// adapter made of it.
    pub broken: Option<DatabaseError>,
    /// The adapter's answer. The outer error is the host's judgement on the adapter.
    pub result: Result<Result<T, Failure>, CallError>,
    /// What it took.
    pub usage: Usage,
}

/// A call to an HTTP target.
pub struct HttpCall<T> {
    /// The adapter's answer. The outer error is the host's judgement on the adapter.
    pub result: Result<Result<T, Failure>, CallError>,
    /// The lease was lost before a request that would have written; that request was not sent.
    pub lease_lost: bool,
    /// What it took.
    pub usage: Usage,
}

impl Adapter {
    /// Looks at a database target. The caller rolls the transaction back.
    pub async fn check_database(
        &self,
        context: &CallContext,
        access: &Arc<SqlAccess>,
        transaction: Transaction,
    ) -> DatabaseCall<Report> {
        let _ = (context, access, transaction);
        unimplemented!()
    }

    /// Brings changes to a database target: one outcome per change, in order. The caller commits or rolls back.
    pub async fn apply_database(
        &self,
        context: &CallContext,
        access: &Arc<SqlAccess>,
        transaction: Transaction,
        state: &[u8],
        on_remote_edit: RemoteEdit,
        changes: &[Change],
    ) -> DatabaseCall<Vec<Outcome>> {
        let _ = (context, access, transaction, state, on_remote_edit, changes);
        unimplemented!()
    }

    /// Looks at an HTTP target. Requests other than GET, HEAD and OPTIONS are denied.
    pub async fn check_http(&self, context: &CallContext, access: &Arc<HttpAccess>) -> HttpCall<Report> {
        let _ = (context, access);
        unimplemented!()
    }

    /// Brings changes to an HTTP target: one outcome per change, in order.
    pub async fn apply_http(
        &self,
        context: &CallContext,
        access: &Arc<HttpAccess>,
        fence: Arc<dyn Fence>,
        state: &[u8],
        on_remote_edit: RemoteEdit,
        changes: &[Change],
    ) -> HttpCall<Vec<Outcome>> {
        let _ = (context, access, fence, state, on_remote_edit, changes);
        unimplemented!()
    }
}
