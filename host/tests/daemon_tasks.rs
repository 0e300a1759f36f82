//! Tasks of the daemon that go wrong: one that panics ends the whole run, which names it; while one hangs, the host
//! sends no heartbeat. A host that no longer does all of its work must not look as if it did.
//!
//! The log panics or hangs, at a line that a worker writes. A process has one log only, so that these tests are alone
//! in their file.

#![allow(clippy::unwrap_used, reason = "a test that fails shows what it found")]

#[path = "support/mod.rs"]
mod support;

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, Once};
use std::time::{Duration, Instant};

use host::database::{Database, Locator};
use host::domain::change::RemoteEdit;
use host::domain::delivery::{BreakerPolicy, RetryPolicy};
use host::domain::grants::SqlGrants;
use host::domain::ids::TargetName;
use host::domain::patient::{Day, Patient};
use host::plugin::Limits;
use host::service::PatientService;
use host::store::{Store, StoreClock};
use host::sync::{Breakdown, Daemon, Retention, Settings, SyncOptions};
use host::target::{Target, TargetKind, TargetSpec};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};

const LIMIT: Duration = Duration::from_secs(120);

/// What a worker of the target `hangs` waits for, in the midst of a line of its log.
static HELD: (Mutex<bool>, Condvar) = (Mutex::new(true), Condvar::new());
/// The worker waits there.
static IS_HELD: AtomicBool = AtomicBool::new(false);
/// How often the rescuer has written that a task hangs, and that it reclaimed a lease of that target.
static HANGING: AtomicUsize = AtomicUsize::new(0);
static RECLAIMED: AtomicUsize = AtomicUsize::new(0);

/// Spoils the line that a worker writes when it has settled a batch, by the name of its target.
struct Saboteur;

impl<S: Subscriber> Layer<S> for Saboteur {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut target = TargetOf(String::new());
        event.record(&mut target);
        match (event.metadata().target(), *event.metadata().level(), target.0.as_str()) {
            ("host::sync::worker", Level::DEBUG, "panics") => panic!("a defect in a worker"),
            ("host::sync::worker", Level::DEBUG, "hangs") => {
                IS_HELD.store(true, Ordering::SeqCst);
                // The other tasks go on. A test that fails does not release it.
                tokio::task::block_in_place(|| {
                    drop(HELD.1.wait_timeout_while(HELD.0.lock().unwrap(), LIMIT, |held| *held));
                });
            }
            ("host::sync::rescuer", Level::ERROR, _) => _ = HANGING.fetch_add(1, Ordering::SeqCst),
            ("host::sync::rescuer", Level::WARN, "hangs") => _ = RECLAIMED.fetch_add(1, Ordering::SeqCst),
            _ => {}
        }
    }
}

/// The field `target_name` of a line.
struct TargetOf(String);

impl Visit for TargetOf {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "target_name" {
            self.0 = format!("{value:?}");
        }
    }
}

fn start_log() {
    static STARTED: Once = Once::new();
    STARTED.call_once(|| {
        tracing::subscriber::set_global_default(tracing_subscriber::registry().with(Saboteur)).unwrap();
    });
}

fn options() -> SyncOptions {
    SyncOptions {
        // The rescuer works three times as often.
        lease_ms: 600,
        poll_ms: 20,
        drain_ms: 5_000,
        recheck_ms: 60_000,
        watch_ms: 1_000,
        hangs_after_ms: 3_000,
        retry: RetryPolicy::default(),
        breaker: BreakerPolicy::default(),
        retention: Retention { finished_ms: 86_400_000, journal_ms: 86_400_000 },
        journal: true,
        compare_effects: true,
        fifo_types: Vec::new(),
        disabled_targets: Vec::new(),
    }
}

fn spec(name: &str, locator: Locator) -> TargetSpec {
    TargetSpec {
        name: TargetName::new(name).unwrap(),
        adapter: support::adapter("testing-probe"),
        kind: TargetKind::Database { locator, connections_max: 2, grants: SqlGrants::everything() },
        id_column: None,
        on_remote_edit: RemoteEdit::Overwrite,
        aggregate_types: vec!["patient".to_owned()],
        settings_json: r#"{"behaviour":"echo","quiet_check":true}"#.to_owned(),
        limits: Limits::default(),
        batch_max: 100,
        concurrency: 1,
        verify: None,
    }
}

/// A store with one patient, and a daemon that will deliver it to a target of this name.
struct Bench {
    store: Store,
    database: Database,
    daemon: Daemon,
    _place: support::Target,
    _folder: tempfile::TempDir,
}

impl Bench {
    async fn new(target: &str, clock: StoreClock) -> Self {
        start_log();
        let folder = tempfile::tempdir().unwrap();
        let locator = Locator::Sqlite(folder.path().join("host.db"));
        let database = Database::new(locator, 4, Duration::from_secs(10)).unwrap();
        let store = Store::new(database.clone(), clock);
        store.migrate().await.unwrap();
        let payload = r#"{"patient_id":"P-1","family_name":"Kim","given_name":"MinJun","birth_date":"1980-01-31",
            "gender":"male"}"#;
        let patient = Patient::from_payload(payload, Day::MAX).unwrap();
        PatientService::new(store.clone()).put(&[patient]).await.unwrap();
        let place = support::Target::new().await;
        let target = Target::new(spec(target, place.database.locator().clone())).unwrap();
        let settings = watch::Sender::new(Arc::new(Settings::new(options(), [Arc::new(target)])));
        let daemon = Daemon::new(store.clone(), support::runtime(), "host-a".to_owned(), settings.subscribe());
        Self { store, database, daemon, _place: place, _folder: folder }
    }
}

/// Asks again and again: what the daemon does has no signal for a test.
async fn wait_until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let until = Instant::now() + LIMIT;
    while !condition().await {
        assert!(Instant::now() < until, "waited for {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_panics_ends_the_run_and_is_named() {
    let Bench { daemon, _place, _folder, .. } = Bench::new("panics", StoreClock::Database).await;
    let run = daemon.run(CancellationToken::new(), CancellationToken::new(), false);
    let end = tokio::time::timeout(LIMIT, run).await.expect("it stops by itself").unwrap();
    let Some(Breakdown::Task(death)) = end.broken else { panic!("{end:?}") };
    assert!(death.panicked && death.task.starts_with("worker "), "{death:?}");
    assert!(death.to_string().contains("panicked: this host ends"), "{death}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_with_a_hanging_worker_counts_as_stopped_until_it_recovers() {
    let clock = Arc::new(AtomicI64::new(1_764_288_000_000));
    let bench = Bench::new("hangs", StoreClock::Manual(clock.clone())).await;
    let Bench { store, database, daemon, _place, _folder } = bench;
    let stop = CancellationToken::new();
    let run = tokio::spawn(daemon.run(stop.clone(), CancellationToken::new(), false));
    let is_running = async || !store.running_hosts().await.unwrap().is_empty();
    wait_until("the host runs", is_running).await;
    wait_until("its worker hangs", async || IS_HELD.load(Ordering::SeqCst)).await;
    let before = HANGING.load(Ordering::SeqCst);
    wait_until("that is noticed", async || HANGING.load(Ordering::SeqCst) > before).await;
    // Longer than a heartbeat counts. Then two rounds of the rescuer end, the second one wholly after that.
    clock.fetch_add(60_000, Ordering::SeqCst);
    for round in 1..=2 {
        let mut transaction = database.begin().await.unwrap();
        let expired = "INSERT INTO sync_lease (target, owner, acquired_at, lease_until) VALUES ('hangs', 'gone', 0, 0)";
        transaction.execute(expired, &[]).await.unwrap();
        transaction.commit().await.unwrap();
        wait_until("a round of the rescuer", async || RECLAIMED.load(Ordering::SeqCst) == round).await;
    }
    assert!(!is_running().await, "it goes on with other work, and sends no heartbeat");

    *HELD.0.lock().unwrap() = false;
    HELD.1.notify_all();
    wait_until("it counts as running again", is_running).await;
    stop.cancel();
    let end = tokio::time::timeout(LIMIT, run).await.expect("it stops").unwrap().unwrap();
    assert!(end.broken.is_none() && !is_running().await, "{end:?}");
}
