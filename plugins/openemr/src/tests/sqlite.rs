//! A lent transaction on an SQLite database in memory, which records its statements.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;

use adapter_sdk::database::{DatabaseError, DatabaseErrorKind, Dialect, Execution, Rows, Value};
use sqlx::sqlite::{SqliteArguments, SqliteConnectOptions};
use sqlx::{
    AssertSqlSafe, ConnectOptions as _, Row as _, Sqlite as Driver, SqliteConnection, TypeInfo as _, ValueRef as _,
};
use tokio::runtime::Runtime;

use crate::target_db::TargetDb;

const FIXTURE: &str = include_str!("../../../../tests/fixtures/openemr/sqlite.sql");

pub(crate) struct Sqlite {
    runtime: Runtime,
    connection: RefCell<SqliteConnection>,
    said: RefCell<Vec<String>>,
    intrusions: RefCell<VecDeque<String>>,
    intrusion_on_update: RefCell<Option<String>>,
    locks: Cell<usize>,
    refused: RefCell<Option<String>>,
}

impl Sqlite {
    /// OpenEMR 8.2.
    pub(crate) fn open() -> Self {
        let database = Self::empty();
        database.change(FIXTURE);
        database
    }

    /// OpenEMR 5.x: the same for the adapter, but without uuids and without the option `UNK`.
    pub(crate) fn open_without_uuid() -> Self {
        let database = Self::empty();
        let older: Vec<&str> = FIXTURE
            .lines()
            .filter(|line| !line.starts_with("  uuid BLOB CONS") && *line != "  UNIQUE (uuid)")
            .collect();
        let older = older.join("\n").replace(",\n);", "\n);");
        database.change(&older);
        database.change("DROP TABLE uuid_registry; DELETE FROM list_options WHERE option_id = 'UNK'");
        database
    }

    /// A database without tables.
    pub(crate) fn empty() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let connection = runtime.block_on(SqliteConnectOptions::new().in_memory(true).connect()).unwrap();
        Self {
            runtime,
            connection: RefCell::new(connection),
            said: RefCell::default(),
            intrusions: RefCell::default(),
            intrusion_on_update: RefCell::default(),
            locks: Cell::new(0),
            refused: RefCell::default(),
        }
    }

    /// Runs statements of another program.
    pub(crate) fn change(&self, sql: &str) {
        let statements = sqlx::raw_sql(AssertSqlSafe(sql.to_owned()));
        self.runtime.block_on(statements.execute(&mut *self.connection.borrow_mut())).unwrap();
    }

    /// Runs statements of another program right before the adapter's next insert of a chart or a record.
    pub(crate) fn intrude(&self, sql: &str) {
        self.intrusions.borrow_mut().push_back(sql.to_owned());
    }

    /// Runs statements of another program right before the adapter's next update of charts.
    pub(crate) fn intrude_on_update(&self, sql: &str) {
        *self.intrusion_on_update.borrow_mut() = Some(sql.to_owned());
    }

    /// Refuses statements with this beginning from now on, as for a database user without the grant.
    pub(crate) fn refuse(&self, beginning: &str) {
        *self.refused.borrow_mut() = Some(beginning.to_owned());
    }

    fn permit(&self, sql: &str) -> Result<(), DatabaseError> {
        match self.refused.borrow().as_deref() {
            Some(beginning) if sql.starts_with(beginning) => Err(DatabaseError {
                kind: DatabaseErrorKind::PermissionDenied,
                sqlstate: None,
                vendor_code: None,
                object: None,
                message: "denied".to_owned(),
            }),
            _ => Ok(()),
        }
    }

    /// The result as text: one string per row, values joined by `|`.
    pub(crate) fn ask(&self, sql: &str) -> Vec<String> {
        let found = self.query(sql, &[], u32::MAX).unwrap();
        self.said.borrow_mut().pop();
        let text = |value: &Value| match value {
            Value::Null => "NULL".to_owned(),
            other => other.as_text().map_or_else(|| other.as_i64().unwrap().to_string(), str::to_owned),
        };
        found.rows.iter().map(|row| row.iter().map(text).collect::<Vec<_>>().join("|")).collect()
    }

    /// The statements of the adapter since the last call.
    pub(crate) fn said(&self) -> Vec<String> {
        std::mem::take(&mut self.said.borrow_mut())
    }

    /// How often the adapter requested a lock.
    pub(crate) fn locks(&self) -> usize {
        self.locks.get()
    }
}

impl TargetDb for Sqlite {
    fn dialect(&self) -> Dialect {
        Dialect::Sqlite
    }

    fn query(&self, sql: &str, parameters: &[Value], rows_max: u32) -> Result<Rows, DatabaseError> {
        self.said.borrow_mut().push(sql.to_owned());
        self.permit(sql)?;
        let query = bound(sql, parameters);
        let found =
            self.runtime.block_on(query.fetch_all(&mut *self.connection.borrow_mut())).map_err(|it| error(&it))?;
        assert!(found.len() <= rows_max as usize, "more than {rows_max} rows");
        let rows = found.iter().map(|row| (0..row.len()).map(|index| value(row, index)).collect()).collect();
        Ok(Rows { columns: Vec::new(), rows })
    }

    fn execute(&self, sql: &str, parameters: &[Value]) -> Result<Execution, DatabaseError> {
        if intruded_on(sql)
            && let Some(intrusion) = self.intrusions.borrow_mut().pop_front()
        {
            self.change(&intrusion);
        }
        let on_update = sql.starts_with("UPDATE `patient_data`").then(|| self.intrusion_on_update.take());
        if let Some(intrusion) = on_update.flatten() {
            self.change(&intrusion);
        }
        self.said.borrow_mut().push(sql.to_owned());
        self.permit(sql)?;
        let query = bound(sql, parameters);
        let done = self.runtime.block_on(query.execute(&mut *self.connection.borrow_mut())).map_err(|it| error(&it))?;
        Ok(Execution { rows_affected: done.rows_affected(), last_insert_id: None })
    }

    fn lock(&self, _name: &str, _timeout_ms: u32) -> Result<(), DatabaseError> {
        self.locks.set(self.locks.get() + 1);
        Ok(())
    }
}

fn intruded_on(sql: &str) -> bool {
    let tables = ["patient_data", "form_encounter", "form_vitals", "lists", "openemr_postcalendar_events"];
    // A test of `check` inserts no rows.
    !sql.contains("WHERE 1 = 0") && tables.iter().any(|table| sql.starts_with(&format!("INSERT INTO `{table}`")))
}

fn bound(sql: &str, parameters: &[Value]) -> sqlx::query::Query<'static, Driver, SqliteArguments> {
    parameters.iter().fold(sqlx::query(AssertSqlSafe(sql.to_owned())), |query, value| match value {
        Value::Null => query.bind(None::<i64>),
        Value::Signed(number) => query.bind(*number),
        Value::Text(text) => query.bind(text.clone()),
        Value::Bytes(bytes) => query.bind(bytes.clone()),
        other => panic!("the adapter does not send {other:?}"),
    })
}

fn value(row: &sqlx::sqlite::SqliteRow, index: usize) -> Value {
    let raw = row.try_get_raw(index).unwrap();
    if raw.is_null() {
        return Value::Null;
    }
    match raw.type_info().name() {
        "INTEGER" | "BOOLEAN" => Value::Signed(row.get_unchecked(index)),
        "BLOB" => Value::Bytes(row.get_unchecked(index)),
        _ => Value::Text(row.get_unchecked(index)),
    }
}

fn error(error: &sqlx::Error) -> DatabaseError {
    let error = error.as_database_error().unwrap();
    let kind = match error.code().as_deref() {
        Some("2067" | "1555") => DatabaseErrorKind::DuplicateKey,
        Some("275" | "1299") => DatabaseErrorKind::InvalidValue,
        _ if error.message().starts_with("no such") => DatabaseErrorKind::MissingObject,
        _ => DatabaseErrorKind::Other,
    };
    let object = error.message().split_once("constraint failed: ").map(|(_, object)| object.to_owned());
    DatabaseError { kind, sqlstate: None, vendor_code: None, object, message: error.message().to_owned() }
}
