//! Resources that are passed through: identifiers, references, and the server's own elements.

use super::*;

fn given(resource: &Value, references: &[(&str, &str, &str, Option<&str>)]) -> Result<Value, String> {
    written(&of_type("fhir-resource", "R-1", resource, references)).map_err(|failure| failure.message)
}

fn ours() -> Value {
    json!({ "system": "urn:neuronova:patient-id/fhir-resource", "value": "R-1" })
}

#[test]
fn a_passed_through_resource_is_unchanged_but_for_our_identifier_first() {
    let lot = json!({ "system": "urn:lot", "value": "7" });
    let resource = json!({
        "resourceType": "Immunization", "id": "R-1", "status": "completed", "identifier": [lot],
        "meta": { "versionId": "4", "lastUpdated": "2026-01-01T00:00:00Z", "tag": [{ "code": "x" }] },
        "text": { "status": "additional", "div": "<div/>" }, "_status": { "id": "a" },
    });
    let written = given(&resource, &[]).unwrap();
    let mut expected = resource;
    expected.as_object_mut().unwrap().remove("id");
    expected["identifier"] = json!([ours(), lot]);
    expected["meta"] = json!({ "tag": [{ "code": "x" }] });
    assert_eq!(written, expected);
}

#[test]
fn references_point_to_the_records_of_this_server() {
    let resource = json!({
        "resourceType": "Procedure",
        "subject": { "reference": "Patient/P-1", "display": "Kim" },
        "encounter": { "reference": "Encounter/E-1/_history/2" },
        "performer": [{ "actor": { "reference": "Practitioner/D-1" } }, { "actor": { "reference": "#inside" } }],
        "partOf": [{ "reference": "http://other.example/fhir/Procedure/1" }, { "reference": "urn:uuid:1" }],
    });
    let doctor = ("doctor", "fhir-resource", "D-1", Some("Practitioner/d7"));
    let written = given(&resource, &[SUBJECT, ENCOUNTER, doctor]).unwrap();
    assert_eq!(written["subject"], json!({ "reference": "Patient/17", "display": "Kim" }));
    assert_eq!(written["encounter"], json!({ "reference": "Encounter/e9" }));
    assert_eq!(
        written["performer"],
        json!([{ "actor": { "reference": "Practitioner/d7" } }, { "actor": { "reference": "#inside" } }])
    );
    assert_eq!(written["partOf"], resource["partOf"]);
}

#[test]
fn unnamed_and_wrongly_typed_references_are_refused_by_path() {
    let resource = json!({ "resourceType": "Procedure", "subject": { "reference": "Patient/P-2" },
        "performer": [{ "actor": { "reference": "Practitioner/D-1" } }] });
    let doctor = |remote_id| ("doctor", "fhir-resource", "D-1", Some(remote_id));
    let unnamed = given(&resource, &[SUBJECT, doctor("Practitioner/d7")]).unwrap_err();
    assert!(unnamed.contains("subject.reference: refs does not name it"), "{unnamed}");
    let other = ("subject", "patient", "P-2", Some("18"));
    let wrong = given(&resource, &[other, doctor("Organization/d7")]).unwrap_err();
    assert!(wrong.starts_with("performer[0].actor.reference: ") && wrong.contains("another type"), "{wrong}");
}

#[test]
fn a_reference_to_a_type_that_the_target_does_not_accept_uses_the_identifier() {
    let resource = json!({ "resourceType": "Procedure", "subject": { "reference": "Patient/P-1" } });
    let written = given(&resource, &[("subject", "patient", "P-1", None)]).unwrap();
    let identifier = json!({ "system": "urn:neuronova:patient-id", "value": "P-1" });
    assert_eq!(written["subject"], json!({ "type": "Patient", "identifier": identifier }));
}

#[test]
fn our_identifier_is_never_copied_from_a_payload() {
    let settings = Settings { identifier_system: "urn:clinic".to_owned(), ..Settings::default() };
    for (system, is_refused) in [
        ("urn:clinic", true),
        ("urn:clinic/observation", true),
        ("urn:clinic/fhir-resource", true),
        ("urn:clinic-of-others", false),
    ] {
        let resource = json!({ "resourceType": "Observation", "identifier": [{ "system": system, "value": "O-1" }] });
        let change = of_type("fhir-resource", "R-1", &resource, &[]);
        let written = wanted::read(&settings, &change).map(|_| ()).map_err(|failure| failure.message);
        assert_eq!(written.is_err(), is_refused, "{system}");
        assert!(written.err().is_none_or(|message| message.starts_with("identifier[0].system: ")));
    }
}

#[test]
fn a_type_with_a_single_identifier_gets_ours() {
    let bare = json!({ "resourceType": "QuestionnaireResponse", "status": "completed" });
    assert_eq!(given(&bare, &[]).unwrap()["identifier"], ours());
    let mut own = bare;
    own["identifier"] = json!({ "system": "urn:lot", "value": "7" });
    assert!(given(&own, &[]).unwrap_err().starts_with("identifier: QuestionnaireResponse has room for one"));
}

#[test]
fn types_without_an_identifier_are_known() {
    for (name, has) in
        [("AuditEvent", false), ("Provenance", false), ("VerificationResult", false), ("Immunization", true)]
    {
        assert_eq!(pass_through::has_identifier(name), has, "{name}");
    }
}
