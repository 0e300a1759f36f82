//! Converts between a patient and the JSON of a payload.
//!
//! Unknown fields are ignored, because a newer application may write more than this version knows. A problem names the
//! field, never its value.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};

use crate::rules::{Problem, Rules};
use crate::{Day, Patient, PatientDraft};

impl Patient {
    /// The payload: one JSON object without absent fields, in a fixed order.
    ///
    /// # Panics
    /// Never: every field has a JSON form.
    #[must_use]
    pub fn payload(&self) -> String {
        serde_json::to_string(self).expect("invariant: a patient is text, days and words, which JSON can hold")
    }

    /// Reads a payload by the rules of the contract. `today` is the last day that counts as past.
    ///
    /// # Errors
    /// Every problem; never an empty list.
    pub fn from_payload(payload: &str, today: Day) -> Result<Self, Vec<Problem>> {
        let Read { draft, problems } = serde_json::from_str(payload).map_err(|error| vec![not_an_object(&error)])?;
        let of_wrong_type: Vec<_> = problems.iter().map(|problem| problem.field).collect();
        match draft.validate(today) {
            Ok(patient) if problems.is_empty() => Ok(patient),
            Ok(_) => Err(problems),
            // A field of the wrong type was not read; that it is missing is not reported again.
            Err(found) => {
                let found = found.into_iter().filter(|problem| !of_wrong_type.contains(&problem.field));
                Err(problems.iter().cloned().chain(found).collect())
            }
        }
    }
}

impl From<&Patient> for PatientDraft {
    /// The draft of this patient, for example to change one field of it.
    fn from(patient: &Patient) -> Self {
        serde_json::from_str(&patient.payload())
            .expect("invariant: a draft has the fields of a patient, all of them text in JSON")
    }
}

/// The problem of an invalid payload. serde's own message may repeat a value, so it is not used.
fn not_an_object(error: &serde_json::Error) -> Problem {
    let message = if error.is_data() {
        "is not a JSON object".to_owned()
    } else {
        format!("is not JSON: an error at line {} column {}", error.line(), error.column())
    };
    Problem { field: "payload", message }
}

/// The fields of a payload's object.
struct Read {
    draft: PatientDraft,
    problems: Vec<Problem>,
}

/// The value of a field, by its JSON type.
enum FieldValue {
    Text(String),
    Null,
    Other,
}

impl<'de> Deserialize<'de> for Read {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ReadVisitor)
    }
}

struct ReadVisitor;

impl<'de> Visitor<'de> for ReadVisitor {
    type Value = Read;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Read, A::Error> {
        let (mut draft, mut rules) = (PatientDraft::default(), Rules::default());
        let mut seen: Vec<&'static str> = Vec::new();
        while let Some(key) = map.next_key::<String>()? {
            let Some(field) = PatientDraft::FIELDS.iter().copied().find(|field| *field == key) else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            let value = map.next_value()?;
            if seen.contains(&field) {
                rules.note(field, "is given twice");
                continue;
            }
            seen.push(field);
            match value {
                FieldValue::Text(text) => {
                    *draft.field_mut(field).expect("invariant: FIELDS lists the fields") = Some(text);
                }
                FieldValue::Null => {}
                FieldValue::Other => rules.note(field, "must be text"),
            }
        }
        Ok(Read { draft, problems: rules.into_problems() })
    }
}

impl<'de> Deserialize<'de> for FieldValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // A number, a list or an object is parsed to its end, so that the fields after it are read too.
        match serde_json::Value::deserialize(deserializer).map_err(D::Error::custom)? {
            serde_json::Value::String(text) => Ok(Self::Text(text)),
            serde_json::Value::Null => Ok(Self::Null),
            _ => Ok(Self::Other),
        }
    }
}

#[cfg(test)]
#[path = "payload_tests.rs"]
mod tests;
