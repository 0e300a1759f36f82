//! Shows what the store holds: queues, targets, verifications. Every host of a store shows the same.
//!
//! It is read when a program scrapes, at most every few seconds (`paced.rs`). When the store cannot be read these
//! series are missing, since an old number would look like a true one; `neuronova_store_up` is 0 then.

use std::fmt::Error;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use super::paced::Paced;
use crate::domain::alerts::AlertKind;
use crate::store::{Alert, Counts, StatusSnapshot, Store, TargetStatus, VerificationCounts};

/// The states of a breaker, as the store has them.
const BREAKER_STATES: [&str; 3] = ["closed", "open", "half-open"];

/// The store's content, read now and then.
pub(super) struct StoreGauges {
    store: Store,
    paced: Paced<Arc<StoreReading>>,
}

/// The store at one moment, for whoever watches it: metrics and alerts.
#[derive(Clone, Debug, Default)]
pub struct StoreReading {
    pub status: StatusSnapshot,
    pub conflicts: u64,
    pub open_alerts: Vec<Alert>,
}

/// One number of each target, or of none.
struct Gauge<'a> {
    name: &'static str,
    help: &'static str,
    values: Vec<(Vec<(&'static str, &'a str)>, f64)>,
}

impl std::fmt::Debug for StoreGauges {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("StoreGauges").finish_non_exhaustive()
    }
}

impl StoreGauges {
    pub(super) fn new(store: Store) -> Self {
        Self { store, paced: Paced::default() }
    }

    /// Reads the store if the last reading is old.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(super) async fn refresh(&self) -> Result<Arc<StoreReading>, String> {
        let read = async {
            let status = self.store.status(0).await.map_err(|error| error.to_string())?;
            let conflicts = self.store.count_conflicts().await.map_err(|error| error.to_string())?;
            let open_alerts = self.store.open_alerts().await.map_err(|error| error.to_string())?;
            Ok(Arc::new(StoreReading { status, conflicts, open_alerts }))
        };
        Box::pin(self.paced.get(read)).await
    }
}

impl Collector for StoreGauges {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let reading = self.paced.latest();
        let help = "Statements that this host has run on the store, without BEGIN and COMMIT";
        let statements = encoder.encode_descriptor("store_statements", help, None, MetricType::Counter)?;
        ConstCounter::new(self.store.statements_run()).encode(statements)?;
        let is_up = Gauge::of_store("store_up", "Whether the store could be read", flag(reading.is_some()));
        is_up.encode(&mut encoder)?;
        let Some(reading) = reading else { return Ok(()) };
        let help = "Changes whose row could not be read, which this host set to failed";
        let mut refused = encoder.encode_descriptor("changes_refused", help, None, MetricType::Counter)?;
        for name in reading.status.targets.keys() {
            let label = [("target", name.as_str())];
            ConstCounter::new(self.store.refused_here(name)).encode(refused.encode_family(&label)?)?;
        }
        for gauge in reading.gauges() {
            gauge.encode(&mut encoder)?;
        }
        Ok(())
    }
}

impl StoreReading {
    fn gauges(&self) -> Vec<Gauge<'_>> {
        let Self { status, conflicts, .. } = self;
        let of_store = Gauge::of_store;
        vec![
            of_store("unrouted_changes", "Changes that are not entered as deliveries yet", number(status.unrouted)),
            of_store(
                "unrouted_oldest_seconds",
                "The age of the oldest change that is not entered as deliveries",
                seconds(status.oldest_unrouted_ms),
            ),
            of_store("conflicts", "Deliveries that wait for a decision of an operator", number(*conflicts)),
            of_store("hosts_running", "Hosts of the store with a recent heartbeat", count(status.hosts.len())),
            self.deliveries(),
            self.of_targets("queue_oldest_seconds", "The age of the oldest pending delivery", |target| {
                seconds(target.oldest_pending_ms)
            }),
            self.of_targets("queue_waiting", "Pending deliveries that wait for a reference", |target| {
                number(target.waiting)
            }),
            self.of_targets("target_up", "Whether the target takes deliveries", |target| flag(target.state == "up")),
            self.of_targets("target_enabled", "Whether changes are delivered to the target", |target| {
                flag(target.enabled)
            }),
            self.of_targets("target_paused", "Whether an operator has paused the target", |target| flag(target.paused)),
            self.of_targets(
                "adapter_held",
                "Whether a new adapter is held, since it writes something else",
                |target| flag(target.held.is_some()),
            ),
            self.breakers(),
            self.adapters(),
            self.verification_ends(),
            self.verified_records(),
            self.alerts(),
        ]
    }

    fn of_targets(&self, name: &'static str, help: &'static str, value: impl Fn(&TargetStatus) -> f64) -> Gauge<'_> {
        let targets = self.status.targets.iter();
        Gauge { name, help, values: targets.map(|(name, target)| (of_target(name), value(target))).collect() }
    }

    fn deliveries(&self) -> Gauge<'_> {
        let mut values = Vec::new();
        for (name, target) in &self.status.targets {
            let Counts { pending, processing, done, failed, superseded, dismissed, skipped } = target.counts;
            let of_status = [
                ("pending", pending),
                ("processing", processing),
                ("done", done),
                ("failed", failed),
                ("superseded", superseded),
                ("dismissed", dismissed),
                ("skipped", skipped),
            ];
            values.extend(of_status.map(|(status, count)| (with(name, ("status", status)), number(count))));
        }
        Gauge { name: "queue_deliveries", help: "Deliveries in the store", values }
    }

    fn breakers(&self) -> Gauge<'_> {
        let mut values = Vec::new();
        for (name, target) in &self.status.targets {
            values.extend(
                BREAKER_STATES.map(|state| (with(name, ("state", state)), flag(target.breaker.as_str() == state))),
            );
        }
        Gauge { name: "breaker_state", help: "1 for the state of the target's circuit breaker", values }
    }

    fn adapters(&self) -> Gauge<'_> {
        let mut values = Vec::new();
        for (name, target) in &self.status.targets {
            if let (Some(adapter), Some(version), Some(sha256)) =
                (&target.adapter_name, &target.adapter_version, &target.adapter_sha256)
            {
                let mut labels = of_target(name);
                labels.extend([("name", adapter.as_str()), ("version", version.as_str()), ("sha256", sha256.as_str())]);
                values.push((labels, 1.0));
            }
        }
        Gauge { name: "adapter_info", help: "The adapter that delivers to the target", values }
    }

    fn verification_ends(&self) -> Gauge<'_> {
        let ended = self.status.targets.iter().filter_map(|(name, target)| {
            let finished_at = target.verified.as_ref()?.finished_at?;
            Some((of_target(name), seconds(Some(finished_at))))
        });
        let help = "When the last whole verification of the target ended, in seconds since 1970";
        Gauge { name: "verify_end_timestamp_seconds", help, values: ended.collect() }
    }

    fn verified_records(&self) -> Gauge<'_> {
        let mut values = Vec::new();
        for (name, target) in &self.status.targets {
            let Some(verification) = &target.verified else { continue };
            let VerificationCounts { edited, gone, several, not_ours, unknown, moved, .. } = verification.counts;
            let of_result = [
                ("equal", verification.counts.equal()),
                ("edited", edited),
                ("gone", gone),
                ("several", several),
                ("not-ours", not_ours),
                ("unknown", unknown),
                ("moved", moved),
            ];
            values.extend(of_result.map(|(result, count)| (with(name, ("result", result)), number(count))));
        }
        Gauge { name: "verify_records", help: "Records of the last whole verification, by its result", values }
    }

    fn alerts(&self) -> Gauge<'_> {
        let of_kind = |kind: &AlertKind| {
            let open = self.open_alerts.iter().filter(|alert| alert.key.kind == *kind).count();
            (vec![("kind", kind.as_str())], count(open))
        };
        let values = AlertKind::ALL.iter().map(of_kind).collect();
        Gauge { name: "alerts_open", help: "Alerts that were raised and have not ended", values }
    }
}

impl Gauge<'_> {
    fn of_store(name: &'static str, help: &'static str, value: f64) -> Self {
        Self { name, help, values: vec![(Vec::new(), value)] }
    }

    fn encode(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
        let mut gauge = encoder.encode_descriptor(self.name, self.help, None, MetricType::Gauge)?;
        for (labels, value) in &self.values {
            let value = ConstGauge::new(*value);
            if labels.is_empty() {
                return value.encode(gauge);
            }
            value.encode(gauge.encode_family(labels)?)?;
        }
        Ok(())
    }
}

fn of_target(name: &str) -> Vec<(&'static str, &str)> {
    vec![("target", name)]
}

fn with<'a>(name: &'a str, label: (&'static str, &'a str)) -> Vec<(&'static str, &'a str)> {
    vec![("target", name), label]
}

fn flag(is_so: bool) -> f64 {
    f64::from(u8::from(is_so))
}

fn seconds(millis: Option<i64>) -> f64 {
    number(u64::try_from(millis.unwrap_or_default()).unwrap_or_default()) / 1_000.0
}

fn count(length: usize) -> f64 {
    number(length as u64)
}

/// A count as Prometheus has it. Exact up to 2^53.
#[allow(clippy::cast_precision_loss)]
fn number(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::prometheus_text;
    use prometheus_client::registry::Registry;

    use super::*;
    use crate::database::{Database, Locator};
    use crate::store::StoreClock;

    fn store(folder: &std::path::Path) -> Store {
        let database = Database::new(Locator::Sqlite(folder.join("host.db")), 2, std::time::Duration::from_secs(9));
        Store::new(database.expect("prepared"), StoreClock::Database)
    }

    async fn shown(gauges: &Arc<StoreGauges>) -> String {
        let _failure_is_shown = gauges.refresh().await;
        let mut registry = Registry::default();
        registry.register_collector(Box::new(gauges.clone()));
        let mut text = String::new();
        prometheus_text::encode(&mut text, &registry).expect("encoded");
        text
    }

    #[tokio::test]
    async fn a_store_that_cannot_be_read_shows_no_queue() {
        let folder = tempfile::tempdir().unwrap();
        let text = shown(&Arc::new(StoreGauges::new(store(folder.path())))).await;
        assert!(text.contains("\nstore_up 0.0\n"), "{text}");
        assert!(!text.contains("unrouted") && !text.contains("queue"), "{text}");
    }

    #[tokio::test]
    async fn an_empty_store_shows_zeros_and_its_targets() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path());
        store.migrate().await.unwrap();
        store.register_targets(&[("openemr", true), ("fhir", false)]).await.unwrap();
        let text = shown(&Arc::new(StoreGauges::new(store))).await;
        for line in [
            "store_up 1",
            "unrouted_changes 0",
            "hosts_running 0",
            "queue_deliveries{target=\"openemr\",status=\"pending\"} 0",
            "queue_oldest_seconds{target=\"openemr\"} 0",
            "target_enabled{target=\"openemr\"} 1",
            "target_enabled{target=\"fhir\"} 0",
            "breaker_state{target=\"fhir\",state=\"closed\"} 1",
            "breaker_state{target=\"fhir\",state=\"open\"} 0",
        ] {
            assert!(
                text.contains(&format!("\n{line}\n")) || text.contains(&format!("\n{line}.0\n")),
                "{line}:\n{text}"
            );
        }
        assert!(!text.contains("adapter_info{"), "no adapter was active yet: {text}");
    }
}
