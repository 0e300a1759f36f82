//! The elements of a FHIR Patient (R4, R4B, R5) that are read, with FHIR's names and types.
//!
//! An element that identifies the patient must be of FHIR's type. Any other element of a wrong type is reported and
//! ignored, so that the patient is still imported. This module does no I/O.

use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer};
use serde_json::Value;

use crate::domain::patient::Day;

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Patient {
    pub(super) resource_type: Option<String>,
    pub(super) id: Option<String>,
    pub(super) active: Option<bool>,
    pub(super) link: Option<Vec<Link>>,
    pub(super) identifier: Option<Vec<Identifier>>,
    pub(super) name: Option<Vec<HumanName>>,
    pub(super) gender: Option<String>,
    pub(super) birth_date: Option<String>,
    pub(super) deceased_boolean: Option<bool>,
    pub(super) deceased_date_time: Option<String>,
    pub(super) extension: Entries<Extension>,
    pub(super) telecom: Entries<ContactPoint>,
    pub(super) address: Entries<Address>,
    pub(super) marital_status: Entries<CodeableConcept>,
    pub(super) communication: Entries<Communication>,
}

/// The entries of an optional element that have its type.
#[derive(Debug)]
pub(super) struct Entries<T> {
    pub(super) read: Vec<T>,
    pub(super) has_misfits: bool,
}

impl<T> Default for Entries<T> {
    fn default() -> Self {
        Self { read: Vec::new(), has_misfits: false }
    }
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for Entries<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut entries = Self::default();
        let values = match Value::deserialize(deserializer)? {
            Value::Null => Vec::new(),
            Value::Array(values) => values,
            // `maritalStatus` is a single value; the others are lists.
            value => vec![value],
        };
        for value in values {
            match serde_json::from_value(value) {
                Ok(entry) => entries.read.push(entry),
                Err(_) => entries.has_misfits = true,
            }
        }
        Ok(entries)
    }
}

#[derive(Deserialize)]
pub(super) struct HumanName {
    pub(super) r#use: Option<String>,
    pub(super) family: Option<String>,
    pub(super) given: Option<Vec<Option<String>>>,
    pub(super) prefix: Option<Vec<Option<String>>>,
    pub(super) suffix: Option<Vec<Option<String>>>,
    pub(super) extension: Option<Vec<Extension>>,
    pub(super) period: Option<Period>,
}

#[derive(Deserialize)]
pub(super) struct Link {
    pub(super) r#type: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(clippy::struct_field_names, reason = "FHIR's own names")]
pub(super) struct Extension {
    pub(super) url: Option<String>,
    pub(super) value_code: Option<String>,
    pub(super) value_string: Option<String>,
    pub(super) value_coding: Option<Coding>,
    pub(super) extension: Option<Vec<Extension>>,
}

#[derive(Deserialize)]
pub(super) struct Identifier {
    pub(super) r#use: Option<String>,
    pub(super) r#type: Option<CodeableConcept>,
    pub(super) system: Option<String>,
    pub(super) value: Option<String>,
    period: Option<Period>,
}

#[derive(Deserialize)]
pub(super) struct ContactPoint {
    pub(super) system: Option<String>,
    pub(super) value: Option<String>,
    pub(super) r#use: Option<String>,
    pub(super) rank: Option<u32>,
    period: Option<Period>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Address {
    pub(super) r#use: Option<String>,
    pub(super) line: Option<Vec<Option<String>>>,
    pub(super) city: Option<String>,
    pub(super) state: Option<String>,
    pub(super) postal_code: Option<String>,
    pub(super) country: Option<String>,
    period: Option<Period>,
}

#[derive(Deserialize)]
pub(super) struct CodeableConcept {
    pub(super) coding: Option<Vec<Coding>>,
}

#[derive(Deserialize)]
pub(super) struct Coding {
    pub(super) system: Option<String>,
    pub(super) code: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Communication {
    pub(super) language: Option<CodeableConcept>,
    pub(super) preferred: Option<bool>,
}

/// A FHIR Period. Each end may be a year, a month, a day or a timestamp.
#[derive(Deserialize)]
pub(super) struct Period {
    start: Option<String>,
    end: Option<String>,
}

impl Period {
    /// Why the period does not cover this day; `None` when it does. An end that is only a year includes its last day.
    /// An end that is not a date is ignored.
    pub(super) fn why_not_now(&self, today: Day) -> Option<&'static str> {
        let has_ended = self.end.as_deref().and_then(date_part).is_some_and(|end| end < &today[..end.len()]);
        let begins_later = self.start.as_deref().and_then(date_part).is_some_and(|start| start > &today[..start.len()]);
        match (has_ended, begins_later) {
            (true, _) => Some("its period has ended"),
            (false, true) => Some("its period has not begun"),
            (false, false) => None,
        }
    }
}

/// `YYYY`, `YYYY-MM` or `YYYY-MM-DD` at the beginning of a FHIR date.
fn date_part(text: &str) -> Option<&str> {
    let part = text.split('T').next().unwrap_or_default().trim();
    let is_date = matches!(part.len(), 4 | 7 | 10) && part.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
    is_date.then_some(part)
}

/// Why an element with this use and period is not current today; `None` for one that is.
pub(super) fn why_not_current(used: Option<&str>, period: Option<&Period>, today: Day) -> Option<&'static str> {
    if used == Some("old") { Some("its use is old") } else { period?.why_not_now(today) }
}

fn is_current(used: Option<&str>, period: Option<&Period>, today: Day) -> bool {
    why_not_current(used, period, today).is_none()
}

impl Identifier {
    pub(super) fn is_current(&self, today: Day) -> bool {
        is_current(self.r#use.as_deref(), self.period.as_ref(), today)
    }
}

impl ContactPoint {
    pub(super) fn is_current(&self, today: Day) -> bool {
        is_current(self.r#use.as_deref(), self.period.as_ref(), today)
    }
}

impl Address {
    pub(super) fn is_current(&self, today: Day) -> bool {
        is_current(self.r#use.as_deref(), self.period.as_ref(), today)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_period_holds_through_its_last_day_and_from_its_first() {
        let today = Day::read("2026-01-15").unwrap();
        for (start, end, holds) in [
            (None, None, true),
            (None, Some("2015"), false),
            (None, Some("2025-12-31T23:59:59Z"), false),
            (None, Some("2026-01-14"), false),
            (None, Some("2026-01-15"), true),
            (None, Some("2026"), true),
            (None, Some("2026-01"), true),
            (None, Some("2025-12"), false),
            (Some("2015"), None, true),
            (Some("2026-01-16"), None, false),
            (Some("2027"), None, false),
            (Some("2026"), Some("2026"), true),
            (None, Some("some day"), true),
            (None, Some(""), true),
        ] {
            let period = Period { start: start.map(str::to_owned), end: end.map(str::to_owned) };
            assert_eq!(period.why_not_now(today).is_none(), holds, "{start:?} to {end:?}");
        }
    }
}
