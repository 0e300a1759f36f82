//! `sync_work`: which aggregate is in work at which target, under which lease, by which of its changes.
//!
//! Its key is what allows a target one delivery of an aggregate at a time, over all hosts; nothing rests on code alone. A row
//! comes in the transaction that puts its delivery under a lease and goes in the one that ends that lease, so that the
//! table is as small as what is in work. Of a change that came straight from the router it is all that there is: who takes
//! the row away must leave one in `sync_delivery`.

use super::sql::{among_ids, through, update_each};
use super::{Lease, StoreError, StoreTransaction, failed};
use crate::database::{DatabaseError, Dialect, ErrorKind};

/// Stands in `next_attempt_at` of what failed: only a person makes it due again.
pub(super) const NEVER: i64 = i64::MAX;

/// The condition that nothing of `row`'s aggregate is in work at `target`.
///
/// It is a count, not `NOT EXISTS`: that one PostgreSQL turns into a join over all that waits, while a count is one look
/// into the key for each row, and stops with the limit.
pub(super) fn is_free(target: &str, row: &str) -> String {
    format!("{} = 0", in_work(target, row))
}

/// How many deliveries of `row`'s aggregate are in work at `target`: 0 or 1.
pub(super) fn in_work(target: &str, row: &str) -> String {
    format!(
        "(SELECT COUNT(*) FROM sync_work w WHERE w.target = {target} AND w.aggregate_type = {row}.aggregate_type \
         AND w.aggregate_id = {row}.aggregate_id)"
    )
}

/// How many times this very change is in work at `target`, `change` being a row of `sync_outbox`: 0 or 1.
pub(super) fn change_in_work(target: &str, change: &str) -> String {
    format!(
        "(SELECT COUNT(*) FROM sync_work w WHERE w.target = {target} AND w.aggregate_type = {change}.aggregate_type \
         AND w.aggregate_id = {change}.aggregate_id AND w.outbox_id = {change}.id)"
    )
}

/// How many deliveries are in work at `target`. They are found by their leases, which are few: by the target alone, the dead
/// entries of all that was in work lately would be walked over.
pub(super) fn in_work_at(dialect: Dialect, target: &str) -> String {
    format!(
        "(SELECT COUNT(*) FROM sync_lease l JOIN sync_work w{index} ON w.epoch = l.epoch \
         WHERE l.target = {target} AND w.target = {target})",
        index = through(dialect, "sync_work_epoch"),
    )
}

impl StoreTransaction {
    /// Enters the aggregates of these changes, which have no delivery's row yet, as in work under `lease`.
    ///
    /// # Errors
    /// `Contention` when another host has just taken one of them, by this change or another.
    pub(super) async fn enter_work(&mut self, lease: &Lease, outbox_ids: &[i64]) -> Result<(), StoreError> {
        let sql = format!(
            "INSERT INTO sync_work (target, aggregate_type, aggregate_id, outbox_id, epoch) \
             SELECT :target, o.aggregate_type, o.aggregate_id, o.id, :epoch FROM sync_outbox o WHERE {among}",
            among = among_ids(self.dialect(), "o.id"),
        );
        self.put_all(lease, &sql, outbox_ids).await
    }

    /// Runs a statement under `lease` that must write one row for each of these changes.
    ///
    /// # Errors
    /// `Contention` when it writes fewer, or meets a key: another host was quicker.
    pub(super) async fn put_all(&mut self, lease: &Lease, sql: &str, outbox_ids: &[i64]) -> Result<(), StoreError> {
        let values = [("target", lease.target.as_str().into()), ("epoch", lease.epoch.into())];
        match self.execute_for(sql, &values, outbox_ids).await {
            Ok(execution) if usize::try_from(execution.rows_affected) == Ok(outbox_ids.len()) => Ok(()),
            Ok(_) => Err(self.outrun()),
            Err(StoreError::Database { error, .. }) if error.kind == ErrorKind::DuplicateKey => Err(self.outrun()),
            Err(error) => Err(error),
        }
    }

    /// Nothing is in work under `lease` any more. Gives how much was.
    pub(super) async fn leave_work(&mut self, lease: &Lease) -> Result<u64, StoreError> {
        let sql = match self.dialect() {
            Dialect::Sqlite | Dialect::Postgres => "DELETE FROM sync_work WHERE epoch = :epoch AND target = :target",
            // In the form for several tables, since only there an index may be named.
            Dialect::MySql => {
                "DELETE w FROM sync_work AS w FORCE INDEX (sync_work_epoch) WHERE w.epoch = :epoch AND w.target = :target"
            }
        };
        let values = [("target", lease.target.as_str().into()), ("epoch", lease.epoch.into())];
        Ok(self.execute(sql, &values).await?.rows_affected)
    }

    /// These changes are no longer in work under `lease`, others are. Gives how many were.
    pub(super) async fn leave_work_in_part(&mut self, lease: &Lease, outbox_ids: &[i64]) -> Result<u64, StoreError> {
        let among = |column| among_ids(self.dialect(), column);
        let sql = match self.dialect() {
            Dialect::Sqlite | Dialect::Postgres => {
                format!("DELETE FROM sync_work WHERE epoch = :epoch AND target = :target AND {}", among("outbox_id"))
            }
            Dialect::MySql => format!(
                "DELETE w FROM sync_work AS w FORCE INDEX (sync_work_epoch) \
                 WHERE w.epoch = :epoch AND w.target = :target AND {}",
                among("w.outbox_id")
            ),
        };
        let values = [("target", lease.target.as_str().into()), ("epoch", lease.epoch.into())];
        Ok(self.execute_for(&sql, &values, outbox_ids).await?.rows_affected)
    }

    /// Makes what is still under `lease` pending, in the place that its age gives it. What was in doubt and had spent its
    /// attempts fails now (`settle.rs`).
    pub(super) async fn free_work(&mut self, lease: &Lease) -> Result<(), StoreError> {
        // First what came straight from the router; whose lease this was may be unknown, so that each is looked for.
        // One whose change is gone gets its row too, and fails when it is read.
        let sql = format!(
            "INSERT INTO sync_delivery (target, outbox_id, aggregate_type, aggregate_id, status, next_attempt_at, created_at) \
             SELECT w.target, w.outbox_id, w.aggregate_type, w.aggregate_id, 'pending', COALESCE(o.routed_at, {now}), \
             COALESCE(o.routed_at, {now}) FROM sync_work w{index} LEFT JOIN sync_outbox o ON o.id = w.outbox_id \
             WHERE w.epoch = :epoch AND w.target = :target \
             AND (SELECT COUNT(*) FROM sync_delivery d WHERE d.target = w.target AND d.outbox_id = w.outbox_id) = 0",
            now = self.now,
            index = through(self.dialect(), "sync_work_epoch"),
        );
        let values = [("target", lease.target.as_str().into()), ("epoch", lease.epoch.into())];
        self.execute(&sql, &values).await?;
        let under = format!(
            "(SELECT w.outbox_id FROM sync_work w{} WHERE w.epoch = :epoch AND w.target = :target) AS j",
            through(self.dialect(), "sync_work_epoch")
        );
        let sql = update_each(
            self.dialect(),
            ("sync_delivery", "PRIMARY"),
            &[
                ("status", "CASE WHEN t.finished_at IS NULL THEN 'pending' ELSE 'failed' END"),
                ("next_attempt_at", &format!("CASE WHEN t.finished_at IS NULL THEN t.created_at ELSE {NEVER} END")),
                ("lease_epoch", "NULL"),
            ],
            &under,
            "t.target = :target AND t.outbox_id = j.outbox_id",
            "t.lease_epoch = :epoch AND t.status = 'processing'",
        );
        self.execute(&sql, &values).await?;
        self.leave_work(lease).await.map(drop)
    }

    /// Another host was quicker between our look and our compare-and-set: the transaction is to be run again.
    pub(super) fn outrun(&self) -> StoreError {
        failed(&self.what, DatabaseError::new(ErrorKind::Contention, "another host took the same at the same time"))
    }
}
