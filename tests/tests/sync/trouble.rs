//! Outages and what an operator sees of them.

use std::time::Duration;

use tests::host::{Configuration, Host};
use tests::servers::process::free_port;

use crate::support::{QUICK, adapter, host_with_openemr, openemr_database, patient, put, rows};

#[tokio::test]
async fn an_unreachable_openemr_is_reported_and_nothing_is_lost() {
    let Some(openemr) = openemr_database("7.0.2").await else { return };
    let port = free_port().expect("port");
    let dead = format!("mysql://openemr:secret-word@127.0.0.1:{port}/openemr");
    let host = host_with_openemr(&dead);
    put(&host, &patient("A-1"));
    let ended = host.run(&["run", "--until-idle"]);
    assert_eq!(ended.status, Some(1), "something is left: {}", ended.stdout);
    let status = host.status();
    let error = status["targets"]["openemr"]["error"].as_str().expect("error");
    assert!(error.starts_with("Can't connect to MySQL server on '127.0.0.1'"), "{error}");
    assert!(error.contains("connection refused"), "with the reason: {error}");
    assert_eq!(status["targets"]["openemr"]["state"], "down");
    assert_eq!((&status["totals"]["pending"], &status["totals"]["failed"]), (&1.into(), &0.into()));
    assert_eq!(status["recent"][0]["error"].as_str(), Some(error), "the row has it too");
    let shown = host.run(&["status"]).expect_success();
    assert!(!format!("{}{}{}", ended.stderr, shown.stdout, status).contains("secret-word"));

    // The server comes back at its own address.
    host.configure(
        &Configuration::new("sqlite://.host/host.db").openemr(&adapter("openemr"), openemr.url()).more(QUICK),
    )
    .expect("configure");
    let _ = host.run(&["run", "--until-idle"]).expect_success();
    assert_eq!(host.status()["totals"]["done"], 1);
    assert_eq!(rows(openemr.url(), "SELECT pubpid FROM patient_data").await, [["A-1"]]);
}

#[tokio::test]
async fn a_running_host_delivers_when_openemr_comes_back() {
    let Some(openemr) = openemr_database("7.0.2").await else { return };
    openemr.execute("RENAME TABLE patient_data TO patient_data_away").await.expect("rename");
    let host = host_with_openemr(openemr.url());
    put(&host, &patient("A-1"));
    let mut running = host.spawn(&["run"]).expect("spawn");
    let down = || {
        let status = host.status();
        status["targets"]["openemr"]["error"].as_str().is_some_and(|error| error.contains("patient_data"))
    };
    running.wait_until("the missing table is named", Duration::from_secs(60), down).expect("wait");
    openemr.execute("RENAME TABLE patient_data_away TO patient_data").await.expect("rename");
    let done = || host.status()["totals"]["done"] == 1;
    running.wait_until("it is delivered with no restart", Duration::from_secs(60), done).expect("wait");
}

#[test]
fn a_target_without_its_adapter_is_down_and_the_others_deliver() {
    let folder = tempfile::tempdir().expect("folder");
    let openemr = tests::database::sqlite_url(&folder.path().join("openemr.db"));
    let load =
        || async { tests::database::load_sql(&openemr, &tests::environment::fixture("openemr/sqlite.sql")).await };
    tokio::runtime::Runtime::new().expect("runtime").block_on(load()).expect("load");
    let configuration = Configuration::new("sqlite://.host/host.db")
        .openemr(&adapter("openemr"), &openemr)
        .more("\n[targets.other]\nadapter = \"missing.wasm\"\n[targets.other.database]\nurl = \"sqlite://x.db\"\n")
        .more(QUICK);
    let host = Host::new(&configuration).expect("host");
    put(&host, &patient("A-1"));
    assert_eq!(host.run(&["run", "--until-idle"]).status, Some(1));
    let status = host.status();
    assert_eq!(status["targets"]["openemr"]["done"], 1);
    assert_eq!(status["targets"]["other"]["pending"], 1);
    let error = status["targets"]["other"]["error"].as_str().expect("error");
    assert!(error.contains("missing.wasm"), "{error}");
    let check = host.run(&["check"]);
    assert_eq!(check.status, Some(5), "{}", check.stdout);
}

#[tokio::test]
async fn a_paused_target_gets_nothing_until_it_is_resumed() {
    let Some(openemr) = openemr_database("7.0.2").await else { return };
    let host = host_with_openemr(openemr.url());
    let _ = host.run(&["target", "pause", "openemr"]).expect_success();
    put(&host, &patient("A-1"));
    let ended = host.run(&["run", "--until-idle"]);
    assert_eq!(ended.status, Some(1), "{}", ended.stdout);
    assert!(ended.stdout.contains("openemr: paused"), "{}", ended.stdout);
    assert_eq!(host.status()["targets"]["openemr"]["state"], "paused");
    assert_eq!(rows(openemr.url(), "SELECT pubpid FROM patient_data").await.len(), 0);
    let mut running = host.spawn(&["run"]).expect("spawn");
    let _ = host.run(&["target", "resume", "openemr"]).expect_success();
    let done = || host.status()["totals"]["done"] == 1;
    running.wait_until("it is delivered after the pause", Duration::from_secs(60), done).expect("wait");
}
