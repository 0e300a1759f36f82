//! The lent transaction: sends the statements that the guard wrote, within limits. No statement of an adapter ends the
//! transaction.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::sql_access::{SqlAccess, TableKey};
use super::sql_guard::{Permit, Wanted};
use crate::database::{DatabaseError, Dialect, ErrorKind, Execution, RowLimits, Rows, Transaction, Value};
use crate::plugin::waits::Waits;

/// A table's columns in PostgreSQL's catalogue, by the name that a statement would use for it.
const COLUMNS_OF_TABLE: &str = "SELECT CAST(attname AS pg_catalog.text) FROM pg_catalog.pg_attribute \
     WHERE attrelid = CAST(pg_catalog.to_regclass(?) AS pg_catalog.oid) AND NOT attisdropped";

/// The transaction of one call. While a statement runs, the statement's future owns it. When that future is dropped,
/// the connection is closed.
pub(in crate::plugin) struct SqlCapability {
    pub(in crate::plugin) transaction: Option<Transaction>,
    pub(in crate::plugin) broken: Option<DatabaseError>,
    pub(in crate::plugin) statements: u64,
    pub(in crate::plugin) access: Arc<SqlAccess>,
    /// The time spent waiting to begin the transaction.
    pub(in crate::plugin) waits: Waits,
    /// Columns that cannot be dropped before the transaction ends.
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

    /// Begins the transaction if it has not begun yet. Waiting for other transactions does not count as time of the
    /// call.
    async fn begin(&self, transaction: &mut Transaction) -> Result<(), DatabaseError> {
        self.waits.begin();
        let result = transaction.begin_now().await;
        self.waits.end();
        result
    }

    /// Returns the transaction, and records whether the database ended it. A truncated result is the adapter's own
    /// fault: it got an error that names the limit, and its commit fails.
    fn put_back(&mut self, transaction: Transaction) {
        if self.broken.is_none() {
            self.broken = transaction.ended_by().filter(|error| error.kind != ErrorKind::Refused).cloned();
        }
        self.transaction = Some(transaction);
    }

    /// Prepares for a permitted statement: begins a writing transaction for a statement that writes, and locks the
    /// columns that it relies on. Returns the first column that does not exist.
    pub(in crate::plugin) async fn make_ready(&mut self, permit: &Permit) -> Result<Option<Wanted>, DatabaseError> {
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

    pub(in crate::plugin) async fn query(
        &mut self,
        sql: &str,
        parameters: &[Value],
        limits: RowLimits,
    ) -> Result<Rows, DatabaseError> {
        self.statements += 1;
        let mut transaction = self.take()?;
        let result = transaction.query(sql, parameters, limits).await;
        self.put_back(transaction);
        result
    }

    pub(in crate::plugin) async fn execute(
        &mut self,
        sql: &str,
        parameters: &[Value],
    ) -> Result<Execution, DatabaseError> {
        self.statements += 1;
        let mut transaction = self.take()?;
        let result = transaction.execute(sql, parameters).await;
        self.put_back(transaction);
        result
    }

    pub(in crate::plugin) async fn lock(&mut self, name: &str, timeout: Duration) -> Result<(), DatabaseError> {
        self.statements += 1;
        let mut transaction = self.take()?;
        if let Err(error) = self.begin(&mut transaction).await {
            self.put_back(transaction);
            return Err(error);
        }
        // A lock protects later writes, and would be lost if the transaction were replaced later.
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

/// The first of these columns that no table has. Unknown tables are looked up once. Cached columns may have changed
/// since, so each transaction verifies them again.
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

/// Fails if one of the columns does not exist, and locks them until the transaction ends. A bare name is never read as
/// a call, and a transaction that has read a table, even no row of it, keeps others from changing its columns.
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
