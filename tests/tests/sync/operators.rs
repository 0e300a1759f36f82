//! Commands of an operator to a host that cannot continue, and their output.

use std::time::Duration;

use tests::host::{Configuration, Host};
use tests::servers::process::free_port;

use crate::slow_server::{Answer, SlowServer};
use crate::support::{QUICK, directory, patient, put};

const LIMIT: Duration = Duration::from_secs(60);
/// A breaker that would delay the test too long.
const PATIENT: &str = "\n[sync]\npoll_interval_ms = 20\n[sync.breaker]\nopen_ms = 600000\ncap_ms = 600000\n";

fn is(host: &Host, state: &str) -> bool {
    host.status()["targets"]["x"]["state"] == state
}

#[test]
fn a_probe_or_a_resume_detects_a_repaired_target_at_once() {
    for commands in [&[&["target", "probe", "x"][..]][..], &[&["target", "pause", "x"], &["target", "resume", "x"]]] {
        let port = free_port().expect("port");
        let url = format!("http://127.0.0.1:{port}");
        let host = Host::new(&Configuration::new("sqlite://.host/host.db").more(&directory("x", &url)).more(PATIENT))
            .expect("host");
        put(&host, &patient("O-1"));
        let mut running = host.spawn(&["run"]).expect("spawn");
        running.wait_until("it is down", LIMIT, || is(&host, "down")).expect("wait");
        let _server = SlowServer::start_on(port, Duration::ZERO, Answer::AtOnce);
        for command in commands {
            let _ = host.run(command).expect_success();
        }
        running.wait_until("it is delivered", LIMIT, || host.status()["totals"]["done"] == 1).expect("wait");
    }
}

#[test]
fn a_running_host_resumes_at_the_end_of_a_pause() {
    let server = SlowServer::start(Duration::ZERO, Answer::AtOnce);
    let configuration = Configuration::new("sqlite://.host/host.db").more(&directory("x", &server.url())).more(QUICK);
    let host = Host::new(&configuration).expect("host");
    let mut running = host.spawn(&["run"]).expect("spawn");
    running.wait_until("it is up", LIMIT, || is(&host, "up")).expect("wait");
    let paused = host.run(&["target", "pause", "x", "--for", "6s"]).expect_success();
    assert!(paused.stdout.starts_with("target x is paused until 20"), "{}", paused.stdout);
    running.wait_for_log("target paused", LIMIT).expect("wait");
    put(&host, &patient("O-1"));
    assert_eq!(host.status()["totals"]["done"], 0);
    running.wait_until("it is delivered", LIMIT, || host.status()["totals"]["done"] == 1).expect("wait");
    let ended = &host.status()["targets"]["x"];
    assert_eq!((&ended["state"], &ended["paused_until"]), (&"up".into(), &serde_json::Value::Null));
}

#[test]
fn run_until_idle_without_an_enabled_target_ends_with_the_reason() {
    let target = directory("x", "http://127.0.0.1:1").replace("[targets.x]", "[targets.x]\nenabled = false");
    let host = Host::new(&Configuration::new("sqlite://.host/host.db").more(&target)).expect("host");
    put(&host, &patient("O-1"));
    let ended = host.spawn(&["run", "--until-idle"]).expect("spawn").wait(LIMIT).expect("end");
    assert_eq!(ended.status, Some(3), "{}", ended.stderr);
    assert!(ended.stderr.contains("no target is enabled"), "{}", ended.stderr);
}

#[tokio::test]
async fn run_until_idle_ends_if_the_store_cannot_be_written() {
    let server = SlowServer::start(Duration::ZERO, Answer::AtOnce);
    let configuration = Configuration::new("sqlite://.host/host.db").more(&directory("x", &server.url())).more(QUICK);
    // At the start, and in the midst of it.
    for table in ["INSERT ON sync_host", "UPDATE ON sync_outbox"] {
        let host = Host::new(&configuration).expect("host");
        put(&host, &patient("O-1"));
        let store = tests::database::sqlite_url(&host.folder().join(".host/host.db"));
        let trigger = format!("CREATE TRIGGER broken BEFORE {table} BEGIN SELECT RAISE(ABORT, 'no space left'); END");
        tests::database::execute(&store, &trigger).await.expect("trigger");
        let ended = host.spawn(&["run", "--until-idle"]).expect("spawn").wait(LIMIT).expect("end");
        assert_eq!(ended.status, Some(4), "{table}: {}", ended.stderr);
        assert!(ended.stderr.contains("error:"), "{table}: {}", ended.stderr);
        let said = ended.stderr.matches("the router cannot reach the store").count();
        assert!(said <= 1, "{table}: said {said} times");
    }
}

#[tokio::test]
async fn the_run_summary_counts_changes_that_the_host_refused() {
    let server = SlowServer::start(Duration::ZERO, Answer::AtOnce);
    let configuration = Configuration::new("sqlite://.host/host.db").more(&directory("x", &server.url())).more(QUICK);
    let host = Host::new(&configuration).expect("host");
    put(&host, &patient("O-1"));
    let store = tests::database::sqlite_url(&host.folder().join(".host/host.db"));
    let unreadable = "INSERT INTO sync_outbox (aggregate_type, aggregate_id, operation, payload, created_at) \
                      VALUES ('patient', 'O-2', 'create', '{}', 1.5)";
    tests::database::execute(&store, unreadable).await.expect("insert");
    let ended = host.run(&["run", "--until-idle"]).expect_success();
    assert!(ended.stdout.contains("x: 1 delivered, 1 failed"), "{}", ended.stdout);
}
