//! Hosts that freeze or receive a stop signal, and batches that contain one bad change.

use std::time::{Duration, Instant};

use serde_json::json;
use sqlx::mysql::MySqlConnection;
use sqlx::{Connection as _, Executor as _};
use tests::database::Database;
use tests::environment::Backend;
use tests::host::{Configuration, Host, HostSignal, RunningHost};
use tests::servers::Proxy;

use crate::support::{QUICK, adapter, host_with_openemr, openemr_database, patient, put, rows};

/// More than the 50 seconds for which MariaDB lets a row wait that a frozen host holds.
const LIMIT: Duration = Duration::from_secs(150);

/// What a host logs when the first signal has reached it. Until then the system delivers two of a kind as one.
const HEARD: &str = "shutdown requested";

/// Holds every call into the adapter at its first look at the charts, until it is dropped.
async fn hold_calls(openemr: &Database) -> MySqlConnection {
    let mut connection = MySqlConnection::connect(openemr.url()).await.expect("connect");
    connection.execute("LOCK TABLES patient_data WRITE").await.expect("lock");
    connection
}

async fn release_calls(connection: MySqlConnection) {
    connection.close().await.expect("unlock");
}

/// A host whose leases last a second, with one patient synced, and running.
fn running_host(openemr: &Database) -> (Host, RunningHost) {
    started(host_with_openemr(openemr.url()))
}

fn started(host: Host) -> (Host, RunningHost) {
    let file = host.folder().join("host.toml");
    let text = std::fs::read_to_string(&file).expect("read").replace("[sync]", "[sync]\nlease_ms = 1000");
    std::fs::write(&file, text).expect("write");
    put(&host, &patient("A-1"));
    let mut running = host.spawn(&["run"]).expect("spawn");
    running.wait_until("the first state is there", LIMIT, || host.status()["totals"]["done"] == 1).expect("wait");
    (host, running)
}

fn move_to(host: &Host, city: &str) {
    let mut moved = patient("A-1");
    moved["city"] = json!(city);
    put(host, &moved);
}

fn processing(host: &Host) -> bool {
    host.status()["totals"]["processing"] == 1
}

async fn cities(openemr: &Database) -> Vec<Vec<String>> {
    rows(openemr.url(), "SELECT city FROM patient_data").await
}

#[tokio::test]
async fn a_host_frozen_beyond_its_lease_changes_nothing_when_it_wakes() {
    let Some(openemr) = openemr_database("8.2.0").await else { return };
    // Not on SQLite: a process that is frozen while it writes there keeps everyone else from writing.
    let Some(store) = Database::fresh(Backend::MariaDb).await.expect("store") else { return };
    let configuration = Configuration::new(store.url()).openemr(&adapter("openemr"), openemr.url()).more(QUICK);
    let (host, mut frozen) = started(Host::new(&configuration).expect("host"));
    let held = hold_calls(&openemr).await;
    move_to(&host, "Daegu");
    frozen.wait_until("it is in its call", LIMIT, || processing(&host)).expect("wait");
    frozen.signal(HostSignal::Freeze).expect("freeze");
    move_to(&host, "Jeju");
    release_calls(held).await;
    let mut other = host.spawn(&["run"]).expect("spawn");
    let newest = || {
        host.status()["totals"]
            == json!({"pending": 0, "processing": 0, "done": 2, "failed": 0, "superseded": 1, "dismissed": 0, "skipped": 0})
    };
    other.wait_until("the other host has brought the newest state", LIMIT, newest).expect("wait");
    frozen.signal(HostSignal::Thaw).expect("thaw");
    frozen.wait_for_log("the lease was lost", LIMIT).expect("it notices");
    assert_eq!(cities(&openemr).await, [["Jeju"]]);
    // It goes on as an ordinary host.
    other.kill();
    move_to(&host, "Ulsan");
    frozen.wait_until("it delivers again", LIMIT, || host.status()["totals"]["done"] == 3).expect("wait");
    assert_eq!(cities(&openemr).await, [["Ulsan"]]);
}

#[tokio::test]
async fn sigterm_waits_for_a_call_and_settles_it() {
    let Some(openemr) = openemr_database("8.2.0").await else { return };
    let (host, mut running) = running_host(&openemr);
    let held = hold_calls(&openemr).await;
    move_to(&host, "Daegu");
    running.wait_until("it is in its call", LIMIT, || processing(&host)).expect("wait");
    running.signal(HostSignal::Terminate).expect("signal");
    put(&host, &patient("A-2"));
    running.wait_for_log(HEARD, LIMIT).expect("it hears the signal");
    assert!(running.is_running().expect("running"), "it waits for the call");
    release_calls(held).await;
    let ended = running.wait(LIMIT).expect("end");
    assert_eq!(ended.status, Some(0), "{}", ended.stderr);
    let totals = host.status()["totals"].clone();
    assert_eq!((&totals["done"], &totals["processing"]), (&json!(2), &json!(0)), "settled, and nothing new was taken");
    assert_eq!(cities(&openemr).await, [["Daegu"]]);
}

#[tokio::test]
async fn a_second_signal_aborts_the_call_and_requeues_the_batch() {
    let Some(openemr) = openemr_database("8.2.0").await else { return };
    let (host, mut running) = running_host(&openemr);
    let held = hold_calls(&openemr).await;
    move_to(&host, "Daegu");
    running.wait_until("it is in its call", LIMIT, || processing(&host)).expect("wait");
    running.signal(HostSignal::Terminate).expect("signal");
    running.wait_for_log(HEARD, LIMIT).expect("it hears the signal");
    running.signal(HostSignal::Terminate).expect("signal");
    let ended = running.wait(LIMIT).expect("end while the call is held");
    for words in ["call aborted", "batch released"] {
        assert!(ended.stderr.contains(words), "{words}: {}", ended.stderr);
    }
    let status = host.status();
    assert_eq!((&status["totals"]["pending"], &status["totals"]["processing"]), (&json!(1), &json!(0)));
    assert_eq!(status["recent"][0]["attempts"], 0, "no attempt is spent");
    release_calls(held).await;
    let _ = host.run(&["run", "--until-idle"]).expect_success();
    assert_eq!(cities(&openemr).await, [["Daegu"]]);
}

#[tokio::test]
async fn a_second_signal_ends_a_host_whose_database_does_not_respond() {
    let Some(openemr) = openemr_database("7.0.2").await else { return };
    let port =
        openemr.url().rsplit_once(':').and_then(|(_, rest)| rest.split('/').next()?.parse().ok()).expect("a port");
    let mut proxy = Proxy::start(port).expect("proxy");
    let (host, mut running) = started(host_with_openemr(&proxy.address_of(openemr.url())));
    // The network swallows everything from now on, and the next state is in the middle of it.
    proxy.hold_all().expect("hold");
    move_to(&host, "Jeju");
    running.wait_until("a call waits for the database", LIMIT, || processing(&host)).expect("wait");
    running.signal(HostSignal::Terminate).expect("signal");
    running.wait_for_log(HEARD, LIMIT).expect("it hears the signal");
    running.signal(HostSignal::Terminate).expect("signal");
    let began = Instant::now();
    let ended = running.wait(LIMIT).expect("end");
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}: {}", began.elapsed(), ended.stderr);
}

#[tokio::test]
async fn one_bad_change_among_500_costs_a_few_calls_and_the_others_are_delivered() {
    let Some(openemr) = openemr_database("8.2.0").await else { return };
    // A rule of the clinic's own, of which the adapter knows nothing: the database refuses the whole statement.
    openemr.execute("ALTER TABLE patient_data ADD CHECK (city <> 'Atlantis')").await.expect("rule");
    let host = host_with_openemr(openemr.url()).with_variable("RUST_LOG", "warn,host=debug");
    let _ = host.run(&["migrate"]).expect_success();
    let changes: Vec<_> = (0..500)
        .map(|number| {
            let id = format!("B-{number:03}");
            let mut patient = patient(&id);
            if number == 321 {
                patient["city"] = json!("Atlantis");
            }
            format!("('patient', '{id}', 'create', '{patient}')")
        })
        .collect();
    let insert = format!(
        "INSERT INTO sync_outbox (aggregate_type, aggregate_id, operation, payload) VALUES {}",
        changes.join(", ")
    );
    let store = tests::database::sqlite_url(&host.folder().join(".host/host.db"));
    tests::database::execute(&store, &insert).await.expect("insert");
    let ended = host.run(&["run", "--until-idle"]).expect_success();
    let status = host.status();
    assert_eq!((&status["totals"]["done"], &status["totals"]["failed"]), (&json!(499), &json!(1)), "{status}");
    let failed = rows(openemr.url(), "SELECT pubpid FROM patient_data WHERE pubpid = 'B-321'").await;
    assert!(failed.is_empty());
    let splits = ended.stderr.matches("part of a batch failed and was split").count();
    let halvings = 500_usize.ilog2() as usize + 1;
    assert!((1..=halvings).contains(&splits), "{splits} splits of one batch:\n{}", ended.stderr);
}
