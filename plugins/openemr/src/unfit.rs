//! What becomes of a value that OpenEMR could not hold, or that its own users could not save.
//!
//! Two kinds: too long (for the column or for the demographics form), and no option of the field's list.
//! `[settings.unfit]` decides for each column. Without a word of the operator: a chart is never made that its users
//! cannot save, a name is never left out or cut, and a patient is not kept from the clinic for the sake of an optional
//! field.

use serde::Deserialize;

use crate::settings::{Settings, UnknownOption};

/// What the operator may decide about a column.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Unfit {
    /// The patient fails as invalid, naming the column.
    Refuse,
    /// The patient is delivered with this column empty, with a line in the log.
    LeaveEmpty,
    /// The value is written all the same, where the column can hold it.
    Write,
}

/// How a value does not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    TooLong,
    NotListed,
}

/// Without these a chart is not this patient's, so they are never left out.
pub(crate) const IDENTIFYING: [&str; 5] = ["fname", "lname", "DOB", "sex", "pubpid"];

/// Parts of a name: left out, they may make one person look like another.
const NAME_PARTS: [&str; 2] = ["mname", "suffix"];

/// Texts that OpenEMR shows also when its list lacks them.
const SHOWN_UNLISTED: [&str; 3] = ["title", "state", "country_code"];

/// What becomes of a value of this column.
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
