//! The host has no credentials for a target.

use super::bindings::types;
use crate::domain::change::FailureKind;

/// Why the host has no credentials: the target as a whole cannot be used. The message is for the operator.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub(super) struct AuthFailure {
    pub(super) kind: FailureKind,
    pub(super) message: String,
}

impl AuthFailure {
    pub(super) fn misconfigured(message: impl Into<String>) -> Self {
        Self { kind: FailureKind::Misconfigured, message: message.into() }
    }

    pub(super) fn unavailable(message: impl Into<String>) -> Self {
        Self { kind: FailureKind::Unavailable, message: message.into() }
    }
}

impl From<AuthFailure> for types::Failure {
    fn from(failure: AuthFailure) -> Self {
        let kind = match failure.kind {
            FailureKind::Unavailable => types::FailureKind::Unavailable,
            _ => types::FailureKind::Misconfigured,
        };
        Self { kind, message: failure.message, retry_after_ms: None }
    }
}
