//! Retention: finished deliveries and routed changes go when they are old, a little at a time.
//!
//! Never one that something still needs: what is pending, in work or failed stays, a change stays as long as one of its
//! deliveries does, and what a target confirmed last is kept by its link. Any host may purge at any time.

use super::counts::Counted;
use super::sql::{among_ids, named_deliveries};
use super::work::change_in_work;
use super::{Reader, Store, StoreError, StoreTransaction};
use crate::database::rerun;
use crate::domain::delivery::Status;

/// Rows looked at, and at most deleted, in one transaction.
const CHUNK: u32 = 1_000;

/// Where a purge stands; begin with the default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PurgeCursor {
    after_id: i64,
}

impl Default for PurgeCursor {
    fn default() -> Self {
        Self { after_id: i64::MIN }
    }
}

/// What one step of a purge did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Purged {
    /// Rows deleted.
    pub deleted: u64,
    /// Where to go on; `None` when everything old was looked at.
    pub next: Option<PurgeCursor>,
}

/// A row that may go.
struct Old {
    id: i64,
    /// 1: a delivery that is done, or a change; 2: a delivery that is superseded; 3: one that was dismissed.
    kind: i64,
}

impl Store {
    /// Deletes finished deliveries of one target that are older than `age_ms`, a chunk of them.
    ///
    /// # Errors
    /// When the store cannot be reached.
    pub async fn purge_deliveries(&self, target: &str, age_ms: i64, cursor: PurgeCursor) -> Result<Purged, StoreError> {
        rerun("purge deliveries", || async {
            let mut transaction = self.begin(&format!("purge deliveries of target `{target}`")).await?;
            let cutoff = transaction.purge_cutoff(age_ms).await?;
            let sql = format!(
                "SELECT outbox_id, CASE WHEN finished_at >= {cutoff} THEN NULL WHEN status = 'done' THEN 1 \
                 WHEN status = 'superseded' THEN 2 WHEN status = 'dismissed' THEN 3 END, \
                 CASE WHEN created_at < {cutoff} THEN 1 ELSE 0 END FROM sync_delivery \
                 WHERE target = :target AND outbox_id > :after ORDER BY outbox_id LIMIT {CHUNK}",
            );
            let values = [("target", target.into()), ("after", cursor.after_id.into())];
            let (old, next) = transaction.chunk(&sql, &values).await?;
            let mut deleted = 0;
            let mut counted = Counted::default();
            for (status, kind) in [(Status::Done, 1), (Status::Superseded, 2), (Status::Dismissed, 3)] {
                let ids: Vec<_> = old.iter().filter(|old| old.kind == kind).map(|old| old.id).collect();
                let rows = transaction.delete_deliveries(target, status, &ids).await?;
                counted += Counted::deleted(status, rows);
                deleted += rows;
            }
            transaction.count(target, counted).await?;
            transaction.commit().await?;
            Ok(Purged { deleted, next })
        })
        .await
    }

    /// Deletes routed changes older than `age_ms` that have no delivery any more and are not in work, a chunk of them.
    ///
    /// # Errors
    /// When the store cannot be reached.
    pub async fn purge_changes(&self, age_ms: i64, cursor: PurgeCursor) -> Result<Purged, StoreError> {
        rerun("purge changes", || async {
            let mut transaction = self.begin("purge changes").await?;
            let cutoff = transaction.purge_cutoff(age_ms).await?;
            let sql = format!(
                "SELECT o.id, CASE WHEN o.routed_at < {cutoff} AND (SELECT COUNT(*) FROM sync_target t WHERE \
                 (SELECT COUNT(*) FROM sync_delivery d WHERE d.target = t.name AND d.outbox_id = o.id) > 0) = 0 \
                 AND (SELECT COUNT(*) FROM sync_target t WHERE {in_work} > 0) = 0 THEN 1 ELSE 0 END, \
                 CASE WHEN o.routed_at < {cutoff} THEN 1 ELSE 0 END FROM sync_outbox o \
                 WHERE o.id > :after ORDER BY o.id LIMIT {CHUNK}",
                in_work = change_in_work("t.name", "o"),
            );
            let (old, next) = transaction.chunk(&sql, &[("after", cursor.after_id.into())]).await?;
            let mut deleted = 0;
            if !old.is_empty() {
                let ids: Vec<_> = old.iter().map(|old| old.id).collect();
                let sql = format!(
                    "DELETE FROM sync_outbox WHERE routed_at IS NOT NULL AND {}",
                    among_ids(transaction.dialect(), "id")
                );
                deleted = transaction.execute_for(&sql, &[], &ids).await?.rows_affected;
            }
            transaction.commit().await?;
            Ok(Purged { deleted, next })
        })
        .await
    }
}

impl StoreTransaction {
    /// Another host may purge the same rows at the same time: what is counted is what this one deleted.
    async fn delete_deliveries(&mut self, target: &str, status: Status, ids: &[i64]) -> Result<u64, StoreError> {
        if ids.is_empty() {
            return Ok(0);
        }
        let sql = format!("DELETE FROM sync_delivery WHERE {} AND status = :status", named_deliveries(self.dialect()));
        let values = [("target", target.into()), ("status", status.as_str().into())];
        let deleted = self.execute_for(&sql, &values, ids).await?.rows_affected;
        if status == Status::Dismissed {
            let among = among_ids(self.dialect(), "outbox_id");
            let sql = format!("DELETE FROM sync_dismissal WHERE target = :target AND {among}");
            self.execute_for(&sql, &values[..1], ids).await?;
        }
        Ok(deleted)
    }

    /// The ids to delete, and where to go on: rows come in the order of their making, so that the first young one ends it.
    async fn chunk(
        &mut self,
        sql: &str,
        values: &[(&str, crate::database::Value)],
    ) -> Result<(Vec<Old>, Option<PurgeCursor>), StoreError> {
        let rows = self.query(sql, values).await?.rows;
        let is_full = rows.len() == CHUNK as usize;
        let what = self.what.clone();
        let (mut old, mut last, mut all_old) = (Vec::new(), 0, true);
        for row in rows {
            let mut reader = Reader::new(&what, row);
            let (id, kind, is_old) = (reader.integer()?, reader.optional_integer()?, reader.integer()? == 1);
            old.extend(kind.filter(|kind| *kind > 0).map(|kind| Old { id, kind }));
            last = id;
            all_old &= is_old;
        }
        Ok((old, (is_full && all_old).then_some(PurgeCursor { after_id: last })))
    }
}
