//! A batch under a lease, and reading what it carries.
//!
//! Reading happens outside of the transaction that took the batch: a change is never altered, nor is a link while its
//! aggregate is in work. Read next: `claim.rs` and `straight.rs`, the two ways by which a batch comes to be.

use std::collections::{BTreeSet, HashMap};

use super::readable;
use super::sql::ReadBatch;
use super::{Lease, Store, StoreError};
use crate::database::Value;
use crate::domain::change::Change;

/// What to take.
#[derive(Clone, Debug)]
pub struct ClaimRequest {
    /// For which target.
    pub target: String,
    /// Who takes it: this host's id.
    pub owner: String,
    /// At most so many deliveries.
    pub batch_max: u32,
    /// How long the lease lasts unless it is renewed, in milliseconds.
    pub lease_ms: u64,
    /// Aggregate types whose every change is delivered, in order.
    pub fifo_types: Vec<String>,
}

impl ClaimRequest {
    pub(super) fn is_fifo(&self, aggregate_type: &str) -> bool {
        self.fifo_types.iter().any(|fifo| fifo == aggregate_type)
    }
}

/// One delivery under a lease.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// What to deliver.
    pub change: Change,
    /// Attempts spent before this one.
    pub attempts: u32,
}

/// Deliveries under one lease, at most one per aggregate.
#[derive(Clone, Debug)]
pub struct Batch {
    /// The lease.
    pub lease: Lease,
    /// The deliveries, oldest first.
    pub deliveries: Vec<Delivery>,
}

/// What was put under a lease and not read yet.
#[derive(Clone, Debug)]
pub struct UnderLease {
    /// The lease.
    pub lease: Lease,
    pub(super) outbox_ids: Vec<i64>,
    /// Attempts spent before, by change; none where it is not named.
    pub(super) attempts: HashMap<i64, u32>,
}

impl UnderLease {
    /// A lease with nothing under it.
    #[cfg(test)]
    pub(crate) fn of(lease: Lease) -> Self {
        Self { lease, outbox_ids: Vec::new(), attempts: HashMap::new() }
    }
}

impl Store {
    /// Reads what is under a lease that was just made. What cannot be read is failed by itself (`refuse.rs`).
    ///
    /// `None`, and the lease is given back, when nothing is left, or a newer state was confirmed between the look and the taking.
    /// A host that stood still there may have been passed by another; from the taking on nobody can, so that this is the place to
    /// see it.
    ///
    /// # Errors
    /// When the store cannot be reached. The lease then runs out by itself.
    pub async fn load(&self, taken: UnderLease, request: &ClaimRequest) -> Result<Option<Batch>, StoreError> {
        let what = format!("read batch for target `{}`", taken.lease.target);
        let rows = self.changes_of(&what, &taken).await?;
        let mut missing: BTreeSet<_> = taken.outbox_ids.iter().copied().collect();
        let mut deliveries = Vec::with_capacity(rows.len());
        let mut refused = Vec::new();
        for row in rows {
            match readable::delivery(row, &taken.attempts) {
                Ok((delivery, delivered_id)) => {
                    let change = &delivery.change;
                    if delivered_id > change.change_id && !request.is_fifo(&change.aggregate_type) {
                        self.release(&taken.lease).await?;
                        return Ok(None);
                    }
                    missing.remove(&change.change_id);
                    deliveries.push(delivery);
                }
                Err(one) => {
                    missing.remove(&one.outbox_id);
                    refused.push(one);
                }
            }
        }
        refused.extend(missing.into_iter().map(readable::gone));
        if !refused.is_empty() && !self.refuse(&taken.lease, &refused).await? {
            return Ok(None);
        }
        if deliveries.is_empty() {
            self.release(&taken.lease).await?;
            return Ok(None);
        }
        deliveries.sort_by_key(|delivery| delivery.change.change_id);
        Ok(Some(Batch { lease: taken.lease, deliveries }))
    }

    async fn changes_of(&self, what: &str, taken: &UnderLease) -> Result<Vec<Vec<Value>>, StoreError> {
        let statement = ReadBatch { target: &taken.lease.target, ids: &taken.outbox_ids };
        Ok(self.fetch_alone(what, statement).await?.rows)
    }
}
