//! Creates charts while OpenEMR's own writers run, which assign `pid = MAX(pid) + 1` and take no lock.
//!
//! The protocol: register the uuids, take the named lock, read the highest pid, insert all rows at once. The lock
//! serialises adapters; the unique keys protect against all other writers. A refused insert changed nothing, and its
//! error names the key. `pid` means that another writer took our numbers, so the highest is read again. `uuid` means
//! that another host created our patient meanwhile, and that chart is then used. An insert never overwrites a row.

use adapter_sdk::Failure;
use adapter_sdk::database::{DatabaseError, DatabaseErrorKind, Value, rows_per_statement};

use crate::charts::{self, ChartQuery, Found};
use crate::columns::Record;
use crate::failures::{denied, refused, transient};
use crate::settings::PublicId;
use crate::statements::{HIGHEST_PID, PID_LOCK, Statements};
use crate::target_db::TargetDb;

/// How often a refused insert is tried again before the batch is put off.
const REFUSALS_MAX: u32 = 20;

/// How long to wait for the other adapters' creations. Milliseconds.
const LOCK_TIMEOUT_MS: u32 = 10_000;

/// A chart to create.
#[derive(Clone, Debug)]
pub(crate) struct Creation<'a> {
    pub(crate) query: ChartQuery<'a>,
    pub(crate) record: &'a Record,
}

/// What became of a creation.
#[derive(Clone, Debug)]
pub(crate) enum Created {
    /// It has this pid.
    New(i64),
    /// Something turned up meanwhile; never [`Found::Absent`].
    Already(Found),
    /// It cannot be created.
    Refused(Failure),
}

/// Takes the lock under which pids are assigned.
///
/// # Errors
/// What the database says, as a failure.
pub(crate) fn lock(db: &impl TargetDb) -> Result<(), Failure> {
    db.lock(PID_LOCK, LOCK_TIMEOUT_MS).map_err(|error| error.during("wait for the lock under which pids are assigned"))
}

/// Creates all of them; the answers are in the order of `creations`. `locked` says that the lock is held already.
///
/// # Errors
/// A failure for the whole batch: what the database says, or `transient` when other writers kept taking the numbers.
pub(crate) fn create(
    db: &impl TargetDb,
    statements: &Statements<'_>,
    public_id: PublicId,
    creations: &[Creation<'_>],
    locked: bool,
) -> Result<Vec<Created>, Failure> {
    let mut run = Run { db, statements, public_id, creations, created: vec![None; creations.len()], refusals: 0 };
    run.all(locked)?;
    Ok(run.created.into_iter().map(|one| one.expect("invariant: the run ends when nothing is pending")).collect())
}

struct Run<'a, L> {
    db: &'a L,
    statements: &'a Statements<'a>,
    public_id: PublicId,
    creations: &'a [Creation<'a>],
    created: Vec<Option<Created>>,
    refusals: u32,
}

impl<L: TargetDb> Run<'_, L> {
    fn all(&mut self, mut locked: bool) -> Result<(), Failure> {
        let mut registered = !self.statements.schema.has_uuid();
        while !self.pending().is_empty() {
            if !registered {
                match self.register() {
                    Ok(()) => registered = true,
                    Err(error) => {
                        self.refused(&error, "register uuids")?;
                        self.look_again()?;
                        continue;
                    }
                }
            }
            if !locked {
                lock(self.db)?;
                locked = true;
            }
            if let Err(error) = self.insert() {
                self.refused(&error, "insert into patient_data")?;
                if !is_key(&error, "pid") {
                    let before = self.pending().len();
                    self.look_again()?;
                    // Nobody was faster, so the key is one that was added beside OpenEMR's own: it refuses what a row
                    // says.
                    if self.pending().len() == before && !is_key(&error, "uuid") && error.object.is_some() {
                        return Err(refused(&error, "insert into patient_data"));
                    }
                }
            }
        }
        Ok(())
    }

    fn pending(&self) -> Vec<usize> {
        (0..self.creations.len()).filter(|index| self.created[*index].is_none()).collect()
    }

    /// Counts a duplicate key and lets it pass, up to the limit; any other error is the batch's failure.
    fn refused(&mut self, error: &DatabaseError, doing: &str) -> Result<(), Failure> {
        if error.kind != DatabaseErrorKind::DuplicateKey {
            return Err(error.during(doing));
        }
        self.refusals += 1;
        if self.refusals < REFUSALS_MAX {
            return Ok(());
        }
        Err(transient(format!("{doing}: refused {REFUSALS_MAX} times by a unique key, other writers are busy")))
    }

    /// Inserts those uuids that are not registered yet.
    fn register(&self) -> Result<(), DatabaseError> {
        let uuids: Vec<[u8; 16]> = self.pending().into_iter().map(|index| self.creations[index].query.uuid).collect();
        let parameters: Vec<Value> = uuids.iter().map(|uuid| Value::from(uuid.as_slice())).collect();
        let rows_max = u32::try_from(uuids.len()).unwrap_or(u32::MAX);
        let known = self.db.query(&Statements::registered(uuids.len()), &parameters, rows_max)?;
        let known: Vec<&[u8]> = known.rows.iter().filter_map(|row| row.first()?.as_bytes()).collect();
        let missing: Vec<Value> = uuids
            .iter()
            .filter(|uuid| !known.contains(&uuid.as_slice()))
            .map(|uuid| Value::from(uuid.as_slice()))
            .collect();
        for chunk in missing.chunks(rows_per_statement(self.statements.dialect, 1)) {
            self.db.execute(&self.statements.register(chunk.len()), chunk)?;
        }
        Ok(())
    }

    /// Inserts what is pending under the next free pids; what a refused chunk left out stays pending.
    fn insert(&mut self) -> Result<(), DatabaseError> {
        let highest = highest(self.db.query(HIGHEST_PID, &[], 1)?.single());
        let gap = gap(self.refusals).min((i64::MAX - highest) / 2);
        self.refuse_beyond(i64::MAX - highest - gap, highest);
        if self.pending().is_empty() {
            return Ok(());
        }
        let mut pid = highest + gap + 1;
        let rows_max = rows_per_statement(self.statements.dialect, self.statements.create_parameters());
        for chunk in self.pending().chunks(rows_max) {
            let mut parameters = Vec::with_capacity(chunk.len() * self.statements.create_parameters());
            for (index, pid) in chunk.iter().zip(pid..=i64::MAX) {
                self.push(*index, pid, &mut parameters);
            }
            self.db.execute(&self.statements.create(chunk.len()), &parameters)?;
            for index in chunk {
                self.created[*index] = Some(Created::New(pid));
                pid = pid.saturating_add(1);
            }
        }
        Ok(())
    }

    /// Refuses those for whom no pid is left: counting on would begin with the smallest one.
    fn refuse_beyond(&mut self, free: i64, highest: i64) {
        for index in self.pending().into_iter().skip(usize::try_from(free).unwrap_or(usize::MAX)) {
            self.created[index] = Some(Created::Refused(denied(format!(
                "OpenEMR has no number left for a new chart: its highest pid is {highest}. Correct the chart with that pid"
            ))));
        }
    }

    fn push(&self, index: usize, pid: i64, parameters: &mut Vec<Value>) {
        let Creation { query, record } = &self.creations[index];
        if self.statements.schema.has_uuid() {
            parameters.push(Value::from(query.uuid.as_slice()));
        }
        parameters.push(Value::Signed(pid));
        parameters.push(match self.public_id {
            PublicId::PatientId => Value::from(query.patient_id),
            PublicId::Pid => Value::from(pid.to_string()),
        });
        push_record(self.statements, record, parameters);
    }

    /// Takes the charts that turned up meanwhile out of what is pending.
    fn look_again(&mut self) -> Result<(), Failure> {
        let pending = self.pending();
        let queries: Vec<ChartQuery<'_>> = pending.iter().map(|index| self.creations[*index].query.clone()).collect();
        for (index, found) in pending.into_iter().zip(charts::find(self.db, self.statements, &queries, true)?) {
            self.created[index] = match found {
                Found::Absent => None,
                found => Some(Created::Already(found)),
            };
        }
        Ok(())
    }
}

/// A record's values as parameters, in the order of the statement's columns.
pub(crate) fn push_record(statements: &Statements<'_>, record: &Record, parameters: &mut Vec<Value>) {
    for (column, value) in statements.columns.iter().zip(&record.0) {
        parameters.push(match value {
            Some(text) => Value::from(text.as_str()),
            None if column.content.is_text()
                && statements.schema.column(column.name).is_some_and(|found| !found.nullable) =>
            {
                Value::from("")
            }
            None => Value::Null,
        });
    }
}

/// Whether the key that refused a row is this one: MariaDB says `pid`, MySQL 8 `patient_data.pid`.
fn is_key(error: &DatabaseError, name: &str) -> bool {
    error
        .object
        .as_deref()
        .and_then(|object| object.rsplit('.').next())
        .is_some_and(|key| key.eq_ignore_ascii_case(name))
}

/// The highest pid in use, 0 for none. An unsigned column may hold more than we count.
pub(crate) fn highest(value: Option<&Value>) -> i64 {
    match value {
        Some(Value::Unsigned(number)) => i64::try_from(*number).unwrap_or(i64::MAX),
        value => value.and_then(Value::as_i64).unwrap_or_default(),
    }
}

/// How many numbers to leave free: none at first, and room for unlocked writers once they were faster a few times.
fn gap(refusals: u32) -> i64 {
    i64::from(refusals.saturating_sub(4)) * 16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_violated_key_is_recognised_by_the_last_part_of_its_name() {
        for (object, expected) in [
            (Some("pid"), true),
            (Some("patient_data.pid"), true),
            (Some("uuid"), false),
            (Some("patient_data.uuid"), false),
            (None, false),
        ] {
            let error = DatabaseError {
                kind: DatabaseErrorKind::DuplicateKey,
                sqlstate: None,
                vendor_code: Some(1062),
                object: object.map(str::to_owned),
                message: String::new(),
            };
            assert_eq!(is_key(&error, "pid"), expected, "{object:?}");
        }
    }

    #[test]
    fn an_out_of_range_pid_is_never_read_as_none() {
        for (value, expected) in [
            (None, 0),
            (Some(Value::Null), 0),
            (Some(Value::Signed(41)), 41),
            (Some(Value::Decimal("41".into())), 41),
            (Some(Value::Unsigned(u64::MAX)), i64::MAX),
        ] {
            assert_eq!(highest(value.as_ref()), expected);
        }
    }

    #[test]
    fn pid_gaps_grow_only_after_repeated_lost_races() {
        assert_eq!([0, 1, 4, 5, 6, 19].map(gap), [0, 0, 0, 16, 32, 240]);
    }
}
