//! Where the application's own records are written: patient and outbox row in one transaction, users with their
//! passwords hashed. Nothing else writes `users` or the patients of `patient_cache`. Read next: `patients.rs`.

mod patients;
mod users;

pub use patients::{PatientChange, PatientService, count};
pub use users::{NewUser, UserChange, UserService};

use crate::store::StoreError;

/// Why a record could not be written.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// The store said no; nothing was written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A password could not be hashed, or a stored hash is not one.
    #[error("password of user `{username}`: {reason}")]
    Password {
        /// Whose.
        username: String,
        /// Why.
        reason: String,
    },
}

impl crate::database::AsDatabaseError for ServiceError {
    fn as_database_error(&self) -> Option<&crate::database::DatabaseError> {
        match self {
            Self::Store(error) => error.as_database_error(),
            Self::Password { .. } => None,
        }
    }
}
