//! What a person asks for: failed deliveries are to be tried again.

use super::sql::{through, update_from};
use super::work::NEVER;
use super::{Store, StoreError};
use crate::database::{Value, rerun};
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
    /// As [`Self::condition`], without what the host itself refused: that has spent no attempt, and would be refused again
    /// (`refuse.rs`).
    fn retriable(&self, now: &str) -> (String, Vec<(&'static str, Value)>) {
        let (mut sql, values) = self.condition(now);
        sql.push_str(" AND t.attempts > 0");
        (sql, values)
    }

    /// The condition on the delivery `t` of the target `j`: by target, so that the index finds what failed.
    pub(super) fn condition(&self, now: &str) -> (String, Vec<(&'static str, Value)>) {
        let mut sql = format!("t.target = j.name AND t.next_attempt_at = {NEVER} AND t.status = 'failed'");
        let mut values: Vec<(&'static str, Value)> = Vec::new();
        if let Some(target) = &self.target {
            sql.push_str(" AND j.name = :target");
            values.push(("target", target.as_str().into()));
        }
        if let Some(patient) = &self.patient {
            sql.push_str(" AND t.aggregate_type = 'patient' AND t.aggregate_id = :patient");
            values.push(("patient", patient.as_str().into()));
        }
        if let Some(kind) = self.kind {
            sql.push_str(" AND t.error_kind = :kind");
            values.push(("kind", kind.as_str().into()));
        }
        if let Some(age_ms) = self.older_than_ms {
            sql.push_str(" AND t.finished_at <= ");
            sql.push_str(now);
            sql.push_str(" - :age_ms");
            values.push(("age_ms", i64::try_from(age_ms).unwrap_or(i64::MAX / 2).into()));
        }
        if let Some(change_id) = self.change_id {
            sql.push_str(" AND t.outbox_id = :change");
            values.push(("change", change_id.into()));
        }
        (sql, values)
    }
}

impl Store {
    /// How many failed deliveries that may be tried again the filter means.
    ///
    /// # Errors
    /// When the store cannot be reached.
    pub async fn count_failed(&self, filter: &RetryFilter) -> Result<u64, StoreError> {
        let mut transaction = self.begin_read("count failed deliveries").await?;
        let (condition, values) = filter.retriable(&transaction.now);
        let sql = format!(
            "SELECT COUNT(*) FROM sync_target j JOIN sync_delivery t{due} ON {condition}",
            due = through(transaction.dialect(), "sync_delivery_due"),
        );
        let rows = transaction.query(&sql, &values).await?;
        transaction.rollback().await?;
        let count = rows.rows.first().and_then(|row| row.first()).and_then(Value::as_i64).unwrap_or_default();
        Ok(u64::try_from(count).unwrap_or_default())
    }

    /// Makes failed deliveries pending again, with their attempts forgotten. A newer state of the same aggregate still
    /// wins: the older delivery is then found moot when it is claimed.
    ///
    /// # Errors
    /// When the store cannot be reached.
    pub async fn retry(&self, filter: &RetryFilter) -> Result<u64, StoreError> {
        rerun("retry", || async {
            let mut transaction = self.begin("retry failed deliveries").await?;
            let (condition, values) = filter.retriable(&transaction.now);
            let sql = update_from(
                transaction.dialect(),
                ("sync_delivery", "sync_delivery_due"),
                &[
                    ("status", "'pending'"),
                    ("attempts", "0"),
                    ("next_attempt_at", &transaction.now),
                    ("finished_at", "NULL"),
                ],
                "sync_target AS j",
                &condition,
            );
            let retried = transaction.execute(&sql, &values).await?.rows_affected;
            transaction.commit().await?;
            Ok(retried)
        })
        .await
    }
}
