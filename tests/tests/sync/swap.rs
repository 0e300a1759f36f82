//! A new adapter file is taken up while the host runs; a bad one is not.

use std::fs;
use std::time::Duration;

use tests::environment::{adapter_0_1, fhir_url};
use tests::host::{Configuration, Host};

use crate::fhir::{get, unique};
use crate::support::{QUICK, adapter, openemr_database, patient, put, rows};

/// Another file with the same behaviour: an empty custom section at the end, as any tool may append one.
fn newer_build(component: &[u8]) -> Vec<u8> {
    let mut bytes = component.to_vec();
    bytes.extend([0, 5, 4, b'n', b'o', b't', b'e']);
    bytes
}

#[tokio::test]
async fn a_newer_build_is_activated_without_restart_and_a_broken_one_rejected() {
    let Some(openemr) = openemr_database("7.0.2").await else { return };
    let original = fs::read(adapter("openemr")).expect("adapter");
    let configuration = Configuration::new("sqlite://.host/host.db")
        .openemr(std::path::Path::new("openemr.wasm"), openemr.url())
        .more("\n[plugins]\ndirectory = \".\"\n")
        .more(QUICK);
    let host = Host::new(&configuration).expect("host");
    let file = host.folder().join("openemr.wasm");
    fs::write(&file, &original).expect("write");
    let mut running = host.spawn(&["run"]).expect("spawn");
    let active = || host.status()["targets"]["openemr"]["adapter"]["sha256"].as_str().map(str::to_owned);
    let up = || host.status()["targets"]["openemr"]["state"] == "up";
    running.wait_until("the target is up", Duration::from_secs(60), up).expect("wait");
    let first = active().expect("active");

    fs::write(&file, newer_build(&original)).expect("write");
    let swapped = || active().is_some_and(|sha256| sha256 != first);
    running.wait_until("the newer build is active", Duration::from_secs(60), swapped).expect("wait");
    let second = active();

    fs::write(&file, b"no component").expect("write");
    let refused =
        || host.status()["targets"]["openemr"]["error"].as_str().is_some_and(|error| error.contains("rejected"));
    running.wait_until("the broken one is refused", Duration::from_secs(60), refused).expect("wait");
    assert_eq!(active(), second, "the old one goes on");
    put(&host, &patient("A-1"));
    let done = || host.status()["totals"]["done"] == 1;
    running.wait_until("it still delivers", Duration::from_secs(60), done).expect("wait");
}

/// The interface that the adapter file of this target speaks, as `plugin inspect` reads it.
fn interface(host: &Host, target: &str) -> String {
    let output = host.run(&["plugin", "inspect", "--json", &format!("{target}.wasm")]).expect_success();
    let found: serde_json::Value = serde_json::from_str(&output.stdout).expect("JSON");
    found["interface_version"].as_str().expect("a version").to_owned()
}

/// Tries the adapter of interface 0.1 for this target in a dry run, delivers these patients through it, through the one
/// of 0.2, and through the first again. Returns what the dry run printed.
fn swap_for_0_2_and_back(host: &Host, target: &str, ids: [&str; 3]) -> String {
    let (old, new) = (fs::read(adapter_0_1(target)).expect("fixture"), fs::read(adapter(target)).expect("adapter"));
    let file = host.folder().join(format!("{target}.wasm"));
    fs::write(&file, &old).expect("write");
    assert_eq!(interface(host, target), "0.1.0");

    put(host, &patient(ids[0]));
    let dry_run = host.run(&["plugin", "dry-run", "--patient", ids[0]]).expect_success();

    let mut running = host.spawn(&["run"]).expect("spawn");
    let active = || host.status()["targets"][target]["adapter"]["sha256"].as_str().map(str::to_owned);
    let done = |count: u64| host.status()["totals"]["done"] == count;
    running.wait_until("0.1 delivers", Duration::from_secs(60), || done(1)).expect("wait");
    let first = active().expect("active");

    // A newer build is written under another name and moved over the old file, as the documentation describes.
    for (step, component) in [(1_usize, &new), (2, &old)] {
        let before = active();
        let next = host.folder().join("next.wasm");
        fs::write(&next, component).expect("write");
        fs::rename(&next, &file).expect("rename");
        // The first delivery of each is its canary: an update of what the other one wrote, and a new patient.
        let mut moved = patient(ids[0]);
        moved["city"] = format!("Town {step}").into();
        put(host, &moved);
        put(host, &patient(ids[step]));
        running
            .wait_until("the other interface is active", Duration::from_secs(60), || active() != before)
            .expect("wait");
        running.wait_until("it delivers", Duration::from_secs(60), || done(1 + 2 * step as u64)).expect("wait");
    }
    assert_eq!(active(), Some(first), "back at 0.1");
    dry_run.stdout
}

#[tokio::test]
async fn an_adapter_of_interface_0_1_delivers_and_is_swapped_for_0_2_and_back() {
    let Some(openemr) = openemr_database("7.0.2").await else { return };
    let configuration = Configuration::new("sqlite://.host/host.db")
        .openemr(std::path::Path::new("openemr.wasm"), openemr.url())
        .more("\n[plugins]\ndirectory = \".\"\n")
        .more(QUICK);
    let host = Host::new(&configuration).expect("host");
    let dry_run = swap_for_0_2_and_back(&host, "openemr", ["V-0", "V-1", "V-2"]);
    assert!(dry_run.contains("[ANSWER] applied: ID 1\n"), "{dry_run}");
    let charts = rows(openemr.url(), "SELECT pubpid, city FROM patient_data ORDER BY pubpid").await;
    let expected = [["V-0", "Town 2"], ["V-1", "Busan"], ["V-2", "Busan"]].map(|row| row.map(str::to_owned).to_vec());
    assert_eq!(charts, expected, "each patient once, the newest state");
}

#[test]
fn a_fhir_adapter_of_interface_0_1_delivers_and_is_swapped_for_0_2_and_back() {
    let Some(url) = fhir_url() else { return };
    let configuration = Configuration::new("sqlite://.host/host.db")
        .fhir(std::path::Path::new("fhir.wasm"), &url)
        .more("\n[plugins]\ndirectory = \".\"\n")
        .more(QUICK);
    let host = Host::new(&configuration).expect("host");
    let ids = ["V0", "V1", "V2"].map(unique);
    let dry_run = swap_for_0_2_and_back(&host, "fhir", ids.each_ref().map(String::as_str));
    assert!(dry_run.contains("[ANSWER] unknown: nothing was written"), "{dry_run}");
    for (id, city) in ids.iter().zip(["Town 2", "Busan", "Busan"]) {
        let found = get(&format!("{url}/Patient?identifier=urn:neuronova:patient-id%7C{id}"));
        let cities: Vec<_> = found["entry"].as_array().expect("entries").iter().map(city_of).collect();
        assert_eq!(cities, [city], "each patient once, the newest state");
    }
}

/// The city of a search's entry.
fn city_of(entry: &serde_json::Value) -> &str {
    entry["resource"]["address"][0]["city"].as_str().unwrap_or_default()
}
