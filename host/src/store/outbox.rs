//! `sync_outbox`: what changed. Ours and other applications' rows alike wait here to be routed (`routing.rs`).

use serde::Serialize;

use super::bulk::rows_in_blocks;
use super::readable::{self, Unrouted};
use super::sql::{
    Append, AppendBlock, CountUnrouted, EstimateUnrouted, HasUnrouted, Json, MarkRouted, NearlyRouted, OldestUnrouted,
    UnroutedChanges,
};
use super::{Store, StoreError, StoreTransaction};
use crate::domain::change::Operation;

/// A change to be written to the outbox.
#[derive(Clone, Debug)]
pub struct NewChange<'a> {
    /// For example `patient`.
    pub aggregate_type: &'a str,
    /// The application's id.
    pub aggregate_id: &'a str,
    /// What was done.
    pub operation: Operation,
    /// The full state as a JSON object.
    pub payload: &'a str,
}

impl Store {
    /// Whether anything waits to be routed: a look without a lock, which keeps an idle host from taking SQLite's only
    /// writer.
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
}

/// Changes that wait to be routed.
pub(super) struct WaitingChanges {
    pub(super) count: i64,
    /// There are at least [`COUNTED_MAX`], and ids are taken to follow each other closely.
    pub(super) is_estimate: bool,
    /// How long the oldest waits, in milliseconds.
    pub(super) oldest_ms: Option<i64>,
}

/// So many changes are counted one by one; counting a million takes longer than anybody waits for `host status`.
pub(super) const COUNTED_MAX: i64 = 10_000;

/// Ids before the newest delivery among which a change may still wait that became visible late.
const LOOK_BACK: i64 = 5_000;

impl StoreTransaction {
    /// Writes changes, in the transaction that also changes their aggregates. Gives the ids of their events.
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
            texts.into_iter().map(|text| Some(text.to_owned())).collect()
        };
        let rows = changes.iter().zip(events).map(row).collect();
        self.insert_blocks(rows, |rows| AppendBlock { rows }).await
    }

    /// Up to `limit` changes behind `after` that nobody has routed yet, passing over those that another host routes
    /// now.
    pub(super) async fn unrouted(&mut self, after: i64, limit: u32) -> Result<Vec<Unrouted>, StoreError> {
        let rows = self.fetch(UnroutedChanges { after, limit }).await?;
        Ok(rows.rows.into_iter().map(readable::unrouted).collect())
    }

    /// Marks changes as routed, all of them or, when what is routed where is no longer of this revision, none. Gives
    /// how many.
    pub(super) async fn mark_routed(&mut self, ids: &[i64], revision: Option<i64>) -> Result<u64, StoreError> {
        Ok(self.run(MarkRouted { ids, revision }).await?.rows_affected)
    }

    /// What waits to be routed: counted as far as that is quick, and from there on estimated.
    pub(super) async fn waiting(&mut self) -> Result<WaitingChanges, StoreError> {
        let after = self.nearly_routed().await?;
        let counted = self.number(CountUnrouted { after }).await?.unwrap_or_default();
        let oldest_ms = self.number(OldestUnrouted { after }).await?.map(|age| age.max(0));
        if counted <= COUNTED_MAX {
            return Ok(WaitingChanges { count: counted, is_estimate: false, oldest_ms });
        }
        let between = self.number(EstimateUnrouted { after }).await?;
        Ok(WaitingChanges { count: between.unwrap_or_default().max(counted), is_estimate: true, oldest_ms })
    }

    /// An id below which nearly everything is routed. Whoever looks from the beginning walks over the dead entries of
    /// all that was routed and is not tidied up yet, which may be a million.
    async fn nearly_routed(&mut self) -> Result<i64, StoreError> {
        Ok(self.number(NearlyRouted {}).await?.map_or(0, |newest| newest - LOOK_BACK))
    }
}
