//! A server that was too slow for a batch: how large the next ones may be outlives the host that measured it.

use std::time::Duration;

use sqlx::{Connection as _, Row as _};
use tests::host::{Configuration, Host};

use crate::slow_server::{Answer, SlowServer};
use crate::support::{adapter, patient, put};

const LIMIT: Duration = Duration::from_secs(60);

fn configuration(server: &SlowServer) -> Configuration {
    Configuration::new("sqlite://.host/host.db").more(&format!(
        "\n[sync]\npoll_interval_ms = 20\n[sync.breaker]\nopen_ms = 50\ncap_ms = 100\n[targets.directory]\nadapter = {}\n\
         [targets.directory.http]\nbase_url = {}\nallow_private = true\ntimeout_ms = 500\nin_doubt_ms = 300\n",
        tests::host::quoted(&adapter("example-directory").to_string_lossy()),
        tests::host::quoted(&server.url()),
    ))
}

/// What the store has of the target's batch size.
async fn remembered(host: &Host) -> Option<i64> {
    let url = tests::database::sqlite_url(&host.folder().join(".host").join("host.db"));
    let mut store = sqlx::SqliteConnection::connect(&url).await.expect("store");
    let row = sqlx::query("SELECT batch_max FROM sync_target").fetch_optional(&mut store).await.expect("read");
    row.and_then(|row| row.get(0))
}

#[tokio::test]
async fn the_batch_size_for_a_slow_server_survives_a_restart() {
    let slow = SlowServer::start(Duration::from_secs(5), Answer::HoldAll);
    let host = Host::new(&configuration(&slow)).expect("host").with_variable("RUST_LOG", "host=debug");
    for number in 0..20 {
        put(&host, &patient(&format!("Z-{number}")));
    }
    let mut running = host.spawn(&["run"]).expect("spawn");
    let until = std::time::Instant::now() + LIMIT;
    while remembered(&host).await.is_none_or(|size| size > 5) {
        assert!(std::time::Instant::now() < until, "no size was remembered: {}", running.stderr());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    running.kill();
    let size = remembered(&host).await.expect("a size");

    let quick = SlowServer::start(Duration::ZERO, Answer::AtOnce);
    host.configure(&configuration(&quick)).expect("configure");
    let mut running = host.spawn(&["run"]).expect("spawn");
    running.wait_until("all are there", LIMIT, || host.status()["totals"]["done"] == 20).expect("wait");
    let log = running.stderr();
    let batches = log.lines().filter(|line| line.contains("batch settled"));
    let sizes: Vec<i64> =
        batches.filter_map(|line| line.split("deliveries=").nth(1)?.split_whitespace().next()?.parse().ok()).collect();
    assert!(sizes.first().is_some_and(|first| *first <= size), "{size} was remembered: {sizes:?}");
}
