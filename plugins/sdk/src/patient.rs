//! The payload of a `patient` change, as the outbox contract gives it.
//!
//! Unknown fields are passed over, so that an older adapter reads what a newer application writes.

use serde::Deserialize;

use crate::{Change, Failure, FailureKind};

/// The full state of one patient. Text is UTF-8 and trimmed; an absent field is `None`, never an empty string.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct Patient {
    /// The application's id; equals the change's `aggregate_id`.
    pub patient_id: String,
    /// Romanised family name, for example `Kim`.
    pub family_name: String,
    /// Romanised given name, for example `MinJun`.
    pub given_name: String,
    /// Romanised middle name.
    #[serde(default)]
    pub middle_name: Option<String>,
    /// Family name in the patient's own script, for example `김`.
    #[serde(default)]
    pub native_family_name: Option<String>,
    /// Given name in the patient's own script, for example `민준`.
    #[serde(default)]
    pub native_given_name: Option<String>,
    /// Before the name, for example `Dr.`.
    #[serde(default)]
    pub title: Option<String>,
    /// After the name, for example `Jr.`.
    #[serde(default)]
    pub suffix: Option<String>,
    /// `YYYY-MM-DD`.
    pub birth_date: String,
    /// Administrative gender, the value set of FHIR.
    pub gender: Gender,
    /// Civil status.
    #[serde(default)]
    pub marital_status: Option<MaritalStatus>,
    /// Telephone at home, as written by the application.
    #[serde(default)]
    pub phone_home: Option<String>,
    /// Mobile telephone.
    #[serde(default)]
    pub phone_mobile: Option<String>,
    /// Telephone at work.
    #[serde(default)]
    pub phone_work: Option<String>,
    /// Electronic mail address.
    #[serde(default)]
    pub email: Option<String>,
    /// First line of the address.
    #[serde(default)]
    pub street: Option<String>,
    /// Second line of the address.
    #[serde(default)]
    pub street_line_2: Option<String>,
    /// City or district.
    #[serde(default)]
    pub city: Option<String>,
    /// State or province.
    #[serde(default)]
    pub state: Option<String>,
    /// Postal code.
    #[serde(default)]
    pub postal_code: Option<String>,
    /// ISO 3166-1 alpha-2 or alpha-3 code, for example `KR`.
    #[serde(default)]
    pub country: Option<String>,
    /// BCP 47 tag of the preferred language, for example `ko`.
    #[serde(default)]
    pub language: Option<String>,
    /// Race, a code agreed with the target, for example `asian`.
    #[serde(default)]
    pub race: Option<String>,
    /// Ethnicity, a code agreed with the target, for example `not_hisp_or_latin`.
    #[serde(default)]
    pub ethnicity: Option<String>,
    /// National identification or social security number.
    #[serde(default)]
    pub national_id: Option<String>,
    /// Date of death, `YYYY-MM-DD`; absent while the patient lives.
    #[serde(default)]
    pub deceased_date: Option<String>,
}

/// FHIR's administrative gender.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum Gender {
    Male,
    Female,
    Other,
    Unknown,
}

/// Civil status; the words are those of HL7's v3 value set `MaritalStatus`.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum MaritalStatus {
    Married,
    Single,
    Divorced,
    Widowed,
    Separated,
    DomesticPartner,
}

impl Patient {
    /// Reads the payload of a change.
    ///
    /// # Errors
    /// `invalid`, with the position in the payload but with none of its values.
    pub fn from_change(change: &Change) -> Result<Self, Failure> {
        let patient: Self = serde_json::from_str(&change.payload).map_err(|error| {
            invalid(format!(
                "payload is not a patient: {} at line {} column {}",
                category(&error),
                error.line(),
                error.column()
            ))
        })?;
        if patient.patient_id == change.aggregate_id {
            Ok(patient)
        } else {
            Err(invalid("payload's patient_id is not the change's aggregate_id".to_owned()))
        }
    }
}

fn invalid(message: String) -> Failure {
    Failure { kind: FailureKind::Invalid, message, retry_after_ms: None }
}

/// What is wrong, without serde's own message: that one may quote a value.
fn category(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.split_once('`') {
        Some((what @ ("missing field " | "duplicate field "), rest)) => {
            format!("{what}`{}`", rest.split('`').next().unwrap_or_default())
        }
        _ if error.is_data() => "a field of the wrong type or outside its value set".to_owned(),
        _ => "not JSON".to_owned(),
    }
}
