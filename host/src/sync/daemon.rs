//! The daemon: starts the tasks, watches over them, and brings them to an end in order.
//!
//! Stopping has two steps. First nothing more is claimed or routed and calls under way may end; then, after the drain
//! limit or at a second request, calls are broken off and their batches released.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::batch_size::BatchSize;
use super::breaker::Breaker;
use super::claimer::Claimer;
use super::handover::Handover;
use super::supervisor::{Gate, Supervisor};
use super::swap::Adapters;
use super::target::{SyncOptions, Target};
use super::worker::Worker;
use super::{purger, rescuer, router};
use crate::domain::change::Failure;
use crate::domain::delivery::{Settlement, Status};
use crate::plugin::Runtime;
use crate::store::{Route, Store, StoreError};

/// What a run did at one target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct TargetTally {
    /// Deliveries confirmed.
    pub delivered: u64,
    /// Attempts that are tried again later.
    pub deferred: u64,
    /// Deliveries left to a person.
    pub failed: u64,
    /// Batches whose lease was lost before they could be settled.
    pub leases_lost: u64,
}

/// What a run did.
#[derive(Clone, Debug, Default)]
pub struct RunSummary {
    /// Per target.
    pub targets: BTreeMap<String, TargetTally>,
}

/// What was still to do when a run until idle ended.
#[derive(Clone, Debug)]
pub struct Remaining {
    /// Changes and deliveries that are not finished.
    pub open: u64,
    /// Targets that are down or paused, and why.
    pub held_up: BTreeMap<String, String>,
}

/// How a run ended.
#[derive(Clone, Debug)]
pub struct RunEnd {
    /// What it did.
    pub summary: RunSummary,
    /// What is left; `None` when it ran until it was stopped.
    pub remaining: Option<Remaining>,
}

/// Counters of one target, shared by its workers.
#[derive(Debug, Default)]
pub(super) struct Tally {
    delivered: AtomicU64,
    deferred: AtomicU64,
    failed: AtomicU64,
    leases_lost: AtomicU64,
}

impl Tally {
    pub(super) fn settled(&self, settlements: &[Settlement]) {
        for settlement in settlements {
            let counter = match settlement.status {
                Status::Done => &self.delivered,
                Status::Failed => &self.failed,
                Status::Pending | Status::Processing | Status::Superseded => &self.deferred,
            };
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// So many deliveries wait for the end of their lease.
    pub(super) fn deferred(&self, deliveries: usize) {
        self.deferred.fetch_add(u64::try_from(deliveries).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    pub(super) fn lease_lost(&self) {
        self.leases_lost.fetch_add(1, Ordering::Relaxed);
    }

    fn read(&self) -> TargetTally {
        TargetTally {
            delivered: self.delivered.load(Ordering::Relaxed),
            deferred: self.deferred.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
            leases_lost: self.leases_lost.load(Ordering::Relaxed),
        }
    }
}

/// A sync daemon that is not running yet.
pub struct Daemon {
    store: Store,
    runtime: Arc<Runtime>,
    targets: Vec<Arc<Target>>,
    options: Arc<SyncOptions>,
    reload: watch::Receiver<u64>,
}

/// What belongs to one target while the daemon runs.
struct Running {
    name: String,
    gate: watch::Receiver<Gate>,
    tally: Arc<Tally>,
}

impl Daemon {
    /// A daemon over these enabled targets. Whenever the number of `reload` changes, every target's adapter file is looked
    /// at again.
    #[must_use]
    pub fn new(
        store: Store,
        runtime: Arc<Runtime>,
        targets: Vec<Arc<Target>>,
        options: SyncOptions,
        reload: watch::Receiver<u64>,
    ) -> Self {
        Self { store, runtime, targets, options: Arc::new(options), reload }
    }

    /// Runs until `stop`, or with `until_idle` until nothing more can be delivered now. `abort` breaks off what is under
    /// way.
    ///
    /// # Errors
    /// When the store cannot be reached at the start. Later absences of the store are waited out.
    pub async fn run(
        self,
        stop: CancellationToken,
        abort: CancellationToken,
        until_idle: bool,
    ) -> Result<RunEnd, StoreError> {
        // A first look, so that a wrong store is said at once and not in a log.
        self.store.now_ms().await?;
        let handover = Arc::new(Handover::new());
        let poll = Duration::from_millis(self.options.poll_ms);
        let mut tasks = JoinSet::new();
        let running: Vec<_> =
            self.targets.iter().map(|target| self.start(target, &handover, &stop, &abort, &mut tasks)).collect();
        // With no target there is nowhere to route to, and what is routed nowhere would be passed over for good.
        if !self.targets.is_empty() {
            tasks.spawn(router::run(self.store.clone(), self.routes(), poll, handover.clone(), stop.clone()));
        }
        let every = Duration::from_millis((self.options.lease_ms / 3).clamp(100, 5_000));
        tasks.spawn(rescuer::run(
            self.store.clone(),
            self.options.host_id.clone(),
            every,
            handover.clone(),
            stop.clone(),
        ));
        let names = self.targets.iter().map(|target| target.spec.name.clone()).collect();
        tasks.spawn(purger::run(self.store.clone(), names, self.options.retention_ms, stop.clone()));
        let remaining = if until_idle {
            let idle = self.wait_until_idle(&running, &stop).await;
            stop.cancel();
            idle
        } else {
            stop.cancelled().await;
            None
        };
        self.drain(&mut tasks, &abort).await;
        for target in &self.targets {
            target.close().await;
        }
        let targets = running.iter().map(|target| (target.name.clone(), target.tally.read())).collect();
        Ok(RunEnd { summary: RunSummary { targets }, remaining })
    }

    fn routes(&self) -> Vec<Route> {
        let route = |target: &Arc<Target>, kind: &String| Route {
            target: target.spec.name.clone(),
            aggregate_type: kind.clone(),
        };
        self.targets
            .iter()
            .flat_map(|target| target.spec.aggregate_types.iter().map(move |kind| route(target, kind)))
            .collect()
    }

    fn start(
        &self,
        target: &Arc<Target>,
        handover: &Arc<Handover>,
        stop: &CancellationToken,
        abort: &CancellationToken,
        tasks: &mut JoinSet<()>,
    ) -> Running {
        let (gate, gate_seen) = watch::channel(Gate::Unknown);
        let (news_sender, news) = mpsc::channel(64);
        let tally = Arc::new(Tally::default());
        let supervisor = Supervisor {
            target: target.clone(),
            runtime: self.runtime.clone(),
            store: self.store.clone(),
            options: self.options.clone(),
            gate,
            news,
            stop: stop.clone(),
            breaker: Breaker::new(self.options.breaker),
            adapters: Adapters::default(),
            handover: handover.clone(),
            reload: self.reload.clone(),
        };
        tasks.spawn(supervisor.run());
        let workers = target.spec.concurrency.max(1);
        let size = Arc::new(BatchSize::new(target.spec.batch_max));
        let (wanted, ready) = mpsc::channel(workers as usize);
        let claimer = Claimer {
            target: target.clone(),
            store: self.store.clone(),
            options: self.options.clone(),
            size: size.clone(),
            gate: gate_seen.clone(),
            handover: handover.clone(),
            taking: Some(handover.take_part()),
            wanted: ready,
            stop: stop.clone(),
        };
        tasks.spawn(claimer.run());
        for _ in 0..workers {
            let worker = Worker {
                target: target.clone(),
                store: self.store.clone(),
                options: self.options.clone(),
                gate: gate_seen.clone(),
                news: news_sender.clone(),
                wanted: wanted.clone(),
                size: size.clone(),
                tally: tally.clone(),
                stop: stop.clone(),
                abort: abort.clone(),
            };
            tasks.spawn(worker.run());
        }
        Running { name: target.spec.name.clone(), gate: gate_seen, tally }
    }

    /// Idle is: everything is routed, and no target that is up has anything due or in work.
    async fn wait_until_idle(&self, running: &[Running], stop: &CancellationToken) -> Option<Remaining> {
        let pause = Duration::from_millis(self.options.poll_ms.clamp(10, 100));
        loop {
            tokio::select! {
                () = stop.cancelled() => return None,
                () = tokio::time::sleep(pause) => {}
            }
            let mut up = Vec::new();
            let mut held_up = BTreeMap::new();
            let mut unknown = false;
            for target in running {
                match &*target.gate.borrow() {
                    Gate::Unknown => unknown = true,
                    Gate::Open(_) => up.push(target.name.as_str()),
                    Gate::Shut(Failure { message, .. }) => drop(held_up.insert(target.name.clone(), message.clone())),
                    Gate::Paused => drop(held_up.insert(target.name.clone(), "paused".to_owned())),
                }
            }
            if unknown {
                continue;
            }
            match self.store.has_due_work(&up).await {
                Ok(false) => {}
                Ok(true) => continue,
                Err(error) => {
                    tracing::warn!(%error, "cannot see whether anything is left to do");
                    continue;
                }
            }
            match self.store.open_work().await {
                Ok(open) => return Some(Remaining { open, held_up }),
                Err(error) => tracing::warn!(%error, "cannot count what is left"),
            }
        }
    }

    async fn drain(&self, tasks: &mut JoinSet<()>, abort: &CancellationToken) {
        let limit = tokio::time::sleep(Duration::from_millis(self.options.drain_ms));
        tokio::pin!(limit);
        loop {
            tokio::select! {
                ended = tasks.join_next() => match ended {
                    None => return,
                    Some(Err(error)) if error.is_panic() => tracing::error!(%error, "a task of the daemon panicked"),
                    Some(_) => {}
                },
                () = &mut limit, if !abort.is_cancelled() => {
                    tracing::warn!("calls under way did not end in time and are broken off");
                    abort.cancel();
                }
            }
        }
    }
}
