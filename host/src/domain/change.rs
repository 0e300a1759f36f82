//! The types that the host shares with adapters, with the same names as in `wit/0.2.0/types.wit`.

use super::ids::{AggregateKey, ChangeId};
use crate::vocabulary;

vocabulary! {
    /// What the application did to the aggregate.
    pub enum Operation {
        /// The aggregate is new.
        Create = "create",
        /// The aggregate has a new state.
        Update = "update",
        /// The aggregate no longer exists.
        Delete = "delete",
        /// The aggregate is a duplicate of another, which survives.
        Merge = "merge",
    }
}

impl Operation {
    /// Whether the target need not hold a record afterwards, so that a receipt needs no id.
    #[must_use]
    pub fn ends_record(self) -> bool {
        matches!(self, Self::Delete | Self::Merge)
    }
}

/// What a target confirmed last for an aggregate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// The id that the target assigned.
    pub remote_id: String,
    /// The record's version at the target, if the target has versions.
    pub remote_version: Option<String>,
    /// The adapter's digest of the state that it last wrote.
    pub fingerprint: Option<String>,
}

/// Another aggregate that a change refers to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// The role in the payload.
    pub name: String,
    pub aggregate_type: String,
    pub aggregate_id: String,
    /// The id that the target assigned. `None` where the adapter does not deliver that type.
    pub remote_id: Option<String>,
}

impl Reference {
    /// The key of the aggregate.
    #[must_use]
    pub fn key(&self) -> AggregateKey {
        AggregateKey { aggregate_type: self.aggregate_type.clone(), aggregate_id: self.aggregate_id.clone() }
    }
}

/// One row of the outbox, to be delivered to one target.
#[derive(Clone)]
pub struct Change {
    pub change_id: ChangeId,
    /// The event's UUID, as text.
    pub event_id: String,
    /// The aggregate that changed.
    pub key: AggregateKey,
    /// What the application did to it.
    pub operation: Operation,
    /// Its full state as a JSON object. Personal data: never logged.
    pub payload: String,
    /// The aggregates that it refers to.
    pub references: Vec<Reference>,
    /// With [`Operation::Merge`], the aggregate that stays.
    pub survivor: Option<Reference>,
    /// When the application wrote the row, milliseconds since 1970-01-01 UTC.
    pub created_at_ms: i64,
    /// 1 for the first attempt.
    pub attempt: u32,
    /// What the target confirmed last.
    pub link: Option<Link>,
}

impl Change {
    /// The ids with which it goes out, by what it refers to. The adapter of a merge gets the last survivor's id;
    /// `survivor_id` is the survivor that the application named, for whom another record may stand later.
    #[must_use]
    pub fn sent(&self, survivor_id: Option<&str>) -> Vec<Reference> {
        let named = |(survivor, id): (&Reference, &str)| Reference { aggregate_id: id.to_owned(), ..survivor.clone() };
        let survivor = self.survivor.as_ref().zip(survivor_id).map(named);
        let all = self.references.iter().cloned().chain(survivor);
        all.filter(|reference| reference.remote_id.is_some()).collect()
    }
}

/// The payload is a patient's data, so it is not printed.
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
    /// The kind of a failure, as in `sync_delivery.error_kind`.
    pub enum FailureKind {
        /// The target as a whole does not respond.
        Unavailable = "unavailable",
        /// The target asks us to slow down.
        Throttled = "throttled",
        /// The target refuses everything until an operator fixes its configuration.
        Misconfigured = "misconfigured",
        /// This change failed for a reason that may pass.
        Transient = "transient",
        /// The target can never accept this change.
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

    /// Whether the failure concerns this change alone, so that an attempt is spent.
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
    /// The target has no place for it. The reason is one line, with no personal data.
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

/// A record at a target that the host asks an adapter to observe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    pub aggregate_type: String,
    pub aggregate_id: String,
    pub link: Link,
}

/// What a target holds now for one aggregate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Observation {
    /// The record exists and is ours. It is unedited if its fingerprint equals that of the link.
    Present { fingerprint: String, remote_version: Option<String> },
    /// No record exists.
    Gone,
    /// Several records carry our identifier.
    Several(Vec<String>),
    /// The link's record belongs to another aggregate, or to none.
    NotOurs,
    /// The target cannot determine it. The text is the reason.
    Unknown(String),
}

/// A record at a target that carries our mark.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnRecord {
    pub aggregate_id: String,
    pub remote_id: String,
}

/// Some of a target's records of ours.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnPage {
    pub records: Vec<OwnRecord>,
    /// Where the next page begins, in the adapter's own form. `None` at the end.
    pub next: Option<String>,
}

/// Which page of our records at a target is wanted.
#[derive(Clone, Copy, Debug)]
pub struct OwnQuery<'a> {
    pub aggregate_type: &'a str,
    pub after: Option<&'a str>,
    pub limit: u32,
}

/// What an adapter does with one type of aggregates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AggregateSupport {
    pub aggregate_type: String,
    pub operations: Vec<Operation>,
    /// Whether the adapter implements `observe` for this type.
    pub observes: bool,
    /// The `$id` of the payload's JSON Schema. `None` when the adapter accepts any object.
    pub schema: Option<String>,
}

/// An adapter's description of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// For example `openemr`.
    pub name: String,
    /// For example `0.1.0`.
    pub version: String,
    /// The supported types, each once.
    pub aggregate_types: Vec<AggregateSupport>,
}

impl Descriptor {
    /// The support for a type; `None` when the adapter does not deliver that type.
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
    /// The target is usable, but an operator should know.
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
    /// A short description of the target.
    pub summary: String,
    pub findings: Vec<Finding>,
    /// The adapter gets these bytes with every `apply`.
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
