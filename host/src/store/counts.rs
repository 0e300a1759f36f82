//! `sync_count`: how many deliveries each target was given, and how many of them are done, superseded or dismissed.
//!
//! Counting millions of finished rows takes seconds, so their number is kept instead: whatever makes, finishes or deletes
//! deliveries adds what it did in its own transaction, as its last statement, to one of several rows chosen by chance. So
//! no host or worker waits for another's counting, and none can deadlock on it. What is in work and what has failed is few,
//! and counted through small indexes; what is pending is the rest. It must never be written outside of the transaction
//! whose work it counts.

use std::collections::BTreeMap;

use super::sql::through;
use super::work::{NEVER, in_work_at};
use super::{Reader, StoreError, StoreTransaction};
use crate::database::Dialect;
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
}

impl std::ops::AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.pending += other.pending;
        self.processing += other.processing;
        self.done += other.done;
        self.failed += other.failed;
        self.superseded += other.superseded;
        self.dismissed += other.dismissed;
    }
}

/// What a transaction did to the deliveries of one target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counted {
    /// Deliveries made, less those deleted.
    pub(super) made: i64,
    /// Of these, those that became done, less those deleted.
    pub(super) done: i64,
    /// Of these, those that became superseded, less those deleted.
    pub(super) superseded: i64,
    /// Of these, those that became dismissed, less those deleted.
    pub(super) dismissed: i64,
}

impl Counted {
    /// So many rows became superseded.
    pub(super) fn superseded(rows: u64) -> Self {
        Self { superseded: i64::try_from(rows).unwrap_or(i64::MAX), ..Self::default() }
    }

    /// So many rows became dismissed.
    pub(super) fn dismissed(rows: u64) -> Self {
        Self { dismissed: i64::try_from(rows).unwrap_or(i64::MAX), ..Self::default() }
    }

    /// So many rows of this status were deleted.
    pub(super) fn deleted(status: Status, rows: u64) -> Self {
        let rows = i64::try_from(rows).unwrap_or(i64::MAX);
        Self {
            made: -rows,
            done: if status == Status::Done { -rows } else { 0 },
            superseded: if status == Status::Superseded { -rows } else { 0 },
            dismissed: if status == Status::Dismissed { -rows } else { 0 },
        }
    }
}

impl std::ops::AddAssign for Counted {
    fn add_assign(&mut self, other: Self) {
        self.made += other.made;
        self.done += other.done;
        self.superseded += other.superseded;
        self.dismissed += other.dismissed;
    }
}

impl StoreTransaction {
    /// Adds to the counts of a target. The last statement of its transaction, so that the row is held for a moment only.
    pub(super) async fn count(&mut self, target: &str, counted: Counted) -> Result<(), StoreError> {
        if counted == Counted::default() {
            return Ok(());
        }
        let added = |column: &str| match self.dialect() {
            Dialect::Sqlite | Dialect::Postgres => format!("{column} = sync_count.{column} + excluded.{column}"),
            Dialect::MySql => format!("{column} = {column} + VALUES({column})"),
        };
        let conflict = match self.dialect() {
            Dialect::Sqlite | Dialect::Postgres => "ON CONFLICT (target, shard) DO UPDATE SET",
            Dialect::MySql => "ON DUPLICATE KEY UPDATE",
        };
        let sql = format!(
            "INSERT INTO sync_count (target, shard, made, done, superseded, dismissed) \
             VALUES (:target, :shard, :made, :done, :superseded, :dismissed) {conflict} {}, {}, {}, {}",
            added("made"),
            added("done"),
            added("superseded"),
            added("dismissed"),
        );
        let values = [
            ("target", target.into()),
            ("shard", rand::random_range(0..SHARDS).into()),
            ("made", counted.made.into()),
            ("done", counted.done.into()),
            ("superseded", counted.superseded.into()),
            ("dismissed", counted.dismissed.into()),
        ];
        self.execute(&sql, &values).await.map(drop)
    }

    /// How many deliveries of a target are there beyond those that were counted; all of them are looked at, with those in work
    /// that have no row yet.
    pub(super) async fn uncounted(&mut self, target: &str) -> Result<i64, StoreError> {
        let sql = "SELECT COUNT(*) + (SELECT COUNT(*) FROM sync_work w WHERE w.target = :target AND (SELECT COUNT(*) \
                   FROM sync_delivery s WHERE s.target = w.target AND s.outbox_id = w.outbox_id) = 0) \
                   - CAST((SELECT COALESCE(SUM(c.made), 0) FROM sync_count c WHERE c.target = :target) AS DECIMAL(20)) \
                   FROM sync_delivery d WHERE d.target = :target";
        match self.query(sql, &[("target", target.into())]).await?.rows.into_iter().next() {
            Some(row) => Reader::new("count deliveries", row).integer(),
            None => Ok(0),
        }
    }

    /// The counts of every target, as they were at one moment: one statement sees one state.
    pub(super) async fn counts(&mut self) -> Result<BTreeMap<String, Counts>, StoreError> {
        let sql = format!(
            "SELECT c.target, c.made, c.done, c.superseded, c.dismissed, {in_work}, \
             (SELECT COUNT(*) FROM sync_delivery d{due} WHERE d.target = c.target AND d.next_attempt_at = :never) \
             FROM (SELECT target, CAST(SUM(made) AS DECIMAL(20)) AS made, CAST(SUM(done) AS DECIMAL(20)) AS done, \
             CAST(SUM(superseded) AS DECIMAL(20)) AS superseded, CAST(SUM(dismissed) AS DECIMAL(20)) AS dismissed FROM sync_count GROUP BY target) c",
            in_work = in_work_at(self.dialect(), "c.target"),
            due = through(self.dialect(), "sync_delivery_due"),
        );
        let mut counts = BTreeMap::new();
        for row in self.query(&sql, &[("never", NEVER.into())]).await?.rows {
            let mut reader = Reader::new("count deliveries", row);
            let target = reader.text()?;
            let (made, done, superseded) = (reader.integer()?, reader.integer()?, reader.integer()?);
            let dismissed = reader.integer()?;
            let (processing, failed) = (reader.integer()?, reader.integer()?);
            let count = |number: i64| u64::try_from(number).unwrap_or_default();
            counts.insert(
                target,
                Counts {
                    pending: count(made - done - superseded - dismissed - processing - failed),
                    processing: count(processing),
                    done: count(done),
                    failed: count(failed),
                    superseded: count(superseded),
                    dismissed: count(dismissed),
                },
            );
        }
        Ok(counts)
    }
}
