//! Hosts of one store that do not have the same targets: nothing is lost, and the difference is named.

use std::time::Duration;

use tests::host::{Configuration, Host, HostSignal};

use crate::slow_server::{Answer, SlowServer};
use crate::support::{QUICK, directory, patient, put};

const LIMIT: Duration = Duration::from_secs(90);

fn done(host: &Host, target: &str) -> i64 {
    host.status()["targets"][target]["done"].as_i64().unwrap_or_default()
}

#[test]
fn a_target_that_only_one_of_two_hosts_has_gets_every_change() {
    let servers = ["x", "y"].map(|_| SlowServer::start(Duration::ZERO, Answer::AtOnce));
    let [x, y] = ["x", "y"].map(|name| directory(name, &servers[usize::from(name == "y")].url()));
    let one = Host::new(&Configuration::new("sqlite://.host/host.db").more(&x).more(QUICK)).expect("host");
    let store = tests::database::sqlite_url(&one.folder().join(".host/host.db"));
    let other = Host::new(&Configuration::new(&store).more(&x).more(&y).more(QUICK)).expect("host");
    // The host that lacks a target has run alone, and knows nothing of it.
    let mut first = one.spawn(&["run"]).expect("spawn");
    put(&one, &patient("P-00"));
    first.wait_until("it delivers alone", LIMIT, || done(&one, "x") == 1).expect("wait");
    let mut second = other.spawn(&["run"]).expect("spawn");
    second.wait_until("both run", LIMIT, || one.status()["hosts_running"] == 2).expect("wait");
    for number in 1..=20 {
        put(&one, &patient(&format!("P-{number:02}")));
    }
    first.wait_until("y has every change", LIMIT, || done(&one, "y") == 20 && done(&one, "x") == 21).expect("wait");
    assert_eq!(servers[1].patients().len(), 20, "as many as were written while it was a target");
    first.wait_for_log("not every host has target `y`", LIMIT).expect("wait");
    let shown = one.run(&["status"]).expect_success().stdout;
    assert!(shown.contains("not every host has target `y`"), "{shown}");
    assert!(one.run(&["check"]).stdout.contains("not every host has target `y`"), "check compares as well");

    // Without the host that has it, its changes wait, and a look at the status changes nothing.
    second.signal(HostSignal::Terminate).expect("signal");
    let ended = second.wait(LIMIT).expect("end");
    assert_eq!(ended.status, Some(0), "{}", ended.stderr);
    assert!(ended.stderr.contains("delivered"), "what was delivered is in its log: {}", ended.stderr);
    put(&one, &patient("P-99"));
    first.wait_until("x has it", LIMIT, || done(&one, "x") == 22).expect("wait");
    let status = one.status();
    assert_eq!((&status["targets"]["y"]["pending"], &status["targets"]["y"]["enabled"]), (&1.into(), &true.into()));
    let difference = status["host_differences"][0].as_str().expect("difference").to_owned();
    assert!(difference.contains("no running host has target `y`"), "{difference}");
    let mut again = other.spawn(&["run"]).expect("spawn");
    again.wait_until("it comes to the host that has it", LIMIT, || done(&one, "y") == 21).expect("wait");
}

/// The status shows the last report: one host that cannot reach a target must not hide that another one delivers.
#[test]
fn a_delivery_by_one_host_ends_the_outage_reported_by_another() {
    let server = SlowServer::start(Duration::ZERO, Answer::AtOnce);
    let sound = directory("x", &server.url());
    let one = Host::new(&Configuration::new("sqlite://.host/host.db").more(&sound).more(QUICK)).expect("host");
    let store = tests::database::sqlite_url(&one.folder().join(".host/host.db"));
    let astray = directory("x", "http://127.0.0.1:9");
    let other = Host::new(&Configuration::new(&store).more(&astray).more(QUICK)).expect("host");
    let mut first = one.spawn(&["run"]).expect("spawn");
    put(&one, &patient("P-1"));
    first.wait_until("it delivers", LIMIT, || done(&one, "x") == 1).expect("wait");
    let state = || one.status()["targets"]["x"]["state"].as_str().unwrap_or_default().to_owned();
    let mut second = other.spawn(&["run"]).expect("spawn");
    second.wait_until("the other one reports an outage", LIMIT, || state() == "down").expect("wait");
    second.kill();
    assert_eq!(state(), "down");
    put(&one, &patient("P-2"));
    first.wait_until("a delivery shows that it is up", LIMIT, || state() == "up").expect("wait");
    assert_eq!(done(&one, "x"), 2);
}

#[test]
fn an_operator_can_disable_a_target_that_no_host_has() {
    let server = SlowServer::start(Duration::ZERO, Answer::AtOnce);
    let (x, y) = (directory("x", &server.url()), directory("y", &server.url()));
    let host = Host::new(&Configuration::new("sqlite://.host/host.db").more(&x).more(&y).more(QUICK)).expect("host");
    put(&host, &patient("P-1"));
    let _ = host.run(&["run", "--until-idle"]).expect_success();
    host.configure(&Configuration::new("sqlite://.host/host.db").more(&x).more(QUICK)).expect("configure");
    put(&host, &patient("P-2"));
    let ended = host.run(&["run", "--until-idle"]);
    assert_eq!(ended.status, Some(1), "its change waits: {}", ended.stdout);
    assert!(ended.stdout.contains("y: this host does not have it"), "{}", ended.stdout);
    let refused = host.run(&["target", "disable", "z"]);
    assert!(refused.stderr.contains("(known: `x`, `y`)"), "{}", refused.stderr);
    let _ = host.run(&["target", "disable", "y"]).expect_success();
    put(&host, &patient("P-3"));
    let _ = host.run(&["run", "--until-idle"]).expect_success();
    let status = host.status();
    assert_eq!((&status["targets"]["y"]["pending"], &status["targets"]["x"]["done"]), (&1.into(), &3.into()));
}

#[test]
fn a_target_that_its_host_disables_gets_no_more_deliveries() {
    let server = SlowServer::start(Duration::ZERO, Answer::AtOnce);
    let (x, y) = (directory("x", &server.url()), directory("y", &server.url()));
    let with = |y: &str| Configuration::new("sqlite://.host/host.db").more(&x).more(y).more(QUICK);
    let host = Host::new(&with(&y)).expect("host");
    put(&host, &patient("P-1"));
    let _ = host.run(&["run", "--until-idle"]).expect_success();
    host.configure(&with(&y.replace("[targets.y]", "[targets.y]\nenabled = false"))).expect("configure");
    assert_eq!(host.status()["targets"]["y"]["enabled"], true, "a command that reads writes nothing");
    put(&host, &patient("P-2"));
    let _ = host.run(&["run", "--until-idle"]).expect_success();
    let status = host.status();
    assert_eq!((&status["targets"]["y"]["done"], &status["targets"]["y"]["enabled"]), (&1.into(), &false.into()));
}
