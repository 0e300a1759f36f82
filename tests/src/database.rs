//! Owns databases for tests: a fresh one per test, and the loading of fixtures. It knows nothing of any table.
//!
//! A server's databases are left where they are: the whole server goes when `cargo xtask test` ends.

use std::{
    path::Path,
    process,
    sync::atomic::{AtomicU32, Ordering},
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, Result};
use sqlx::{Connection as _, SqliteConnection};
use tempfile::TempDir;

use crate::{
    environment::{Backend, note_reached},
    session::Session,
};

/// An empty database of a test's own.
#[derive(Debug)]
pub struct Database {
    url: String,
    backend: Backend,
    _directory: Option<TempDir>,
}

impl Database {
    /// Makes one on this backend, or gives `None` after saying that the backend was not reached.
    ///
    /// # Errors
    /// When the server is there and refuses.
    ///
    /// # Panics
    /// Where `CI` is set and the server is not there, and for [`Backend::Fhir`], which is no database.
    pub async fn fresh(backend: Backend) -> Result<Option<Self>> {
        match backend {
            Backend::Sqlite => {
                let directory = tempfile::Builder::new().prefix("neuronova-sqlite-").tempdir()?;
                let url = sqlite_url(&directory.path().join("test.db"));
                SqliteConnection::connect(&format!("{url}?mode=rwc")).await?.close().await?;
                note_reached(backend);
                Ok(Some(Self { url, backend, _directory: Some(directory) }))
            }
            Backend::MariaDb | Backend::Postgres => {
                let Some(server) = backend.url() else { return Ok(None) };
                Self::fresh_on(backend, &server).await.map(Some)
            }
            Backend::Fhir | Backend::Hapi | Backend::Medplum | Backend::FhirStarter => {
                panic!("a FHIR server is no database")
            }
        }
    }

    /// Makes one on a server of the caller's own: `mysql://...` or `postgres://...`, without a database.
    ///
    /// # Errors
    /// When the server is not there or refuses.
    pub async fn fresh_on(backend: Backend, server: &str) -> Result<Self> {
        let name = unique_name();
        // PostgreSQL has no session without a database.
        let administration =
            if backend == Backend::Postgres { format!("{server}/postgres") } else { server.to_owned() };
        execute(&administration, &format!("CREATE DATABASE {name}"))
            .await
            .with_context(|| format!("make a database on {}", backend.name()))?;
        Ok(Self { url: format!("{server}/{name}"), backend, _directory: None })
    }

    /// Its address, as the host's configuration takes it.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// What it is on.
    #[must_use]
    pub fn backend(&self) -> Backend {
        self.backend
    }

    /// Loads a file of SQL into it: see [`load_sql`].
    ///
    /// # Errors
    /// As [`load_sql`].
    pub async fn load_sql(&self, file: &Path) -> Result<()> {
        load_sql(&self.url, file).await
    }

    /// Runs statements in it that give no rows: see [`execute`].
    ///
    /// # Errors
    /// As [`execute`].
    pub async fn execute(&self, sql: &str) -> Result<()> {
        execute(&self.url, sql).await
    }
}

/// Databases on all that can be reached: SQLite always, the others where their servers are.
///
/// # Errors
/// When a server is there and refuses.
///
/// # Panics
/// Where `CI` is set and a server is not there.
pub async fn fresh_databases() -> Result<Vec<Database>> {
    let mut databases = Vec::new();
    for backend in [Backend::Sqlite, Backend::MariaDb, Backend::Postgres] {
        databases.extend(Database::fresh(backend).await?);
    }
    Ok(databases)
}

/// The address of an SQLite file, with the slashes that a URL has on every system.
#[must_use]
pub fn sqlite_url(file: &Path) -> String {
    format!("sqlite://{}", file.to_string_lossy().replace('\\', "/"))
}

/// Loads a file of statements, each ending with `;` at the end of a line, and names the one that failed.
///
/// An SQLite file is made when it is not there.
///
/// # Errors
/// When the file cannot be read, the database not be reached, or a statement fails; with its line.
pub async fn load_sql(url: &str, file: &Path) -> Result<()> {
    let text = std::fs::read_to_string(file).with_context(|| format!("read {}", file.display()))?;
    let mut session = Session::open(url).await?;
    for (line, statement) in statements(&text) {
        session.execute(&statement).await.with_context(|| format!("{}:{line}", file.display()))?;
    }
    session.close().await
}

/// Runs one text of SQL that gives no rows.
///
/// # Errors
/// When the database cannot be reached or refuses.
pub async fn execute(url: &str, sql: &str) -> Result<()> {
    let mut session = Session::open(url).await?;
    session.execute(sql).await?;
    session.close().await
}

/// Unique among all processes that test against one server, and below the 63 letters that PostgreSQL allows.
fn unique_name() -> String {
    static MADE: AtomicU32 = AtomicU32::new(0);
    let clock = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_nanos());
    format!("test_{clock:x}_{:x}_{:x}", process::id(), MADE.fetch_add(1, Ordering::Relaxed))
}

/// Each statement with the number of its first line; lines of comment between statements are left out.
fn statements(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut current: Option<(usize, String)> = None;
    for (index, line) in text.lines().enumerate() {
        let is_blank = line.trim().is_empty() || line.trim_start().starts_with("--");
        if current.is_none() && is_blank {
            continue;
        }
        let (_, statement) = current.get_or_insert_with(|| (index + 1, String::new()));
        statement.push_str(line);
        statement.push('\n');
        if line.trim_end().ends_with(';') {
            found.extend(current.take());
        }
    }
    found.extend(current);
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_end_with_a_semicolon_at_the_end_of_a_line() {
        let text = "-- a comment; with one\n\nCREATE TABLE a (\n  b TEXT DEFAULT ';' -- inside\n);\r\nINSERT INTO a VALUES (1)";
        let found = statements(text);
        assert_eq!(found.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [3, 6]);
        assert!(found[0].1.starts_with("CREATE TABLE a (") && found[0].1.trim_end().ends_with(");"), "{found:?}");
        assert_eq!(found[1].1, "INSERT INTO a VALUES (1)\n");
    }

    #[tokio::test]
    async fn an_invalid_fixture_names_its_line() {
        let database = Database::fresh(Backend::Sqlite).await.unwrap().unwrap();
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("broken.sql");
        std::fs::write(&file, "CREATE TABLE a (b TEXT);\n\nCREATE TABLE a (b TEXT);\n").unwrap();
        let error = format!("{:#}", database.load_sql(&file).await.unwrap_err());
        assert!(error.contains("broken.sql:3") && error.contains("already exists"), "{error}");
    }
}
