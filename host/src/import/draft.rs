//! A patient while a record is read, whatever its format, and what is wrong with it.

use crate::domain::Problem;
use crate::domain::patient::PatientDraft;

/// The fields of a patient that a record holds, and the problems of those that were left out.
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
    Problem { field, message: message.into() }
}
