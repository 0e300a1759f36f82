//! `sync_outbox`: the changes, of the host's own service and of other applications, until they are routed
//! (`routing.rs`).

use serde::Serialize;

use super::bulk::rows_in_blocks;
use super::readable::{self, Unrouted};
use super::sql::{
    Append, AppendBlock, CountUnrouted, EstimateUnrouted, HasUnrouted, Json, MarkRouted, NearlyRouted, OldestUnrouted,
    UnroutedChanges,
};
use super::{Store, StoreError, StoreTransaction};
use crate::domain::change::Operation;
use crate::domain::ids::ChangeId;
use crate::domain::references::{self, NamedReference};

/// A change that is appended to the outbox.
#[derive(Clone, Debug)]
pub struct NewChange<'a> {
    pub aggregate_type: &'a str,
    pub aggregate_id: &'a str,
    pub operation: Operation,
    /// The full state as a JSON object.
    pub payload: &'a str,
    /// What it refers to.
    pub references: &'a [NamedReference],
}

impl Store {
    /// Whether a change is unrouted. It checks without locking, so that idle hosts do not hold SQLite's write lock.
    ///
    /// # Errors
    /// When the store cannot be reached.
    pub(super) async fn has_unrouted(&self, after: i64) -> Result<bool, StoreError> {
        let rows = self.fetch_alone("look for unrouted changes", HasUnrouted { after }).await?;
        Ok(!rows.rows.is_empty())
    }
}

#[derive(Serialize)]
struct AppendRow<'a> {
    position: usize,
    event_id: &'a str,
    aggregate_type: &'a str,
    aggregate_id: &'a str,
    operation: &'static str,
    payload: &'a str,
    refs: Option<String>,
}

/// The number and age of the unrouted changes.
pub(super) struct WaitingChanges {
    pub(super) count: i64,
    /// There are more than [`COUNTED_MAX`]; the count assumes that ids follow each other closely.
    pub(super) is_estimate: bool,
    /// How long the oldest has been waiting.
    pub(super) oldest_ms: Option<i64>,
}

/// More changes than this are not counted one by one, so that `host status` stays quick.
pub(super) const COUNTED_MAX: i64 = 10_000;

/// How far before the newest delivery an unrouted change may be that committed late.
const LOOK_BACK: i64 = 5_000;

impl StoreTransaction {
    /// Appends changes, in the transaction that also changes their aggregates. Returns the ids of their events.
    pub(super) async fn append(&mut self, changes: &[NewChange<'_>]) -> Result<Vec<String>, StoreError> {
        let events: Vec<_> = changes.iter().map(|_| uuid::Uuid::now_v7().to_string()).collect();
        let in_blocks = rows_in_blocks(self.dialect(), changes.len());
        self.append_blocks(&changes[..in_blocks], &events).await?;
        let rows: Vec<_> = changes
            .iter()
            .zip(&events)
            .enumerate()
            .skip(in_blocks)
            .map(|(position, (change, event_id))| AppendRow {
                position,
                event_id,
                aggregate_type: change.aggregate_type,
                aggregate_id: change.aggregate_id,
                operation: change.operation.as_str(),
                payload: change.payload,
                refs: references::to_column(change.references),
            })
            .collect();
        if rows.is_empty() {
            return Ok(events);
        }
        self.run(Append { batch: Json::of(&rows) }).await?;
        Ok(events)
    }

    async fn append_blocks(&mut self, changes: &[NewChange<'_>], events: &[String]) -> Result<(), StoreError> {
        // In the order of the columns of `append_block`.
        let row = |(change, event_id): (&NewChange<'_>, &String)| {
            let texts =
                [event_id, change.aggregate_type, change.aggregate_id, change.operation.as_str(), change.payload];
            let refs = references::to_column(change.references);
            texts.into_iter().map(|text| Some(text.to_owned())).chain([refs]).collect()
        };
        let rows = changes.iter().zip(events).map(row).collect();
        self.insert_blocks(rows, |rows| AppendBlock { rows }).await
    }

    /// Up to `limit` unrouted changes behind `after`, without those that another host is routing.
    pub(super) async fn unrouted(&mut self, after: i64, limit: u32) -> Result<Vec<Unrouted>, StoreError> {
        let rows = self.fetch(UnroutedChanges { after, limit }).await?;
        Ok(rows.rows.into_iter().map(readable::unrouted).collect())
    }

    /// Marks changes as routed: all of them or, if the routes have another revision by now, none. Returns their number.
    pub(super) async fn mark_routed(&mut self, ids: &[ChangeId], revision: i64) -> Result<u64, StoreError> {
        Ok(self.run(MarkRouted { ids, revision }).await?.rows_affected)
    }

    /// Counts the unrouted changes, and estimates beyond [`COUNTED_MAX`].
    pub(super) async fn waiting(&mut self) -> Result<WaitingChanges, StoreError> {
        let after = self.nearly_routed().await?;
        let (count, is_estimate) = self.count_unrouted(after, None).await?;
        let oldest_ms = self.number(OldestUnrouted { after }).await?.map(|age| age.max(0));
        Ok(WaitingChanges { count, is_estimate, oldest_ms })
    }

    /// Counts the unrouted changes before one in the same way. Returns whether it is an estimate.
    pub(super) async fn unrouted_before(&mut self, change: ChangeId) -> Result<(i64, bool), StoreError> {
        let after = self.nearly_routed().await?;
        self.count_unrouted(after, Some(change)).await
    }

    async fn count_unrouted(&mut self, after: i64, before: Option<ChangeId>) -> Result<(i64, bool), StoreError> {
        let counted = self.number(CountUnrouted { after, before }).await?.unwrap_or_default();
        if counted <= COUNTED_MAX {
            return Ok((counted, false));
        }
        let between = self.number(EstimateUnrouted { after, before }).await?;
        Ok((between.unwrap_or_default().max(counted), true))
    }

    /// An id below which nearly every change is routed. A scan from the start would read the dead entries of all of
    /// them.
    async fn nearly_routed(&mut self) -> Result<i64, StoreError> {
        Ok(self.number(NearlyRouted {}).await?.map_or(0, |newest| newest - LOOK_BACK))
    }
}
