//! A server that goes on working after the connection was cut: no host sends the same patient again meanwhile.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tests::host::{Configuration, Host, HostSignal, RunningHost};

use crate::slow_server::{Answer, SlowServer};
use crate::support::{adapter, patient, put};

/// How long the server works on its first request of a patient, and how long the hosts take it to.
const WORK: Duration = Duration::from_millis(2_000);
const IN_DOUBT: Duration = Duration::from_millis(2_500);
const LIMIT: Duration = Duration::from_secs(60);

/// A host at this server. Leases of a second are much shorter than what the server may take.
fn host_at(server: &SlowServer, store: &str) -> Host {
    let configuration = Configuration::new(store).more(&format!(
        "\n[sync]\npoll_interval_ms = 20\nlease_ms = 1000\n[sync.breaker]\nopen_ms = 50\ncap_ms = 100\n\
         \n[targets.directory]\nadapter = {}\n[targets.directory.http]\nbase_url = {}\nallow_private = true\n\
         timeout_ms = 1500\nin_doubt_ms = {}\n",
        tests::host::quoted(&adapter("example-directory").to_string_lossy()),
        tests::host::quoted(&server.url()),
        IN_DOUBT.as_millis(),
    ));
    Host::new(&configuration).expect("host")
}

fn up(host: &Host) -> bool {
    host.status()["targets"]["directory"]["state"] == "up"
}

/// No request for a patient began while the server might have been working on the one before.
fn check_that_none_overlap(server: &SlowServer) {
    let mut by_patient: BTreeMap<String, Vec<Instant>> = BTreeMap::new();
    for write in server.writes() {
        by_patient.entry(write.patient).or_default().push(write.began);
    }
    for (patient, began) in by_patient {
        for pair in began.windows(2) {
            let apart = pair[1].duration_since(pair[0]);
            // What lies between the fence and the arrival is the machine's own pace.
            assert!(apart + Duration::from_millis(300) >= IN_DOUBT, "{patient} was sent again after {apart:?}");
        }
    }
}

#[test]
fn an_aborted_sent_request_stays_in_doubt_for_all_hosts() {
    let server = SlowServer::start(WORK, Answer::CutTheFirst);
    let one = host_at(&server, "sqlite://.host/host.db");
    let other = host_at(&server, &tests::database::sqlite_url(&one.folder().join(".host/host.db")));
    let _ = one.run(&["migrate"]).expect_success();
    let mut running = [one.spawn(&["run"]).expect("spawn"), other.spawn(&["run"]).expect("spawn")];
    running[0].wait_until("both run", LIMIT, || one.status()["hosts_running"] == 2 && up(&one)).expect("wait");
    for number in 0..4 {
        put(&one, &patient(&format!("D-{number}")));
    }
    running[0].wait_until("all are there", LIMIT, || one.status()["totals"]["done"] == 4).expect("wait");
    check_that_none_overlap(&server);
    assert!(server.writes().len() >= 8, "each was cut once");
    assert_eq!(one.status()["totals"]["failed"], 0);
}

/// The adapter sends one patient after the other and stops where a connection breaks, so that a batch never gets beyond
/// this one.
#[test]
fn a_patient_that_breaks_every_connection_delays_no_other() {
    let server = SlowServer::start(Duration::ZERO, Answer::CutAll("D-3"));
    let host = host_at(&server, "sqlite://.host/host.db");
    let file = host.folder().join("host.toml");
    let text = std::fs::read_to_string(&file).expect("read").replace("in_doubt_ms = 2500", "in_doubt_ms = 200");
    std::fs::write(&file, text).expect("write");
    for number in 0..12 {
        put(&host, &patient(&format!("D-{number}")));
    }
    let mut running = host.spawn(&["run"]).expect("spawn");
    running.wait_until("all others are there", LIMIT, || host.status()["totals"]["done"] == 11).expect("wait");
    assert_eq!(host.status()["totals"]["failed"], 0);
}

fn held_call(server: &SlowServer) -> (Host, RunningHost) {
    let host = host_at(server, "sqlite://.host/host.db");
    put(&host, &patient("D-1"));
    let mut running = host.spawn(&["run"]).expect("spawn");
    running.wait_until("the request is sent", LIMIT, || !server.writes().is_empty()).expect("wait");
    (host, running)
}

fn delivered_later(server: &SlowServer, host: &Host) {
    let mut next = host.spawn(&["run"]).expect("spawn");
    next.wait_until("it is delivered", LIMIT, || host.status()["totals"]["done"] == 1).expect("wait");
    check_that_none_overlap(server);
    assert_eq!(server.writes().len(), 2);
}

#[test]
fn the_request_of_a_killed_host_stays_in_doubt() {
    let server = SlowServer::start(WORK, Answer::HoldTheFirst);
    let (host, mut killed) = held_call(&server);
    killed.kill();
    delivered_later(&server, &host);
}

#[test]
fn stopping_keeps_the_lease_of_a_request_that_was_not_answered() {
    let server = SlowServer::start(WORK, Answer::HoldTheFirst);
    let (host, mut running) = held_call(&server);
    running.signal(HostSignal::Terminate).expect("signal");
    running.wait_for_log("shutdown requested", LIMIT).expect("it hears the first signal");
    running.signal(HostSignal::Terminate).expect("signal");
    let ended = running.wait(LIMIT).expect("end");
    assert_eq!(ended.status, Some(0), "{}", ended.stderr);
    assert!(ended.stderr.contains("its batch waits until its lease expires"), "{}", ended.stderr);
    assert_eq!(host.status()["totals"]["processing"], 1, "it is not released");
    delivered_later(&server, &host);
}

/// Every write times out. The adapter sends one patient after the other, so that each batch makes one request; what
/// became of its deliveries stays in flight and shows how large it was.
#[tokio::test]
async fn timeouts_shrink_batches() {
    const PATIENTS: usize = 900;
    let server = SlowServer::start(Duration::from_mins(1), Answer::HoldAll);
    let host = host_at(&server, "sqlite://.host/host.db");
    let file = host.folder().join("host.toml");
    let text = std::fs::read_to_string(&file).expect("read");
    let text =
        text.replace("timeout_ms = 1500", "timeout_ms = 200").replace("in_doubt_ms = 2500", "in_doubt_ms = 600000");
    std::fs::write(&file, text + "\n[targets.directory.limits]\nconcurrency = 1\n").expect("write");
    let _ = host.run(&["migrate"]).expect_success();
    let row = |number| format!("('patient', 'T-{number}', 'create', '{}')", patient(&format!("T-{number}")));
    let rows: Vec<_> = (0..PATIENTS).map(row).collect();
    let insert = "INSERT INTO sync_outbox (aggregate_type, aggregate_id, operation, payload) VALUES";
    let store = tests::database::sqlite_url(&host.folder().join(".host/host.db"));
    tests::database::execute(&store, &format!("{insert} {}", rows.join(", "))).await.expect("insert");
    let mut running = host.spawn(&["run"]).expect("spawn");
    running.wait_until("nine batches were begun", LIMIT, || server.writes().len() >= 9).expect("wait");
    running.kill();
    let mut session = tests::session::Session::open(&store).await.expect("session");
    let kept =
        "SELECT CAST(COUNT(*) AS TEXT) FROM sync_delivery WHERE status = 'processing' AND error_kind IS NOT NULL";
    let kept: usize =
        session.rows(kept).await.expect("read")[0][0].as_deref().expect("number").parse().expect("number");
    // 100, 25, 6, and then one by one; a batch that was claimed before the first timeout may have gone out as well.
    assert!((100 + 25 + 6 + 3..350).contains(&kept), "{kept} went out in eight batches");
    assert_eq!(host.status()["totals"]["failed"], 0);
}
