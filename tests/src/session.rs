//! Owns one connection to any of the three databases, for plain SQL in and text out. It knows nothing of any table.
//!
//! It is for what a test does next to the host: fixtures, an application that writes to the outbox, looking at what is
//! there in the end. Values are part of the statement's text, so they must be the test's own.

use anyhow::{Result, bail};
use sqlx::{
    AssertSqlSafe, Connection as _, Decode, MySqlConnection, PgConnection, Row, SqliteConnection, Type, raw_sql,
};

/// A row's columns as text, `None` for NULL.
pub type TextRow = Vec<Option<String>>;

/// One connection.
#[derive(Debug)]
pub enum Session {
    /// To an SQLite file.
    Sqlite(SqliteConnection),
    /// To MariaDB or MySQL.
    MySql(MySqlConnection),
    /// To PostgreSQL.
    Postgres(PgConnection),
}

impl Session {
    /// Opens one. An SQLite file is made when it is not there, unless the address has parameters of its own.
    ///
    /// # Errors
    /// When the database cannot be reached or no database has this kind of address.
    pub async fn open(url: &str) -> Result<Self> {
        Ok(match url.split(':').next() {
            Some("sqlite") => {
                let create = if url.contains('?') { "" } else { "?mode=rwc" };
                Self::Sqlite(SqliteConnection::connect(&format!("{url}{create}")).await?)
            }
            Some("mysql") => Self::MySql(MySqlConnection::connect(url).await?),
            Some("postgres") => Self::Postgres(PgConnection::connect(url).await?),
            _ => bail!("no database has this kind of address"),
        })
    }

    /// Runs a text of SQL; gives the number of rows that it changed.
    ///
    /// # Errors
    /// The database's error.
    pub async fn execute(&mut self, sql: &str) -> Result<u64> {
        let statement = raw_sql(AssertSqlSafe(sql.to_owned()));
        Ok(match self {
            Self::Sqlite(connection) => statement.execute(connection).await?.rows_affected(),
            Self::MySql(connection) => statement.execute(connection).await?.rows_affected(),
            Self::Postgres(connection) => statement.execute(connection).await?.rows_affected(),
        })
    }

    /// Runs a query; gives its rows as text. Numbers and text only.
    ///
    /// # Errors
    /// The database's error, or that a column is of another kind.
    pub async fn rows(&mut self, sql: &str) -> Result<Vec<TextRow>> {
        let statement = raw_sql(AssertSqlSafe(sql.to_owned()));
        match self {
            Self::Sqlite(connection) => statement.fetch_all(connection).await?.iter().map(text).collect(),
            Self::MySql(connection) => statement.fetch_all(connection).await?.iter().map(text).collect(),
            Self::Postgres(connection) => statement.fetch_all(connection).await?.iter().map(text).collect(),
        }
    }

    /// The clause that keeps others from a row which a transaction has read; SQLite has one writer in any case.
    #[must_use]
    pub fn for_update(&self) -> &'static str {
        if matches!(self, Self::Sqlite(_)) { "" } else { " FOR UPDATE" }
    }

    /// The statement that begins a transaction which will write.
    #[must_use]
    pub fn begin(&self) -> &'static str {
        match self {
            Self::Sqlite(_) => "BEGIN IMMEDIATE",
            Self::MySql(_) => "START TRANSACTION",
            Self::Postgres(_) => "BEGIN",
        }
    }

    /// Closes it in order.
    ///
    /// # Errors
    /// The database's error.
    pub async fn close(self) -> Result<()> {
        match self {
            Self::Sqlite(connection) => connection.close().await,
            Self::MySql(connection) => connection.close().await,
            Self::Postgres(connection) => connection.close().await,
        }
        .map_err(Into::into)
    }
}

fn text<R: Row>(row: &R) -> Result<TextRow>
where
    usize: sqlx::ColumnIndex<R>,
    for<'r> String: Decode<'r, R::Database> + Type<R::Database>,
{
    (0..row.len()).map(|column| Ok(row.try_get_unchecked::<Option<String>, _>(column)?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{database::Database, environment::Backend};

    #[tokio::test]
    async fn rows_are_read_as_text_from_every_database() {
        for backend in [Backend::Sqlite, Backend::MariaDb, Backend::Postgres] {
            let Some(database) = Database::fresh(backend).await.unwrap() else { continue };
            let mut session = Session::open(database.url()).await.unwrap();
            session.execute("CREATE TABLE a (b BIGINT, c VARCHAR(9))").await.unwrap();
            assert_eq!(session.execute("INSERT INTO a VALUES (7, 'x'), (NULL, NULL)").await.unwrap(), 2);
            let rows = session.rows("SELECT b, c FROM a ORDER BY c DESC").await.unwrap();
            let expected = vec![Some("7".to_owned()), Some("x".to_owned())];
            assert!(rows.contains(&expected) && rows.contains(&vec![None, None]), "{} {rows:?}", backend.name());
            session.close().await.unwrap();
        }
    }
}
