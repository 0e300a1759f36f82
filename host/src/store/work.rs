//! `sync_work`: which aggregate is in work at which target, under which lease, by which of its changes.
//!
//! Its key is what allows a target one delivery of an aggregate at a time, over all hosts; nothing rests on code alone. A row
//! comes in the transaction that puts its delivery under a lease and goes in the one that ends that lease, so that the
//! table is as small as what is in work. Of a change that came straight from the router it is all that there is: who takes
//! the row away must leave one in `sync_delivery`.

use super::sql::{BeginInFlightDirect, EndInFlight, EndInFlightOf, EnqueueDirectInFlight, RequeueInFlight, Statement};
use super::{Lease, StoreError, StoreTransaction, failed};
use crate::database::{DatabaseError, ErrorKind};

/// Stands in `next_attempt_at` of what failed: only a person makes it due again.
pub(super) const NEVER: i64 = i64::MAX;

impl StoreTransaction {
    /// Enters the aggregates of these changes, which have no delivery's row yet, as in work under `lease`.
    ///
    /// # Errors
    /// `Contention` when another host has just taken one of them, by this change or another.
    pub(super) async fn enter_work(&mut self, lease: &Lease, outbox_ids: &[i64]) -> Result<(), StoreError> {
        let (target, epoch, ids) = (lease.target.as_str(), lease.epoch, outbox_ids);
        self.execute_exactly(ids.len(), BeginInFlightDirect { target, epoch, ids }).await
    }

    /// Runs a statement that must write so many rows.
    ///
    /// # Errors
    /// `Contention` when it writes fewer, or meets a key: another host was quicker.
    pub(super) async fn execute_exactly(&mut self, rows: usize, statement: impl Statement) -> Result<(), StoreError> {
        match self.run(statement).await {
            Ok(execution) if usize::try_from(execution.rows_affected) == Ok(rows) => Ok(()),
            Ok(_) => Err(self.outrun()),
            Err(StoreError::Database { error, .. }) if error.kind == ErrorKind::DuplicateKey => Err(self.outrun()),
            Err(error) => Err(error),
        }
    }

    /// Nothing is in work under `lease` any more. Gives how much was.
    pub(super) async fn leave_work(&mut self, lease: &Lease) -> Result<u64, StoreError> {
        Ok(self.run(EndInFlight { target: &lease.target, epoch: lease.epoch }).await?.rows_affected)
    }

    /// These changes are no longer in work under `lease`, others are. Gives how many were.
    pub(super) async fn leave_work_in_part(&mut self, lease: &Lease, outbox_ids: &[i64]) -> Result<u64, StoreError> {
        let statement = EndInFlightOf { target: &lease.target, epoch: lease.epoch, ids: outbox_ids };
        Ok(self.run(statement).await?.rows_affected)
    }

    /// Makes what is still under `lease` pending, in the place that its age gives it. What was in doubt and had spent its
    /// attempts fails now (`settle.rs`).
    pub(super) async fn free_work(&mut self, lease: &Lease) -> Result<(), StoreError> {
        let (target, epoch) = (lease.target.as_str(), lease.epoch);
        self.run(EnqueueDirectInFlight { target, epoch }).await?;
        self.run(RequeueInFlight { target, epoch }).await?;
        self.leave_work(lease).await.map(drop)
    }

    /// Another host was quicker between our look and our compare-and-set: the transaction is to be run again.
    pub(super) fn outrun(&self) -> StoreError {
        failed(&self.what, DatabaseError::new(ErrorKind::Contention, "another host took the same at the same time"))
    }
}
