//! The six records that have a type of their own, field by field as their schemas have them.
//!
//! Every field of text that the schema closes to a set of words holds one of them; every date and moment is one that
//! exists. Only `Record::read` makes these, so that no other code has to check.

use serde::Deserialize;
use serde_json::Number;

/// A code with its text, or a text alone.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Concept {
    /// The code system, an absolute URI; present whenever `code` is.
    pub system: Option<String>,
    /// The code in that system.
    pub code: Option<String>,
    /// What people read.
    pub display: String,
}

/// A number with its unit.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Quantity {
    /// The number, as the payload writes it.
    pub value: Number,
    /// The unit as people read it.
    pub unit: String,
    /// The system of the unit's code; present whenever `code` is.
    pub system: Option<String>,
    /// The unit's code in that system.
    pub code: Option<String>,
}

/// A span of time that has begun, or will begin: moments with their offsets from UTC.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Period {
    /// Its beginning.
    pub start: String,
    /// Its end, not before `start`.
    pub end: Option<String>,
}

/// A span of time with at least one end: days, or moments with their offsets from UTC.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Effective {
    /// The first day or moment.
    pub start: Option<String>,
    /// The last day or moment, not before `start`.
    pub end: Option<String>,
}

/// A visit of a patient, or a stay.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Encounter {
    /// FHIR's code, such as `finished`.
    pub status: String,
    /// HL7's `ActCode`, such as `AMB`.
    pub class: String,
    /// What kind of visit it is.
    #[serde(rename = "type")]
    pub kind: Option<Concept>,
    /// Why the patient came.
    pub reason_code: Option<Concept>,
    /// From when until when.
    pub period: Period,
    /// Who cares for the patient.
    pub provider: Option<String>,
    /// Where it takes place.
    pub location: Option<String>,
}

/// A diagnosis or a problem of a patient.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Condition {
    /// FHIR's code, such as `active`.
    pub clinical_status: String,
    /// FHIR's code, such as `confirmed`.
    pub verification_status: Option<String>,
    /// `problem-list-item` or `encounter-diagnosis`.
    pub category: Option<String>,
    /// `mild`, `moderate` or `severe`.
    pub severity: Option<String>,
    /// What the patient has.
    pub code: Concept,
    /// A day, a month or a year.
    pub onset: Option<String>,
    /// A day, a month or a year, not before `onset`.
    pub abatement: Option<String>,
    /// A day.
    pub recorded_date: Option<String>,
    /// A remark, which may have several lines.
    pub note: Option<String>,
}

/// An allergy or an intolerance of a patient.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Allergy {
    /// `active`, `inactive` or `resolved`.
    pub clinical_status: String,
    /// FHIR's code, such as `confirmed`.
    pub verification_status: Option<String>,
    /// `allergy` or `intolerance`.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// `food`, `medication`, `environment` or `biologic`.
    pub category: Option<String>,
    /// `low`, `high` or `unable-to-assess`.
    pub criticality: Option<String>,
    /// The substance.
    pub code: Concept,
    /// A day, a month or a year.
    pub onset: Option<String>,
    /// A day.
    pub recorded_date: Option<String>,
    /// What happened on exposure.
    #[serde(default)]
    pub reaction: Vec<Reaction>,
    /// A remark, which may have several lines.
    pub note: Option<String>,
}

/// One kind of reaction to an allergy's substance.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Reaction {
    /// What was seen.
    pub manifestation: Concept,
    /// `mild`, `moderate` or `severe`.
    pub severity: Option<String>,
}

/// A medication that a patient takes, or took.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Medication {
    /// FHIR's code, such as `active`.
    pub status: String,
    /// What is taken.
    pub medication: Concept,
    /// From when until when.
    pub effective: Option<Effective>,
    /// A day.
    pub date_asserted: Option<String>,
    /// How much and how often, in free text.
    pub dosage: Option<String>,
    /// By which way.
    pub route: Option<Concept>,
    /// Why it is taken.
    pub reason_code: Option<Concept>,
    /// A remark, which may have several lines.
    pub note: Option<String>,
}

/// A vital sign or a laboratory result. Exactly one of the four values is present, but with the status `registered`,
/// `cancelled` or `entered-in-error`, where none may be.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Observation {
    /// FHIR's code, such as `final`.
    pub status: String,
    /// `vital-signs` or `laboratory`.
    pub category: String,
    /// What was observed.
    pub code: Concept,
    /// When: a moment with its offset from UTC.
    pub effective: String,
    /// The value as a number.
    pub value_quantity: Option<Quantity>,
    /// The value as a code.
    pub value_concept: Option<Concept>,
    /// The value as text.
    pub value_string: Option<String>,
    /// The values of an observation with several; empty when it has none.
    #[serde(default)]
    pub component: Vec<Component>,
    /// HL7's code, such as `H`.
    pub interpretation: Option<String>,
    /// What is usual.
    pub reference_range: Option<ReferenceRange>,
    /// A remark, which may have several lines.
    pub note: Option<String>,
}

/// One value of an observation with several.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Component {
    /// What was observed.
    pub code: Concept,
    /// Its value.
    pub value_quantity: Quantity,
}

/// The usual values, in the unit of the value; at least one of the three is present.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct ReferenceRange {
    /// The lowest usual value.
    pub low: Option<Number>,
    /// The highest usual value, not below `low`.
    pub high: Option<Number>,
    /// The range in words.
    pub text: Option<String>,
}

/// A planned visit of a patient.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Appointment {
    /// FHIR's code, such as `booked`.
    pub status: String,
    /// What is to be done.
    pub service_type: Option<Concept>,
    /// Why the patient comes.
    pub reason_code: Option<Concept>,
    /// A short description for the calendar.
    pub description: Option<String>,
    /// A moment with its offset from UTC.
    pub start: String,
    /// A moment with its offset from UTC, after `start`.
    pub end: String,
    /// A remark, which may have several lines.
    pub comment: Option<String>,
}
