//! The listener of a real host: ready, alive, its port taken, and switched off.

use std::net::TcpListener;

use tests::host::{Configuration, Host};
use tests::servers::process::{free_port, is_free};

use super::directory::{Answer, Directory};
use super::{LIMIT, Watched, configuration, patient};

#[test]
fn a_host_stays_ready_and_alive_while_its_target_is_down() {
    let directory = Directory::start();
    let watched = Watched::new(&directory.url());
    let mut running = watched.host.spawn(&["run"]).expect("start");
    let is = |path: &str, status: u16| watched.get(path).is_some_and(|answer| answer.0 == status);
    running.wait_until("it is ready", LIMIT, || is("/readyz", 200)).expect("ready");
    let up = "neuronova_target_up{target=\"phones\"}";
    running.wait_until("the target is up", LIMIT, || watched.value(up) == Some(1.0)).expect("up");
    directory.answer(Answer::Down);
    watched.put(&patient("L-1"));
    running.wait_until("the target is down", LIMIT, || watched.value(up) == Some(0.0)).expect("down");
    assert_eq!(watched.value("neuronova_breaker_state{target=\"phones\",state=\"closed\"}"), Some(0.0));
    let pending = "neuronova_queue_deliveries{target=\"phones\",status=\"pending\"}";
    running.wait_until("the delivery waits", LIMIT, || watched.value(pending) == Some(1.0)).expect("pending");
    assert!(is("/readyz", 200) && is("/livez", 200), "{:?}", watched.get("/readyz"));
    directory.answer(Answer::Takes);
    running.wait_until("the target is up again", LIMIT, || watched.value(up) == Some(1.0)).expect("up again");
    let done = "neuronova_deliveries_total{target=\"phones\",outcome=\"done\",kind=\"none\"}";
    running.wait_until("the delivery", LIMIT, || watched.value(done) == Some(1.0)).expect("delivered");
    assert!(watched.value("neuronova_last_delivery_timestamp_seconds{target=\"phones\"}").is_some_and(|at| at > 1e9));
}

#[test]
fn the_status_over_http_is_that_of_the_command_without_patients() {
    let directory = Directory::start();
    let watched = Watched::new(&directory.url());
    watched.put(&patient("L-2"));
    let mut running = watched.host.spawn(&["run"]).expect("start");
    let done = |status: &serde_json::Value| status["totals"]["done"] == 1 && status["hosts_running"] == 1;
    running.wait_until("the delivery", LIMIT, || done(&watched.host.status())).expect("delivered");
    let shown = || serde_json::from_str::<serde_json::Value>(&watched.get("/status.json")?.1).ok();
    running.wait_until("the status shows it", LIMIT, || shown().as_ref().is_some_and(done)).expect("shown");
    let (mut printed, mut shown) = (watched.host.status(), shown().expect("JSON"));
    // Each was read at a moment of its own.
    for status in [&mut printed, &mut shown] {
        assert!(status["targets"]["phones"]["last_delivery_ms"].take().is_u64(), "{status}");
    }
    assert_eq!(printed["recent"][0]["patient_id"], "L-2");
    printed["recent"] = serde_json::json!([]);
    assert_eq!(shown, printed);
}

#[test]
fn a_host_whose_port_is_taken_warns_and_delivers() {
    let directory = Directory::start();
    let taken = TcpListener::bind(("127.0.0.1", 0)).expect("listen");
    let port = taken.local_addr().expect("address").port();
    let host = Host::new(&configuration(port, &directory.url())).expect("host");
    let seed = tests::environment::workspace().join("seeds").join("initial.toml");
    let _ = host.run(&["seed".as_ref(), seed.as_os_str()]).expect_success();
    let run = host.run(&["run", "--until-idle"]).expect_success();
    assert!(run.stdout.contains("phones: 5 delivered"), "{}", run.stdout);
    assert!(run.stderr.contains("this host shows no metrics; fix: ") && run.stderr.contains("WARN"), "{}", run.stderr);
}

#[test]
fn a_host_listens_nowhere_when_that_is_switched_off() {
    let directory = Directory::start();
    let watched = Watched::new(&directory.url());
    let mut running = watched.host.spawn(&["run"]).expect("start");
    running.wait_for_log("listening for monitoring", LIMIT).expect("it listens");
    running.kill();
    assert!(is_free(watched.port), "it is gone with the host");
    let off = configuration(watched.port, &directory.url()).text().replace("listen = ", "enabled = false, listen = ");
    std::fs::write(watched.host.folder().join("host.toml"), off).expect("write");
    let mut running = watched.host.spawn(&["run"]).expect("start");
    running.wait_for_log("target is up", LIMIT).expect("it runs");
    assert!(is_free(watched.port) && !running.stderr().contains("monitoring"), "{}", running.stderr());
}

#[test]
fn an_address_that_others_reach_is_refused_unless_it_is_wanted() {
    let port = free_port().expect("a free port");
    let listen = |more: &str| {
        let text =
            format!("observability = {{ listen = \"0.0.0.0:{port}\"{more} }}\n[store]\nurl = \"sqlite://h.db\"\n");
        let host = Host::new(&Configuration::new("sqlite://h.db")).expect("host");
        std::fs::write(host.folder().join("host.toml"), text).expect("write");
        host
    };
    let refused = listen("").run(&["run"]);
    assert_eq!(refused.status, Some(3), "{}", refused.stderr);
    assert!(refused.stderr.contains("can be reached from other machines"), "{}", refused.stderr);
    let host = listen(", allow_remote = true");
    let mut running = host.spawn(&["run"]).expect("start");
    running.wait_for_log("can be read by everybody who reaches this address", LIMIT).expect("it warns");
    running.wait_for_log("listening for monitoring", LIMIT).expect("it listens");
}
