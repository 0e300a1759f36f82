//! Direct dispatch: new changes go under a lease in the transaction that routes them, without being queued.
//!
//! A directly dispatched change exists only in `sync_in_flight` until it is settled, requeued or taken over. Its
//! delivery is then inserted once, instead of as pending, as processing and as done. Only a change that
//! `newest::eligible_for_direct` selects goes this way; every other change is queued. The promises are those of a
//! claim: the same lease, the same key of `sync_in_flight`. Read next: `settle.rs`.

use std::collections::HashMap;

use super::batch::{ClaimRequest, ClaimedIds};
use super::newest::{DirectCandidate, eligible_for_direct};
use super::sql::DirectCandidates;
use super::{RowReader, StoreError, StoreTransaction};
use crate::domain::ids::{AggregateKey, ChangeId};

impl StoreTransaction {
    /// Dispatches eligible changes to requests that are all for one target. Each result names its request by index.
    pub(super) async fn dispatch_direct(
        &mut self,
        change_ids: &[ChangeId],
        requests: &[(usize, &ClaimRequest)],
    ) -> Result<Vec<(usize, ClaimedIds)>, StoreError> {
        let mut claimed = Vec::new();
        let Some((_, first)) = requests.first().filter(|_| !change_ids.is_empty()) else { return Ok(claimed) };
        let candidates = self.direct_candidates(first.target.as_str(), change_ids).await?;
        let mut eligible = eligible_for_direct(&candidates).into_iter();
        for (index, request) in requests {
            let change_ids: Vec<_> = eligible.by_ref().take(request.batch_max as usize).collect();
            if change_ids.is_empty() {
                break;
            }
            let lease = self.begin_lease(request, true).await?;
            self.begin_in_flight(&lease, &change_ids).await?;
            claimed.push((*index, ClaimedIds { lease, change_ids, attempts: HashMap::new() }));
        }
        Ok(claimed)
    }

    async fn direct_candidates(
        &mut self,
        target: &str,
        change_ids: &[ChangeId],
    ) -> Result<Vec<DirectCandidate>, StoreError> {
        let rows = self.fetch(DirectCandidates { target, ids: change_ids }).await?;
        let operation = self.operation.clone();
        let read = rows.rows.into_iter().map(|row| {
            let mut reader = RowReader::new(&operation, row);
            Ok(DirectCandidate {
                change_id: reader.change_id()?,
                key: AggregateKey { aggregate_type: reader.text()?, aggregate_id: reader.text()? },
                newest_id: reader.optional_change_id()?,
                delivered_id: reader.optional_change_id()?,
                is_in_flight: reader.integer()? > 0,
            })
        });
        read.collect()
    }
}
