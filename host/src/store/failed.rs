//! What failed, for operators: the list, and the decision that something need not be delivered.
//!
//! A dismissal is final, counted, and kept with its reason until retention deletes the delivery. A later change of the same
//! patient goes on normally. It must never touch what is pending or in work: the move is guarded by `status = 'failed'`.

use serde::Serialize;

use super::claim::rows_value;
use super::counts::Counted;
use super::siblings::by_aggregate;
use super::sql::{JsonType, json_rows, through, update_each};
use super::{Reader, RetryFilter, Store, StoreError, StoreTransaction};
use crate::database::rerun;

/// Deliveries dismissed in one transaction.
const DISMISS_MAX: u32 = 1_000;

/// A delivery that failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FailedDelivery {
    /// At which target.
    pub target: String,
    /// For example `patient`.
    pub aggregate_type: String,
    /// The application's id of it.
    pub aggregate_id: String,
    /// The change: the id of its outbox row.
    pub change_id: i64,
    /// Why, as `domain::change::FailureKind` says it.
    pub kind: Option<String>,
    /// What the adapter or the host said.
    pub message: Option<String>,
    /// Attempts spent. With none the host itself refused it, and `host retry` leaves it alone.
    pub attempts: i64,
    /// When it failed, milliseconds since 1970-01-01 UTC.
    pub failed_at: Option<i64>,
}

/// A failed delivery that an operator dismissed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DismissedDelivery {
    /// What failed, and why. `failed_at` is when it was dismissed.
    #[serde(flatten)]
    pub delivery: FailedDelivery,
    /// What the operator said.
    pub reason: Option<String>,
    /// Who said it.
    pub dismissed_by: Option<String>,
    /// When, milliseconds since 1970-01-01 UTC.
    pub dismissed_at: Option<i64>,
}

#[derive(Serialize)]
struct Key {
    target: String,
    outbox_id: i64,
}

const COLUMNS: &str = "t.target, t.aggregate_type, t.aggregate_id, t.outbox_id, t.error_kind, t.error_message, t.attempts, \
                       t.finished_at";

fn read(reader: &mut Reader<'_>) -> Result<FailedDelivery, StoreError> {
    Ok(FailedDelivery {
        target: reader.text()?,
        aggregate_type: reader.key()?,
        aggregate_id: reader.key()?,
        change_id: reader.integer()?,
        kind: reader.optional_text()?,
        message: reader.failure_message()?,
        attempts: reader.integer()?,
        failed_at: reader.optional_integer()?,
    })
}

impl Store {
    /// Failed deliveries that the filter means, oldest change first; at most `limit`.
    ///
    /// # Errors
    /// When the store cannot be reached.
    pub async fn failed(&self, filter: &RetryFilter, limit: u32) -> Result<Vec<FailedDelivery>, StoreError> {
        let what = "read failed deliveries";
        let mut transaction = self.begin_read(what).await?;
        let (condition, values) = filter.condition(&transaction.now);
        let sql = format!(
            "SELECT {COLUMNS} FROM sync_target j JOIN sync_delivery t{due} ON {condition} \
             ORDER BY t.outbox_id, t.target LIMIT {limit}",
            due = through(transaction.dialect(), "sync_delivery_due"),
        );
        let rows = transaction.query(&sql, &values).await?;
        transaction.rollback().await?;
        rows.rows.into_iter().map(|row| read(&mut Reader::new(what, row))).collect()
    }

    /// Dismissed deliveries, the latest first; at most `limit`.
    ///
    /// # Errors
    /// When the store cannot be reached.
    pub async fn dismissed(&self, target: Option<&str>, limit: u32) -> Result<Vec<DismissedDelivery>, StoreError> {
        let what = "read dismissed deliveries";
        let mut transaction = self.begin_read(what).await?;
        let of_target = if target.is_some() { "WHERE d.target = :target " } else { "" };
        let values: Vec<_> = target.map(|target| ("target", target.into())).into_iter().collect();
        let sql = format!(
            "SELECT {COLUMNS}, d.reason, d.dismissed_by, d.dismissed_at FROM sync_dismissal d \
             JOIN sync_delivery t{primary} ON t.target = d.target AND t.outbox_id = d.outbox_id \
             {of_target}ORDER BY d.dismissed_at DESC, t.outbox_id, t.target LIMIT {limit}",
            primary = through(transaction.dialect(), "PRIMARY"),
        );
        let rows = transaction.query(&sql, &values).await?;
        transaction.rollback().await?;
        let dismissed = rows.rows.into_iter().map(|row| {
            let mut reader = Reader::new(what, row);
            Ok(DismissedDelivery {
                delivery: read(&mut reader)?,
                reason: reader.optional_text()?,
                dismissed_by: reader.optional_text()?,
                dismissed_at: reader.optional_integer()?,
            })
        });
        dismissed.collect()
    }

    /// Dismisses the failed deliveries that the filter means. Gives how many.
    ///
    /// # Errors
    /// When the store cannot be reached; some may then be dismissed.
    pub async fn dismiss(&self, filter: &RetryFilter, reason: &str, by: &str) -> Result<u64, StoreError> {
        let mut dismissed = 0;
        loop {
            let now = rerun("dismiss", || self.dismiss_some(filter, reason, by)).await?;
            dismissed += now;
            if now < u64::from(DISMISS_MAX) {
                return Ok(dismissed);
            }
        }
    }

    async fn dismiss_some(&self, filter: &RetryFilter, reason: &str, by: &str) -> Result<u64, StoreError> {
        let keys = self.failed(filter, DISMISS_MAX).await?;
        if keys.is_empty() {
            return Ok(0);
        }
        let keys: Vec<_> =
            keys.into_iter().map(|failed| Key { target: failed.target, outbox_id: failed.change_id }).collect();
        let mut transaction = self.begin("dismiss failed deliveries").await?;
        transaction.move_dismissed(&keys, reason, by).await?;
        for target in keys.iter().map(|key| key.target.as_str()).collect::<std::collections::BTreeSet<_>>() {
            let count = keys.iter().filter(|key| key.target == target).count();
            transaction.count(target, Counted::dismissed(u64::try_from(count).unwrap_or(u64::MAX))).await?;
        }
        transaction.commit().await?;
        Ok(u64::try_from(keys.len()).unwrap_or(u64::MAX))
    }

    /// Whether the store has any trace of this patient.
    ///
    /// # Errors
    /// When the store cannot be reached.
    pub async fn knows_patient(&self, patient_id: &str) -> Result<bool, StoreError> {
        let mut transaction = self.begin_read("look for a patient").await?;
        let values = [("id", patient_id.into())];
        let mut known = false;
        let deliveries = format!(
            "SELECT 1 FROM sync_delivery d{} WHERE d.aggregate_id = :id AND d.aggregate_type = 'patient' LIMIT 1",
            by_aggregate(transaction.dialect())
        );
        for sql in [
            "SELECT 1 FROM patient_cache WHERE patient_id = :id",
            &deliveries,
            "SELECT 1 FROM sync_work WHERE aggregate_id = :id AND aggregate_type = 'patient' LIMIT 1",
        ] {
            known |= transaction.number(sql, &values).await?.is_some();
        }
        transaction.rollback().await?;
        Ok(known)
    }
}

impl StoreTransaction {
    /// # Errors
    /// `Contention` when one of them failed no more: another operator was quicker.
    async fn move_dismissed(&mut self, keys: &[Key], reason: &str, by: &str) -> Result<(), StoreError> {
        let rows = json_rows(self.dialect(), &[("target", JsonType::Text), ("outbox_id", JsonType::Integer)]);
        let now = self.now.clone();
        let assignments = [("status", "'dismissed'"), ("next_attempt_at", "NULL"), ("finished_at", now.as_str())];
        let sql = update_each(
            self.dialect(),
            ("sync_delivery", "PRIMARY"),
            &assignments,
            &rows,
            "t.target = j.target AND t.outbox_id = j.outbox_id",
            "t.status = 'failed'",
        );
        let moved = self.execute(&sql, &[("rows", rows_value(keys))]).await?.rows_affected;
        if usize::try_from(moved) != Ok(keys.len()) {
            return Err(self.outrun());
        }
        let sql = format!(
            "INSERT INTO sync_dismissal (target, outbox_id, reason, dismissed_by, dismissed_at) \
             SELECT j.target, j.outbox_id, :reason, :dismissed_by, {now} FROM {rows}"
        );
        let values = [("reason", reason.into()), ("dismissed_by", by.into()), ("rows", rows_value(keys))];
        self.execute(&sql, &values).await.map(drop)
    }
}
