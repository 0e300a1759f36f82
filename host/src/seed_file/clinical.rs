//! Reads the tables of clinical records: `[[encounters]]` and the others, and `[[fhir_resources]]`.
//!
//! `id`, `patient` and `encounter` identify the record and its references; every other key is a field of its payload.

use std::collections::HashMap;

use serde_json::{Map, Number, Value};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::note_duplicate;
use crate::domain::clinical::{ClinicalRecord, Problem, REFERENCE_NAMES, schema, unknown_fields};
use crate::domain::ids::AggregateKey;
use crate::domain::references::NamedReference;
use crate::domain::spelling::nearest;
use crate::spanned_toml::{Entry, Section};

/// The tables and the aggregate types of their records. Encounters come first, because others refer to them.
pub(super) const TABLES: [(&str, &str); 7] = [
    ("encounters", "encounter"),
    ("conditions", "condition"),
    ("allergies", "allergy"),
    ("medications", "medication"),
    ("observations", "observation"),
    ("appointments", "appointment"),
    ("fhir_resources", "fhir-resource"),
];

/// Keys that are not fields of a payload.
const ID: &str = "id";
const PATIENT: &str = "patient";
const ENCOUNTER: &str = "encounter";
const PAYLOAD: &str = "payload";
const REFS: &str = "refs";

/// Reads the records of one table. Adds the patient of each encounter to `patients_of`.
pub(super) fn read(
    sections: Vec<Section<'_>>,
    aggregate_type: &str,
    patients_of: &mut HashMap<String, String>,
) -> Vec<ClinicalRecord> {
    let mut first_lines = HashMap::new();
    let mut records = Vec::with_capacity(sections.len());
    for mut section in sections {
        let id = section.text(ID);
        note_duplicate(&section, &mut first_lines, ID, id.as_ref());
        if !section.has(ID) {
            section.note_missing(ID, "is missing");
        }
        let patient = section.text(PATIENT);
        let encounter = has_encounter(aggregate_type).then(|| section.text(ENCOUNTER)).flatten();
        note_other_patient(&section, patient.as_ref(), encounter.as_ref(), patients_of);
        if let (Some(id), Some(patient), true) = (&id, &patient, aggregate_type == "encounter") {
            patients_of.insert(id.value.clone(), patient.value.clone());
        }
        let references = [named("subject", "patient", patient), named("encounter", "encounter", encounter)];
        let mut references: Vec<_> = references.into_iter().flatten().collect();
        let (payload, known) = if aggregate_type == "fhir-resource" {
            references.extend(read_refs(&mut section));
            (read_resource(&mut section), Vec::new())
        } else {
            read_fields(&section, aggregate_type)
        };
        if let Some(payload) = payload {
            // A missing id was reported; the rest is checked with a dummy id.
            let aggregate_id = id.map_or_else(|| "-".to_owned(), |id| id.value);
            let key = AggregateKey { aggregate_type: aggregate_type.to_owned(), aggregate_id };
            match ClinicalRecord::new(key, payload, references) {
                Ok(record) => records.push(record),
                Err(problems) => problems.iter().for_each(|problem| note(&section, problem)),
            }
        }
        section.finish(&known);
    }
    records
}

fn has_encounter(aggregate_type: &str) -> bool {
    aggregate_type == "fhir-resource"
        || REFERENCE_NAMES.iter().any(|(name, _, types, _)| *name == ENCOUNTER && types.contains(&aggregate_type))
}

fn named(name: &str, aggregate_type: &str, id: Option<Entry<String>>) -> Option<NamedReference> {
    let (name, aggregate_type) = (name.to_owned(), aggregate_type.to_owned());
    id.map(|id| NamedReference { name, aggregate_type, aggregate_id: id.value })
}

/// Reports an encounter of this file that belongs to another patient. The service checks encounters in the store.
fn note_other_patient(
    section: &Section<'_>,
    patient: Option<&Entry<String>>,
    encounter: Option<&Entry<String>>,
    patients_of: &HashMap<String, String>,
) {
    let other = encounter.and_then(|encounter| patients_of.get(&encounter.value));
    if patient.zip(other).is_some_and(|(own, other)| own.value != *other) {
        let message = "belongs to another patient in this file; fix: name the same patient in both";
        section.note_key(ENCOUNTER, message);
    }
}

/// The payload of a record whose keys are its fields, and the names of these keys.
fn read_fields(section: &Section<'_>, aggregate_type: &str) -> (Option<Value>, Vec<&'static str>) {
    let properties = schema(aggregate_type).and_then(|schema| schema["properties"].as_object());
    let known: Vec<&'static str> = properties.into_iter().flatten().map(|(name, _)| name.as_str()).collect();
    let mut fields = Map::new();
    let mut is_complete = true;
    for (name, value) in section.raw() {
        let name: &str = name.get_ref();
        if !known.contains(&name) {
            continue;
        }
        match to_json(section, value, name) {
            Some(value) => drop(fields.insert(name.to_owned(), value)),
            None => is_complete = false,
        }
    }
    let payload = Value::Object(fields);
    for path in unknown_fields(aggregate_type, &payload) {
        let near = path.rsplit('.').next().and_then(|name| nearest(name, known_below(aggregate_type)));
        let hint = near.map(|word| format!("; did you mean `{word}`?")).unwrap_or_default();
        note_path(section, &path, &format!("unknown key{hint}"));
    }
    (is_complete.then_some(payload), known)
}

/// The names of the nested fields of a record.
fn known_below(aggregate_type: &str) -> impl Iterator<Item = &'static str> + Clone {
    let definitions = schema(aggregate_type).and_then(|schema| schema["$defs"].as_object());
    definitions
        .into_iter()
        .flat_map(|definitions| definitions.values())
        .filter_map(|definition| definition["properties"].as_object())
        .flat_map(|properties| properties.keys().map(String::as_str))
}

/// Reads a resource, written as JSON text or as a table.
fn read_resource(section: &mut Section<'_>) -> Option<Value> {
    if let Some(value) = section.raw().get(PAYLOAD).filter(|value| value.get_ref().is_table()) {
        section.know(PAYLOAD);
        return to_json(section, value, PAYLOAD);
    }
    if !section.has(PAYLOAD) {
        section.know(PAYLOAD);
        section.note_missing(PAYLOAD, "is missing: the resource, as JSON text or as a table");
        return None;
    }
    let text = section.text(PAYLOAD)?;
    match serde_json::from_str(&text.value) {
        Ok(value) => Some(value),
        Err(error) => {
            let place = format!("line {} column {} of the text", error.line(), error.column());
            section.note_key(PAYLOAD, format!("is not JSON: an error at {place}"));
            None
        }
    }
}

/// Reads `refs = [{ name = "performer", type = "fhir-resource", id = "D-1" }]`.
fn read_refs(section: &mut Section<'_>) -> Vec<NamedReference> {
    let mut references = Vec::new();
    for mut entry in section.array(REFS) {
        let [name, aggregate_type, id] = ["name", "type", "id"].map(|key| {
            if !entry.has(key) {
                entry.note_missing(key, "is missing");
            }
            entry.text(key)
        });
        if let (Some(name), Some(aggregate_type)) = (name, aggregate_type) {
            references.extend(named(&name.value, &aggregate_type.value, id));
        }
        entry.finish(&[]);
    }
    references
}

/// A value as JSON, with dates and times as text. For a number that JSON cannot express, reports a problem and returns
/// `None`.
fn to_json(section: &Section<'_>, value: &Spanned<DeValue<'_>>, path: &str) -> Option<Value> {
    let number = |number: Option<Number>| {
        if number.is_none() {
            section.note_at(value, path, "is not a number that JSON has");
        }
        number.map(Value::Number)
    };
    match value.get_ref() {
        DeValue::String(text) => Some(Value::String(text.to_string())),
        DeValue::Integer(digits) => number(i64::from_str_radix(digits.as_str(), digits.radix()).ok().map(Number::from)),
        DeValue::Float(digits) => number(digits.as_str().parse().ok().and_then(Number::from_f64)),
        DeValue::Boolean(truth) => Some(Value::Bool(*truth)),
        DeValue::Datetime(datetime) => Some(Value::String(datetime.to_string())),
        DeValue::Array(items) => {
            let item = |(index, item)| to_json(section, item, &format!("{path}[{index}]"));
            items.iter().enumerate().map(item).collect::<Option<_>>().map(Value::Array)
        }
        DeValue::Table(table) => {
            let field = |(name, value): (&Spanned<_>, &Spanned<DeValue<'_>>)| {
                let name: &str = AsRef::<str>::as_ref(name.get_ref());
                Some((name.to_owned(), to_json(section, value, &format!("{path}.{name}"))?))
            };
            table.iter().map(field).collect::<Option<_>>().map(Value::Object)
        }
    }
}

/// Reports a problem of a record on the line of its key.
fn note(section: &Section<'_>, problem: &Problem) {
    let Problem { path, message } = problem;
    match path.as_str() {
        ID => section.note_key(ID, message.clone()),
        "payload" => section.note(message.clone()),
        "refs.subject" if section.has(PATIENT) => section.note_key(PATIENT, message.clone()),
        "refs.subject" => section.note_missing(PATIENT, "is missing"),
        "refs.encounter" => section.note_key(ENCOUNTER, message.clone()),
        path if path == REFS || path.starts_with("refs.") => section.note_key(REFS, message.clone()),
        path => note_path(section, path, message),
    }
}

/// Reports a problem of a payload's field on the line of the nearest existing value on its path.
fn note_path(section: &Section<'_>, path: &str, message: &str) {
    let below = if section.has(PAYLOAD) { format!("{PAYLOAD}.{path}") } else { path.to_owned() };
    match deepest(section.raw(), &below) {
        Some(value) => section.note_at(value, &below, message),
        None => section.note_missing_at(&below, message),
    }
}

fn deepest<'a>(table: &'a DeTable<'a>, path: &str) -> Option<&'a Spanned<DeValue<'a>>> {
    let (first, rest) = split(path);
    let mut value = table.get(first)?;
    let mut rest = rest;
    while let Some(path) = rest {
        let (first, after) = split(path);
        let next = match value.get_ref() {
            DeValue::Table(table) => table.get(first),
            DeValue::Array(items) => first.trim_end_matches(']').parse().ok().and_then(|index: usize| items.get(index)),
            _ => None,
        };
        let Some(next) = next else { return Some(value) };
        (value, rest) = (next, after);
    }
    Some(value)
}

/// The first step of `reaction[0].severity`, and the rest.
fn split(path: &str) -> (&str, Option<&str>) {
    path.find(['.', '[']).map_or((path, None), |at| (&path[..at], Some(&path[at + 1..])))
}
