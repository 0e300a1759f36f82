//! A worker of one target: claim, deliver, settle, again and again. Several work side by side, so that claiming the next
//! batch overlaps with delivering this one; the store never gives two of them the same patient.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::daemon::Tally;
use super::delivery::{Delivered, StoreFence, deliver, settlements};
use super::supervisor::{Gate, InForce, News};
use super::target::{SyncOptions, Target};
use super::trial::{TRIAL_MAX, Trial, Verdict, failures, verdict};
use crate::domain::change::{Change, Failure, FailureKind};
use crate::domain::delivery::Settlement;
use crate::store::{Batch, Claim, ClaimRequest, Place, Settled, Store};

/// The adapter may break off so many batches in a row before the target is left alone for a while.
const BROKEN_BATCHES_MAX: u32 = 3;

pub(super) struct Worker {
    pub(super) target: Arc<Target>,
    pub(super) store: Store,
    pub(super) options: Arc<SyncOptions>,
    pub(super) gate: watch::Receiver<Gate>,
    pub(super) news: mpsc::Sender<News>,
    pub(super) wake: Arc<Notify>,
    pub(super) tally: Arc<Tally>,
    /// No more claims.
    pub(super) stop: CancellationToken,
    /// Calls under way are broken off.
    pub(super) abort: CancellationToken,
}

impl Worker {
    pub(super) async fn run(mut self) {
        let mut broken_batches = 0;
        let mut store_failing = false;
        let mut place = Place::default();
        while !self.stop.is_cancelled() {
            let Some(in_force) = self.pass_gate().await else { return };
            // Registered before the look, so that nothing routed in between goes unheard.
            let wake = self.wake.clone();
            let woken = wake.notified();
            let trial = in_force.trial.as_ref();
            let is_open = trial.is_some_and(|trial| !trial.is_taken());
            match self.store.claim_on(&self.request(is_open), &mut place).await {
                Ok(Claim::Batch(batch)) => {
                    store_failing = false;
                    let trial = trial.filter(|trial| is_open && trial.take());
                    Box::pin(self.work(&in_force, trial, batch, &mut broken_batches)).await;
                }
                Ok(Claim::OnlyMoot) => store_failing = false,
                Ok(Claim::Nothing) => {
                    store_failing = false;
                    tokio::select! {
                        () = self.stop.cancelled() => return,
                        () = woken => {}
                        () = tokio::time::sleep(Duration::from_millis(self.options.poll_ms)) => {}
                    }
                }
                Err(error) => {
                    if !store_failing {
                        tracing::error!(target_name = %self.target.spec.name, %error, "cannot claim; trying again");
                    }
                    store_failing = true;
                    self.pause(Duration::from_millis(self.options.poll_ms.max(500))).await;
                }
            }
        }
    }

    /// Waits until deliveries may flow; `None` when it is time to stop.
    async fn pass_gate(&mut self) -> Option<Arc<InForce>> {
        loop {
            if let Gate::Open(in_force) = &*self.gate.borrow_and_update() {
                return Some(in_force.clone());
            }
            tokio::select! {
                () = self.stop.cancelled() => return None,
                changed = self.gate.changed() => changed.ok()?,
            }
        }
    }

    fn request(&self, is_trial: bool) -> ClaimRequest {
        let batch_max = self.target.spec.batch_max;
        ClaimRequest {
            target: self.target.spec.name.clone(),
            owner: self.options.host_id.clone(),
            batch_max: if is_trial { batch_max.min(TRIAL_MAX) } else { batch_max },
            lease_ms: self.options.lease_ms,
            fifo_types: self.options.fifo_types.clone(),
        }
    }

    async fn work(&self, in_force: &InForce, trial: Option<&Arc<Trial>>, batch: Batch, broken_batches: &mut u32) {
        let started = tokio::time::Instant::now();
        let fence = StoreFence { store: self.store.clone(), lease: batch.lease.clone() };
        let changes: Vec<_> = batch.deliveries.iter().map(|delivery| delivery.change.clone()).collect();
        let delivered = tokio::select! {
            delivered = self.bring(in_force, trial, &fence, &changes) => delivered,
            () = self.keep_lease(&fence) => Delivered::LeaseLost,
            () = self.abort.cancelled() => return self.release(&batch).await,
        };
        let Delivered::Judged { outcomes, target_failure, adapter_broke } = delivered else {
            // A trial that was broken off has shown nothing: another worker tries.
            if let Some(trial) = trial {
                trial.give_back();
            }
            self.tally.lease_lost();
            return;
        };
        let id_column = self.target.spec.id_column;
        let takes_id = |remote_id: &str| id_column.is_none_or(|column| column.takes(remote_id));
        let settled = settlements(&batch.deliveries, outcomes, &self.options.retry, takes_id, rand::random);
        self.settle(&batch, &settled).await;
        let elapsed_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        tracing::debug!(
            target_name = %self.target.spec.name,
            lease_epoch = batch.lease.epoch,
            deliveries = settled.len(),
            elapsed_ms,
            "batch settled"
        );
        let confirmed = settled.iter().any(|settlement| settlement.receipt.is_some());
        *broken_batches = if adapter_broke && !confirmed { *broken_batches + 1 } else { 0 };
        let failure = target_failure.or_else(|| {
            (*broken_batches >= BROKEN_BATCHES_MAX).then(|| {
                *broken_batches = 0;
                let why = settled.iter().find_map(|settlement| settlement.failure.as_ref());
                let why = why.map_or("no reason given", |failure| failure.message.as_str());
                Failure::new(FailureKind::Adapter, format!("{BROKEN_BATCHES_MAX} batches in a row broke off: {why}"))
            })
        });
        match failure {
            Some(failure) => self.tell(News::Failed(failure)).await,
            None if confirmed => self.tell(News::Delivered).await,
            None => {}
        }
    }

    /// Delivers, on trial with the new adapter first. What that one fails the old one is given too, and what the old one
    /// says counts.
    async fn bring(
        &self,
        in_force: &InForce,
        trial: Option<&Arc<Trial>>,
        fence: &StoreFence,
        changes: &[Change],
    ) -> Delivered {
        let Some(trial) = trial else { return deliver(&self.target, in_force, fence, changes).await };
        let tried = deliver(&self.target, &trial.candidate, fence, changes).await;
        let Delivered::Judged { outcomes: new, target_failure: None, .. } = &tried else {
            trial.give_back();
            return tried;
        };
        if failures(new) == 0 {
            self.tell(News::Tried(Verdict::Passed)).await;
            return tried;
        }
        let measured = deliver(&self.target, in_force, fence, changes).await;
        match &measured {
            Delivered::Judged { outcomes: old, target_failure: None, .. } => {
                self.tell(News::Tried(verdict(new, old))).await;
            }
            Delivered::Judged { .. } | Delivered::LeaseLost => trial.give_back(),
        }
        measured
    }

    /// The supervisor has a bounded channel; when it is full it has news enough, but a failure must arrive.
    async fn tell(&self, news: News) {
        match news {
            News::Delivered => drop(self.news.try_send(news)),
            News::Tried(_) => drop(self.news.send(news).await),
            News::Failed(_) => {
                drop(self.news.send(news).await);
                // Whoever failed lets the supervisor shut the gate before looking through it again.
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }

    /// Renews the lease while a call takes long; returns when it was lost.
    async fn keep_lease(&self, fence: &StoreFence) {
        let every = Duration::from_millis((self.options.lease_ms / 3).max(1));
        loop {
            tokio::time::sleep(every).await;
            match self.store.renew(&fence.lease).await {
                Ok(true) => {}
                Ok(false) => {
                    tracing::warn!(target_name = %fence.lease.target, lease_epoch = fence.lease.epoch, "the lease was lost during a call");
                    return;
                }
                // Whether the lease stands is unknown; the fence before the commit decides.
                Err(error) => tracing::warn!(target_name = %fence.lease.target, %error, "cannot renew a lease"),
            }
        }
    }

    /// What the target confirmed is written down, also across a short absence of the store; after that the lease runs
    /// out, and the next attempt finds at the target what is there already.
    async fn settle(&self, batch: &Batch, settlements: &[Settlement]) {
        let until = tokio::time::Instant::now() + Duration::from_millis(self.options.lease_ms);
        loop {
            match self.store.settle(&batch.lease, settlements, self.target.spec.id_column).await {
                Ok(Settled::Written) => return self.tally.settled(settlements),
                Ok(Settled::LeaseLost) => {
                    tracing::warn!(target_name = %batch.lease.target, lease_epoch = batch.lease.epoch, "not settled: the lease was lost");
                    return self.tally.lease_lost();
                }
                Err(error) if error.is_transient() && tokio::time::Instant::now() < until => {
                    tracing::warn!(target_name = %batch.lease.target, %error, "cannot settle; trying again");
                    tokio::time::sleep(Duration::from_millis(500)).await;
                }
                Err(error) => {
                    tracing::error!(target_name = %batch.lease.target, lease_epoch = batch.lease.epoch, %error, "not settled: the batch will be delivered again");
                    return;
                }
            }
        }
    }

    async fn release(&self, batch: &Batch) {
        match self.store.release(&batch.lease).await {
            Ok(_) => {
                tracing::info!(target_name = %batch.lease.target, deliveries = batch.deliveries.len(), "call broken off, batch released");
            }
            Err(error) => {
                tracing::warn!(target_name = %batch.lease.target, %error, "cannot release a batch; its lease will run out");
            }
        }
    }

    async fn pause(&self, pause: Duration) {
        tokio::select! {
            () = self.stop.cancelled() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
}
