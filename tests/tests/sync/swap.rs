//! A new adapter file is taken up while the host runs; a bad one is not.

use std::fs;
use std::time::Duration;

use tests::host::{Configuration, Host};

use crate::support::{QUICK, adapter, openemr_database, patient, put};

/// Another file with the same behaviour: an empty custom section at the end, as any tool may append one.
fn newer_build(component: &[u8]) -> Vec<u8> {
    let mut bytes = component.to_vec();
    bytes.extend([0, 5, 4, b'n', b'o', b't', b'e']);
    bytes
}

#[tokio::test]
async fn a_newer_build_is_taken_up_without_restart_and_a_broken_one_is_refused() {
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
