//! `neuronova:sync/database`: each statement is recorded for a dry run, checked, and sent through the lent transaction.

use std::sync::Arc;
use std::time::Duration;

use wasmtime::component::Resource;

use crate::database::{DatabaseError, ErrorKind, RowLimits, Value};
use crate::plugin::bindings::database;
use crate::plugin::capability::sql::SqlCapability;
use crate::plugin::capability::sql_guard::{Permit, Verb, unknown_column};
use crate::plugin::capability::sql_refusal::Refusal;
use crate::plugin::capability::sql_shape::shape;
use crate::plugin::lent::LentTransaction;
use crate::plugin::limits::LimitExceeded;
use crate::plugin::span;
use crate::plugin::state::CallState;
use crate::plugin::transcript::{EntryIndex, Operation, OperationResult};

/// How long an adapter may wait for a named lock, milliseconds.
const LOCK_TIMEOUT_MS_MAX: u32 = 30_000;
/// Characters of a lock's name.
const LOCK_NAME_CHARS_MAX: usize = 200;

impl CallState {
    fn sql_capability(&mut self) -> wasmtime::Result<&mut SqlCapability> {
        self.count_host_call()?;
        self.sql.as_mut().ok_or_else(|| wasmtime::format_err!("no transaction was lent to this call"))
    }

    /// Records an operation before it runs, in a dry run.
    fn record_operation(&self, operation: impl FnOnce() -> Operation) -> Option<EntryIndex> {
        self.context.transcript.as_ref().map(|transcript| transcript.begin(operation()))
    }

    fn record_statement(&self, sql: &str, parameters: &[Value]) -> Option<EntryIndex> {
        let dialect = self.sql.as_ref()?.access.dialect();
        self.record_operation(|| Operation::Statement {
            sql: sql.to_owned(),
            shape: shape(dialect, sql),
            parameters: parameters.to_vec(),
        })
    }

    fn record_result(&self, entry: Option<EntryIndex>, result: impl FnOnce() -> OperationResult) {
        if let (Some(transcript), Some(entry)) = (&self.context.transcript, entry) {
            transcript.complete(entry, result());
        }
    }

    /// Counts a statement that was permitted, for the journal; `rows` is `None` when the database refused it.
    fn record_effect(&self, template: &Arc<str>, rows: Option<u64>) {
        if let Some(recorder) = &self.context.recorder {
            recorder.statement(template, rows);
        }
    }

    /// Checks a statement before it reaches the database, and prepares the transaction for it.
    async fn permit(&mut self, sql: &str, verb: Verb) -> wasmtime::Result<Result<Arc<Permit>, DatabaseError>> {
        let access = Arc::clone(&self.sql_capability()?.access);
        let permit = match access.permit(sql, verb).await {
            Ok(permit) => permit,
            Err(refusal) => return Ok(Err(self.refused(refusal))),
        };
        Ok(match self.permitted_capability().make_ready(&permit).await {
            Ok(None) => Ok(permit),
            Ok(Some(missing)) => Err(self.refused(unknown_column(&missing.alias, &missing.column))),
            Err(error) => Err(error),
        })
    }

    /// The capability through which a statement was permitted already.
    fn permitted_capability(&mut self) -> &mut SqlCapability {
        self.sql.as_mut().expect("invariant: the statement was permitted through this capability")
    }

    fn refused(&self, refusal: Refusal) -> DatabaseError {
        let error = refusal.into_error(&self.context.target, &self.adapter);
        self.log_refusal(&error);
        error
    }

    /// Logs the first refusal of a call, since the adapter may not report it.
    fn log_refusal(&self, error: &DatabaseError) {
        if self.meters.refusals.add() == 1 {
            let (target_name, adapter) = (self.context.target.as_str(), self.adapter.as_str());
            tracing::warn!(target_name, adapter, refusal = %error.message, "a statement of the adapter was refused");
        }
    }
}

/// Names the setting to change when a limit of the host was exceeded.
fn limit_error(error: DatabaseError, exceeded: Option<LimitExceeded>, target: &str) -> database::DatabaseError {
    match exceeded {
        Some(exceeded) => DatabaseError { message: exceeded.into_error(target).to_string(), ..error },
        None => error,
    }
    .into()
}

impl database::Host for CallState {}

impl database::HostTransaction for CallState {
    fn dialect(&mut self, _: Resource<LentTransaction>) -> wasmtime::Result<database::Dialect> {
        Ok(self.sql_capability()?.access.dialect().into())
    }

    async fn query(
        &mut self,
        _: Resource<LentTransaction>,
        sql: String,
        parameters: Vec<database::Value>,
        rows_max: u32,
    ) -> wasmtime::Result<Result<database::Rows, database::DatabaseError>> {
        let parameters: Vec<Value> = parameters.into_iter().map(Value::from).collect();
        let entry = self.record_statement(&sql, &parameters);
        let permit = match self.permit(&sql, Verb::Read).await? {
            Ok(permit) => permit,
            Err(error) => {
                self.record_result(entry, || OperationResult::Refused(error.message.clone()));
                return Ok(Err(error.into()));
            }
        };
        let limits = &self.context.limits;
        let (host_rows_max, host_bytes_max) = (limits.query_rows_max, limits.query_bytes_max);
        let row_limits = RowLimits {
            rows_max: usize::try_from(host_rows_max.min(u64::from(rows_max))).unwrap_or(usize::MAX),
            bytes_max: usize::try_from(host_bytes_max).unwrap_or(usize::MAX),
        };
        let capability = self.permitted_capability();
        let dialect = capability.access.dialect();
        let running = capability.query(&permit.sql, &parameters, row_limits);
        let result = span::statement(dialect, || shape(dialect, &sql), running).await;
        self.record_result(entry, || OperationResult::from(&result));
        self.record_effect(&permit.template, result.as_ref().ok().map(|rows| rows.rows.len() as u64));
        match result {
            Ok(rows) => Ok(Ok(database::Rows {
                columns: rows.columns,
                rows: rows.rows.into_iter().map(|row| row.into_iter().map(database::Value::from).collect()).collect(),
            })),
            Err(error) if error.kind == ErrorKind::Refused => {
                // The adapter's own, lower limit does not concern the operator.
                let exceeded = if error.object.as_deref() == Some("bytes") {
                    Some(LimitExceeded::new("query_bytes_max", host_bytes_max))
                } else if u64::from(rows_max) >= host_rows_max {
                    Some(LimitExceeded::new("query_rows_max", host_rows_max))
                } else {
                    None
                };
                if let Some(exceeded) = exceeded {
                    self.meters.record(exceeded);
                }
                Ok(Err(limit_error(error, exceeded, &self.context.target)))
            }
            Err(error) => Ok(Err(error.into())),
        }
    }

    async fn execute(
        &mut self,
        _: Resource<LentTransaction>,
        sql: String,
        parameters: Vec<database::Value>,
    ) -> wasmtime::Result<Result<database::Execution, database::DatabaseError>> {
        let parameters: Vec<Value> = parameters.into_iter().map(Value::from).collect();
        let entry = self.record_statement(&sql, &parameters);
        let permit = match self.permit(&sql, Verb::Write).await? {
            Ok(permit) => permit,
            Err(error) => {
                self.record_result(entry, || OperationResult::Refused(error.message.clone()));
                return Ok(Err(error.into()));
            }
        };
        let capability = self.permitted_capability();
        let dialect = capability.access.dialect();
        let running = capability.execute(&permit.sql, &parameters);
        let result = span::statement(dialect, || shape(dialect, &sql), running).await;
        self.record_result(entry, || OperationResult::from(&result));
        self.record_effect(&permit.template, result.as_ref().ok().map(|done| done.rows_affected));
        Ok(result
            .map(|done| database::Execution { rows_affected: done.rows_affected, last_insert_id: done.last_insert_id })
            .map_err(database::DatabaseError::from))
    }

    async fn lock(
        &mut self,
        _: Resource<LentTransaction>,
        name: String,
        timeout_ms: u32,
    ) -> wasmtime::Result<Result<(), database::DatabaseError>> {
        self.count_host_call()?;
        if name.is_empty() || name.chars().count() > LOCK_NAME_CHARS_MAX || name.chars().any(char::is_control) {
            let reason = format!("a lock's name has 1 to {LOCK_NAME_CHARS_MAX} printable characters");
            return Ok(Err(DatabaseError::new(ErrorKind::Refused, reason).into()));
        }
        let timeout = Duration::from_millis(u64::from(timeout_ms.min(LOCK_TIMEOUT_MS_MAX)));
        let entry = self.record_operation(|| Operation::Lock(name.clone()));
        let capability = self.sql.as_mut().expect("invariant: this interface is linked where a transaction is lent");
        let result = capability.lock(&name, timeout).await;
        self.record_result(entry, || OperationResult::from(&result));
        Ok(result.map_err(database::DatabaseError::from))
    }

    fn drop(&mut self, _: Resource<LentTransaction>) -> wasmtime::Result<()> {
        // The guest only ever borrows; the host takes the transaction back itself.
        Ok(())
    }
}
