//! Owns records whose every text can be found again: a patient with every field, and records of each clinical type that
//! together have every text field of its schema. A test delivers them, and then looks for their marks where nothing of
//! a patient may be.
//!
//! Not marked are words of a closed list (`female`, `active`), which names of our own have too, and short numbers.

use serde_json::{Map, Value, json};

/// The id of the marked patient, where a test looks for the id too.
pub const PATIENT_ID: &str = "Zz-patient_id";

/// In the ids of the records, so that a test can look for them where no id may be either.
pub const ID_MARK: &str = "zzid";

/// A record of a clinical type.
#[derive(Debug, Clone)]
pub struct MarkedRecord {
    /// As `sync_outbox.aggregate_type`.
    pub aggregate_type: &'static str,
    /// As `sync_outbox.aggregate_id`. It has [`ID_MARK`], and no other mark.
    pub id: &'static str,
    /// As `sync_outbox.payload`.
    pub payload: Value,
    /// As `sync_outbox.refs`.
    pub refs: Value,
}

/// A patient with every field that there is.
#[must_use]
pub fn patient(id: &str) -> Value {
    let dates = [("birth_date", "1953-07-19"), ("deceased_date", "2021-11-23")];
    let words = [("gender", "female"), ("marital_status", "widowed"), ("country", "KR"), ("language", "ko")];
    let codes = [("email", "zzmail@zzmarked.example"), ("race", "asian"), ("ethnicity", "not_hisp_or_latin")];
    let texts = [
        "family_name",
        "given_name",
        "middle_name",
        "native_family_name",
        "native_given_name",
        "title",
        "suffix",
        "phone_home",
        "phone_mobile",
        "phone_work",
        "street",
        "street_line_2",
        "city",
        "state",
        "postal_code",
        "national_id",
    ];
    let texts = texts.map(|field| (field.to_owned(), json!(format!("Zz-{field}"))));
    let others = dates.into_iter().chain(words).chain(codes).map(|(field, text)| (field.to_owned(), json!(text)));
    let mut patient: Map<_, _> = texts.into_iter().chain(others).collect();
    patient.insert("patient_id".to_owned(), json!(id));
    Value::Object(patient)
}

/// The marks of that patient, but for the id.
#[must_use]
pub fn patient_marks() -> Vec<String> {
    marks_of(&patient("none"))
}

/// Records of every clinical type of a patient, in an order in which each comes behind what it refers to.
#[must_use]
pub fn records(patient_id: &str) -> Vec<MarkedRecord> {
    let of_patient = json!([{ "name": "subject", "type": "patient", "id": patient_id }]);
    let mut of_encounter = of_patient.clone();
    if let Some(refs) = of_encounter.as_array_mut() {
        refs.push(json!({ "name": "encounter", "type": "encounter", "id": "E-zzid-1" }));
    }
    let record = |aggregate_type, id, payload| {
        let refs = match aggregate_type {
            "fhir-resource" => json!([{ "name": "patient", "type": "patient", "id": patient_id }]),
            "encounter" | "appointment" => of_patient.clone(),
            _ => of_encounter.clone(),
        };
        MarkedRecord { aggregate_type, id, payload, refs }
    };
    let mut records = vec![
        record("encounter", "E-zzid-1", encounter()),
        record("condition", "C-zzid-1", condition()),
        record("allergy", "L-zzid-1", allergy()),
        record("medication", "M-zzid-1", medication()),
        record("appointment", "B-zzid-1", appointment()),
        record("fhir-resource", "I-zzid-1", immunization(patient_id)),
    ];
    let ids = ["O-zzid-1", "O-zzid-2", "O-zzid-3", "O-zzid-4", "O-zzid-5"];
    records.extend(ids.into_iter().zip(observations()).map(|(id, payload)| record("observation", id, payload)));
    records
}

/// The marks of those records.
#[must_use]
pub fn record_marks() -> Vec<String> {
    records("none").iter().flat_map(|record| marks_of(&record.payload)).collect()
}

/// Which of the marks a text has, in upper or lower case.
#[must_use]
pub fn found<'a>(marks: &'a [String], text: &str) -> Vec<&'a str> {
    let text = text.to_lowercase();
    marks.iter().map(String::as_str).filter(|mark| text.contains(&mark.to_lowercase())).collect()
}

/// A code with its text, each marked.
fn concept(mark: &str) -> Value {
    json!({
        "system": format!("http://zzmarked.example/{mark}"), "code": format!("Zz-{mark}-code"),
        "display": format!("Zz-{mark}"),
    })
}

/// A number with its unit, each text marked.
fn quantity(mark: &str) -> Value {
    json!({
        "value": 71.375, "unit": format!("Zz-{mark}-unit"), "system": format!("http://zzmarked.example/{mark}/unit"),
        "code": format!("Zz-{mark}-unit-code"),
    })
}

fn encounter() -> Value {
    json!({
        "status": "finished", "class": "AMB", "type": concept("encounter-type"),
        "reason_code": concept("encounter-reason"), "provider": "Zz-encounter-provider",
        "location": "Zz-encounter-location",
        "period": { "start": "1971-02-11T03:47:11+09:00", "end": "1971-02-11T04:53:17+09:00" },
    })
}

fn condition() -> Value {
    json!({
        "clinical_status": "resolved", "verification_status": "confirmed", "category": "problem-list-item",
        "severity": "mild", "code": concept("condition-code"), "onset": "1972-03-13", "abatement": "1973-04-17",
        "recorded_date": "1972-03-19", "note": "Zz-condition-note",
    })
}

fn allergy() -> Value {
    json!({
        "clinical_status": "active", "verification_status": "confirmed", "type": "allergy", "category": "food",
        "criticality": "high", "code": concept("allergy-code"), "onset": "1974-05-23", "recorded_date": "1974-05-29",
        "note": "Zz-allergy-note",
        "reaction": [{ "manifestation": concept("allergy-manifestation"), "severity": "severe" }],
    })
}

fn medication() -> Value {
    json!({
        "status": "active", "medication": concept("medication-code"),
        "effective": { "start": "1975-06-13", "end": "1975-06-17T10:31:37Z" }, "date_asserted": "1975-06-19",
        "dosage": "Zz-medication-dosage", "route": concept("medication-route"),
        "reason_code": concept("medication-reason"), "note": "Zz-medication-note",
    })
}

fn appointment() -> Value {
    json!({
        "status": "booked", "service_type": concept("appointment-service"),
        "reason_code": concept("appointment-reason"), "description": "Zz-appointment-description",
        "start": "1976-07-23T09:13:00+09:00", "end": "1976-07-23T09:43:00+09:00", "comment": "Zz-appointment-comment",
    })
}

/// A pulse, which a chart has a place for, and one observation with each kind of value.
fn observations() -> [Value; 5] {
    let observation = |mark: &str, more: Value| {
        let mut observation = json!({
            "status": "final", "category": "laboratory", "code": concept(&format!("{mark}-observation")),
            "effective": "1977-08-29T11:17:00+09:00", "interpretation": "H", "note": format!("Zz-{mark}-note"),
            "reference_range": { "low": 36.125, "high": 93.625, "text": format!("Zz-{mark}-range") },
        });
        for (field, value) in more.as_object().into_iter().flatten() {
            observation[field] = value.clone();
        }
        observation
    };
    let pulse = json!({
        "category": "vital-signs", "value_quantity": { "value": 71, "unit": "/min" },
        "code": { "system": "http://loinc.org", "code": "8867-4", "display": "Zz-pulse-observation" },
    });
    let component = json!([{ "code": concept("component"), "value_quantity": quantity("component") }]);
    [
        observation("pulse", pulse),
        observation("quantity", json!({ "value_quantity": quantity("quantity") })),
        observation("concept", json!({ "value_concept": concept("value") })),
        observation("string", json!({ "value_string": "Zz-string-value" })),
        observation("components", json!({ "component": component })),
    ]
}

fn immunization(patient_id: &str) -> Value {
    json!({
        "resourceType": "Immunization", "status": "completed",
        "vaccineCode": { "coding": [concept("vaccine")], "text": "Zz-vaccine-text" },
        "patient": { "reference": format!("Patient/{patient_id}") }, "occurrenceDateTime": "1978-09-19",
        "lotNumber": "Zz-vaccine-lot", "note": [{ "text": "Zz-vaccine-note" }],
    })
}

/// Every text in a value by which it can be found: a marked one, or a day.
fn marks_of(value: &Value) -> Vec<String> {
    let is_day = |text: &str| text.len() >= 10 && ["19", "20"].iter().any(|century| text.starts_with(century));
    match value {
        Value::String(text) if is_day(text) => vec![text.chars().take(10).collect()],
        Value::String(text) if text.contains("Zz-") || text.contains("zzmarked") => vec![text.clone()],
        Value::Array(list) => list.iter().flat_map(marks_of).collect(),
        Value::Object(fields) => fields.values().flat_map(marks_of).collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The paths of all texts of a schema that are not of a closed list. An element of a list has the name of the list.
    fn text_paths(schema: &Value, node: &Value, path: &str, paths: &mut BTreeSet<String>) {
        if let Some(name) = node["$ref"].as_str().and_then(|name| name.strip_prefix("#/$defs/")) {
            return text_paths(schema, &schema["$defs"][name], path, paths);
        }
        if node["type"] == "string" {
            paths.insert(path.to_owned());
        }
        if node["type"] == "array" {
            text_paths(schema, &node["items"], path, paths);
        }
        for (field, property) in node["properties"].as_object().into_iter().flatten() {
            text_paths(schema, property, &format!("{path}/{field}"), paths);
        }
    }

    /// The paths of the marks of a record.
    fn marked_paths(value: &Value, path: &str, paths: &mut BTreeSet<String>) {
        match value {
            Value::String(_) if !marks_of(value).is_empty() => drop(paths.insert(path.to_owned())),
            Value::Array(list) => list.iter().for_each(|element| marked_paths(element, path, paths)),
            Value::Object(fields) => {
                fields.iter().for_each(|(field, value)| marked_paths(value, &format!("{path}/{field}"), paths));
            }
            _ => {}
        }
    }

    #[test]
    fn every_text_of_every_clinical_type_is_marked() {
        let folder = crate::environment::workspace().join("schemas");
        let mut types = 0;
        for file in std::fs::read_dir(folder).unwrap() {
            let path = file.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().strip_suffix(".schema.json").unwrap().to_owned();
            let schema: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
            let (mut expected, mut marked) = (BTreeSet::new(), BTreeSet::new());
            text_paths(&schema, &schema, "", &mut expected);
            // The name of a type of FHIR is nobody's.
            expected.remove("/resourceType");
            for record in records("P-1").iter().filter(|record| record.aggregate_type == name) {
                marked_paths(&record.payload, "", &mut marked);
                types += 1;
            }
            let missing: Vec<_> = expected.difference(&marked).collect();
            assert!(missing.is_empty(), "{name}: {missing:?}");
        }
        assert_eq!(types, 11, "each record is of one of the types");
    }

    #[test]
    fn a_mark_is_found_in_any_case() {
        let marks = patient_marks();
        assert_eq!(marks.len(), 19, "{marks:?}");
        assert_eq!(found(&marks, "of ZZ-CITY, born 1953-07-19"), ["1953-07-19", "Zz-city"]);
        assert_eq!(found(&record_marks(), "nothing"), Vec::<&str>::new());
    }
}
