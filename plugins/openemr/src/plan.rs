//! Plans and decides each change. Pure functions: the results of queries are arguments.
//!
//! Planning determines what a change requires; deciding applies that to the existing chart. Everything that is refused
//! is refused here, before the first write. Read next: `apply.rs`, which carries it out.

use std::collections::BTreeSet;

use adapter_sdk::patient;
use adapter_sdk::{Change, Failure, Link, Operation, Outcome, Receipt, RemoteEdit};

use crate::charts::{Chart, Found};
use crate::columns::Fingerprints;
use crate::edits::{Standing, conflict_over, standing};
use crate::failures::{conflict, transient, unsupported};
use crate::mapping::Mapped;
use crate::settings::{OnDelete, Settings};
use crate::statements::Statements;
use crate::{identity, mapping, merged};

/// What a change requires, before any query.
#[derive(Debug)]
pub(crate) enum Plan {
    /// The chart shall hold this.
    Hold { uuid: [u8; 16], mapped: Mapped },
    /// The own columns stay as they are, and only the chart's pid is wanted.
    Keep { uuid: [u8; 16] },
    /// Nothing needs to be looked up.
    Done(Outcome),
}

/// Plans each change by itself; the plans are in the order of `changes`.
pub(crate) fn plan(changes: &[&Change], statements: &Statements<'_>, settings: &Settings) -> Vec<Plan> {
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
        return Err(unsupported(format!("this adapter does not deliver changes of type `{}`", change.aggregate_type)));
    }
    match (change.operation, settings.on_delete, &change.link) {
        (Operation::Create | Operation::Update, _, _) => {
            let patient = patient::read(change)?;
            let mapped = mapping::mapped(&patient, statements.schema, statements.columns, settings)?;
            Ok(Plan::Hold { uuid, mapped })
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
        (Operation::Merge, _, _) => merged::check(change, statements.schema).map(|()| Plan::Keep { uuid }),
    }
}

/// The step for one chart, after the query.
#[derive(Debug)]
pub(crate) enum Step {
    Create,
    Write {
        chart: Chart,
        /// Whether others' content goes.
        edited: bool,
    },
    /// It holds the wanted state already.
    Leave {
        chart: Chart,
    },
    /// An operator decided that it stays as it is, and nothing has changed since.
    LeaveKept {
        chart: Chart,
    },
    Refuse(Failure),
}

/// Decides about one chart.
pub(crate) fn decide(
    found: Found,
    link: Option<&Link>,
    wanted: &Mapped,
    fingerprints: &Fingerprints,
    policy: RemoteEdit,
) -> Step {
    let chart = match found {
        Found::Ambiguous(failure) => return Step::Refuse(failure),
        Found::Absent => {
            return match link {
                None => Step::Create,
                Some(link) => Step::Refuse(conflict(format!(
                    "the chart with pid {} was deleted or merged in OpenEMR; it is not created again by itself",
                    link.remote_id
                ))),
            };
        }
        Found::Doubtful { chart, why } => {
            return match standing(link, &chart.record, &wanted.record, fingerprints) {
                Standing::Declined => Step::LeaveKept { chart },
                _ => Step::Refuse(conflict_over(&why, &chart.record, wanted, fingerprints)),
            };
        }
        Found::Chart(chart) => chart,
    };
    let pid = chart.pid;
    if let Some(link) = link.filter(|link| link.remote_id != pid.to_string()) {
        return Step::Refuse(conflict(format!(
            "the chart had pid {} and now has pid {pid}: it was merged or moved in OpenEMR",
            link.remote_id
        )));
    }
    if chart.record == wanted.record {
        return Step::Leave { chart };
    }
    let message = match standing(link, &chart.record, &wanted.record, fingerprints) {
        Standing::Declined => return Step::LeaveKept { chart },
        Standing::Ours => return Step::Write { chart, edited: false },
        Standing::Edited => format!("the chart with pid {pid} was edited in OpenEMR since the last delivery"),
        Standing::Kept => format!(
            "the chart with pid {pid} holds what was kept of OpenEMR's, and this newer state would write over it: correct the patient \
             in the application too, or decide again"
        ),
    };
    match policy {
        RemoteEdit::Hold => Step::Refuse(conflict_over(&message, &chart.record, wanted, fingerprints)),
        RemoteEdit::Overwrite => Step::Write { chart, edited: true },
    }
}
