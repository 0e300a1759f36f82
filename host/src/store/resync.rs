//! Resync: queues the current state of the host's own patients for one target that is new or was restored. What only
//! the outbox holds is sent again by `resend.rs`.
//!
//! Each page is one transaction: changes with the current states, already routed, and one delivery of each for this
//! target alone. A page that is queued twice does no harm, because the newest state wins.

use std::collections::HashSet;

use serde::Serialize;

use super::counts::CountDelta;
use super::outbox::NewChange;
use super::sql::{EnqueueForTarget, Json, MarkEventsRouted};
use super::{Store, StoreError, StoreTransaction};
use crate::database::rerun;
use crate::domain::change::Operation;
use crate::domain::ids::{AggregateKey, TargetName};

#[derive(Serialize)]
struct EventId {
    event_id: String,
}

impl Store {
    /// Queues up to `limit` patients after `after` (by id) for `target`. Returns the last id, or `None` at the end.
    ///
    /// # Errors
    /// When the store cannot be reached; nothing of the page is then queued.
    pub async fn resync_page(
        &self,
        target: &TargetName,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Option<(String, usize)>, StoreError> {
        let patients = self.patients(after, limit).await?;
        let Some(last) = patients.last().map(|stored| stored.patient.patient_id.as_str().to_owned()) else {
            return Ok(None);
        };
        let ids: Vec<_> = patients.iter().map(|stored| stored.patient.patient_id.as_str().to_owned()).collect();
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

    /// Queues those of these aggregates that are patients of the host's own, and forgets the links of those that are
    /// gone at the target. Returns all that were queued.
    ///
    /// # Errors
    /// When the store cannot be reached; nothing is then queued.
    pub async fn resync_patients(
        &self,
        target: &TargetName,
        keys: &[AggregateKey],
        gone: &HashSet<AggregateKey>,
    ) -> Result<HashSet<AggregateKey>, StoreError> {
        let own = self.own_patients(keys.iter()).await?;
        let ids: Vec<_> = own.iter().cloned().collect();
        if !ids.is_empty() {
            self.queue_patients(target, &ids, gone).await?;
        }
        Ok(own.into_iter().map(|id| AggregateKey::patient(id)).collect())
    }

    async fn queue_patients(
        &self,
        target: &TargetName,
        ids: &[String],
        gone: &HashSet<AggregateKey>,
    ) -> Result<usize, StoreError> {
        rerun("resync", || async {
            let mut transaction = self.begin(&format!("queue patients for target `{target}`")).await?;
            let names: Vec<_> = ids.iter().map(String::as_str).collect();
            // Read again under a lock, so that a change that is made meanwhile gets a later id and wins.
            let current = transaction.patients_by_id(&names, true).await?;
            let payload = |id: &&str| current.get(*id).map(|stored| stored.patient.payload());
            let payloads: Vec<_> = names.iter().filter_map(|id| Some((*id, payload(id)?))).collect();
            let changes: Vec<_> = payloads
                .iter()
                .map(|(id, payload)| NewChange {
                    aggregate_type: "patient",
                    aggregate_id: id,
                    operation: Operation::Update,
                    payload,
                    references: &[],
                })
                .collect();
            if changes.is_empty() {
                transaction.rollback().await?;
                return Ok(0);
            }
            let events = transaction.append(&changes).await?;
            transaction.deliver_only_to(target, &events).await?;
            let queued: Vec<_> = payloads.iter().map(|(id, _)| AggregateKey::patient(*id)).collect();
            let gone: Vec<_> = queued.iter().filter(|key| gone.contains(key)).collect();
            transaction.forget_gone(target, &gone).await?;
            transaction.commit().await?;
            Ok::<_, StoreError>(changes.len())
        })
        .await
    }
}

impl StoreTransaction {
    /// Inserts one delivery of each change, for one target, and marks the changes as routed.
    async fn deliver_only_to(&mut self, target: &TargetName, events: &[String]) -> Result<(), StoreError> {
        let rows: Vec<_> = events.iter().map(|event_id| EventId { event_id: event_id.clone() }).collect();
        let made = self.run(EnqueueForTarget { target: target.as_str(), batch: Json::of(&rows) }).await?.rows_affected;
        self.run(MarkEventsRouted { batch: Json::of(&rows) }).await?;
        let made = i64::try_from(made).unwrap_or(i64::MAX);
        self.add_counts(target.as_str(), CountDelta { made, ..CountDelta::default() }).await
    }
}
