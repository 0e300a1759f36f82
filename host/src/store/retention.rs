//! Retention: finished deliveries and routed changes go when they are old, a little at a time.
//!
//! Never one that something still needs: what is pending, in work or failed stays, a change stays as long as one of its
//! deliveries does, and what a target confirmed last is kept by its link. Any host may purge at any time.

use serde::Serialize;

use super::claim::rows_value;
use super::sql::{JsonType, json_rows};
use super::{Reader, Store, StoreError, StoreTransaction};
use crate::database::rerun;

/// Rows looked at, and at most deleted, in one transaction.
const CHUNK: u32 = 1_000;

/// Where a purge stands; begin with the default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PurgeCursor {
    after_id: i64,
}

/// What one step of a purge did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Purged {
    /// Rows deleted.
    pub deleted: u64,
    /// Where to go on; `None` when everything old was looked at.
    pub next: Option<PurgeCursor>,
}

#[derive(Serialize)]
struct Id {
    id: i64,
}

impl Store {
    /// Deletes finished deliveries of one target that are older than `age_ms`, a chunk of them.
    ///
    /// # Errors
    /// When the store cannot be reached.
    pub async fn purge_deliveries(&self, target: &str, age_ms: i64, cursor: PurgeCursor) -> Result<Purged, StoreError> {
        rerun("purge deliveries", || async {
            let mut transaction = self.begin(&format!("purge deliveries of target `{target}`")).await?;
            let sql = format!(
                "SELECT outbox_id, CASE WHEN status IN ('done', 'superseded') AND finished_at < {cutoff} THEN 1 ELSE 0 END, \
                 CASE WHEN created_at < {cutoff} THEN 1 ELSE 0 END FROM sync_delivery \
                 WHERE target = :target AND outbox_id > :after ORDER BY outbox_id LIMIT {CHUNK}",
                cutoff = transaction.before(age_ms)
            );
            let values = [("target", target.into()), ("after", cursor.after_id.into())];
            let (old, next) = transaction.chunk(&sql, &values).await?;
            let mut deleted = 0;
            if !old.is_empty() {
                let sql = format!(
                    "DELETE FROM sync_delivery WHERE target = :target AND status IN ('done', 'superseded') \
                     AND outbox_id IN (SELECT j.id FROM {})",
                    json_rows(transaction.dialect(), &[("id", JsonType::Integer)])
                );
                let values = [("target", target.into()), ("rows", rows_value(&old))];
                deleted = transaction.execute(&sql, &values).await?.rows_affected;
            }
            transaction.commit().await?;
            Ok(Purged { deleted, next })
        })
        .await
    }

    /// Deletes routed changes older than `age_ms` that have no delivery any more, a chunk of them.
    ///
    /// # Errors
    /// When the store cannot be reached.
    pub async fn purge_changes(&self, age_ms: i64, cursor: PurgeCursor) -> Result<Purged, StoreError> {
        rerun("purge changes", || async {
            let mut transaction = self.begin("purge changes").await?;
            let sql = format!(
                "SELECT o.id, CASE WHEN o.routed_at < {cutoff} AND (SELECT COUNT(*) FROM sync_target t \
                 JOIN sync_delivery d ON d.target = t.name AND d.outbox_id = o.id) = 0 THEN 1 ELSE 0 END, \
                 CASE WHEN o.created_at < {cutoff} THEN 1 ELSE 0 END FROM sync_outbox o \
                 WHERE o.id > :after ORDER BY o.id LIMIT {CHUNK}",
                cutoff = transaction.before(age_ms)
            );
            let (old, next) = transaction.chunk(&sql, &[("after", cursor.after_id.into())]).await?;
            let mut deleted = 0;
            if !old.is_empty() {
                let sql = format!(
                    "DELETE FROM sync_outbox WHERE routed_at IS NOT NULL AND id IN (SELECT j.id FROM {})",
                    json_rows(transaction.dialect(), &[("id", JsonType::Integer)])
                );
                deleted = transaction.execute(&sql, &[("rows", rows_value(&old))]).await?.rows_affected;
            }
            transaction.commit().await?;
            Ok(Purged { deleted, next })
        })
        .await
    }
}

impl StoreTransaction {
    fn before(&self, age_ms: i64) -> String {
        format!("{} - {age_ms}", self.now)
    }

    /// The ids to delete, and where to go on: rows come in the order of their making, so that the first young one ends it.
    async fn chunk(
        &mut self,
        sql: &str,
        values: &[(&str, crate::database::Value)],
    ) -> Result<(Vec<Id>, Option<PurgeCursor>), StoreError> {
        let rows = self.query(sql, values).await?.rows;
        let is_full = rows.len() == CHUNK as usize;
        let what = self.what.clone();
        let (mut old, mut last, mut all_old) = (Vec::new(), 0, true);
        for row in rows {
            let mut reader = Reader::new(&what, row);
            let (id, deletable, is_old) = (reader.integer()?, reader.integer()? == 1, reader.integer()? == 1);
            if deletable {
                old.push(Id { id });
            }
            last = id;
            all_old &= is_old;
        }
        Ok((old, (is_full && all_old).then_some(PurgeCursor { after_id: last })))
    }
}
