//! `sync_count`: how many deliveries each target was given, and how many of them are done, superseded,
//! dismissed or skipped.
//!
//! Counting millions of finished rows takes seconds, so their number is kept. Each transaction that makes, finishes or
//! deletes deliveries adds its changes, as its last statement, to one of several rows chosen at random. So no host
//! waits for another's counting, and none can deadlock on it. Deliveries in flight and failed ones are few, and are
//! counted by small indexes; pending is the rest. A count must never be written outside of the transaction that it
//! counts.

use std::collections::BTreeMap;

use super::in_flight::NEVER;
use super::sql::{AddCounts, ReadCounts, Uncounted};
use super::{RowReader, StoreError, StoreTransaction};
use crate::domain::delivery::Status;

/// Rows for each target.
const SHARDS: i64 = 16;

/// Deliveries by status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[allow(missing_docs)]
pub struct Counts {
    pub pending: u64,
    pub processing: u64,
    pub done: u64,
    pub failed: u64,
    pub superseded: u64,
    pub dismissed: u64,
    pub skipped: u64,
}

impl std::ops::AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.pending += other.pending;
        self.processing += other.processing;
        self.done += other.done;
        self.failed += other.failed;
        self.superseded += other.superseded;
        self.dismissed += other.dismissed;
        self.skipped += other.skipped;
    }
}

/// How a transaction changed the counts of one target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct CountDelta {
    /// Deliveries made, less those deleted.
    pub(super) made: i64,
    /// Of these, those that became done, less those deleted.
    pub(super) done: i64,
    /// Of these, those that became superseded, less those deleted.
    pub(super) superseded: i64,
    /// Of these, those that became dismissed, less those deleted.
    pub(super) dismissed: i64,
    /// Of these, those that became skipped, less those deleted or tried again.
    pub(super) skipped: i64,
}

impl CountDelta {
    /// The change when `rows` deliveries became superseded.
    pub(super) fn superseded(rows: u64) -> Self {
        Self { superseded: i64::try_from(rows).unwrap_or(i64::MAX), ..Self::default() }
    }

    /// The change when `rows` deliveries became dismissed.
    pub(super) fn dismissed(rows: u64) -> Self {
        Self { dismissed: i64::try_from(rows).unwrap_or(i64::MAX), ..Self::default() }
    }

    /// The change when `rows` skipped deliveries became pending again.
    pub(super) fn reconsidered(rows: u64) -> Self {
        Self { skipped: -i64::try_from(rows).unwrap_or(i64::MAX), ..Self::default() }
    }

    /// The change when `rows` finished deliveries of this status became pending again.
    pub(super) fn resent(status: Status, rows: u64) -> Self {
        Self { made: 0, ..Self::deleted(status, rows) }
    }

    /// The change when `rows` deliveries of this status were deleted.
    pub(super) fn deleted(status: Status, rows: u64) -> Self {
        let rows = i64::try_from(rows).unwrap_or(i64::MAX);
        Self {
            made: -rows,
            done: if status == Status::Done { -rows } else { 0 },
            superseded: if status == Status::Superseded { -rows } else { 0 },
            dismissed: if status == Status::Dismissed { -rows } else { 0 },
            skipped: if status == Status::Skipped { -rows } else { 0 },
        }
    }
}

impl std::ops::AddAssign for CountDelta {
    fn add_assign(&mut self, other: Self) {
        self.made += other.made;
        self.done += other.done;
        self.superseded += other.superseded;
        self.dismissed += other.dismissed;
        self.skipped += other.skipped;
    }
}

impl StoreTransaction {
    /// Adds to the counts of a target. It is the last statement of its transaction, so that the row is locked only
    /// briefly.
    pub(super) async fn add_counts(&mut self, target: &str, delta: CountDelta) -> Result<(), StoreError> {
        if delta == CountDelta::default() {
            return Ok(());
        }
        let CountDelta { made, done, superseded, dismissed, skipped } = delta;
        let shard = rand::random_range(0..SHARDS);
        self.run(AddCounts { target, shard, made, done, superseded, dismissed, skipped }).await.map(drop)
    }

    /// The number of deliveries of a target that exist but are not counted. It reads all of them, and all changes in
    /// flight without a delivery row.
    pub(super) async fn uncounted(&mut self, target: &str) -> Result<i64, StoreError> {
        match self.fetch(Uncounted { target }).await?.rows.into_iter().next() {
            Some(row) => RowReader::new("count deliveries", row).integer(),
            None => Ok(0),
        }
    }

    /// The counts of every target, as they were at one moment: one statement sees one state.
    pub(super) async fn counts(&mut self) -> Result<BTreeMap<String, Counts>, StoreError> {
        let mut counts = BTreeMap::new();
        for row in self.fetch(ReadCounts { never: NEVER }).await?.rows {
            let mut reader = RowReader::new("count deliveries", row);
            let target = reader.text()?;
            let (made, done, superseded) = (reader.integer()?, reader.integer()?, reader.integer()?);
            let (dismissed, skipped) = (reader.integer()?, reader.integer()?);
            let (processing, failed) = (reader.integer()?, reader.integer()?);
            let count = |number: i64| u64::try_from(number).unwrap_or_default();
            counts.insert(
                target,
                Counts {
                    pending: count(made - done - superseded - dismissed - skipped - processing - failed),
                    processing: count(processing),
                    done: count(done),
                    failed: count(failed),
                    superseded: count(superseded),
                    dismissed: count(dismissed),
                    skipped: count(skipped),
                },
            );
        }
        Ok(counts)
    }
}
