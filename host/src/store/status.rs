//! What `host status` shows: counts, targets, recent deliveries. No statement here scans the finished rows or the whole
//! queue, so that it stays quick next to millions of rows.

use std::collections::BTreeMap;

use super::hosts::RunningHost;
use super::in_flight::NEVER_SKIPPED;
use super::sql::{
    CountOpen, EnabledTargets, HasDue, OldestPending, ReadTargetStatus, RecentDeliveries, RecentOfAggregate,
};
use super::{Counts, HeldAdapter, RowReader, Store, StoreError, StoreTransaction, Verification};
use crate::database::Value;
use crate::domain::delivery::Status;
use crate::domain::ids::{AggregateKey, ChangeId};

/// The oldest pending delivery is searched among this number of queued ones.
pub(super) const OLDEST_AMONG: i64 = 10_000;

#[derive(Clone, Debug, Default)]
pub struct TargetStatus {
    pub counts: Counts,
    pub enabled: bool,
    /// Whether an operator has paused it, and the pause has not ended.
    pub paused: bool,
    /// When the pause ends by itself, milliseconds since 1970-01-01 UTC.
    pub paused_until: Option<i64>,
    /// `unknown`, `up` or `down`.
    pub state: String,
    /// `closed`, `open` or `half-open`.
    pub breaker: String,
    /// How long the breaker stays open, milliseconds from now.
    pub breaker_ms: Option<i64>,
    pub adapter_name: Option<String>,
    pub adapter_version: Option<String>,
    pub adapter_sha256: Option<String>,
    /// The result of the last check.
    pub summary: Option<String>,
    pub error_kind: Option<String>,
    pub error_message: Option<String>,
    /// How long ago, milliseconds.
    pub error_ms: Option<i64>,
    /// The age of the oldest pending delivery, milliseconds.
    pub oldest_pending_ms: Option<i64>,
    /// The number of pending deliveries that wait for a dependency.
    pub waiting: u64,
    /// How long what is left takes while the target delivers, milliseconds: 0 when nothing is left, `None` when the
    /// journal has no attempt that worked.
    pub estimate_ms: Option<i64>,
    /// How long ago the target confirmed a change, milliseconds, as the journal has it.
    pub last_delivery_ms: Option<i64>,
    /// Whether it still holds what was delivered.
    pub verified: Option<Verification>,
    /// The adapter that is held.
    pub held: Option<HeldAdapter>,
}

#[derive(Clone, Debug)]
pub struct RecentSync {
    pub target: String,
    /// The id of its outbox row.
    pub change_id: ChangeId,
    pub key: AggregateKey,
    pub status: Status,
    pub remote_id: Option<String>,
    pub attempts: i64,
    pub error_kind: Option<String>,
    pub error_message: Option<String>,
    /// Milliseconds since 1970-01-01 UTC.
    pub finished_at: Option<i64>,
}

/// The state of the store at one moment.
#[derive(Clone, Debug, Default)]
pub struct StatusSnapshot {
    pub unrouted: u64,
    /// Whether that is an estimate from the first and the last id, because there are more than 10,000.
    pub unrouted_is_estimate: bool,
    /// The age of the oldest of them, milliseconds.
    pub oldest_unrouted_ms: Option<i64>,
    pub targets: BTreeMap<String, TargetStatus>,
    pub recent: Vec<RecentSync>,
    /// The running hosts.
    pub hosts: Vec<RunningHost>,
}

impl StatusSnapshot {
    /// The running hosts that have a target, or whose targets are unknown.
    #[must_use]
    pub fn hosts_with(&self, target: &str) -> Vec<&str> {
        let has = |host: &&RunningHost| host.targets.as_ref().is_none_or(|targets| targets.contains_key(target));
        self.hosts.iter().filter(has).map(|host| host.id.as_str()).collect()
    }

    /// The counts of all targets together.
    #[must_use]
    pub fn totals(&self) -> Counts {
        self.targets.values().fold(Counts::default(), |mut totals, target| {
            totals += target.counts;
            totals
        })
    }
}

impl Store {
    /// Reads the state of the store, with up to `recent_max` recent deliveries.
    ///
    /// # Errors
    /// When the store cannot be reached.
    pub async fn status(&self, recent_max: u32) -> Result<StatusSnapshot, StoreError> {
        self.status_with(recent_max, None).await
    }

    /// As [`Store::status`], with the recent deliveries of one aggregate alone, also those that were superseded.
    ///
    /// # Errors
    /// When the store cannot be reached.
    pub async fn status_with(
        &self,
        recent_max: u32,
        aggregate: Option<&AggregateKey>,
    ) -> Result<StatusSnapshot, StoreError> {
        let mut transaction = self.begin_read("read status").await?;
        let waiting = transaction.waiting().await?;
        let mut snapshot = StatusSnapshot {
            unrouted: u64::try_from(waiting.count).unwrap_or_default(),
            unrouted_is_estimate: waiting.is_estimate,
            oldest_unrouted_ms: waiting.oldest_ms,
            targets: transaction.targets().await?,
            ..StatusSnapshot::default()
        };
        for (target, counts) in transaction.counts().await? {
            snapshot.targets.entry(target).or_default().counts = counts;
        }
        transaction.oldest_pending(&mut snapshot.targets).await?;
        for (name, target) in snapshot.targets.iter_mut().filter(|(_, target)| target.counts.pending > 0) {
            target.waiting = transaction.count_waiting(name).await?;
        }
        transaction.estimate(&mut snapshot).await?;
        for (name, target) in &mut snapshot.targets {
            target.verified = transaction.verifications(name).await?.last;
        }
        for (name, hold) in transaction.adapter_holds().await? {
            if let Some(target) = snapshot.targets.get_mut(&name) {
                target.held = Some(hold);
            }
        }
        let names: Vec<_> = snapshot.targets.keys().cloned().collect();
        snapshot.recent = transaction.recent(&names, recent_max, aggregate).await?;
        snapshot.hosts = transaction.running_hosts().await?;
        transaction.rollback().await?;
        Ok(snapshot)
    }

    /// The number of changes and deliveries that are still to be routed or delivered at enabled targets, now or later.
    ///
    /// # Errors
    /// When the store cannot be reached.
    pub async fn open_work(&self) -> Result<u64, StoreError> {
        let mut transaction = self.begin_read("count open work").await?;
        let mut open = transaction.waiting().await?.count;
        let enabled = transaction.fetch(EnabledTargets {}).await?;
        for row in enabled.rows {
            let target = RowReader::new("count open work", row).text()?;
            open += transaction.number(CountOpen { target: &target }).await?.unwrap_or_default();
        }
        transaction.rollback().await?;
        Ok(u64::try_from(open).unwrap_or_default())
    }

    /// Whether a change is unrouted, or a delivery of these targets may be claimed now or is in flight. For a fifo type
    /// only the head of an aggregate counts: changes behind a failed head are not due.
    ///
    /// # Errors
    /// When the store cannot be reached.
    pub async fn has_due_work(&self, targets: &[&str], fifo_types: &[String]) -> Result<bool, StoreError> {
        if self.has_unrouted(i64::MIN).await? {
            return Ok(true);
        }
        let mut transaction = self.begin_read("check for due deliveries").await?;
        let mut is_due = false;
        for target in targets {
            is_due |= transaction.number(HasDue { target, fifo_types }).await? == Some(1);
        }
        transaction.rollback().await?;
        Ok(is_due)
    }
}

impl StoreTransaction {
    pub(super) async fn targets(&mut self) -> Result<BTreeMap<String, TargetStatus>, StoreError> {
        let rows = self.fetch(ReadTargetStatus {}).await?;
        rows.rows
            .into_iter()
            .map(|row| {
                let mut reader = RowReader::new("read targets", row);
                let name = reader.text()?;
                let status = TargetStatus {
                    enabled: reader.integer()? != 0,
                    paused: reader.integer()? != 0,
                    paused_until: reader.optional_integer()?,
                    state: reader.text()?,
                    breaker: reader.text()?,
                    breaker_ms: reader.optional_integer()?,
                    adapter_name: reader.optional_text()?,
                    adapter_version: reader.optional_text()?,
                    adapter_sha256: reader.optional_text()?,
                    summary: reader.optional_text()?,
                    error_kind: reader.optional_text()?,
                    error_message: reader.optional_text()?,
                    error_ms: reader.optional_integer()?,
                    ..TargetStatus::default()
                };
                Ok((name, status))
            })
            .collect()
    }

    async fn oldest_pending(&mut self, targets: &mut BTreeMap<String, TargetStatus>) -> Result<(), StoreError> {
        for (name, target) in targets.iter_mut().filter(|(_, target)| target.counts.pending > 0) {
            if let Some(row) =
                self.fetch(OldestPending { target: name, never: NEVER_SKIPPED }).await?.rows.into_iter().next()
            {
                target.oldest_pending_ms =
                    RowReader::new("find oldest pending", row).optional_integer()?.map(|age| age.max(0));
            }
        }
        Ok(())
    }

    /// Estimates how long what is left takes at each target. What is not routed yet may go to any of them.
    async fn estimate(&mut self, snapshot: &mut StatusSnapshot) -> Result<(), StoreError> {
        let unrouted = snapshot.unrouted;
        for (name, target) in &mut snapshot.targets {
            let recent = self.recent_work(name).await?;
            let Counts { pending, processing, .. } = target.counts;
            let left = (pending + processing + unrouted).saturating_sub(target.waiting);
            let left = i64::try_from(left).unwrap_or(i64::MAX);
            target.estimate_ms = if left == 0 { Some(0) } else { recent.rate.map(|rate| rate.millis_for(left)) };
            target.last_delivery_ms = recent.last_delivery_ms;
        }
        Ok(())
    }

    /// The newest deliveries of all targets, newest first.
    async fn recent(
        &mut self,
        targets: &[String],
        limit: u32,
        aggregate: Option<&AggregateKey>,
    ) -> Result<Vec<RecentSync>, StoreError> {
        let mut recent = Vec::new();
        for target in targets {
            recent.extend(self.recent_of(target, limit, aggregate).await?);
        }
        let by_age = |sync: &RecentSync, other: &RecentSync| {
            other.change_id.cmp(&sync.change_id).then_with(|| sync.target.cmp(&other.target))
        };
        recent.sort_by(by_age);
        recent.truncate(limit as usize);
        Ok(recent)
    }

    async fn recent_of(
        &mut self,
        target: &str,
        limit: u32,
        aggregate: Option<&AggregateKey>,
    ) -> Result<Vec<RecentSync>, StoreError> {
        let rows = match aggregate {
            None => self.fetch(RecentDeliveries { target, window: limit.saturating_mul(4), limit }).await?,
            Some(AggregateKey { aggregate_type, aggregate_id }) => {
                self.fetch(RecentOfAggregate { target, aggregate_type, aggregate_id, limit }).await?
            }
        };
        rows.rows.into_iter().map(recent_sync).collect()
    }
}

/// A row of `recent_columns` (sql/status.sql).
fn recent_sync(row: Vec<Value>) -> Result<RecentSync, StoreError> {
    let operation = "read recent deliveries";
    let mut reader = RowReader::new(operation, row);
    Ok(RecentSync {
        target: reader.text()?,
        key: reader.aggregate_key()?,
        status: Status::from_word(&reader.text()?).ok_or_else(|| super::corrupt(operation, "an unknown status"))?,
        remote_id: reader.optional_text()?,
        attempts: reader.integer()?,
        error_kind: reader.optional_text()?,
        error_message: reader.failure_message()?,
        finished_at: reader.optional_integer()?,
        change_id: reader.change_id()?,
    })
}
