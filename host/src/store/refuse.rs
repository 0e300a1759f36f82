//! Writes the failed deliveries of changes that the host itself refuses, because their outbox row is unreadable or
//! deleted.
//!
//! Such a delivery has spent no attempt. So `host retry` skips it: a row is never changed, and would be refused again.
//! A refusal must never fail a change that can be delivered.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;

use super::readable::Refused;
use super::sql::{FailRefused, InsertRefused, Json};
use super::{Lease, Store, StoreError, StoreTransaction};
use crate::database::rerun;
use crate::domain::ids::{AggregateKey, ChangeId, TargetName};

#[derive(Serialize)]
struct Row<'a> {
    target: &'a TargetName,
    outbox_id: ChangeId,
    #[serde(flatten)]
    key: &'a AggregateKey,
    error_kind: &'static str,
    error_message: &'a str,
}

impl<'a> Row<'a> {
    fn new(target: &'a TargetName, refused: &'a Refused) -> Self {
        Self {
            target,
            outbox_id: refused.change_id,
            key: &refused.key,
            error_kind: refused.failure.kind.as_str(),
            error_message: &refused.failure.message,
        }
    }
}

/// The number of changes that this process has refused for each target, for the summary of its run.
#[derive(Clone, Debug, Default)]
pub(super) struct RefusedHere(Arc<Mutex<BTreeMap<TargetName, u64>>>);

impl RefusedHere {
    pub(super) fn add(&self, target: &TargetName, changes: u64) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(target.clone()).or_default() += changes;
    }
}

impl Store {
    /// The number of unreadable changes that this process has refused for a target.
    #[must_use]
    pub fn refused_here(&self, target: &str) -> u64 {
        self.refused.0.lock().unwrap_or_else(PoisonError::into_inner).get(target).copied().unwrap_or_default()
    }

    /// Fails the unreadable changes of a batch; the others stay under its lease. Returns `false` when the lease was
    /// lost before.
    pub(super) async fn refuse(&self, lease: &Lease, refused: &[Refused]) -> Result<bool, StoreError> {
        for one in refused {
            let (change_id, reason) = (one.change_id.get(), &one.failure.message);
            tracing::warn!(target_name = %lease.target, change_id, %reason, "change refused");
        }
        let ids: Vec<_> = refused.iter().map(|one| one.change_id).collect();
        let is_done = rerun("refuse changes", || async {
            let mut transaction = self.begin(&format!("refuse changes of target `{}`", lease.target)).await?;
            if !transaction.hold_lease(lease).await? {
                transaction.rollback().await?;
                return Ok(false);
            }
            transaction.end_in_flight_of(lease, &ids).await?;
            if lease.is_direct {
                let rows: Vec<_> = refused.iter().map(|one| (&lease.target, one)).collect();
                transaction.insert_refused(&rows).await?;
            } else {
                transaction.fail_refused(lease, refused).await?;
            }
            transaction.commit().await?;
            Ok(true)
        })
        .await?;
        if is_done {
            self.refused.add(&lease.target, refused.len() as u64);
        }
        Ok(is_done)
    }
}

impl StoreTransaction {
    /// Inserts a failed delivery of each change at its target, unless there is one. Returns their number.
    pub(super) async fn insert_refused(&mut self, refused: &[(&TargetName, &Refused)]) -> Result<u64, StoreError> {
        let rows: Vec<_> = refused.iter().map(|(target, one)| Row::new(target, one)).collect();
        Ok(self.run(InsertRefused { batch: Json::of(&rows) }).await?.rows_affected)
    }

    async fn fail_refused(&mut self, lease: &Lease, refused: &[Refused]) -> Result<(), StoreError> {
        let rows: Vec<_> = refused.iter().map(|one| Row::new(&lease.target, one)).collect();
        let statement = FailRefused { target: lease.target.as_str(), lease_id: lease.id, batch: Json::of(&rows) };
        self.run(statement).await.map(drop)
    }
}
