//! What a host counts while it delivers. A task holds the counters of its target; counting takes no lock that another
//! task holds for long, and waits for nothing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prometheus_client::encoding::prometheus_text;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use super::health::Health;
use super::process::ProcessGauges;
use super::step::{ROUTE, Step};
use super::store_gauges::{StoreGauges, StoreReading};
use super::trace;
use crate::domain::change::FailureKind;
use crate::domain::delivery::{Settlement, Status};
use crate::store::Store;

/// The prefix of every name but those of the process.
const PREFIX: &str = "neuronova";

/// Upper bounds of the steps' durations in seconds.
const SECONDS: [f64; 14] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
/// Upper bounds of a batch's deliveries: `limits.batch` is at most 1,000.
const DELIVERIES: [f64; 10] = [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1_000.0];
/// Upper bounds of a sandbox's memory in MiB: `limits.memory_mib` is 64 by default, 4,096 at most.
const MEBIBYTES: [f64; 9] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 256.0, 1_024.0];

/// The label of what is counted for each target.
type OfTarget = [(&'static str, String); 1];
type OfStep = [(&'static str, String); 2];
type OfOutcome = [(&'static str, String); 3];
type OfSending = [(&'static str, &'static str); 2];

/// The value of the label `kind` where nothing failed.
const NO_KIND: &str = "none";
/// The kind of deliveries whose request was sent and not answered.
const IN_DOUBT: &str = "in-doubt";

/// What a host counts, and what it shows.
pub struct Meters {
    registry: Registry,
    families: Families,
    changes_routed: Counter,
    rows_purged: Counter,
    reload_worked: Gauge,
    route_seconds: Histogram,
    health: Arc<Health>,
    store: Option<Arc<StoreGauges>>,
    alert_messages: Family<OfSending, Counter>,
}

/// What is counted for each target.
#[derive(Clone, Debug)]
struct Families {
    step_seconds: Family<OfStep, Histogram, fn() -> Histogram>,
    batch_deliveries: Family<OfTarget, Histogram, fn() -> Histogram>,
    sandbox_memory: Family<OfTarget, Histogram, fn() -> Histogram>,
    sandbox_cpu: Family<OfTarget, Histogram, fn() -> Histogram>,
    deliveries: Family<OfOutcome, Counter>,
    leases_lost: Family<OfTarget, Counter>,
    leases_expired: Family<OfTarget, Counter>,
    last_delivery: Family<OfTarget, Gauge<f64, AtomicU64>>,
}

/// What the tasks of one target count.
#[derive(Debug)]
pub struct TargetMeters {
    target: String,
    families: Families,
    /// In the order of [`Step::ALL`].
    step_seconds: Vec<Histogram>,
    batch_deliveries: Histogram,
    sandbox_memory: Histogram,
    sandbox_cpu: Histogram,
    leases_lost: Counter,
}

impl Default for Meters {
    fn default() -> Self {
        Self::new(None)
    }
}

impl Default for TargetMeters {
    fn default() -> Self {
        Meters::default().of_target("")
    }
}

impl Meters {
    /// Counters at zero. With a store its queues and targets are shown as well.
    #[must_use]
    pub fn new(store: Option<Store>) -> Self {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(ProcessGauges));
        let ours = registry.sub_registry_with_prefix(PREFIX);
        let version = [("version", env!("CARGO_PKG_VERSION"))];
        ours.register("build", "The version of this host", Info::new(version));
        let changes_routed = Counter::default();
        ours.register("changes_routed", "Changes that this host entered as deliveries", changes_routed.clone());
        let rows_purged = Counter::default();
        ours.register("rows_purged", "Old finished rows that this host deleted", rows_purged.clone());
        let reload_worked = Gauge::default();
        reload_worked.set(1);
        let help = "Whether the last reload of the configuration was taken over";
        ours.register("config_last_reload_successful", help, reload_worked.clone());
        let families = Families::registered(ours);
        let store = store.map(|store| Arc::new(StoreGauges::new(store)));
        if let Some(store) = &store {
            ours.register_collector(Box::new(store.clone()));
        }
        let alert_messages = Family::<OfSending, Counter>::default();
        let help = "Messages of alerts that this host sent, or failed to send";
        ours.register("alert_messages", help, alert_messages.clone());
        let route_seconds = families.step_seconds.get_or_create_owned(&of_step("", ROUTE));
        let health = Arc::default();
        Self {
            registry,
            families,
            changes_routed,
            rows_purged,
            reload_worked,
            route_seconds,
            health,
            store,
            alert_messages,
        }
    }

    /// What the tasks of one target count.
    #[must_use]
    pub fn of_target(&self, target: &str) -> TargetMeters {
        TargetMeters::new(target, &self.families)
    }

    /// Whether this host is ready and alive.
    #[must_use]
    pub fn health(&self) -> &Arc<Health> {
        &self.health
    }

    /// One scan for new changes, which found some.
    pub fn routed(&self, changes: u64, took: Duration) {
        trace::routed(changes, took);
        self.changes_routed.inc_by(changes);
        self.route_seconds.observe(took.as_secs_f64());
    }

    /// The configuration was reloaded, or could not be.
    pub fn reloaded(&self, worked: bool) {
        self.reload_worked.set(i64::from(worked));
    }

    /// Old rows were deleted.
    pub fn purged(&self, rows: u64) {
        self.rows_purged.inc_by(rows);
    }

    /// A batch of any host was taken over because its lease had expired.
    pub fn lease_expired(&self, target: &str) {
        self.families.leases_expired.get_or_create_owned(&of_target(target)).inc();
    }

    /// How many leases of a target's batches this host has lost or taken over since its start.
    #[must_use]
    pub fn leases_ended_early(&self, target: &str) -> u64 {
        let Families { leases_lost, leases_expired, .. } = &self.families;
        let label = of_target(target);
        leases_lost.get_or_create_owned(&label).get() + leases_expired.get_or_create_owned(&label).get()
    }

    /// A message of an alert was sent over a channel, or not.
    pub fn alert_message(&self, channel: &'static str, is_sent: bool) {
        let outcome = if is_sent { "sent" } else { "failed" };
        self.alert_messages.get_or_create_owned(&[("channel", channel), ("outcome", outcome)]).inc();
    }

    /// A channel of alerts that has sent nothing yet.
    pub fn has_channel(&self, channel: &'static str) {
        for outcome in ["sent", "failed"] {
            self.alert_messages.get_or_create_owned(&[("channel", channel), ("outcome", outcome)]);
        }
    }

    /// What the store holds, read anew when the last reading is older than a few seconds.
    ///
    /// # Errors
    /// When it cannot be read, or the meters have no store.
    pub async fn store_reading(&self) -> Result<Arc<StoreReading>, String> {
        match &self.store {
            Some(store) => store.refresh().await,
            None => Err("there is no store".to_owned()),
        }
    }

    /// Everything as Prometheus reads it. What comes from the store is read anew when it is older than a few seconds.
    pub(super) async fn exposition(&self) -> String {
        if let Some(store) = &self.store {
            // `neuronova_store_up` shows a failure.
            drop(store.refresh().await);
        }
        let mut text = String::new();
        prometheus_text::encode(&mut text, &self.registry).expect("invariant: a String takes every text");
        text
    }

    /// Why the store cannot be read, as it was found within the last few seconds.
    pub(super) async fn store_trouble(&self) -> Option<String> {
        match &self.store {
            Some(store) => store.refresh().await.err(),
            None => None,
        }
    }
}

impl Families {
    fn registered(registry: &mut Registry) -> Self {
        let families = Self {
            step_seconds: Family::new_with_constructor(|| Histogram::new(SECONDS)),
            batch_deliveries: Family::new_with_constructor(|| Histogram::new(DELIVERIES)),
            sandbox_memory: Family::new_with_constructor(|| {
                Histogram::new(MEBIBYTES.map(|mebibytes| mebibytes * 1_048_576.0))
            }),
            sandbox_cpu: Family::new_with_constructor(|| Histogram::new(SECONDS)),
            deliveries: Family::default(),
            leases_lost: Family::default(),
            leases_expired: Family::default(),
            last_delivery: Family::default(),
        };
        let Self {
            step_seconds,
            batch_deliveries,
            sandbox_memory,
            sandbox_cpu,
            deliveries,
            leases_lost,
            leases_expired,
            last_delivery,
        } = families.clone();
        registry.register("step_duration_seconds", "How long a step of a batch took on this host", step_seconds);
        registry.register("batch_deliveries", "Deliveries in one batch", batch_deliveries);
        let help = "The most memory that one call of an adapter used in a batch";
        registry.register("sandbox_memory_bytes", help, sandbox_memory);
        let help = "The most processor time that one call of an adapter used in a batch";
        registry.register("sandbox_cpu_seconds", help, sandbox_cpu);
        registry.register(
            "deliveries",
            "Deliveries that this host settled, by outcome and kind of failure",
            deliveries,
        );
        registry.register("leases_lost", "Batches whose lease this host lost before it could settle them", leases_lost);
        let help = "Batches of any host that this host took over after their lease had expired";
        registry.register("leases_expired", help, leases_expired);
        let help = "When a delivery of this host was last confirmed, in seconds since 1970";
        registry.register("last_delivery_timestamp_seconds", help, last_delivery);
        families
    }
}

impl TargetMeters {
    fn new(target: &str, families: &Families) -> Self {
        let step = |step: &Step| families.step_seconds.get_or_create_owned(&of_step(target, step.as_str()));
        let label = of_target(target);
        // A counter that is there from the start shows its first increase too.
        for (status, kind) in outcomes() {
            families.deliveries.get_or_create_owned(&of_outcome(target, status, kind));
        }
        families.leases_expired.get_or_create_owned(&label);
        Self {
            target: target.to_owned(),
            families: families.clone(),
            step_seconds: Step::ALL.iter().map(step).collect(),
            batch_deliveries: families.batch_deliveries.get_or_create_owned(&label),
            sandbox_memory: families.sandbox_memory.get_or_create_owned(&label),
            sandbox_cpu: families.sandbox_cpu.get_or_create_owned(&label),
            leases_lost: families.leases_lost.get_or_create_owned(&label),
        }
    }

    /// A step of a batch has ended.
    pub fn took(&self, step: Step, time: Duration) {
        self.step_seconds[step as usize].observe(time.as_secs_f64());
    }

    /// An adapter has returned from a batch of this many deliveries. Memory and processor time are the most of one
    /// call.
    pub fn called(&self, deliveries: usize, memory_bytes: u64, cpu_ms: u64) {
        self.batch_deliveries.observe(number(deliveries as u64));
        self.sandbox_memory.observe(number(memory_bytes));
        self.sandbox_cpu.observe(number(cpu_ms) / 1_000.0);
    }

    /// These deliveries were settled.
    pub fn settled(&self, settlements: &[Settlement]) {
        let mut counts = BTreeMap::<(&str, &str), u64>::new();
        for settlement in settlements {
            let kind = settlement.failure.as_ref().map_or(NO_KIND, |failure| failure.kind.as_str());
            *counts.entry((outcome(settlement.status), kind)).or_default() += 1;
        }
        for ((outcome, kind), count) in counts {
            self.families.deliveries.get_or_create_owned(&of_outcome(&self.target, outcome, kind)).inc_by(count);
        }
        if settlements.iter().any(|settlement| settlement.status == Status::Done)
            && let Ok(now) = SystemTime::now().duration_since(UNIX_EPOCH)
        {
            self.families.last_delivery.get_or_create_owned(&of_target(&self.target)).set(now.as_secs_f64());
        }
    }

    /// These deliveries wait for the end of their lease.
    pub fn in_doubt(&self, deliveries: usize) {
        let label = of_outcome(&self.target, DEFERRED, IN_DOUBT);
        self.families.deliveries.get_or_create_owned(&label).inc_by(deliveries as u64);
    }

    /// The lease of a batch was lost.
    pub fn lease_lost(&self) {
        self.leases_lost.inc();
    }
}

/// The outcome of deliveries that are tried again.
const DEFERRED: &str = "deferred";

fn outcome(status: Status) -> &'static str {
    match status {
        Status::Done | Status::Failed | Status::Skipped => status.as_str(),
        Status::Pending | Status::Processing | Status::Superseded | Status::Dismissed => DEFERRED,
    }
}

/// Every outcome and kind that a delivery may have.
fn outcomes() -> impl Iterator<Item = (&'static str, &'static str)> {
    let without_failure = [(Status::Done.as_str(), NO_KIND), (Status::Skipped.as_str(), NO_KIND), (DEFERRED, IN_DOUBT)];
    let failed = FailureKind::ALL.iter().filter(|kind| kind.spends_attempt());
    let failed = failed.map(|kind| (Status::Failed.as_str(), kind.as_str()));
    let deferred = FailureKind::ALL.iter().filter(|kind| !kind.is_permanent()).map(|kind| (DEFERRED, kind.as_str()));
    without_failure.into_iter().chain(failed).chain(deferred)
}

fn of_target(target: &str) -> OfTarget {
    [("target", target.to_owned())]
}

fn of_step(target: &str, step: &str) -> OfStep {
    [("target", target.to_owned()), ("step", step.to_owned())]
}

fn of_outcome(target: &str, outcome: &str, kind: &str) -> OfOutcome {
    [("target", target.to_owned()), ("outcome", outcome.to_owned()), ("kind", kind.to_owned())]
}

/// A count as Prometheus has it. Exact up to 2^53.
#[allow(clippy::cast_precision_loss)]
fn number(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
#[path = "meters_tests.rs"]
mod tests;
