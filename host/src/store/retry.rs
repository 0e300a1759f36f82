//! Retries failed deliveries on an operator's request: all that a filter selects, or some of them at a time.

use serde::Serialize;

use super::sql::{CountFailed, Json, ListFailed, ListRetriable, ProgressOfThese, RetryFailed, RetryThese};
use super::{RowReader, Store, StoreError};
use crate::database::rerun;
use crate::domain::change::FailureKind;
use crate::domain::delivery::Status;
use crate::domain::ids::{AggregateKey, ChangeId};

/// Selects failed deliveries; a field that is `None` selects all.
#[derive(Clone, Debug, Default)]
pub struct RetryFilter {
    pub target: Option<String>,
    pub aggregate: Option<AggregateKey>,
    pub kind: Option<FailureKind>,
    /// The minimum age of their failure.
    pub older_than_ms: Option<u64>,
    /// The id of an outbox row.
    pub change_id: Option<ChangeId>,
}

/// One delivery. Deliveries are in the order of their changes; those of one change are in the order of their targets.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct DeliveryKey {
    pub outbox_id: ChangeId,
    pub target: String,
}

impl DeliveryKey {
    /// What comes before the change's delivery to any target.
    #[must_use]
    pub fn before_all_of(change_id: ChangeId) -> Self {
        Self { outbox_id: change_id, target: String::new() }
    }
}

/// How far some retried deliveries came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RetryProgress {
    /// Not attempted since.
    pub open: u64,
    /// Waiting for what they refer to, so that no attempt is made.
    pub waiting: u64,
    /// Delivered, superseded, skipped or dismissed.
    pub ended: u64,
    /// Failed again, or waiting for another attempt after one that failed.
    pub failed_again: u64,
}

impl RetryFilter {
    /// The statement that lists the selected deliveries (`sql/operators.sql`).
    pub(super) fn list(&self, limit: u32) -> ListFailed<'_> {
        let (target, kind, age_ms, change_id) = (self.target(), self.kind(), self.age_ms(), self.change_id);
        let (aggregate_type, aggregate_id) = self.aggregate();
        ListFailed { target, aggregate_type, aggregate_id, kind, age_ms, change_id, limit }
    }

    pub(super) fn target(&self) -> Option<&str> {
        self.target.as_deref()
    }

    /// The aggregate's type and id, as statements take them.
    pub(super) fn aggregate(&self) -> (Option<&str>, Option<&str>) {
        optional_columns(self.aggregate.as_ref())
    }

    fn kind(&self) -> Option<&'static str> {
        self.kind.map(FailureKind::as_str)
    }

    pub(super) fn age_ms(&self) -> Option<i64> {
        self.older_than_ms.map(|age_ms| i64::try_from(age_ms).unwrap_or(i64::MAX / 2))
    }
}

/// An aggregate's type and id, as statements take them; without an aggregate a statement's condition is left out.
pub(super) fn optional_columns(key: Option<&AggregateKey>) -> (Option<&str>, Option<&str>) {
    (key.map(|key| key.aggregate_type.as_str()), key.map(|key| key.aggregate_id.as_str()))
}

impl Store {
    /// The number of failed deliveries that the filter selects and that may be retried.
    ///
    /// # Errors
    /// When the store cannot be reached.
    pub async fn count_failed(&self, filter: &RetryFilter) -> Result<u64, StoreError> {
        let mut transaction = self.begin_read("count failed deliveries").await?;
        let (target, kind, age_ms, change_id) = (filter.target(), filter.kind(), filter.age_ms(), filter.change_id);
        let (aggregate_type, aggregate_id) = filter.aggregate();
        let statement = CountFailed { target, aggregate_type, aggregate_id, kind, age_ms, change_id };
        let count = transaction.number(statement).await?.unwrap_or_default();
        transaction.rollback().await?;
        Ok(u64::try_from(count).unwrap_or_default())
    }

    /// Makes failed deliveries pending again, and resets their attempts. A newer state of the same aggregate still
    /// wins: the claim then supersedes the older delivery.
    ///
    /// # Errors
    /// When the store cannot be reached.
    pub async fn retry(&self, filter: &RetryFilter) -> Result<u64, StoreError> {
        rerun("retry", || async {
            let mut transaction = self.begin("retry failed deliveries").await?;
            let (target, kind, age_ms, change_id) = (filter.target(), filter.kind(), filter.age_ms(), filter.change_id);
            let (aggregate_type, aggregate_id) = filter.aggregate();
            let statement = RetryFailed { target, aggregate_type, aggregate_id, kind, age_ms, change_id };
            let retried = transaction.run(statement).await?.rows_affected;
            transaction.note_deliveries(retried);
            transaction.commit().await?;
            Ok(retried)
        })
        .await
    }

    /// Up to `limit` of the failed deliveries that the filter selects and that may be retried, after `after`, the
    /// oldest changes first.
    ///
    /// # Errors
    /// When the store cannot be reached.
    pub async fn retriable(
        &self,
        filter: &RetryFilter,
        after: Option<&DeliveryKey>,
        limit: u32,
    ) -> Result<Vec<DeliveryKey>, StoreError> {
        let operation = "list failed deliveries to retry";
        let targets = match &filter.target {
            Some(target) => vec![target.clone()],
            None => self.target_names().await?,
        };
        let (kind, age_ms, change_id) = (filter.kind(), filter.age_ms(), filter.change_id);
        let (aggregate_type, aggregate_id) = filter.aggregate();
        let mut keys = Vec::new();
        for target in &targets {
            let behind = |key: &DeliveryKey| key.outbox_id.get().saturating_add(i64::from(*target <= key.target));
            let from_id = after.map_or(i64::MIN, behind);
            let statement =
                ListRetriable { target, aggregate_type, aggregate_id, kind, age_ms, change_id, from_id, limit };
            for row in self.fetch_alone(operation, statement).await?.rows {
                let outbox_id = RowReader::new(operation, row).change_id()?;
                keys.push(DeliveryKey { outbox_id, target: target.clone() });
            }
        }
        keys.sort_unstable();
        keys.truncate(limit as usize);
        Ok(keys)
    }

    /// Makes these failed deliveries pending again, and resets their attempts. Returns how many were still failed.
    ///
    /// # Errors
    /// When the store cannot be reached.
    pub async fn retry_these(&self, keys: &[DeliveryKey]) -> Result<u64, StoreError> {
        rerun("retry", || async {
            let mut transaction = self.begin("retry some failed deliveries").await?;
            let retried = transaction.run(RetryThese { batch: Json::of(keys) }).await?.rows_affected;
            transaction.note_deliveries(retried);
            transaction.commit().await?;
            Ok(retried)
        })
        .await
    }

    /// How far these deliveries came since they were retried.
    ///
    /// # Errors
    /// When the store cannot be reached.
    pub async fn progress_of(&self, keys: &[DeliveryKey]) -> Result<RetryProgress, StoreError> {
        let operation = "read how far retried deliveries came";
        let rows = self.fetch_alone(operation, ProgressOfThese { batch: Json::of(keys) }).await?.rows;
        let mut progress = RetryProgress::default();
        for row in rows {
            let mut reader = RowReader::new(operation, row);
            let status =
                Status::from_word(&reader.text()?).ok_or_else(|| super::corrupt(operation, "an unknown status"))?;
            let (was_attempted, waits, count) = (reader.integer()? != 0, reader.integer()? != 0, reader.integer()?);
            let group = match status {
                Status::Pending if waits => &mut progress.waiting,
                Status::Pending if was_attempted => &mut progress.failed_again,
                Status::Pending | Status::Processing => &mut progress.open,
                Status::Failed => &mut progress.failed_again,
                Status::Done | Status::Superseded | Status::Skipped | Status::Dismissed => &mut progress.ended,
            };
            *group += u64::try_from(count).unwrap_or_default();
        }
        Ok(progress)
    }
}
