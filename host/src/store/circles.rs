//! Merges that would close a circle: A into B while B is merged into A. No record would be left that stands for either.
//!
//! Such a merge is refused before its call. Two of them may be claimed at the same time, by two hosts. So a merge goes
//! out only while nothing that its survivor leads to has a merge in flight elsewhere. Each merge is in flight before it
//! looks. So of several that close a circle the one that looks last sees the one before it in flight or settled, and
//! waits: a circle never reaches the target. Where each sees the other, both wait, and are woken together. One claim
//! takes them then, and the older change goes first.
//!
//! A host that lost its lease may have delivered a merge all the same. So a settlement looks once more, under the lock
//! of all moves (`outdated.rs`). Read next: `resolve.rs`, which reads the links.

use std::collections::BTreeSet;

use super::readable::Refused;
use super::resolve::{Links, Record, Unresolved, of_same_type};
use super::sql::{Json, MergingElsewhere};
use super::{Lease, RowReader, Store, StoreError, StoreTransaction};
use crate::domain::change::{Change, Failure, FailureKind};
use crate::domain::delivery::{Delivery, Event, Settlement, Status, next_status};
use crate::domain::ids::AggregateKey;

/// How long a merge waits that closed a circle with another which was settled meanwhile.
const CIRCLE_PAUSE_MS: u64 = 1_000;

/// The survivors of these merges, and what they were merged into.
fn survivors(deliveries: &[Delivery], links: &Links) -> BTreeSet<AggregateKey> {
    let survivor = |one: &Delivery| one.survivor_id.as_deref().map(|id| of_same_type(&one.change.key, id));
    deliveries.iter().filter_map(survivor).flat_map(|survivor| links.chain(&survivor)).collect()
}

impl Store {
    /// Gives each merge the record that stands for its survivor, after the changes before it.
    pub(super) async fn resolve_survivors(
        &self,
        operation: &str,
        lease: &Lease,
        deliveries: &mut [Delivery],
        known: &Links,
        unresolved: &mut Unresolved,
    ) -> Result<(), StoreError> {
        let target = lease.target.as_str();
        let looked_at = survivors(deliveries, known);
        let elsewhere = self.merging_elsewhere(operation, lease, &looked_at).await?;
        // Read again afterwards: a merge that is no longer in flight was settled before.
        let mut links = self.links_of(operation, target, &looked_at).await?;
        for delivery in deliveries.iter().filter(|delivery| delivery.survivor_id.is_none()) {
            links.undo_merge(&delivery.change.key);
        }
        for delivery in deliveries {
            let Delivery { change, survivor_id: Some(survivor_id), .. } = delivery else { continue };
            let survivor = of_same_type(&change.key, survivor_id);
            let chain = links.chain(&survivor);
            // What was merged on since then was not looked at.
            if chain.iter().any(|key| elsewhere.contains(key) || !looked_at.contains(key)) {
                unresolved.waiting.insert(change.change_id);
                continue;
            }
            if chain.contains(&change.key) {
                // What is on its way may undo one of these merges.
                let others = chain.iter().filter(|key| **key != change.key).collect();
                if self.open_among(operation, target, &others).await?.is_empty() {
                    unresolved.refused.push(circle(change, &chain));
                } else {
                    unresolved.waiting.insert(change.change_id);
                }
                continue;
            }
            match links.record_of(&survivor) {
                Record::Lacking => drop(unresolved.waiting.insert(change.change_id)),
                Record::Deleted if !self.open_among(operation, target, &chain.iter().collect()).await?.is_empty() => {
                    unresolved.waiting.insert(change.change_id);
                }
                Record::Deleted => unresolved.refused.push(deleted(change, &survivor)),
                Record::Of(key, remote_id) => {
                    if let Some(reference) = &mut change.survivor {
                        reference.aggregate_id = key.aggregate_id;
                        reference.remote_id = Some(remote_id);
                    }
                    links.merge(&change.key, survivor_id);
                }
            }
        }
        Ok(())
    }

    /// Which of these aggregates have a merge in flight under another lease.
    async fn merging_elsewhere(
        &self,
        operation: &str,
        lease: &Lease,
        keys: &BTreeSet<AggregateKey>,
    ) -> Result<BTreeSet<AggregateKey>, StoreError> {
        let batch = Json::of(&Vec::from_iter(keys));
        let statement = MergingElsewhere { target: lease.target.as_str(), lease_id: lease.id, batch };
        let rows = self.fetch_alone(operation, statement).await?.rows;
        rows.into_iter().map(|row| RowReader::new(operation, row).aggregate_key()).collect()
    }
}

impl StoreTransaction {
    /// The settlements as they may be written: a confirmed merge that would close a circle with one that was settled
    /// while it was in flight is delivered later instead, and then judged anew. Without merges it runs no statement.
    /// The caller holds the lock of all moves.
    pub(super) async fn without_circles(
        &mut self,
        target: &str,
        settlements: &[Settlement],
    ) -> Result<Option<Vec<Settlement>>, StoreError> {
        if settlements.iter().all(|one| one.merged_into.is_none()) {
            return Ok(None);
        }
        let mut links = Links::default();
        let mut written = settlements.to_vec();
        for settlement in &written {
            if let Some(id) = &settlement.merged_into {
                links.merge(&settlement.key, id);
            }
        }
        let merged: BTreeSet<_> = links.keys().cloned().collect();
        self.read_chains(target, &mut links).await?;
        for settlement in written.iter().filter(|one| one.receipt.is_some() && one.merged_into.is_none()) {
            links.undo_merge(&settlement.key);
        }
        for settlement in written.iter_mut().filter(|one| merged.contains(&one.key)) {
            let chain = links.chain(&settlement.key);
            let closes = chain.last().and_then(|last| links.survivor(last)).is_some();
            if closes {
                links.undo_merge(&settlement.key);
                postpone(settlement);
            }
        }
        Ok(Some(written))
    }
}

/// # Panics
/// Never: a leased delivery may be deferred.
fn postpone(settlement: &mut Settlement) {
    settlement.status = next_status(Status::Processing, Event::Defer).expect("invariant: a leased delivery may wait");
    settlement.pause_ms = CIRCLE_PAUSE_MS;
    let message = "merged in a circle with another merge that was delivered at the same time";
    settlement.failure = Some(Failure::new(FailureKind::Delayed, message));
    (settlement.receipt, settlement.merged_into, settlement.is_moved) = (None, None, false);
}

fn refusal(change: &Change, message: &str) -> Refused {
    let message = format!("outbox row {}: {message}", change.change_id);
    Refused {
        change_id: change.change_id,
        key: change.key.clone(),
        failure: Failure::new(FailureKind::Invalid, message),
    }
}

fn named(key: &AggregateKey) -> String {
    format!("{} {}", key.aggregate_type, key.aggregate_id)
}

fn circle(change: &Change, chain: &[AggregateKey]) -> Refused {
    let way: Vec<_> = chain.iter().take_while(|key| **key != change.key).map(named).collect();
    let (survivor, own) = (way.first().cloned().unwrap_or_default(), named(&change.key));
    let message = format!(
        "{own} cannot be merged into {survivor}: the target has merged {} into {own}; fix: undo that merge by an \
         update of {}, then write this one again",
        way.join(" into "),
        way.last().cloned().unwrap_or_default()
    );
    refusal(change, &message)
}

fn deleted(change: &Change, survivor: &AggregateKey) -> Refused {
    let (own, survivor) = (named(&change.key), named(survivor));
    let message = format!(
        "{own} cannot be merged into {survivor}: that was deleted at the target; fix: merge it into another, or undo \
         the merge by an update of {own}"
    );
    refusal(change, &message)
}
