//! What writing did to a patient or to a clinical record, and its counts in an import.

use crate::store::ImportProgress;

/// The result of writing a patient.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PatientChange {
    Created,
    Updated,
    /// It has this state already, so nothing is queued.
    Unchanged,
    /// It was merged into another, so that another state of it is not written.
    Merged,
}

/// The result of writing a clinical record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordChange {
    Created,
    Updated,
    /// It has this state already, so nothing is queued.
    Unchanged,
}

/// What an import counts it as.
pub trait Counted {
    /// Its count among the others.
    fn of(self, progress: &mut ImportProgress) -> &mut u64;
}

impl Counted for PatientChange {
    fn of(self, progress: &mut ImportProgress) -> &mut u64 {
        match self {
            Self::Created => &mut progress.created,
            Self::Updated => &mut progress.updated,
            Self::Unchanged => &mut progress.unchanged,
            Self::Merged => &mut progress.rejected,
        }
    }
}

impl Counted for RecordChange {
    fn of(self, progress: &mut ImportProgress) -> &mut u64 {
        match self {
            Self::Created => &mut progress.created,
            Self::Updated => &mut progress.updated,
            Self::Unchanged => &mut progress.unchanged,
        }
    }
}

/// Adds what was done to each patient or record to an import's counts.
pub fn count(progress: &mut ImportProgress, changes: impl IntoIterator<Item = impl Counted>) {
    for change in changes {
        *change.of(progress) += 1;
    }
}
