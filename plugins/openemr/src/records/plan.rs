//! Plans and decides each change of a record. Pure: the results of queries are arguments.
//!
//! The counterpart of the patient's `plan.rs`, with the same rules for edits of others (`edits.rs`).

use adapter_sdk::clinical::{self, Record};
use adapter_sdk::{Change, Operation, Outcome, Receipt, RemoteEdit};

use crate::columns::Fingerprints;
use crate::edits::{Standing, conflict_over, standing};
use crate::failures::{conflict, unsupported};
use crate::mapping::Mapped;
use crate::records::find::{Found, Row};
use crate::records::shape::{Shape, Values};
use crate::records::source::{Source, Unwritten};
use crate::records::{appointment, encounter, issues, vital_sign};
use crate::settings::Settings;

/// What a change requires, before any query.
pub(crate) enum Plan {
    /// The row must have these values.
    Hold(Mapped),
    /// OpenEMR must hide the row.
    Hide,
    /// Nothing needs to be looked up.
    Done(Outcome),
}

/// Plans one change.
pub(crate) fn plan(change: &Change, shape: &Shape<'_>, settings: &Settings) -> Plan {
    let planned = match change.operation {
        Operation::Create | Operation::Update => mapped(&Source { change, shape, settings }),
        Operation::Delete => return Plan::Hide,
        Operation::Merge => Err(unsupported("this adapter does not merge clinical records").into()),
    };
    match planned {
        Ok(mapped) => Plan::Hold(mapped),
        Err(Unwritten::Skipped(why)) => Plan::Done(Outcome::Skipped(why)),
        Err(Unwritten::Failed(failure)) => Plan::Done(Outcome::Failed(failure)),
    }
}

fn mapped(source: &Source<'_>) -> Result<Mapped, Unwritten> {
    let values = values(&clinical::read(source.change)?, source)?;
    Ok(source.shape.mapped(&values)?)
}

fn values(record: &Record, source: &Source<'_>) -> Result<Values, Unwritten> {
    match record {
        Record::Encounter(encounter) => encounter::values(encounter, source),
        Record::Condition(condition) => Ok(issues::condition(condition, source)?),
        Record::Allergy(allergy) => Ok(issues::allergy(allergy, source)?),
        Record::Medication(medication) => Ok(issues::medication(medication, source)?),
        Record::Observation(observation) => vital_sign::values(observation, source),
        Record::Appointment(appointment) => appointment::values(appointment, source),
        Record::FhirResource(_) => Err(Unwritten::Skipped("OpenEMR has no place for it".to_owned())),
    }
}

/// The step for one row, after the query.
pub(crate) enum Step {
    Create(Mapped),
    Write {
        row: Row,
        mapped: Mapped,
        /// Whether it overwrites an edit of others.
        edited: bool,
    },
    /// The row has the wanted state already.
    Leave {
        row: Row,
        mapped: Mapped,
    },
    /// The change ends here.
    Done(Outcome),
}

/// Decides the step for one row; `wanted` is `None` to hide it.
pub(crate) fn decide(
    found: Found,
    change: &Change,
    wanted: Option<Mapped>,
    shape: &Shape<'_>,
    fingerprints: &Fingerprints,
    policy: RemoteEdit,
) -> Step {
    let link = change.link.as_ref();
    let named = |id: &str| format!("the {} with id {id}", shape.kind.aggregate_type());
    let refused = |message: String| Step::Done(Outcome::Failed(conflict(message)));
    let row = match (found, link, wanted.is_some()) {
        (Found::Here(row), _, _) => row,
        (Found::Absent, None, true) => {
            return wanted.map_or_else(|| Step::Done(nothing(String::new())), Step::Create);
        }
        (Found::Absent, link, false) => {
            return Step::Done(nothing(link.map(|link| link.remote_id.clone()).unwrap_or_default()));
        }
        (Found::Absent, Some(link), true) => {
            let named = named(&link.remote_id);
            return refused(format!("{named} was deleted in OpenEMR; it is not created again by itself"));
        }
        (Found::NotOurs, link, _) => {
            let named = named(link.map_or("", |link| &link.remote_id));
            return refused(format!("{named} does not carry our key any more: it is not written to"));
        }
        (Found::Several(ids), _, _) => {
            return refused(format!("several rows carry this record's key: {}", ids.join(", ")));
        }
    };
    if let Some(link) = link.filter(|link| link.remote_id != row.remote_id) {
        let (before, now) = (named(&link.remote_id), &row.remote_id);
        return refused(format!("{before} now has id {now} in OpenEMR"));
    }
    let mapped = wanted.unwrap_or_else(|| shape.hidden(&row.record));
    if row.record == mapped.record && row.has_form {
        return Step::Leave { row, mapped };
    }
    let named = named(&row.remote_id);
    let message = match standing(link, &row.record, &mapped.record, fingerprints) {
        Standing::Declined => {
            return Step::Done(receipt(&row, link.and_then(|link| link.fingerprint.clone())));
        }
        Standing::Ours => return Step::Write { row, mapped, edited: false },
        Standing::Edited => format!("{named} was edited in OpenEMR since the last delivery"),
        Standing::Kept => format!(
            "{named} holds what was kept of OpenEMR's, and this newer state would write over it: correct the record in the \
             application too, or decide again"
        ),
    };
    match policy {
        RemoteEdit::Hold => Step::Done(Outcome::Failed(conflict_over(&message, &row.record, &mapped, fingerprints))),
        RemoteEdit::Overwrite => Step::Write { row, mapped, edited: true },
    }
}

/// The receipt for a row.
pub(crate) fn receipt(row: &Row, fingerprint: Option<String>) -> Outcome {
    Outcome::Applied(Receipt {
        remote_id: row.remote_id.clone(),
        remote_version: Some(row.remote_version()),
        fingerprint,
    })
}

/// The outcome of deleting a record that does not exist.
fn nothing(remote_id: String) -> Outcome {
    Outcome::Applied(Receipt { remote_id, remote_version: None, fingerprint: None })
}
