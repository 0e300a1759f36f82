//! Direct dispatch: new changes go under a lease in the transaction that routes them, without being queued.
//!
//! A directly dispatched change exists only in `sync_in_flight` until it is settled, requeued or taken over. Its
//! delivery is then inserted once, instead of as pending, as processing and as done. Only a change that
//! `newest::eligible_for_direct` selects goes this way; every other change is queued. The promises are those of a
//! claim: the same lease, the same key of `sync_in_flight`. Read next: `settle.rs`.

use std::collections::HashMap;

use super::batch::ClaimedIds;
use super::newest::{DirectCandidate, eligible_for_direct};
use super::request::{DirectRequest, RequestId};
use super::sql::DirectCandidates;
use super::{RowReader, StoreError, StoreTransaction};
use crate::domain::ids::{AggregateKey, ChangeId};

impl StoreTransaction {
    /// Dispatches eligible changes to requests that are all for one target.
    pub(super) async fn dispatch_direct(
        &mut self,
        change_ids: &[ChangeId],
        requests: &[&DirectRequest],
    ) -> Result<Vec<(RequestId, ClaimedIds)>, StoreError> {
        let mut claimed = Vec::new();
        let Some(first) = requests.first().filter(|_| !change_ids.is_empty()) else { return Ok(claimed) };
        let candidates = self.direct_candidates(first.claim.target.as_str(), change_ids).await?;
        let mut eligible = eligible_for_direct(&candidates).into_iter();
        for DirectRequest { id, claim } in requests {
            let change_ids: Vec<_> = eligible.by_ref().take(claim.batch_max as usize).collect();
            if change_ids.is_empty() {
                break;
            }
            let lease = self.begin_lease(claim, true).await?;
            self.begin_in_flight(&lease, &change_ids).await?;
            claimed.push((*id, ClaimedIds { lease, change_ids, attempts: HashMap::new() }));
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
