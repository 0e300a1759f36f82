//! Valid and invalid FHIR resources as payloads: their references and identifiers. Other types, and FHIR's own rules,
//! are not tested here.

use crate::{Record, Ref};

fn read(payload: &str, refs: &[Ref<'_>]) -> Result<super::FhirResource, Vec<String>> {
    match Record::read("fhir-resource", payload, refs) {
        Ok(Record::FhirResource(resource)) => Ok(resource),
        Ok(other) => panic!("read as {}", other.aggregate_type()),
        Err(problems) => Err(problems.iter().map(ToString::to_string).collect()),
    }
}

fn named<'a>(aggregate_type: &'a str, aggregate_id: &'a str) -> Ref<'a> {
    Ref { name: "subject", aggregate_type, aggregate_id }
}

const IMMUNIZATION: &str = r##"{"resourceType":"Immunization","patient":{"reference":"Patient/P-1"},
    "performer":[{"actor":{"reference":"Practitioner/D-9/_history/3"}},{"actor":{"reference":"#contained"}},
                 {"actor":{"reference":"https://example.org/fhir/Practitioner/1"}},
                 {"actor":{"reference":"urn:uuid:1"}}]}"##;

#[test]
fn relative_references_of_a_resource_must_be_named_in_refs() {
    let refs = [named("patient", "P-1"), named("fhir-resource", "D-9")];
    let resource = read(IMMUNIZATION, &refs).unwrap();
    assert_eq!(resource.resource_type, "Immunization");
    let references: Vec<_> =
        resource.references().into_iter().map(|found| (found.path, found.aggregate_type, found.aggregate_id)).collect();
    assert_eq!(
        references,
        [
            ("patient.reference".to_owned(), "patient", "P-1".to_owned()),
            ("performer[0].actor.reference".to_owned(), "fhir-resource", "D-9".to_owned()),
        ]
    );
    assert_eq!(
        read(IMMUNIZATION, &[named("patient", "P-2"), named("patient", "D-9")]).unwrap_err(),
        [
            "patient.reference: refs does not name it; add an entry of type patient",
            "performer[0].actor.reference: refs does not name it; add an entry of type fhir-resource",
        ]
    );
}

#[test]
fn only_references_are_replaced_and_the_rest_of_a_resource_stays() {
    let refs = [named("patient", "P-1"), named("fhir-resource", "D-9")];
    let resource = read(IMMUNIZATION, &refs).unwrap();
    let written = resource.with_references(|reference| {
        (reference.aggregate_type == "patient").then(|| format!("{}/17", reference.resource_type))
    });
    assert_eq!(written["patient"]["reference"], "Patient/17");
    let actors: Vec<_> =
        (0..4).map(|index| written["performer"][index]["actor"]["reference"].as_str().unwrap()).collect();
    assert_eq!(
        actors,
        ["Practitioner/D-9/_history/3", "#contained", "https://example.org/fhir/Practitioner/1", "urn:uuid:1"]
    );
}

#[test]
fn a_resource_of_a_type_with_its_own_mapping_is_refused() {
    assert_eq!(
        read(r#"{"resourceType":"Patient"}"#, &[]).unwrap_err(),
        ["resourceType: must not be Patient, which is the aggregate type patient"]
    );
    assert_eq!(
        read(r#"{"resourceType":"Condition","identifier":[{"system":"http://a"},{"system":"urn:neuronova:x"}]}"#, &[])
            .unwrap_err(),
        ["identifier[1].system: must not begin with urn:neuronova:, which names our own records"]
    );
    assert!(read(r#"{"resourceType":"Condition","identifier":[{"system":"http://other"}]}"#, &[]).is_ok());
    assert_eq!(
        read(r#"{"resourceType":"immunization"}"#, &[]).unwrap_err(),
        ["resourceType: is not the name of a resource type, such as Immunization"]
    );
    assert_eq!(read("[]", &[]).unwrap_err(), ["payload: must be a JSON object"]);
    assert_eq!(read("{}", &[]).unwrap_err(), ["resourceType: is missing"]);
}
