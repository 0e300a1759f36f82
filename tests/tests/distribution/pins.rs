//! `adapters.lock` at run time, the compile cache, and a host that runs while adapters come and go.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tests::database::Database;
use tests::environment::{Backend, adapter, fixture};
use tests::host::{Configuration, Host};

use crate::support::{assert_refused, host, host_of, installed, newer_build};

const QUICK: &str = "\n[sync]\npoll_interval_ms = 20\n[sync.breaker]\nopen_ms = 100\ncap_ms = 300\n";

fn install(host: &Host) {
    let _ = host.run(&["plugin", "install", "release.wasm", "--name", "openemr"]).expect_success();
}

#[test]
fn a_file_changed_after_its_installation_is_not_loaded() {
    let host = host("");
    install(&host);
    let _ = host.run(&["migrate"]).expect_success();
    newer_build(&installed(&host));
    let listed = host.run(&["plugin", "list"]);
    assert_eq!(listed.status, Some(5));
    assert!(listed.stdout.contains("is not the file that adapters.lock pins"), "{}", listed.stdout);
    let checked = host.run(&["check"]);
    assert_eq!(checked.status, Some(5), "{}", checked.stdout);
    assert!(checked.stdout.contains("host plugin install --name openemr"), "{}", checked.stdout);
    install(&host);
    let _ = host.run(&["plugin", "list"]).expect_success();
}

#[test]
fn with_a_damaged_lock_file_no_pinned_adapter_is_loaded() {
    let host = host("");
    install(&host);
    fs::write(host.folder().join("adapters.lock"), "version = 1\n[[adapter]]\nname = ").expect("write");
    let listed = host.run(&["plugin", "list"]);
    assert_eq!(listed.status, Some(5));
    assert!(listed.stdout.contains("adapters.lock: line 3"), "{}", listed.stdout);
    assert_refused(&host.run(&["plugin", "install", "release.wasm"]), 5, &["adapters.lock: line 3", "last valid one"]);
}

#[test]
fn a_file_that_is_not_an_adapter_of_this_world_is_not_installed() {
    let host = host("");
    install(&host);
    let before = fs::read(installed(&host)).expect("file");
    fs::write(host.folder().join("release.wasm"), "no component").expect("write");
    let again = || host.run(&["plugin", "install", "release.wasm", "--name", "openemr", "--update"]);
    assert_refused(&again(), 5, &["is not a WebAssembly component"]);
    fs::copy(adapter("fhir"), host.folder().join("release.wasm")).expect("copy");
    assert_refused(&again(), 5, &["is an adapter for the world `http-target`"]);
    assert_eq!(fs::read(installed(&host)).expect("file"), before);
}

#[test]
fn a_corrupted_compile_cache_entry_is_rebuilt() {
    let host = host("");
    install(&host);
    let list = || host.run(&["plugin", "list"]).expect_success();
    let _ = list();
    let compiled = || -> PathBuf {
        let entries = fs::read_dir(host.folder().join(".host/cache")).expect("cache");
        let mut files = entries.map(|entry| entry.expect("entry").path());
        files.find(|path| path.extension().is_some_and(|extension| extension == "cwasm")).expect("compiled")
    };
    let good = fs::read(compiled()).expect("read");
    let mut bad = good.clone();
    bad[good.len() / 2] ^= 1;
    for damaged in [bad, good[..good.len() / 2].to_vec(), Vec::new()] {
        fs::write(compiled(), damaged).expect("damage");
        let healed = list();
        assert!(healed.stderr.contains("compiled adapter is damaged, compiling it anew"), "{}", healed.stderr);
        assert!(healed.stderr.contains(".cwasm"), "it names the file: {}", healed.stderr);
        assert_eq!(list().stderr, "", "it is sound again");
    }
}

#[tokio::test]
async fn a_running_host_loads_only_installed_adapters() {
    let Some(openemr) = Database::fresh(Backend::MariaDb).await.expect("fresh database") else { return };
    openemr.load_sql(&fixture("openemr/7.0.2.sql")).await.expect("load the tables of OpenEMR");
    let configuration =
        Configuration::new("sqlite://.host/host.db").more(QUICK).openemr(Path::new("openemr.wasm"), openemr.url());
    let host = host_of(configuration, "");
    install(&host);
    let target = || host.status()["targets"]["openemr"].clone();
    let active = || target()["adapter"]["sha256"].as_str().map(str::to_owned);
    let error = |words: &str| target()["error"].as_str().is_some_and(|error| error.contains(words));
    let limit = Duration::from_secs(60);
    let mut running = host.spawn(&["run"]).expect("spawn");
    running.wait_until("the target is up", limit, || target()["state"] == "up").expect("wait");
    let first = active().expect("active");

    newer_build(&host.folder().join("release.wasm"));
    let _ = host.run(&["plugin", "install", "release.wasm", "--name", "openemr", "--update"]).expect_success();
    let swapped = || active().is_some_and(|sha256| sha256 != first);
    running.wait_until("the installed one is active", limit, swapped).expect("wait");
    let second = active();

    newer_build(&installed(&host));
    running.wait_until("the changed file is refused", limit, || error("adapters.lock pins")).expect("wait");
    assert_eq!((active(), &target()["state"]), (second, &serde_json::json!("up")), "the old one goes on");
}

#[test]
fn a_host_that_starts_with_a_changed_file_reports_it_and_recovers_with_the_original() {
    let configuration = Configuration::new("sqlite://.host/host.db")
        .more(QUICK)
        .openemr(Path::new("openemr.wasm"), "sqlite://openemr.db");
    let host = host_of(configuration, "");
    install(&host);
    newer_build(&installed(&host));
    let mut running = host.spawn(&["run"]).expect("spawn");
    let error =
        |words: &str| host.status()["targets"]["openemr"]["error"].as_str().is_some_and(|error| error.contains(words));
    let limit = Duration::from_secs(60);
    running.wait_until("it is refused", limit, || error("is not the file that adapters.lock pins")).expect("wait");
    install(&host);
    // The database of this test does not exist: that is the next error.
    running.wait_until("it is loaded", limit, || error("openemr.db")).expect("wait");
}
