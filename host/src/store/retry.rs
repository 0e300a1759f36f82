//! Retries failed deliveries on an operator's request.

use super::sql::{CountFailed, ListFailed, RetryFailed};
use super::{Store, StoreError};
use crate::database::rerun;
use crate::domain::change::FailureKind;
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
}
