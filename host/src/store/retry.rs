//! Retries failed deliveries on an operator's request.

use super::sql::{CountFailed, ListFailed, RetryFailed};
use super::{Store, StoreError};
use crate::database::rerun;
use crate::domain::change::FailureKind;
use crate::domain::ids::ChangeId;

/// Selects failed deliveries; a field that is `None` selects all.
#[derive(Clone, Debug, Default)]
pub struct RetryFilter {
    pub target: Option<String>,
    pub patient: Option<String>,
    pub kind: Option<FailureKind>,
    /// How long ago they failed at least.
    pub older_than_ms: Option<u64>,
    /// The id of an outbox row.
    pub change_id: Option<ChangeId>,
}

impl RetryFilter {
    /// The statement that lists the selected deliveries (`sql/operators.sql`).
    pub(super) fn list(&self, limit: u32) -> ListFailed<'_> {
        let RetryFilter { target, patient, change_id, .. } = self;
        let (target, patient, kind) = (target.as_deref(), patient.as_deref(), self.kind());
        ListFailed { target, patient, kind, age_ms: self.age_ms(), change_id: *change_id, limit }
    }

    fn kind(&self) -> Option<&'static str> {
        self.kind.map(FailureKind::as_str)
    }

    pub(super) fn age_ms(&self) -> Option<i64> {
        self.older_than_ms.map(|age_ms| i64::try_from(age_ms).unwrap_or(i64::MAX / 2))
    }
}

impl Store {
    /// The number of failed deliveries that the filter selects and that may be retried.
    ///
    /// # Errors
    /// When the store cannot be reached.
    pub async fn count_failed(&self, filter: &RetryFilter) -> Result<u64, StoreError> {
        let mut transaction = self.begin_read("count failed deliveries").await?;
        let RetryFilter { target, patient, change_id, .. } = filter;
        let (target, patient, kind) = (target.as_deref(), patient.as_deref(), filter.kind());
        let statement = CountFailed { target, patient, kind, age_ms: filter.age_ms(), change_id: *change_id };
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
            let RetryFilter { target, patient, change_id, .. } = filter;
            let (target, patient, kind) = (target.as_deref(), patient.as_deref(), filter.kind());
            let statement = RetryFailed { target, patient, kind, age_ms: filter.age_ms(), change_id: *change_id };
            let retried = transaction.run(statement).await?.rows_affected;
            transaction.commit().await?;
            Ok(retried)
        })
        .await
    }
}
