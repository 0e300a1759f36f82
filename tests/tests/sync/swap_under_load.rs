//! Adapters are swapped while changes flow: nothing is lost, doubled or held up; a bad one never gets far.

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::json;
use tests::database::Database;
use tests::host::{Configuration, Host, HostSignal, RunningHost};

use crate::support::{QUICK, adapter, openemr_database, patient, put, rows};

const LIMIT: Duration = Duration::from_secs(180);
const SWAPS: usize = 50;
const CHANGES: usize = 20_000;
/// Changes that are inserted at once while an adapter is a canary.
const FLOW: usize = 1_000;

/// Another file with the same behaviour: a custom section at the end, as any tool may append one.
fn build(component: &[u8], number: u8) -> Vec<u8> {
    let mut bytes = component.to_vec();
    bytes.extend([0, 6, 4, b'n', b'o', b't', b'e', number]);
    bytes
}

/// A file that is there as a whole or not at all.
fn put_in_place(folder: &Path, name: &str, bytes: &[u8]) {
    fs::write(folder.join("next"), bytes).expect("write");
    fs::rename(folder.join("next"), folder.join(name)).expect("rename");
}

fn host(openemr: &Database) -> Host {
    host_with(openemr, QUICK)
}

/// A host that activates an adapter on its check while nothing is due: what the adapter writes is not compared for what
/// was delivered before.
fn host_without_comparison(openemr: &Database) -> Host {
    host_with(openemr, &QUICK.replace("[sync]\n", "[sync]\ncompare_effects = false\n"))
}

fn host_with(openemr: &Database, quick: &str) -> Host {
    let configuration = Configuration::new("sqlite://.host/host.db")
        .openemr(Path::new("openemr.wasm"), openemr.url())
        .more("\n[plugins]\ndirectory = \".\"\n")
        .more(quick);
    let host = Host::new(&configuration).expect("host");
    put_in_place(host.folder(), "openemr.wasm", &fs::read(adapter("openemr")).expect("adapter"));
    host
}

fn active(host: &Host) -> String {
    host.status()["targets"]["openemr"]["adapter"]["sha256"].as_str().unwrap_or_default().to_owned()
}

fn version(host: &Host) -> String {
    host.status()["targets"]["openemr"]["adapter"]["version"].as_str().unwrap_or_default().to_owned()
}

fn wait_for_up(host: &Host, running: &mut RunningHost) {
    running.wait_until("up", LIMIT, || host.status()["targets"]["openemr"]["state"] == "up").expect("wait");
}

fn insert(from: usize, count: usize) -> String {
    let rows: Vec<_> = (from..from + count)
        .map(|number| {
            let id = format!("L-{number:05}");
            format!("('patient', '{id}', 'create', '{}')", patient(&id))
        })
        .collect();
    format!("INSERT INTO sync_outbox (aggregate_type, aggregate_id, operation, payload) VALUES {}", rows.join(", "))
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_swaps_while_twenty_thousand_changes_flow() {
    let Some(openemr) = openemr_database("8.2.0").await else { return };
    let host = host(&openemr);
    let component = fs::read(adapter("openemr")).expect("adapter");
    let mut running = host.spawn(&["run"]).expect("spawn");
    wait_for_up(&host, &mut running);
    let store = tests::database::sqlite_url(&host.folder().join(".host/host.db"));
    for swap in 0..SWAPS {
        let chunk = CHANGES / SWAPS;
        tests::database::execute(&store, &insert(swap * chunk, chunk)).await.expect("insert");
        let before = active(&host);
        // Three builds in turn: what is swapped is then always another one, and compiled once.
        put_in_place(host.folder(), "openemr.wasm", &build(&component, u8::try_from(swap % 3).expect("small")));
        running.signal(HostSignal::Hangup).expect("signal");
        running.wait_until("the swap", LIMIT, || active(&host) != before).expect("wait");
    }
    let all = || host.status()["totals"]["done"] == CHANGES;
    running.wait_until("everything is delivered", LIMIT, all).expect("wait");
    running.signal(HostSignal::Terminate).expect("signal");
    let ended = running.wait(LIMIT).expect("end");
    assert_eq!(ended.status, Some(0), "{}", ended.stderr);
    for trouble in ["target is down", "not swapped", "lease was lost", "rolled back"] {
        assert!(!ended.stderr.contains(trouble), "{trouble}:\n{}", ended.stderr);
    }
    let charts = "SELECT CAST(COUNT(*) AS CHAR), CAST(COUNT(DISTINCT pubpid) AS CHAR) FROM patient_data";
    assert_eq!(rows(openemr.url(), charts).await, [[CHANGES.to_string(), CHANGES.to_string()]]);
    let totals = host.status()["totals"].clone();
    assert_eq!(
        totals,
        json!({"pending": 0, "processing": 0, "done": CHANGES, "failed": 0, "superseded": 0, "dismissed": 0, "skipped": 0})
    );
    let history = host.run(&["plugin", "history", "--json", "--limit", "100"]).expect_success().json();
    let puts = history["history"].as_array().expect("list").iter().filter(|line| line["event"] == "in-force").count();
    assert_eq!(puts, SWAPS + 1);
}

#[tokio::test]
async fn a_failed_canary_is_rejected_and_costs_no_delivery() {
    let Some(openemr) = openemr_database("8.2.0").await else { return };
    let host = host_without_comparison(&openemr);
    let mut running = host.spawn(&["run"]).expect("spawn");
    wait_for_up(&host, &mut running);
    put(&host, &patient("A-0"));
    running.wait_until("delivered", LIMIT, || host.status()["totals"]["done"] == 1).expect("wait");
    let good = fs::read(host.folder().join("openemr.wasm")).expect("adapter");
    let bad = fs::read(adapter("testing-probe")).expect("probe");
    let first = active(&host);
    // With nothing due it is activated, and measured by its first deliveries.
    put_in_place(host.folder(), "openemr.wasm", &bad);
    running.wait_until("it is active", LIMIT, || active(&host) != first).expect("wait");
    put(&host, &patient("A-1"));
    running.wait_until("delivered", LIMIT, || host.status()["totals"]["done"] == 2).expect("wait");
    running.wait_until("it is rolled back", LIMIT, || active(&host) == first).expect("wait");
    put_in_place(host.folder(), "openemr.wasm", &good);
    // While changes flow it is never activated. They flow until it was tried, however quick the host is.
    let store = tests::database::sqlite_url(&host.folder().join(".host/host.db"));
    let history = || host.run(&["plugin", "history"]).expect_success().stdout;
    tests::database::execute(&store, &insert(0, FLOW)).await.expect("insert");
    put_in_place(host.folder(), "openemr.wasm", &build(&bad, 1));
    running.signal(HostSignal::Hangup).expect("signal");
    let mut inserted = FLOW;
    while !history().contains("rejected probe") {
        assert!(inserted < 100 * FLOW, "{}", history());
        tests::database::execute(&store, &insert(inserted, FLOW)).await.expect("insert");
        inserted += FLOW;
    }
    let all = inserted + 2;
    running.wait_until("all delivered", LIMIT, || host.status()["totals"]["done"] == all).expect("wait");
    assert_eq!(active(&host), first);
    assert!(history().contains("rolled back to openemr"), "{}", history());
    assert_eq!(host.status()["totals"]["failed"], 0);
    let slow = rows(openemr.url(), "SELECT CAST(COUNT(DISTINCT pubpid) AS CHAR) FROM patient_data").await;
    assert_eq!(slow, [[all.to_string()]]);
}

#[tokio::test]
async fn after_a_manual_rollback_the_file_stays_inactive_until_requested() {
    let Some(openemr) = openemr_database("8.2.0").await else { return };
    let host = host(&openemr);
    let component = fs::read(adapter("openemr")).expect("adapter");
    let mut running = host.spawn(&["run"]).expect("spawn");
    wait_for_up(&host, &mut running);
    let first = active(&host);
    put_in_place(host.folder(), "openemr.wasm", &build(&component, 7));
    running.wait_until("the swap", LIMIT, || active(&host) != first).expect("wait");
    let second = active(&host);
    let said = host.run(&["plugin", "rollback", "--target", "openemr"]).expect_success().stdout;
    assert!(said.contains(&first), "{said}");
    running.wait_for_log("adapter of the other hosts active", LIMIT).expect("it follows");
    assert_eq!(active(&host), first);
    // Neither the running host nor one that starts takes the file again.
    running.kill();
    let mut running = host.spawn(&["run"]).expect("spawn");
    wait_for_up(&host, &mut running);
    put(&host, &patient("A-1"));
    running.wait_until("delivered", LIMIT, || host.status()["totals"]["done"] == 1).expect("wait");
    assert_eq!(active(&host), first);
    assert!(running.stderr().contains("the file's adapter was rolled back"), "{}", running.stderr());
    let _ = host.run(&["plugin", "reload", "--target", "openemr"]).expect_success();
    running.wait_until("the file again", LIMIT, || active(&host) == second).expect("wait");
    let unknown = host.run(&["plugin", "rollback", "--target", "openemr", "--to", "ffffff"]);
    assert_eq!(unknown.status, Some(1));
    assert!(unknown.stderr.contains("host plugin history"), "{}", unknown.stderr);
}

#[tokio::test]
async fn after_an_automatic_rollback_a_manual_one_activates_the_adapter_that_worked_before() {
    let Some(openemr) = openemr_database("8.2.0").await else { return };
    let host = host_without_comparison(&openemr);
    let component = fs::read(adapter("openemr")).expect("adapter");
    let mut running = host.spawn(&["run"]).expect("spawn");
    wait_for_up(&host, &mut running);
    let deliver = |running: &mut RunningHost, number: usize| {
        put(&host, &patient(&format!("A-{number}")));
        running.wait_until("delivered", LIMIT, || host.status()["totals"]["done"] == number).expect("wait");
    };
    deliver(&mut running, 1);
    let first = active(&host);
    put_in_place(host.folder(), "openemr.wasm", &build(&component, 7));
    running.wait_until("the swap", LIMIT, || active(&host) != first).expect("wait");
    deliver(&mut running, 2);
    let second = active(&host);
    // It is activated with nothing due, and fails its first delivery.
    put_in_place(host.folder(), "openemr.wasm", &fs::read(adapter("testing-probe")).expect("probe"));
    running.wait_until("the broken one is active", LIMIT, || active(&host) != second).expect("wait");
    let broken = active(&host);
    deliver(&mut running, 3);
    running.wait_until("it is rolled back", LIMIT, || active(&host) == second).expect("wait");

    let _ = host.run(&["target", "pause", "openemr"]).expect_success();
    running.wait_for_log("target paused", LIMIT).expect("wait");
    for number in 4..=6 {
        put(&host, &patient(&format!("A-{number}")));
    }
    let said = host.run(&["plugin", "rollback", "--target", "openemr"]).expect_success().stdout;
    assert!(said.contains(&format!("rolls back to openemr {} sha256:{first}", version(&host))), "{said}");
    assert!(!said.contains(&broken) && active(&host) == first, "{said}");
    running.wait_for_log("adapter of the other hosts active", LIMIT).expect("it follows");
    let _ = host.run(&["target", "resume", "openemr"]).expect_success();
    running.wait_until("what waited", LIMIT, || host.status()["totals"]["done"] == 6).expect("wait");

    // Both adapters that were rolled back stay out, also for a host that starts alone with the broken one's file.
    running.signal(HostSignal::Terminate).expect("signal");
    let _ = running.wait(LIMIT).expect("end").expect_success();
    let mut running = host.spawn(&["run"]).expect("spawn");
    wait_for_up(&host, &mut running);
    deliver(&mut running, 7);
    assert_eq!(active(&host), first);
    let recent = host.status()["recent"].as_array().expect("list").clone();
    assert_eq!(recent.len(), 7);
    assert!(recent.iter().all(|one| one["attempts"] == 1), "no delivery paid for any of it: {recent:?}");
}

#[tokio::test]
async fn another_host_adopts_the_active_adapter_despite_its_older_file() {
    let Some(openemr) = openemr_database("8.2.0").await else { return };
    let one = host(&openemr);
    let store = tests::database::sqlite_url(&one.folder().join(".host/host.db"));
    let other = {
        let configuration = Configuration::new(&store)
            .openemr(Path::new("openemr.wasm"), openemr.url())
            .more("\n[plugins]\ndirectory = \".\"\n")
            .more(QUICK);
        let host = Host::new(&configuration).expect("host");
        put_in_place(host.folder(), "openemr.wasm", &fs::read(adapter("openemr")).expect("adapter"));
        host
    };
    let mut first = one.spawn(&["run"]).expect("spawn");
    wait_for_up(&one, &mut first);
    let mut second = other.spawn(&["run"]).expect("spawn");
    second.wait_until("two hosts", LIMIT, || one.status()["hosts_running"] == 2).expect("wait");
    let old = active(&one);
    put_in_place(one.folder(), "openemr.wasm", &build(&fs::read(adapter("openemr")).expect("adapter"), 9));
    first.wait_until("the swap", LIMIT, || active(&one) != old).expect("wait");
    second.wait_for_log("adapter of the other hosts active", LIMIT).expect("the other host follows");
    // And it keeps to it when it starts anew next to the first.
    let new = active(&one);
    second.kill();
    let mut again = other.spawn(&["run"]).expect("spawn");
    again.wait_for_log("other hosts use another adapter", LIMIT).expect("it takes the store's");
    assert_eq!(active(&one), new);
}
