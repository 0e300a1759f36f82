//! Reads a FHIR resource (R4) that is not a Patient into a clinical record. It is the inverse of the FHIR adapter, and
//! also reads resources of other systems as far as the payloads can hold them. `docs/commands.md` has the tables.
//!
//! It does no I/O. Elements without a field are ignored. An optional element that cannot be expressed is left out and
//! reported; a required one rejects the record. Read next: `resource.rs`, then a type such as `condition.rs`.

mod allergy;
mod appointment;
mod condition;
mod element;
mod encounter;
mod leaving_out;
mod medication;
mod observation;
mod pass_through;
mod reference;
mod resource;

use serde_json::Value;

use super::draft::{Problem, problem};
use super::fhir_options::FhirOptions;
use super::ids::Ids;
use super::kind::Kind;
use crate::domain::clinical::{ClinicalRecord, read_json};
use crate::domain::patient::Day;

use resource::Resource;

const ENTERED_IN_ERROR: &str = "entered-in-error";

/// The context of a record: what it depends on in addition to its line.
pub(super) struct Context<'a> {
    pub(super) options: &'a FhirOptions,
    pub(super) ids: &'a Ids,
    /// Decides which identifiers are current.
    pub(super) today: Day,
}

/// Reads one line with a resource of this type and kind. Returns the record and the problems of the fields left out.
///
/// # Errors
/// Every problem, when there is no record.
pub(super) fn read(
    line: &[u8],
    resource_type: &'static str,
    kind: Kind,
    context: &Context<'_>,
) -> Result<(ClinicalRecord, Vec<Problem>), Vec<Problem>> {
    let elements = elements(line).map_err(|found| vec![found])?;
    let mut resource = Resource::new(resource_type, elements, context);
    refuse_errors(&mut resource);
    match kind {
        Kind::Encounter => encounter::fill(&mut resource),
        Kind::Condition => condition::fill(&mut resource),
        Kind::Allergy => allergy::fill(&mut resource),
        Kind::Medication => medication::fill(&mut resource),
        Kind::Observation => observation::fill(&mut resource),
        Kind::Appointment => appointment::fill(&mut resource),
        Kind::Other => pass_through::fill(&mut resource),
        // Patients are read by `fhir.rs`.
        Kind::Patient => resource.reject("resourceType", "is Patient"),
    }
    resource.finish(kind)
}

fn elements(line: &[u8]) -> Result<Value, Problem> {
    let text = std::str::from_utf8(line).map_err(|_| problem("record", "is not UTF-8"))?;
    match read_json(text) {
        Ok(Value::Object(mut elements)) => {
            elements.retain(|_, value| !value.is_null());
            Ok(Value::Object(elements))
        }
        Ok(_) => Err(problem("record", "is not a JSON object")),
        Err(_) => Err(match serde_json::from_str::<Value>(text) {
            Ok(_) => problem("record", "names an element twice"),
            Err(error) => problem("record", format!("is not JSON: an error at column {}", error.column())),
        }),
    }
}

/// Rejects a record with the status `entered-in-error`.
fn refuse_errors(resource: &mut Resource<'_>) {
    let verification = resource.entries("verificationStatus");
    let is_refuted = verification
        .iter()
        .flat_map(|concept| element::entries(concept.get("coding")))
        .any(|coding| element::text(coding, "code") == Some(ENTERED_IN_ERROR));
    if is_refuted || resource.text("status") == Some(ENTERED_IN_ERROR) {
        let element = if is_refuted { "verificationStatus" } else { "status" };
        resource.reject(element, "is entered-in-error: the record must no longer be used");
    }
}
