//! One thing that is wrong with a record, in words that may be shown and logged.
//!
//! A message never repeats a value: patients' data must not reach a log. The one exception is an id.

use std::fmt;

/// What is wrong with one field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The field's name as it stands in the payload, for example `birth_date`.
    pub field: &'static str,
    /// A lower-case fragment that reads well after `field: `.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.field, self.message)
    }
}
