//! What writing did to a patient or to a clinical record, and its counts in an import.

use crate::store::ImportProgress;

/// The result of writing a patient.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PatientChange {
    Created,
    Updated,
    /// It has this state already, so nothing is queued.
    Unchanged,
}

/// The result of writing a clinical record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordChange {
    Created,
    Updated,
    /// It has this state already, so nothing is queued.
    Unchanged,
}

impl From<PatientChange> for RecordChange {
    fn from(change: PatientChange) -> Self {
        match change {
            PatientChange::Created => Self::Created,
            PatientChange::Updated => Self::Updated,
            PatientChange::Unchanged => Self::Unchanged,
        }
    }
}

/// Adds what was done to each patient or record to an import's counts.
pub fn count(progress: &mut ImportProgress, changes: impl IntoIterator<Item = impl Into<RecordChange>>) {
    for change in changes {
        match change.into() {
            RecordChange::Created => progress.created += 1,
            RecordChange::Updated => progress.updated += 1,
            RecordChange::Unchanged => progress.unchanged += 1,
        }
    }
}
