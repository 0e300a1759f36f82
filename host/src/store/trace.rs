//! Reads the story of one aggregate: its changes, deliveries, attempts, links, merges and what operators decided. It
//! only reads, a bounded number of statements in one transaction, and never a payload.

use std::collections::BTreeSet;

use super::sql::{
    ChangeKey, EventKey, TraceChanges, TraceDeliveries, TraceDependencies, TraceDismissals, TraceFindings,
    TraceInFlight, TraceLinks, TraceMerges, TraceUnrouted,
};
use super::{RecordedAttempt, RowReader, Store, StoreError, StoreTransaction, corrupt};
use crate::database::Value;
use crate::domain::audit::{AuditAction, AuditEvent, AuditSubject};
use crate::domain::delivery::Status;
use crate::domain::ids::{AggregateKey, ChangeId, LeaseId};

/// Merges of one patient that are read.
const MERGES_MAX: u32 = 100;
/// Commands about one aggregate that are read.
const COMMANDS_MAX: u32 = 100;
/// Commands that are part of a story. Dismissals and merges are told by the rows that they wrote.
const COMMANDS: &[AuditAction] = &[
    AuditAction::ConflictsResolve,
    AuditAction::PatientDelete,
    AuditAction::PatientPut,
    AuditAction::PatientUnmerge,
    AuditAction::Resync,
    AuditAction::Retry,
];

/// Those of them that can be about many at once.
const BULK_COMMANDS: &[AuditAction] = &[AuditAction::Resync, AuditAction::Retry];

/// What a story is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    Aggregate(AggregateKey),
    /// One change, by its number.
    Change(ChangeId),
    /// One change, by its event's UUID.
    Event(String),
}

/// A change, without its payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TracedChange {
    pub change_id: ChangeId,
    pub event_id: String,
    pub operation: String,
    /// `None` when it is in another unit than milliseconds.
    pub created_at: Option<i64>,
    pub routed_at: Option<i64>,
}

/// A delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TracedDelivery {
    pub target: String,
    pub key: AggregateKey,
    pub change_id: ChangeId,
    pub status: Status,
    pub attempts: i64,
    pub next_attempt_at: Option<i64>,
    /// Whether it waits for something that it refers to.
    pub waits: bool,
    /// The lease of its last attempt.
    pub last_attempt: Option<LeaseId>,
    pub error_kind: Option<String>,
    pub error_message: Option<String>,
    pub created_at: i64,
    pub finished_at: Option<i64>,
}

/// A change in flight.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TracedInFlight {
    pub target: String,
    pub change_id: ChangeId,
    pub lease_id: LeaseId,
    /// The host that has it, since when and until when; `None` when its lease was lost this moment.
    pub lease: Option<(String, i64, i64)>,
}

/// What a target has of the aggregate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TracedLink {
    pub target: String,
    pub remote_id: Option<String>,
    pub remote_version: Option<String>,
    /// The change that was confirmed last.
    pub change_id: ChangeId,
    pub synced_at: i64,
    pub merged_into: Option<String>,
}

/// What a delivery depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TracedDependency {
    pub target: String,
    pub change_id: ChangeId,
    pub key: AggregateKey,
    /// When the target confirmed it last; `None` while it lacks it.
    pub confirmed_at: Option<i64>,
}

/// An operator's decision that a delivery need not be delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TracedDismissal {
    pub target: String,
    pub change_id: ChangeId,
    pub reason: Option<String>,
    pub dismissed_by: Option<String>,
    pub dismissed_at: i64,
}

/// A finding of a verification.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TracedFinding {
    pub target: String,
    pub state: String,
    pub found_at: i64,
}

/// A merge of patients by the host's own service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TracedMerge {
    pub patient_id: String,
    pub survivor_id: String,
    pub reason: String,
    pub merged_by: String,
    pub merged_at: i64,
}

/// The story of one aggregate.
#[derive(Clone, Debug)]
pub struct Story {
    pub key: AggregateKey,
    /// The store's time when it was read.
    pub now: i64,
    pub changes: Vec<TracedChange>,
    /// Newest change first.
    pub deliveries: Vec<TracedDelivery>,
    pub in_flight: Vec<TracedInFlight>,
    /// The last attempt of each delivery, as far as the journal has it.
    pub attempts: Vec<RecordedAttempt>,
    pub links: Vec<TracedLink>,
    pub dependencies: Vec<TracedDependency>,
    pub dismissals: Vec<TracedDismissal>,
    pub findings: Vec<TracedFinding>,
    pub merges: Vec<TracedMerge>,
    /// The commands that changed something about this very aggregate, and those about many at once, which may have
    /// left it out.
    pub commands: Vec<AuditEvent>,
    /// Whether older deliveries were left out.
    pub is_cut: bool,
}

impl Story {
    /// The journal's row of a delivery's last attempt.
    #[must_use]
    pub fn attempt_of(&self, delivery: &TracedDelivery) -> Option<&RecordedAttempt> {
        let is_its = |attempt: &&RecordedAttempt| {
            Some(attempt.lease_id) == delivery.last_attempt && attempt.target == delivery.target
        };
        self.attempts.iter().find(is_its)
    }
}

impl Store {
    /// Reads the story of an aggregate or of one change, at one target or at all, with up to `limit` deliveries. `None`
    /// when the store has no such change; an aggregate that it does not know has an empty story.
    ///
    /// # Errors
    /// When the store cannot be reached, or holds values that this version does not understand.
    pub async fn story(
        &self,
        subject: &Subject,
        target: Option<&str>,
        limit: u32,
    ) -> Result<Option<Story>, StoreError> {
        let now = self.now_ms().await?;
        let mut transaction = self.begin_read("read what happened to an aggregate").await?;
        let story = match transaction.key_of(subject).await? {
            Some((key, change_id)) => Some(transaction.story(key, change_id, (target, limit), now).await?),
            None => None,
        };
        transaction.rollback().await?;
        Ok(story)
    }
}

impl StoreTransaction {
    async fn key_of(&mut self, subject: &Subject) -> Result<Option<(AggregateKey, Option<ChangeId>)>, StoreError> {
        let rows = match subject {
            Subject::Aggregate(key) => return Ok(Some((key.clone(), None))),
            Subject::Change(change_id) => self.fetch(ChangeKey { change_id: *change_id }).await?,
            Subject::Event(event_id) => self.fetch(EventKey { event_id }).await?,
        };
        let Some(row) = rows.rows.into_iter().next() else { return Ok(None) };
        let mut reader = RowReader::new(&self.operation, row);
        let change_id = reader.change_id()?;
        Ok(Some((reader.aggregate_key()?, Some(change_id))))
    }

    async fn story(
        &mut self,
        key: AggregateKey,
        only: Option<ChangeId>,
        (target, limit): (Option<&str>, u32),
        now: i64,
    ) -> Result<Story, StoreError> {
        let is_meant = |change_id: ChangeId, at: &str| {
            only.is_none_or(|only| only == change_id) && target.is_none_or(|target| target == at)
        };
        let deliveries = self.deliveries_of(&key, target, only, limit).await?;
        let mut in_flight = self.in_flight_of(&key).await?;
        in_flight.retain(|one| is_meant(one.change_id, &one.target));
        let mut ids: BTreeSet<_> = deliveries.iter().map(|delivery| delivery.change_id).collect();
        ids.extend(in_flight.iter().map(|one| one.change_id));
        match only {
            Some(only) => drop(ids.insert(only)),
            None => ids.extend(self.unrouted_of(&key, limit).await?),
        }
        let ids: Vec<_> = ids.into_iter().collect();
        let leases: Vec<_> = deliveries.iter().filter_map(|delivery| delivery.last_attempt).collect();
        let at_target = |at: &String| target.is_none_or(|target| target == at);
        let changes = self.changes_of(&ids).await?;
        let targets: BTreeSet<_> = deliveries.iter().map(|delivery| &delivery.target).collect();
        let commands = self.commands_of(&key, &changes).await?.into_iter().filter(|event| {
            let AuditSubject { target: about, aggregate_id, .. } = &event.facts.subject;
            about.as_ref().is_none_or(|about| at_target(about) && (aggregate_id.is_some() || targets.contains(about)))
        });
        let commands = commands.collect();
        Ok(Story {
            now,
            changes,
            attempts: self.attempts(&leases).await?,
            links: self.links_of(&key).await?.into_iter().filter(|link| at_target(&link.target)).collect(),
            dependencies: self.dependencies_of(&ids).await?.into_iter().filter(|one| at_target(&one.target)).collect(),
            dismissals: self.dismissals_of(&ids).await?.into_iter().filter(|one| at_target(&one.target)).collect(),
            findings: self.findings_of(&key).await?.into_iter().filter(|one| at_target(&one.target)).collect(),
            merges: if key.is_patient() { self.merges_of(&key.aggregate_id).await? } else { Vec::new() },
            commands,
            is_cut: deliveries.len() >= limit as usize,
            key,
            deliveries,
            in_flight,
        })
    }

    /// The commands about an aggregate, and those about many at once since the first of these changes.
    async fn commands_of(
        &mut self,
        key: &AggregateKey,
        changes: &[TracedChange],
    ) -> Result<Vec<AuditEvent>, StoreError> {
        let mut commands = self.audit_decisions(key, COMMANDS, COMMANDS_MAX).await?;
        if let Some(since) = changes.iter().filter_map(|change| change.created_at.or(change.routed_at)).min() {
            commands.extend(self.audit_bulk_decisions(since, BULK_COMMANDS, COMMANDS_MAX).await?);
        }
        Ok(commands)
    }

    /// The newest deliveries of an aggregate.
    pub(super) async fn deliveries_of(
        &mut self,
        AggregateKey { aggregate_type, aggregate_id }: &AggregateKey,
        target: Option<&str>,
        change_id: Option<ChangeId>,
        limit: u32,
    ) -> Result<Vec<TracedDelivery>, StoreError> {
        let statement = TraceDeliveries { aggregate_type, aggregate_id, target, change_id, limit };
        let rows = self.fetch(statement).await?;
        rows.rows.into_iter().map(|row| traced(&self.operation, row)).collect()
    }

    pub(super) async fn in_flight_of(
        &mut self,
        AggregateKey { aggregate_type, aggregate_id }: &AggregateKey,
    ) -> Result<Vec<TracedInFlight>, StoreError> {
        let rows = self.fetch(TraceInFlight { aggregate_type, aggregate_id }).await?;
        self.read_each(rows.rows, |reader| {
            let (target, change_id) = (reader.text()?, reader.change_id()?);
            let lease_id = LeaseId::new(reader.integer()?);
            let (owner, since) = (reader.optional_text()?, reader.optional_integer()?);
            let until = reader.optional_integer()?;
            let lease = owner.zip(since).zip(until).map(|((owner, since), until)| (owner, since, until));
            Ok(TracedInFlight { target, change_id, lease_id, lease })
        })
    }

    pub(super) async fn unrouted_of(
        &mut self,
        AggregateKey { aggregate_type, aggregate_id }: &AggregateKey,
        limit: u32,
    ) -> Result<Vec<ChangeId>, StoreError> {
        let rows = self.fetch(TraceUnrouted { aggregate_type, aggregate_id, limit }).await?;
        #[expect(clippy::redundant_closure_for_method_calls, reason = "the method is of one lifetime only")]
        self.read_each(rows.rows, |reader| reader.change_id())
    }

    pub(super) async fn changes_of(&mut self, ids: &[ChangeId]) -> Result<Vec<TracedChange>, StoreError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let rows = self.fetch(TraceChanges { ids }).await?;
        self.read_each(rows.rows, |reader| {
            Ok(TracedChange {
                change_id: reader.change_id()?,
                event_id: reader.key()?,
                operation: reader.key()?,
                created_at: reader.optional_integer()?,
                routed_at: reader.optional_integer()?,
            })
        })
    }

    pub(super) async fn links_of(
        &mut self,
        AggregateKey { aggregate_type, aggregate_id }: &AggregateKey,
    ) -> Result<Vec<TracedLink>, StoreError> {
        let rows = self.fetch(TraceLinks { aggregate_type, aggregate_id }).await?;
        self.read_each(rows.rows, |reader| {
            Ok(TracedLink {
                target: reader.text()?,
                remote_id: reader.optional_text()?,
                remote_version: reader.optional_text()?,
                change_id: reader.change_id()?,
                synced_at: reader.integer()?,
                merged_into: reader.optional_text()?,
            })
        })
    }

    async fn dependencies_of(&mut self, ids: &[ChangeId]) -> Result<Vec<TracedDependency>, StoreError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let rows = self.fetch(TraceDependencies { ids }).await?;
        self.read_each(rows.rows, |reader| {
            Ok(TracedDependency {
                target: reader.text()?,
                change_id: reader.change_id()?,
                key: reader.aggregate_key()?,
                confirmed_at: reader.optional_integer()?,
            })
        })
    }

    pub(super) async fn dismissals_of(&mut self, ids: &[ChangeId]) -> Result<Vec<TracedDismissal>, StoreError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let rows = self.fetch(TraceDismissals { ids }).await?;
        self.read_each(rows.rows, |reader| {
            Ok(TracedDismissal {
                target: reader.text()?,
                change_id: reader.change_id()?,
                reason: reader.optional_text()?,
                dismissed_by: reader.optional_text()?,
                dismissed_at: reader.integer()?,
            })
        })
    }

    async fn findings_of(
        &mut self,
        AggregateKey { aggregate_type, aggregate_id }: &AggregateKey,
    ) -> Result<Vec<TracedFinding>, StoreError> {
        let rows = self.fetch(TraceFindings { aggregate_type, aggregate_id }).await?;
        self.read_each(rows.rows, |reader| {
            Ok(TracedFinding { target: reader.text()?, state: reader.text()?, found_at: reader.integer()? })
        })
    }

    async fn merges_of(&mut self, patient_id: &str) -> Result<Vec<TracedMerge>, StoreError> {
        let rows = self.fetch(TraceMerges { patient_id, limit: MERGES_MAX }).await?;
        self.read_each(rows.rows, |reader| {
            Ok(TracedMerge {
                patient_id: reader.text()?,
                survivor_id: reader.text()?,
                reason: reader.text()?,
                merged_by: reader.text()?,
                merged_at: reader.integer()?,
            })
        })
    }

    fn read_each<T>(
        &self,
        rows: Vec<Vec<Value>>,
        read: impl Fn(&mut RowReader<'_>) -> Result<T, StoreError>,
    ) -> Result<Vec<T>, StoreError> {
        rows.into_iter().map(|row| read(&mut RowReader::new(&self.operation, row))).collect()
    }
}

/// A row of `traced_columns` (sql/trace.sql).
pub(super) fn traced(operation: &str, row: Vec<Value>) -> Result<TracedDelivery, StoreError> {
    let mut reader = RowReader::new(operation, row);
    let (target, key, change_id) = (reader.text()?, reader.aggregate_key()?, reader.change_id()?);
    let status = Status::from_word(&reader.text()?)
        .ok_or_else(|| corrupt(operation, format!("the status of change {change_id}")))?;
    let (attempts, next) = (reader.integer()?, reader.optional_integer()?);
    Ok(TracedDelivery {
        target,
        key,
        change_id,
        status,
        attempts,
        next_attempt_at: next.filter(|next| *next < super::in_flight::WAITING),
        waits: status == Status::Pending && next == Some(super::in_flight::WAITING),
        last_attempt: reader.optional_integer()?.filter(|lease| *lease != 0).map(LeaseId::new),
        error_kind: reader.optional_text()?,
        error_message: reader.failure_message()?,
        created_at: reader.integer()?,
        finished_at: reader.optional_integer()?,
    })
}
