//! Resources other than Patients: the result of each type, references, and reasons for rejects.

use super::*;
use crate::domain::clinical::ClinicalRecord;

mod passed_through;
mod references;
mod types;

/// Reads these lines for one kind, with the ids of all lines.
fn read_kind(kind: Kind, lines: &[Value], change: impl Fn(&mut Options)) -> Chunk {
    let text = lines.iter().map(|line| line.to_string() + "\n").collect::<String>();
    let mut options = Options { kind: Some(kind), ..options(Format::Ndjson) };
    change(&mut options);
    let mut ids = Ids::default();
    for line in text.lines() {
        assert!(ids.add_line(line.as_bytes(), &options.fhir, options.today));
    }
    ids.sort();
    options.ids = Arc::new(ids);
    read_all(text.as_bytes(), options).unwrap()
}

/// The only record of this resource, without any field left out.
fn record(kind: Kind, resource: &Value) -> ClinicalRecord {
    let mut chunk = read_kind(kind, std::slice::from_ref(resource), |_| {});
    assert!(chunk.rejects.is_empty(), "{:?}", reasons(&chunk));
    chunk.records.remove(0)
}

fn payload(kind: Kind, resource: &Value) -> Value {
    serde_json::from_str(&record(kind, resource).payload()).unwrap()
}

/// The resource with additional elements.
fn and(resource: &Value, more: &Value) -> Value {
    let mut resource = resource.clone();
    resource.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    resource
}

fn encounter() -> Value {
    json!({ "resourceType": "Encounter", "id": "e1", "status": "finished",
            "class": { "system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "AMB" },
            "subject": { "reference": "Patient/p1" }, "period": { "start": "2025-06-01T09:00:00+09:00" } })
}

fn condition() -> Value {
    json!({ "resourceType": "Condition", "id": "c1", "subject": { "reference": "Patient/p1" },
            "clinicalStatus": { "coding": [{ "system": "http://terminology.hl7.org/CodeSystem/condition-clinical",
                                             "code": "active" }] },
            "code": { "coding": [{ "system": "http://snomed.info/sct", "code": "37796009", "display": "Migraine" }] } })
}

fn observation() -> Value {
    json!({ "resourceType": "Observation", "id": "o1", "status": "final", "subject": { "reference": "Patient/p1" },
            "category": [{ "coding": [{ "system": "http://terminology.hl7.org/CodeSystem/observation-category",
                                        "code": "vital-signs" }] }],
            "code": { "coding": [{ "system": "http://loinc.org", "code": "8867-4" }], "text": "Heart rate" },
            "effectiveDateTime": "2025-06-01T09:05:00+09:00",
            "valueQuantity": { "value": 74, "unit": "/min" } })
}

/// The references of a record, as `NAME TYPE ID`.
fn references_of(record: &ClinicalRecord) -> Vec<String> {
    let text = |it: &crate::domain::references::NamedReference| {
        format!("{} {} {}", it.name, it.aggregate_type, it.aggregate_id)
    };
    record.references().iter().map(text).collect()
}
