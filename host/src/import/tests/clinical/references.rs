//! References: each leads to the record that the file means, or is rejected.

use serde_json::json;

use super::*;

fn patient(id: &str, ours: &str) -> Value {
    json!({ "resourceType": "Patient", "id": id, "identifier": [{ "system": "urn:neuronova:patient-id", "value": ours }] })
}

/// The patient of a condition with this subject, or the reason for having none. The patient `p1` is ours as `P-1`.
fn subject(subject: &Value, base_url: Option<&str>) -> String {
    let lines = [and(&condition(), &json!({ "subject": subject })), patient("p1", "P-1")];
    let chunk = read_kind(Kind::Condition, &lines, |options| options.fhir.base_url = base_url.map(str::to_owned));
    match chunk.records.first() {
        Some(record) => record.patient_id().unwrap_or_default().to_owned(),
        None => reasons(&chunk).join(", "),
    }
}

#[test]
fn a_reference_leads_to_our_id_in_every_form_that_fhir_has() {
    for reference in [
        json!({ "reference": "Patient/p1" }),
        json!({ "reference": "Patient/p1/_history/3" }),
        json!({ "reference": "urn:uuid:p1" }),
        json!({ "reference": "Patient?identifier=urn:neuronova:patient-id|P-1" }),
        json!({ "reference": "Patient?identifier=urn%3Aneuronova%3Apatient-id%7CP-1" }),
        json!({ "type": "Patient", "identifier": { "system": "urn:neuronova:patient-id", "value": "P-1" } }),
    ] {
        assert_eq!(subject(&reference, None), "P-1", "{reference}");
    }
    // A patient that is not in the files keeps its id, and the delivery waits for it.
    assert_eq!(subject(&json!({ "reference": "Patient/p2" }), None), "p2");
    let absolute = json!({ "reference": "https://fhir.example.org/r4/Patient/p1" });
    assert_eq!(subject(&absolute, Some("https://fhir.example.org/r4/")), "P-1");
}

#[test]
fn a_reference_that_may_mean_another_patient_is_refused() {
    let absolute = json!({ "reference": "https://fhir.example.org/r4/Patient/p1" });
    for base in [None, Some("https://fhir.example.org/r"), Some("https://other.example.org/r4")] {
        let found = subject(&absolute, base);
        assert!(found.starts_with("1 refs.subject: is the address of another server; fix: "), "{found}");
    }
    for (reference, reason) in [
        (json!({ "reference": "Group/p1" }), "refers to a resource that is not a Patient"),
        (json!({ "reference": "#p1" }), "refers to a contained resource, which is not imported"),
        (json!({ "reference": "Secretname" }), "is not of the form that FHIR gives it"),
        (json!({ "reference": "Patient/Secret name" }), "is not of the form that FHIR gives it"),
        (json!({ "reference": "Secretname/1" }), "names no resource type of FHIR R4"),
        (json!({ "reference": "Patient?name=Secretname" }), "is a search that is not by identifier"),
        (
            json!({ "reference": "Patient?identifier=urn:mrn|Secretname" }),
            "refers by an identifier that is not of our system",
        ),
        (json!({ "display": "Secretname" }), "names no record"),
    ] {
        assert_eq!(subject(&reference, None), format!("1 refs.subject: {reason}"), "{reference}");
    }
    let lines = [condition(), patient("p1", "P-1"), patient("p1", "P-2")];
    assert_eq!(
        reasons(&read_kind(Kind::Condition, &lines, |_| {})),
        ["1 refs.subject: is the id of two resources in the files, which have different identifiers"]
    );
}

#[test]
fn a_record_has_the_id_of_its_identifier_and_an_encounter_that_is_unclear_is_left_out() {
    let named = json!({ "identifier": [{ "system": "urn:neuronova:patient-id/condition", "value": "C-1" }],
                        "encounter": { "reference": "EpisodeOfCare/1" } });
    let chunk = read_kind(Kind::Condition, &[and(&condition(), &named)], |_| {});
    assert_eq!(chunk.records[0].key().aggregate_id, "C-1");
    assert_eq!(references_of(&chunk.records[0]), ["subject patient p1"]);
    assert_eq!(reasons(&chunk), ["1 refs.encounter: refers to a resource that is not an Encounter"]);
    let identifiers = json!({ "identifier": [{ "system": "urn:mrn/condition", "value": "C-2" }] });
    let chunk = read_kind(Kind::Condition, &[and(&condition(), &identifiers)], |options| {
        options.fhir.identifier_system = Some("urn:mrn".to_owned());
    });
    assert_eq!(chunk.records[0].key().aggregate_id, "C-2");
    let twice = [condition(), and(&condition(), &json!({ "code": { "text": "Tension headache" } }))];
    let chunk = read_kind(Kind::Condition, &twice, |_| {});
    assert_eq!((chunk.records.len(), chunk.repeated), (1, 1));
    assert!(chunk.records[0].payload().contains("Tension headache"), "the last state counts");
}
