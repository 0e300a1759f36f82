//! The claimer of one target: has the next batch ready before a worker is, so that claiming overlaps with delivering.
//!
//! It claims only while the channel to the workers has a free slot. The batch comes from what is queued. When nothing
//! is queued, the claimer requests one from the router. A batch that no worker has taken when the gate shuts is
//! released. Read next: `leased_batch.rs`, `worker.rs`.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::batch_size::BatchSize;
use super::canary::CANARY_MAX;
use super::demand::{ConsumerGuard, Demand};
use super::gate::Gate;
use super::leased_batch::{LeasedBatch, ReadyBatches};
use super::options::CurrentSettings;
use super::trouble::StoreTrouble;
use crate::domain::ids::TargetName;
use crate::store::{Batch, Claim, ClaimRequest, ClaimedIds, ScanCursor, Store};
use crate::telemetry::{Step, TargetMeters};

/// While batches come directly from the router, the queue is scanned this often all the same: another host may have
/// requeued deliveries, and retries come due.
const QUEUE_SCAN_EVERY: Duration = Duration::from_millis(100);

/// The pause after a claim that failed, at least.
const TROUBLE_PAUSE_MIN: Duration = Duration::from_millis(500);

pub(super) struct Claimer {
    pub(super) target: TargetName,
    pub(super) store: Store,
    /// This host's id.
    pub(super) host: String,
    pub(super) settings: CurrentSettings,
    pub(super) size: Arc<BatchSize>,
    pub(super) gate: watch::Receiver<Gate>,
    pub(super) demand: Arc<Demand>,
    /// Present while the target takes deliveries, or is being checked and may take some soon.
    pub(super) consumer: Option<ConsumerGuard>,
    /// The claimer's end of the channel to the workers.
    pub(super) ready: mpsc::Sender<LeasedBatch>,
    /// The workers' end, to take back a batch that no worker has taken.
    pub(super) taken_by_workers: ReadyBatches,
    pub(super) trouble: StoreTrouble,
    pub(super) meters: Arc<TargetMeters>,
    pub(super) stop: CancellationToken,
}

/// What the claimer knows of its queue.
struct Queue {
    cursor: ScanCursor,
    notified: watch::Receiver<u64>,
    /// When a scan found nothing; `None` when the queue must be scanned.
    empty_since: Option<Instant>,
}

impl Queue {
    fn is_scan_due(&self) -> bool {
        let is_notified = self.notified.has_changed().unwrap_or(true);
        is_notified || self.empty_since.is_none_or(|since| since.elapsed() > QUEUE_SCAN_EVERY)
    }
}

impl Claimer {
    /// Claims until `stop`, and then drops its end of the channel: the workers release what is left in it.
    pub(super) async fn run(mut self) {
        // Without it the batch size is measured again.
        if let Ok(Some(remembered)) = self.store.batch_max(self.target.as_str()).await {
            self.size.begin_with(remembered);
        }
        let mut queue =
            Queue { cursor: ScanCursor::of_claims(), notified: self.demand.subscribe_pending(), empty_since: None };
        while self.pass_gate().await {
            let Some(slot) = self.free_slot().await else { continue };
            let batch = if queue.is_scan_due() { self.claim(&mut queue).await } else { self.request(&mut queue).await };
            let Some((batch, took)) = batch else { continue };
            self.meters.took(Step::Claim, took);
            let batch = LeasedBatch::new(&self.store, batch, took);
            if self.is_open() {
                slot.send(batch);
            } else {
                batch.release().await;
            }
        }
    }

    fn is_open(&self) -> bool {
        !self.stop.is_cancelled() && self.gate.borrow().open().is_some()
    }

    /// Waits until deliveries may flow; `false` when it is time to stop. Registers the target as a consumer meanwhile.
    async fn pass_gate(&mut self) -> bool {
        loop {
            if self.stop.is_cancelled() {
                return false;
            }
            let (takes, is_open) = match *self.gate.borrow_and_update() {
                Gate::Open(_) => (true, true),
                Gate::Unknown => (true, false),
                Gate::Shut(_) | Gate::Paused => (false, false),
            };
            if !takes {
                self.consumer = None;
            } else if self.consumer.is_none() {
                self.consumer = Some(self.demand.register_consumer());
            }
            if is_open {
                return true;
            }
            while let Some(batch) = self.taken_by_workers.take_back() {
                batch.release().await;
            }
            tokio::select! {
                () = self.stop.cancelled() => return false,
                changed = self.gate.changed() => if changed.is_err() { return false },
            }
        }
    }

    /// Waits until the workers have taken the batch before; `None` when the gate has changed meanwhile.
    async fn free_slot(&mut self) -> Option<mpsc::OwnedPermit<LeasedBatch>> {
        tokio::select! {
            biased;
            () = self.stop.cancelled() => None,
            slot = self.ready.clone().reserve_owned() => slot.ok(),
            _ = self.gate.changed() => {
                self.gate.mark_changed();
                None
            }
        }
    }

    /// Claims queued deliveries. Also returns how long that took.
    async fn claim(&mut self, queue: &mut Queue) -> Option<(Batch, Duration)> {
        let task = format!("claim for {}", self.target);
        // Before the scan, so that deliveries queued during the scan cause another one.
        queue.notified.mark_unchanged();
        queue.empty_since = None;
        let started = Instant::now();
        match self.store.claim_from(&self.claim_request(), &mut queue.cursor).await {
            Ok(claim) => {
                self.trouble.end(&task);
                match claim {
                    Claim::Batch(batch) => return Some((batch, started.elapsed())),
                    Claim::OnlySuperseded => {}
                    Claim::Nothing => queue.empty_since = Some(Instant::now()),
                }
            }
            Err(error) => {
                // Logged once for an outage, not at every scan.
                if self.trouble.note(&task, &error) {
                    tracing::error!(target_name = %self.target, %error, "cannot claim; trying again");
                }
                self.pause(self.settings.poll().max(TROUBLE_PAUSE_MIN)).await;
            }
        }
        None
    }

    /// Requests a batch from the router, until something may be queued.
    async fn request(&mut self, queue: &mut Queue) -> Option<(Batch, Duration)> {
        let claim = self.claim_request();
        let mut handle = self.demand.request(claim.clone());
        let mut claimed = tokio::select! {
            claimed = &mut handle.answer => Some(claimed.ok()),
            () = self.stop.cancelled() => None,
            // The gate was shut, or a canary wants a small batch.
            _ = self.gate.changed() => {
                self.gate.mark_changed();
                None
            }
            _ = queue.notified.changed() => {
                queue.notified.mark_changed();
                None
            }
            () = tokio::time::sleep(self.settings.poll()) => None,
        };
        if claimed.is_none() {
            self.demand.cancel(&handle);
            claimed = Some(handle.answer.await.ok());
        }
        let batch = match claimed.flatten() {
            Some(claimed) => self.load(claimed, &claim).await,
            None => None,
        };
        if batch.is_none() {
            queue.empty_since = None;
        }
        batch
    }

    /// Reads the batch that the router put under a lease.
    async fn load(&self, claimed: ClaimedIds, claim: &ClaimRequest) -> Option<(Batch, Duration)> {
        let started = Instant::now();
        let loaded = self.store.load(claimed, claim).await.unwrap_or_else(|error| {
            tracing::warn!(target_name = %claim.target, %error, "cannot read a batch; its lease will expire");
            None
        });
        loaded.map(|batch| (batch, started.elapsed()))
    }

    fn claim_request(&self) -> ClaimRequest {
        let mut for_canary = false;
        if let Some(open) = self.gate.borrow().open() {
            self.size.limit_to(open.target.spec.batch_max);
            for_canary = open.wants_canary_batch();
        }
        let (batch_max, options) = (self.size.get(), self.settings.options());
        ClaimRequest {
            target: self.target.clone(),
            owner: self.host.clone(),
            batch_max: if for_canary { batch_max.min(CANARY_MAX) } else { batch_max },
            lease_ms: options.lease_ms,
            fifo_types: options.fifo_types.clone(),
        }
    }

    async fn pause(&self, pause: Duration) {
        tokio::select! {
            () = self.stop.cancelled() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
}
