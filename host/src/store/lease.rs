//! Leases: a row in `sync_lease` for each batch in work. Whoever cannot find the row any more has lost the batch.
//!
//! Renewing and losing meet on that one row, so that exactly one of them happens: a renewal moves `lease_until` by the
//! database's clock, a takeover deletes the row and frees the deliveries in the same transaction. One row for a batch,
//! instead of one per delivery, makes the fence before a target's commit cost one small statement.

use super::batch::ClaimRequest;
use super::sql::{BeginLease, EndExpiredLease, EndLease, ExpiredLeases, HoldLease, RenewLease};
use super::{Reader, Store, StoreError, StoreTransaction, corrupt};
use crate::database::{Dialect, rerun};

/// A batch in work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// At which target.
    pub target: String,
    /// The fence: every later step says it. Each lease has its own; nothing rests on a later lease having a larger one,
    /// which a cluster that is written to through several nodes does not promise.
    pub epoch: i64,
    /// Whose it is, which every later step says too: a database that forgets how far it had counted (MySQL 5.7 after a
    /// restart) may give an epoch twice, but never to the same host.
    pub owner: String,
    /// How long it lasts from its making or last renewal, in milliseconds.
    pub lease_ms: u64,
    /// Whether its deliveries came straight from the router, so that they have no row in `sync_delivery` until they are
    /// settled or given back.
    pub is_straight: bool,
}

impl Store {
    /// Renews a lease. `false` when it was taken away: the batch is someone else's now.
    ///
    /// # Errors
    /// When the store cannot be reached; whether the lease still stands is then unknown.
    pub async fn renew(&self, lease: &Lease) -> Result<bool, StoreError> {
        self.renew_for(lease, 0).await
    }

    /// As [`Store::renew`], so that it lasts at least `at_least_ms` from now. No renewal makes a lease shorter: what was sent to a
    /// server under it stays covered.
    ///
    /// # Errors
    /// As [`Store::renew`].
    pub async fn renew_for(&self, lease: &Lease, at_least_ms: u64) -> Result<bool, StoreError> {
        rerun("renew", || async {
            let what = format!("renew lease for target `{}`", lease.target);
            let lease_ms = i64::try_from(lease.lease_ms.max(at_least_ms)).unwrap_or(i64::MAX / 2);
            let statement = RenewLease { epoch: lease.epoch, owner: &lease.owner, lease_ms };
            Ok(self.run_alone(&what, statement).await?.rows_affected == 1)
        })
        .await
    }

    /// Gives back what is still under a lease, untouched: no attempt is spent. `false` when it was taken away before.
    ///
    /// # Errors
    /// When the store cannot be reached; the lease then runs out by itself.
    pub async fn release(&self, lease: &Lease) -> Result<bool, StoreError> {
        rerun("release", || async {
            let mut transaction = self.begin(&format!("release lease for target `{}`", lease.target)).await?;
            let released = transaction.end_lease(lease).await?;
            if released {
                transaction.free_work(lease).await?;
            }
            transaction.commit().await?;
            Ok(released)
        })
        .await
    }

    /// Takes away every lease that ran out, so that its deliveries can be claimed again. Any host may do it, at any
    /// time. Gives the leases that this call took.
    ///
    /// # Errors
    /// When the store cannot be reached.
    pub async fn take_expired_leases(&self) -> Result<Vec<Lease>, StoreError> {
        let what = "take expired leases";
        let rows = self.fetch_alone(what, ExpiredLeases {}).await?;
        let mut taken = Vec::new();
        for row in rows.rows {
            let mut reader = Reader::new(what, row);
            let (target, owner) = (reader.text()?, reader.text()?);
            let lease = Lease { target, epoch: reader.integer()?, owner, lease_ms: 0, is_straight: false };
            if rerun(what, || self.take_expired_lease(&lease)).await? {
                taken.push(lease);
            }
        }
        Ok(taken)
    }

    async fn take_expired_lease(&self, lease: &Lease) -> Result<bool, StoreError> {
        let mut transaction = self.begin("take expired lease").await?;
        let statement = EndExpiredLease { epoch: lease.epoch, owner: &lease.owner };
        let taken = transaction.run(statement).await?.rows_affected == 1;
        if taken {
            transaction.free_work(lease).await?;
        }
        transaction.commit().await?;
        Ok(taken)
    }
}

impl StoreTransaction {
    /// Makes a lease, for deliveries that have their rows or (`is_straight`) will get them when they are settled.
    pub(super) async fn lease(&mut self, request: &ClaimRequest, is_straight: bool) -> Result<Lease, StoreError> {
        let lease_ms = i64::try_from(request.lease_ms).unwrap_or(i64::MAX / 2);
        let statement = BeginLease { target: &request.target, owner: &request.owner, lease_ms };
        let epoch = if self.dialect() == Dialect::Postgres {
            self.number(statement).await?
        } else {
            self.run(statement).await?.last_insert_id.and_then(|id| i64::try_from(id).ok())
        };
        let epoch = epoch.ok_or_else(|| corrupt(&self.what, "the new lease has no epoch"))?;
        let (target, owner) = (request.target.clone(), request.owner.clone());
        Ok(Lease { target, epoch, owner, lease_ms: request.lease_ms, is_straight })
    }

    /// Leaves a lease standing as long as it lasts, and keeps it from being taken away until the end of this transaction;
    /// `false` when it is not there.
    pub(super) async fn hold_lease(&mut self, lease: &Lease) -> Result<bool, StoreError> {
        let statement = HoldLease { epoch: lease.epoch, owner: &lease.owner };
        Ok(self.run(statement).await?.rows_affected == 1)
    }

    /// Ends a lease; `false` when it is not there.
    pub(super) async fn end_lease(&mut self, lease: &Lease) -> Result<bool, StoreError> {
        let statement = EndLease { epoch: lease.epoch, owner: &lease.owner };
        Ok(self.run(statement).await?.rows_affected == 1)
    }
}
