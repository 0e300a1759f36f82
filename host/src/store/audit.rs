//! `audit_event`: who did or saw what, as a chain of hashes (`domain/audit_chain.rs`).
//!
//! A store that was made by [`Store::audited`] records an event in each transaction that changes something, right
//! before its commit. So no change of an operator's command lasts without its event, and none is recorded that was
//! rolled back. Whoever records an event holds the row of `audit_head` until the commit, so that the chain never forks;
//! it is the last row that a transaction locks. A host's own work, its deliveries above all, records nothing.

use std::sync::Arc;

use super::sql::{
    AuditBulkDecisions, AuditDecisions, AuditEventsAfter, AuditEventsBefore, InsertAuditEvent, Json, LockAuditHead,
    MoveAuditHead, ReadAuditHead, SentDeliveries,
};
use super::{RowReader, Store, StoreError, StoreTransaction, corrupt};
use crate::database::{Value, rerun};
use crate::domain::audit::{AuditAction, AuditEvent, AuditFacts, AuditOutcome, AuditSubject, Operator};
use crate::domain::audit_chain::AuditHead;
use crate::domain::delivery::Status;
use crate::domain::ids::{AggregateKey, ChangeId};

/// What the audit calls deliveries.
pub(super) const DELIVERIES: &str = "delivery";

/// What the transactions of an audited store record.
pub struct AuditRecorder {
    pub facts: AuditFacts,
    /// Is called with each event once it is committed.
    pub recorded: Box<dyn Fn(&AuditEvent) + Send + Sync>,
}

/// What a transaction of an audited store has done so far.
pub(super) struct PendingAudit {
    recorder: Arc<AuditRecorder>,
    /// Whether any statement has changed a row.
    pub(super) has_changed: bool,
    /// The kind and the number of what was changed, as the transaction noted it.
    noted: Option<(&'static str, usize)>,
    other_id: Option<String>,
}

impl PendingAudit {
    pub(super) fn new(recorder: &Arc<AuditRecorder>) -> Self {
        Self { recorder: Arc::clone(recorder), has_changed: false, noted: None, other_id: None }
    }

    /// The event of the transaction; `None` when it has changed nothing that counts.
    fn facts(&self) -> Option<AuditFacts> {
        let is_empty = self.noted.is_some_and(|(_, count)| count == 0);
        if !self.has_changed || is_empty {
            return None;
        }
        let mut facts = self.recorder.facts.clone();
        if let Some((kind, count)) = self.noted {
            facts.subject = facts.subject.with_count(kind, count);
        }
        if let Some(other_id) = &self.other_id {
            facts.subject = facts.subject.with_other(other_id);
        }
        Some(facts)
    }
}

/// Selects events; a field that is `None` or empty selects all.
#[derive(Clone, Debug, Default)]
pub struct AuditFilter {
    /// Recorded at this time or later.
    pub since: Option<i64>,
    /// The operating system's user, the login, or the name that `--as` gave.
    pub actor: Option<String>,
    pub actions: Vec<String>,
    pub aggregate: Option<AggregateKey>,
}

/// A change that was sent to a target, for an export.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SentDelivery {
    pub change_id: ChangeId,
    pub key: AggregateKey,
    /// `None` when the row of the outbox is gone.
    pub operation: Option<String>,
    pub is_done: bool,
    /// Why it failed.
    pub error_kind: Option<String>,
    pub finished_at: Option<i64>,
    pub remote_id: Option<String>,
}

impl Store {
    /// The same store, whose transactions record what they change.
    #[must_use]
    pub fn audited(&self, recorder: Arc<AuditRecorder>) -> Self {
        Self { audit: Some(recorder), ..self.clone() }
    }

    /// The same store without [`Store::audited`], for what any host does by itself.
    #[must_use]
    pub fn unaudited(&self) -> Self {
        Self { audit: None, ..self.clone() }
    }

    /// Records an event that no transaction of its own belongs to: something is shown, or a command has failed.
    ///
    /// # Errors
    /// When the store cannot be reached or written.
    pub async fn record_event(&self, facts: &AuditFacts) -> Result<AuditEvent, StoreError> {
        let store = self.unaudited();
        rerun("record audit event", || async {
            let mut transaction = store.begin("record an event in the audit").await?;
            let event = transaction.append_event(facts).await?;
            transaction.commit().await?;
            Ok(event)
        })
        .await
    }

    /// The end of the chain.
    ///
    /// # Errors
    /// When the store cannot be reached, or the row of the head is gone.
    pub async fn audit_head(&self) -> Result<AuditHead, StoreError> {
        let operation = "read the head of the audit";
        head(operation, self.fetch_alone(operation, ReadAuditHead {}).await?.rows).map(|(head, _)| head)
    }

    /// Events behind `after`, in the order of the chain.
    ///
    /// # Errors
    /// When the store cannot be reached.
    pub async fn audit_events_after(
        &self,
        after: i64,
        since: Option<i64>,
        limit: u32,
    ) -> Result<Vec<AuditEvent>, StoreError> {
        let operation = "read the audit";
        let rows = self.fetch_alone(operation, AuditEventsAfter { after, since, limit }).await?.rows;
        rows.into_iter().map(|row| event(operation, row)).collect()
    }

    /// The selected events before `before`, the newest first.
    ///
    /// # Errors
    /// When the store cannot be reached.
    pub async fn audit_events_before(
        &self,
        filter: &AuditFilter,
        before: i64,
        limit: u32,
    ) -> Result<Vec<AuditEvent>, StoreError> {
        let operation = "list the audit";
        let AuditFilter { since, actor, actions, aggregate } = filter;
        let statement = AuditEventsBefore {
            before,
            since: *since,
            actor: actor.as_deref(),
            actions,
            aggregate_type: aggregate.as_ref().map(|key| key.aggregate_type.as_str()),
            aggregate_id: aggregate.as_ref().map(|key| key.aggregate_id.as_str()),
            limit,
        };
        let rows = self.fetch_alone(operation, statement).await?.rows;
        rows.into_iter().map(|row| event(operation, row)).collect()
    }

    /// What was sent to a target, behind the change `after`: done, or failed after an attempt.
    ///
    /// # Errors
    /// When the store cannot be reached.
    pub async fn sent_deliveries(
        &self,
        target: &str,
        after: i64,
        since: Option<i64>,
        limit: u32,
    ) -> Result<Vec<SentDelivery>, StoreError> {
        let operation = "read deliveries for an export";
        let rows = self.fetch_alone(operation, SentDeliveries { target, after, since, limit }).await?.rows;
        rows.into_iter().map(|row| sent_delivery(operation, row)).collect()
    }
}

impl StoreTransaction {
    /// Notes how many of what kind this transaction changes, for its event. None at all is no event.
    pub fn note_changes(&mut self, kind: &'static str, count: usize) {
        if let Some(pending) = &mut self.audit {
            pending.noted = Some((kind, count));
        }
    }

    pub(super) fn note_deliveries(&mut self, count: u64) {
        self.note_changes(DELIVERIES, usize::try_from(count).unwrap_or(usize::MAX));
    }

    /// Notes the second aggregate that this transaction is about, for its event.
    pub fn note_other(&mut self, aggregate_id: &str) {
        if let Some(pending) = &mut self.audit {
            pending.other_id = Some(aggregate_id.to_owned());
        }
    }

    /// The newest of these commands that changed something about an aggregate.
    pub(super) async fn audit_decisions(
        &mut self,
        AggregateKey { aggregate_type, aggregate_id }: &AggregateKey,
        actions: &[AuditAction],
        limit: u32,
    ) -> Result<Vec<AuditEvent>, StoreError> {
        let actions: Vec<_> = actions.iter().map(|action| action.as_str().to_owned()).collect();
        let outcome = AuditOutcome::Success.as_str();
        let statement = AuditDecisions { aggregate_type, aggregate_id, outcome, actions: &actions, limit };
        let rows = self.fetch(statement).await?.rows;
        rows.into_iter().map(|row| event(&self.operation, row)).collect()
    }

    /// The newest of these commands that changed something about many at once since then.
    pub(super) async fn audit_bulk_decisions(
        &mut self,
        since: i64,
        actions: &[AuditAction],
        limit: u32,
    ) -> Result<Vec<AuditEvent>, StoreError> {
        let actions: Vec<_> = actions.iter().map(|action| action.as_str().to_owned()).collect();
        let outcome = AuditOutcome::Success.as_str();
        let rows = self.fetch(AuditBulkDecisions { outcome, since, actions: &actions, limit }).await?.rows;
        rows.into_iter().map(|row| event(&self.operation, row)).collect()
    }

    /// Records what the transaction has changed, if its store is audited. It is the last step before the commit.
    pub(super) async fn record_changes(&mut self) -> Result<Option<(Arc<AuditRecorder>, AuditEvent)>, StoreError> {
        let Some(pending) = self.audit.take() else { return Ok(None) };
        let Some(facts) = pending.facts() else { return Ok(None) };
        Ok(Some((pending.recorder, self.append_event(&facts).await?)))
    }

    async fn append_event(&mut self, facts: &AuditFacts) -> Result<AuditEvent, StoreError> {
        let rows = self.fetch(LockAuditHead {}).await?.rows;
        let (head, now) = head(&self.operation, rows)?;
        let now = now.ok_or_else(|| corrupt(&self.operation, "the store's clock gave no number"))?;
        let event = head.next(now, facts);
        self.run(InsertAuditEvent { batch: Json::of(&[&event]) }).await?;
        let moved = self.run(MoveAuditHead { id: event.id, hash: &event.hash }).await?.rows_affected;
        if moved == 1 { Ok(event) } else { Err(corrupt(&self.operation, "the head of the audit was not moved")) }
    }
}

/// Reads the row of `audit_head`, and the store's time if it is there.
fn head(operation: &str, rows: Vec<Vec<Value>>) -> Result<(AuditHead, Option<i64>), StoreError> {
    let gone = || corrupt(operation, "the row of audit_head is gone; fix: see docs/audit.md, \"A broken chain\"");
    let row = rows.into_iter().next().ok_or_else(gone)?;
    let has_time = row.len() > 2;
    let mut reader = RowReader::new(operation, row);
    let head = AuditHead { id: reader.integer()?, hash: reader.text()? };
    Ok((head, if has_time { reader.optional_integer()? } else { None }))
}

fn event(operation: &str, row: Vec<Value>) -> Result<AuditEvent, StoreError> {
    let mut reader = RowReader::new(operation, row);
    Ok(AuditEvent {
        id: reader.integer()?,
        at: reader.integer()?,
        facts: AuditFacts {
            command_id: reader.text()?,
            operator: Operator {
                user: reader.text()?,
                uid: reader.optional_integer()?,
                login: reader.optional_text()?,
                acting_as: reader.optional_text()?,
                machine: reader.text()?,
                remote: reader.optional_text()?,
            },
            action: reader.text()?,
            subject: AuditSubject {
                target: reader.optional_text()?,
                aggregate_type: reader.optional_text()?,
                aggregate_id: reader.optional_text()?,
                other_id: reader.optional_text()?,
                count: reader.optional_integer()?,
                detail: reader.optional_text()?,
            },
            reason: reader.optional_text()?,
            outcome: reader.text()?,
        },
        previous_hash: reader.text()?,
        hash: reader.text()?,
    })
}

fn sent_delivery(operation: &str, row: Vec<Value>) -> Result<SentDelivery, StoreError> {
    let mut reader = RowReader::new(operation, row);
    Ok(SentDelivery {
        change_id: reader.change_id()?,
        key: reader.aggregate_key()?,
        operation: reader.optional_text()?,
        is_done: reader.text()? == Status::Done.as_str(),
        error_kind: reader.optional_text()?,
        finished_at: reader.optional_integer()?,
        remote_id: reader.optional_text()?,
    })
}
