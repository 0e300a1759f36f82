//! A clinical record: the payload of the outbox contract with its references. The crate `clinical-payload` has the
//! rules, which adapters share.

pub use clinical_payload::{Problem, REFERENCE_NAMES, TYPES, read_json, schema, schema_id, unknown_fields};

use clinical_payload::{Record, Ref};
use serde_json::Value;

use super::ids::{AggregateKey, name_fault};
use super::patient::PatientId;
use super::references::{self, NamedReference};

/// The type of the records that others refer to as the visit they belong to.
pub const ENCOUNTER: &str = "encounter";

/// A record that the application may write: valid by construction.
#[derive(Clone, Debug, PartialEq)]
pub struct ClinicalRecord {
    key: AggregateKey,
    payload: Value,
    references: Vec<NamedReference>,
}

impl ClinicalRecord {
    /// Reads a record. Nothing is trimmed.
    ///
    /// # Errors
    /// Every problem; never empty. No message repeats a value of the payload.
    pub fn new(key: AggregateKey, payload: Value, references: Vec<NamedReference>) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        let mut note = |path: &str, message: String| problems.push(Problem { path: path.to_owned(), message });
        if let Some(fault) = name_fault(&key.aggregate_id, AggregateKey::ID_CHARACTERS_MAX) {
            note("id", fault);
        }
        if let Err(fault) = references::check(&references, Some(&key)) {
            note("refs", fault);
        }
        for reference in references.iter().filter(|reference| reference.key().is_patient()) {
            if PatientId::new(reference.aggregate_id.as_str()).is_none() {
                note(&format!("refs.{}", reference.name), PatientId::RULE.to_owned());
            }
        }
        let refs: Vec<_> = references
            .iter()
            .map(|reference| Ref {
                name: &reference.name,
                aggregate_type: &reference.aggregate_type,
                aggregate_id: &reference.aggregate_id,
            })
            .collect();
        if let Err(found) = Record::read(&key.aggregate_type, &payload.to_string(), &refs) {
            problems.extend(found);
        }
        if problems.is_empty() { Ok(Self { key, payload, references }) } else { Err(problems) }
    }

    #[must_use]
    pub fn key(&self) -> &AggregateKey {
        &self.key
    }

    /// The payload as it is written to the outbox: one JSON object.
    #[must_use]
    pub fn payload(&self) -> String {
        self.payload.to_string()
    }

    #[must_use]
    pub fn references(&self) -> &[NamedReference] {
        &self.references
    }

    /// The patient that the record belongs to.
    #[must_use]
    pub fn patient_id(&self) -> Option<&str> {
        self.references.iter().find(|reference| reference.key().is_patient()).map(|it| it.aggregate_id.as_str())
    }

    /// The encounters that it refers to.
    pub fn encounters(&self) -> impl Iterator<Item = &NamedReference> {
        self.references.iter().filter(|reference| reference.aggregate_type == ENCOUNTER)
    }

    /// Whether the record has this payload and these references.
    #[must_use]
    pub fn is_state(&self, payload: &Value, references: &[NamedReference]) -> bool {
        self.payload == *payload && self.references == references
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn problems(id: &str, references: &[(&str, &str, &str)]) -> Vec<String> {
        let key = AggregateKey { aggregate_type: "encounter".to_owned(), aggregate_id: id.to_owned() };
        let references = references.iter().map(|(name, aggregate_type, aggregate_id)| NamedReference {
            name: (*name).to_owned(),
            aggregate_type: (*aggregate_type).to_owned(),
            aggregate_id: (*aggregate_id).to_owned(),
        });
        let payload =
            json!({ "status": "planned", "class": "AMB", "period": { "start": "2026-01-01T09:00:00+09:00" } });
        let read = ClinicalRecord::new(key, payload, references.collect());
        read.err().unwrap_or_default().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn references_and_ids_are_validated_with_the_payload() {
        let subject = ("subject", "patient", "P-1");
        assert_eq!(problems("E-1", &[subject]), [""; 0]);
        assert_eq!(problems(" E-1", &[subject]), ["id: begins or ends with a blank"]);
        assert_eq!(problems("E-1", &[]), ["refs.subject: is missing; it names the patient"]);
        assert_eq!(
            problems("E-1", &[subject, ("part_of", "encounter", "E-1")]),
            ["refs: number 2 is the aggregate itself"]
        );
        let rule = format!("refs.subject: {}", PatientId::RULE);
        assert_eq!(problems("E-1", &[("subject", "patient", "P 1")]), [rule]);
        let names: Vec<_> = (0..16).map(|number| format!("other{number}")).collect();
        let mut many = vec![subject];
        many.extend(names.iter().map(|name| (name.as_str(), "room", "R-1")));
        assert_eq!(problems("E-1", &many), ["refs: has 17 references, at most 16 are taken"]);
    }
}
