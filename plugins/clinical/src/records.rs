//! The six records with a type of their own, with the fields of their schemas.
//!
//! A field for which the schema lists values holds one of them; every date and timestamp exists. Only `Record::read`
//! builds these records, so other code need not check them.

use serde::Deserialize;
use serde_json::Number;

/// A code with its text, or only a text.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Concept {
    /// The code system, an absolute URI; present whenever `code` is.
    pub system: Option<String>,
    /// The code in that system.
    pub code: Option<String>,
    /// The text for display.
    pub display: String,
}

/// A number with its unit.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Quantity {
    /// The number, as the payload writes it.
    pub value: Number,
    /// The unit as text for display.
    pub unit: String,
    /// The system of the unit's code; present whenever `code` is.
    pub system: Option<String>,
    /// The unit's code in that system.
    pub code: Option<String>,
}

/// A period with a known start: timestamps with their offsets from UTC.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Period {
    /// The start.
    pub start: String,
    /// The end, not before `start`.
    pub end: Option<String>,
}

/// A period with at least one end: days, or timestamps with their offsets from UTC.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Effective {
    /// The first day or timestamp.
    pub start: Option<String>,
    /// The last day or timestamp, not before `start`.
    pub end: Option<String>,
}

/// A visit or a stay of a patient.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Encounter {
    /// FHIR's code, for example `finished`.
    pub status: String,
    /// HL7's `ActCode`, for example `AMB`.
    pub class: String,
    /// The kind of visit.
    #[serde(rename = "type")]
    pub kind: Option<Concept>,
    /// The reason for the visit.
    pub reason_code: Option<Concept>,
    /// When it took place.
    pub period: Period,
    /// The name of the person who treats the patient.
    pub provider: Option<String>,
    /// The name of the location.
    pub location: Option<String>,
}

/// A diagnosis or a problem of a patient.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Condition {
    /// FHIR's code, for example `active`.
    pub clinical_status: String,
    /// FHIR's code, for example `confirmed`.
    pub verification_status: Option<String>,
    /// `problem-list-item` or `encounter-diagnosis`.
    pub category: Option<String>,
    /// `mild`, `moderate` or `severe`.
    pub severity: Option<String>,
    /// The diagnosis or problem.
    pub code: Concept,
    /// A day, a month or a year.
    pub onset: Option<String>,
    /// A day, a month or a year, not before `onset`.
    pub abatement: Option<String>,
    /// The day on which it was recorded.
    pub recorded_date: Option<String>,
    /// A note, which may have several lines.
    pub note: Option<String>,
}

/// An allergy or an intolerance of a patient.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Allergy {
    /// `active`, `inactive` or `resolved`.
    pub clinical_status: String,
    /// FHIR's code, for example `confirmed`.
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
    /// The day on which it was recorded.
    pub recorded_date: Option<String>,
    /// The reactions on exposure.
    #[serde(default)]
    pub reaction: Vec<Reaction>,
    /// A note, which may have several lines.
    pub note: Option<String>,
}

/// One kind of reaction to an allergy's substance.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Reaction {
    /// The symptom.
    pub manifestation: Concept,
    /// `mild`, `moderate` or `severe`.
    pub severity: Option<String>,
}

/// A medication that a patient takes or took.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Medication {
    /// FHIR's code, for example `active`.
    pub status: String,
    /// The medication.
    pub medication: Concept,
    /// When it is taken.
    pub effective: Option<Effective>,
    /// The day on which it was reported.
    pub date_asserted: Option<String>,
    /// Amount and frequency, in free text.
    pub dosage: Option<String>,
    /// The route of administration.
    pub route: Option<Concept>,
    /// The reason for taking it.
    pub reason_code: Option<Concept>,
    /// A note, which may have several lines.
    pub note: Option<String>,
}

/// A vital sign or a laboratory result. It has exactly one of the four values. With the status `registered`,
/// `cancelled` or `entered-in-error` it may have none.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Observation {
    /// FHIR's code, for example `final`.
    pub status: String,
    /// `vital-signs` or `laboratory`.
    pub category: String,
    /// What was observed.
    pub code: Concept,
    /// When it was observed: a timestamp with its offset from UTC.
    pub effective: String,
    /// The value as a number.
    pub value_quantity: Option<Quantity>,
    /// The value as a code.
    pub value_concept: Option<Concept>,
    /// The value as text.
    pub value_string: Option<String>,
    /// The components of an observation with several values; otherwise empty.
    #[serde(default)]
    pub component: Vec<Component>,
    /// HL7's code, for example `H`.
    pub interpretation: Option<String>,
    /// The normal range.
    pub reference_range: Option<ReferenceRange>,
    /// A note, which may have several lines.
    pub note: Option<String>,
}

/// One component of an observation with several values.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Component {
    /// What was observed.
    pub code: Concept,
    /// Its value.
    pub value_quantity: Quantity,
}

/// The normal range, in the unit of the value. At least one of the three is present.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct ReferenceRange {
    /// The lowest normal value.
    pub low: Option<Number>,
    /// The highest normal value, not below `low`.
    pub high: Option<Number>,
    /// The range as text.
    pub text: Option<String>,
}

/// A planned visit of a patient.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Appointment {
    /// FHIR's code, for example `booked`.
    pub status: String,
    /// The planned service.
    pub service_type: Option<Concept>,
    /// The reason for the visit.
    pub reason_code: Option<Concept>,
    /// A short description for the calendar.
    pub description: Option<String>,
    /// A timestamp with its offset from UTC.
    pub start: String,
    /// A timestamp with its offset from UTC, after `start`.
    pub end: String,
    /// A note, which may have several lines.
    pub comment: Option<String>,
}
