//! The payloads of the clinical changes: encounters, conditions, allergies, medications, observations, appointments,
//! and any other resource of FHIR R4.
//!
//! The JSON Schemas in `schemas/` are the only source of the fields; this crate interprets them, and adds the rules
//! that a schema cannot express. The host and every Rust adapter (through the SDK) use it. It is pure: no I/O, no
//! clock, no knowledge of the host or of the interface. No message repeats a value. `own_schema.rs` checks types of an
//! application's own in the same way. Read next: `record.rs`.

mod checker;
#[cfg(test)]
mod docs_tests;
mod fhir_resource;
mod json;
mod own_schema;
mod patterns;
#[cfg(test)]
mod readers_tests;
mod record;
mod records;
mod rules;
#[cfg(test)]
mod samples;
mod schemas;
mod time;

use std::fmt;

pub use checker::unknown_fields;
pub use fhir_resource::{FhirResource, LocalReference, aggregate_type_of};
pub use json::read as read_json;
pub use own_schema::OwnSchema;
pub use record::{Record, Ref};
pub use records::{
    Allergy, Appointment, Component, Concept, Condition, Effective, Encounter, Medication, Observation, Period,
    Quantity, Reaction, ReferenceRange,
};
pub use schemas::{REFERENCE_NAMES, TYPES, schema, schema_id};
pub use time::unix_ms;

/// A problem in a payload or its references.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// The location: `reaction[0].severity`, `refs.subject`, or `payload` for the whole.
    pub path: String,
    /// A lower-case fragment that follows `path: `.
    pub message: String,
}

impl Problem {
    pub(crate) fn new(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { path: path.into(), message: message.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.path, self.message)
    }
}
