//! A patient: the record of the outbox contract, with the rules that adapters know too (crate `patient-payload`).

pub use patient_payload::{Day, Gender, MaritalStatus, Patient, PatientDraft, PatientId, omb};

/// The latest day that anyone on earth writes at this moment: what lies after it is in the future.
#[must_use]
pub fn latest_today(now: jiff::Timestamp) -> Day {
    Day::latest_on_earth(now.as_millisecond())
}
