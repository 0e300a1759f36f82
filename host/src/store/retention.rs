//! Retention: deletes old finished deliveries and routed changes in small steps, to avoid long locks.
//!
//! It must never delete a delivery that is pending, in flight or failed, or a change that still has a delivery. Links
//! stay, and with them what each target confirmed last. Any host may purge at any time.

use super::counts::CountDelta;
use super::sql::{DeleteChanges, DeleteDeliveries, DeleteDismissals, OldChanges, OldDeliveries, Statement};
use super::{RowReader, Store, StoreError, StoreTransaction};
use crate::database::rerun;
use crate::domain::delivery::Status;
use crate::domain::ids::ChangeId;

/// Rows that one transaction scans at most.
pub(super) const CHUNK: i64 = 1_000;

/// Where the next step of a purge begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PurgeCursor {
    pub(super) after_id: i64,
}

impl Default for PurgeCursor {
    fn default() -> Self {
        Self { after_id: i64::MIN }
    }
}

/// The result of one step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Purged {
    pub deleted: u64,
    /// Where the next step begins; `None` after the last old row.
    pub next: Option<PurgeCursor>,
}

/// A row that may be deleted.
pub(super) struct Old {
    pub(super) id: ChangeId,
    /// 1: a done delivery, or a change; 2: a superseded delivery; 3: a dismissed one; 4: a skipped one.
    kind: i64,
}

impl Store {
    /// Deletes finished deliveries of one target that are older than `age_ms`, one step of them.
    ///
    /// # Errors
    /// When the store cannot be reached.
    pub async fn purge_deliveries(&self, target: &str, age_ms: i64, cursor: PurgeCursor) -> Result<Purged, StoreError> {
        rerun("purge deliveries", || async {
            let mut transaction = self.begin(&format!("purge deliveries of target `{target}`")).await?;
            let cutoff = transaction.purge_cutoff(age_ms).await?;
            let (old, next) = transaction.chunk(OldDeliveries { target, after: cursor.after_id, cutoff }).await?;
            let mut deleted = 0;
            let mut delta = CountDelta::default();
            for (status, kind) in
                [(Status::Done, 1), (Status::Superseded, 2), (Status::Dismissed, 3), (Status::Skipped, 4)]
            {
                let ids: Vec<_> = old.iter().filter(|old| old.kind == kind).map(|old| old.id).collect();
                let rows = transaction.delete_deliveries(target, status, &ids).await?;
                delta += CountDelta::deleted(status, rows);
                deleted += rows;
            }
            transaction.add_counts(target, delta).await?;
            transaction.commit().await?;
            Ok(Purged { deleted, next })
        })
        .await
    }

    /// Deletes routed changes older than `age_ms` that have no delivery and are not in flight, one step of them.
    ///
    /// # Errors
    /// When the store cannot be reached.
    pub async fn purge_changes(&self, age_ms: i64, cursor: PurgeCursor) -> Result<Purged, StoreError> {
        rerun("purge changes", || async {
            let mut transaction = self.begin("purge changes").await?;
            let cutoff = transaction.purge_cutoff(age_ms).await?;
            let (old, next) = transaction.chunk(OldChanges { after: cursor.after_id, cutoff }).await?;
            let mut deleted = 0;
            if !old.is_empty() {
                let ids: Vec<_> = old.iter().map(|old| old.id).collect();
                deleted = transaction.run(DeleteChanges { ids: &ids }).await?.rows_affected;
            }
            transaction.commit().await?;
            Ok(Purged { deleted, next })
        })
        .await
    }
}

impl StoreTransaction {
    /// Returns the number of rows that this host deleted; another host may purge the same ones at the same time.
    async fn delete_deliveries(&mut self, target: &str, status: Status, ids: &[ChangeId]) -> Result<u64, StoreError> {
        if ids.is_empty() {
            return Ok(0);
        }
        let deleted = self.run(DeleteDeliveries { target, status: status.as_str(), ids }).await?.rows_affected;
        self.delete_dependencies(target, ids).await?;
        if status == Status::Dismissed {
            self.run(DeleteDismissals { target, ids }).await?;
        }
        Ok(deleted)
    }

    /// The ids to delete, and where the next step begins. Rows are in the order in which they were made, so the first
    /// young one ends the purge.
    pub(super) async fn chunk(
        &mut self,
        statement: impl Statement,
    ) -> Result<(Vec<Old>, Option<PurgeCursor>), StoreError> {
        let rows = self.fetch(statement).await?.rows;
        let is_full = i64::try_from(rows.len()) == Ok(CHUNK);
        let operation = self.operation.clone();
        let (mut old, mut last, mut all_old) = (Vec::new(), 0, true);
        for row in rows {
            let mut reader = RowReader::new(&operation, row);
            let (id, kind, is_old) = (reader.change_id()?, reader.optional_integer()?, reader.integer()? == 1);
            old.extend(kind.filter(|kind| *kind > 0).map(|kind| Old { id, kind }));
            last = id.get();
            all_old &= is_old;
        }
        Ok((old, (is_full && all_old).then_some(PurgeCursor { after_id: last })))
    }
}
