//! What a person asks for: failed deliveries are to be tried again.

use super::sql::{CountFailed, ListFailed, RetryFailed};
use super::{Store, StoreError};
use crate::database::rerun;
use crate::domain::change::FailureKind;

/// Which failed deliveries.
#[derive(Clone, Debug, Default)]
pub struct RetryFilter {
    /// Only of this target.
    pub target: Option<String>,
    /// Only of this patient.
    pub patient: Option<String>,
    /// Only failed for this reason.
    pub kind: Option<FailureKind>,
    /// Only failed at least so long ago, in milliseconds.
    pub older_than_ms: Option<u64>,
    /// Only of this change: the id of its outbox row.
    pub change_id: Option<i64>,
}

impl RetryFilter {
    /// The failed deliveries that the filter means, as a question. What it does not name is not asked for
    /// (`sql/operators.sql`).
    pub(super) fn list(&self, limit: u32) -> ListFailed<'_> {
        let RetryFilter { target, patient, change_id, .. } = self;
        let (target, patient, kind) = (target.as_deref(), patient.as_deref(), self.kind());
        ListFailed { target, patient, kind, age_ms: self.age_ms(), change_id: *change_id, limit }
    }

    fn kind(&self) -> Option<&'static str> {
        self.kind.map(FailureKind::as_str)
    }

    fn age_ms(&self) -> Option<i64> {
        self.older_than_ms.map(|age_ms| i64::try_from(age_ms).unwrap_or(i64::MAX / 2))
    }
}

impl Store {
    /// How many failed deliveries that may be tried again the filter means.
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

    /// Makes failed deliveries pending again, with their attempts forgotten. A newer state of the same
    /// aggregate still wins: the older delivery is then found moot when it is claimed.
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
