//! A patient that is read from a record of any format, with the problems of the record.

use std::borrow::Cow;
use std::fmt;

use crate::domain::patient::PatientDraft;
use crate::domain::{self, clinical};

/// A problem of one element of a record, or of the field that is made from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The element or the field, for example `telecom`, `birth_date` or `reaction[0].severity`.
    pub field: Cow<'static, str>,
    /// A lower-case fragment that follows `field: `. It repeats no value.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.field, self.message)
    }
}

impl From<domain::Problem> for Problem {
    fn from(problem: domain::Problem) -> Self {
        Self { field: Cow::Borrowed(problem.field), message: problem.message }
    }
}

impl From<clinical::Problem> for Problem {
    fn from(problem: clinical::Problem) -> Self {
        Self { field: Cow::Owned(problem.path), message: problem.message }
    }
}

/// The fields of a patient in a record, and the problems of those that were left out.
#[derive(Default)]
pub(super) struct Draft {
    pub(super) patient: PatientDraft,
    pub(super) left_out: Vec<Problem>,
}

/// The text, unless it is blank.
pub(super) fn present(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.trim().is_empty())
}

pub(super) fn problem(field: &'static str, message: impl Into<String>) -> Problem {
    Problem { field: Cow::Borrowed(field), message: message.into() }
}
