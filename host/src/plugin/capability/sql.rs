//! The lent transaction: the adapter's statements are judged, what the guard wrote in their entry is sent, within limits,
//! and nothing of it ends the transaction.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use wasmtime::component::Resource;

use super::sql_access::{SqlAccess, TableKey};
use super::sql_guard::{Permit, Verb, Wanted, unknown_column};
use super::sql_refusal::Refusal;
use super::sql_shape::shape;
use crate::database::{DatabaseError, Dialect, ErrorKind, Execution, RowLimits, Rows, Transaction, Value};
use crate::plugin::bindings::database;
use crate::plugin::limits::LimitExceeded;
use crate::plugin::state::CallState;
use crate::plugin::transcript::{EntryIndex, Operation, OperationResult};
use crate::plugin::waits::Waits;

/// What PostgreSQL knows of a table by the name that a statement would find it under.
const COLUMNS_OF_TABLE: &str = "SELECT CAST(attname AS pg_catalog.text) FROM pg_catalog.pg_attribute \
     WHERE attrelid = CAST(pg_catalog.to_regclass(?) AS pg_catalog.oid) AND NOT attisdropped";

/// How long an adapter may wait for a named lock, milliseconds.
const LOCK_TIMEOUT_MS_MAX: u32 = 30_000;
/// Characters of a lock's name.
const LOCK_NAME_CHARS_MAX: usize = 200;

/// What the guest's handle stands for. The transaction itself stays in [`SqlCapability`], where the host finds it again.
#[allow(unreachable_pub, reason = "the generated bindings name it in public places")]
pub struct LentTransaction;

/// The transaction of one call. While a statement runs it is owned by that statement's future: cut off in the middle, it
/// is dropped with it, and its connection is closed.
pub(in crate::plugin) struct SqlCapability {
    pub(in crate::plugin) transaction: Option<Transaction>,
    pub(in crate::plugin) broken: Option<DatabaseError>,
    pub(in crate::plugin) statements: u64,
    access: Arc<SqlAccess>,
    /// How long it took to begin the transaction.
    pub(in crate::plugin) waits: Waits,
    /// Columns that cannot go before the transaction ends.
    held: BTreeSet<(TableKey, String)>,
}

impl SqlCapability {
    pub(in crate::plugin) fn new(access: Arc<SqlAccess>, transaction: Transaction) -> Self {
        Self {
            transaction: Some(transaction),
            broken: None,
            statements: 0,
            access,
            waits: Waits::default(),
            held: BTreeSet::new(),
        }
    }

    /// Takes the transaction for one statement.
    fn take(&mut self) -> Result<Transaction, DatabaseError> {
        self.transaction.take().ok_or_else(|| DatabaseError::new(ErrorKind::Unavailable, "the transaction is over"))
    }

    /// Begins the transaction where that has not been done. Waiting for others' transactions is no time of the call.
    async fn begin(&self, transaction: &mut Transaction) -> Result<(), DatabaseError> {
        self.waits.begin();
        let result = transaction.begin_now().await;
        self.waits.end();
        result
    }

    /// Puts it back, and remembers whether the database ended it. An answer that was cut off is the adapter's own fault: it was
    /// told which limit that was, and its commit fails.
    fn put_back(&mut self, transaction: Transaction) {
        if self.broken.is_none() {
            self.broken = transaction.ended_by().filter(|error| error.kind != ErrorKind::Refused).cloned();
        }
        self.transaction = Some(transaction);
    }

    /// Makes ready for a permitted statement: a transaction that may write where it is one that writes, and the columns that it relies
    /// on. Refuses it when one of them is not there.
    async fn make_ready(&mut self, permit: &Permit) -> Result<Option<Wanted>, DatabaseError> {
        let mut transaction = self.take()?;
        if let Err(error) = self.begin(&mut transaction).await {
            self.put_back(transaction);
            return Err(error);
        }
        let exchanged = if permit.writes { transaction.make_writable().await } else { Ok(false) };
        if !matches!(exchanged, Ok(false)) {
            self.held.clear();
        }
        let result = match exchanged {
            Ok(_) => missing_column(&self.access, &mut transaction, &permit.wanted, &mut self.held).await,
            Err(error) => Err(error),
        };
        self.put_back(transaction);
        result
    }

    async fn query(&mut self, sql: &str, parameters: &[Value], limits: RowLimits) -> Result<Rows, DatabaseError> {
        self.statements += 1;
        let mut transaction = self.take()?;
        let result = transaction.query(sql, parameters, limits).await;
        self.put_back(transaction);
        result
    }

    async fn execute(&mut self, sql: &str, parameters: &[Value]) -> Result<Execution, DatabaseError> {
        self.statements += 1;
        let mut transaction = self.take()?;
        let result = transaction.execute(sql, parameters).await;
        self.put_back(transaction);
        result
    }

    async fn lock(&mut self, name: &str, timeout: Duration) -> Result<(), DatabaseError> {
        self.statements += 1;
        let mut transaction = self.take()?;
        if let Err(error) = self.begin(&mut transaction).await {
            self.put_back(transaction);
            return Err(error);
        }
        // A lock is there to write under, and would be lost if the transaction were exchanged later.
        let result = match transaction.make_writable().await {
            Ok(exchanged) => {
                if exchanged {
                    self.held.clear();
                }
                transaction.lock(name, timeout).await
            }
            Err(error) => Err(error),
        };
        self.put_back(transaction);
        result
    }
}

impl CallState {
    fn sql_capability(&mut self) -> wasmtime::Result<&mut SqlCapability> {
        self.count_host_call()?;
        self.sql.as_mut().ok_or_else(|| wasmtime::format_err!("no transaction was lent to this call"))
    }

    /// Writes a operation down before it is answered, where somebody looks on.
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

    /// Judges a statement before it reaches the database, and makes the transaction ready for it.
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

    /// The capability that a statement was let through already.
    fn permitted_capability(&mut self) -> &mut SqlCapability {
        self.sql.as_mut().expect("invariant: the statement was permitted through this capability")
    }

    fn refused(&self, refusal: Refusal) -> DatabaseError {
        let error = refusal.into_error(&self.context.target, &self.adapter);
        self.say_refused(&error);
        error
    }
}

impl CallState {
    /// The first refusal of a call is told to the operator as well, since the adapter may keep it to itself.
    fn say_refused(&self, error: &DatabaseError) {
        if self.meters.refusals.add() == 1 {
            let (target_name, adapter) = (self.context.target.as_str(), self.adapter.as_str());
            tracing::warn!(target_name, adapter, refusal = %error.message, "a statement of the adapter was refused");
        }
    }
}

/// The first column of these that no table has. Tables that are not known well enough are looked up, once; what is known may have
/// changed since, so that each transaction makes sure of it anew.
async fn missing_column(
    access: &SqlAccess,
    transaction: &mut Transaction,
    wanted: &[Wanted],
    held: &mut BTreeSet<(TableKey, String)>,
) -> Result<Option<Wanted>, DatabaseError> {
    let mut asked = BTreeSet::new();
    let mut to_hold = BTreeMap::<TableKey, BTreeSet<&str>>::new();
    for column in wanted {
        if access.tables_with(column).is_empty() {
            for table in column.tables.iter().filter(|table| asked.insert((*table).clone())) {
                access.learn_columns(table, columns_of(transaction, table).await?);
            }
        }
        let tables = access.tables_with(column);
        if tables.is_empty() {
            return Ok(Some(column.clone()));
        }
        for table in tables {
            if !held.contains(&(table.clone(), column.column.clone())) {
                to_hold.entry(table).or_default().insert(&column.column);
            }
        }
    }
    for (table, columns) in to_hold {
        match hold(transaction, &table, &columns).await {
            Err(error) if error.kind == ErrorKind::MissingObject => {
                access.forget_columns();
                return Ok(wanted.iter().find(|column| columns.contains(column.column.as_str())).cloned());
            }
            result => result?,
        }
        held.extend(columns.into_iter().map(|column| (table.clone(), column.to_owned())));
    }
    Ok(None)
}

/// Fails where one of the columns is not there, and keeps them there until the transaction ends: a name that stands alone is never
/// taken for a call, and who has read a table, though no row of it, keeps others from changing its columns.
async fn hold(transaction: &mut Transaction, table: &TableKey, columns: &BTreeSet<&str>) -> Result<(), DatabaseError> {
    let conditions: Vec<String> = columns.iter().map(|column| format!("{} IS NULL", quoted(column))).collect();
    let sql = format!("SELECT 1 FROM {} WHERE {} LIMIT 0", table_sql(table), conditions.join(" OR "));
    transaction.query(&sql, &[], RowLimits::NONE).await.map(drop)
}

fn quoted(name: &str) -> String {
    Dialect::Postgres.quoted(name)
}

fn table_sql((schema, name): &TableKey) -> String {
    schema.iter().chain([name]).map(|part| quoted(part)).collect::<Vec<_>>().join(".")
}

async fn columns_of(transaction: &mut Transaction, table: &TableKey) -> Result<BTreeSet<String>, DatabaseError> {
    let rows = transaction.query(COLUMNS_OF_TABLE, &[table_sql(table).into()], RowLimits::NONE).await?;
    Ok(rows.rows.into_iter().filter_map(|row| row.into_iter().next()?.into_text()).collect())
}

/// Names the setting to change when the host's own limit was met.
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
        let result = self.permitted_capability().query(&permit.sql, &parameters, row_limits).await;
        self.record_result(entry, || OperationResult::from(&result));
        match result {
            Ok(rows) => Ok(Ok(database::Rows {
                columns: rows.columns,
                rows: rows.rows.into_iter().map(|row| row.into_iter().map(database::Value::from).collect()).collect(),
            })),
            Err(error) if error.kind == ErrorKind::Refused => {
                // The adapter's own, lower limit is no concern of the operator's.
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
        let result = self.permitted_capability().execute(&permit.sql, &parameters).await;
        self.record_result(entry, || OperationResult::from(&result));
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
