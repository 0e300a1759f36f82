//! Creates rows while OpenEMR and other hosts write too.
//!
//! The protocol: register the uuids, take numbers for encounters, insert all rows at once, and read the ids that the
//! database assigned. The unique key on the uuid refuses a second row of ours; without uuids the named lock separates
//! hosts. A refused insert changed nothing: a row that appeared meanwhile is the record, and the others are tried
//! again.

use adapter_sdk::Failure;
use adapter_sdk::database::{DatabaseError, DatabaseErrorKind, Value, rows_per_statement};

use crate::failures::{misconfigured, refused, transient};
use crate::identity::marker;
use crate::mapping::Mapped;
use crate::records::apply::{Wanted, Written};
use crate::records::find::{Found, RecordQuery, find};
use crate::records::kinds::Kind;
use crate::records::statements::{LAST_NUMBER, RecordStatements, TAKE_NUMBERS};
use crate::target_db::TargetDb;

/// How often a refused insert is retried before the batch is delayed.
const REFUSALS_MAX: u32 = 20;

/// How long to wait for other adapters' creations, in milliseconds.
const LOCK_TIMEOUT_MS: u32 = 10_000;

/// A row to create.
pub(crate) struct Creation<'a> {
    pub(crate) wanted: &'a Wanted<'a>,
    pub(crate) mapped: Mapped,
}

/// The results of creations.
#[derive(Default)]
pub(crate) struct Created<'a> {
    pub(crate) new: Vec<Written<'a>>,
    /// Records that appeared meanwhile; never [`Found::Absent`].
    pub(crate) already: Vec<(&'a Wanted<'a>, Mapped, Found)>,
}

/// Takes the lock for creating rows without a uuid.
///
/// # Errors
/// The database's error as a failure.
pub(crate) fn lock(db: &impl TargetDb, statements: &RecordStatements<'_>) -> Result<(), Failure> {
    let name = format!("openemr.{}", statements.shape.layout.table);
    db.lock(&name, LOCK_TIMEOUT_MS).map_err(|error| error.during("wait for the lock under which records are made"))
}

/// Creates all of them.
///
/// # Errors
/// A failure of the whole batch: the database's error, or `transient` when other writers kept being faster.
pub(crate) fn create<'a>(
    db: &impl TargetDb,
    statements: &RecordStatements<'_>,
    creations: Vec<Creation<'a>>,
) -> Result<Created<'a>, Failure> {
    let mut run = Run { db, statements, pending: creations, created: Created::default(), numbers: Vec::new() };
    let mut refusals = 0;
    while !run.pending.is_empty() {
        let Err((doing, error)) = run.attempt()? else { break };
        if error.kind != DatabaseErrorKind::DuplicateKey {
            return Err(error.during(&doing));
        }
        refusals += 1;
        if refusals == REFUSALS_MAX {
            return Err(transient(format!(
                "{doing}: refused {refusals} times by a unique key, other writers are busy"
            )));
        }
        let before = run.pending.len();
        run.look_again()?;
        // No row appeared, so the key is not one of OpenEMR's own: it refuses the row's content.
        if run.pending.len() == before && !is_uuid_key(&error) {
            return Err(refused(&error, &doing));
        }
    }
    run.read_back()?;
    Ok(run.created)
}

/// The result of a statement; for an error also the name of the step.
type Attempt = Result<(), (String, DatabaseError)>;

struct Run<'s, 'a, L> {
    db: &'s L,
    statements: &'s RecordStatements<'s>,
    pending: Vec<Creation<'a>>,
    created: Created<'a>,
    /// The encounter numbers taken so far.
    numbers: Vec<i64>,
}

impl<L: TargetDb> Run<'_, '_, L> {
    fn attempt(&mut self) -> Result<Attempt, Failure> {
        if self.statements.shape.has_uuid
            && let Err(error) = self.register()
        {
            return Ok(Err(("register uuids".to_owned(), error)));
        }
        if self.statements.shape.kind == Kind::Encounter {
            self.take_numbers()?;
        }
        let doing = format!("insert into {}", self.statements.shape.layout.table);
        Ok(self.insert().map_err(|error| (doing, error)))
    }

    /// Registers the uuids that are not registered yet.
    fn register(&self) -> Result<(), DatabaseError> {
        let uuids: Vec<&[u8]> = self.pending.iter().map(|one| one.wanted.uuid.as_slice()).collect();
        let parameters: Vec<Value> = uuids.iter().map(|uuid| Value::from(*uuid)).collect();
        let rows_max = u32::try_from(uuids.len()).unwrap_or(u32::MAX);
        let known = self.db.query(&RecordStatements::registered(uuids.len()), &parameters, rows_max)?;
        let known: Vec<&[u8]> = known.rows.iter().filter_map(|row| row.first()?.as_bytes()).collect();
        let missing: Vec<Value> =
            uuids.iter().filter(|uuid| !known.contains(uuid)).map(|uuid| Value::from(*uuid)).collect();
        for chunk in missing.chunks(rows_per_statement(self.statements.dialect, 1)) {
            self.db.execute(&self.statements.register(chunk.len()), chunk)?;
        }
        Ok(())
    }

    /// Takes the missing numbers. The counter's row stays locked until the transaction ends, so no other writer gets
    /// the same numbers; a rollback releases them.
    fn take_numbers(&mut self) -> Result<(), Failure> {
        let missing = self.pending.len().saturating_sub(self.numbers.len());
        if missing == 0 {
            return Ok(());
        }
        let missing = i64::try_from(missing).unwrap_or(i64::MAX);
        let taken = self.db.execute(TAKE_NUMBERS, &[Value::Signed(missing)]);
        let rows = taken.map_err(|error| error.during("update sequences"))?.rows_affected;
        if rows != 1 {
            return Err(misconfigured(format!("the table `sequences` has {rows} rows, OpenEMR keeps one there")));
        }
        let last = self.db.query(LAST_NUMBER, &[], 1).map_err(|error| error.during("read sequences"))?;
        let last = last.single().and_then(Value::as_i64).unwrap_or_default();
        self.numbers.extend(last - missing + 1..=last);
        Ok(())
    }

    fn insert(&self) -> Result<(), DatabaseError> {
        let (statements, shape) = (self.statements, self.statements.shape);
        let per_row = statements.insert_parameters();
        let rows: Vec<(usize, &Creation<'_>)> = self.pending.iter().enumerate().collect();
        for chunk in rows.chunks(rows_per_statement(statements.dialect, per_row)) {
            let mut parameters = Vec::with_capacity(chunk.len() * per_row);
            for (at, creation) in chunk {
                let uuid = &creation.wanted.uuid;
                parameters.push(if shape.has_uuid { Value::from(uuid.as_slice()) } else { Value::from(marker(uuid)) });
                if shape.kind == Kind::Encounter {
                    parameters.push(Value::Signed(self.numbers[*at]));
                }
                shape.push(&creation.mapped.record, 0, shape.of_table, &mut parameters);
                if statements.names_user() {
                    parameters.push(Value::from(statements.settings.user_name.as_str()));
                }
            }
            self.db.execute(&statements.insert(chunk.len()), &parameters)?;
        }
        Ok(())
    }

    /// Removes rows that appeared meanwhile from the pending ones.
    fn look_again(&mut self) -> Result<(), Failure> {
        let queries: Vec<RecordQuery<'_>> = self.pending.iter().map(|one| one.wanted.query()).collect();
        let found = find(self.db, self.statements, &queries, true)?;
        for (creation, found) in std::mem::take(&mut self.pending).into_iter().zip(found) {
            match found {
                Found::Absent => self.pending.push(creation),
                found => self.created.already.push((creation.wanted, creation.mapped, found)),
            }
        }
        Ok(())
    }

    /// Reads the ids of the new rows.
    fn read_back(&mut self) -> Result<(), Failure> {
        let queries: Vec<RecordQuery<'_>> = self.pending.iter().map(|one| one.wanted.query()).collect();
        let found = find(self.db, self.statements, &queries, false)?;
        for (Creation { wanted, mapped }, found) in std::mem::take(&mut self.pending).into_iter().zip(found) {
            let Found::Here(row) = found else {
                let table = self.statements.shape.layout.table;
                return Err(transient(format!("insert into {table}: a row that was inserted is not there")));
            };
            self.created.new.push(Written { wanted, row, mapped });
        }
        Ok(())
    }
}

/// Whether the key that refused a row is the one on the uuid, of the table or of the registry.
fn is_uuid_key(error: &DatabaseError) -> bool {
    let key = error.object.as_deref().and_then(|object| object.rsplit('.').next());
    key.is_none_or(|key| key.eq_ignore_ascii_case("uuid") || key.eq_ignore_ascii_case("PRIMARY"))
}
