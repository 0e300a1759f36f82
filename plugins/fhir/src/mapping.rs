//! Maps our aggregates to FHIR R4 resources, and to the searches that find them.
//!
//! Pure. Each type has a file of its own, which also lists the elements that it writes. It writes only elements that
//! are ours; `ownership` handles the elements of others. It does not check rules that the server enforces.

pub(crate) mod allergy;
pub(crate) mod appointment;
pub(crate) mod condition;
pub(crate) mod element;
pub(crate) mod encounter;
pub(crate) mod medication;
pub(crate) mod observation;
pub(crate) mod pass_through;
pub(crate) mod patient;

use adapter_sdk::Failure;
use adapter_sdk::clinical::Record;
use serde_json::{Map, Value};

use crate::kind::Kind;
use element::References;

/// The wanted resource of a clinical record, without an id.
///
/// # Errors
/// `invalid` for content that FHIR cannot express.
pub(crate) fn clinical(
    kind: &Kind<'_>,
    id: &str,
    record: &Record,
    references: References<'_>,
) -> Result<Value, Failure> {
    let resource = match record {
        Record::Encounter(encounter) => encounter::resource(kind, id, encounter, references),
        Record::Condition(condition) => condition::resource(kind, id, condition, references)?,
        Record::Allergy(allergy) => allergy::resource(kind, id, allergy, references),
        Record::Medication(medication) => medication::resource(kind, id, medication, references),
        Record::Observation(observation) => observation::resource(kind, id, observation, references),
        Record::Appointment(appointment) => appointment::resource(kind, id, appointment, references),
        Record::FhirResource(resource) => pass_through::resource(kind, id, resource, references)?,
    };
    Ok(Value::Object(resource))
}

/// The query that finds the record: `identifier=SYSTEM|VALUE`, escaped and percent-encoded once.
pub(crate) fn identifier_query(system: &str, value: &str) -> String {
    format!("identifier={}%7C{}", percent_encode(&search_escape(system)), percent_encode(&search_escape(value)))
}

/// The search for any identifier of a system.
pub(crate) fn system_query(system: &str) -> String {
    format!("identifier={}%7C", percent_encode(&search_escape(system)))
}

/// Percent-encodes everything except RFC 3986's unreserved characters.
pub(crate) fn percent_encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push('%');
            for nibble in [byte >> 4, byte & 15] {
                let digit = char::from_digit(u32::from(nibble), 16).expect("invariant: a nibble is a hex digit");
                encoded.push(digit.to_ascii_uppercase());
            }
        }
    }
    encoded
}

/// Escapes the characters that separate values in a FHIR search.
fn search_escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        if matches!(character, '\\' | '|' | ',' | '$') {
            escaped.push('\\');
        }
        escaped.push(character);
    }
    escaped
}

/// The value, unless it is empty: FHIR does not allow empty strings.
fn present(value: Option<&String>) -> Option<&str> {
    value.map(String::as_str).filter(|text| !text.trim().is_empty())
}

/// Inserts a list, unless it is empty: FHIR does not allow empty lists.
fn insert_list(object: &mut Map<String, Value>, element: &str, list: Vec<Value>) {
    if !list.is_empty() {
        object.insert(element.to_owned(), Value::Array(list));
    }
}

/// The text of an element of an entry.
fn text<'a>(entry: &'a Value, element: &str) -> Option<&'a str> {
    entry.get(element).and_then(Value::as_str)
}

#[cfg(test)]
mod tests;
