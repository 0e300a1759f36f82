//! Leases: one row of `sync_lease` for each batch in flight. A host that no longer finds its row has lost the batch.
//!
//! A renewal updates that row and a takeover deletes it, so exactly one of them happens. `lease_until` is by the
//! database's clock. One row for a batch, instead of one for each delivery, makes the fence before a target's commit
//! one small statement.

use super::request::ClaimRequest;
use super::sql::{BeginLease, EndExpiredLease, EndLease, ExpiredLeases, HoldLease, RenewLease};
use super::{RowReader, Store, StoreError, StoreTransaction, corrupt};
use crate::database::{Dialect, rerun};
use crate::domain::ids::{LeaseId, TargetName};

/// A host's right to a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    pub target: TargetName,
    /// The fencing token: every later statement names it.
    pub id: LeaseId,
    /// The host that holds it. Every later statement names it too: a database that was
    /// restored may give an id a second time.
    pub owner: String,
    /// How long it lasts after it began or was renewed.
    pub lease_ms: u64,
    /// Whether its changes were dispatched directly, and so have no row in `sync_delivery` yet.
    pub is_direct: bool,
}

impl Store {
    /// Renews a lease. Returns `false` when another host took the batch over.
    ///
    /// # Errors
    /// When the store cannot be reached. Whether the lease is still held is then unknown.
    pub async fn renew(&self, lease: &Lease) -> Result<bool, StoreError> {
        self.renew_for(lease, 0).await
    }

    /// Renews a lease for at least `at_least_ms` from now. No renewal makes a lease shorter, so that a request that was
    /// sent under it stays covered.
    ///
    /// # Errors
    /// As [`Store::renew`].
    pub async fn renew_for(&self, lease: &Lease, at_least_ms: u64) -> Result<bool, StoreError> {
        rerun("renew", || async {
            let operation = format!("renew lease for target `{}`", lease.target);
            let lease_ms = i64::try_from(lease.lease_ms.max(at_least_ms)).unwrap_or(i64::MAX / 2);
            let statement = RenewLease { lease_id: lease.id, owner: &lease.owner, lease_ms };
            Ok(self.run_alone(&operation, statement).await?.rows_affected == 1)
        })
        .await
    }

    /// Ends a lease and requeues its batch; no attempt is spent. Returns `false` when the lease was lost before.
    ///
    /// # Errors
    /// When the store cannot be reached. The lease then expires.
    pub async fn release(&self, lease: &Lease) -> Result<bool, StoreError> {
        rerun("release", || async {
            let mut transaction = self.begin(&format!("release lease for target `{}`", lease.target)).await?;
            let released = transaction.end_lease(lease).await?;
            if released {
                transaction.requeue_in_flight(lease).await?;
            }
            transaction.commit().await?;
            Ok(released)
        })
        .await
    }

    /// Ends every expired lease and requeues its batch. Any host may do this at any time. Returns the leases that this
    /// call ended.
    ///
    /// # Errors
    /// When the store cannot be reached.
    pub async fn take_expired_leases(&self) -> Result<Vec<Lease>, StoreError> {
        let operation = "take expired leases";
        let rows = self.fetch_alone(operation, ExpiredLeases {}).await?;
        let mut expired = Vec::new();
        for row in rows.rows {
            let mut reader = RowReader::new(operation, row);
            let (target, owner) = (TargetName::stored(reader.text()?), reader.text()?);
            let lease = Lease { target, id: LeaseId::new(reader.integer()?), owner, lease_ms: 0, is_direct: false };
            if rerun(operation, || self.take_expired_lease(&lease)).await? {
                expired.push(lease);
            }
        }
        Ok(expired)
    }

    async fn take_expired_lease(&self, lease: &Lease) -> Result<bool, StoreError> {
        let mut transaction = self.begin("take expired lease").await?;
        let statement = EndExpiredLease { lease_id: lease.id, owner: &lease.owner };
        let is_expired = transaction.run(statement).await?.rows_affected == 1;
        if is_expired {
            transaction.requeue_in_flight(lease).await?;
        }
        transaction.commit().await?;
        Ok(is_expired)
    }
}

impl StoreTransaction {
    pub(super) async fn begin_lease(&mut self, request: &ClaimRequest, is_direct: bool) -> Result<Lease, StoreError> {
        let lease_ms = i64::try_from(request.lease_ms).unwrap_or(i64::MAX / 2);
        let statement = BeginLease { target: request.target.as_str(), owner: &request.owner, lease_ms };
        let id = if self.dialect() == Dialect::Postgres {
            self.number(statement).await?
        } else {
            self.run(statement).await?.last_insert_id.and_then(|id| i64::try_from(id).ok())
        };
        let id = id.map(LeaseId::new).ok_or_else(|| corrupt(&self.operation, "the new lease has no id"))?;
        let (target, owner) = (request.target.clone(), request.owner.clone());
        Ok(Lease { target, id, owner, lease_ms: request.lease_ms, is_direct })
    }

    /// Keeps other hosts from ending a lease until the end of this transaction, without renewing it. Returns `false`
    /// when it was lost before.
    pub(super) async fn hold_lease(&mut self, lease: &Lease) -> Result<bool, StoreError> {
        let statement = HoldLease { lease_id: lease.id, owner: &lease.owner };
        Ok(self.run(statement).await?.rows_affected == 1)
    }

    /// Ends a lease. Returns `false` when it was lost before.
    pub(super) async fn end_lease(&mut self, lease: &Lease) -> Result<bool, StoreError> {
        let statement = EndLease { lease_id: lease.id, owner: &lease.owner };
        Ok(self.run(statement).await?.rows_affected == 1)
    }
}
