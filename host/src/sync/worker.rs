//! A worker of one target. In a loop it takes a ready batch, delivers it and settles it.
//!
//! Several work at the same time, so that settling one batch overlaps with delivering the next. The store never gives
//! two of them the same aggregate. Read next: `host/src/target/deliver.rs` for the delivery, `settlement.rs` for its
//! results.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::batch_size::BatchSize;
use super::canary::{CANARY_MAX, Canary, CanaryResult, compare, failures};
use super::demand::Demand;
use super::denials::Denials;
use super::events::EventSender;
use super::fence::StoreFence;
use super::gate::{Gate, OpenGate};
use super::journal::{self, Ended};
use super::leased_batch::{LeasedBatch, ReadyBatches};
use super::options::CurrentSettings;
use super::settlement::settlements;
use super::tally::Tally;
use super::trouble::StoreTrouble;
use crate::domain::attempt::Attempt;
use crate::domain::change::{Change, Failure, FailureKind};
use crate::domain::delivery::{Delivery, Settlement};
use crate::domain::ids::TargetName;
use crate::plugin::AttemptRecorder;
use crate::store::{BatchResults, Settled, Store};
use crate::target::{CheckedAdapter, Delivered, FenceLost, Finish, Target, TargetSession};
use crate::telemetry::Step;

/// After this number of crashed batches in a row the breaker of the target opens.
const CRASHED_BATCHES_MAX: u32 = 3;

/// The pause between two tries to settle.
const SETTLE_AGAIN_AFTER: Duration = Duration::from_millis(500);

pub(super) struct Worker {
    pub(super) name: TargetName,
    pub(super) store: Store,
    pub(super) settings: CurrentSettings,
    pub(super) demand: Arc<Demand>,
    pub(super) gate: watch::Receiver<Gate>,
    pub(super) events: EventSender,
    pub(super) ready: ReadyBatches,
    pub(super) size: Arc<BatchSize>,
    pub(super) tally: Arc<Tally>,
    pub(super) denials: Arc<Denials>,
    pub(super) trouble: StoreTrouble,
    /// Ready batches are released and not delivered.
    pub(super) stop: CancellationToken,
    /// Calls under way are aborted.
    pub(super) abort: CancellationToken,
    pub(super) crashed_batches: u32,
}

impl Worker {
    /// Works until the claimer has ended and no batch is left.
    pub(super) async fn run(mut self) {
        while let Some(batch) = self.ready.next().await {
            let open = if self.stop.is_cancelled() { None } else { self.gate.borrow().open().cloned() };
            let Some(open) = open else {
                batch.release().await;
                continue;
            };
            if batch.begin() {
                Box::pin(self.work(&open, batch)).await;
            } else {
                self.tally.lease_lost();
            }
        }
    }

    /// Delivers and settles one batch, from its begin to its end under the same settings.
    async fn work(&mut self, open: &OpenGate, batch: LeasedBatch) {
        let started = Instant::now();
        let (target, options) = (&open.target, self.settings.options());
        let is_small = batch.deliveries.len() <= CANARY_MAX as usize;
        let canary = open.canary.as_ref().filter(|canary| is_small && canary.take());
        let recorder = options.journal.then(AttemptRecorder::default);
        let fence = Arc::new(self.fence(target, &batch));
        let session = target.session(Finish::Commit(fence)).with_recorder(recorder.clone());
        let changes: Vec<_> = batch.deliveries.iter().map(|delivery| delivery.change.clone()).collect();
        let delivering = async {
            if batch.trace.is_recorded() {
                self.link_trace(&batch, &changes).await;
            }
            let delivering = Box::pin(self.deliver_with_canary(&session, open, canary, &changes));
            batch.trace.step(Step::Adapter, delivering).await
        };
        let delivered = tokio::select! {
            delivered = delivering => delivered,
            () = batch.keep_alive() => Err(FenceLost),
            () = self.abort.cancelled() => {
                return abort_call(target, &session, batch).await;
            }
        };
        self.tally.meters.took(Step::Adapter, started.elapsed());
        let timed_out = session.fates().timed_out() > 0;
        let remembered = self.size.to_remember();
        if timed_out {
            self.size.unanswered(changes.len());
        }
        let Ok(Delivered { mut outcomes, in_doubt, target_failure, crash, most }) = delivered else {
            // An aborted canary has no result: another worker delivers its batch.
            if let Some(canary) = canary {
                canary.put_back();
            }
            self.remember_size(remembered).await;
            self.tally.lease_lost();
            let attempt = journal::without_results(recorder.as_ref(), started.elapsed(), &batch);
            return journal::record_lost(&self.store, &batch.lease, attempt.as_ref()).await;
        };
        self.tally.meters.called(changes.len(), most.memory_bytes, most.cpu_ms);
        if in_doubt.contains(&true) && !timed_out {
            // One patient's request may break every connection. In small batches it delays few others.
            self.size.unanswered(changes.len());
        } else if target_failure.is_none() && !timed_out {
            self.size.observe(changes.len(), started.elapsed());
        }
        let target_failure = target_failure.or_else(|| self.denials.judge(&mut outcomes));
        let id_column = target.spec.id_column;
        let takes_id = |remote_id: &str| id_column.is_none_or(|column| column.takes(remote_id));
        let settled = settlements(&batch.deliveries, outcomes, &options.retry, takes_id, rand::random);
        let ended = Ended {
            settlements: &settled,
            in_doubt: &in_doubt,
            target_failure: target_failure.as_ref(),
            crash: crash.as_ref(),
        };
        let attempt = journal::attempt(recorder.as_ref(), started.elapsed(), &ended);
        batch.trace.settled(&settled);
        let settling = Box::pin(self.settle(target, &batch, &settled, &in_doubt, attempt.as_ref()));
        batch.trace.step(Step::Settle, settling).await;
        self.remember_size(remembered).await;
        self.remember_learned(&open.active).await;
        tracing::debug!(
            target_name = %self.name,
            lease_id = batch.lease.id.get(),
            deliveries = settled.len(),
            elapsed_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
            "batch settled"
        );
        let confirmed = settled.iter().any(|settlement| settlement.receipt.is_some());
        let too_many_crashes = self.count_crash(crash.is_some() && !confirmed, &settled);
        match target_failure.or(too_many_crashes) {
            Some(failure) => self.events.failed(failure).await,
            None if confirmed => self.events.delivered(),
            None => {}
        }
    }

    /// Links the traces in which the application wrote these changes.
    async fn link_trace(&self, batch: &LeasedBatch, changes: &[Change]) {
        let change_ids: Vec<_> = changes.iter().map(|change| change.change_id).collect();
        match self.store.trace_contexts(&change_ids).await {
            Ok(written) => batch.trace.link(&written),
            Err(error) => {
                tracing::debug!(target_name = %batch.lease.target, %error, "cannot link the traces of a batch");
            }
        }
    }

    /// Writes the batch size into the store where it is no longer what it was before this batch.
    async fn remember_size(&self, before: Option<u32>) {
        let now = self.size.to_remember();
        if now == before {
            return;
        }
        if let Err(error) = self.store.remember_batch_max(self.name.as_str(), now).await {
            tracing::debug!(target_name = %self.name, %error, "the batch size was not remembered");
        }
    }

    /// Writes what the active adapter learned into the store, when it is new. What a canary learned is written once it
    /// is active.
    async fn remember_learned(&self, active: &CheckedAdapter) {
        let Some(learned) = active.take_new() else { return };
        if let Err(error) = self.store.remember_learned(self.name.as_str(), active.basis(), &learned).await {
            tracing::debug!(target_name = %self.name, %error, "what was learned was not kept");
        }
    }

    fn fence(&self, target: &Target, batch: &LeasedBatch) -> StoreFence {
        StoreFence {
            store: self.store.clone(),
            lease: batch.lease.clone(),
            in_doubt_ms: target.in_doubt_ms().unwrap_or_default(),
            meters: self.tally.meters.clone(),
        }
    }

    /// Counts batches in a row that the adapter crashed. Returns the failure that too many of them are.
    fn count_crash(&mut self, crashed: bool, settled: &[Settlement]) -> Option<Failure> {
        self.crashed_batches = if crashed { self.crashed_batches + 1 } else { 0 };
        if self.crashed_batches < CRASHED_BATCHES_MAX {
            return None;
        }
        self.crashed_batches = 0;
        let why = settled.iter().find_map(|settlement| settlement.failure.as_ref());
        let why = why.map_or("no reason given", |failure| failure.message.as_str());
        Some(Failure::new(
            FailureKind::Adapter,
            format!("{CRASHED_BATCHES_MAX} batches in a row crashed the adapter: {why}"),
        ))
    }

    /// Delivers, through the canary first if this worker has taken it and it writes what the active adapter writes.
    /// When the canary fails a delivery, the active adapter gets the batch too, and its outcomes count.
    async fn deliver_with_canary(
        &self,
        session: &TargetSession<'_>,
        open: &OpenGate,
        canary: Option<&Arc<Canary>>,
        changes: &[Change],
    ) -> Result<Delivered, FenceLost> {
        let Some(canary) = canary else { return session.deliver(&open.active, changes).await };
        if let Some(delivered) = self.compare_first(session, open, canary, changes).await {
            return delivered;
        }
        let tried = session.deliver(&canary.candidate, changes).await;
        let new = match &tried {
            // Changes that the server may still be working on are not sent again, by either adapter.
            Ok(tried) if tried.target_failure.is_none() && !tried.in_doubt.contains(&true) => &tried.outcomes,
            Ok(_) | Err(FenceLost) => {
                canary.put_back();
                return tried;
            }
        };
        if failures(new) == 0 {
            self.events.canary_tried(canary, CanaryResult::Passed).await;
            return tried;
        }
        let measured = session.deliver(&open.active, changes).await;
        match &measured {
            Ok(Delivered { outcomes: old, target_failure: None, .. }) => {
                self.events.canary_tried(canary, compare(new, old)).await;
            }
            Ok(_) | Err(FenceLost) => canary.put_back(),
        }
        measured
    }

    /// Settles a batch. Changes in doubt keep the lease: no other state of these aggregates is delivered until the
    /// server must have finished.
    async fn settle(
        &self,
        target: &Target,
        batch: &LeasedBatch,
        settlements: &[Settlement],
        in_doubt: &[bool],
        attempt: Option<&Attempt>,
    ) {
        let id_column = target.spec.id_column;
        let of = |wanted: bool| -> Vec<Settlement> {
            let chosen = settlements.iter().zip(in_doubt).filter(|(_, in_doubt)| **in_doubt == wanted);
            chosen.map(|(settlement, _)| settlement.clone()).collect()
        };
        let doubtful = of(true);
        if doubtful.is_empty() {
            let results = BatchResults { settlements, in_doubt: &[], id_column, attempt };
            return self.settle_all(batch, &results).await;
        }
        tracing::warn!(
            target_name = %batch.lease.target,
            lease_id = batch.lease.id.get(),
            deliveries = doubtful.len(),
            in_doubt_ms = target.in_doubt_ms().unwrap_or_default(),
            "a request was sent and not answered: its deliveries wait until the server can no longer be working on it"
        );
        let results = BatchResults { settlements: &of(false), in_doubt: &doubtful, id_column, attempt };
        self.settle_all(batch, &results).await;
    }

    /// Retries during a short outage of the store. After that the lease expires, and the next attempt finds the records
    /// that are already at the target.
    async fn settle_all(&self, batch: &LeasedBatch, results: &BatchResults<'_>) {
        let until = Instant::now() + Duration::from_millis(batch.lease.lease_ms);
        let (target_name, lease_id) = (&batch.lease.target, batch.lease.id.get());
        let task = format!("settle at {target_name}");
        loop {
            let started = Instant::now();
            let error = match self.store.settle_batch(&batch.lease, results).await {
                Ok(Settled::Written) => {
                    self.tally.meters.took(Step::Settle, started.elapsed());
                    if self.trouble.end(&task) {
                        tracing::info!(%target_name, "batches are settled again");
                    }
                    self.tally.settled(results.settlements);
                    self.tally.deferred(results.in_doubt.len());
                    return self.after_settling(batch, results.settlements).await;
                }
                Ok(Settled::LeaseLost) => {
                    self.trouble.end(&task);
                    tracing::warn!(%target_name, lease_id, "not settled: the lease was lost");
                    self.tally.lease_lost();
                    return journal::record_lost(&self.store, &batch.lease, results.attempt).await;
                }
                Err(error) => error,
            };
            // Logged once for an outage, by the worker that meets it first, and not at every try.
            if self.trouble.note(&task, &error) {
                tracing::warn!(%target_name, %error, "cannot settle; trying again");
            }
            if !error.is_transient() || Instant::now() >= until {
                tracing::error!(%target_name, lease_id, %error, "not settled: the batch will be delivered again");
                return;
            }
            tokio::time::sleep(SETTLE_AGAIN_AFTER).await;
        }
    }

    /// Makes deliveries due that waited for the links of this batch, and sends again what refers to records that are
    /// others now.
    async fn after_settling(&self, batch: &LeasedBatch, settlements: &[Settlement]) {
        let confirmed: HashSet<_> =
            settlements.iter().filter(|one| one.receipt.is_some()).map(|one| one.change_id).collect();
        let settled: Vec<_> =
            batch.deliveries.iter().filter(|delivery| confirmed.contains(&delivery.change.change_id)).collect();
        // A merge that would have closed a circle waits for another merge, or for the undoing of one.
        let is_new = |delivery: &&&Delivery| {
            delivery.change.link.is_none() || delivery.was_merged || delivery.survivor_id.is_some()
        };
        let linked: Vec<_> = settled.iter().filter(is_new).map(|delivery| delivery.change.key.clone()).collect();
        let target_name = &batch.lease.target;
        match self.store.wake_dependents(target_name.as_str(), &linked).await {
            Ok(0) => {}
            Ok(_) => self.demand.notify_pending(),
            // The rescuer finds them.
            Err(error) => tracing::debug!(%target_name, %error, "cannot wake what waits for this batch"),
        }
        let changes: Vec<_> = settled.iter().map(|delivery| &delivery.change).collect();
        match self.store.resend_after_settling(target_name, settlements, &changes).await {
            Ok(0) => {}
            Ok(_) => self.demand.notify_pending(),
            Err(error) => tracing::warn!(%target_name, %error, "cannot look for dependents to send again"),
        }
    }
}

/// The call under way was dropped. A batch with a request that was sent and not answered keeps its lease; any other
/// is released.
async fn abort_call(target: &Target, session: &TargetSession<'_>, batch: LeasedBatch) {
    let (target_name, lease_id) = (&batch.lease.target, batch.lease.id.get());
    if session.fates().unanswered() == 0 {
        tracing::info!(%target_name, lease_id, "call aborted");
        return batch.release().await;
    }
    tracing::warn!(
        %target_name,
        lease_id,
        in_doubt_ms = target.in_doubt_ms().unwrap_or_default(),
        "call aborted with a request that was not answered: its batch waits until its lease expires"
    );
}
