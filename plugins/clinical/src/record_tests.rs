//! Reads valid and invalid payloads of every type, with references. `validator_tests.rs` covers what the schemas alone
//! decide.

use serde_json::{Value, json};

use super::{Record, Ref};
use crate::TYPES;
use crate::samples::full;

const SUBJECT: Ref<'static> = Ref { name: "subject", aggregate_type: "patient", aggregate_id: "P-1" };
const ENCOUNTER: Ref<'static> = Ref { name: "encounter", aggregate_type: "encounter", aggregate_id: "E-1" };

/// The full record with the value at `pointer` replaced, or removed for `null`.
fn changed(aggregate_type: &str, pointer: &str, value: Value) -> Value {
    let mut record = full(aggregate_type);
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    let parent = record.pointer_mut(parent).unwrap();
    match (parent, value) {
        (Value::Object(fields), Value::Null) => drop(fields.remove(name).unwrap()),
        (Value::Object(fields), value) => drop(fields.insert(name.to_owned(), value)),
        (Value::Array(items), value) => items[name.parse::<usize>().unwrap()] = value,
        _ => panic!("{pointer} is nowhere"),
    }
    record
}

fn problems(aggregate_type: &str, payload: &Value, refs: &[Ref<'_>]) -> Vec<String> {
    let read = Record::read(aggregate_type, &payload.to_string(), refs);
    read.err().unwrap_or_default().iter().map(ToString::to_string).collect()
}

#[test]
fn a_full_record_of_each_type_is_read_and_unknown_fields_are_ignored() {
    for aggregate_type in TYPES {
        let mut payload = full(aggregate_type);
        payload["field_of_a_newer_version"] = json!({ "a": 1 });
        let record = Record::read(aggregate_type, &payload.to_string(), &[SUBJECT, ENCOUNTER]).unwrap();
        assert_eq!(record.aggregate_type(), aggregate_type);
    }
    let Ok(Record::Encounter(encounter)) = Record::read("encounter", &full("encounter").to_string(), &[SUBJECT]) else {
        panic!("not an encounter")
    };
    assert_eq!((encounter.status.as_str(), encounter.kind.unwrap().display.as_str()), ("finished", "One"));
    let Ok(Record::Allergy(allergy)) = Record::read("allergy", &full("allergy").to_string(), &[SUBJECT]) else {
        panic!("not an allergy")
    };
    assert_eq!((allergy.kind.as_deref(), allergy.reaction.len()), (Some("allergy"), 2));
}

#[test]
fn each_broken_rule_is_reported_by_path_and_never_by_value() {
    for (aggregate_type, pointer, value, expected) in [
        (
            "allergy",
            "/reaction/0/severity",
            json!("Secret"),
            "reaction[0].severity: is not one of mild, moderate, severe",
        ),
        ("allergy", "/reaction", json!(vec![json!({}); 17]), "reaction: has 17 elements, at most 16"),
        ("allergy", "/reaction/1", json!("Secret"), "reaction[1]: must be a JSON object"),
        ("allergy", "/onset", json!("2023-02-29"), "onset: is not a day of the calendar"),
        ("condition", "/code", json!(null), "code: is missing"),
        ("condition", "/code/system", json!(null), "code.system: is missing, code needs it"),
        ("condition", "/code/system", json!("Secret"), "code.system: is not an absolute URI, such as http://loinc.org"),
        (
            "condition",
            "/code/display",
            json!("x".repeat(256)),
            "code.display: is too long: 256 characters, at most 255",
        ),
        ("condition", "/note", json!(17), "note: must be text"),
        ("condition", "/abatement", json!("2018-12"), "abatement: is before onset"),
        (
            "condition",
            "/recorded_date",
            json!("2023-02-29"),
            "recorded_date: is not a date of the calendar (YYYY-MM-DD)",
        ),
        (
            "encounter",
            "/provider",
            json!("Se\ncret"),
            "provider: must be text that is not blank, without control characters such as a line break or a tab",
        ),
        (
            "encounter",
            "/period/start",
            json!("2025-06-01"),
            "period.start: is not a moment with its offset from UTC (YYYY-MM-DDThh:mm:ss+hh:mm or Z)",
        ),
        ("encounter", "/period/end", json!("2025-06-01T00:00:00Z"), ""),
        ("encounter", "/period/end", json!("2025-05-31T23:59:59Z"), "period.end: is before period.start"),
        ("medication", "/effective", json!({}), "effective: must have start, end or both"),
        ("medication", "/effective/end", json!("2023-12-31"), "effective.end: is before effective.start"),
        ("medication", "/effective/start", json!("2023-02-30"), "effective.start: is not on a day of the calendar"),
        ("observation", "/value_quantity/value", json!("37"), "value_quantity.value: must be a number"),
        ("observation", "/value_quantity/value", json!(1e13), "value_quantity.value: is above 1000000000000"),
        ("observation", "/component", json!([]), "component: has 0 elements, at least 1"),
        ("observation", "/reference_range/high", json!(35), "reference_range.high: is below reference_range.low"),
        ("observation", "/reference_range", json!({}), "reference_range: must have low, high or text"),
        (
            "observation",
            "/value_string",
            json!("Secret"),
            "payload: must have only one of value_quantity, value_concept, value_string and component",
        ),
        (
            "observation",
            "/value_quantity",
            json!(null),
            "payload: must have exactly one of value_quantity, value_concept, value_string and component, or a status \
             without a value",
        ),
        ("appointment", "/end", json!("2026-01-01T00:00:00Z"), "end: is not after start"),
    ] {
        let expected: Vec<_> = if expected.is_empty() { vec![] } else { vec![expected.to_owned()] };
        assert_eq!(problems(aggregate_type, &changed(aggregate_type, pointer, value), &[SUBJECT]), expected);
    }
}

#[test]
fn null_is_refused_with_the_fix() {
    let payload = full("condition").to_string().replace("\"mild\"", "null");
    let problems = Record::read("condition", &payload, &[SUBJECT]).unwrap_err();
    assert_eq!(problems[0].to_string(), "severity: is not one of mild, moderate, severe");
    let payload = full("condition").to_string().replace("\"2019\"", "null");
    let problems = Record::read("condition", &payload, &[SUBJECT]).unwrap_err();
    assert_eq!(problems[0].to_string(), "onset: must be text; leave it out instead of null");
}

#[test]
fn an_observation_without_a_value_needs_a_status_that_explains_it() {
    for (status, is_read) in [("registered", true), ("cancelled", true), ("entered-in-error", true), ("final", false)] {
        let mut payload = changed("observation", "/value_quantity", Value::Null);
        payload["status"] = json!(status);
        assert_eq!(problems("observation", &payload, &[SUBJECT]).is_empty(), is_read, "{status}");
    }
}

#[test]
fn references_have_the_names_and_types_that_the_record_needs() {
    let wrong = Ref { aggregate_type: "person", ..SUBJECT };
    assert_eq!(problems("allergy", &full("allergy"), &[]), ["refs.subject: is missing; it names the patient"]);
    assert_eq!(problems("allergy", &full("allergy"), &[wrong]), ["refs.subject: must be of type patient"]);
    let wrong = Ref { aggregate_type: "visit", ..ENCOUNTER };
    assert_eq!(problems("allergy", &full("allergy"), &[SUBJECT, wrong]), ["refs.encounter: must be of type encounter"]);
    // An encounter refers to no other encounter, and a resource contains its references itself.
    assert_eq!(problems("encounter", &full("encounter"), &[SUBJECT, wrong]), [""; 0]);
    assert_eq!(problems("fhir-resource", &full("fhir-resource"), &[]), [""; 0]);
}

#[test]
fn a_payload_that_is_not_a_clinical_record_is_reported_as_payload() {
    assert_eq!(problems("patient", &json!({}), &[]), ["payload: its aggregate type is not a clinical one"]);
    assert_eq!(problems("condition", &json!([]), &[SUBJECT]), ["payload: must be a JSON object"]);
}
