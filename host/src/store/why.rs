//! Finds out why an aggregate is not at a target yet. It only reads, a bounded number of statements in one transaction;
//! `why_sentence.rs` puts the reason into words.
//!
//! One reason is named: the first that an operator would have to act on. Without a host nothing else matters; then what
//! operators decided, then the target, then the change itself.

use std::collections::BTreeMap;

use super::hosts::RunningHost;
use super::sql::QueuedBefore;
use super::trace::{TracedDelivery, TracedInFlight, TracedLink};
use super::why_sentence::{Explanation, Reason};
use super::{Store, StoreError, StoreTransaction, TargetStatus};
use crate::domain::change::FailureKind;
use crate::domain::delivery::Status;
use crate::domain::ids::{AggregateKey, ChangeId};

/// Deliveries of the aggregate that are looked at.
const DELIVERIES_MAX: u32 = 100;
/// Deliveries that are counted before one, and one more.
pub(super) const QUEUE_COUNTED: i64 = 100_001;

/// What the store has of an aggregate at a target.
struct Facts {
    now: i64,
    hosts: Vec<RunningHost>,
    status: TargetStatus,
    /// Newest change first.
    deliveries: Vec<TracedDelivery>,
    in_flight: Option<TracedInFlight>,
    unrouted: Option<ChangeId>,
    link: Option<TracedLink>,
}

impl Facts {
    /// The newest change of the aggregate that the target has or gets.
    fn newest(&self) -> Option<ChangeId> {
        let in_flight = self.in_flight.as_ref().map(|one| one.change_id);
        let delivery = self.deliveries.first().map(|delivery| delivery.change_id);
        [self.unrouted, in_flight, delivery].into_iter().flatten().max()
    }

    /// Whether that change is not routed yet.
    fn is_unrouted(&self) -> bool {
        self.unrouted.is_some() && self.unrouted == self.newest()
    }

    /// When its turn comes among what is queued. A change that is not routed yet comes behind what is due now.
    fn turn(&self) -> Option<(i64, ChangeId)> {
        if self.is_unrouted() {
            return self.unrouted.map(|change_id| (self.now, change_id));
        }
        let delivery = self.deliveries.first()?;
        delivery.next_attempt_at.map(|due_at| (due_at, delivery.change_id))
    }

    fn lacks_host(&self, target: &str) -> Option<Reason> {
        let has = |host: &RunningHost| host.targets.as_ref().is_none_or(|targets| targets.contains_key(target));
        let is_lacking = !self.hosts.iter().any(has);
        is_lacking.then_some(Reason::NoHost { runs: self.hosts.len() })
    }

    /// What keeps every delivery of the target.
    fn held_by_target(&self) -> Option<Reason> {
        let TargetStatus { enabled, paused, paused_until, .. } = &self.status;
        if !enabled {
            return Some(Reason::Disabled);
        }
        if *paused {
            return Some(Reason::Paused { until: *paused_until });
        }
        let TargetStatus { state, error_message, error_ms, breaker, breaker_ms, .. } = &self.status;
        (state != "up").then(|| Reason::TargetDown {
            since: error_ms.map(|millis| self.now - millis),
            message: error_message.clone(),
            breaker: breaker.clone(),
            next_try_ms: *breaker_ms,
        })
    }

    fn in_flight_reason(&self, one: &TracedInFlight) -> Reason {
        let (host, since) = one.lease.as_ref().map_or(("unknown", self.now), |(host, since, _)| (host, *since));
        Reason::InFlight { host: host.to_owned(), since }
    }
}

impl Store {
    /// Why the newest change of an aggregate is not at a target, or that it is. `fifo_types` are delivered in order.
    ///
    /// # Errors
    /// When the store cannot be reached, or holds values that this version does not understand.
    pub async fn explain(
        &self,
        key: &AggregateKey,
        target: &str,
        fifo_types: &[String],
    ) -> Result<Explanation, StoreError> {
        let now = self.now_ms().await?;
        let mut transaction = self.begin_read(&format!("find out what keeps a delivery to `{target}`")).await?;
        let facts = transaction.facts(key, target, now).await?;
        let is_fifo = fifo_types.contains(&key.aggregate_type);
        let mut explanation = transaction.explanation(key, target, &facts, is_fifo).await?;
        transaction.rollback().await?;
        if explanation.reason == Reason::NoDelivery && !self.knows(key).await? {
            explanation.reason = Reason::Unknown;
        }
        Ok(explanation)
    }
}

impl StoreTransaction {
    async fn facts(&mut self, key: &AggregateKey, target: &str, now: i64) -> Result<Facts, StoreError> {
        Ok(Facts {
            now,
            hosts: self.running_hosts().await?,
            status: self.targets().await?.remove(target).unwrap_or_default(),
            deliveries: self.deliveries_of(key, Some(target), None, DELIVERIES_MAX).await?,
            in_flight: self.in_flight_of(key).await?.into_iter().find(|one| one.target == target),
            unrouted: self.unrouted_of(key, 1).await?.first().copied(),
            link: self.links_of(key).await?.into_iter().find(|link| link.target == target),
        })
    }

    async fn explanation(
        &mut self,
        key: &AggregateKey,
        target: &str,
        facts: &Facts,
        is_fifo: bool,
    ) -> Result<Explanation, StoreError> {
        let newest = facts.newest();
        let reason = self.reason(key, target, facts, is_fifo).await?;
        let changes = self.changes_of(newest.as_slice()).await?;
        let mut explanation = Explanation {
            key: key.clone(),
            target: target.to_owned(),
            now: facts.now,
            change_id: newest.or_else(|| facts.link.as_ref().map(|link| link.change_id)),
            since: changes.first().and_then(|change| change.created_at.or(change.routed_at)),
            reason,
            ahead: None,
            ahead_is_more: false,
            ahead_is_estimate: false,
            estimate_ms: None,
        };
        if explanation.reason == Reason::NoDelivery {
            explanation.change_id = None;
        }
        if matches!(explanation.reason, Reason::Queued | Reason::Unrouted | Reason::TargetDown { .. }) {
            self.add_queue(&mut explanation, facts).await?;
        }
        Ok(explanation)
    }

    async fn reason(
        &mut self,
        key: &AggregateKey,
        target: &str,
        facts: &Facts,
        is_fifo: bool,
    ) -> Result<Reason, StoreError> {
        let newest = facts.newest();
        if facts.is_unrouted() {
            // Any host routes it, but what keeps the target will keep it then.
            let kept = facts.lacks_host(target).or_else(|| facts.held_by_target());
            return Ok(kept.unwrap_or(Reason::Unrouted));
        }
        let delivery = facts.deliveries.first().filter(|delivery| Some(delivery.change_id) == newest);
        let in_flight = facts.in_flight.as_ref();
        let is_open = |delivery: &TracedDelivery| matches!(delivery.status, Status::Pending | Status::Processing);
        match (delivery, in_flight) {
            (Some(delivery), _) if !is_open(delivery) => self.finished(delivery, facts).await,
            (Some(_), None) | (_, Some(_)) => {
                if let Some(reason) = facts.lacks_host(target) {
                    return Ok(reason);
                }
                match (delivery, in_flight) {
                    (_, Some(in_flight)) => Ok(facts.in_flight_reason(in_flight)),
                    (Some(delivery), None) => self.pending(key, delivery, facts, is_fifo).await,
                    (None, None) => Ok(Reason::NoDelivery),
                }
            }
            (None, None) => Ok(match &facts.link {
                // Its delivery is older than what retention keeps.
                Some(link) if link.change_id.get() > 0 => Reason::Delivered {
                    at: link.synced_at,
                    remote_id: link.remote_id.clone(),
                    merged_into: link.merged_into.clone(),
                },
                Some(_) | None => Reason::NoDelivery,
            }),
        }
    }

    /// The reason of a delivery that is neither pending nor in flight.
    async fn finished(&mut self, delivery: &TracedDelivery, facts: &Facts) -> Result<Reason, StoreError> {
        let message = delivery.error_message.clone();
        let given = || message.clone().unwrap_or_else(|| "no reason given".to_owned());
        Ok(match delivery.status {
            Status::Failed if delivery.error_kind.as_deref() == Some(FailureKind::Conflict.as_str()) => {
                Reason::Conflict { at: delivery.finished_at, message: given() }
            }
            Status::Failed => Reason::Failed {
                at: delivery.finished_at,
                attempts: delivery.attempts,
                kind: delivery.error_kind.clone().unwrap_or_else(|| "unknown".to_owned()),
                message: given(),
            },
            Status::Skipped => Reason::Skipped { message: given() },
            Status::Superseded => Reason::Superseded { message },
            Status::Dismissed => {
                let dismissals = self.dismissals_of(&[delivery.change_id]).await?;
                let dismissal = dismissals.into_iter().find(|one| one.target == delivery.target);
                let (by, reason) = dismissal.map(|one| (one.dismissed_by, one.reason)).unwrap_or_default();
                let by = by.unwrap_or_else(|| "an operator".to_owned());
                Reason::Dismissed { by, message: reason.unwrap_or_else(|| "no reason given".to_owned()) }
            }
            Status::Done | Status::Pending | Status::Processing => Reason::Delivered {
                at: delivery.finished_at.unwrap_or(facts.now),
                remote_id: facts.link.as_ref().and_then(|link| link.remote_id.clone()),
                merged_into: facts.link.as_ref().and_then(|link| link.merged_into.clone()),
            },
        })
    }

    /// The reason of a pending delivery, while a host runs.
    async fn pending(
        &mut self,
        key: &AggregateKey,
        delivery: &TracedDelivery,
        facts: &Facts,
        is_fifo: bool,
    ) -> Result<Reason, StoreError> {
        if let Some(reason) = facts.held_by_target() {
            return Ok(reason);
        }
        if delivery.waits {
            let deliveries = BTreeMap::from([(delivery.change_id, key.clone())]);
            let lacks = self.named_lacks(&delivery.target, &deliveries).await?;
            // One that lacks nothing any more is about to be woken.
            return Ok(lacks.into_values().next().map_or(Reason::Queued, Reason::References));
        }
        let failed_before = |older: &&TracedDelivery| older.status == Status::Failed;
        if let Some(head) = facts.deliveries.iter().rev().find(failed_before).filter(|_| is_fifo) {
            let message = head.error_message.clone().unwrap_or_else(|| "no reason given".to_owned());
            return Ok(Reason::Blocked { by: head.change_id, message });
        }
        Ok(match (delivery.next_attempt_at, &delivery.error_kind) {
            (Some(at), Some(kind)) if at > facts.now => Reason::Retries {
                at,
                attempts: delivery.attempts,
                kind: kind.clone(),
                message: delivery.error_message.clone().unwrap_or_else(|| "no reason given".to_owned()),
            },
            _ => Reason::Queued,
        })
    }

    /// Counts what is claimed before it, and what is routed before it while it is not routed itself. Estimates how long
    /// that takes.
    async fn add_queue(&mut self, explanation: &mut Explanation, facts: &Facts) -> Result<(), StoreError> {
        let Some((due_at, change_id)) = facts.turn() else { return Ok(()) };
        let target = explanation.target.clone();
        let counted = self.number(QueuedBefore { target: &target, due_at, change_id }).await?.unwrap_or_default();
        let queued = counted.min(QUEUE_COUNTED - 1);
        let (unrouted, is_estimate) =
            if facts.is_unrouted() { self.unrouted_before(change_id).await? } else { (0, false) };
        let ahead = queued.saturating_add(unrouted);
        explanation.ahead = u64::try_from(ahead).ok();
        explanation.ahead_is_more = counted > queued;
        explanation.ahead_is_estimate = is_estimate;
        let rate = self.recent_work(&target).await?.rate;
        explanation.estimate_ms = rate.map(|rate| rate.millis_for(ahead.saturating_add(1)));
        Ok(())
    }
}
