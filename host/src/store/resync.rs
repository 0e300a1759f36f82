//! Resync: queues the current state of the host's own patients and clinical records for one target that is new or was
//! restored. What only the outbox holds is sent again by `resend.rs`.
//!
//! Each page is one transaction: changes with the current states, already routed, and one delivery of each for this
//! target alone. A page that is queued twice does no harm, because the newest state wins.

use std::collections::{BTreeMap, HashSet};

use serde::Serialize;

use super::audit::DELIVERIES;
use super::counts::CountDelta;
use super::outbox::NewChange;
use super::sql::{EnqueueForTarget, IdsOfEvents, Json, MarkEventsRouted};
use super::{RowReader, Store, StoreError, StoreTransaction, survivor_reference};
use crate::database::rerun;
use crate::domain::change::Operation;
use crate::domain::ids::{AggregateKey, ChangeId, TargetName};

#[derive(Serialize)]
struct EventId {
    event_id: String,
}

impl Store {
    /// Queues up to `limit` patients after `after` (by id) for `target`; with `since` those who were changed at that
    /// time or later. Returns the last id, or `None` at the end.
    ///
    /// # Errors
    /// When the store cannot be reached; nothing of the page is then queued.
    pub async fn resync_page(
        &self,
        target: &TargetName,
        after: Option<&str>,
        since: Option<i64>,
        limit: u32,
    ) -> Result<Option<(String, usize)>, StoreError> {
        let ids: Vec<_> = if let Some(since) = since {
            self.changed_patients(after, since, limit).await?
        } else {
            let patients = self.patients(after, limit).await?;
            patients.iter().map(|stored| stored.patient.patient_id.as_str().to_owned()).collect()
        };
        let Some(last) = ids.last().cloned() else { return Ok(None) };
        let count = self.queue_patients(target, &ids, &HashSet::new()).await?;
        Ok(Some((last, count)))
    }

    /// Queues one patient for `target`. Returns `false` when the host has no row of them.
    ///
    /// # Errors
    /// When the store cannot be reached; nothing is then queued.
    pub async fn resync_patient(&self, target: &TargetName, patient_id: &str) -> Result<bool, StoreError> {
        Ok(self.queue_patients(target, &[patient_id.to_owned()], &HashSet::new()).await? > 0)
    }

    /// Queues those of these aggregates that the host has rows of, and deletes the links of those that no longer exist
    /// at the target. Returns all that were queued.
    ///
    /// # Errors
    /// When the store cannot be reached. What was queued before stays queued.
    pub async fn resync_own(
        &self,
        target: &TargetName,
        keys: &[AggregateKey],
        gone: &HashSet<AggregateKey>,
    ) -> Result<HashSet<AggregateKey>, StoreError> {
        let own = self.own_rows(keys.iter()).await?;
        let (patients, records): (Vec<_>, Vec<_>) = own.iter().cloned().partition(AggregateKey::is_patient);
        let ids: Vec<_> = patients.into_iter().map(|key| key.aggregate_id).collect();
        if !ids.is_empty() {
            self.queue_patients(target, &ids, gone).await?;
        }
        self.queue_records(target, &records, gone).await?;
        Ok(own)
    }

    /// Queues the records of these types among up to `limit` after `after` (by id and type) for `target`; with `since`
    /// those that were changed at that time or later. Returns the last key, or `None` at the end.
    ///
    /// # Errors
    /// When the store cannot be reached; nothing of the page is then queued.
    pub async fn resync_records_page(
        &self,
        target: &TargetName,
        types: &[String],
        after: Option<&AggregateKey>,
        since: Option<i64>,
        limit: u32,
    ) -> Result<Option<(AggregateKey, usize)>, StoreError> {
        let mut keys = self.record_keys(after, since, limit).await?;
        let Some(last) = keys.last().cloned() else { return Ok(None) };
        keys.retain(|key| types.contains(&key.aggregate_type));
        let count = self.queue_records(target, &keys, &HashSet::new()).await?;
        Ok(Some((last, count)))
    }

    /// Queues one clinical record for `target`. Returns `false` when the host has no row of it.
    ///
    /// # Errors
    /// When the store cannot be reached; nothing is then queued.
    pub async fn resync_record(&self, target: &TargetName, key: &AggregateKey) -> Result<bool, StoreError> {
        Ok(self.queue_records(target, std::slice::from_ref(key), &HashSet::new()).await? > 0)
    }

    async fn queue_records(
        &self,
        target: &TargetName,
        keys: &[AggregateKey],
        gone: &HashSet<AggregateKey>,
    ) -> Result<usize, StoreError> {
        if keys.is_empty() {
            return Ok(0);
        }
        let mut routes = self.routes().await?.list;
        routes.retain(|route| route.target == *target);
        rerun("resync", || async {
            let mut transaction = self.begin(&format!("queue clinical records for target `{target}`")).await?;
            if !gone.is_empty() {
                transaction.lock_moves().await?;
            }
            // Read again under a lock, as patients are.
            let current = transaction.records_by_id(keys.iter().map(|key| key.aggregate_id.as_str()), true).await?;
            let records: Vec<_> = keys.iter().filter_map(|key| current.get(key)).collect();
            let payloads: Vec<_> = records.iter().map(|record| record.payload.to_string()).collect();
            let changes: Vec<_> = records
                .iter()
                .zip(&payloads)
                .map(|(record, payload)| NewChange {
                    aggregate_type: &record.key.aggregate_type,
                    aggregate_id: &record.key.aggregate_id,
                    operation: Operation::Update,
                    payload,
                    references: &record.references,
                })
                .collect();
            if changes.is_empty() {
                transaction.rollback().await?;
                return Ok(0);
            }
            transaction.note_changes(DELIVERIES, changes.len());
            let events = transaction.append(&changes).await?;
            transaction.deliver_only_to(target, &events).await?;
            let ids = transaction.ids_of_events(&events).await?;
            let dependents = transaction.hold_queued(&ids, &routes).await?;
            let gone: Vec<_> = records.iter().map(|record| &record.key).filter(|key| gone.contains(key)).collect();
            transaction.forget_gone(target, &gone).await?;
            transaction.commit().await?;
            self.wake_queued(&dependents).await;
            Ok::<_, StoreError>(changes.len())
        })
        .await
    }

    async fn queue_patients(
        &self,
        target: &TargetName,
        ids: &[String],
        gone: &HashSet<AggregateKey>,
    ) -> Result<usize, StoreError> {
        let mut routes = self.routes().await?.list;
        routes.retain(|route| route.target == *target);
        rerun("resync", || async {
            let mut transaction = self.begin(&format!("queue patients for target `{target}`")).await?;
            if !gone.is_empty() {
                transaction.lock_moves().await?;
            }
            let names: Vec<_> = ids.iter().map(String::as_str).collect();
            // Read again under a lock, so that a change that is made meanwhile gets a later id and wins.
            let current = transaction.patients_by_id(&names, true).await?;
            let merges = transaction.merges_among(&names).await?;
            let state = |id: &&str| {
                let stored = current.get(*id)?;
                Some(match merges.get(*id) {
                    Some(survivor) => (Operation::Merge, "{}".to_owned(), vec![survivor_reference(survivor)]),
                    None => (Operation::Update, stored.patient.payload(), Vec::new()),
                })
            };
            let states: Vec<_> = names.iter().filter_map(|id| Some((*id, state(id)?))).collect();
            let changes: Vec<_> = states
                .iter()
                .map(|(id, (operation, payload, references))| NewChange {
                    aggregate_type: "patient",
                    aggregate_id: id,
                    operation: *operation,
                    payload,
                    references,
                })
                .collect();
            if changes.is_empty() {
                transaction.rollback().await?;
                return Ok(0);
            }
            transaction.note_changes(DELIVERIES, changes.len());
            let events = transaction.append(&changes).await?;
            transaction.deliver_only_to(target, &events).await?;
            let mut dependents = BTreeMap::new();
            if !merges.is_empty() {
                let ids = transaction.ids_of_events(&events).await?;
                dependents = transaction.hold_queued(&ids, &routes).await?;
            }
            let queued: Vec<_> = states.iter().map(|(id, _)| AggregateKey::patient(*id)).collect();
            let gone: Vec<_> = queued.iter().filter(|key| gone.contains(key)).collect();
            transaction.forget_gone(target, &gone).await?;
            transaction.commit().await?;
            self.wake_queued(&dependents).await;
            Ok::<_, StoreError>(changes.len())
        })
        .await
    }
}

impl StoreTransaction {
    /// Inserts one delivery of each change, for one target, and marks the changes as routed.
    async fn deliver_only_to(&mut self, target: &TargetName, events: &[String]) -> Result<(), StoreError> {
        let rows = event_rows(events);
        let made = self.run(EnqueueForTarget { target: target.as_str(), batch: Json::of(&rows) }).await?.rows_affected;
        self.run(MarkEventsRouted { batch: Json::of(&rows) }).await?;
        let made = i64::try_from(made).unwrap_or(i64::MAX);
        self.add_counts(target.as_str(), CountDelta { made, ..CountDelta::default() }).await
    }

    async fn ids_of_events(&mut self, events: &[String]) -> Result<Vec<ChangeId>, StoreError> {
        let rows = self.fetch(IdsOfEvents { batch: Json::of(&event_rows(events)) }).await?.rows;
        rows.into_iter().map(|row| RowReader::new(&self.operation, row).change_id()).collect()
    }
}

fn event_rows(events: &[String]) -> Vec<EventId> {
    events.iter().map(|event_id| EventId { event_id: event_id.clone() }).collect()
}
