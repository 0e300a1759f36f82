//! An application writes a payload of hundreds of megabytes into the outbox: that row fails by its size, which the host
//! learns without reading it, and the rows before and behind it are delivered. On SQLite the row is rewritten once,
//! when it is routed.

use std::time::Duration;

use tests::database::Database;
use tests::environment::Backend;
use tests::host::{Configuration, Host, RunningHost, quoted};

use crate::support::{QUICK, adapter, patient, put};

/// The most memory of a host that has not read the payload, KiB.
const PEAK_KIB_MAX: u64 = 350 << 10;

fn configuration(store: &str) -> Configuration {
    let more = format!(
        "\n[targets.note]\nadapter = {}\n[targets.note.database]\nurl = \"sqlite://note.db\"\n\
         allow = {{ read = [\"note\"], insert = [\"note\"] }}\n[targets.note.settings]\nbehaviour = \"insert\"\n\
         quiet_check = true\n",
        quoted(&adapter("testing-probe").to_string_lossy())
    );
    Configuration::new(store).more(&more).more(QUICK)
}

/// The payload in SQL, and its length. MariaDB takes no larger packet than 16 MiB, and SQLite rewrites the row in the
/// host's memory.
fn payload(backend: Backend) -> (&'static str, u64) {
    match backend {
        Backend::Sqlite => ("hex(zeroblob(6000000))", 12_000_000),
        Backend::Postgres => ("repeat('x', 400000000)", 400_000_000),
        _ => ("REPEAT('x', 12000000)", 12_000_000),
    }
}

/// The most memory that the process has had, KiB; 0 when it has ended.
fn peak_kib(host: &RunningHost) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", host.id())).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse().unwrap_or_default()
}

async fn fails_by_its_size(backend: Backend) {
    let Some(store) = Database::fresh(backend).await.expect("database") else { return };
    let host = Host::new(&configuration(store.url())).expect("host");
    let url = tests::database::sqlite_url(&host.folder().join("note.db"));
    tests::database::execute(&url, "CREATE TABLE note (id TEXT PRIMARY KEY, body TEXT)").await.expect("make");
    let _ = host.run(&["migrate"]).expect_success();
    put(&host, &patient("S-1"));
    let (text, bytes) = payload(backend);
    let insert = "INSERT INTO sync_outbox (aggregate_type, aggregate_id, operation, payload)";
    store.execute(&format!("{insert} SELECT 'patient', 'L-1', 'update', {text}")).await.expect("a large payload");
    put(&host, &patient("S-2"));
    let mut running = host.spawn(&["run", "--until-idle"]).expect("start");
    let mut peak = 0;
    let ended = || {
        peak = peak.max(peak_kib(&running));
        !running.is_running().expect("a process")
    };
    wait_for(ended, Duration::from_secs(120));
    let note = &host.status()["targets"]["note"];
    assert_eq!((&note["done"], &note["failed"]), (&2.into(), &1.into()), "{note}\n{}", running.stderr());
    let failed = host.run(&["failed", "list"]).stdout;
    assert!(failed.contains("L-1") && failed.contains("outbox row"), "{failed}");
    assert!(failed.contains(&format!("payload has {bytes} bytes, at most 1048576 are delivered")), "{failed}");
    assert!(peak < PEAK_KIB_MAX, "{backend:?}: {peak} KiB");
}

fn wait_for(mut condition: impl FnMut() -> bool, limit: Duration) {
    let deadline = std::time::Instant::now() + limit;
    while !condition() {
        assert!(std::time::Instant::now() < deadline, "waited {limit:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_payload_of_many_megabytes_fails_by_its_size() {
    for backend in [Backend::Sqlite, Backend::MariaDb, Backend::Postgres] {
        fails_by_its_size(backend).await;
    }
}
