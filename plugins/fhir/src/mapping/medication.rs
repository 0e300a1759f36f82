//! Maps our medication to a FHIR R4 `MedicationStatement`.

use adapter_sdk::clinical::{Effective, Medication};
use serde_json::{Map, Value, json};

use super::element::{self, References, begin, concept, put};
use super::present;
use crate::kind::{Kind, Parts};

/// Our elements of a `MedicationStatement`.
pub(crate) const PARTS: Parts = element::parts(
    &["status", "medication[x]", "subject", "context", "effective[x]", "dateAsserted", "reasonCode", "dosage"],
    &[("identifier", element::is_our_identifier), ("note", element::is_our_note)],
    element::retire_status,
);

pub(super) fn resource(
    kind: &Kind<'_>,
    id: &str,
    medication: &Medication,
    references: References<'_>,
) -> Map<String, Value> {
    let mut resource = begin(kind, id);
    put(&mut resource, "status", Some(json!(medication.status)));
    put(&mut resource, "medicationCodeableConcept", Some(concept(&medication.medication)));
    put(&mut resource, "subject", references.named("subject"));
    put(&mut resource, "context", references.named("encounter"));
    put(&mut resource, "effectivePeriod", medication.effective.as_ref().map(period));
    put(&mut resource, "dateAsserted", medication.date_asserted.as_ref().map(|date| json!(date)));
    put(&mut resource, "reasonCode", medication.reason_code.as_ref().map(|reason| json!([concept(reason)])));
    put(&mut resource, "note", element::note(medication.note.as_ref()));
    let mut dosage = Map::new();
    put(&mut dosage, "text", present(medication.dosage.as_ref()).map(|text| json!(text)));
    put(&mut dosage, "route", medication.route.as_ref().map(concept));
    put(&mut resource, "dosage", (!dosage.is_empty()).then(|| json!([dosage])));
    resource
}

/// A period. Without an end it means that the medication continues.
fn period(effective: &Effective) -> Value {
    let mut period = Map::new();
    put(&mut period, "start", effective.start.as_ref().map(|start| json!(start)));
    put(&mut period, "end", effective.end.as_ref().map(|end| json!(end)));
    Value::Object(period)
}
