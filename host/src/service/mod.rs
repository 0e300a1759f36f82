//! Writes the application's own records: a patient or a clinical record with its outbox row in one transaction, and
//! users with hashed passwords. Nothing else writes `users`, `clinical_record` or the patients of `patient_cache`. Read
//! next: `patients.rs`.

mod clinical;
mod counts;
mod merges;
mod patients;
mod refusals;
mod users;

pub use clinical::ClinicalService;
pub use counts::{PatientChange, RecordChange, count};
pub use merges::MergeCounts;
pub use patients::PatientService;
pub use refusals::RefusedRecord;
pub use users::{NewUser, UserChange, UserService};

use crate::store::StoreError;

#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A password could not be hashed, or a stored hash is not one.
    #[error("password of user `{username}`: {reason}")]
    Password { username: String, reason: String },
    /// Each with its reason; never empty.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n   "))]
    Refused(Vec<RefusedRecord>),
}

impl crate::database::AsDatabaseError for ServiceError {
    fn as_database_error(&self) -> Option<&crate::database::DatabaseError> {
        match self {
            Self::Store(error) => error.as_database_error(),
            Self::Password { .. } | Self::Refused(_) => None,
        }
    }
}
