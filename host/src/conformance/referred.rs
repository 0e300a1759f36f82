//! What the suite's changes refer to: records that it delivers first, through the same adapter.
//!
//! As the host does, it gives each reference the target's id, and none where the adapter does not deliver that type.
//! The check then tries a change without references, one whose references have no id, and one that refers to another
//! record.

use std::collections::BTreeMap;

use super::delivering::contents;
use super::harness::Harness;
use super::judgement::{Judgement, applied};
use super::subjects::{Subjects, link};
use crate::domain::change::{Change, Outcome, Reference};
use crate::domain::references::NamedReference;

/// What the changes refer to of each type; `None` of a type that the adapter skips, to which the host delivers no
/// references.
type Records = BTreeMap<String, Option<Record>>;

/// A delivered record.
#[derive(Clone)]
struct Record {
    aggregate_id: String,
    remote_id: Option<String>,
}

/// Delivers one record of each type that the changes refer to, and has all later changes refer to these.
///
/// # Errors
/// What the author has to give, or what failed.
pub(super) async fn provide(harness: &Harness) -> Result<(), String> {
    let records = deliver(harness).await?;
    harness.subjects.refer_to(references(&harness.subjects, &records));
    Ok(())
}

/// Delivers one new record of each type, those that others refer to first.
async fn deliver(harness: &Harness) -> Result<Records, String> {
    let mut records = Records::new();
    let mut open = needed(harness, &mut records)?;
    while let Some((first, _)) = open.first() {
        let is_ready = |(_, subjects): &(String, Subjects)| {
            subjects.wanted_references().iter().all(|wanted| records.contains_key(&wanted.aggregate_type))
        };
        let Some(next) = open.iter().position(is_ready) else {
            return Err(format!("its references come back to type `{first}`: leave one out of --refs"));
        };
        let (kind, subjects) = open.remove(next);
        subjects.refer_to(references(&subjects, &records));
        let change = subjects.create(1).remove(0);
        let what = format!("the `{kind}` that it refers to");
        let outcomes = harness.deliver(std::slice::from_ref(&change)).await;
        let record = match outcomes.map_err(|failure| format!("{what} failed, {failure}"))?.pop() {
            Some(Outcome::Skipped(_)) | None => None,
            Some(outcome) => {
                let remote_id = Some(applied(outcome, &what)?.remote_id);
                Some(Record { aggregate_id: change.key.aggregate_id, remote_id })
            }
        };
        records.insert(kind, record);
    }
    Ok(records)
}

/// The types to deliver, with their changes: what the subjects refer to, what that refers to, and so on. The host gives
/// no id of a type that its target does not take, so that nothing of such a type is delivered.
fn needed(harness: &Harness, records: &mut Records) -> Result<Vec<(String, Subjects)>, String> {
    let mut found: Vec<(String, Subjects)> = Vec::new();
    let mut open = types(harness.subjects.wanted_references());
    while let Some(kind) = open.pop() {
        if found.iter().any(|(known, _)| *known == kind) {
            continue;
        }
        if harness.descriptor().support(&kind).is_none() {
            records.insert(kind, Some(Record { aggregate_id: "CT-elsewhere".to_owned(), remote_id: None }));
            continue;
        }
        let fix = || format!("it refers to a `{kind}`: give an example of its payload, --payload {kind}=FILE");
        let subjects = harness.other_subjects(&kind).ok_or_else(fix)?;
        open.extend(types(subjects.wanted_references()));
        found.push((kind, subjects));
    }
    Ok(found)
}

fn types(references: &[NamedReference]) -> Vec<String> {
    references.iter().map(|reference| reference.aggregate_type.clone()).collect()
}

/// The references that these subjects want, to these records.
fn references(subjects: &Subjects, records: &Records) -> Vec<Reference> {
    let reference = |wanted: &NamedReference| {
        let Record { aggregate_id, remote_id } = records.get(&wanted.aggregate_type)?.clone()?;
        let (name, aggregate_type) = (wanted.name.clone(), wanted.aggregate_type.clone());
        Some(Reference { name, aggregate_type, aggregate_id, remote_id })
    };
    subjects.wanted_references().iter().filter_map(reference).collect()
}

/// Tries changes with other references than the rest of the suite.
pub(super) async fn judge(harness: &Harness) -> Judgement {
    let sound = harness.subjects.create(1).remove(0);
    let without = Change { references: Vec::new(), ..harness.subjects.create(1).remove(0) };
    let mut unresolved = harness.subjects.create(1).remove(0);
    unresolved.references.iter_mut().for_each(|reference| reference.remote_id = None);
    let batch = [sound.clone(), without, unresolved];
    let outcomes = harness.deliver(&batch).await.map_err(|failure| {
        format!("the batch failed, {failure}; a change that lacks a reference has an outcome of its own")
    })?;
    let [first, without, unresolved]: [Outcome; 3] =
        outcomes.try_into().map_err(|_| "not one outcome for each change".to_owned())?;
    let receipt = applied(first, "a change with its references")?;
    final_outcome(&without, "a change without references")?;
    final_outcome(&unresolved, "a change whose references have no id at the target")?;

    let elsewhere = references(&harness.subjects, &deliver(harness).await?);
    if elsewhere.iter().all(|reference| reference.remote_id.is_none()) {
        return Ok("what lacks its references is delivered, or refused permanently".to_owned());
    }
    let before = contents(harness).await?;
    let moved = Change { references: elsewhere, link: Some(link(&receipt)), attempt: 2, ..sound };
    let outcome = harness.deliver(&[moved]).await.map_err(|failure| failure.to_string())?.pop();
    match outcome {
        Some(Outcome::Applied(_)) if contents(harness).await? == before => Err(
            "a change that refers to another record than before was confirmed, and the target is as it was: write the \
             `remote-id` of each reference again"
                .to_owned(),
        ),
        Some(Outcome::Applied(_)) => Ok("the target's ids are written, and written again when they change".to_owned()),
        Some(outcome) => {
            final_outcome(&outcome, "a change that refers to another record than before")?;
            Ok("the target's ids are written; a change to another record is refused".to_owned())
        }
        None => Err("no outcome".to_owned()),
    }
}

/// A change is delivered, skipped or refused permanently. A retry cannot help it.
fn final_outcome(outcome: &Outcome, what: &str) -> Result<(), String> {
    match outcome {
        Outcome::Failed(failure) if !failure.kind.is_permanent() => {
            Err(format!("{what} is `{}`, expected `invalid`: a retry cannot help", failure.kind.as_str()))
        }
        Outcome::Applied(_) | Outcome::Skipped(_) | Outcome::Failed(_) => Ok(()),
    }
}
