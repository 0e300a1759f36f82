//! `[targets.NAME.settings]` of an OpenEMR target.
//!
//! Owns the names and defaults; `docs/adapters/openemr.md` explains them to operators.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::unfit::Unfit;

/// OpenEMR's default category of a visit.
const OFFICE_VISIT: i64 = 5;

/// The operator's settings. Unknown keys are refused.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Settings {
    /// The system of the patient ids. It is part of the computed uuid, so it must never change after patients were
    /// delivered.
    pub(crate) system: String,
    /// Which of the patient's names become `fname` and `lname`.
    pub(crate) name_script: NameScript,
    /// What `pubpid` holds when a chart is created.
    pub(crate) pubpid: PublicId,
    /// The OpenEMR user written to `created_by` and `updated_by`.
    pub(crate) user_id: Option<i64>,
    /// What a deletion does.
    pub(crate) on_delete: OnDelete,
    /// How to handle a marital status, language, race or ethnicity that OpenEMR's list lacks.
    pub(crate) unknown_option: UnknownOption,
    /// How to handle values that OpenEMR cannot hold or its users could not save, by column; see `unfit.rs`.
    pub(crate) unfit: BTreeMap<String, Unfit>,
    /// How to handle another chart with a new patient's id, name and birth date.
    pub(crate) same_patient: SamePatient,
    /// The login name of the OpenEMR user who is recorded as the author of new clinical records; empty for none.
    pub(crate) user_name: String,
    /// The OpenEMR user who is the provider of new encounters and appointments; 0 for none.
    pub(crate) provider_id: i64,
    /// The facility of new encounters and appointments; 0 for none.
    pub(crate) facility_id: i64,
    /// The calendar category of new encounters.
    pub(crate) encounter_category: i64,
    /// The calendar category of new appointments.
    pub(crate) appointment_category: i64,
    /// The clinic's offset from UTC, such as `+09:00`. Without it, a timestamp is written with the local time in the
    /// payload.
    pub(crate) utc_offset: Option<Offset>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            system: "urn:neuronova:patient-id".to_owned(),
            name_script: NameScript::Romanised,
            pubpid: PublicId::PatientId,
            user_id: None,
            on_delete: OnDelete::Refuse,
            unknown_option: UnknownOption::LeaveEmpty,
            unfit: BTreeMap::new(),
            same_patient: SamePatient::Hold,
            user_name: String::new(),
            provider_id: 0,
            facility_id: 0,
            encounter_category: OFFICE_VISIT,
            appointment_category: OFFICE_VISIT,
            utc_offset: None,
        }
    }
}

/// A time zone without daylight saving: minutes east of UTC.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(try_from = "String")]
pub(crate) struct Offset {
    pub(crate) minutes: i64,
}

impl TryFrom<String> for Offset {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        const WRONG: &str = "must be an offset from UTC such as +09:00 or -05:30";
        let (sign, digits) = match text.split_at_checked(1) {
            Some(("+", digits)) => (1, digits),
            Some(("-", digits)) => (-1, digits),
            _ => return Err(WRONG),
        };
        let two = |part: &str| (part.len() == 2).then(|| part.parse::<u8>().ok()).flatten().map(i64::from);
        let minutes = digits.split_once(':').and_then(|(hours, minutes)| Some((two(hours)?, two(minutes)?)));
        match minutes {
            Some((hours @ 0..=14, minutes @ 0..=59)) => Ok(Self { minutes: sign * (hours * 60 + minutes) }),
            _ => Err(WRONG),
        }
    }
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum NameScript {
    Romanised,
    /// The patient's native script if both names are given in it, otherwise romanised.
    Native,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum PublicId {
    PatientId,
    Pid,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum OnDelete {
    /// The deletion fails as unsupported, with the fix.
    Refuse,
    /// The deletion counts as delivered, and the chart stays unchanged.
    Keep,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum UnknownOption {
    Refuse,
    LeaveEmpty,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum SamePatient {
    /// A conflict: an operator links the patient to that chart, or corrects one of the two in OpenEMR.
    Hold,
    /// Another chart is created for the patient, with a line in the log.
    Create,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_document_gives_the_defaults() {
        assert_eq!(serde_json::from_str::<Settings>("{}").unwrap(), Settings::default());
    }

    #[test]
    fn every_setting_is_read() {
        let document = r#"{"system": "urn:clinic", "name_script": "native", "pubpid": "pid", "user_id": 7,
            "on_delete": "keep", "unknown_option": "refuse", "unfit": {"ss": "write"}, "same_patient": "create",
            "user_name": "admin", "provider_id": 3, "facility_id": 4, "encounter_category": 9,
            "appointment_category": 10, "utc_offset": "-05:30"}"#;
        let expected = Settings {
            system: "urn:clinic".into(),
            name_script: NameScript::Native,
            pubpid: PublicId::Pid,
            user_id: Some(7),
            on_delete: OnDelete::Keep,
            unknown_option: UnknownOption::Refuse,
            unfit: [("ss".to_owned(), Unfit::Write)].into(),
            same_patient: SamePatient::Create,
            user_name: "admin".into(),
            provider_id: 3,
            facility_id: 4,
            encounter_category: 9,
            appointment_category: 10,
            utc_offset: Some(Offset { minutes: -330 }),
        };
        assert_eq!(serde_json::from_str::<Settings>(document).unwrap(), expected);
    }

    #[test]
    fn an_unknown_key_or_word_is_refused() {
        for document in [
            r#"{"sytem": "x"}"#,
            r#"{"name_script": "hangul"}"#,
            r#"{"user_id": "admin"}"#,
            r#"{"unfit": {"ss": "cut"}}"#,
            r#"{"utc_offset": "Asia/Seoul"}"#,
            r#"{"utc_offset": "+9:00"}"#,
            r#"{"utc_offset": "+09:60"}"#,
        ] {
            assert!(serde_json::from_str::<Settings>(document).is_err(), "{document}");
        }
    }
}
