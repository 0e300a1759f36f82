//! The suite's own examples of clinical records, and payloads that break the rules of their schemas.

use serde_json::{Value, json};

use super::examples::Example;
use crate::domain::change::Change;

/// Values of which no schema accepts each: every field of an example gets each of them.
const ODD: [(&str, &str); 7] = [
    ("null", "null"),
    ("a number below any that is accepted", "-2e15"),
    ("an empty text", "\"\""),
    ("a text with a NUL character", "\"a\\u0000b\""),
    ("a text that is no code of any list", "\"conformance-none\""),
    ("a list", "[]"),
    ("an object", "{}"),
];

/// The reference names of the examples.
const SUBJECT: &str = r#"[{"name": "subject", "type": "patient", "id": "of-the-suite"}]"#;
const SUBJECT_AND_ENCOUNTER: &str = r#"[{"name": "subject", "type": "patient", "id": "of-the-suite"},
    {"name": "encounter", "type": "encounter", "id": "of-the-suite"}]"#;

/// The example of a type of clinical records; `None` for another type.
pub(super) fn example(aggregate_type: &str) -> Option<Example> {
    let (payload, refs) = match aggregate_type {
        "encounter" => (
            json!({
                "status": "finished", "class": "AMB", "reason_code": { "display": "${text}" },
                "period": { "start": "2025-06-02T09:00:00+09:00", "end": "2025-06-02T09:30:00+09:00" },
            }),
            SUBJECT,
        ),
        "condition" => (
            json!({ "clinical_status": "active", "code": { "display": "${text}" }, "onset": "2019-03" }),
            SUBJECT_AND_ENCOUNTER,
        ),
        "allergy" => (json!({ "clinical_status": "active", "code": { "display": "${text}" } }), SUBJECT),
        "medication" => (
            json!({
                "status": "active", "medication": { "display": "${text}" }, "effective": { "start": "2024-01-01" },
            }),
            SUBJECT,
        ),
        "observation" => (
            json!({
                "status": "final", "category": "vital-signs", "effective": "2025-06-02T09:10:00+09:00",
                "code": { "system": "http://loinc.org", "code": "29463-7", "display": "Body weight" },
                "value_quantity": {
                    "value": "${number}", "unit": "kg", "system": "http://unitsofmeasure.org", "code": "kg",
                },
                "note": "${text}",
            }),
            SUBJECT_AND_ENCOUNTER,
        ),
        "appointment" => (
            json!({
                "status": "booked", "description": "${text}",
                "start": "2026-01-05T09:00:00+09:00", "end": "2026-01-05T09:15:00+09:00",
            }),
            SUBJECT,
        ),
        "fhir-resource" => (json!({ "resourceType": "Organization", "name": "${text}" }), "[]"),
        _ => return None,
    };
    let mut example = Example::parse(aggregate_type, &payload.to_string())
        .expect("invariant: the examples of this file are examples, as a test checks");
    example.refer(refs).expect("invariant: the references of this file are references, as a test checks");
    Some(example)
}

/// Payloads of a clinical type that break its schema or rules, made of a valid change, each with the rule that it
/// breaks. None for another type.
pub(super) fn broken(aggregate_type: &str, valid: &Change) -> Vec<(String, String)> {
    if clinical_payload::schema(aggregate_type).is_none() {
        return Vec::new();
    }
    let payload: Value = serde_json::from_str(&valid.payload).unwrap_or_default();
    let mut places = Vec::new();
    pointers(&payload, "", &mut places);
    let mut broken = Vec::new();
    for place in places {
        let odd = ODD.iter().filter_map(|(rule, value)| {
            let mut payload = payload.clone();
            *payload.pointer_mut(&place)? = serde_json::from_str(value).ok()?;
            Some((format!("{rule} ({})", dotted(&place)), payload))
        });
        let missing = without(&payload, &place).map(|payload| (format!("{} is missing", dotted(&place)), payload));
        let changed = odd.chain(missing).map(|(rule, payload)| (rule, payload.to_string()));
        broken.extend(changed.filter(|(_, payload)| is_broken(aggregate_type, payload, valid)));
    }
    broken
}

/// Whether a payload is refused by the rules that the host itself uses.
fn is_broken(aggregate_type: &str, payload: &str, valid: &Change) -> bool {
    let refs: Vec<_> = valid
        .references
        .iter()
        .map(|reference| clinical_payload::Ref {
            name: &reference.name,
            aggregate_type: &reference.aggregate_type,
            aggregate_id: &reference.aggregate_id,
        })
        .collect();
    clinical_payload::Record::read(aggregate_type, payload, &refs).is_err()
}

/// The JSON pointers of every value in an object.
fn pointers(value: &Value, at: &str, found: &mut Vec<String>) {
    for (name, value) in value.as_object().into_iter().flatten() {
        let at = format!("{at}/{name}");
        pointers(value, &at, found);
        found.push(at);
    }
}

fn without(payload: &Value, pointer: &str) -> Option<Value> {
    let (parent, name) = pointer.rsplit_once('/')?;
    let mut payload = payload.clone();
    payload.pointer_mut(parent)?.as_object_mut()?.remove(name)?;
    Some(payload)
}

fn dotted(pointer: &str) -> String {
    pointer.trim_start_matches('/').replace('/', ".")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance::subjects::{Source, Subjects};
    use crate::domain::change::Reference;

    fn valid(aggregate_type: &str) -> Change {
        let subjects = Subjects::new(Source::Example(example(aggregate_type).unwrap()));
        let reference = |name: &str| Reference {
            name: name.to_owned(),
            aggregate_type: if name == "subject" { "patient" } else { name }.to_owned(),
            aggregate_id: "X-1".to_owned(),
            remote_id: Some("7".to_owned()),
        };
        let names: Vec<_> = subjects.wanted_references().iter().map(|wanted| reference(&wanted.name)).collect();
        subjects.refer_to(names);
        subjects.create(1).remove(0)
    }

    #[test]
    fn every_clinical_type_has_a_valid_example_and_broken_payloads() {
        for aggregate_type in clinical_payload::TYPES {
            let valid = valid(aggregate_type);
            assert!(!is_broken(aggregate_type, &valid.payload, &valid), "{aggregate_type}: {}", valid.payload);
            let broken = broken(aggregate_type, &valid);
            let least = if aggregate_type == "fhir-resource" { 5 } else { 15 };
            assert!(broken.len() >= least, "{aggregate_type}: {broken:?}");
        }
        assert!(example("lab-result").is_none());
        assert_eq!(broken("lab-result", &valid("condition")), []);
        let rules: Vec<_> = broken("condition", &valid("condition")).into_iter().map(|(rule, _)| rule).collect();
        for rule in ["clinical_status is missing", "null (onset)", "an empty text (code.display)"] {
            assert!(rules.iter().any(|found| found == rule), "{rule}: {rules:?}");
        }
    }
}
