//! Constructors of the failures that this adapter reports.
//!
//! A message contains columns, lists, codes and ids; never a value of the payload.

use adapter_sdk::database::{DatabaseError, DatabaseErrorKind};
use adapter_sdk::{Failure, FailureKind};

fn failure(kind: FailureKind, message: impl Into<String>) -> Failure {
    Failure { kind, message: message.into(), retry_after_ms: None }
}

/// The change can never be applied in this form.
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

/// A later attempt may succeed.
pub(crate) fn transient(message: impl Into<String>) -> Failure {
    failure(FailureKind::Transient, message)
}

/// The failure for a refused statement. If a unique key that is not OpenEMR's own refuses a row, the cause is the row's
/// content, so the failure is permanent.
pub(crate) fn refused(error: &DatabaseError, doing: &str) -> Failure {
    let failure = error.during(doing);
    if error.kind == DatabaseErrorKind::DuplicateKey { invalid(failure.message) } else { failure }
}

/// The target accepts no new record of this kind.
pub(crate) fn denied(message: impl Into<String>) -> Failure {
    failure(FailureKind::Denied, message)
}

/// This adapter does not support it.
pub(crate) fn unsupported(message: impl Into<String>) -> Failure {
    failure(FailureKind::Unsupported, message)
}
