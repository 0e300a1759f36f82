//! Makes OpenEMR hold the state of a batch of patients, with a constant number of statements.
//!
//! Plans each change, reads all charts in one query, decides each change, creates missing charts, and updates those
//! that differ. A refused change has written nothing. A statement that the database refuses fails the whole batch, and
//! the host splits the batch to find the change at fault. Read next: `plan.rs` for the decisions, `create.rs` for
//! creation.

use std::collections::{BTreeMap, BTreeSet};

use adapter_sdk::database::{Dialect, Value, rows_per_statement};
use adapter_sdk::{Change, Failure, Link, Operation, Outcome, Receipt, RemoteEdit};

use crate::charts::{self, Chart, ChartQuery, Found};
use crate::columns::{Fingerprints, OwnColumn};
use crate::create::{self, Created, Creation};
use crate::failures::{conflict, refused, transient};
use crate::mapping::Mapped;
use crate::merged;
use crate::namesakes::{self, Namesake};
use crate::notes::Notes;
use crate::person::Person;
use crate::plan::{Plan, Step, decide, plan};
use crate::relinked;
use crate::schema::Schema;
use crate::settings::{PublicId, SamePatient, Settings};
use crate::statements::Statements;
use crate::target_db::TargetDb;

/// Applies the changes of patients. The outcomes are in the order of the changes.
///
/// # Errors
/// A failure for the batch as a whole; the host rolls back.
pub(crate) fn apply(
    db: &impl TargetDb,
    settings: &Settings,
    schema: &Schema,
    policy: RemoteEdit,
    changes: &[&Change],
    notes: &mut Notes,
) -> Result<Vec<Outcome>, Failure> {
    let unmarked: Vec<Change>;
    let mut states = changes.to_vec();
    if changes.iter().any(|change| merged::concerns(change)) {
        unmarked = changes.iter().map(|change| without_mark(change)).collect();
        states = unmarked.iter().collect();
    }
    let (mut outcomes, marked) = apply_states(db, settings, schema, policy, &states, notes)?;
    merged::mark(db, changes, &marked, &mut outcomes)?;
    Ok(outcomes)
}

fn without_mark(change: &Change) -> Change {
    Change { link: change.link.as_ref().map(merged::without_mark), ..change.clone() }
}

/// As `apply`, for links without marks of merges. Returns the pids of the charts that were found with a note of a
/// merge, too.
fn apply_states(
    db: &impl TargetDb,
    settings: &Settings,
    schema: &Schema,
    policy: RemoteEdit,
    changes: &[&Change],
    notes: &mut Notes,
) -> Result<(Vec<Outcome>, BTreeSet<i64>), Failure> {
    let columns = schema.own_columns();
    let statements = Statements { dialect: db.dialect(), schema, columns: &columns, user_id: settings.user_id };
    let mut outcomes: Vec<Option<Outcome>> = Vec::with_capacity(changes.len());
    let mut wanted = Vec::new();
    for (change, plan) in changes.iter().copied().zip(plan(changes, &statements, settings)) {
        let index = outcomes.len();
        outcomes.push(match plan {
            Plan::Done(outcome) => Some(outcome),
            Plan::Hold { uuid, mapped } => {
                wanted.push(Wanted { index, change, uuid, has_own_uuid: false, mapped: Some(mapped) });
                None
            }
            Plan::Keep { uuid } => {
                wanted.push(Wanted { index, change, uuid, has_own_uuid: false, mapped: None });
                None
            }
        });
    }
    resolve_manual_links(db, &statements, &mut wanted, &mut outcomes)?;
    let mut batch = Batch {
        db,
        statements: &statements,
        fingerprints: Fingerprints::new(&columns),
        settings,
        policy,
        outcomes,
        noted: BTreeSet::new(),
        notes,
    };
    batch.run(&wanted)?;
    let outcomes = batch.outcomes.into_iter().map(|it| it.expect("invariant: every plan ends in an outcome"));
    Ok((outcomes.collect(), batch.noted))
}

/// A change whose chart must be read.
struct Wanted<'a> {
    /// The index in the batch.
    index: usize,
    change: &'a Change,
    uuid: [u8; 16],
    /// Whether the chart has another uuid than the computed one, because an operator linked it.
    has_own_uuid: bool,
    /// The wanted content of the chart; `None` when only its pid is needed and its content stays.
    mapped: Option<Mapped>,
}

impl Wanted<'_> {
    fn chart_query(&self, columns: &[&'static OwnColumn]) -> ChartQuery<'_> {
        let link = self.change.link.as_ref();
        ChartQuery {
            uuid: self.uuid,
            patient_id: &self.change.aggregate_id,
            person: self.mapped.as_ref().and_then(|mapped| Person::of(columns, &mapped.record)),
            linked_pid: link.map(|link| link.remote_id.as_str()),
            named_by_operator: link.and_then(relinked::named_pid).is_some(),
            own_version: link.and_then(|link| link.remote_version.as_deref()),
            last_state: link.and_then(|link| link.fingerprint.as_deref()),
        }
    }
}

/// Redirects the search for charts that an operator linked to their own uuid.
fn resolve_manual_links(
    db: &impl TargetDb,
    statements: &Statements<'_>,
    wanted: &mut Vec<Wanted<'_>>,
    outcomes: &mut [Option<Outcome>],
) -> Result<(), Failure> {
    let named = |one: &Wanted<'_>| one.change.link.as_ref().and_then(relinked::named_pid);
    let pids: Vec<i64> = wanted.iter().filter_map(named).collect();
    let uuids = relinked::uuids(db, statements, &pids)?;
    wanted.retain_mut(|one| {
        let known = one.change.link.as_ref().and_then(relinked::uuid_of);
        let pid = named(one).filter(|_| statements.schema.has_uuid());
        if let Some(uuid) = known.or_else(|| uuids.get(&pid?).copied()) {
            one.has_own_uuid = uuid != one.uuid;
            one.uuid = uuid;
        } else if let Some(pid) = pid {
            outcomes[one.index] = Some(Outcome::Failed(relinked::missing(pid)));
            return false;
        }
        true
    });
    Ok(())
}

/// A change that writes its mapped values.
#[derive(Clone, Copy)]
struct Writing<'a> {
    wanted: &'a Wanted<'a>,
    mapped: &'a Mapped,
}

struct Batch<'a, L> {
    db: &'a L,
    statements: &'a Statements<'a>,
    fingerprints: Fingerprints,
    settings: &'a Settings,
    policy: RemoteEdit,
    /// The outcomes in the order of the changes; `None` while undecided.
    outcomes: Vec<Option<Outcome>>,
    /// The pids of charts that were found with our note of a merge.
    noted: BTreeSet<i64>,
    notes: &'a mut Notes,
}

impl<L: TargetDb> Batch<'_, L> {
    fn run(&mut self, wanted: &[Wanted<'_>]) -> Result<(), Failure> {
        let queries: Vec<ChartQuery<'_>> = wanted.iter().map(|one| one.chart_query(self.statements.columns)).collect();
        // Without a uuid, only the lock prevents two hosts from creating the same patient. So it must be held before
        // the search if a chart may have to be created.
        let locked = !self.statements.schema.has_uuid() && queries.iter().any(|one| one.linked_pid.is_none());
        if locked {
            create::lock(self.db)?;
        }
        let steady = self.policy == RemoteEdit::Hold && queries.iter().any(|one| one.linked_pid.is_some());
        let found = charts::find(self.db, self.statements, &queries, steady)?;
        let (mut creations, mut updates, mut unsure) = (Vec::new(), Vec::new(), Vec::new());
        for (wanted, found) in wanted.iter().zip(found) {
            let Some(mapped) = &wanted.mapped else {
                self.outcomes[wanted.index] = Some(self.kept(wanted, found));
                continue;
            };
            let writing = Writing { wanted, mapped };
            match self.decide(found, wanted.change.link.as_ref(), mapped) {
                Step::Leave { .. } if !steady && self.can_be_locked(wanted) => unsure.push(writing),
                step => self.take(step, writing, &mut creations, &mut updates),
            }
        }
        // A host that lost its lease may still commit an older state. A write of the same chart waits for its row lock.
        // A chart that is left unchanged must be locked too, or the older state could follow unnoticed.
        let queries: Vec<ChartQuery<'_>> =
            unsure.iter().map(|writing| writing.wanted.chart_query(self.statements.columns)).collect();
        for (writing, found) in unsure.into_iter().zip(charts::find(self.db, self.statements, &queries, true)?) {
            let step = self.decide(found, writing.wanted.change.link.as_ref(), writing.mapped);
            self.take(step, writing, &mut creations, &mut updates);
        }
        self.create(&creations, locked, &mut updates)?;
        self.update(&updates)
    }

    fn decide(&mut self, found: Found, link: Option<&Link>, mapped: &Mapped) -> Step {
        if let Found::Chart(chart) | Found::Doubtful { chart, .. } = &found
            && chart.is_noted
        {
            self.noted.insert(chart.pid);
        }
        decide(found, link, mapped, &self.fingerprints, self.policy)
    }

    /// Whether another host may be about to write the chart, and a lock on it affects no other chart. An unlinked
    /// patient without a uuid would lock a scan of the table, and SQLite has only one writer.
    fn can_be_locked(&self, wanted: &Wanted<'_>) -> bool {
        let by_key = self.statements.schema.has_uuid() || wanted.change.link.is_some();
        by_key && self.statements.dialect == Dialect::Mysql
    }

    /// Turns a step into an outcome, or into a creation or update that produces one later.
    fn take<'w>(
        &mut self,
        step: Step,
        writing: Writing<'w>,
        creations: &mut Vec<Writing<'w>>,
        updates: &mut Vec<(Writing<'w>, Chart)>,
    ) {
        let Writing { wanted, mapped } = writing;
        match step {
            Step::Create => creations.push(writing),
            Step::Refuse(failure) => self.outcomes[wanted.index] = Some(Outcome::Failed(failure)),
            Step::Leave { chart } => self.outcomes[wanted.index] = Some(self.applied(wanted, &chart, mapped)),
            Step::LeaveKept { chart } => {
                let kept = wanted.change.link.as_ref().and_then(|link| link.fingerprint.clone());
                self.outcomes[wanted.index] = Some(receipt(wanted, &chart, kept));
            }
            Step::Write { chart, edited } => {
                if edited {
                    let (aggregate, pid) = (format!("patient {}", wanted.change.aggregate_id), chart.pid);
                    self.notes.overwritten(&aggregate, &format!("pid {pid}"), wanted.change.change_id);
                }
                updates.push((writing, chart));
            }
        }
    }

    /// Creates charts. A chart that appeared meanwhile is updated instead.
    fn create<'w>(
        &mut self,
        creations: &[Writing<'w>],
        locked: bool,
        updates: &mut Vec<(Writing<'w>, Chart)>,
    ) -> Result<(), Failure> {
        let creations = self.without_namesakes(creations)?;
        let wanted: Vec<Creation<'_>> = creations
            .iter()
            .map(|it| Creation { query: it.wanted.chart_query(self.statements.columns), record: &it.mapped.record })
            .collect();
        let created = create::create(self.db, self.statements, self.settings.pubpid, &wanted, locked)?;
        for (writing, created) in creations.iter().zip(created) {
            let found = match created {
                Created::New(pid) => {
                    self.notes.omitted("patients", &writing.wanted.change.aggregate_id, &writing.mapped.omissions);
                    let record = writing.mapped.record.clone();
                    let chart = Chart { pid, record, own_version: None, other_uuid: None, is_noted: false };
                    self.outcomes[writing.wanted.index] = Some(self.applied(writing.wanted, &chart, writing.mapped));
                    continue;
                }
                Created::Already(found) => found,
                Created::Refused(failure) => Found::Ambiguous(failure),
            };
            let step = self.decide(found, None, writing.mapped);
            self.take(step, *writing, &mut Vec::new(), updates);
        }
        Ok(())
    }

    /// Removes patients who may already have a chart with their id that is not ours.
    fn without_namesakes<'w>(&mut self, creations: &[Writing<'w>]) -> Result<Vec<Writing<'w>>, Failure> {
        let queries: Vec<ChartQuery<'_>> =
            creations.iter().map(|it| it.wanted.chart_query(self.statements.columns)).collect();
        let mut namesakes = if self.settings.pubpid == PublicId::PatientId {
            namesakes::find(self.db, self.statements, &queries)?
        } else {
            BTreeMap::new()
        };
        let mut others = Vec::with_capacity(creations.len());
        for writing in creations {
            let patient_id = writing.wanted.change.aggregate_id.as_str();
            match namesakes.remove(patient_id) {
                Some(Namesake { pid, is_same_person: true }) if self.settings.same_patient == SamePatient::Hold => {
                    self.outcomes[writing.wanted.index] = Some(Outcome::Failed(namesakes::conflict_with(pid)));
                }
                namesake => {
                    if let Some(namesake) = namesake {
                        self.notes.beside(patient_id, &namesake);
                    }
                    others.push(*writing);
                }
            }
        }
        Ok(others)
    }

    /// Updates our columns of existing charts.
    fn update(&mut self, updates: &[(Writing<'_>, Chart)]) -> Result<(), Failure> {
        let (noted, plain): (Vec<_>, Vec<_>) = updates.iter().partition(|(_, chart)| chart.is_noted);
        let written = self.write(&plain, false)? + self.write(&noted, true)?;
        if written != updates.len() as u64 {
            let count = updates.len();
            return Err(transient(format!("update patient_data: {count} charts were there, {written} were written")));
        }
        for (writing, chart) in updates {
            self.notes.omitted("patients", &writing.wanted.change.aggregate_id, &writing.mapped.omissions);
            self.outcomes[writing.wanted.index] = Some(self.applied(writing.wanted, chart, writing.mapped));
        }
        Ok(())
    }

    /// Writes charts that have our note of a merge, or that have none. Returns how many were written.
    fn write(&self, updates: &[&(Writing<'_>, Chart)], noted: bool) -> Result<u64, Failure> {
        let mut written = 0;
        for chunk in updates.chunks(rows_per_statement(self.statements.dialect, self.statements.update_parameters())) {
            let mut parameters = Vec::with_capacity(chunk.len() * self.statements.update_parameters());
            for (writing, chart) in chunk {
                parameters.push(if self.statements.schema.has_uuid() {
                    Value::from(chart.other_uuid.unwrap_or(writing.wanted.uuid).as_slice())
                } else {
                    Value::Signed(chart.pid)
                });
                create::push_record(self.statements, &writing.mapped.record, &mut parameters);
            }
            let sql = self.statements.update(chunk.len(), noted);
            let execution =
                self.db.execute(&sql, &parameters).map_err(|error| refused(&error, "update patient_data"))?;
            written += execution.rows_affected;
        }
        Ok(written)
    }

    fn applied(&self, wanted: &Wanted<'_>, chart: &Chart, mapped: &Mapped) -> Outcome {
        receipt(wanted, chart, Some(self.fingerprints.of_either(&mapped.record, &mapped.after_form)))
    }

    /// The outcome of a deletion that keeps the chart, or of a merge. A patient without a chart has no pid to report.
    fn kept(&self, wanted: &Wanted<'_>, found: Found) -> Outcome {
        match found {
            Found::Chart(chart) => receipt(wanted, &chart, Some(self.fingerprints.of(&chart.record))),
            Found::Doubtful { why, .. } if wanted.change.operation == Operation::Merge => {
                Outcome::Failed(conflict(why))
            }
            // Only a name and a birth date would identify the patient, and a deletion has neither.
            Found::Ambiguous(_) if !self.statements.schema.has_uuid() => no_receipt(),
            Found::Ambiguous(failure) => Outcome::Failed(failure),
            Found::Absent | Found::Doubtful { .. } => no_receipt(),
        }
    }
}

fn receipt(wanted: &Wanted<'_>, chart: &Chart, fingerprint: Option<String>) -> Outcome {
    let own_uuid = wanted.has_own_uuid.then(|| relinked::remote_version(&wanted.uuid));
    Outcome::Applied(Receipt {
        remote_id: chart.pid.to_string(),
        remote_version: own_uuid.or_else(|| chart.own_version.clone()),
        fingerprint,
    })
}

fn no_receipt() -> Outcome {
    Outcome::Applied(Receipt { remote_id: String::new(), remote_version: None, fingerprint: None })
}
