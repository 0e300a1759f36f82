//! The vocabulary that the host shares with adapters: the same nouns as `wit/types.wit`.

use super::ids::{AggregateKey, ChangeId};
use crate::vocabulary;

vocabulary! {
    /// What the application did to the aggregate.
    pub enum Operation {
        /// It is new.
        Create = "create",
        /// It has another state.
        Update = "update",
        /// It is gone.
        Delete = "delete",
    }
}

/// What we remember of an aggregate at a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// The id that the target gave it.
    pub remote_id: String,
    /// Its version there, where the target has versions.
    pub remote_version: Option<String>,
    /// The adapter's digest of what it last wrote.
    pub fingerprint: Option<String>,
}

/// One row of the outbox, on its way to one target.
#[derive(Clone)]
pub struct Change {
    pub change_id: ChangeId,
    /// The event's UUID, as text.
    pub event_id: String,
    /// What changed.
    pub key: AggregateKey,
    /// What was done to it.
    pub operation: Operation,
    /// Its full state as a JSON object. Personal data: never logged.
    pub payload: String,
    /// When the application wrote the row, milliseconds since 1970-01-01 UTC.
    pub created_at_ms: i64,
    /// 1 for the first attempt.
    pub attempt: u32,
    /// What the target last confirmed.
    pub link: Option<Link>,
}

/// The payload is a patient's data and stays out.
impl std::fmt::Debug for Change {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Change")
            .field("change_id", &self.change_id)
            .field("key", &self.key)
            .field("operation", &self.operation)
            .field("attempt", &self.attempt)
            .finish_non_exhaustive()
    }
}

/// The target's confirmation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The id by which the target's own users know the record.
    pub remote_id: String,
    /// The version that the record now has.
    pub remote_version: Option<String>,
    /// The adapter's digest of what it wrote.
    pub fingerprint: Option<String>,
}

vocabulary! {
    /// What a failure means, as in `sync_delivery.error_kind`.
    pub enum FailureKind {
        /// The target as a whole does not answer.
        Unavailable = "unavailable",
        /// The target asks us to slow down.
        Throttled = "throttled",
        /// The target refuses everything until an operator fixes its configuration.
        Misconfigured = "misconfigured",
        /// This change failed for a reason that may pass.
        Transient = "transient",
        /// The target can never take this change.
        Invalid = "invalid",
        /// The target's policy refuses this change.
        Denied = "denied",
        /// The adapter does not know the type or operation.
        Unsupported = "unsupported",
        /// An operator has to decide.
        Conflict = "conflict",
        /// The adapter crashed: a trap, an exceeded limit, or an invalid response.
        Adapter = "adapter",
        /// A lock at the target, or too many failures in its batch. No attempt is spent.
        Delayed = "delayed",
    }
}

impl FailureKind {
    /// Whether the target as a whole fails: no attempt is spent, and the breaker opens.
    #[must_use]
    pub fn is_target_wide(self) -> bool {
        matches!(self, Self::Unavailable | Self::Throttled | Self::Misconfigured)
    }

    /// Whether it is the change's own, so that an attempt is spent.
    #[must_use]
    pub fn spends_attempt(self) -> bool {
        !self.is_target_wide() && self != Self::Delayed
    }

    /// Whether a later attempt cannot succeed.
    #[must_use]
    pub fn is_permanent(self) -> bool {
        matches!(self, Self::Invalid | Self::Denied | Self::Unsupported | Self::Conflict)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub kind: FailureKind,
    /// One line, with no personal data.
    pub message: String,
    /// How long the target asked the host to wait.
    pub retry_after_ms: Option<u64>,
}

impl Failure {
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), retry_after_ms: None }
    }
}

/// The result of delivering one change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The target confirmed it.
    Applied(Receipt),
    Failed(Failure),
}

/// An adapter's description of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// For example `openemr`.
    pub name: String,
    /// For example `0.1.0`.
    pub version: String,
    /// For example `["patient"]`.
    pub aggregate_types: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FindingLevel {
    Ok,
    /// It works, but an operator should know.
    Warning,
    Problem,
}

/// One thing that a check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub level: FindingLevel,
    pub message: String,
}

/// The result of a check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The target in a few words.
    pub summary: String,
    pub findings: Vec<Finding>,
    /// The adapter gets it with every `apply`.
    pub state: Vec<u8>,
}

vocabulary! {
    /// What happens to a remote edit.
    pub enum RemoteEdit {
        /// The application's state replaces it.
        Overwrite = "overwrite",
        /// The delivery fails as a conflict, and an operator decides.
        Hold = "hold",
    }
}
