//! The daemon: starts the tasks, supervises them, and stops them in order.
//!
//! A task that ends without a stop ends the daemon: otherwise a host that does only part of its work would seem alive
//! and delay its deliveries. Stopping has two steps. First nothing more is claimed or routed, and calls under way may
//! end. Then, after the drain limit or at a second request, calls are aborted and their batches released.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::batch_size::BatchSize;
use super::breaker::Breaker;
use super::claimer::Claimer;
use super::control::TargetControl;
use super::demand::Demand;
use super::denials::Denials;
use super::gate::Gate;
use super::options::{CurrentSettings, Settings, SyncOptions};
use super::rescuer::Rescuer;
use super::router::Router;
use super::supervisor::Supervisor;
use super::swap::AdapterSwap;
use super::tally::{Tally, TargetTally};
use super::tasks::{TaskDeath, Tasks};
use super::trouble::StoreTrouble;
use super::verify_schedule::ScheduledVerification;
use super::worker::Worker;
use super::{events, leased_batch, purger, reporter};
use crate::domain::change::Failure;
use crate::plugin::Runtime;
use crate::store::{BlockedKey, HostRecord, Store, StoreError, WaitingCursor};
use crate::target::Target;
use crate::telemetry::Meters;

/// How long a run until idle waits for a store that it cannot write.
const STORE_PATIENCE: Duration = Duration::from_secs(15);

/// The deliveries of a run.
#[derive(Clone, Debug, Default)]
pub struct RunSummary {
    /// By target.
    pub targets: BTreeMap<String, TargetTally>,
}

/// What was left when a run until idle ended.
#[derive(Clone, Debug)]
pub struct Remaining {
    /// Changes and deliveries that are not finished.
    pub open: u64,
    /// Targets that are down or paused, and why.
    pub held_up: BTreeMap<String, String>,
    /// Keys of ordered types whose head failed, so that what is behind it waits for an operator.
    pub blocked: Vec<BlockedKey>,
}

/// How a run ended.
#[derive(Clone, Debug, Default)]
pub struct RunEnd {
    pub summary: RunSummary,
    /// What is left; `None` when it ran until it was stopped.
    pub remaining: Option<Remaining>,
    /// Why it ended although neither stopped nor idle.
    pub broken: Option<Breakdown>,
}

/// Why a run could not continue.
#[derive(Clone, Debug)]
pub enum Breakdown {
    /// A task of the daemon died.
    Task(TaskDeath),
    /// A run until idle could not become idle: the store cannot be written.
    Store(String),
}

/// A sync daemon that is not running yet.
pub struct Daemon {
    store: Store,
    runtime: Arc<Runtime>,
    host: String,
    settings: CurrentSettings,
    meters: Arc<Meters>,
    /// Tasks of others that end with this host. Locked only so that a daemon may be shared.
    more: Mutex<Vec<(&'static str, BoxFuture<'static, ()>)>>,
}

/// The number of blocked keys that are listed when a run until idle ends.
const BLOCKED_NAMED_MAX: u32 = 20;

/// The task name in `StoreTrouble` of the wait for idleness.
const IDLE: &str = "until idle";

impl RunEnd {
    fn broken(broken: Option<Breakdown>) -> Self {
        Self { broken, ..Self::default() }
    }
}

/// What the tasks of a daemon share.
struct Shared {
    demand: Arc<Demand>,
    trouble: StoreTrouble,
    /// Nothing more is routed or claimed.
    stop: CancellationToken,
    /// Calls under way are aborted.
    abort: CancellationToken,
}

/// What belongs to one target while the daemon runs.
struct Running {
    name: String,
    gate: watch::Receiver<Gate>,
    tally: Arc<Tally>,
}

impl Daemon {
    /// Makes a daemon; no two have the same id of a `host`. Whenever `settings` are sent, they replace those before,
    /// and every target's adapter file is read again. They must have the same targets.
    #[must_use]
    pub fn new(store: Store, runtime: Arc<Runtime>, host: String, settings: watch::Receiver<Arc<Settings>>) -> Self {
        let (settings, meters) = (CurrentSettings::new(settings), Arc::default());
        Self { store, runtime, host, settings, meters, more: Mutex::default() }
    }

    /// Counts in these meters.
    #[must_use]
    pub fn with_meters(self, meters: Arc<Meters>) -> Self {
        Self { meters, ..self }
    }

    /// Runs this task too. It must end at `stop`, and not before.
    #[must_use]
    pub fn with_task(self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) -> Self {
        self.more.lock().unwrap_or_else(PoisonError::into_inner).push((name, Box::pin(task)));
        self
    }

    /// Runs until `stop`, or with `until_idle` until nothing more can be delivered now. `abort` aborts the calls under
    /// way.
    ///
    /// # Errors
    /// When the store cannot be reached at the start. Later outages of the store are waited out.
    pub async fn run(
        self,
        stop: CancellationToken,
        abort: CancellationToken,
        until_idle: bool,
    ) -> Result<RunEnd, StoreError> {
        let host = self.host_record();
        // A wrong or read-only store ends the command with an error at once, instead of a line in the log.
        self.store.register_host(&host).await?;
        let shared = Shared {
            demand: Arc::new(Demand::new()),
            trouble: StoreTrouble::default(),
            stop: stop.clone(),
            abort: abort.clone(),
        };
        let first = self.settings.get();
        let mut tasks = Tasks::new(Duration::from_millis(first.options.hangs_after_ms));
        let running: Vec<_> = first.targets.values().map(|target| self.start(target, &shared, &mut tasks)).collect();
        drop(first);
        self.start_common(host, &shared, &running, &mut tasks);
        for (name, task) in std::mem::take(&mut *self.more.lock().unwrap_or_else(PoisonError::into_inner)) {
            tasks.spawn(name, task);
        }
        let pulses = tasks.pulses();
        self.meters.health().started(move || pulses.hanging());
        let mut end = tokio::select! {
            biased;
            end = self.run_until(until_idle, &running, &shared) => end,
            // After `stop`, tasks end as they should.
            death = tasks.next_death() => {
                let unasked = death.filter(|death| death.panicked || !stop.is_cancelled());
                RunEnd::broken(unasked.map(Breakdown::Task))
            }
        };
        stop.cancel();
        self.meters.health().stopping();
        let died_while_stopping = self.drain(&mut tasks, &abort).await;
        end.broken = end.broken.or(died_while_stopping.map(Breakdown::Task));
        for target in self.settings.get().targets.values() {
            target.close().await;
        }
        end.summary.targets = running.iter().map(|target| (target.name.clone(), self.tally_of(target))).collect();
        Ok(end)
    }

    fn options(&self) -> Arc<SyncOptions> {
        self.settings.options()
    }

    /// What the workers counted, with the changes that failed before they reached a worker.
    fn tally_of(&self, target: &Running) -> TargetTally {
        let tally = target.tally.read();
        TargetTally { failed: tally.failed + self.store.refused_here(&target.name), ..tally }
    }

    /// Waits for a reason to end.
    async fn run_until(&self, until_idle: bool, running: &[Running], shared: &Shared) -> RunEnd {
        if until_idle {
            return self.wait_until_idle(running, shared).await;
        }
        shared.stop.cancelled().await;
        RunEnd::default()
    }

    fn host_record(&self) -> HostRecord {
        let settings = self.settings.get();
        HostRecord {
            id: self.host.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            targets: settings.types(),
            disabled: settings.options.disabled_targets.clone(),
        }
    }

    /// Starts the tasks that a host has once.
    fn start_common(&self, host: HostRecord, shared: &Shared, running: &[Running], tasks: &mut Tasks) {
        let router = Router {
            store: self.store.clone(),
            settings: self.settings.clone(),
            demand: shared.demand.clone(),
            trouble: shared.trouble.clone(),
            meters: self.meters.clone(),
            stop: shared.stop.clone(),
        };
        tasks.spawn("router", router.run());
        let names: Vec<_> = host.targets.keys().cloned().collect();
        let rescuer = Rescuer {
            store: self.store.clone(),
            host,
            waiting: names.iter().map(|name| (name.clone(), WaitingCursor::default())).collect(),
            settings: self.settings.clone(),
            demand: shared.demand.clone(),
            pulses: tasks.pulses(),
            meters: self.meters.clone(),
            stop: shared.stop.clone(),
        };
        tasks.spawn("rescuer", rescuer.run());
        let (settings, meters) = (self.settings.clone(), self.meters.clone());
        tasks.spawn("purger", purger::run(self.store.clone(), names, settings, meters, shared.stop.clone()));
        let tallies = running.iter().map(|target| (target.name.clone(), target.tally.clone())).collect();
        tasks.spawn("reporter", reporter::run(tallies, shared.stop.clone()));
    }

    /// Starts the tasks of one target.
    fn start(&self, target: &Arc<Target>, shared: &Shared, tasks: &mut Tasks) -> Running {
        let name = &target.spec.name;
        let (gate, gate_seen) = watch::channel(Gate::Unknown);
        let (event_sender, events) = events::channel();
        let (ready_sender, ready) = leased_batch::channel();
        let tally = Arc::new(Tally::new(self.meters.of_target(name.as_str())));
        let size = Arc::new(BatchSize::new(target.spec.batch_max));
        let (configured, configured_seen) = watch::channel(target.clone());
        let control = Arc::new(TargetControl {
            name: name.clone(),
            target: configured,
            store: self.store.clone(),
            host: self.host.clone(),
            settings: self.settings.clone(),
            gate,
            unproven: Mutex::default(),
        });
        let supervisor = Supervisor {
            control: control.clone(),
            swap: AdapterSwap::new(control, self.runtime.clone(), shared.demand.clone(), shared.stop.clone()),
            events,
            stop: shared.stop.clone(),
            breaker: Breaker::default(),
            settings: self.settings.clone(),
            probes_seen: None,
            has_delivered: false,
        };
        tasks.spawn(format!("supervisor of {name}"), supervisor.run());
        let claimer = Claimer {
            target: name.clone(),
            store: self.store.clone(),
            host: self.host.clone(),
            settings: self.settings.clone(),
            size: size.clone(),
            gate: gate_seen.clone(),
            demand: shared.demand.clone(),
            consumer: Some(shared.demand.register_consumer()),
            ready: ready_sender,
            taken_by_workers: ready.clone(),
            trouble: shared.trouble.clone(),
            meters: tally.meters.clone(),
            stop: shared.stop.clone(),
        };
        tasks.spawn(format!("claimer of {name}"), claimer.run());
        let denials = Arc::new(Denials::default());
        for number in 1..=target.spec.concurrency.max(1) {
            let worker = Worker {
                name: name.clone(),
                store: self.store.clone(),
                settings: self.settings.clone(),
                demand: shared.demand.clone(),
                gate: gate_seen.clone(),
                events: event_sender.clone(),
                ready: ready.clone(),
                size: size.clone(),
                tally: tally.clone(),
                denials: denials.clone(),
                trouble: shared.trouble.clone(),
                stop: shared.stop.clone(),
                abort: shared.abort.clone(),
                crashed_batches: 0,
            };
            tasks.spawn(format!("worker {number} of {name}"), worker.run());
        }
        let verification = ScheduledVerification {
            name: name.clone(),
            target: configured_seen,
            store: self.store.clone(),
            gate: gate_seen.clone(),
            stop: shared.stop.clone(),
        };
        tasks.spawn(format!("verification of {name}"), verification.run());
        Running { name: name.to_string(), gate: gate_seen, tally }
    }

    /// Waits until everything is routed, and no target that is up has anything due or in flight.
    async fn wait_until_idle(&self, running: &[Running], Shared { trouble, stop, .. }: &Shared) -> RunEnd {
        let pause = self.settings.poll().clamp(Duration::from_millis(10), Duration::from_millis(100));
        loop {
            tokio::select! {
                () = stop.cancelled() => return RunEnd::default(),
                () = tokio::time::sleep(pause) => {}
            }
            if let Some(message) = trouble.longer_than(STORE_PATIENCE) {
                return RunEnd::broken(Some(Breakdown::Store(message)));
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
            match self.idle(&up).await {
                Ok(None) => drop(trouble.end(IDLE)),
                Ok(Some(open)) => {
                    self.name_targets_of_other_hosts(&mut held_up).await;
                    let blocked = self.blocked().await;
                    return RunEnd { remaining: Some(Remaining { open, held_up, blocked }), ..RunEnd::default() };
                }
                Err(error) => {
                    if trouble.note(IDLE, &error) {
                        tracing::warn!(%error, "cannot see whether anything is left to do; trying again");
                    }
                }
            }
        }
    }

    /// Names the targets that the store has enabled and this host lacks: other hosts deliver there.
    async fn name_targets_of_other_hosts(&self, held_up: &mut BTreeMap<String, String>) {
        let Ok(routes) = self.store.routes().await else { return };
        let settings = self.settings.get();
        for route in routes.list.into_iter().filter(|route| !settings.targets.contains_key(&route.target)) {
            held_up.insert(route.target.into(), "this host does not have it: other hosts deliver".to_owned());
        }
    }

    /// The keys that wait behind a failed head. They are only named, so that a store that is gone by now is no error.
    async fn blocked(&self) -> Vec<BlockedKey> {
        let blocked = self.store.blocked_keys(&self.options().fifo_types, BLOCKED_NAMED_MAX).await;
        blocked.unwrap_or_else(|error| {
            tracing::warn!(%error, "cannot see what waits behind failed deliveries");
            Vec::new()
        })
    }

    /// The number of open deliveries when none can be delivered now; `None` while some can.
    async fn idle(&self, up: &[&str]) -> Result<Option<u64>, StoreError> {
        if self.store.has_due_work(up, &self.options().fifo_types).await? {
            return Ok(None);
        }
        let mut woken = 0;
        for target in up {
            woken += self.store.wake_all_ready(target).await?;
        }
        // A worker may have woken a delivery since the first check.
        if woken > 0 || self.store.has_due_work(up, &self.options().fifo_types).await? {
            return Ok(None);
        }
        self.store.open_work().await.map(Some)
    }

    /// Waits for the tasks to end. Returns the first one that panicked meanwhile.
    async fn drain(&self, tasks: &mut Tasks, abort: &CancellationToken) -> Option<TaskDeath> {
        let limit = tokio::time::sleep(Duration::from_millis(self.options().drain_ms));
        tokio::pin!(limit);
        let mut panicked = None;
        loop {
            tokio::select! {
                ended = tasks.next_death() => match ended {
                    None => return panicked,
                    Some(death) if death.panicked => panicked = panicked.or(Some(death)),
                    Some(_) => {}
                },
                () = &mut limit, if !abort.is_cancelled() => {
                    tracing::warn!("calls under way did not end in time and are aborted");
                    abort.cancel();
                }
            }
        }
    }
}
