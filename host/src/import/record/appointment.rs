//! From a FHIR R4 Appointment to our appointment.

use serde_json::Value;

use super::element;
use super::reference;
use super::resource::Resource;
use crate::import::kind::Kind;

pub(super) fn fill(resource: &mut Resource<'_>) {
    resource.put_text("status", "status");
    resource.put_concept("service_type", "serviceType");
    resource.put_concept("reason_code", "reasonCode");
    resource.put_text("description", "description");
    resource.put_text("start", "start");
    resource.put_text("end", "end");
    resource.put_text("comment", "comment");
    let patients = patients(resource);
    match patients.as_slice() {
        [_, _, ..] => resource.reject("refs.subject", "is several patients; an appointment has one"),
        patients => resource.refer_to_patient(patients.first()),
    }
}

/// The participants that are patients.
fn patients(resource: &Resource<'_>) -> Vec<Value> {
    let actors = resource.entries("participant").iter().filter_map(|participant| participant.get("actor"));
    actors.filter(|actor| is_patient(actor, resource)).cloned().collect()
}

/// One that cannot be read is refused with its reason, where it is a patient as far as can be seen.
fn is_patient(actor: &Value, resource: &Resource<'_>) -> bool {
    if let Ok(referred) = reference::read(actor, "Basic", resource.context) {
        return referred.kind == Kind::Patient;
    }
    let is_named = |text: &str| text.contains("Patient/") || text.starts_with("Patient?");
    element::text(actor, "type") == Some("Patient") || element::text(actor, "reference").is_some_and(is_named)
}
