//! Routing straight into work: a target that has nothing else to do is given new changes under a lease at once.
//!
//! What is in work so stands in `sync_work` alone. Its row in `sync_delivery` is written once, when it is settled, instead of
//! as pending, as processing and as done; or as pending when its lease is given back or runs out (`work.rs`).
//! Only what is alone of its aggregate goes this way (`newest::alone`, pure); everything else waits in line.
//! It promises nothing that a claim does not: the same lease, the same key of `sync_work`. Read next: `settle.rs`.

use std::collections::HashMap;

use super::batch::{ClaimRequest, UnderLease};
use super::newest::{Fresh, alone};
use super::sql::DirectCandidates;
use super::{Reader, StoreError, StoreTransaction};

impl StoreTransaction {
    /// Puts what it can of these changes under leases, for requests that are all for one target. Each is named by its place.
    pub(super) async fn take_straight(
        &mut self,
        outbox_ids: &[i64],
        requests: &[(usize, &ClaimRequest)],
    ) -> Result<Vec<(usize, UnderLease)>, StoreError> {
        let mut taken = Vec::new();
        let Some((_, first)) = requests.first().filter(|_| !outbox_ids.is_empty()) else { return Ok(taken) };
        let fresh = self.fresh(&first.target, outbox_ids).await?;
        let mut free = alone(&fresh).into_iter();
        for (place, request) in requests {
            let outbox_ids: Vec<_> = free.by_ref().take(request.batch_max as usize).collect();
            if outbox_ids.is_empty() {
                break;
            }
            let lease = self.lease(request, true).await?;
            self.enter_work(&lease, &outbox_ids).await?;
            taken.push((*place, UnderLease { lease, outbox_ids, attempts: HashMap::new() }));
        }
        Ok(taken)
    }

    /// What is known at a target of the aggregates of changes that have no delivery there yet.
    async fn fresh(&mut self, target: &str, outbox_ids: &[i64]) -> Result<Vec<Fresh>, StoreError> {
        let rows = self.fetch(DirectCandidates { target, ids: outbox_ids }).await?;
        let what = self.what.clone();
        let read = rows.rows.into_iter().map(|row| {
            let mut reader = Reader::new(&what, row);
            Ok(Fresh {
                outbox_id: reader.integer()?,
                aggregate_type: reader.text()?,
                aggregate_id: reader.text()?,
                newest_id: reader.optional_integer()?,
                delivered_id: reader.optional_integer()?,
                is_in_work: reader.integer()? > 0,
            })
        });
        read.collect()
    }
}
