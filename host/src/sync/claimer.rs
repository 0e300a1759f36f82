//! The claimer of one target: has the next batch ready before a worker asks for it, so that claiming overlaps with
//! delivering and settling.
//!
//! At most one batch is held, and its lease is kept alive. It comes from what waits in line, or, when nothing does, straight
//! from the router. What is held while the gate shuts or the host stops is given back. Read next: `worker.rs`.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::batch_size::BatchSize;
use super::handover::{Handover, Taking};
use super::supervisor::Gate;
use super::target::{SyncOptions, Target};
use super::trial::TRIAL_MAX;
use super::trouble::StoreTrouble;
use super::worker::release;
use crate::store::{Batch, Claim, ClaimRequest, ClaimedIds, ScanCursor, Store};

/// While batches come straight from the router, what waits in line is looked at so often all the same: another host may have
/// given something back, and what was put off comes due.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// A worker that is ready for a batch.
pub(super) type Wanted = oneshot::Sender<Batch>;

pub(super) struct Claimer {
    pub(super) target: Arc<Target>,
    pub(super) store: Store,
    pub(super) options: Arc<SyncOptions>,
    pub(super) size: Arc<BatchSize>,
    pub(super) gate: watch::Receiver<Gate>,
    pub(super) handover: Arc<Handover>,
    /// While the target takes deliveries, or is looked at and may take some in a moment.
    pub(super) taking: Option<Taking>,
    /// Workers that are ready.
    pub(super) wanted: mpsc::Receiver<Wanted>,
    pub(super) trouble: StoreTrouble,
    pub(super) stop: CancellationToken,
}

impl Claimer {
    pub(super) async fn run(mut self) {
        let mut line = self.handover.line();
        let mut cursor = ScanCursor::of_claims();
        let task = format!("claim for {}", self.target.spec.name);
        // When it was seen last that nothing waits in line.
        let mut idle_since: Option<Instant> = None;
        while self.pass_gate().await {
            let heard = line.has_changed().unwrap_or(true);
            if heard || idle_since.is_none_or(|since| since.elapsed() > LOOK_EVERY) {
                // Before the look, so that nothing that comes in between goes unheard.
                line.mark_unchanged();
                idle_since = None;
                match self.store.claim_from(&self.request(), &mut cursor).await {
                    Ok(claim) => {
                        self.trouble.end(&task);
                        match claim {
                            Claim::Batch(batch) => self.hold(batch).await,
                            Claim::OnlySuperseded => {}
                            Claim::Nothing => idle_since = Some(Instant::now()),
                        }
                    }
                    Err(error) => {
                        // Said once for an outage, not at every look.
                        if self.trouble.note(&task, &error) {
                            tracing::error!(target_name = %self.target.spec.name, %error, "cannot claim; trying again");
                        }
                        self.pause(Duration::from_millis(self.options.poll_ms.max(500))).await;
                    }
                }
            } else {
                match self.ask(&mut line).await {
                    Some(batch) => self.hold(batch).await,
                    None => idle_since = None,
                }
            }
        }
    }

    /// Waits until deliveries may flow; `false` when it is time to stop. Says to the router whether they do.
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
                self.taking = None;
            } else if self.taking.is_none() {
                self.taking = Some(self.handover.take_part());
            }
            if is_open {
                return true;
            }
            tokio::select! {
                () = self.stop.cancelled() => return false,
                changed = self.gate.changed() => if changed.is_err() { return false },
            }
        }
    }

    fn request(&self) -> ClaimRequest {
        let trial = match &*self.gate.borrow() {
            Gate::Open(in_force) => in_force.trial.as_ref().is_some_and(|trial| !trial.is_taken()),
            Gate::Unknown | Gate::Shut(_) | Gate::Paused => false,
        };
        let batch_max = self.size.get();
        ClaimRequest {
            target: self.target.spec.name.clone(),
            owner: self.options.host_id.clone(),
            batch_max: if trial { batch_max.min(TRIAL_MAX) } else { batch_max },
            lease_ms: self.options.lease_ms,
            fifo_types: self.options.fifo_types.clone(),
        }
    }

    /// Asks the router, until something else may be in line.
    async fn ask(&mut self, line: &mut watch::Receiver<u64>) -> Option<Batch> {
        let request = self.request();
        let mut question = self.handover.ask(request.clone());
        tokio::select! {
            given = &mut question.answer => return self.load(given.ok()?, &request).await,
            () = self.stop.cancelled() => {}
            // A shut gate, or an adapter on trial that wants a small batch.
            _ = self.gate.changed() => self.gate.mark_changed(),
            _ = line.changed() => line.mark_changed(),
            () = tokio::time::sleep(Duration::from_millis(self.options.poll_ms)) => {}
        }
        self.handover.withdraw(&question);
        self.load(question.answer.await.ok()?, &request).await
    }

    /// Reads what the router gave.
    async fn load(&self, taken: ClaimedIds, request: &ClaimRequest) -> Option<Batch> {
        self.store.load(taken, request).await.unwrap_or_else(|error| {
            tracing::warn!(target_name = %request.target, %error, "cannot read a batch; its lease will run out");
            None
        })
    }

    /// Keeps a batch until a worker takes it.
    async fn hold(&mut self, mut batch: Batch) {
        let every = Duration::from_millis((self.options.lease_ms / 3).max(1));
        let mut renewed = Instant::now();
        loop {
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return release(&self.store, &batch.lease).await,
                changed = self.gate.changed() => {
                    if changed.is_err() || !matches!(*self.gate.borrow_and_update(), Gate::Open(_)) {
                        return release(&self.store, &batch.lease).await;
                    }
                }
                Some(wanted) = self.wanted.recv() => match wanted.send(batch) {
                    Ok(()) => return,
                    // That worker has gone away.
                    Err(kept) => batch = kept,
                },
                () = tokio::time::sleep_until(renewed + every) => {
                    match self.store.renew(&batch.lease).await {
                        Ok(true) => renewed = Instant::now(),
                        Ok(false) => {
                            tracing::warn!(target_name = %batch.lease.target, lease_id = batch.lease.id.get(), "the lease was lost before its batch was begun");
                            return;
                        }
                        // Whether the lease stands is unknown; the fence will tell.
                        Err(error) => {
                            tracing::warn!(target_name = %batch.lease.target, %error, "cannot renew a lease");
                            renewed = Instant::now();
                        }
                    }
                }
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
