//! Applies or observes a batch of any types. Each type is handled by its own part of the adapter.
//!
//! The parts run in a fixed order, so that hosts lock the tables in the same order. Read next: `apply.rs` for patients,
//! `records/apply.rs` for clinical records.

use std::collections::BTreeMap;

use adapter_sdk::{Change, Context, Failure, Observation, Outcome, Subject};

use crate::notes::Notes;
use crate::records::apply::Call;
use crate::records::kinds::Kind;
use crate::records::{self, availability};
use crate::schema::Schema;
use crate::settings::Settings;
use crate::target_db::TargetDb;
use crate::{apply, check, detect, merged, observe};

/// The result of `apply`: one outcome per change, and lines for the log.
#[derive(Debug)]
pub(crate) struct Applied {
    pub(crate) outcomes: Vec<Outcome>,
    /// Log lines, which contain ids and no other data of a patient.
    pub(crate) notes: Vec<String>,
}

/// The part of the adapter that handles a type.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    /// Patients, and unknown types.
    Patients,
    Records(Kind),
    /// A type that OpenEMR cannot hold.
    Nowhere,
}

fn part(aggregate_type: &str) -> Part {
    match (Kind::of(aggregate_type), aggregate_type) {
        (Some(kind), _) => Part::Records(kind),
        (None, "fhir-resource") => Part::Nowhere,
        (None, _) => Part::Patients,
    }
}

/// Applies a batch.
///
/// # Errors
/// A failure for the batch as a whole; the host rolls back.
pub(crate) fn apply(
    db: &impl TargetDb,
    settings: &Settings,
    context: &Context,
    changes: &[Change],
) -> Result<Applied, Failure> {
    let schema = schema(db, settings, context)?;
    let call = Call { db, schema: &schema, settings, policy: context.on_remote_edit };
    let mut notes = Notes::default();
    let outcomes = in_parts(
        changes,
        |change| &change.aggregate_type,
        |part, changes| match part {
            Part::Patients => apply::apply(db, settings, &schema, context.on_remote_edit, changes, &mut notes),
            Part::Records(kind) => records::apply::apply(&call, kind, changes, &mut notes),
            Part::Nowhere => Ok(changes.iter().map(|_| nowhere()).collect()),
        },
    )?;
    Ok(Applied { outcomes, notes: notes.lines() })
}

fn nowhere() -> Outcome {
    Outcome::Skipped("OpenEMR has no place for FHIR resources as such".to_owned())
}

/// One observation for each subject, in order.
///
/// # Errors
/// A failure of the whole call.
pub(crate) fn observe(
    db: &impl TargetDb,
    settings: &Settings,
    context: &Context,
    subjects: &[Subject],
) -> Result<Vec<Observation>, Failure> {
    let schema = schema(db, settings, context)?;
    in_parts(
        subjects,
        |subject| &subject.aggregate_type,
        |part, subjects| match part {
            Part::Records(kind) => records::observe::observe(db, settings, &schema, kind, subjects),
            Part::Patients | Part::Nowhere => observe_patients(db, settings, &schema, subjects),
        },
    )
}

/// Observes patients, including merged ones.
fn observe_patients(
    db: &impl TargetDb,
    settings: &Settings,
    schema: &Schema,
    subjects: &[&Subject],
) -> Result<Vec<Observation>, Failure> {
    let without_mark = |subject: &&Subject| Subject { link: merged::without_mark(&subject.link), ..(*subject).clone() };
    let states: Vec<Subject> = subjects.iter().map(without_mark).collect();
    let mut found = observe::observe(db, settings, schema, &states.iter().collect::<Vec<_>>())?;
    merged::judge(db, subjects, &mut found)?;
    Ok(found)
}

/// The schema of this OpenEMR, from the last check or read now.
pub(crate) fn schema(db: &impl TargetDb, settings: &Settings, context: &Context) -> Result<Schema, Failure> {
    if let Some(schema) = Schema::from_state(&context.state) {
        check::usable(&schema, settings)?;
        return Ok(schema);
    }
    let mut schema = detect::schema(db)?;
    check::usable(&schema, settings)?;
    schema.unavailable = availability::find(db, &schema, settings)?;
    Ok(schema)
}

/// Handles the items of each part together, and restores the order of all results.
fn in_parts<'a, T, A>(
    items: &'a [T],
    aggregate_type: impl Fn(&T) -> &String,
    mut answer: impl FnMut(Part, &[&'a T]) -> Result<Vec<A>, Failure>,
) -> Result<Vec<A>, Failure> {
    let mut parts: BTreeMap<Part, Vec<usize>> = BTreeMap::new();
    for (at, item) in items.iter().enumerate() {
        parts.entry(part(aggregate_type(item))).or_default().push(at);
    }
    let mut answers: Vec<Option<A>> = items.iter().map(|_| None).collect();
    for (part, places) in parts {
        let of_part: Vec<&T> = places.iter().map(|at| &items[*at]).collect();
        for (at, one) in places.iter().zip(answer(part, &of_part)?) {
            answers[*at] = Some(one);
        }
    }
    Ok(answers.into_iter().map(|one| one.expect("invariant: each part answers for all of its items")).collect())
}
