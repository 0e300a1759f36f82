//! A patient: a record of the outbox contract. The crate `patient-payload` has the rules, which adapters share.

pub use patient_payload::{Day, Gender, MaritalStatus, Patient, PatientDraft, PatientId, omb};

/// The latest date anywhere on earth at this moment. A later date is in the future.
#[must_use]
pub fn latest_today(now: jiff::Timestamp) -> Day {
    Day::latest_on_earth(now.as_millisecond())
}
