//! A worker of one target: takes a batch from the claimer, delivers, settles, again and again. Several work side by side, so
//! that settling the last batch overlaps with delivering this one; the store never gives two of them the same patient.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use super::batch_size::BatchSize;
use super::claimer::Wanted;
use super::delivery::{Delivered, StoreFence, deliver, settlements};
use super::supervisor::{Gate, InForce, News};
use super::tally::Tally;
use super::target::{SyncOptions, Target};
use super::trial::{TRIAL_MAX, Trial, Verdict, failures, verdict};
use super::trouble::StoreTrouble;
use crate::domain::change::{Change, Failure, FailureKind};
use crate::domain::delivery::Settlement;
use crate::domain::ids::LeaseId;
use crate::plugin::RequestFates;
use crate::store::{Batch, Lease, Settled, Store};

/// The adapter may break off so many batches in a row before the target is left alone for a while.
const BROKEN_BATCHES_MAX: u32 = 3;

pub(super) struct Worker {
    pub(super) target: Arc<Target>,
    pub(super) store: Store,
    pub(super) options: Arc<SyncOptions>,
    pub(super) gate: watch::Receiver<Gate>,
    pub(super) news: mpsc::Sender<News>,
    pub(super) wanted: mpsc::Sender<Wanted>,
    pub(super) size: Arc<BatchSize>,
    pub(super) tally: Arc<Tally>,
    pub(super) trouble: StoreTrouble,
    /// No more claims.
    pub(super) stop: CancellationToken,
    /// Calls under way are broken off.
    pub(super) abort: CancellationToken,
}

impl Worker {
    pub(super) async fn run(self) {
        let mut broken_batches = 0;
        while let Some(batch) = self.next_batch().await {
            let in_force = match &*self.gate.borrow() {
                Gate::Open(in_force) => Some(in_force.clone()),
                Gate::Unknown | Gate::Shut(_) | Gate::Paused => None,
            };
            let Some(in_force) = in_force else {
                release(&self.store, &batch.lease).await;
                continue;
            };
            let is_small = batch.deliveries.len() <= TRIAL_MAX as usize;
            let trial = in_force.trial.as_ref().filter(|trial| is_small && trial.take());
            Box::pin(self.work(&in_force, trial, batch, &mut broken_batches)).await;
        }
    }

    /// Asks the claimer for a batch; `None` when it is time to stop.
    async fn next_batch(&self) -> Option<Batch> {
        let (wanted, mut given) = oneshot::channel();
        tokio::select! {
            biased;
            () = self.stop.cancelled() => return None,
            sent = self.wanted.send(wanted) => sent.ok()?,
        }
        tokio::select! {
            batch = &mut given => return batch.ok(),
            () = self.stop.cancelled() => {}
        }
        given.close();
        if let Ok(batch) = given.try_recv() {
            release(&self.store, &batch.lease).await;
        }
        None
    }

    async fn work(&self, in_force: &InForce, trial: Option<&Arc<Trial>>, batch: Batch, broken_batches: &mut u32) {
        let started = tokio::time::Instant::now();
        let fence = StoreFence {
            store: self.store.clone(),
            lease: batch.lease.clone(),
            in_doubt_ms: self.target.in_doubt_ms().unwrap_or_default(),
            fates: RequestFates::default(),
        };
        let changes: Vec<_> = batch.deliveries.iter().map(|delivery| delivery.change.clone()).collect();
        let delivered = tokio::select! {
            delivered = self.bring(in_force, trial, &fence, &changes) => delivered,
            () = self.keep_lease(&fence) => Delivered::LeaseLost,
            () = self.abort.cancelled() => {
                return self.break_off(&fence).await;
            }
        };
        let timed_out = fence.fates.timed_out() > 0;
        if timed_out {
            self.size.unanswered(changes.len());
        }
        let Delivered::Judged { outcomes, in_doubt, target_failure, adapter_broke } = delivered else {
            // A trial that was broken off has shown nothing: another worker tries.
            if let Some(trial) = trial {
                trial.give_back();
            }
            self.tally.lease_lost();
            return;
        };
        if in_doubt.contains(&true) && !timed_out {
            // It may be one patient's request that breaks every connection: in small batches it holds up few others.
            self.size.unanswered(changes.len());
        } else if target_failure.is_none() && !timed_out {
            self.size.learn(changes.len(), started.elapsed());
        }
        let id_column = self.target.spec.id_column;
        let takes_id = |remote_id: &str| id_column.is_none_or(|column| column.takes(remote_id));
        let settled = settlements(&batch.deliveries, outcomes, &self.options.retry, takes_id, rand::random);
        self.settle(&batch, &settled, &in_doubt).await;
        let elapsed_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        tracing::debug!(
            target_name = %self.target.spec.name,
            lease_id = batch.lease.id.get(),
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
        let Delivered::Judged { outcomes: new, target_failure: None, in_doubt, .. } = &tried else {
            trial.give_back();
            return tried;
        };
        // What the server may still be working on is not sent again, by no adapter.
        if in_doubt.contains(&true) {
            trial.give_back();
            return tried;
        }
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
                    tracing::warn!(target_name = %fence.lease.target, lease_id = fence.lease.id.get(), "the lease was lost during a call");
                    return;
                }
                // Whether the lease stands is unknown; the fence before the commit decides.
                Err(error) => tracing::warn!(target_name = %fence.lease.target, %error, "cannot renew a lease"),
            }
        }
    }

    /// The call under way was dropped. A batch with a request that was sent and not answered keeps its lease; any other is given
    /// back.
    async fn break_off(&self, fence: &StoreFence) {
        let lease = &fence.lease;
        if fence.fates.unanswered() == 0 {
            tracing::info!(target_name = %lease.target, lease_id = lease.id.get(), "call broken off");
            return release(&self.store, lease).await;
        }
        tracing::warn!(
            target_name = %lease.target,
            lease_id = lease.id.get(),
            in_doubt_ms = fence.in_doubt_ms,
            "call broken off with a request that was not answered: its batch waits until its lease runs out"
        );
    }

    /// What the target confirmed is written down, also across a short absence of the store; after that the lease runs
    /// out, and the next attempt finds at the target what is there already.
    ///
    /// What is in doubt keeps the lease: nothing of these patients is delivered before the server must be done with them.
    async fn settle(&self, batch: &Batch, settlements: &[Settlement], in_doubt: &[bool]) {
        let of = |wanted: bool| -> Vec<Settlement> {
            let chosen = settlements.iter().zip(in_doubt).filter(|(_, in_doubt)| **in_doubt == wanted);
            chosen.map(|(settlement, _)| settlement.clone()).collect()
        };
        let doubtful = of(true);
        if doubtful.is_empty() {
            return self.settle_all(batch, settlements, &[]).await;
        }
        tracing::warn!(
            target_name = %batch.lease.target,
            lease_id = batch.lease.id.get(),
            deliveries = doubtful.len(),
            in_doubt_ms = self.target.in_doubt_ms().unwrap_or_default(),
            "a request was sent and not answered: its deliveries wait until the server can no longer be working on it"
        );
        self.settle_all(batch, &of(false), &doubtful).await;
    }

    async fn settle_all(&self, batch: &Batch, settlements: &[Settlement], in_doubt: &[Settlement]) {
        let until = tokio::time::Instant::now() + Duration::from_millis(self.options.lease_ms);
        let (name, lease_id) = (&batch.lease.target, batch.lease.id);
        let task = format!("settle at {name}");
        loop {
            let id_column = self.target.spec.id_column;
            let settled = if in_doubt.is_empty() {
                self.store.settle(&batch.lease, settlements, id_column).await
            } else {
                self.store.settle_in_part(&batch.lease, settlements, in_doubt, id_column).await
            };
            let error = match settled {
                Ok(settled) => {
                    if self.trouble.end(&task) {
                        tracing::info!(target_name = %name, "batches are settled again");
                    }
                    return self.count(settled, lease_id, settlements, in_doubt);
                }
                Err(error) => error,
            };
            // Logged once for an outage, by whichever worker meets it first, and not at every try.
            if self.trouble.note(&task, &error) {
                tracing::warn!(target_name = %name, %error, "cannot settle; trying again");
            }
            if !error.is_transient() || tokio::time::Instant::now() >= until {
                tracing::error!(target_name = %name, lease_id = lease_id.get(), %error, "not settled: the batch will be delivered again");
                return;
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }

    fn count(&self, settled: Settled, lease_id: LeaseId, settlements: &[Settlement], in_doubt: &[Settlement]) {
        match settled {
            Settled::Written => {
                self.tally.settled(settlements);
                self.tally.deferred(in_doubt.len());
            }
            Settled::LeaseLost => {
                tracing::warn!(target_name = %self.target.spec.name, lease_id = lease_id.get(), "not settled: the lease was lost");
                self.tally.lease_lost();
            }
        }
    }
}

/// Gives a batch back that is not, or no longer, being delivered.
pub(super) async fn release(store: &Store, lease: &Lease) {
    match store.release(lease).await {
        Ok(_) => tracing::info!(target_name = %lease.target, lease_id = lease.id.get(), "batch given back"),
        Err(error) => {
            tracing::warn!(target_name = %lease.target, %error, "cannot give a batch back; its lease will run out");
        }
    }
}
