//! Decides our id of a resource: the value of its identifier in our system, else the resource's own id.
//!
//! The FHIR adapter writes these identifiers, so this is its inverse.

use std::borrow::Cow;

use super::draft::{Problem, present, problem};
use super::fhir_options::FhirOptions;
use super::fhir_types::Identifier;
use super::kind::Kind;
use crate::domain::patient::Day;

/// The identifier system that the FHIR adapter writes by default.
const OUR_SYSTEM: &str = "urn:neuronova:patient-id";

/// The identifier system of one kind. Each kind has its own, because ids are unique within a type only.
pub(super) fn system(kind: Kind, options: &FhirOptions) -> Cow<'_, str> {
    let base = options.identifier_system.as_deref().unwrap_or(OUR_SYSTEM);
    match kind {
        Kind::Patient => Cow::Borrowed(base),
        _ => Cow::Owned(format!("{base}/{}", kind.aggregate_type())),
    }
}

/// The id of the record that a resource becomes.
///
/// # Errors
/// When it has no id, or one that is not current.
pub(super) fn aggregate_id(
    resource_type: &str,
    kind: Kind,
    identifiers: &[Identifier],
    id: Option<String>,
    options: &FhirOptions,
    today: Day,
) -> Result<String, Problem> {
    let system = system(kind, options);
    let of_system = || identifiers.iter().filter(|identifier| identifier.system.as_deref() == Some(&*system));
    if let Some(value) = best_value(of_system(), today) {
        return Ok(value);
    }
    // Using another id would create a second record.
    if of_system().any(|identifier| present(identifier.value.clone()).is_some()) {
        let message = "has none of our system that is current: its use is old or its period is over";
        return Err(problem("identifier", message));
    }
    if kind == Kind::Patient && options.identifier_system.is_some() {
        return Err(problem("identifier", "has none with the system of --identifier-system"));
    }
    let id = present(id).ok_or_else(|| problem("id", "is missing, and so is an identifier with a system of ours"))?;
    Ok(own_id(resource_type, kind, id))
}

/// The id of a record whose resource has no identifier of ours. If several resource types become one kind, the type is
/// part of the id, because a server may use the same id for each type.
pub(super) fn own_id(resource_type: &str, kind: Kind, id: String) -> String {
    match (kind, resource_type) {
        (Kind::Other, _) | (_, "MedicationRequest") => format!("{resource_type}-{id}"),
        _ => id,
    }
}

/// The best current identifier: the official one, else the usual one, else one without a use, else any. The first one
/// is used in each case.
pub(super) fn best_value<'a>(identifiers: impl Iterator<Item = &'a Identifier>, today: Day) -> Option<String> {
    let rank = |identifier: &Identifier| match identifier.r#use.as_deref() {
        Some("official") => 0,
        Some("usual") => 1,
        None => 2,
        Some(_) => 3,
    };
    let current = identifiers.filter(|identifier| identifier.is_current(today));
    let with_value = current.filter_map(|identifier| Some((rank(identifier), present(identifier.value.clone())?)));
    with_value.min_by_key(|(rank, _)| *rank).map(|(_, value)| value)
}
