//! Name and birth date of a chart. They prove that a chart with our patient id is really the patient's.

use crate::columns::{OwnColumn, Record};

/// A name and a birth date. They are only compared, never shown.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Person([String; 3]);

impl std::fmt::Debug for Person {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Person")
    }
}

/// The columns that identify a person.
pub(crate) const COLUMNS: [&str; 3] = ["lname", "fname", "DOB"];

impl Person {
    /// Builds it from values in the order of [`COLUMNS`]; `None` if one is missing, because the rest proves nothing.
    pub(crate) fn new(values: [Option<&str>; 3]) -> Option<Self> {
        let [family, given, birth_date] = values.map(|value| value.map(plain).filter(|text| !text.is_empty()));
        Some(Self([family?, given?, birth_date?]))
    }

    pub(crate) fn of(columns: &[&'static OwnColumn], record: &Record) -> Option<Self> {
        let value = |name: &str| {
            let at = columns.iter().position(|column| column.name == name)?;
            record.0.get(at)?.as_deref()
        };
        Self::new(COLUMNS.map(value))
    }
}

/// Removes case and spaces, which differ when people type names.
fn plain(text: &str) -> String {
    text.to_lowercase().split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn persons_are_compared_without_case_and_spaces_and_with_birth_date() {
        let person = |values: [&str; 3]| Person::new(values.map(Some));
        let kim = person(["Kim", "Min Jun", "1980-03-15"]);
        assert_eq!(kim, person(["KIM ", "min  jun", "1980-03-15"]));
        assert_ne!(kim, person(["Kim", "Min Jun", "1980-03-16"]));
        assert_ne!(kim, person(["Kim", "MinJun", "1980-03-15"]));
        assert_eq!(person(["Kim", "", "1980-03-15"]), None);
        assert_eq!(format!("{:?}", kim.unwrap()), "Person");
    }
}
