//! A task of the daemon that panics ends the whole run, which names it: a host that no longer does all of its work must
//! not stay.
//!
//! The log panics, at a line that a worker writes. A process has one log only, so that this test is alone in its file.

#![allow(clippy::unwrap_used, reason = "a test that fails shows what it found")]

#[path = "support/mod.rs"]
mod support;

use std::sync::Arc;
use std::time::Duration;

use host::database::{Database, Locator};
use host::domain::change::RemoteEdit;
use host::domain::delivery::{BreakerPolicy, RetryPolicy};
use host::domain::grants::SqlGrants;
use host::domain::ids::TargetName;
use host::domain::patient::{Day, Patient};
use host::plugin::Limits;
use host::service::PatientService;
use host::store::{Store, StoreClock};
use host::sync::{Breakdown, Daemon, SyncOptions};
use host::target::{Target, TargetKind, TargetSpec};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};

/// Panics at the line that a worker writes when it has settled a batch.
struct PanicsInAWorker;

impl<S: Subscriber> Layer<S> for PanicsInAWorker {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let metadata = event.metadata();
        assert!(metadata.target() != "host::sync::worker" || *metadata.level() != Level::DEBUG, "a defect in a worker");
    }
}

fn options() -> SyncOptions {
    SyncOptions {
        host_id: "host-a".to_owned(),
        lease_ms: 30_000,
        poll_ms: 20,
        drain_ms: 5_000,
        recheck_ms: 60_000,
        watch_ms: 1_000,
        retry: RetryPolicy::default(),
        breaker: BreakerPolicy::default(),
        retention_ms: 86_400_000,
        fifo_types: Vec::new(),
        disabled_targets: Vec::new(),
    }
}

fn spec(locator: Locator) -> TargetSpec {
    TargetSpec {
        name: TargetName::new("x").unwrap(),
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

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_panics_ends_the_run_and_is_named() {
    tracing::subscriber::set_global_default(tracing_subscriber::registry().with(PanicsInAWorker)).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let database = Database::new(Locator::Sqlite(folder.path().join("host.db")), 4, Duration::from_secs(10)).unwrap();
    let store = Store::new(database, StoreClock::Database);
    store.migrate().await.unwrap();
    let payload =
        r#"{"patient_id":"P-1","family_name":"Kim","given_name":"MinJun","birth_date":"1980-01-31","gender":"male"}"#;
    let patient = Patient::from_payload(payload, Day::MAX).unwrap();
    PatientService::new(store.clone()).put(&[patient]).await.unwrap();

    let place = support::Target::new().await;
    let target = Target::new(spec(place.database.locator().clone())).unwrap();
    let (_reload, reloads) = watch::channel(0);
    let daemon = Daemon::new(store, support::runtime(), vec![Arc::new(target)], options(), reloads);
    let run = daemon.run(CancellationToken::new(), CancellationToken::new(), false);
    let end = tokio::time::timeout(Duration::from_secs(120), run).await.expect("it stops by itself").unwrap();
    let Some(Breakdown::Task(death)) = end.broken else { panic!("{end:?}") };
    assert!(death.panicked && death.task.starts_with("worker "), "{death:?}");
    assert!(death.to_string().contains("panicked: this host ends"), "{death}");
}
