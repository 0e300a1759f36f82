//! Bringing the store's tables to this version, under a lock, so that hosts that start together all come up.
//!
//! The files are embedded. A file that was applied must never change: its digest is remembered and compared.

use std::time::Duration;

use sha2::{Digest as _, Sha256};

use super::{Store, StoreError, ours, users_table};
use crate::database::{AsDatabaseError, DatabaseError, Dialect, ErrorKind, RowLimits, Transaction, rerun};
use crate::domain::ids::UsersTable;

const LOCK: &str = "store.migrations";
const LOCK_TIMEOUT: Duration = Duration::from_mins(1);
/// A step may write tables of millions of rows anew.
const STEP_TIMEOUT: Duration = Duration::from_hours(6);
/// Stands in MySQL's files for the collation that the server at hand has, see `Database::exact_collation`.
const COLLATION: &str = "{NO_PAD_BIN}";

/// MySQL's `ER_DUP_FIELDNAME` and `ER_CANT_DROP_FIELD_OR_KEY`.
const ADDED_OR_DROPPED_ALREADY: [i32; 2] = [1_060, 1_091];

/// One step of the schema.
struct Migration {
    version: i64,
    name: &'static str,
    sql: &'static str,
}

impl Migration {
    fn digest(&self) -> String {
        hex(&Sha256::digest(self.sql.as_bytes()))
    }
}

/// What was applied. In the form of the files, so that it too is recognised as ours.
const TABLE: &str = "CREATE TABLE IF NOT EXISTS schema_migration (
    version BIGINT NOT NULL PRIMARY KEY,
    name VARCHAR(64) NOT NULL,
    sha256 VARCHAR(64) NOT NULL
)";

/// The file `migrations/FOLDER/FILE.sql`, which begins with the version in four digits.
macro_rules! migration {
    ($folder:literal, $version:literal, $file:literal, $name:literal) => {
        Migration {
            version: $version,
            name: $name,
            sql: include_str!(concat!("../../../migrations/", $folder, "/", $file, "_", $name, ".sql")),
        }
    };
}

macro_rules! migrations {
    ($folder:literal) => {
        &[
            migration!($folder, 1, "0001", "initial"),
            migration!($folder, 2, "0002", "import"),
            migration!($folder, 3, "0003", "counts"),
            migration!($folder, 4, "0004", "adapters"),
            migration!($folder, 5, "0005", "work"),
            migration!($folder, 6, "0006", "room"),
            migration!($folder, 7, "0007", "incomplete"),
            migration!($folder, 8, "0008", "hosts"),
            migration!($folder, 9, "0009", "exact"),
            migration!($folder, 10, "0010", "settings"),
        ]
    };
}

fn migrations(dialect: Dialect) -> &'static [Migration] {
    match dialect {
        Dialect::Sqlite => migrations!("sqlite"),
        Dialect::MySql => migrations!("mysql"),
        Dialect::Postgres => migrations!("postgres"),
    }
}

/// Why the tables could not be brought to this version.
#[derive(Debug, thiserror::Error)]
pub enum MigrationError {
    /// The database said no.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A newer host was here.
    #[error(
        "the store has schema version {found}, this host knows {known}: run a host at least as new as the one that migrated it"
    )]
    Newer {
        /// The store's.
        found: i64,
        /// Ours.
        known: i64,
    },
    /// An older host, or none, was here, and this command does not migrate.
    #[error(
        "the store has schema version {found}, this host needs {known}: run `host migrate`, and this version of the host everywhere"
    )]
    Older {
        /// The store's.
        found: i64,
        /// Ours.
        known: i64,
    },
    /// No host has been here.
    #[error("the database has no tables of this host yet: `host migrate` makes them")]
    Absent,
    /// A table has our name and is not ours.
    #[error(
        "the database has a table `{table}` that this host did not make; it is another program's: give the host a database of its own{}",
        hint(*.dialect)
    )]
    Foreign {
        /// Which.
        table: String,
        /// Where.
        dialect: Dialect,
    },
    /// The users are in a table of another name.
    #[error(
        "the store keeps its users in the table `{found}`, and [store] users_table is \"{configured}\": write users_table = \"{found}\", \
         or rename the table first (docs/operations.md, \"Rename the table of users\")"
    )]
    UsersTable {
        /// The store's.
        found: String,
        /// The configuration's.
        configured: UsersTable,
    },
    /// A migration that was applied is not the one that we have.
    #[error("migration {version} of the store differs from this host's: they were built from different sources")]
    Different {
        /// Which.
        version: i64,
    },
}

/// PostgreSQL can keep programs apart within one database.
fn hint(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Postgres => ", or a schema (`ALTER ROLE ... SET search_path`)",
        Dialect::Sqlite | Dialect::MySql => "",
    }
}

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Migrations {
    /// How many steps were applied now.
    pub applied: usize,
    /// The version that the store has now.
    pub version: i64,
}

impl AsDatabaseError for MigrationError {
    fn as_database_error(&self) -> Option<&DatabaseError> {
        match self {
            Self::Store(error) => error.as_database_error(),
            Self::Newer { .. }
            | Self::Older { .. }
            | Self::Absent
            | Self::Foreign { .. }
            | Self::UsersTable { .. }
            | Self::Different { .. } => None,
        }
    }
}

impl Store {
    /// Brings the tables to this version. Safe to call from many hosts at once.
    ///
    /// # Errors
    /// When the database refuses, or holds a schema that is not ours or newer.
    pub async fn migrate(&self) -> Result<Migrations, MigrationError> {
        if let Some(version) = self.is_current().await {
            return Ok(Migrations { applied: 0, version });
        }
        rerun("migrate", || self.migrate_once()).await
    }

    /// The version of a store that is as this host needs it: for commands that only read.
    ///
    /// # Errors
    /// When it is older, newer, or not there; when the database cannot be reached.
    pub async fn require_current(&self) -> Result<i64, MigrationError> {
        let known = migrations(self.database.dialect());
        let newest = known.last().map_or(0, |migration| migration.version);
        let mut transaction = self.database.begin_read().await.map_err(failed)?;
        let applied = match applied(&mut transaction).await {
            Err(MigrationError::Store(StoreError::Database { error, .. }))
                if error.kind == ErrorKind::MissingObject =>
            {
                return Err(MigrationError::Absent);
            }
            applied => applied?,
        };
        let found = applied.iter().map(|(version, _)| *version).max().unwrap_or_default();
        if found > newest {
            return Err(MigrationError::Newer { found, known: newest });
        }
        for migration in known {
            match applied.iter().find(|(version, _)| *version == migration.version) {
                None => return Err(MigrationError::Older { found, known: newest }),
                Some((_, digest)) if *digest != migration.digest() => {
                    return Err(MigrationError::Different { version: migration.version });
                }
                Some(_) => {}
            }
        }
        self.expect_users_table(&mut transaction, applied.iter().map(|(version, _)| *version)).await?;
        transaction.rollback().await.map_err(failed)?;
        Ok(newest)
    }

    /// The version, if there is nothing to do: seen without a lock, so that a command that only reads stays out of
    /// everyone's way. Whatever keeps this look from its answer is met again, and said, by the real thing.
    async fn is_current(&self) -> Option<i64> {
        let known = migrations(self.database.dialect());
        let mut transaction = self.database.begin_read().await.ok()?;
        let applied = applied(&mut transaction).await.ok()?;
        self.expect_users_table(&mut transaction, applied.iter().map(|(version, _)| *version)).await.ok()?;
        transaction.rollback().await.ok()?;
        let same = applied.len() == known.len()
            && known
                .iter()
                .zip(&applied)
                .all(|(migration, (version, digest))| migration.version == *version && *digest == migration.digest());
        same.then(|| known.last().map_or(0, |migration| migration.version))
    }

    async fn migrate_once(&self) -> Result<Migrations, MigrationError> {
        let known = migrations(self.database.dialect());
        let collation = self.database.exact_collation().await.map_err(failed)?;
        let mut transaction = self.database.begin().await.map_err(failed)?;
        transaction.allow(STEP_TIMEOUT);
        transaction.lock(LOCK, LOCK_TIMEOUT).await.map_err(failed)?;
        let dialect = transaction.dialect();
        let written = |migration: &Migration| {
            users_table::written(&migration.sql.replace(COLLATION, collation), dialect, &self.users_table)
        };
        if let Some(table) = ours::foreign_table(&mut transaction, TABLE, true).await.map_err(failed)? {
            return Err(MigrationError::Foreign { table, dialect });
        }
        let was_here = ours::is_there(&mut transaction, TABLE).await.map_err(failed)?;
        let applied = if was_here { applied(&mut transaction).await? } else { Vec::new() };
        self.expect_users_table(&mut transaction, applied.iter().map(|(version, _)| *version)).await?;
        // Every table that is to be made is looked for before anything is written.
        let may_be_half_made = was_here && dialect == Dialect::MySql;
        for migration in known.iter().filter(|known| !applied.iter().any(|(version, _)| *version == known.version)) {
            let sql = written(migration);
            if let Some(table) = ours::foreign_table(&mut transaction, &sql, may_be_half_made).await.map_err(failed)? {
                return Err(MigrationError::Foreign { table, dialect });
            }
        }
        transaction.execute(TABLE, &[]).await.map_err(failed)?;
        let newest = known.last().map_or(0, |migration| migration.version);
        if let Some((found, _)) = applied.iter().find(|(version, _)| *version > newest) {
            return Err(MigrationError::Newer { found: *found, known: newest });
        }
        let mut count = 0;
        for migration in known {
            let digest = migration.digest();
            match applied.iter().find(|(version, _)| *version == migration.version) {
                Some((_, found)) if *found == digest => {}
                Some(_) => return Err(MigrationError::Different { version: migration.version }),
                None => {
                    apply(&mut transaction, migration, &written(migration), &digest).await?;
                    count += 1;
                }
            }
        }
        transaction.commit().await.map_err(failed)?;
        Ok(Migrations { applied: count, version: newest })
    }
}

async fn applied(transaction: &mut Transaction) -> Result<Vec<(i64, String)>, MigrationError> {
    let sql = "SELECT version, sha256 FROM schema_migration ORDER BY version";
    let rows = transaction.query(sql, &[], RowLimits::NONE).await.map_err(failed)?;
    let operation = "read schema versions";
    let read = rows.rows.into_iter().map(|row| {
        let mut reader = super::RowReader::new(operation, row);
        Ok((reader.integer()?, reader.text()?))
    });
    read.collect::<Result<_, StoreError>>().map_err(MigrationError::from)
}

/// Every statement may be run again: MySQL commits each by itself, so a host may have died between two of them.
async fn apply(
    transaction: &mut Transaction,
    migration: &Migration,
    sql: &str,
    digest: &str,
) -> Result<(), MigrationError> {
    for statement in statements(sql) {
        match transaction.execute(&statement, &[]).await {
            Err(error) if is_done_already(transaction.dialect(), &error) => {}
            result => drop(result.map_err(failed)?),
        }
    }
    let insert = "INSERT INTO schema_migration (version, name, sha256) VALUES (?, ?, ?)";
    let values = [migration.version.into(), migration.name.into(), digest.into()];
    match transaction.execute(insert, &values).await {
        Err(error) if error.kind == ErrorKind::DuplicateKey && transaction.dialect() == Dialect::MySql => Ok(()),
        result => result.map(drop).map_err(failed),
    }
}

/// MySQL has no `DROP INDEX IF EXISTS` and no `ADD COLUMN IF NOT EXISTS`: an ALTER that is run again says what it finds.
fn is_done_already(dialect: Dialect, error: &DatabaseError) -> bool {
    dialect == Dialect::MySql && error.vendor_code.is_some_and(|code| ADDED_OR_DROPPED_ALREADY.contains(&code))
}

fn statements(sql: &str) -> Vec<String> {
    let code: Vec<_> = sql.lines().filter(|line| !line.trim_start().starts_with("--")).collect();
    code.join("\n")
        .split(";\n")
        .map(|text| text.trim().trim_end_matches(';').to_owned())
        .filter(|text| !text.is_empty())
        .collect()
}

fn failed(error: DatabaseError) -> MigrationError {
    MigrationError::Store(super::failed("migrate the store", error))
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("invariant: a String takes text");
        text
    })
}
