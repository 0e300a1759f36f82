//! `sync_in_flight`: which aggregate is in flight at which target, under which lease, by which of its changes.
//!
//! Its key allows a target one delivery of an aggregate at a time, over all hosts; the code alone guarantees nothing.
//! The transaction that begins a lease inserts the rows, and the one that ends the lease deletes them. So the table is
//! as small as what is in flight. Of a directly dispatched change the row is the only record: whoever deletes it must
//! insert a row into `sync_delivery`.

use super::sql::{BeginInFlightDirect, EndInFlight, EndInFlightOf, EnqueueDirectInFlight, RequeueInFlight, Statement};
use super::{Lease, StoreError, StoreTransaction, failed};
use crate::database::{DatabaseError, ErrorKind};
use crate::domain::ids::ChangeId;

/// `next_attempt_at` of a failed delivery: only an operator makes it due again.
pub(super) const NEVER: i64 = i64::MAX;
/// `next_attempt_at` of a skipped delivery. It differs, so that an index scan for one kind does not read the other.
pub(super) const NEVER_SKIPPED: i64 = NEVER - 1;
/// `next_attempt_at` of a pending delivery that waits for a dependency (`dependencies.rs`).
pub(super) const WAITING: i64 = NEVER - 2;

impl StoreTransaction {
    /// Enters changes that have no delivery yet as in flight under `lease`.
    ///
    /// # Errors
    /// `Contention` when the aggregate of one is in flight already.
    pub(super) async fn begin_in_flight(&mut self, lease: &Lease, change_ids: &[ChangeId]) -> Result<(), StoreError> {
        let (target, lease_id, ids) = (lease.target.as_str(), lease.id, change_ids);
        self.execute_exactly(ids.len(), BeginInFlightDirect { target, lease_id, ids }).await
    }

    /// Runs a statement that must write exactly `rows` rows.
    ///
    /// # Errors
    /// `Contention` when it writes another number, or violates a key: another host was quicker.
    pub(super) async fn execute_exactly(&mut self, rows: usize, statement: impl Statement) -> Result<(), StoreError> {
        match self.run(statement).await {
            Ok(execution) if usize::try_from(execution.rows_affected) == Ok(rows) => Ok(()),
            Ok(_) => Err(self.lost_race()),
            Err(StoreError::Database { error, .. }) if error.kind == ErrorKind::DuplicateKey => Err(self.lost_race()),
            Err(error) => Err(error),
        }
    }

    /// Deletes the rows of everything in flight under `lease`. Returns their number.
    pub(super) async fn end_in_flight(&mut self, lease: &Lease) -> Result<u64, StoreError> {
        Ok(self.run(EndInFlight { target: lease.target.as_str(), lease_id: lease.id }).await?.rows_affected)
    }

    /// Deletes the rows of these changes; others stay in flight under `lease`. Returns how many were deleted.
    pub(super) async fn end_in_flight_of(&mut self, lease: &Lease, change_ids: &[ChangeId]) -> Result<u64, StoreError> {
        let statement = EndInFlightOf { target: lease.target.as_str(), lease_id: lease.id, ids: change_ids };
        Ok(self.run(statement).await?.rows_affected)
    }

    /// Makes everything in flight under `lease` pending again, each delivery at the position that its age gives it. A
    /// delivery in doubt whose attempts are spent becomes failed (`settle.rs`).
    pub(super) async fn requeue_in_flight(&mut self, lease: &Lease) -> Result<(), StoreError> {
        let (target, lease_id) = (lease.target.as_str(), lease.id);
        self.run(EnqueueDirectInFlight { target, lease_id }).await?;
        self.run(RequeueInFlight { target, lease_id }).await?;
        self.end_in_flight(lease).await.map(drop)
    }

    /// Another host won between this transaction's scan and its compare-and-set; the transaction is run again.
    pub(super) fn lost_race(&self) -> StoreError {
        let error = DatabaseError::new(ErrorKind::Contention, "another host took the same at the same time");
        failed(&self.operation, error)
    }
}
