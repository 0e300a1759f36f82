//! A clinical record with its references, validated by its schema and by the rules that a schema cannot express.

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::rules::Rules;
use crate::schemas::REFERENCE_NAMES;
use crate::{
    Allergy, Appointment, Condition, Encounter, FhirResource, Medication, Observation, Problem, checker, json, schema,
};

/// The record of a clinical change.
#[derive(Clone, Debug, PartialEq)]
pub enum Record {
    /// Of type `encounter`.
    Encounter(Encounter),
    /// Of type `condition`.
    Condition(Condition),
    /// Of type `allergy`.
    Allergy(Allergy),
    /// Of type `medication`.
    Medication(Medication),
    /// Of type `observation`.
    Observation(Observation),
    /// Of type `appointment`.
    Appointment(Appointment),
    /// Of type `fhir-resource`.
    FhirResource(FhirResource),
}

/// A reference of a change, with the parts that the rules need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ref<'a> {
    /// The role, for example `subject`.
    pub name: &'a str,
    /// The type of the other aggregate.
    pub aggregate_type: &'a str,
    /// The application's id of the other aggregate.
    pub aggregate_id: &'a str,
}

impl Record {
    /// Reads the payload of a change of one of [`crate::TYPES`], with its references.
    ///
    /// # Errors
    /// Every problem under its schema; if there is none, every problem under the other rules. Never empty.
    pub fn read(aggregate_type: &str, payload: &str, refs: &[Ref<'_>]) -> Result<Self, Vec<Problem>> {
        let Some(schema) = schema(aggregate_type) else {
            return Err(vec![Problem::new("payload", "its aggregate type is not a clinical one")]);
        };
        let value = json::read(payload).map_err(|problem| vec![problem])?;
        let mut problems = checker::check(schema, &value);
        check_reference_names(aggregate_type, refs, &mut problems);
        if !problems.is_empty() {
            return Err(problems);
        }
        let record = Self::of_checked(aggregate_type, value)?;
        let problems = record.broken_rules(refs);
        if problems.is_empty() { Ok(record) } else { Err(problems) }
    }

    /// The aggregate type of the record.
    #[must_use]
    pub fn aggregate_type(&self) -> &'static str {
        match self {
            Self::Encounter(_) => "encounter",
            Self::Condition(_) => "condition",
            Self::Allergy(_) => "allergy",
            Self::Medication(_) => "medication",
            Self::Observation(_) => "observation",
            Self::Appointment(_) => "appointment",
            Self::FhirResource(_) => "fhir-resource",
        }
    }

    fn of_checked(aggregate_type: &str, value: Value) -> Result<Self, Vec<Problem>> {
        match aggregate_type {
            "encounter" => fields(value).map(Self::Encounter),
            "condition" => fields(value).map(Self::Condition),
            "allergy" => fields(value).map(Self::Allergy),
            "medication" => fields(value).map(Self::Medication),
            "observation" => fields(value).map(Self::Observation),
            "appointment" => fields(value).map(Self::Appointment),
            _ => FhirResource::of_checked(value).map(Self::FhirResource).map_err(|problem| vec![problem]),
        }
    }

    fn broken_rules(&self, refs: &[Ref<'_>]) -> Vec<Problem> {
        let mut rules = Rules::default();
        match self {
            Self::Encounter(encounter) => rules.encounter(encounter),
            Self::Condition(condition) => rules.condition(condition),
            Self::Allergy(allergy) => rules.allergy(allergy),
            Self::Medication(medication) => rules.medication(medication),
            Self::Observation(observation) => rules.observation(observation),
            Self::Appointment(appointment) => rules.appointment(appointment),
            Self::FhirResource(resource) => return resource.problems(refs),
        }
        rules.problems
    }
}

fn fields<T: DeserializeOwned>(value: Value) -> Result<T, Vec<Problem>> {
    serde_json::from_value(value)
        .map_err(|_| vec![Problem::new("payload", "does not have the fields that its schema gives it")])
}

/// Checks that references with a defined name have the right type, and that the required ones are present.
fn check_reference_names(aggregate_type: &str, refs: &[Ref<'_>], problems: &mut Vec<Problem>) {
    for (name, expected, types, is_required) in REFERENCE_NAMES {
        if !types.contains(&aggregate_type) {
            continue;
        }
        let path = format!("refs.{name}");
        match refs.iter().find(|reference| reference.name == name) {
            Some(reference) if reference.aggregate_type != expected => {
                problems.push(Problem::new(path, format!("must be of type {expected}")));
            }
            None if is_required => problems.push(Problem::new(path, format!("is missing; it names the {expected}"))),
            _ => {}
        }
    }
}

#[cfg(test)]
#[path = "record_tests.rs"]
mod tests;
