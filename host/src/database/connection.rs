//! One connection of any of the three databases: the only place that names all three drivers' connections.

use std::sync::Arc;

use futures::TryStreamExt as _;
use sqlx::pool::PoolConnection;
use sqlx::{AssertSqlSafe, MySql, Postgres, Row as _, Sqlite};

use super::interrupt::{Interrupt, Watch};
use super::relay::RelayState;
use super::{
    DatabaseError, Dialect, ErrorKind, Execution, RowLimits, Rows, Value, mysql, mysql_values, postgres,
    postgres_values, sqlite,
};

pub(super) enum Connection {
    /// With the means to stop a statement, on a target.
    Sqlite(PoolConnection<Sqlite>, Interrupt),
    /// With the relay of a target's connection.
    MySql(PoolConnection<MySql>, Option<Arc<RelayState>>),
    Postgres(PoolConnection<Postgres>, Option<Arc<RelayState>>),
}

/// Prepares a query with its parameters for the driver at hand. The text is shared, not copied.
macro_rules! query {
    ($driver:ident, $sql:expr, $parameters:expr) => {
        $parameters
            .iter()
            .fold(sqlx::query(AssertSqlSafe(Arc::clone($sql))), |query, value| $driver::bind(query, value))
            .persistent($sql.len() <= PREPARED_BYTES_MAX)
    };
}

/// A longer statement is prepared anew each time. The driver keeps prepared statements by their number (`pool.rs`), so
/// that this bounds what a connection keeps of them. A batch of 1,000 inserted rows of OpenEMR has 110 KB.
const PREPARED_BYTES_MAX: usize = 256 << 10;

impl Connection {
    pub(super) fn dialect(&self) -> Dialect {
        match self {
            Self::Sqlite(..) => Dialect::Sqlite,
            Self::MySql(..) => Dialect::MySql,
            Self::Postgres(..) => Dialect::Postgres,
        }
    }

    /// Watches one statement: if its future is dropped before the end, a statement of SQLite is stopped, which would
    /// otherwise continue in this process.
    fn watch(&self) -> Watch {
        match self {
            Self::Sqlite(_, interrupt) => interrupt.watch(),
            Self::MySql(..) | Self::Postgres(..) => Interrupt::default().watch(),
        }
    }

    /// Runs a fixed statement that takes no parameters and gives no rows.
    pub(super) async fn run(&mut self, sql: &str) -> Result<(), DatabaseError> {
        use sqlx::Executor as _;
        let text = AssertSqlSafe(sql.to_owned());
        match self {
            Self::Sqlite(connection, _) => (&mut **connection).execute(sqlx::raw_sql(text)).await.map(drop),
            Self::MySql(connection, _) => (&mut **connection).execute(sqlx::raw_sql(text)).await.map(drop),
            Self::Postgres(connection, _) => (&mut **connection).execute(sqlx::raw_sql(text)).await.map(drop),
        }
        .map_err(|error| DatabaseError::of_statement(&error, sql))
    }

    /// Runs one statement, whose text is as [`Dialect::placeholders`] writes it.
    pub(super) async fn execute(&mut self, sql: &Arc<str>, parameters: &[Value]) -> Result<Execution, DatabaseError> {
        let watch = self.watch();
        let result = self.execute_unwatched(sql, parameters).await;
        watch.finish();
        result
    }

    async fn execute_unwatched(&mut self, sql: &Arc<str>, parameters: &[Value]) -> Result<Execution, DatabaseError> {
        match self {
            Self::Sqlite(connection, _) => {
                query!(sqlite, sql, parameters).execute(&mut **connection).await.map(|result| Execution {
                    rows_affected: result.rows_affected(),
                    last_insert_id: u64::try_from(result.last_insert_rowid()).ok().filter(|id| *id > 0),
                })
            }
            Self::MySql(connection, _) => {
                query!(mysql, sql, parameters).execute(&mut **connection).await.map(|result| Execution {
                    rows_affected: result.rows_affected(),
                    last_insert_id: Some(result.last_insert_id()).filter(|id| *id > 0),
                })
            }
            Self::Postgres(connection, _) => query!(postgres, sql, parameters)
                .execute(&mut **connection)
                .await
                .map(|result| Execution { rows_affected: result.rows_affected(), last_insert_id: None }),
        }
        .map_err(|error| DatabaseError::of_statement(&error, sql))
    }

    /// Runs one SELECT, whose text is as [`Dialect::placeholders`] writes it.
    pub(super) async fn query(
        &mut self,
        sql: &Arc<str>,
        parameters: &[Value],
        limits: RowLimits,
    ) -> Result<Rows, DatabaseError> {
        let watch = self.watch();
        let result = self.query_unwatched(sql, parameters, limits).await;
        watch.finish();
        result
    }

    /// The number of exceeded sizes so far: results that the relay cut off together with their connection, or memory
    /// that SQLite was refused.
    pub(super) fn refusals(&self) -> u64 {
        match self {
            Self::Sqlite(_, interrupt) => interrupt.refusals(),
            Self::MySql(_, relay) | Self::Postgres(_, relay) => relay.as_ref().map_or(0, |relay| relay.cuts()),
        }
    }

    async fn query_unwatched(
        &mut self,
        sql: &Arc<str>,
        parameters: &[Value],
        limits: RowLimits,
    ) -> Result<Rows, DatabaseError> {
        let mut rows = Gathering::new(limits);
        macro_rules! gather {
            ($driver:ident, $values:ident, $connection:expr) => {{
                let mut stream = query!($driver, sql, parameters).fetch(&mut **$connection);
                while let Some(row) =
                    stream.try_next().await.map_err(|error| DatabaseError::of_statement(&error, sql))?
                {
                    rows.take(&row, $values::values(&row)?)?;
                }
            }};
        }
        match self {
            Self::Sqlite(connection, _) => gather!(sqlite, sqlite, connection),
            Self::MySql(connection, _) => gather!(mysql, mysql_values, connection),
            Self::Postgres(connection, _) => return query_postgres(connection, sql, parameters, limits).await,
        }
        Ok(rows.rows)
    }

    /// Closes the connection instead of returning it to the pool: its state is unknown, and the server rolls back.
    pub(super) fn discard(self) {
        match self {
            Self::Sqlite(mut connection, _) => connection.close_on_drop(),
            Self::MySql(connection, _) => drop(connection.detach()),
            Self::Postgres(connection, _) => drop(connection.detach()),
        }
    }
}

/// Reads the rows. If one holds a value that only PostgreSQL knows, the query is run again with the server's text form.
async fn query_postgres(
    connection: &mut PoolConnection<Postgres>,
    sql: &Arc<str>,
    parameters: &[Value],
    limits: RowLimits,
) -> Result<Rows, DatabaseError> {
    let failed = |error: &sqlx::Error| DatabaseError::of_statement(error, sql);
    let mut rows = Gathering::new(limits);
    let mut odd = None;
    {
        let mut stream = query!(postgres, sql, parameters).fetch(&mut **connection);
        while let Some(row) = stream.try_next().await.map_err(|error| failed(&error))? {
            let Some(values) = postgres_values::values(&row)? else {
                odd = Some(row);
                break;
            };
            rows.take(&row, values)?;
        }
    }
    let Some(odd) = odd else { return Ok(rows.rows) };
    let again = postgres_values::as_text(sql, odd.columns()).ok_or_else(|| {
        DatabaseError::new(ErrorKind::Other, "a value of a type that cannot be read here: cast it to text")
    })?;
    let again: Arc<str> = again.into();
    let mut rows = Gathering::new(limits);
    let mut stream = query!(postgres, &again, parameters).fetch(&mut **connection);
    while let Some(row) = stream.try_next().await.map_err(|error| failed(&error))? {
        rows.take(&odd, postgres_values::values_of_text(&row, odd.columns())?)?;
    }
    Ok(rows.rows)
}

/// Collects rows as they arrive, within their limits.
struct Gathering {
    rows: Rows,
    limits: RowLimits,
    byte_count: usize,
}

impl Gathering {
    fn new(limits: RowLimits) -> Self {
        Self { rows: Rows::default(), limits, byte_count: 0 }
    }

    fn take<R: sqlx::Row>(&mut self, row: &R, values: Vec<Value>) -> Result<(), DatabaseError> {
        use sqlx::Column as _;
        if self.rows.columns.is_empty() {
            self.rows.columns = row.columns().iter().map(|column| column.name().to_owned()).collect();
        }
        self.byte_count += values.iter().map(Value::byte_count).sum::<usize>();
        if self.rows.rows.len() >= self.limits.rows_max {
            return Err(limit_exceeded("rows", self.limits.rows_max));
        }
        if self.byte_count > self.limits.bytes_max {
            return Err(limit_exceeded("bytes", self.limits.bytes_max));
        }
        self.rows.rows.push(values);
        Ok(())
    }
}

/// The error over a limit; its object names it.
pub(super) fn limit_exceeded(what: &str, limit: usize) -> DatabaseError {
    let message = format!("the query gives more than {limit} {what}");
    DatabaseError { object: Some(what.to_owned()), ..DatabaseError::new(ErrorKind::Refused, message) }
}
