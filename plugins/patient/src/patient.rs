//! A patient: the full state in a change, and the rules for a valid one.
//!
//! Its JSON is the payload of the outbox contract (`docs/outbox.md`). Nothing here prints personal data: `Debug` shows
//! only the id. The limits make sure that a valid patient fits OpenEMR's columns and any FHIR server. `payload.rs`
//! reads payloads.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::field_text::FieldText;
use crate::rules::{Problem, Rules};
use crate::{Day, PatientId, one_of, vocabulary};

/// The most characters in a name or an address line.
const TEXT_CHARACTERS_MAX: usize = 255;
/// The most characters in a title, a telephone number, a code or a national id.
const CODE_CHARACTERS_MAX: usize = 64;
/// The most characters in a suffix or second address line: OpenEMR keeps these in 255 bytes of UTF-8.
const SHORT_TEXT_CHARACTERS_MAX: usize = 80;
/// The most characters in a city or a state.
const PLACE_CHARACTERS_MAX: usize = 128;
/// The most characters in a postal code.
const POSTAL_CODE_CHARACTERS_MAX: usize = 32;
/// The most characters in a language tag (RFC 5646, section 4.4.1).
const LANGUAGE_CHARACTERS_MAX: usize = 35;

vocabulary! {
    /// FHIR's administrative gender.
    pub enum Gender {
        /// Male.
        Male = "male",
        /// Female.
        Female = "female",
        /// Neither male nor female.
        Other = "other",
        /// Not recorded.
        Unknown = "unknown",
    }
}

vocabulary! {
    /// Marital status, with the terms of HL7's v3 value set `MaritalStatus`.
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

/// Declares the patient, its draft and the list of its fields together, so that they cannot differ.
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

        /// A patient as it was entered, not checked yet: every field is text and may be absent. Deserializing refuses
        /// unknown fields.
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

            /// The field of this name, for writing; `None` when there is no such field.
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
    birth_date: Day,
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
    /// Marital status.
    marital_status: MaritalStatus,
    /// Home telephone, as written by the application.
    phone_home: String,
    /// Mobile telephone.
    phone_mobile: String,
    /// Work telephone.
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
    /// Race: one of the categories in [`omb`](crate::omb) or a code agreed with the target, for example `asian`;
    /// several are joined by `|`.
    race: String,
    /// Ethnicity, as `race`; for example `not_hisp_or_latin`.
    ethnicity: String,
    /// National identification or social security number.
    national_id: String,
    /// The day of death; absent while the patient lives.
    deceased_date: Day,
}

/// The fields that are never left out; a patient without any of the others is still the same person. Without the date
/// of death a dead patient would look alive.
const INDISPENSABLE: [&str; 6] = ["patient_id", "family_name", "given_name", "birth_date", "gender", "deceased_date"];

impl PatientDraft {
    /// Checks every field and builds the patient. `today` is the last day that counts as past: see
    /// [`Day::latest_on_earth`].
    ///
    /// # Errors
    /// Every problem of the draft, in the order of the fields; never an empty list.
    pub fn validate(&self, today: Day) -> Result<Patient, Vec<Problem>> {
        match self.check(today) {
            (Some(patient), problems) if problems.is_empty() => Ok(patient),
            (_, problems) => Err(problems),
        }
    }

    /// As [`Self::validate`], but leaves out an invalid field if the patient is usable without it. Returns the patient
    /// and the problem of each such field.
    ///
    /// # Errors
    /// Every problem of the draft, when one of them concerns an indispensable field.
    pub fn validate_leaving_out(&self, today: Day) -> Result<(Patient, Vec<Problem>), Vec<Problem>> {
        match self.check(today) {
            (Some(patient), problems) if !problems.iter().any(|problem| INDISPENSABLE.contains(&problem.field)) => {
                Ok((patient, problems))
            }
            (_, problems) => Err(problems),
        }
    }

    /// Checks every field. Returns the patient, unless a required field is invalid, and all problems.
    fn check(&self, today: Day) -> (Option<Patient>, Vec<Problem>) {
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

        let patient = match (patient_id, family_name, given_name, birth_date, gender) {
            (Some(patient_id), Some(family_name), Some(given_name), Some(birth_date), Some(gender)) => Some(Patient {
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
            }),
            _ => None,
        };
        (patient, in_field_order(rules.into_problems()))
    }

    fn patient_id(&self, rules: &mut Rules) -> Option<PatientId> {
        let text = rules.required("patient_id", self.patient_id.as_ref(), PatientId::CHARACTERS_MAX)?;
        let id = PatientId::new(text);
        if id.is_none() {
            rules.note("patient_id", PatientId::RULE);
        }
        id
    }
}

/// Sorts problems by field, because the checks run in two passes.
fn in_field_order(mut problems: Vec<Problem>) -> Vec<Problem> {
    problems.sort_by_key(|problem| PatientDraft::FIELDS.iter().position(|field| *field == problem.field));
    problems
}

/// Two or three letters. Lower case becomes upper case, because the standard's codes are capitals.
fn country(text: Option<String>, rules: &mut Rules) -> Option<String> {
    let text = text?;
    let shaped = (2..=3).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphabetic());
    if !shaped {
        rules.note("country", "is not a country code of two or three letters (ISO 3166-1), for example KR");
    }
    shaped.then(|| text.to_ascii_uppercase())
}

/// A simplified BCP 47 tag: subtags of 1 to 8 letters and digits joined by `-`, the first with at least two letters.
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

#[cfg(test)]
#[path = "patient_tests.rs"]
pub(crate) mod tests;
