//! What must hold on every FHIR server while hosts die, connections break and answers do not come.
//!
//! A request whose answer never came may still be worked on: the hosts wait `in_doubt_ms` before they look and go on.
//! Here that is short, and nothing that is held back arrives later than that.

use std::time::Duration;

use tests::database::Database;
use tests::environment::Backend;
use tests::host::{Host, RunningHost};
use tests::servers::{FhirServer, Proxy};

use super::server::{Server, Settings, host_at, import, sync, unique, written_back};

/// All runs on two cores next to everything else.
const LIMIT: Duration = Duration::from_secs(240);

/// How long a request may be worked on after its answer got lost, and how long the hosts wait for an answer.
const SETTINGS: Settings<'static> = Settings {
    target: "",
    http: "timeout_ms = 4000\nin_doubt_ms = 9000",
    adapter: "",
    sync: "lease_ms = 1000\nbatch = 20",
};

fn many(prefix: &str, count: usize) -> Vec<String> {
    let unique = unique(prefix);
    (0..count).map(|number| format!("{unique}-{number}")).collect()
}

/// Each patient is there once, in this city, with the id that was written back.
fn assert_once(server: &Server, host: &Host, ids: &[String], city: &str) {
    assert_eq!(host.status()["totals"]["failed"], 0, "{}", host.status());
    for id in ids {
        let record = server.record(id);
        assert_eq!(record["address"][0]["city"], city, "{id}");
        assert_eq!(record["id"], written_back(host, id));
    }
}

fn done(host: &Host) -> u64 {
    host.status()["totals"]["done"].as_u64().expect("a number")
}

pub(crate) fn hosts_that_are_killed_double_nothing(server: &Server) {
    let proxy = &mut Proxy::start(server.port()).expect("proxy");
    // Slow enough that a host dies in the middle of something.
    proxy.delay(Duration::from_millis(15)).expect("delay");
    let host = host_at(&proxy.address_of(&server.url), &SETTINGS);
    let ids = many("K", 40);
    import(&host, &ids, "Busan");
    for number in 1..=3 {
        let began = done(&host);
        let mut running = host.spawn(&["run"]).expect("spawn");
        // At the first word of progress there is a next batch under way; when there is none, the run below ends it.
        let progressed = || done(&host) > began || done(&host) == 40;
        running.wait_until(&format!("host {number} delivers"), LIMIT, progressed).expect("wait");
        running.kill();
    }
    sync(&host);
    assert_once(server, &host, &ids, "Busan");
}

/// Runs a host while `disturb` does something to the connections, until everything is delivered. Returns the host
/// for newer states in the middle of it.
fn disturbed(
    server: &Server,
    prefix: &str,
    city: &str,
    disturb: impl FnOnce(&mut Proxy, &[String], &Host, &mut RunningHost),
) {
    let proxy = &mut Proxy::start(server.port()).expect("proxy");
    let host = host_at(&proxy.address_of(&server.url), &SETTINGS);
    let ids = many(prefix, 20);
    import(&host, &ids, "Busan");
    let mut running = host.spawn(&["run"]).expect("spawn");
    disturb(proxy, &ids, &host, &mut running);
    proxy.pass().expect("pass");
    running.wait_until("everything is delivered", LIMIT, || is_at_rest(&host)).expect("wait");
    running.kill();
    assert_once(server, &host, &ids, city);
}

fn is_at_rest(host: &Host) -> bool {
    let status = host.status();
    status["unrouted"] == 0 && status["totals"]["pending"] == 0 && status["totals"]["processing"] == 0
}

/// Waits until a request that writes, or its answer, is held back; false when everything was delivered before that.
fn held(proxy: &Proxy, host: &Host, running: &mut RunningHost) -> bool {
    let before = proxy.held();
    let is_held = || proxy.held() > before;
    running.wait_until("a write is held", LIMIT, || is_held() || is_at_rest(host)).expect("wait");
    is_held()
}

/// As long as a network or a server may take that is slower than the host waits (`timeout_ms`), and not slower than the
/// host reckons with (`in_doubt_ms`).
fn let_the_host_give_up() {
    std::thread::sleep(Duration::from_millis(4_500));
}

pub(crate) fn connections_that_are_cut_after_sending_double_nothing(server: &Server) {
    disturbed(server, "A", "Busan", |proxy, _, host, running| {
        proxy.hold_answers_to_writes().expect("hold");
        for _ in 0..3 {
            // The server has done it, or does it now, and the host sees its connection break.
            let is_held = held(proxy, host, running);
            proxy.cut();
            assert!(is_held || is_at_rest(host));
        }
    });
}

pub(crate) fn requests_that_arrive_late_double_nothing_and_turn_nothing_back(server: &Server) {
    disturbed(server, "R", "Jeju", |proxy, ids, host, running| {
        proxy.hold_writes().expect("hold");
        assert!(held(proxy, host, running), "the first deliveries hang in the network");
        // Newer states come meanwhile. What hangs arrives when the host has given it up.
        import(host, ids, "Jeju");
        let_the_host_give_up();
    });
}

pub(crate) fn a_server_that_answers_too_late_gets_every_patient_once(server: &Server) {
    disturbed(server, "S", "Busan", |proxy, _, host, running| {
        proxy.hold_answers_to_writes().expect("hold");
        assert!(held(proxy, host, running), "the server works on the first deliveries");
        let_the_host_give_up();
    });
}

/// HAPI on PostgreSQL, where what it confirmed outlasts it.
#[test]
fn a_server_killed_while_writing_has_every_patient_once() {
    let runtime = tokio::runtime::Runtime::new().expect("runtime");
    let Some(database) = runtime.block_on(Database::fresh(Backend::Postgres)).expect("database") else { return };
    if Backend::Hapi.url().is_none() {
        return;
    }
    let place = database.url().rsplit_once('@').expect("an address with a user").1;
    let hapi = &mut FhirServer::start_hapi_on(&format!("jdbc:postgresql://{place}?user=postgres")).expect("HAPI FHIR");
    let server = Server { url: hapi.url() };
    disturbed(&server, "P", "Busan", |proxy, _, host, running| {
        proxy.hold_answers_to_writes().expect("hold");
        assert!(held(proxy, host, running), "the server works on the first deliveries, or has done them");
        hapi.kill();
        proxy.pass().expect("pass");
        proxy.cut();
        hapi.start_again().expect("it comes up again");
    });
}
