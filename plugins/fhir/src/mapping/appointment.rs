//! Maps our appointment to a FHIR R4 Appointment.
//!
//! An Appointment has no element for an encounter (an Encounter names its Appointment), so that reference is not sent.

use adapter_sdk::clinical::Appointment;
use serde_json::{Map, Value, json};

use super::element::{self, References, begin, concept, put};
use super::{present, text};
use crate::kind::{Kind, Parts};

/// Our elements of an Appointment. Of the participants, only the patient is ours.
pub(crate) const PARTS: Parts = element::parts(
    &["status", "serviceType", "reasonCode", "description", "start", "end", "comment"],
    &[("identifier", element::is_our_identifier), ("participant", |_, entry| is_patient(entry))],
    element::retire_status,
);

fn is_patient(entry: &Value) -> bool {
    entry.get("actor").is_some_and(|actor| {
        let refers = text(actor, "reference").is_some_and(|reference| {
            reference.starts_with("Patient/") || reference.rsplit('/').nth(1) == Some("Patient")
        });
        refers || text(actor, "type") == Some("Patient")
    })
}

pub(super) fn resource(
    kind: &Kind<'_>,
    id: &str,
    appointment: &Appointment,
    references: References<'_>,
) -> Map<String, Value> {
    let mut resource = begin(kind, id);
    put(&mut resource, "status", Some(json!(appointment.status)));
    put(&mut resource, "serviceType", appointment.service_type.as_ref().map(|kind| json!([concept(kind)])));
    put(&mut resource, "reasonCode", appointment.reason_code.as_ref().map(|reason| json!([concept(reason)])));
    put(&mut resource, "description", present(appointment.description.as_ref()).map(|text| json!(text)));
    put(&mut resource, "start", Some(json!(appointment.start)));
    put(&mut resource, "end", Some(json!(appointment.end)));
    put(&mut resource, "comment", present(appointment.comment.as_ref()).map(|text| json!(text)));
    // FHIR requires at least one participant, each with a status.
    let status = participation(&appointment.status);
    let patient = references.named("subject");
    put(&mut resource, "participant", patient.map(|patient| json!([{ "actor": patient, "status": status }])));
    resource
}

/// The patient's participation status, as far as the appointment's status shows it.
fn participation(status: &str) -> &'static str {
    match status {
        "proposed" | "pending" | "waitlist" => "needs-action",
        "cancelled" => "declined",
        _ => "accepted",
    }
}
