//! Brings the store's tables to this version, under a lock, so that hosts may start together.
//!
//! Which files there are is `schema.rs`. Every statement may be run again, because MySQL commits each one by itself. It
//! must never touch a table of another program (`ours.rs`). Commands that only read call [`Store::require_current`],
//! which changes nothing.

use std::time::Duration;

use super::schema::{Migration, RENAMED, Schema, schema};
use super::{Store, StoreError, ours, users_table};
use crate::database::{AsDatabaseError, DatabaseError, Dialect, ErrorKind, RowLimits, Transaction, rerun, statements};
use crate::domain::ids::UsersTable;

const LOCK: &str = "store.migrations";
const LOCK_TIMEOUT: Duration = Duration::from_mins(1);
/// A step may rewrite tables of millions of rows.
const STEP_TIMEOUT: Duration = Duration::from_hours(6);
/// The placeholder in MySQL's files for the server's collation; see `Database::exact_collation`.
const COLLATION: &str = "{NO_PAD_BIN}";

/// MySQL's `ER_DUP_FIELDNAME`, `ER_DUP_KEYNAME` and `ER_CANT_DROP_FIELD_OR_KEY`.
const ADDED_OR_DROPPED_ALREADY: [i32; 3] = [1_060, 1_061, 1_091];
/// MySQL's `ER_TABLE_EXISTS_ERROR`, `ER_BAD_FIELD_ERROR` and `ER_NO_SUCH_TABLE`.
const RENAMED_ALREADY: [i32; 3] = [1_050, 1_054, 1_146];

/// The table of applied migrations. It has the form of the files, so that `ours.rs` recognises it too.
const TABLE: &str = "CREATE TABLE IF NOT EXISTS schema_migration (
    version BIGINT NOT NULL PRIMARY KEY,
    name VARCHAR(64) NOT NULL,
    sha256 VARCHAR(64) NOT NULL
)";

/// Why the tables could not be brought to this version.
#[derive(Debug, thiserror::Error)]
pub enum MigrationError {
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A newer host has migrated the store.
    #[error(
        "the store has schema version {found}, this host knows {known}: run a host at least as new as the one that migrated it"
    )]
    Newer { found: i64, known: i64 },
    /// An older host has migrated the store, and this command only reads.
    #[error(
        "the store has schema version {found}, this host needs {known}: run `host migrate`, and this version of the host everywhere"
    )]
    Older { found: i64, known: i64 },
    /// The store was made by a development build whose schema is not carried over.
    #[error(
        "the store has schema version {found}, and only version {carried} is carried over: run a build of that version once, then this one"
    )]
    TooOld { found: i64, carried: i64 },
    /// No host has migrated the database.
    #[error("the database has no tables of this host yet: `host migrate` makes them")]
    Absent,
    /// A table of another program has one of our names.
    #[error(
        "the database has a table `{table}` that this host did not make; it is another program's: give the host a database of its own{}",
        hint(*.dialect)
    )]
    Foreign { table: String, dialect: Dialect },
    /// The users are in a table of another name.
    #[error(
        "the store keeps its users in the table `{found}`, and [store] users_table is \"{configured}\": write users_table = \"{found}\", \
         or rename the table first (docs/operations.md, \"Rename the table of users\")"
    )]
    UsersTable { found: String, configured: UsersTable },
    /// A migration that was applied is not the one of this host.
    #[error("migration {version} of the store differs from this host's: they were built from different sources")]
    Different { version: i64 },
}

/// PostgreSQL can keep programs apart within one database.
fn hint(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Postgres => ", or a schema (`ALTER ROLE ... SET search_path`)",
        Dialect::Sqlite | Dialect::MySql => "",
    }
}

/// The result of a migration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Migrations {
    /// Steps that this call applied.
    pub applied: usize,
    /// The store's version after it.
    pub version: i64,
}

impl AsDatabaseError for MigrationError {
    fn as_database_error(&self) -> Option<&DatabaseError> {
        match self {
            Self::Store(error) => error.as_database_error(),
            Self::Newer { .. }
            | Self::Older { .. }
            | Self::TooOld { .. }
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

    /// Returns the store's version if it is the one that this host needs. For commands that only read.
    ///
    /// # Errors
    /// When the store is older, newer or absent; when the database cannot be reached.
    pub async fn require_current(&self) -> Result<i64, MigrationError> {
        let schema = schema(self.database.dialect());
        let newest = schema.newest();
        let mut transaction = self.database.begin_read().await.map_err(unread)?;
        let applied = match applied(&mut transaction).await {
            Err(MigrationError::Store(StoreError::Database { error, .. }))
                if error.kind == ErrorKind::MissingObject =>
            {
                return Err(MigrationError::Absent);
            }
            applied => applied?,
        };
        let found = found(&applied);
        let state = state_of(&schema, &applied)?;
        if state != State::Current {
            return Err(MigrationError::Older { found, known: newest });
        }
        self.expect_users_table(&mut transaction).await?;
        transaction.rollback().await.map_err(failed)?;
        Ok(newest)
    }

    /// Refuses a store whose users are in a table of another name than the configured one.
    async fn expect_users_table(&self, transaction: &mut Transaction) -> Result<(), MigrationError> {
        let found = users_table::remembered(transaction).await?;
        if found == self.users_table.as_str() {
            return Ok(());
        }
        Err(MigrationError::UsersTable { found, configured: self.users_table.clone() })
    }

    /// Returns the version if there is nothing to do. It takes no lock, so that starting hosts do not wait for each
    /// other. `migrate_once` meets and reports every error that this check passes over.
    async fn is_current(&self) -> Option<i64> {
        let schema = schema(self.database.dialect());
        let mut transaction = self.database.begin_read().await.ok()?;
        let applied = applied(&mut transaction).await.ok()?;
        self.expect_users_table(&mut transaction).await.ok()?;
        transaction.rollback().await.ok()?;
        (state_of(&schema, &applied).ok()? == State::Current).then(|| schema.newest())
    }

    async fn migrate_once(&self) -> Result<Migrations, MigrationError> {
        let schema = schema(self.database.dialect());
        let collation = self.database.exact_collation().await.map_err(failed)?;
        let mut transaction = self.database.begin().await.map_err(failed)?;
        transaction.allow(STEP_TIMEOUT);
        transaction.lock(LOCK, LOCK_TIMEOUT).await.map_err(failed)?;
        let dialect = transaction.dialect();
        let written = |sql: &str| users_table::written(&sql.replace(COLLATION, collation), dialect, &self.users_table);
        expect_ours(&mut transaction, TABLE, true).await?;
        let has_marker = ours::exists(&mut transaction, TABLE).await.map_err(failed)?;
        let applied = if has_marker { applied(&mut transaction).await? } else { Vec::new() };
        let state = state_of(&schema, &applied)?;
        if state != State::Empty {
            self.expect_users_table(&mut transaction).await?;
        }
        let mut count = 0;
        match state {
            State::Current => {}
            State::Predecessor => {
                // The tables of the first file are the predecessor's own; those of the later files are new.
                for migration in &schema.migrations[1..] {
                    expect_ours(&mut transaction, &written(migration.sql), dialect == Dialect::MySql).await?;
                }
                carry_over(&mut transaction, &schema, written).await?;
                count += 1;
            }
            State::Empty | State::Behind => {
                // Every table that is to be made is checked before anything is written.
                let may_be_half_made = has_marker && dialect == Dialect::MySql;
                for migration in schema.missing(&applied) {
                    expect_ours(&mut transaction, &written(migration.sql), may_be_half_made).await?;
                }
                transaction.execute(TABLE, &[]).await.map_err(failed)?;
            }
        }
        let carried = (state == State::Predecessor).then_some(schema.first().version);
        for migration in schema.missing(&applied).filter(|migration| Some(migration.version) != carried) {
            run(&mut transaction, &written(migration.sql), &ADDED_OR_DROPPED_ALREADY).await?;
            record(&mut transaction, migration).await?;
            count += 1;
        }
        transaction.commit().await.map_err(failed)?;
        Ok(Migrations { applied: count, version: schema.newest() })
    }
}

/// What a database needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// All tables.
    Empty,
    /// The predecessor's tables, which are carried over before the later migrations run.
    Predecessor,
    /// Later migrations.
    Behind,
    Current,
}

/// Judges the rows of `schema_migration`.
fn state_of(schema: &Schema, applied: &[(i64, String)]) -> Result<State, MigrationError> {
    let (found, known) = (found(applied), schema.newest());
    if found > known {
        return Err(MigrationError::Newer { found, known });
    }
    if found < schema.first().version {
        return match found {
            0 => Ok(State::Empty),
            _ if found < schema.predecessor.version => {
                Err(MigrationError::TooOld { found, carried: schema.predecessor.version })
            }
            _ if schema.predecessor.is(applied) => Ok(State::Predecessor),
            _ => Err(MigrationError::Different { version: found }),
        };
    }
    for migration in schema.migrations {
        let digest = applied.iter().find(|(version, _)| *version == migration.version).map(|(_, digest)| digest);
        if digest.is_some_and(|digest| *digest != migration.digest()) {
            return Err(MigrationError::Different { version: migration.version });
        }
    }
    Ok(if schema.missing(applied).next().is_none() { State::Current } else { State::Behind })
}

fn found(applied: &[(i64, String)]) -> i64 {
    applied.iter().map(|(version, _)| *version).max().unwrap_or_default()
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

/// # Errors
/// When a table that this SQL makes exists and is another program's.
async fn expect_ours(transaction: &mut Transaction, sql: &str, may_be_half_made: bool) -> Result<(), MigrationError> {
    let dialect = transaction.dialect();
    match ours::foreign_table(transaction, sql, may_be_half_made).await.map_err(failed)? {
        Some(table) => Err(MigrationError::Foreign { table, dialect }),
        None => Ok(()),
    }
}

/// Converts the predecessor's tables into those of the first migration, and then checks that all tables and columns
/// exist.
async fn carry_over(
    transaction: &mut Transaction,
    schema: &Schema,
    written: impl Fn(&str) -> String,
) -> Result<(), MigrationError> {
    let dialect = transaction.dialect();
    for (from, to) in RENAMED {
        let has = |name: &str| format!("CREATE TABLE IF NOT EXISTS {name} (\n)");
        if ours::exists(transaction, &has(from)).await.map_err(failed)?
            && ours::exists(transaction, &has(to)).await.map_err(failed)?
        {
            return Err(MigrationError::Foreign { table: to.to_owned(), dialect });
        }
    }
    let repeated: Vec<i32> = ADDED_OR_DROPPED_ALREADY.into_iter().chain(RENAMED_ALREADY).collect();
    run(transaction, schema.predecessor.sql, &repeated).await?;
    if let Some(table) = ours::incomplete_table(transaction, &written(schema.first().sql)).await.map_err(failed)? {
        let found = format!("the table `{table}` is not as this host's migrations leave it");
        return Err(super::corrupt("migrate the store", found).into());
    }
    record(transaction, schema.first()).await
}

/// Runs a file. On MySQL the errors in `done_already` only say that a statement was run before.
async fn run(transaction: &mut Transaction, sql: &str, done_already: &[i32]) -> Result<(), MigrationError> {
    for statement in statements(sql) {
        match transaction.execute(&statement, &[]).await {
            Err(error)
                if transaction.dialect() == Dialect::MySql
                    && error.vendor_code.is_some_and(|code| done_already.contains(&code)) => {}
            result => drop(result.map_err(failed)?),
        }
    }
    Ok(())
}

async fn record(transaction: &mut Transaction, migration: &Migration) -> Result<(), MigrationError> {
    let insert = "INSERT INTO schema_migration (version, name, sha256) VALUES (?, ?, ?)";
    let values = [migration.version.into(), migration.name.into(), migration.digest().into()];
    match transaction.execute(insert, &values).await {
        Err(error) if error.kind == ErrorKind::DuplicateKey && transaction.dialect() == Dialect::MySql => Ok(()),
        result => result.map(drop).map_err(failed),
    }
}

fn unread(error: DatabaseError) -> MigrationError {
    MigrationError::Store(super::failed("read the store", error))
}

fn failed(error: DatabaseError) -> MigrationError {
    MigrationError::Store(super::failed("migrate the store", error))
}
