//! A patient: the full state that a change carries, and when it is valid.
//!
//! Its JSON is the payload of the outbox contract (`docs/outbox.md`); an adapter reads the same fields through the SDK.
//! Nothing here may print personal data: `Debug` shows the id alone. Limits are chosen so that a valid patient fits
//! OpenEMR's columns and any FHIR server.

use std::borrow::Cow;
use std::fmt;

use jiff::civil::Date;
use jiff::tz::Offset;
use serde::{Deserialize, Serialize};

use super::Problem;
use super::field_text::FieldText;
use super::ids::PatientId;
use super::rules::{Rules, calendar_date};
use super::words::one_of;
use crate::vocabulary;

/// The most characters in a name or an address line.
pub const TEXT_CHARACTERS_MAX: usize = 255;
/// The most characters in a title, a telephone number, a code or a national id.
pub const CODE_CHARACTERS_MAX: usize = 64;
/// The most characters in a suffix or second address line: OpenEMR keeps these in 255 bytes of UTF-8.
pub const SHORT_TEXT_CHARACTERS_MAX: usize = 80;
/// The most characters in a city or a state.
pub const PLACE_CHARACTERS_MAX: usize = 128;
/// The most characters in a postal code.
pub const POSTAL_CODE_CHARACTERS_MAX: usize = 32;
/// The most characters in a language tag (RFC 5646, section 4.4.1).
pub const LANGUAGE_CHARACTERS_MAX: usize = 35;

vocabulary! {
    /// FHIR's administrative gender.
    pub enum Gender {
        /// Male.
        Male = "male",
        /// Female.
        Female = "female",
        /// Neither of the two.
        Other = "other",
        /// Not recorded.
        Unknown = "unknown",
    }
}

vocabulary! {
    /// Civil status; the words are those of HL7's v3 value set `MaritalStatus`.
    pub enum MaritalStatus {
        /// Married.
        Married = "married",
        /// Never married.
        Single = "single",
        /// Divorced.
        Divorced = "divorced",
        /// Widowed.
        Widowed = "widowed",
        /// Legally separated.
        Separated = "separated",
        /// In a registered partnership.
        DomesticPartner = "domestic_partner",
    }
}

/// Declares the patient, its draft and the list of its fields together, so that no field is known to one alone.
macro_rules! patient_record {
    (
        $( $(#[$required_meta:meta])* $required:ident: $required_type:ty, )+
        ;
        $( $(#[$optional_meta:meta])* $optional:ident: $optional_type:ty, )+
    ) => {
        /// The full state of one patient; valid, because only [`PatientDraft::validate`] and a payload make one. Text
        /// is trimmed, an absent field is `None`, never an empty string.
        #[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
        pub struct Patient {
            $( $(#[$required_meta])* pub $required: $required_type, )+
            $(
                #[serde(default, skip_serializing_if = "Option::is_none")]
                $(#[$optional_meta])*
                pub $optional: Option<$optional_type>,
            )+
        }

        /// A patient as somebody wrote it, not checked yet: every field is text and may be absent. Unknown fields are
        /// refused when it is read.
        #[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        #[allow(missing_docs, reason = "the fields are documented on `Patient`")]
        pub struct PatientDraft {
            $( pub $required: Option<String>, )+
            $( pub $optional: Option<String>, )+
        }

        impl PatientDraft {
            /// The names of all fields, the required ones first; also the order in a payload.
            pub const FIELDS: &'static [&'static str] =
                &[ $( stringify!($required), )+ $( stringify!($optional), )+ ];

            /// The field of this name, to be set; `None` when there is no such field.
            pub fn field_mut(&mut self, name: &str) -> Option<&mut Option<String>> {
                match name {
                    $( stringify!($required) => Some(&mut self.$required), )+
                    $( stringify!($optional) => Some(&mut self.$optional), )+
                    _ => None,
                }
            }
        }

        impl Patient {
            /// The text of every field, in the order of [`PatientDraft::FIELDS`].
            #[must_use]
            pub fn field_texts(&self) -> Vec<Option<Cow<'_, str>>> {
                vec![
                    $( Some(self.$required.text()), )+
                    $( self.$optional.as_ref().map(FieldText::text), )+
                ]
            }
        }
    };
}

patient_record! {
    /// The application's id; equals the change's `aggregate_id`.
    patient_id: PatientId,
    /// Romanised family name, for example `Kim`.
    family_name: String,
    /// Romanised given name, for example `MinJun`.
    given_name: String,
    /// The day of birth.
    #[serde(with = "civil_date")]
    birth_date: Date,
    /// Administrative gender.
    gender: Gender,
    ;
    /// Romanised middle name.
    middle_name: String,
    /// Family name in the patient's own script, for example `김`.
    native_family_name: String,
    /// Given name in the patient's own script, for example `민준`.
    native_given_name: String,
    /// Before the name, for example `Dr.`.
    title: String,
    /// After the name, for example `Jr.`.
    suffix: String,
    /// Civil status.
    marital_status: MaritalStatus,
    /// Telephone at home, as written by the application.
    phone_home: String,
    /// Mobile telephone.
    phone_mobile: String,
    /// Telephone at work.
    phone_work: String,
    /// Electronic mail address.
    email: String,
    /// First line of the address.
    street: String,
    /// Second line of the address.
    street_line_2: String,
    /// City or district.
    city: String,
    /// State or province.
    state: String,
    /// Postal code.
    postal_code: String,
    /// ISO 3166-1 alpha-2 or alpha-3 code in capitals, for example `KR`.
    country: String,
    /// BCP 47 tag of the preferred language, for example `ko`.
    language: String,
    /// Race, a code agreed with the target, for example `asian`.
    race: String,
    /// Ethnicity, a code agreed with the target, for example `not_hisp_or_latin`.
    ethnicity: String,
    /// National identification or social security number.
    national_id: String,
    /// The day of death; absent while the patient lives.
    #[serde(with = "optional_civil_date")]
    deceased_date: Date,
}

impl PatientDraft {
    /// Checks every field and makes the patient. `today` is the last date that counts as past: see [`latest_today`].
    ///
    /// # Errors
    /// Every problem of the draft, in the order of the fields; never an empty list.
    pub fn validate(&self, today: Date) -> Result<Patient, Vec<Problem>> {
        let mut rules = Rules::default();
        let patient_id = self.patient_id(&mut rules);
        let family_name = rules.required("family_name", self.family_name.as_ref(), TEXT_CHARACTERS_MAX);
        let given_name = rules.required("given_name", self.given_name.as_ref(), TEXT_CHARACTERS_MAX);
        let birth_text = rules.required("birth_date", self.birth_date.as_ref(), TEXT_CHARACTERS_MAX);
        let birth_date = rules.date("birth_date", birth_text, today);
        let gender_text = rules.required("gender", self.gender.as_ref(), TEXT_CHARACTERS_MAX);
        let gender = gender_text.and_then(|text| {
            let gender = Gender::from_word(&text);
            if gender.is_none() {
                rules.note("gender", format!("is not one of {}", one_of(Gender::WORDS)));
            }
            gender
        });
        let mut text =
            |field, value: &Option<String>, characters_max| rules.optional(field, value.as_ref(), characters_max);
        let middle_name = text("middle_name", &self.middle_name, TEXT_CHARACTERS_MAX);
        let native_family_name = text("native_family_name", &self.native_family_name, TEXT_CHARACTERS_MAX);
        let native_given_name = text("native_given_name", &self.native_given_name, TEXT_CHARACTERS_MAX);
        let title = text("title", &self.title, CODE_CHARACTERS_MAX);
        let suffix = text("suffix", &self.suffix, SHORT_TEXT_CHARACTERS_MAX);
        let marital_text = text("marital_status", &self.marital_status, TEXT_CHARACTERS_MAX);
        let phone_home = text("phone_home", &self.phone_home, CODE_CHARACTERS_MAX);
        let phone_mobile = text("phone_mobile", &self.phone_mobile, CODE_CHARACTERS_MAX);
        let phone_work = text("phone_work", &self.phone_work, CODE_CHARACTERS_MAX);
        let email_text = text("email", &self.email, TEXT_CHARACTERS_MAX);
        let street = text("street", &self.street, TEXT_CHARACTERS_MAX);
        let street_line_2 = text("street_line_2", &self.street_line_2, SHORT_TEXT_CHARACTERS_MAX);
        let city = text("city", &self.city, PLACE_CHARACTERS_MAX);
        let state = text("state", &self.state, PLACE_CHARACTERS_MAX);
        let postal_code = text("postal_code", &self.postal_code, POSTAL_CODE_CHARACTERS_MAX);
        let country_text = text("country", &self.country, TEXT_CHARACTERS_MAX);
        let language_text = text("language", &self.language, LANGUAGE_CHARACTERS_MAX);
        let race = text("race", &self.race, CODE_CHARACTERS_MAX);
        let ethnicity = text("ethnicity", &self.ethnicity, CODE_CHARACTERS_MAX);
        let national_id = text("national_id", &self.national_id, CODE_CHARACTERS_MAX);
        let deceased_text = text("deceased_date", &self.deceased_date, TEXT_CHARACTERS_MAX);

        let marital_status = marital_text.and_then(|text| {
            let status = MaritalStatus::from_word(&text);
            if status.is_none() {
                rules.note("marital_status", format!("is not one of {}", one_of(MaritalStatus::WORDS)));
            }
            status
        });
        let email = rules.email("email", email_text);
        let country = country(country_text, &mut rules);
        let language = language(language_text, &mut rules);
        let deceased_date = rules.date("deceased_date", deceased_text, today);
        if deceased_date.zip(birth_date).is_some_and(|(death, birth)| death < birth) {
            rules.note("deceased_date", "is before birth_date");
        }

        match (patient_id, family_name, given_name, birth_date, gender) {
            (Some(patient_id), Some(family_name), Some(given_name), Some(birth_date), Some(gender))
                if rules.is_clean() =>
            {
                Ok(Patient {
                    patient_id,
                    family_name,
                    given_name,
                    birth_date,
                    gender,
                    middle_name,
                    native_family_name,
                    native_given_name,
                    title,
                    suffix,
                    marital_status,
                    phone_home,
                    phone_mobile,
                    phone_work,
                    email,
                    street,
                    street_line_2,
                    city,
                    state,
                    postal_code,
                    country,
                    language,
                    race,
                    ethnicity,
                    national_id,
                    deceased_date,
                })
            }
            _ => Err(in_field_order(rules.into_problems())),
        }
    }

    fn patient_id(&self, rules: &mut Rules) -> Option<PatientId> {
        let text = rules.required("patient_id", self.patient_id.as_ref(), PatientId::CHARACTERS_MAX)?;
        PatientId::new(text).map_err(|error| rules.note("patient_id", error.to_string())).ok()
    }
}

/// The checks run in two passes; people read fields in one order.
fn in_field_order(mut problems: Vec<Problem>) -> Vec<Problem> {
    problems.sort_by_key(|problem| PatientDraft::FIELDS.iter().position(|field| *field == problem.field));
    problems
}

/// Two or three letters; capitals are made of small ones, since the standard's codes are capitals.
fn country(text: Option<String>, rules: &mut Rules) -> Option<String> {
    let text = text?;
    let shaped = (2..=3).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphabetic());
    if !shaped {
        rules.note("country", "is not a country code of two or three letters (ISO 3166-1), for example KR");
    }
    shaped.then(|| text.to_ascii_uppercase())
}

/// Loosely BCP 47: subtags of 1 to 8 letters and digits joined by `-`, the first of at least two letters.
fn language(text: Option<String>, rules: &mut Rules) -> Option<String> {
    let text = text?;
    let shaped = text.split('-').enumerate().all(|(index, subtag)| {
        let length_min = if index == 0 { 2 } else { 1 };
        (length_min..=8).contains(&subtag.len())
            && subtag.bytes().all(|byte| byte.is_ascii_alphabetic() || (index > 0 && byte.is_ascii_digit()))
    });
    if !shaped {
        rules.note("language", "is not a language tag (BCP 47), for example ko or en-US");
    }
    shaped.then_some(text)
}

/// The latest date that anyone on earth writes at this moment (UTC+14). A host whose clock says UTC would otherwise
/// refuse a child born this morning in Seoul as born in the future.
#[must_use]
pub fn latest_today(now: jiff::Timestamp) -> Date {
    Offset::constant(14).to_datetime(now).date()
}

/// Why a payload is not a patient. Carries no value of the payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("payload is not a patient: {what} at line {line} column {column}")]
pub struct PayloadError {
    what: &'static str,
    line: usize,
    column: usize,
}

impl Patient {
    /// The payload: one JSON object, absent fields left out, fields always in the same order.
    ///
    /// # Panics
    /// Never: every field has a JSON form.
    #[must_use]
    pub fn payload(&self) -> String {
        serde_json::to_string(self).expect("invariant: a patient is text, dates and words, which JSON can hold")
    }

    /// Reads a payload. Unknown fields are passed over: a newer application may write more than this host knows.
    ///
    /// # Errors
    /// Where the text is not JSON, lacks a required field, or has one of the wrong type or outside its value set.
    pub fn from_payload(payload: &str) -> Result<Self, PayloadError> {
        serde_json::from_str(payload).map_err(|error| PayloadError {
            what: if error.is_data() {
                "a field is missing, of the wrong type or outside its value set"
            } else {
                "not JSON"
            },
            line: error.line(),
            column: error.column(),
        })
    }
}

impl fmt::Debug for Patient {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Patient").field("patient_id", &self.patient_id).finish_non_exhaustive()
    }
}

impl fmt::Debug for PatientDraft {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("PatientDraft").field("patient_id", &self.patient_id).finish_non_exhaustive()
    }
}

impl From<&Patient> for PatientDraft {
    /// The draft that validates to this patient, for example to change one field of it.
    fn from(patient: &Patient) -> Self {
        serde_json::from_str(&patient.payload())
            .expect("invariant: a draft has the fields of a patient, all of them text in JSON")
    }
}

mod civil_date {
    use super::{Date, calendar_date};
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    #[allow(clippy::trivially_copy_pass_by_ref, reason = "serde fixes the signature")]
    pub(super) fn serialize<S: Serializer>(date: &Date, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(date)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Date, D::Error> {
        let text = String::deserialize(deserializer)?;
        calendar_date(&text).ok_or_else(|| D::Error::custom("not a date of the calendar (YYYY-MM-DD)"))
    }
}

mod optional_civil_date {
    use super::{Date, calendar_date};
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    #[allow(clippy::ref_option, clippy::trivially_copy_pass_by_ref, reason = "serde fixes the signature")]
    pub(super) fn serialize<S: Serializer>(date: &Option<Date>, serializer: S) -> Result<S::Ok, S::Error> {
        match date {
            Some(date) => serializer.collect_str(date),
            None => serializer.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Date>, D::Error> {
        Option::<String>::deserialize(deserializer)?
            .map(|text| calendar_date(&text).ok_or_else(|| D::Error::custom("not a date of the calendar (YYYY-MM-DD)")))
            .transpose()
    }
}

#[cfg(test)]
#[path = "patient_tests.rs"]
mod tests;
