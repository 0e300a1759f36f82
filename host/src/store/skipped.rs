//! Skipped deliveries: the target does not support their changes. They are final until an operator, or the activation
//! of another adapter, makes them pending again.
//!
//! A retry must never change a delivery that is not skipped; a compare-and-set guards that. A newer state that the
//! target has confirmed still wins: the claim then supersedes the older delivery.

use super::counts::CountDelta;
use super::failed_deliveries::{FailedDelivery, read};
use super::sql::{CountSkipped, ListSkipped, RetrySkipped, TargetNames};
use super::{RetryFilter, RowReader, Store, StoreError, StoreTransaction};
use crate::database::rerun;

impl Store {
    /// The skipped deliveries that the filter selects, oldest change first; at most `limit`. The message is the reason.
    ///
    /// # Errors
    /// When the store cannot be reached.
    pub async fn skipped(&self, filter: &RetryFilter, limit: u32) -> Result<Vec<FailedDelivery>, StoreError> {
        let operation = "read skipped deliveries";
        let mut transaction = self.begin_read(operation).await?;
        let (target, age_ms, change_id) = (filter.target(), filter.age_ms(), filter.change_id);
        let (aggregate_type, aggregate_id) = filter.aggregate();
        let statement = ListSkipped { target, aggregate_type, aggregate_id, age_ms, change_id, limit };
        let rows = transaction.fetch(statement).await?;
        transaction.rollback().await?;
        rows.rows.into_iter().map(|row| read(&mut RowReader::new(operation, row))).collect()
    }

    /// The number of skipped deliveries that the filter selects.
    ///
    /// # Errors
    /// When the store cannot be reached.
    pub async fn count_skipped(&self, filter: &RetryFilter) -> Result<u64, StoreError> {
        let mut transaction = self.begin_read("count skipped deliveries").await?;
        let (target, age_ms, change_id) = (filter.target(), filter.age_ms(), filter.change_id);
        let (aggregate_type, aggregate_id) = filter.aggregate();
        let statement = CountSkipped { target, aggregate_type, aggregate_id, age_ms, change_id };
        let count = transaction.number(statement).await?.unwrap_or_default();
        transaction.rollback().await?;
        Ok(u64::try_from(count).unwrap_or_default())
    }

    /// Makes skipped deliveries pending again. Returns their number.
    ///
    /// # Errors
    /// When the store cannot be reached; those of some targets may then be pending.
    pub async fn retry_skipped(&self, filter: &RetryFilter) -> Result<u64, StoreError> {
        let targets = match &filter.target {
            Some(target) => vec![target.clone()],
            None => self.target_names().await?,
        };
        let mut retried = 0;
        for target in targets {
            retried += rerun("retry skipped", || async {
                let mut transaction = self.begin("retry skipped deliveries").await?;
                let rows = transaction.retry_skipped(&target, filter).await?;
                transaction.commit().await?;
                Ok(rows)
            })
            .await?;
        }
        Ok(retried)
    }

    pub(super) async fn target_names(&self) -> Result<Vec<String>, StoreError> {
        let operation = "read the targets' names";
        let rows = self.fetch_alone(operation, TargetNames {}).await?;
        rows.rows.into_iter().map(|row| RowReader::new(operation, row).text()).collect()
    }
}

impl StoreTransaction {
    /// Makes a target's skipped deliveries pending again, and counts them. It is the last of its transaction.
    pub(super) async fn retry_skipped(&mut self, target: &str, filter: &RetryFilter) -> Result<u64, StoreError> {
        let (age_ms, change_id) = (filter.age_ms(), filter.change_id);
        let (aggregate_type, aggregate_id) = filter.aggregate();
        let statement = RetrySkipped { target, aggregate_type, aggregate_id, age_ms, change_id };
        let rows = self.run(statement).await?.rows_affected;
        self.note_deliveries(rows);
        self.add_counts(target, CountDelta::reconsidered(rows)).await?;
        Ok(rows)
    }
}
