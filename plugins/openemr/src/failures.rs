//! Short ways to the failures that this adapter itself decides on.
//!
//! A message names columns, lists, codes and ids; never a value of the payload.

use adapter_sdk::database::{DatabaseError, DatabaseErrorKind};
use adapter_sdk::{Failure, FailureKind};

fn failure(kind: FailureKind, message: impl Into<String>) -> Failure {
    Failure { kind, message: message.into(), retry_after_ms: None }
}

/// The change can never be taken as it is.
pub(crate) fn invalid(message: impl Into<String>) -> Failure {
    failure(FailureKind::Invalid, message)
}

/// An operator has to decide.
pub(crate) fn conflict(message: impl Into<String>) -> Failure {
    failure(FailureKind::Conflict, message)
}

/// The target refuses everything until an operator fixes it.
pub(crate) fn misconfigured(message: impl Into<String>) -> Failure {
    failure(FailureKind::Misconfigured, message)
}

/// It may work the next time.
pub(crate) fn transient(message: impl Into<String>) -> Failure {
    failure(FailureKind::Transient, message)
}

/// What a refused statement means for the batch. A unique key that somebody added beside OpenEMR's own refuses one row
/// for what it says, so it is no passing trouble.
pub(crate) fn refused(error: &DatabaseError, doing: &str) -> Failure {
    let failure = error.during(doing);
    if error.kind == DatabaseErrorKind::DuplicateKey { invalid(failure.message) } else { failure }
}

/// The target takes no new record of this kind.
pub(crate) fn denied(message: impl Into<String>) -> Failure {
    failure(FailureKind::Denied, message)
}

/// This adapter does not do that.
pub(crate) fn unsupported(message: impl Into<String>) -> Failure {
    failure(FailureKind::Unsupported, message)
}
