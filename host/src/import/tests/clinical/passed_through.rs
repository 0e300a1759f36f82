//! Resources without a type of their own.

use serde_json::json;

use super::*;

fn passed_through(lines: &[Value]) -> Chunk {
    read_kind(Kind::Other, lines, |options| options.fhir.other_types = true)
}

#[test]
fn a_resource_is_kept_as_it_is_with_our_ids_in_its_references() {
    let immunization = json!({
        "resourceType": "Immunization", "id": "1", "status": "completed", "vaccineCode": { "text": "Flu" },
        "identifier": [{ "system": "urn:neuronova:patient-id/fhir-resource", "value": "I-1" },
                       { "system": "urn:other", "value": "7" }],
        "patient": { "reference": "urn:uuid:p1" }, "encounter": { "reference": "Encounter/e1" },
        "performer": [{ "actor": { "reference": "Practitioner/d1" } }, { "actor": { "reference": "Practitioner/d1" } },
                      { "actor": { "reference": "Organization?identifier=urn:o|1" } }],
        "reasonReference": [{ "reference": "Condition/c1" }],
        "extension": [{ "url": "urn:x", "valueReference": { "reference": "MedicationRequest/m1" } }],
    });
    let patient = json!({ "resourceType": "Patient", "id": "p1",
                          "identifier": [{ "system": "urn:neuronova:patient-id", "value": "P-1" }] });
    let chunk = passed_through(&[immunization, patient]);
    assert!(chunk.rejects.is_empty(), "{:?}", reasons(&chunk));
    let record = &chunk.records[0];
    assert_eq!(record.key().to_string(), "fhir-resource I-1");
    assert_eq!(record.patient_id(), Some("P-1"));
    let mut references = references_of(record);
    references.sort();
    let names: Vec<_> = references.iter().map(|text| text.split_once(' ').unwrap().1).collect();
    let mut names: Vec<_> = names;
    names.sort_unstable();
    assert_eq!(names, ["condition c1", "encounter e1", "fhir-resource Practitioner-d1", "patient P-1"]);
    let payload: Value = serde_json::from_str(&record.payload()).unwrap();
    assert_eq!(payload["patient"]["reference"], "Patient/P-1");
    assert_eq!(payload["performer"][0]["actor"]["reference"], "Practitioner/Practitioner-d1");
    assert_eq!(payload["performer"][2]["actor"]["reference"], "Organization?identifier=urn:o|1");
    assert_eq!(payload["identifier"], json!([{ "system": "urn:other", "value": "7" }]));
    assert_eq!(
        payload["extension"][0]["valueReference"],
        json!({ "type": "MedicationRequest", "identifier": { "system": "urn:neuronova:patient-id/medication",
                                                              "value": "MedicationRequest-m1" } })
    );
}

#[test]
fn resources_of_two_types_with_one_id_are_two_records() {
    let of = |name: &str| json!({ "resourceType": name, "id": "1" });
    let chunk = passed_through(&[of("Practitioner"), of("Organization"), of("Bundle"), of("Observation")]);
    let ids: Vec<_> = chunk.records.iter().map(|record| record.key().aggregate_id.as_str()).collect();
    assert_eq!(ids, ["Practitioner-1", "Organization-1"]);
    assert_eq!(chunk.passed_over, [("Bundle", 1), ("Observation", 1)].into());
}

#[test]
fn a_resource_with_more_references_than_a_change_may_have_is_refused() {
    let members: Vec<_> = (0..17).map(|number| json!({ "reference": format!("Practitioner/{number}") })).collect();
    let chunk = passed_through(&[json!({ "resourceType": "Basic", "id": "1", "member": members })]);
    assert_eq!(reasons(&chunk), ["1 refs: has 17 references, at most 16 are taken"]);
}
