//! Lists deliveries for operators, page by page, and counts for which reasons they failed. It only reads.
//!
//! Failed and skipped deliveries are found by their index. Others are read from the newest backwards, a bounded number
//! for each page: the cursor continues where a page ended, also when it found little.

use serde::Serialize;

use super::in_flight::{NEVER, NEVER_SKIPPED};
use super::sql::{CountCauses, PageDeliveries, PageEnded};
use super::trace::traced;
use super::{RowReader, Store, StoreError, TracedDelivery};
use crate::domain::change::FailureKind;
use crate::domain::conflict::split_message;
use crate::domain::delivery::Status;
use crate::domain::ids::ChangeId;

/// Deliveries that are read in one statement.
const CHUNK: u32 = 1_000;
/// Deliveries of one target that are read for a page.
const READ_MAX: u32 = 50_000;
/// Different causes of one target that are read.
const CAUSES_MAX: u32 = 1_000;
/// Deliveries whose causes are counted.
pub(super) const CAUSES_COUNTED: i64 = 100_000;

/// Which deliveries are listed.
#[derive(Clone, Debug, Default)]
pub struct DeliveryFilter {
    pub status: Option<Status>,
    pub kind: Option<FailureKind>,
    /// Not before this time: when a failed or skipped delivery ended, and when any other one was queued.
    pub since: Option<i64>,
}

/// A page of one target's deliveries.
#[derive(Clone, Debug)]
pub struct DeliveryPage {
    /// Newest change first.
    pub deliveries: Vec<TracedDelivery>,
    /// Where the next page begins; `None` after the last one.
    pub next: Option<ChangeId>,
}

/// How many deliveries of a target ended for one reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CauseCount {
    pub target: String,
    pub status: Status,
    pub kind: Option<String>,
    pub message: Option<String>,
    pub count: u64,
}

impl DeliveryFilter {
    /// The status by whose index the deliveries are found.
    fn indexed(&self) -> Option<(Status, i64)> {
        match self.status {
            Some(Status::Failed) => Some((Status::Failed, NEVER)),
            Some(Status::Skipped) => Some((Status::Skipped, NEVER_SKIPPED)),
            // Only a failed delivery is found by its kind alone.
            None if self.kind.is_some() => Some((Status::Failed, NEVER)),
            Some(Status::Pending | Status::Processing | Status::Done | Status::Superseded | Status::Dismissed)
            | None => None,
        }
    }

    fn accepts(&self, delivery: &TracedDelivery) -> bool {
        self.status.is_none_or(|status| status == delivery.status)
            && self.kind.is_none_or(|kind| delivery.error_kind.as_deref() == Some(kind.as_str()))
    }
}

impl Store {
    /// Lists deliveries of a target whose change is older than `before`, newest first; at most `limit`.
    ///
    /// # Errors
    /// When the store cannot be reached, or holds values that this version does not understand.
    pub async fn deliveries(
        &self,
        target: &str,
        filter: &DeliveryFilter,
        before: Option<ChangeId>,
        limit: u32,
    ) -> Result<DeliveryPage, StoreError> {
        let before = before.map_or(i64::MAX, ChangeId::get);
        match filter.indexed() {
            Some((_, marker)) => self.page_ended(target, filter, marker, (before, limit)).await,
            None => self.page_all(target, filter, (before, limit)).await,
        }
    }

    async fn page_ended(
        &self,
        target: &str,
        filter: &DeliveryFilter,
        marker: i64,
        (before, limit): (i64, u32),
    ) -> Result<DeliveryPage, StoreError> {
        let operation = "list deliveries";
        let kind = filter.kind.map(FailureKind::as_str);
        let statement = PageEnded { target, marker, kind, since: filter.since, before, limit };
        let rows = self.fetch_alone(operation, statement).await?.rows;
        let deliveries: Vec<_> = rows.into_iter().map(|row| traced(operation, row)).collect::<Result<_, _>>()?;
        let is_full = deliveries.len() >= limit as usize;
        let next = deliveries.last().filter(|_| is_full).map(|last| last.change_id);
        Ok(DeliveryPage { deliveries, next })
    }

    async fn page_all(
        &self,
        target: &str,
        filter: &DeliveryFilter,
        (mut before, limit): (i64, u32),
    ) -> Result<DeliveryPage, StoreError> {
        let operation = "list deliveries";
        let mut deliveries = Vec::new();
        for _ in 0..READ_MAX / CHUNK {
            let rows = self.fetch_alone(operation, PageDeliveries { target, before, limit: CHUNK }).await?.rows;
            let is_last = rows.len() < CHUNK as usize;
            for row in rows {
                let delivery = traced(operation, row)?;
                before = delivery.change_id.get();
                // They are in the order in which they were queued.
                if filter.since.is_some_and(|since| delivery.created_at < since) {
                    return Ok(DeliveryPage { deliveries, next: None });
                }
                if filter.accepts(&delivery) {
                    deliveries.push(delivery);
                }
                if deliveries.len() >= limit as usize {
                    return Ok(DeliveryPage { deliveries, next: Some(ChangeId::new(before)) });
                }
            }
            if is_last {
                return Ok(DeliveryPage { deliveries, next: None });
            }
        }
        Ok(DeliveryPage { deliveries, next: Some(ChangeId::new(before)) })
    }

    /// Counts for which reasons deliveries of a target failed or were skipped, the most frequent first.
    ///
    /// # Errors
    /// When the store cannot be reached.
    pub async fn causes(&self, target: &str, filter: &DeliveryFilter) -> Result<Vec<CauseCount>, StoreError> {
        let operation = "count causes of failures";
        let kinds = match (filter.indexed(), filter.status) {
            (Some(one), _) => vec![one],
            (None, Some(_)) => Vec::new(),
            (None, None) => vec![(Status::Failed, NEVER), (Status::Skipped, NEVER_SKIPPED)],
        };
        let mut causes = Vec::<CauseCount>::new();
        for (status, marker) in kinds {
            let kind = filter.kind.map(FailureKind::as_str);
            let statement = CountCauses { target, marker, kind, since: filter.since, limit: CAUSES_MAX };
            for row in self.fetch_alone(operation, statement).await?.rows {
                let mut reader = RowReader::new(operation, row);
                let (kind, message) = (reader.optional_text()?, reader.optional_text()?);
                let count = u64::try_from(reader.integer()?).unwrap_or_default();
                // Each conflict has the fingerprint of its own record.
                let message = message.map(|message| split_message(&message).0.to_owned());
                let is_same =
                    |one: &&mut CauseCount| one.status == status && one.kind == kind && one.message == message;
                match causes.iter_mut().find(is_same) {
                    Some(one) => one.count += count,
                    None => causes.push(CauseCount { target: target.to_owned(), status, kind, message, count }),
                }
            }
        }
        causes.sort_by_key(|cause| std::cmp::Reverse(cause.count));
        Ok(causes)
    }
}
