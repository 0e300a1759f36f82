//! Failed deliveries, for operators: the list, and the decision that one need not be delivered.
//!
//! A dismissal is final, counted, and kept with its reason until retention deletes the delivery. A later change of the
//! same aggregate is delivered normally. A dismissal must never touch a delivery that is pending or in flight; a
//! compare-and-set on `failed` guards that.

use serde::Serialize;

use super::audit::DELIVERIES;
use super::counts::CountDelta;
use super::retry::DeliveryKey;
use super::sql::{
    InsertDismissals, Json, KnowsDelivery, KnowsInFlight, KnowsLink, KnowsPatient, ListDismissed, MarkDismissed,
    NewestUnrouted, ScanChanges,
};
use super::{RetryFilter, RowReader, Store, StoreError, StoreTransaction};
use crate::database::rerun;
use crate::domain::ids::{AggregateKey, ChangeId};

/// Deliveries dismissed in one transaction.
const DISMISS_MAX: u32 = 1_000;
/// Changes that are looked at in one statement.
const SCAN_MAX: u32 = 1_000;

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FailedDelivery {
    pub target: String,
    #[serde(flatten)]
    pub key: AggregateKey,
    /// The change: the id of its outbox row.
    pub change_id: ChangeId,
    /// A name of a `domain::change::FailureKind`.
    pub kind: Option<String>,
    pub message: Option<String>,
    /// Attempts spent. 0 means that the host itself refused the change; `host retry` does not retry it.
    pub attempts: i64,
    /// When it failed, milliseconds since 1970-01-01 UTC.
    pub failed_at: Option<i64>,
}

/// A failed delivery that an operator dismissed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DismissedDelivery {
    /// Its `failed_at` is when it was dismissed.
    #[serde(flatten)]
    pub delivery: FailedDelivery,
    pub reason: Option<String>,
    pub dismissed_by: Option<String>,
    /// Milliseconds since 1970-01-01 UTC.
    pub dismissed_at: Option<i64>,
}

/// A row of `failed_columns` (sql/operators.sql).
pub(super) fn read(reader: &mut RowReader<'_>) -> Result<FailedDelivery, StoreError> {
    Ok(FailedDelivery {
        target: reader.text()?,
        key: reader.aggregate_key()?,
        change_id: reader.change_id()?,
        kind: reader.optional_text()?,
        message: reader.failure_message()?,
        attempts: reader.integer()?,
        failed_at: reader.optional_integer()?,
    })
}

impl Store {
    /// The failed deliveries that the filter selects, oldest change first; at most `limit`.
    ///
    /// # Errors
    /// When the store cannot be reached.
    pub async fn failed(&self, filter: &RetryFilter, limit: u32) -> Result<Vec<FailedDelivery>, StoreError> {
        let operation = "read failed deliveries";
        let mut transaction = self.begin_read(operation).await?;
        let rows = transaction.fetch(filter.list(limit)).await?;
        transaction.rollback().await?;
        rows.rows.into_iter().map(|row| read(&mut RowReader::new(operation, row))).collect()
    }

    /// Dismissed deliveries, the latest first; at most `limit`.
    ///
    /// # Errors
    /// When the store cannot be reached.
    pub async fn dismissed(&self, target: Option<&str>, limit: u32) -> Result<Vec<DismissedDelivery>, StoreError> {
        let operation = "read dismissed deliveries";
        let mut transaction = self.begin_read(operation).await?;
        let rows = transaction.fetch(ListDismissed { target, limit }).await?;
        transaction.rollback().await?;
        let dismissed = rows.rows.into_iter().map(|row| {
            let mut reader = RowReader::new(operation, row);
            Ok(DismissedDelivery {
                delivery: read(&mut reader)?,
                reason: reader.optional_text()?,
                dismissed_by: reader.optional_text()?,
                dismissed_at: reader.optional_integer()?,
            })
        });
        dismissed.collect()
    }

    /// Dismisses the failed deliveries that the filter selects. Returns their number.
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
            keys.into_iter().map(|failed| DeliveryKey { target: failed.target, outbox_id: failed.change_id }).collect();
        let mut transaction = self.begin("dismiss failed deliveries").await?;
        transaction.mark_dismissed(&keys, reason, by).await?;
        transaction.note_changes(DELIVERIES, keys.len());
        for target in keys.iter().map(|key| key.target.as_str()).collect::<std::collections::BTreeSet<_>>() {
            let count = keys.iter().filter(|key| key.target == target).count();
            transaction.add_counts(target, CountDelta::dismissed(u64::try_from(count).unwrap_or(u64::MAX))).await?;
        }
        transaction.commit().await?;
        Ok(u64::try_from(keys.len()).unwrap_or(u64::MAX))
    }

    /// Whether the store has any trace of this aggregate.
    ///
    /// # Errors
    /// When the store cannot be reached.
    pub async fn knows(&self, key: &AggregateKey) -> Result<bool, StoreError> {
        let mut transaction = self.begin_read("look for an aggregate").await?;
        let known = transaction.knows(key).await?;
        transaction.rollback().await?;
        Ok(known || self.has_change(key).await?)
    }

    /// Whether the outbox has a change of this aggregate, also one that was routed nowhere. It scans the outbox, which
    /// has no index by aggregates.
    async fn has_change(&self, key: &AggregateKey) -> Result<bool, StoreError> {
        let operation = "look for an aggregate in the outbox";
        let mut before = i64::MAX;
        loop {
            let rows = self.fetch_alone(operation, ScanChanges { before, limit: SCAN_MAX }).await?.rows;
            let Some(last) = rows.last() else { return Ok(false) };
            before = RowReader::new(operation, last.clone()).change_id()?.get();
            for row in rows {
                let mut reader = RowReader::new(operation, row);
                // A row that cannot be read is another aggregate's.
                if reader.change_id().is_ok() && reader.aggregate_key().is_ok_and(|found| found == *key) {
                    return Ok(true);
                }
            }
        }
    }
}

impl StoreTransaction {
    /// Queries the cheapest table first: unrouted changes have no index by their keys.
    async fn knows(&mut self, key: &AggregateKey) -> Result<bool, StoreError> {
        let AggregateKey { aggregate_type, aggregate_id } = key;
        Ok((key.is_patient() && self.number(KnowsPatient { patient_id: aggregate_id }).await?.is_some())
            || self.number(KnowsDelivery { aggregate_type, aggregate_id }).await?.is_some()
            || self.number(KnowsInFlight { aggregate_type, aggregate_id }).await?.is_some()
            || self.number(KnowsLink { aggregate_type, aggregate_id }).await?.is_some()
            || self.number(NewestUnrouted { aggregate_type, aggregate_id }).await?.is_some())
    }

    /// # Errors
    /// `Contention` when one of them is no longer failed, because another operator decided first.
    async fn mark_dismissed(&mut self, keys: &[DeliveryKey], reason: &str, by: &str) -> Result<(), StoreError> {
        let moved = self.run(MarkDismissed { batch: Json::of(keys) }).await?.rows_affected;
        if usize::try_from(moved) != Ok(keys.len()) {
            return Err(self.lost_race());
        }
        self.run(InsertDismissals { batch: Json::of(keys), reason, dismissed_by: by }).await.map(drop)
    }
}
