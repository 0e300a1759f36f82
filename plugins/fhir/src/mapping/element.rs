//! Elements of several types: codes, quantities, notes, references to other records.

use adapter_sdk::Reference;
use adapter_sdk::clinical::{Concept, Quantity};
use serde_json::{Map, Value, json};

use super::{present, text};
use crate::kind::{IsOurs, Kind, Parts, Whole};
use crate::settings::Settings;

/// The references of a change, as elements of type `Reference`.
#[derive(Clone, Copy)]
pub(crate) struct References<'a> {
    pub(crate) all: &'a [Reference],
    pub(crate) settings: &'a Settings,
}

impl References<'_> {
    /// The reference of this name: to the server's record, or by identifier alone if this target does not accept
    /// records of that type.
    pub(super) fn named(&self, name: &str) -> Option<Value> {
        self.all.iter().find(|reference| reference.name == name).and_then(|reference| self.element(reference))
    }

    /// The element for a reference; `None` for a type without a resource of ours.
    pub(super) fn element(&self, reference: &Reference) -> Option<Value> {
        let kind = Kind::of(&reference.aggregate_type, self.settings)?;
        Some(match reference.remote_id.as_deref().filter(|id| !id.is_empty()) {
            Some(id) => json!({ "reference": format!("{}/{id}", kind.resource_type) }),
            None => json!({
                "type": kind.resource_type,
                "identifier": { "system": kind.system, "value": reference.aggregate_id },
            }),
        })
    }
}

/// The elements that every record of a type has.
pub(super) fn begin(kind: &Kind<'_>, aggregate_id: &str) -> Map<String, Value> {
    let mut resource = Map::new();
    resource.insert("resourceType".to_owned(), json!(kind.resource_type));
    resource.insert("identifier".to_owned(), json!([{ "system": kind.system, "value": aggregate_id }]));
    resource
}

/// Whether an identifier is the one by which we find the record.
pub(super) fn is_our_identifier(kind: &Kind<'_>, entry: &Value) -> bool {
    text(entry, "system") == Some(&*kind.system)
}

pub(super) fn put(object: &mut Map<String, Value>, element: &str, value: Option<Value>) {
    if let Some(value) = value {
        object.insert(element.to_owned(), value);
    }
}

/// A `CodeableConcept`.
pub(super) fn concept(concept: &Concept) -> Value {
    let display = concept.display.trim();
    match (&concept.system, &concept.code) {
        (Some(system), Some(code)) => {
            json!({ "coding": [{ "system": system, "code": token(code), "display": display }], "text": display })
        }
        _ => json!({ "text": display }),
    }
}

/// A `CodeableConcept` with a code of one of FHIR's own systems.
pub(super) fn coded(system: &str, code: &str) -> Value {
    json!({ "coding": [{ "system": system, "code": code }] })
}

/// The system of a concept's first coding.
pub(super) fn coding_system(concept: &Value) -> Option<&str> {
    concept.pointer("/coding/0/system").and_then(Value::as_str)
}

pub(super) fn quantity(quantity: &Quantity) -> Value {
    let mut value = json!({ "value": quantity.value, "unit": quantity.unit.trim() });
    if let (Some(system), Some(code)) = (&quantity.system, &quantity.code) {
        value["system"] = json!(system);
        value["code"] = json!(token(code));
    }
    value
}

/// A note without an author: the application does not record who wrote it.
pub(super) fn note(note: Option<&String>) -> Option<Value> {
    present(note).map(|text| json!([{ "text": text }]))
}

pub(super) fn is_our_note(_: &Kind<'_>, entry: &Value) -> bool {
    !["authorString", "authorReference"].iter().any(|author| entry.get(author).is_some())
}

/// Normalises white space: FHIR's codes have none at the ends and no two in a row.
fn token(code: &str) -> String {
    code.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The SNOMED CT code of a severity.
pub(super) fn severity(word: &str) -> Option<Value> {
    let (code, display) = match word {
        "mild" => ("255604002", "Mild"),
        "moderate" => ("6736007", "Moderate"),
        "severe" => ("24484000", "Severe"),
        _ => return None,
    };
    Some(json!({ "coding": [{ "system": "http://snomed.info/sct", "code": code, "display": display }] }))
}

/// The status of a record whose aggregate was deleted.
pub(super) const ENTERED_IN_ERROR: &str = "entered-in-error";

/// Marks a record of a type with one status as entered in error.
pub(super) fn retire_status(record: &mut Map<String, Value>) {
    record.insert("status".to_owned(), json!(ENTERED_IN_ERROR));
}

/// Marks a record of a type with two statuses as entered in error; its clinical status must then be absent.
pub(super) fn retire_verification(record: &mut Map<String, Value>, system: &str) {
    record.remove("clinicalStatus");
    record.insert("verificationStatus".to_owned(), coded(system, ENTERED_IN_ERROR));
}

/// The elements of a type whose records never contain elements of others by default.
pub(super) const fn parts(
    whole: &'static [&'static str],
    entries: &'static [(&'static str, IsOurs)],
    retire: fn(&mut Map<String, Value>),
) -> Parts {
    Parts { whole: Whole::These(whole), entries, kept: &[], retire: Some(retire) }
}
