//! Handles values that OpenEMR could not hold, or that its own users could not save.
//!
//! There are two kinds: too long (for the column or for the demographics form), and not an option of the field's list.
//! `[settings.unfit]` decides for each column. The defaults follow three rules: a chart is never created that its users
//! cannot save, a name is never left out or cut, and an optional field never keeps a patient from being delivered.

use serde::Deserialize;

use crate::settings::{Settings, UnknownOption};

/// The operator's choice for a column.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Unfit {
    /// The patient fails as invalid; the message names the column.
    Refuse,
    /// The patient is delivered with this column empty, with a line in the log.
    LeaveEmpty,
    /// The value is written anyway, if the column can hold it.
    Write,
}

/// Why a value does not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    TooLong,
    NotListed,
}

/// These columns identify the patient, so they are never left out.
pub(crate) const IDENTIFYING: [&str; 5] = ["fname", "lname", "DOB", "sex", "pubpid"];

/// Parts of a name. Without them, one person may look like another.
const NAME_PARTS: [&str; 2] = ["mname", "suffix"];

/// Columns whose text OpenEMR shows even if the list lacks it.
const SHOWN_UNLISTED: [&str; 3] = ["title", "state", "country_code"];

/// The choice for a value of this column.
pub(crate) fn policy(settings: &Settings, column: &str, kind: Kind) -> Unfit {
    if let Some((_, policy)) = settings.unfit.iter().find(|(name, _)| name.eq_ignore_ascii_case(column)) {
        return *policy;
    }
    match kind {
        _ if IDENTIFYING.contains(&column) || NAME_PARTS.contains(&column) => Unfit::Refuse,
        Kind::NotListed if SHOWN_UNLISTED.contains(&column) => Unfit::Write,
        Kind::NotListed => match settings.unknown_option {
            UnknownOption::Refuse => Unfit::Refuse,
            UnknownOption::LeaveEmpty => Unfit::LeaveEmpty,
        },
        Kind::TooLong => Unfit::LeaveEmpty,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_default_charts_stay_savable_and_optional_fields_never_fail_a_patient() {
        let settings = Settings::default();
        for (column, kind, expected) in [
            ("lname", Kind::TooLong, Unfit::Refuse),
            ("pubpid", Kind::TooLong, Unfit::Refuse),
            ("mname", Kind::TooLong, Unfit::Refuse),
            ("sex", Kind::NotListed, Unfit::Refuse),
            ("ss", Kind::TooLong, Unfit::LeaveEmpty),
            ("street", Kind::TooLong, Unfit::LeaveEmpty),
            ("state", Kind::TooLong, Unfit::LeaveEmpty),
            ("race", Kind::NotListed, Unfit::LeaveEmpty),
            ("language", Kind::NotListed, Unfit::LeaveEmpty),
            ("state", Kind::NotListed, Unfit::Write),
            ("country_code", Kind::NotListed, Unfit::Write),
            ("title", Kind::NotListed, Unfit::Write),
        ] {
            assert_eq!(policy(&settings, column, kind), expected, "{column} {kind:?}");
        }
    }

    #[test]
    fn the_policy_can_be_set_per_column() {
        let mut settings = Settings { unknown_option: UnknownOption::Refuse, ..Settings::default() };
        settings.unfit.insert("SS".into(), Unfit::Write);
        settings.unfit.insert("race".into(), Unfit::Write);
        assert_eq!(policy(&settings, "ss", Kind::TooLong), Unfit::Write);
        assert_eq!(policy(&settings, "race", Kind::NotListed), Unfit::Write);
        assert_eq!(policy(&settings, "language", Kind::NotListed), Unfit::Refuse);
    }
}
