//! Maps a condition, an allergy or a medication to its row in `lists`.
//!
//! OpenEMR recognises a past issue only by its end date, so an issue that is no longer active always gets one.

use adapter_sdk::Failure;
use adapter_sdk::clinical::{Allergy, Concept, Condition, Medication, Reaction};

use crate::records::clock::{midnight, midnight_of};
use crate::records::kinds::REACTIONS;
use crate::records::shape::Values;
use crate::records::source::{Lines, Source, code};
use crate::schema::Listed;

const ENTERED_IN_ERROR: &str = "entered-in-error";

/// The values of a condition's row.
///
/// # Errors
/// `invalid` when the patient has no chart.
pub(crate) fn condition(condition: &Condition, source: &Source<'_>) -> Result<Values, Failure> {
    let status = condition.clinical_status.as_str();
    let mut comments = Lines::default();
    comments.add(condition.note.as_deref());
    comments.foreign_code(&condition.code);
    comments.labelled("Severity", condition.severity.as_deref());
    comments.labelled("Status", ["recurrence", "relapse", "remission"].contains(&status).then_some(status));
    let is_over = ["inactive", "remission", "resolved"].contains(&status);
    let mut values = listed(source, &condition.code, condition.onset.as_deref())?;
    set_end(&mut values, source, is_over, condition.abatement.as_deref());
    values.set("outcome", if status == "resolved" { "1" } else { "0" });
    set_verification(&mut values, &mut comments, source, condition.verification_status.as_deref());
    values.set("comments", comments.text());
    Ok(values)
}

/// The values of an allergy's row.
///
/// # Errors
/// `invalid` when the patient has no chart.
pub(crate) fn allergy(allergy: &Allergy, source: &Source<'_>) -> Result<Values, Failure> {
    let mut comments = Lines::default();
    comments.add(allergy.note.as_deref());
    comments.foreign_code(&allergy.code);
    comments.labelled("Type", allergy.kind.as_deref());
    comments.labelled("Category", allergy.category.as_deref());
    comments.labelled("Criticality", allergy.criticality.as_deref());
    let mut values = listed(source, &allergy.code, allergy.onset.as_deref())?;
    set_end(&mut values, source, allergy.clinical_status != "active", None);
    values.set("outcome", if allergy.clinical_status == "resolved" { "1" } else { "0" });
    // One reaction has its own columns. With several, or one that OpenEMR's list lacks, they are written to the
    // comments.
    let option = |reaction: &Reaction| match source.shape.schema().listed(REACTIONS, &reaction.manifestation.display) {
        Listed::As(option) => Some(option.to_owned()),
        Listed::Not | Listed::Unknown => None,
    };
    let first = allergy.reaction.first().and_then(|reaction| Some((reaction, option(reaction)?)));
    if let Some((reaction, option)) = &first {
        values.set("reaction", option.as_str());
        values.set_if("severity_al", reaction.severity.as_deref());
    }
    for reaction in allergy.reaction.iter().skip(usize::from(first.is_some())) {
        let severity = reaction.severity.as_ref().map_or(String::new(), |severity| format!(" ({severity})"));
        comments.labelled("Reaction", Some(&format!("{}{severity}", reaction.manifestation.display)));
    }
    set_verification(&mut values, &mut comments, source, allergy.verification_status.as_deref());
    values.set("comments", comments.text());
    Ok(values)
}

/// The values of a medication's row.
///
/// # Errors
/// `invalid` when the patient has no chart.
pub(crate) fn medication(medication: &Medication, source: &Source<'_>) -> Result<Values, Failure> {
    let status = medication.status.as_str();
    let mut comments = Lines::default();
    comments.add(medication.note.as_deref());
    comments.foreign_code(&medication.medication);
    comments.labelled("Dosage", medication.dosage.as_deref());
    comments.labelled("Route", medication.route.as_ref().map(|concept| concept.display.as_str()));
    comments.labelled("Reason", medication.reason_code.as_ref().map(|concept| concept.display.as_str()));
    let is_said_otherwise = ["active", "completed", "stopped", ENTERED_IN_ERROR].contains(&status);
    comments.labelled("Status", (!is_said_otherwise).then_some(status));
    let effective = medication.effective.as_ref();
    let start = effective.and_then(|effective| effective.start.as_deref());
    let mut values = listed(source, &medication.medication, start)?;
    let is_over = ["completed", "stopped", "not-taken"].contains(&status);
    set_end(&mut values, source, is_over, effective.and_then(|effective| effective.end.as_deref()));
    if status == ENTERED_IN_ERROR {
        values.set("activity", "0");
    }
    values.set("comments", comments.text());
    Ok(values)
}

/// The values that all three share.
fn listed(source: &Source<'_>, concept: &Concept, start: Option<&str>) -> Result<Values, Failure> {
    let mut values = Values::default();
    values.set("pid", source.pid()?);
    values.set("title", concept.display.as_str());
    values.set_if("diagnosis", code(concept));
    values.set_if("begdate", start.and_then(|start| midnight(start, source.settings.utc_offset)));
    values.set("activity", "1");
    Ok(values)
}

/// Sets the day on which it ended. For a past issue without that day, it is the day of the change.
fn set_end(values: &mut Values, source: &Source<'_>, is_over: bool, end: Option<&str>) {
    let offset = source.settings.utc_offset;
    let end = end.and_then(|end| midnight(end, offset));
    values.set_if("enddate", end.or_else(|| is_over.then(|| midnight_of(source.change.created_at_ms, offset))));
}

/// Sets the verification status: a column from 6.0 on, before that a line of the comments. An erroneous record is
/// hidden.
fn set_verification(values: &mut Values, comments: &mut Lines, source: &Source<'_>, status: Option<&str>) {
    if !source.shape.has("verification") {
        comments.labelled("Verification", status);
    }
    values.set_if("verification", status);
    if status == Some(ENTERED_IN_ERROR) {
        values.set("activity", "0");
    }
}
