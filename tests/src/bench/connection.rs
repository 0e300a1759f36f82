//! One connection of any of the three databases for the native baseline: the thinnest layer over the drivers that lets
//! one program run on all of them. It knows no table and decides nothing.

use anyhow::{Context as _, Result, bail};
use futures::TryStreamExt as _;
use sqlx::{
    AssertSqlSafe, Column as _, Connection as _, Executor as _, MySqlConnection, PgConnection, Row as _,
    SqliteConnection, TypeInfo as _, ValueRef as _,
};

/// Which SQL is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    Sqlite,
    MySql,
    Postgres,
}

/// A parameter or a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value {
    Null,
    Integer(i64),
    Text(String),
    Bytes(Vec<u8>),
}

impl Value {
    pub(crate) fn integer(&self) -> i64 {
        match self {
            Self::Integer(number) => *number,
            Self::Text(text) => text.trim().parse().unwrap_or_default(),
            Self::Null | Self::Bytes(_) => 0,
        }
    }

    pub(crate) fn text(&self) -> &str {
        match self {
            Self::Text(text) => text,
            Self::Null | Self::Integer(_) | Self::Bytes(_) => "",
        }
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Integer(number)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

pub(crate) enum Connection {
    Sqlite(SqliteConnection),
    MySql(MySqlConnection),
    Postgres(PgConnection),
}

macro_rules! bound {
    ($sql:expr, $parameters:expr) => {
        $parameters.iter().fold(sqlx::query(AssertSqlSafe($sql)), |query, value| match value {
            Value::Null => query.bind(None::<String>),
            Value::Integer(number) => query.bind(*number),
            Value::Text(text) => query.bind(text.clone()),
            Value::Bytes(bytes) => query.bind(bytes.clone()),
        })
    };
}

macro_rules! gathered {
    ($connection:expr, $sql:expr, $parameters:expr) => {{
        let mut rows = Vec::new();
        let mut stream = bound!($sql, $parameters).fetch($connection);
        while let Some(row) = stream.try_next().await? {
            let mut values = Vec::with_capacity(row.len());
            for (index, column) in row.columns().iter().enumerate() {
                let raw = row.try_get_raw(index)?;
                let kind = raw.type_info().name().to_owned();
                values.push(if raw.is_null() {
                    Value::Null
                } else if kind.contains("INT") || column.type_info().name().contains("INT") {
                    Value::Integer(row.try_get_unchecked(index)?)
                } else {
                    // Also text with a binary collation, which MySQL calls bytes.
                    Value::Text(String::from_utf8_lossy(&row.try_get_unchecked::<Vec<u8>, _>(index)?).into_owned())
                });
            }
            rows.push(values);
        }
        rows
    }};
}

impl Connection {
    /// Connects with what the host sets too: durable commits, READ COMMITTED, plans by index.
    pub(crate) async fn open(url: &str) -> Result<Self> {
        let mut connection = match url.split(':').next() {
            Some("sqlite") => Self::Sqlite(SqliteConnection::connect(&format!("{url}?mode=rwc")).await?),
            Some("mysql") => Self::MySql(MySqlConnection::connect(url).await?),
            Some("postgres") => Self::Postgres(PgConnection::connect(url).await?),
            _ => bail!("no database has this kind of address"),
        };
        for statement in match connection.dialect() {
            Dialect::Sqlite => {
                vec!["PRAGMA journal_mode = WAL", "PRAGMA synchronous = FULL", "PRAGMA busy_timeout = 60000"]
            }
            Dialect::MySql => vec![
                "SET SESSION sql_mode = 'STRICT_TRANS_TABLES,NO_ENGINE_SUBSTITUTION,PIPES_AS_CONCAT'",
                "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
            ],
            Dialect::Postgres => vec![
                "SET enable_seqscan = off",
                "SET enable_hashjoin = off",
                "SET enable_mergejoin = off",
                "SET enable_bitmapscan = off",
                "SET jit = off",
            ],
        } {
            connection.run(statement).await?;
        }
        Ok(connection)
    }

    pub(crate) fn dialect(&self) -> Dialect {
        match self {
            Self::Sqlite(_) => Dialect::Sqlite,
            Self::MySql(_) => Dialect::MySql,
            Self::Postgres(_) => Dialect::Postgres,
        }
    }

    /// Runs a text without parameters, unprepared.
    pub(crate) async fn run(&mut self, sql: &str) -> Result<()> {
        let text = sqlx::raw_sql(AssertSqlSafe(sql.to_owned()));
        match self {
            Self::Sqlite(connection) => connection.execute(text).await.map(drop),
            Self::MySql(connection) => connection.execute(text).await.map(drop),
            Self::Postgres(connection) => connection.execute(text).await.map(drop),
        }
        .with_context(|| shortened(sql))
    }

    pub(crate) async fn begin(&mut self) -> Result<()> {
        let begin = if self.dialect() == Dialect::Sqlite { "BEGIN IMMEDIATE" } else { "BEGIN" };
        self.run(begin).await
    }

    pub(crate) async fn commit(&mut self) -> Result<()> {
        self.run("COMMIT").await
    }

    /// Runs a prepared statement; gives the rows it changed.
    pub(crate) async fn execute(&mut self, sql: &str, parameters: &[Value]) -> Result<u64> {
        let text = self.numbered(sql);
        match self {
            Self::Sqlite(connection) => bound!(text, parameters).execute(connection).await.map(|it| it.rows_affected()),
            Self::MySql(connection) => bound!(text, parameters).execute(connection).await.map(|it| it.rows_affected()),
            Self::Postgres(connection) => {
                bound!(text, parameters).execute(connection).await.map(|it| it.rows_affected())
            }
        }
        .with_context(|| shortened(sql))
    }

    /// Runs a prepared SELECT.
    pub(crate) async fn rows(&mut self, sql: &str, parameters: &[Value]) -> Result<Vec<Vec<Value>>> {
        let text = self.numbered(sql);
        Ok(match self {
            Self::Sqlite(connection) => gathered!(connection, text, parameters),
            Self::MySql(connection) => gathered!(connection, text, parameters),
            Self::Postgres(connection) => gathered!(connection, text, parameters),
        })
    }

    /// PostgreSQL numbers its parameters.
    fn numbered(&self, sql: &str) -> String {
        if self.dialect() != Dialect::Postgres {
            return sql.to_owned();
        }
        let mut parts = sql.split('?');
        let mut text = parts.next().unwrap_or_default().to_owned();
        for (index, part) in parts.enumerate() {
            text.push('$');
            text.push_str(&(index + 1).to_string());
            text.push_str(part);
        }
        text
    }
}

fn shortened(sql: &str) -> String {
    sql.chars().take(80).collect()
}
