//! A batch under a lease, and reading what it carries.
//!
//! The batch is read outside of the transaction that claimed it: a change is never altered, nor is a link while its
//! aggregate is in flight. Read next: `claim.rs` and `direct.rs`, the two ways in which a batch begins.

use std::collections::{BTreeSet, HashMap};

use super::readable;
use super::request::ClaimRequest;
use super::resolve::Unresolved;
use super::sql::{ReadBatch, TraceContexts};
use super::{Lease, RowReader, Store, StoreError};
use crate::database::Value;
use crate::domain::delivery::Delivery;
use crate::domain::ids::ChangeId;

/// Deliveries under one lease, at most one of each aggregate.
#[derive(Clone, Debug)]
pub struct Batch {
    pub lease: Lease,
    /// The deliveries, oldest first.
    pub deliveries: Vec<Delivery>,
}

/// The ids of changes under a new lease, whose payloads are not read yet.
#[derive(Clone, Debug)]
pub struct ClaimedIds {
    pub lease: Lease,
    pub(super) change_ids: Vec<ChangeId>,
    /// Attempts spent before, by change; 0 for a change that is not in the map.
    pub(super) attempts: HashMap<ChangeId, u32>,
}

impl ClaimedIds {
    /// A lease without any changes.
    #[cfg(test)]
    pub(crate) fn of(lease: Lease) -> Self {
        Self { lease, change_ids: Vec::new(), attempts: HashMap::new() }
    }
}

impl Store {
    /// Reads the changes under a new lease. A change that cannot be read fails alone (`refuse.rs`); one that refers to
    /// something that the target does not have waits again (`dependencies.rs`).
    ///
    /// Returns `None` after releasing the lease when no change is left, or when the target confirmed a newer state
    /// between the scan and the claim. A host that was paused in between may have been overtaken by another; once the
    /// claim has committed no host can overtake it, so that this is the place to check.
    ///
    /// # Errors
    /// When the store cannot be reached. The lease then expires.
    pub async fn load(&self, claimed: ClaimedIds, request: &ClaimRequest) -> Result<Option<Batch>, StoreError> {
        let operation = format!("read batch for target `{}`", claimed.lease.target);
        let rows = self.changes_of(&operation, &claimed).await?;
        let mut missing: BTreeSet<_> = claimed.change_ids.iter().copied().collect();
        let mut deliveries = Vec::with_capacity(rows.len());
        let mut refused = Vec::new();
        for row in rows {
            match readable::delivery(row, &claimed.attempts) {
                Ok((delivery, delivered_id)) => {
                    let change = &delivery.change;
                    if delivered_id > Some(change.change_id) && !request.is_fifo(&change.key.aggregate_type) {
                        self.release(&claimed.lease).await?;
                        return Ok(None);
                    }
                    missing.remove(&change.change_id);
                    deliveries.push(delivery);
                }
                Err(one) => {
                    missing.remove(&one.change_id);
                    refused.push(one);
                }
            }
        }
        refused.extend(missing.into_iter().map(readable::gone));
        deliveries.sort_by_key(|delivery| delivery.change.change_id);
        let Unresolved { waiting, refused: merges } =
            self.resolve_references(&operation, &claimed.lease, &mut deliveries).await?;
        let left_out: BTreeSet<_> = merges.iter().map(|merge| merge.change_id).chain(waiting.iter().copied()).collect();
        deliveries.retain(|delivery| !left_out.contains(&delivery.change.change_id));
        refused.extend(merges);
        if !refused.is_empty() && !self.refuse(&claimed.lease, &refused).await? {
            return Ok(None);
        }
        if !waiting.is_empty() && !self.wait_again(&claimed.lease, &Vec::from_iter(waiting), request).await? {
            return Ok(None);
        }
        if deliveries.is_empty() {
            self.release(&claimed.lease).await?;
            return Ok(None);
        }
        Ok(Some(Batch { lease: claimed.lease, deliveries }))
    }

    /// The `traceparent` of each of these changes that has one.
    ///
    /// # Errors
    /// When the store cannot be reached.
    pub async fn trace_contexts(&self, change_ids: &[ChangeId]) -> Result<Vec<String>, StoreError> {
        let operation = "read trace contexts";
        let rows = self.fetch_alone(operation, TraceContexts { ids: change_ids }).await?;
        rows.rows.into_iter().map(|row| RowReader::new(operation, row).text()).collect()
    }

    async fn changes_of(&self, operation: &str, claimed: &ClaimedIds) -> Result<Vec<Vec<Value>>, StoreError> {
        let statement = ReadBatch { target: claimed.lease.target.as_str(), ids: &claimed.change_ids };
        Ok(self.fetch_alone(operation, statement).await?.rows)
    }
}
