//! The vocabulary that the host shares with adapters: the same nouns as `wit/0.2.0/types.wit`.

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
        /// It is one with another, which survives.
        Merge = "merge",
    }
}

impl Operation {
    /// Whether nothing need be at the target afterwards, so that a receipt may be without an id.
    #[must_use]
    pub fn ends_record(self) -> bool {
        matches!(self, Self::Delete | Self::Merge)
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

/// Another aggregate that a change refers to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// The role in the payload.
    pub name: String,
    pub aggregate_type: String,
    pub aggregate_id: String,
    /// The id that the target gave it. `None` where the adapter does not deliver that type.
    pub remote_id: Option<String>,
}

impl Reference {
    /// The aggregate that it names.
    #[must_use]
    pub fn key(&self) -> AggregateKey {
        AggregateKey { aggregate_type: self.aggregate_type.clone(), aggregate_id: self.aggregate_id.clone() }
    }
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
    /// What it refers to.
    pub references: Vec<Reference>,
    /// With [`Operation::Merge`], the aggregate that stays.
    pub survivor: Option<Reference>,
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
    /// The target has no place for it, for this reason: one line, with no personal data.
    Skipped(String),
}

/// The result of delivering a batch in one call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchOutcome {
    /// One for each change, in order.
    pub outcomes: Vec<Outcome>,
    /// What the adapter learned of the target, for the calls after it.
    pub learned: Option<Vec<u8>>,
}

/// A record at a target, as the host asks for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    pub aggregate_type: String,
    pub aggregate_id: String,
    pub link: Link,
}

/// What a target holds now for one subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Observation {
    /// The record is there, and is ours. Unedited when the fingerprint is that of the link.
    Present { fingerprint: String, remote_version: Option<String> },
    /// No record is there.
    Gone,
    /// Several records carry our identifier.
    Several(Vec<String>),
    /// The link's record is another aggregate's, or nobody's.
    NotOurs,
    /// The target cannot tell, for this reason.
    Unknown(String),
}

/// What an adapter does with one type of aggregates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AggregateSupport {
    pub aggregate_type: String,
    pub operations: Vec<Operation>,
    /// Whether `observe` answers for it.
    pub observes: bool,
    /// The `$id` of the payload's JSON Schema. `None` when it takes any object.
    pub schema: Option<String>,
}

/// An adapter's description of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// For example `openemr`.
    pub name: String,
    /// For example `0.1.0`.
    pub version: String,
    /// Each type once.
    pub aggregate_types: Vec<AggregateSupport>,
}

impl Descriptor {
    /// What it does with a type; `None` when it does not deliver that type.
    #[must_use]
    pub fn support(&self, aggregate_type: &str) -> Option<&AggregateSupport> {
        self.aggregate_types.iter().find(|support| support.aggregate_type == aggregate_type)
    }

    /// The names of the types that it delivers.
    pub fn type_names(&self) -> impl Iterator<Item = &str> {
        self.aggregate_types.iter().map(|support| support.aggregate_type.as_str())
    }
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
