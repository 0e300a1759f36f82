//! A batch under a lease, from its claim until its call has ended, or it is released or lost. It owns its keep-alive
//! and its release.
//!
//! While the batch waits for a worker, a task of its own renews the lease. Once a worker has begun it, the worker's own
//! task does ([`LeasedBatch::keep_alive`]): a worker that hangs then lets its lease expire, and another host takes
//! over.
//!
//! Claimer and workers are joined by one bounded channel ([`channel`]). A free slot in it is the demand for a batch.
//! The claimer ends by dropping its sender; the workers go on receiving until then, so that no batch is left behind.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, mpsc};
use tokio_util::task::AbortOnDropHandle;

use crate::domain::delivery::Delivery;
use crate::store::{Batch, Lease, Store};
use crate::telemetry::BatchTrace;

/// Batches that are ready before a worker is: claiming the next one overlaps with delivering.
const READY_MAX: usize = 1;

/// A batch with the means to keep and to release it.
pub(super) struct LeasedBatch {
    pub(super) lease: Lease,
    /// Oldest first.
    pub(super) deliveries: Vec<Delivery>,
    pub(super) trace: BatchTrace,
    store: Store,
    /// Renews the lease until a worker begins.
    waiting: AbortOnDropHandle<()>,
}

/// The workers' end of the channel, which all workers of a target share.
#[derive(Clone)]
pub(super) struct ReadyBatches(Arc<Mutex<mpsc::Receiver<LeasedBatch>>>);

/// Makes both ends.
pub(super) fn channel() -> (mpsc::Sender<LeasedBatch>, ReadyBatches) {
    let (sender, receiver) = mpsc::channel(READY_MAX);
    (sender, ReadyBatches(Arc::new(Mutex::new(receiver))))
}

impl LeasedBatch {
    /// A batch that was just claimed, which took so long.
    pub(super) fn new(store: &Store, Batch { lease, deliveries }: Batch, claim_took: Duration) -> Self {
        let trace = BatchTrace::claimed(lease.target.as_str(), deliveries.len(), claim_took);
        let waiting = {
            let (store, lease) = (store.clone(), lease.clone());
            async move {
                keep_alive(&store, &lease).await;
                let Lease { target, id, .. } = &lease;
                tracing::warn!(target_name = %target, lease_id = id.get(), "the lease was lost before its batch was begun");
            }
        };
        let waiting = AbortOnDropHandle::new(tokio::spawn(waiting));
        Self { lease, deliveries, trace, store: store.clone(), waiting }
    }

    /// Hands the keep-alive over to the caller. `false` when the lease was lost while the batch waited.
    pub(super) fn begin(&self) -> bool {
        let is_held = !self.waiting.is_finished();
        self.waiting.abort();
        is_held
    }

    /// Renews the lease in the caller's task; returns when it was lost.
    pub(super) async fn keep_alive(&self) {
        keep_alive(&self.store, &self.lease).await;
        let Lease { target, id, .. } = &self.lease;
        tracing::warn!(target_name = %target, lease_id = id.get(), "the lease was lost during a call");
    }

    /// Ends the lease; the deliveries are pending again.
    pub(super) async fn release(self) {
        self.waiting.abort();
        release(&self.store, &self.lease).await;
    }
}

impl ReadyBatches {
    /// Waits for a batch; `None` when the claimer has ended and no batch is left. Waiting workers are served in turn.
    pub(super) async fn next(&self) -> Option<LeasedBatch> {
        self.0.lock().await.recv().await
    }

    /// Takes back a batch that no worker waits for. A waiting worker holds the lock, and gets it at once.
    pub(super) fn take_back(&self) -> Option<LeasedBatch> {
        self.0.try_lock().ok()?.try_recv().ok()
    }
}

/// Renews a lease until it is lost.
async fn keep_alive(store: &Store, lease: &Lease) {
    let every = Duration::from_millis((lease.lease_ms / 3).max(1));
    let Lease { target, id, .. } = lease;
    loop {
        tokio::time::sleep(every).await;
        match store.renew(lease).await {
            Ok(true) => {}
            Ok(false) => return,
            // Whether the lease is held is unknown; the fence decides.
            Err(error) => tracing::warn!(target_name = %target, lease_id = id.get(), %error, "cannot renew a lease"),
        }
    }
}

/// Ends a lease before its batch was delivered.
pub(super) async fn release(store: &Store, lease: &Lease) {
    let Lease { target, id, .. } = lease;
    match store.release(lease).await {
        Ok(true) => tracing::info!(target_name = %target, lease_id = id.get(), "batch released"),
        Ok(false) => {
            tracing::info!(target_name = %target, lease_id = id.get(), "batch not released: the lease was lost");
        }
        Err(error) => {
            tracing::warn!(target_name = %target, lease_id = id.get(), %error, "cannot release a batch; its lease will expire");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::database::{Database, Locator};
    use crate::domain::ids::{LeaseId, TargetName};
    use crate::store::StoreClock;

    /// A batch of a store that is never reached: its first renewal is a day away.
    fn batch(id: i64) -> LeasedBatch {
        let locator = Locator::Sqlite("/nonexistent/host.db".into());
        let database = Database::new(locator, 1, Duration::from_secs(1)).expect("prepared");
        let store = Store::new(database, StoreClock::Database);
        let (target, owner) = (TargetName::new("a").expect("a name"), "host".to_owned());
        let lease = Lease { target, id: LeaseId::new(id), owner, lease_ms: 3 * 24 * 3_600_000, is_direct: false };
        LeasedBatch::new(&store, Batch { lease, deliveries: Vec::new() }, Duration::ZERO)
    }

    #[tokio::test]
    async fn the_next_batch_is_claimed_only_when_a_worker_has_taken_the_one_before() {
        let (claimer, ready) = channel();
        claimer.try_reserve().expect("a free slot").send(batch(1));
        assert!(claimer.try_reserve().is_err(), "one batch is ready already");
        assert_eq!(ready.next().await.expect("a batch").lease.id, LeaseId::new(1));
        assert!(claimer.try_reserve().is_ok());
    }

    #[tokio::test]
    async fn a_batch_is_taken_back_unless_a_worker_waits_for_it() {
        let (claimer, ready) = channel();
        claimer.send(batch(1)).await.expect("sent");
        assert!(ready.take_back().is_some());
        assert!(ready.take_back().is_none(), "nothing is left");
        let worker = tokio::spawn({
            let ready = ready.clone();
            async move { ready.next().await }
        });
        tokio::task::yield_now().await;
        claimer.send(batch(2)).await.expect("sent");
        assert!(ready.take_back().is_none(), "it is the waiting worker's");
        assert!(worker.await.expect("no panic").is_some());
    }

    #[tokio::test]
    async fn workers_get_the_remaining_batches_after_the_claimer_has_ended() {
        let (claimer, ready) = channel();
        claimer.send(batch(1)).await.expect("sent");
        drop(claimer);
        assert!(ready.next().await.is_some());
        assert!(ready.next().await.is_none());
    }

    #[tokio::test]
    async fn a_worker_takes_over_the_keep_alive_of_its_batch() {
        let batch = batch(1);
        assert!(batch.begin(), "the lease was not lost");
        tokio::task::yield_now().await;
        assert!(batch.waiting.is_finished(), "nothing else renews the lease");
    }
}
