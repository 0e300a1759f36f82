//! Scratch databases: made for one run of the suite, filled by the author's file, and removed afterwards.

use std::time::Duration;

use tempfile::TempDir;
use url::Url;

use super::ConformanceError;
use crate::database::{Database, DatabaseError, Locator, Transaction, statements};

/// A setup reads next to nothing.
const ANSWER_BYTES_MAX: u64 = 1 << 20;
/// Long enough for a server that is busy with tests.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(30);

/// Where scratch databases are made.
#[derive(Clone, Debug)]
pub enum ScratchServer {
    /// A file in a folder of its own.
    Sqlite,
    /// A new database on a MySQL or MariaDB server.
    MySql(Url),
    /// A new schema in a database of a PostgreSQL server.
    Postgres(Url),
}

/// One scratch database.
pub(super) struct ScratchDatabase {
    pub(super) name: &'static str,
    pub(super) locator: Locator,
    /// On a server: where it was made, and the statement that removes it.
    made: Option<(Locator, String)>,
    /// The file's folder, gone when dropped.
    _folder: Option<TempDir>,
}

impl ScratchServer {
    /// Its name for people.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Sqlite => "SQLite",
            Self::MySql(_) => "MySQL",
            Self::Postgres(_) => "PostgreSQL",
        }
    }

    /// Makes one, and runs the author's statements in it.
    pub(super) async fn make(&self, setup: Option<&str>) -> Result<ScratchDatabase, ConformanceError> {
        let refuse = |reason: String| ConformanceError::ScratchServer { place: self.name().to_owned(), reason };
        let scratch = self.empty().await.map_err(refuse)?;
        if let Some(setup) = setup
            && let Err(reason) = load(&scratch.locator, setup).await
        {
            scratch.remove().await;
            return Err(refuse(reason));
        }
        Ok(scratch)
    }

    async fn empty(&self) -> Result<ScratchDatabase, String> {
        let name = format!("conformance_{}", uuid::Uuid::now_v7().simple());
        match self {
            Self::Sqlite => {
                let failed = |error: std::io::Error| format!("a private file cannot be made: {error}");
                let folder = tempfile::Builder::new().prefix("neuronova-conformance-").tempdir().map_err(failed)?;
                let file = folder.path().join("target.db");
                std::fs::write(&file, []).map_err(failed)?;
                Ok(ScratchDatabase {
                    name: self.name(),
                    locator: Locator::Sqlite(file),
                    made: None,
                    _folder: Some(folder),
                })
            }
            Self::MySql(server) => {
                let at = Locator::MySql(server.clone());
                run(&at, &[format!("CREATE DATABASE {name} CHARACTER SET utf8mb4")]).await?;
                let mut url = server.clone();
                url.set_path(&name);
                let made = Some((at, format!("DROP DATABASE {name}")));
                Ok(ScratchDatabase { name: self.name(), locator: Locator::MySql(url), made, _folder: None })
            }
            Self::Postgres(server) => {
                let at = Locator::Postgres(server.clone());
                run(&at, &[format!("CREATE SCHEMA {name}")]).await?;
                let mut url = server.clone();
                url.query_pairs_mut().append_pair("options[search_path]", &name);
                let made = Some((at, format!("DROP SCHEMA {name} CASCADE")));
                Ok(ScratchDatabase { name: self.name(), locator: Locator::Postgres(url), made, _folder: None })
            }
        }
    }
}

impl ScratchDatabase {
    /// Removes it if possible. One that stays holds no real data, and its name shows its purpose.
    pub(super) async fn remove(self) {
        if let Some((at, statement)) = self.made
            && let Err(error) = run(&at, &[statement]).await
        {
            tracing::warn!(error, "a private database could not be removed");
        }
    }
}

async fn load(at: &Locator, setup: &str) -> Result<(), String> {
    run(at, &statements(setup)).await.map_err(|error| format!("the setup file: {error}"))
}

async fn run(at: &Locator, statements: &[String]) -> Result<(), String> {
    let database =
        Database::of_target(at.clone(), 1, STATEMENT_TIMEOUT, ANSWER_BYTES_MAX).map_err(|error| error.message)?;
    let done = match database.begin().await {
        Ok(transaction) => all(transaction, statements).await,
        Err(error) => Err(error),
    };
    database.close().await;
    done.map_err(|error| error.message)
}

async fn all(mut transaction: Transaction, statements: &[String]) -> Result<(), DatabaseError> {
    for statement in statements {
        transaction.execute(statement, &[]).await?;
    }
    transaction.commit().await
}
