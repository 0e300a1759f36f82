//! Makes OpenEMR hold the state of a batch of changes, in a number of statements that does not grow with the batch.
//!
//! Plan every change by itself (pure), look all charts up at once, decide each (pure), create what is missing, write what
//! differs. A change that is refused before the first write has touched nothing; a statement that the database refuses is
//! the whole batch's failure, and the host halves the batch to find the one at fault. Read next: `create.rs`.

use std::collections::BTreeSet;

use adapter_sdk::database::{Value, rows_per_statement};
use adapter_sdk::patient::Patient;
use adapter_sdk::{Change, Context, Failure, Link, Operation, Outcome, Receipt, RemoteEdit};

use crate::charts::{self, Chart, Found, Sought};
use crate::check;
use crate::columns::{OwnColumn, Record, comparable};
use crate::create::{self, Created, Creation};
use crate::detect;
use crate::failures::{conflict, transient, unsupported};
use crate::identity;
use crate::lent::Lent;
use crate::mapping;
use crate::schema::Schema;
use crate::settings::{OnDelete, Settings};
use crate::statements::Statements;

/// What an apply did: one outcome per change, and what the operator should read in the log.
#[derive(Debug)]
pub(crate) struct Applied {
    pub(crate) outcomes: Vec<Outcome>,
    /// Lines that name ids and nothing else of a patient.
    pub(crate) notes: Vec<String>,
}

/// Applies the batch.
///
/// # Errors
/// A failure for the batch as a whole; the host rolls back.
pub(crate) fn apply(
    db: &impl Lent,
    settings: &Settings,
    context: &Context,
    changes: &[Change],
) -> Result<Applied, Failure> {
    let schema = match Schema::from_state(&context.state) {
        Some(schema) => schema,
        None => detect::schema(db)?,
    };
    check::usable(&schema, settings)?;
    let columns = schema.own_columns();
    let statements =
        Statements { dialect: db.dialect(), schema: &schema, columns: &columns, user_id: settings.user_id };
    let plans = plan(changes, &statements, settings);
    Batch { db, statements: &statements, settings, policy: context.on_remote_edit, notes: Vec::new(), locked: false }
        .run(changes, plans)
}

/// What a change asks for, before the database was asked anything.
#[derive(Debug)]
enum Plan {
    /// The chart shall hold this.
    Hold { uuid: [u8; 16], record: Record },
    /// The chart stays as it is, and only its pid is wanted.
    Keep { uuid: [u8; 16] },
    /// Nothing needs to be looked up.
    Done(Outcome),
}

fn plan(changes: &[Change], statements: &Statements<'_>, settings: &Settings) -> Vec<Plan> {
    let namespace = identity::namespace(&settings.system);
    let mut seen = BTreeSet::new();
    changes
        .iter()
        .map(|change| {
            if !seen.insert(change.aggregate_id.as_str()) {
                return Plan::Done(Outcome::Failed(transient("this patient comes twice in one batch")));
            }
            let uuid = identity::patient_uuid(&namespace, &change.aggregate_id);
            plan_one(change, uuid, statements, settings).unwrap_or_else(|failure| Plan::Done(Outcome::Failed(failure)))
        })
        .collect()
}

fn plan_one(
    change: &Change,
    uuid: [u8; 16],
    statements: &Statements<'_>,
    settings: &Settings,
) -> Result<Plan, Failure> {
    if change.aggregate_type != "patient" {
        return Err(unsupported(format!("this adapter delivers patients, not `{}`", change.aggregate_type)));
    }
    match (change.operation, settings.on_delete, &change.link) {
        (Operation::Create | Operation::Update, _, _) => {
            let patient = Patient::from_change(change)?;
            let record = mapping::record(&patient, statements.schema, statements.columns, settings)?;
            Ok(Plan::Hold { uuid, record })
        }
        (Operation::Delete, OnDelete::Refuse, _) => Err(unsupported(
            "OpenEMR keeps charts; merge or deactivate the patient there, or set `on_delete = \"keep\"` to count \
             deletions as delivered and leave charts as they are",
        )),
        (Operation::Delete, OnDelete::Keep, Some(link)) => Ok(Plan::Done(Outcome::Applied(Receipt {
            remote_id: link.remote_id.clone(),
            remote_version: link.remote_version.clone(),
            fingerprint: link.fingerprint.clone(),
        }))),
        (Operation::Delete, OnDelete::Keep, None) => Ok(Plan::Keep { uuid }),
    }
}

/// What is to be done about one chart, once it is known what is there.
#[derive(Debug)]
enum Step {
    Create,
    Write {
        pid: i64,
        edited: bool,
    },
    /// It holds the wanted state already.
    Leave {
        pid: i64,
    },
    Refuse(Failure),
}

fn decide(
    found: Found,
    link: Option<&Link>,
    record: &Record,
    columns: &[&'static OwnColumn],
    policy: RemoteEdit,
) -> Step {
    let chart = match found {
        Found::Unclear(failure) => return Step::Refuse(failure),
        Found::Absent => {
            return match link {
                None => Step::Create,
                Some(link) => Step::Refuse(conflict(format!(
                    "the chart with pid {} was deleted or merged in OpenEMR; it is not created again by itself",
                    link.remote_id
                ))),
            };
        }
        Found::Chart(chart) => chart,
    };
    let Chart { pid, record: present } = chart;
    if let Some(link) = link.filter(|link| link.remote_id != pid.to_string()) {
        return Step::Refuse(conflict(format!(
            "the chart had pid {} and now has pid {pid}: it was merged or moved in OpenEMR",
            link.remote_id
        )));
    }
    if present == *record {
        return Step::Leave { pid };
    }
    let edited = link.and_then(|link| link.fingerprint.as_deref()).is_some_and(|last| {
        let now = present.fingerprint(columns);
        comparable(last, &now) && last != now
    });
    if edited && policy == RemoteEdit::Hold {
        return Step::Refuse(conflict(format!(
            "the chart with pid {pid} was edited in OpenEMR since the last delivery"
        )));
    }
    Step::Write { pid, edited }
}

struct Batch<'a, L> {
    db: &'a L,
    statements: &'a Statements<'a>,
    settings: &'a Settings,
    policy: RemoteEdit,
    notes: Vec<String>,
    /// Whether the lock for pids is held.
    locked: bool,
}

/// A chart to write: its change's place in the batch, its key and what it shall hold.
struct Write<'a> {
    index: usize,
    uuid: [u8; 16],
    pid: i64,
    record: &'a Record,
}

impl<L: Lent> Batch<'_, L> {
    fn run(mut self, changes: &[Change], plans: Vec<Plan>) -> Result<Applied, Failure> {
        let found = self.look_up(changes, &plans)?;
        let mut outcomes: Vec<Option<Outcome>> = changes.iter().map(|_| None).collect();
        let (mut creations, mut writes) = (Vec::new(), Vec::new());
        for (index, found) in found {
            match &plans[index] {
                Plan::Hold { uuid, record } => {
                    match decide(found, changes[index].link.as_ref(), record, self.statements.columns, self.policy) {
                        Step::Create => creations.push((index, *uuid, record)),
                        step => {
                            outcomes[index] = self.settle(
                                step,
                                &changes[index],
                                Write { index, uuid: *uuid, pid: 0, record },
                                &mut writes,
                            )
                        }
                    }
                }
                Plan::Keep { .. } => outcomes[index] = Some(kept(found)),
                Plan::Done(_) => unreachable!("invariant: only what has no outcome yet is looked up"),
            }
        }
        let wanted: Vec<Creation<'_>> = creations
            .iter()
            .map(|(index, uuid, record)| Creation { sought: sought(&changes[*index], *uuid), record })
            .collect();
        let created = create::create(self.db, self.statements, self.settings.pubpid, &wanted, self.locked)?;
        for ((index, uuid, record), created) in creations.into_iter().zip(created) {
            let found = match created {
                Created::New(pid) => {
                    outcomes[index] = Some(self.applied(pid, record));
                    continue;
                }
                Created::Already(chart) => Found::Chart(chart),
                Created::Unclear(failure) => Found::Unclear(failure),
            };
            let step = decide(found, None, record, self.statements.columns, self.policy);
            outcomes[index] = self.settle(step, &changes[index], Write { index, uuid, pid: 0, record }, &mut writes);
        }
        self.write(&writes)?;
        for write in writes {
            outcomes[write.index] = Some(self.applied(write.pid, write.record));
        }
        Ok(Applied { outcomes: finish(outcomes, plans), notes: self.notes })
    }

    /// Asks for every chart that a plan needs. Where there is no uuid, nothing but the lock keeps two hosts from creating
    /// the same patient, so it is taken before the look when anything may have to be created.
    fn look_up(&mut self, changes: &[Change], plans: &[Plan]) -> Result<Vec<(usize, Found)>, Failure> {
        let wanted: Vec<(usize, Sought<'_>)> = plans
            .iter()
            .enumerate()
            .filter_map(|(index, plan)| match plan {
                Plan::Hold { uuid, .. } | Plan::Keep { uuid } => Some((index, sought(&changes[index], *uuid))),
                Plan::Done(_) => None,
            })
            .collect();
        let charts: Vec<Sought<'_>> = wanted.iter().map(|(_, sought)| *sought).collect();
        if !self.statements.schema.has_uuid() && charts.iter().any(|one| one.linked_pid.is_none()) {
            create::lock(self.db)?;
            self.locked = true;
        }
        let locked = self.policy == RemoteEdit::Hold && charts.iter().any(|one| one.linked_pid.is_some());
        let found = charts::find(self.db, self.statements, &charts, locked)?;
        Ok(wanted.into_iter().map(|(index, _)| index).zip(found).collect())
    }

    /// Turns a step other than creation into an outcome, or into a write that will have one.
    fn settle<'p>(
        &mut self,
        step: Step,
        change: &Change,
        write: Write<'p>,
        writes: &mut Vec<Write<'p>>,
    ) -> Option<Outcome> {
        match step {
            Step::Refuse(failure) => Some(Outcome::Failed(failure)),
            Step::Leave { pid } => Some(self.applied(pid, write.record)),
            Step::Write { pid, edited } => {
                if edited {
                    self.notes.push(format!(
                        "wrote over an edit made in OpenEMR: patient {}, pid {pid}, change {}",
                        change.aggregate_id, change.change_id
                    ));
                }
                writes.push(Write { pid, ..write });
                None
            }
            Step::Create => unreachable!("invariant: a chart that was found is not created"),
        }
    }

    fn applied(&self, pid: i64, record: &Record) -> Outcome {
        Outcome::Applied(Receipt {
            remote_id: pid.to_string(),
            remote_version: None,
            fingerprint: Some(record.fingerprint(self.statements.columns)),
        })
    }

    fn write(&self, writes: &[Write<'_>]) -> Result<(), Failure> {
        let mut written = 0;
        for chunk in writes.chunks(rows_per_statement(self.statements.dialect, self.statements.update_parameters())) {
            let mut parameters = Vec::with_capacity(chunk.len() * self.statements.update_parameters());
            for write in chunk {
                parameters.push(if self.statements.schema.has_uuid() {
                    Value::from(write.uuid.as_slice())
                } else {
                    Value::Signed(write.pid)
                });
                create::push_record(self.statements, write.record, &mut parameters);
            }
            let sql = self.statements.update(chunk.len());
            let execution = self.db.execute(&sql, &parameters).map_err(|error| error.during("update patient_data"))?;
            written += execution.rows_affected;
        }
        if written == writes.len() as u64 {
            return Ok(());
        }
        Err(transient(format!("update patient_data: {} charts were there, {written} were written", writes.len())))
    }
}

fn sought(change: &Change, uuid: [u8; 16]) -> Sought<'_> {
    Sought {
        uuid,
        patient_id: &change.aggregate_id,
        linked_pid: change.link.as_ref().map(|link| link.remote_id.as_str()),
    }
}

/// A deletion that leaves the chart alone. A patient that never came here has no pid to report.
fn kept(found: Found) -> Outcome {
    let remote_id = match found {
        Found::Unclear(failure) => return Outcome::Failed(failure),
        Found::Chart(chart) => chart.pid.to_string(),
        Found::Absent => String::new(),
    };
    Outcome::Applied(Receipt { remote_id, remote_version: None, fingerprint: None })
}

fn finish(outcomes: Vec<Option<Outcome>>, plans: Vec<Plan>) -> Vec<Outcome> {
    let finished = outcomes.into_iter().zip(plans).map(|(outcome, plan)| match (outcome, plan) {
        (Some(outcome), _) | (None, Plan::Done(outcome)) => outcome,
        (None, Plan::Hold { .. } | Plan::Keep { .. }) => unreachable!("invariant: every plan ends in an outcome"),
    });
    finished.collect()
}
