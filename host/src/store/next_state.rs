//! Reads the next state of one aggregate for a target, for dry runs. It begins no lease and changes no row.

use std::collections::{HashMap, HashSet};

use super::readable;
use super::sql::{InFlightChange, NewestDelivery, NewestUnrouted, ReadChange, ReadLink, RecentlyDone};
use super::{RowReader, Store, StoreError, StoreTransaction, survivor_reference};
use crate::database::Value;
use crate::domain::change::{Change, Link, Operation, Reference};
use crate::domain::clinical::TYPES;
use crate::domain::delivery::Status;
use crate::domain::ids::{AggregateKey, ChangeId, TargetName};
use crate::vocabulary;

/// Deliveries that are read at a time to find the last ones.
const RECENT_PAGE: u32 = 1_000;

vocabulary! {
    /// The source of a state.
    pub enum StateSource {
        /// A change that the target has not confirmed.
        Waiting = "waiting",
        /// The current row; no change waits. Only the host's own patients and clinical records have one.
        Current = "current",
        /// The newest known change of an aggregate that is not the host's own, or of a deleted patient.
        Last = "last",
    }
}

/// The state that a target would get next.
#[derive(Clone, Debug)]
pub struct NextState {
    pub change: Change,
    pub source: StateSource,
    /// The delivery's status; none for an unrouted change, and for the current state.
    pub status: Option<Status>,
}

/// The newest change of an aggregate at a target.
struct Newest {
    change_id: ChangeId,
    /// `None` when it is not routed yet.
    delivery: Option<(Status, u32)>,
}

/// What the store itself holds of an aggregate, as a change.
struct Stored {
    operation: Operation,
    payload: String,
    references: Vec<Reference>,
    survivor: Option<Reference>,
}

impl Stored {
    fn state(payload: String, references: Vec<Reference>) -> Self {
        Self { operation: Operation::Update, payload, references, survivor: None }
    }

    /// A patient who was merged.
    fn merged(survivor_id: &str) -> Self {
        let survivor = Some(readable::without_id(survivor_reference(survivor_id)));
        Self { operation: Operation::Merge, payload: "{}".to_owned(), references: Vec::new(), survivor }
    }
}

impl Store {
    /// The state that `target` would get of this aggregate: the newest change that waits or failed, else the current
    /// state of a patient or a clinical record, else the newest known change. `None` when the aggregate is unknown.
    ///
    /// # Errors
    /// When the store cannot be reached, or holds what this version does not understand.
    pub async fn next_state(&self, target: &TargetName, key: &AggregateKey) -> Result<Option<NextState>, StoreError> {
        let mut transaction = self.begin_read(&format!("read the next state for target `{target}`")).await?;
        let mut found = transaction.next_state(target, key).await?;
        transaction.rollback().await?;
        if let Some(next) = &mut found {
            self.show_references(target.as_str(), &mut next.change).await?;
        }
        Ok(found)
    }
}

impl Store {
    /// The states that `target` would get of aggregates that it has confirmed since a time (milliseconds since
    /// 1970-01-01 UTC), the newest change first; at most `limit`. What was purged is not found.
    ///
    /// # Errors
    /// As [`Store::next_state`].
    pub async fn recent_states(
        &self,
        target: &TargetName,
        since: Option<i64>,
        limit: u32,
    ) -> Result<Vec<NextState>, StoreError> {
        let mut states = Vec::new();
        for key in self.recent_keys(target, since.unwrap_or(i64::MIN), limit).await? {
            states.extend(self.next_state(target, &key).await?);
        }
        Ok(states)
    }

    async fn recent_keys(&self, target: &TargetName, since: i64, limit: u32) -> Result<Vec<AggregateKey>, StoreError> {
        let operation = "read what was delivered lately";
        let (mut keys, mut seen, mut before) = (Vec::new(), HashSet::new(), i64::MAX);
        while keys.len() < limit as usize {
            let page = RecentlyDone { target: target.as_str(), before, limit: RECENT_PAGE };
            let rows = self.fetch_alone(operation, page).await?.rows;
            let is_last = rows.len() < RECENT_PAGE as usize;
            let mut any_is_recent = false;
            for row in rows {
                let mut reader = RowReader::new(operation, row);
                before = reader.integer()?;
                let key = reader.aggregate_key()?;
                // A late retry may have confirmed an older change later.
                if reader.optional_integer()?.is_none_or(|finished_at| finished_at < since) {
                    continue;
                }
                any_is_recent = true;
                if keys.len() < limit as usize && seen.insert(key.clone()) {
                    keys.push(key);
                }
            }
            if is_last || !any_is_recent {
                break;
            }
        }
        Ok(keys)
    }
}

impl StoreTransaction {
    async fn next_state(&mut self, target: &TargetName, key: &AggregateKey) -> Result<Option<NextState>, StoreError> {
        let newest = self.newest(target, key).await?;
        if let Some(newest) = &newest
            && newest.waits()
        {
            return self.change(target, newest, StateSource::Waiting).await;
        }
        if let Some(Stored { operation, payload, references, survivor }) = self.stored_state(key).await? {
            let change = Change {
                change_id: newest.map_or(ChangeId::new(0), |newest| newest.change_id),
                event_id: uuid::Uuid::now_v7().to_string(),
                key: key.clone(),
                operation,
                payload,
                references,
                survivor,
                created_at_ms: 0,
                attempt: 1,
                link: self.link(target, key).await?,
            };
            return Ok(Some(NextState { change, source: StateSource::Current, status: None }));
        }
        match newest {
            Some(newest) => self.change(target, &newest, StateSource::Last).await,
            None => Ok(None),
        }
    }

    /// The newest change: of a delivery, in flight without a delivery, or unrouted.
    async fn newest(&mut self, target: &TargetName, key: &AggregateKey) -> Result<Option<Newest>, StoreError> {
        let AggregateKey { aggregate_type, aggregate_id } = key;
        let target = target.as_str();
        let routed = NewestDelivery { target, aggregate_type, aggregate_id };
        let routed = self.fetch(routed).await?.rows.into_iter().next();
        let unrouted = self.number(NewestUnrouted { aggregate_type, aggregate_id }).await?;
        let in_flight = self.number(InFlightChange { target, aggregate_type, aggregate_id }).await?;
        let operation = self.operation.clone();
        let routed = routed.map(|row| read_newest(&operation, row)).transpose()?;
        let in_flight =
            in_flight.map(|id| Newest { change_id: ChangeId::new(id), delivery: Some((Status::Processing, 0)) });
        let unrouted = unrouted.map(|id| Newest { change_id: ChangeId::new(id), delivery: None });
        // The last maximum wins, so that a delivery's row is preferred to its entry in flight.
        Ok(in_flight.into_iter().chain(routed).chain(unrouted).max_by_key(|newest| newest.change_id))
    }

    /// `None` when its row was purged.
    async fn change(
        &mut self,
        target: &TargetName,
        newest: &Newest,
        source: StateSource,
    ) -> Result<Option<NextState>, StoreError> {
        let rows = self.fetch(ReadChange { target: target.as_str(), change_id: newest.change_id }).await?;
        let attempts: HashMap<_, _> =
            newest.delivery.iter().map(|(_, attempts)| (newest.change_id, *attempts)).collect();
        let operation = self.operation.clone();
        let read = rows.rows.into_iter().next().map(|row| {
            readable::delivery(row, &attempts).map_err(|refused| super::corrupt(&operation, refused.failure.message))
        });
        let read = read.transpose()?;
        Ok(read.map(|(delivery, _)| NextState {
            change: delivery.change,
            source,
            status: newest.delivery.map(|(status, _)| status),
        }))
    }

    /// The state of the host's own patient or clinical record of this key.
    async fn stored_state(&mut self, key: &AggregateKey) -> Result<Option<Stored>, StoreError> {
        let id = key.aggregate_id.as_str();
        if key.is_patient() {
            let Some(stored) = self.patients_by_id(&[id], false).await?.remove(id) else { return Ok(None) };
            let survivor = self.merges_among(&[id]).await?.remove(id);
            return Ok(Some(match survivor {
                Some(survivor) => Stored::merged(&survivor),
                None => Stored::state(stored.patient.payload(), Vec::new()),
            }));
        }
        if !TYPES.contains(&key.aggregate_type.as_str()) {
            return Ok(None);
        }
        let stored = self.records_by_id([id], false).await?.remove(key);
        Ok(stored.map(|stored| {
            let references = stored.references.into_iter().map(readable::without_id).collect();
            Stored::state(stored.payload.to_string(), references)
        }))
    }

    async fn link(&mut self, target: &TargetName, key: &AggregateKey) -> Result<Option<Link>, StoreError> {
        let AggregateKey { aggregate_type, aggregate_id } = key;
        let rows = self.fetch(ReadLink { target: target.as_str(), aggregate_type, aggregate_id }).await?;
        let operation = self.operation.clone();
        let link = |row| {
            let mut reader = RowReader::new(&operation, row);
            Ok(Link {
                remote_id: reader.text()?,
                remote_version: reader.optional_text()?,
                fingerprint: reader.optional_text()?,
            })
        };
        rows.rows.into_iter().next().map(link).transpose()
    }
}

impl Newest {
    fn waits(&self) -> bool {
        match self.delivery {
            None => true,
            Some((status, _)) => {
                matches!(status, Status::Pending | Status::Processing | Status::Failed | Status::Skipped)
            }
        }
    }
}

fn read_newest(operation: &str, row: Vec<Value>) -> Result<Newest, StoreError> {
    let mut reader = RowReader::new(operation, row);
    let change_id = reader.change_id()?;
    let word = reader.text()?;
    let status =
        Status::from_word(&word).ok_or_else(|| super::corrupt(operation, format!("the status of {change_id}")))?;
    let attempts = u32::try_from(reader.integer()?).unwrap_or(u32::MAX);
    Ok(Newest { change_id, delivery: Some((status, attempts)) })
}
