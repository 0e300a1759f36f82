//! The comparison of adapters over HTTP: the old one delivers, and the new one is run on the answers that it got.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use tests::host::{Configuration, Host, RunningHost};

use crate::effects::{active, born_on, history, people, put_in_place, variant};
use crate::small_fhir::SmallFhir;
use crate::support::{QUICK, adapter, patient, put};

const LIMIT: Duration = Duration::from_secs(120);
const BORN: &str = "1990-03-04";
const SWAPPED: &str = "1990-04-03";

/// A server that gives the ids, keeps what was written, and lists the requests that wrote.
#[derive(Clone, Default)]
struct Registry {
    records: Arc<Mutex<BTreeMap<String, Value>>>,
    writes: Arc<Mutex<Vec<String>>>,
}

impl Registry {
    fn start() -> (Self, String) {
        let registry = Self::default();
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("listen");
        let url = format!("http://{}", listener.local_addr().expect("address"));
        let serving = registry.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let registry = serving.clone();
                thread::spawn(move || registry.serve(&stream));
            }
        });
        (registry, url)
    }

    fn serve(&self, stream: &TcpStream) {
        let mut reader = BufReader::new(stream.try_clone().expect("clone"));
        loop {
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") {
                if reader.read_line(&mut head).unwrap_or(0) == 0 {
                    return;
                }
            }
            let length = |line: &str| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok();
            let mut body = vec![0; head.lines().find_map(length).unwrap_or(0)];
            reader.read_exact(&mut body).expect("a body");
            let mut words = head.split(' ');
            let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
            let answer = self.answer(method, path, serde_json::from_slice(&body).unwrap_or_default()).to_string();
            let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n";
            if write!(&mut &*stream, "{head}Content-Length: {}\r\n\r\n{answer}", answer.len()).is_err() {
                return;
            }
        }
    }

    fn answer(&self, method: &str, path: &str, mut body: Value) -> Value {
        let mut records = self.records.lock().expect("lock");
        if method == "GET" {
            return records.get(path).cloned().unwrap_or_default();
        }
        self.writes.lock().expect("lock").push(format!("{method} {path}"));
        let path = if method == "POST" {
            body["id"] = json!(format!("{}", 100 + records.len()));
            format!("{path}/{}", 100 + records.len())
        } else {
            path.to_owned()
        };
        records.insert(path, body.clone());
        body
    }

    fn births(&self) -> Vec<Value> {
        self.records.lock().expect("lock").values().map(|record| record["birthDate"].clone()).collect()
    }

    fn writes(&self) -> usize {
        self.writes.lock().expect("lock").len()
    }
}

fn host(url: &str) -> Host {
    let configuration = Configuration::new("sqlite://.host/host.db")
        .more(&format!(
            "\n[targets.people]\nadapter = \"people.wasm\"\n[targets.people.http]\nbase_url = \"{url}\"\n\
             allow_private = true\n\n[plugins]\ndirectory = \".\"\n"
        ))
        .more(QUICK);
    let host = Host::new(&configuration).expect("host");
    put_in_place(&host, &variant("testing-people-http", "plain"));
    host
}

fn started(host: &Host) -> RunningHost {
    let mut running = host.spawn(&["run"]).expect("spawn");
    running.wait_until("up", LIMIT, || people(host)["state"] == "up").expect("wait");
    running
}

fn deliver(host: &Host, running: &mut RunningHost, patient: &Value, done: u64) {
    put(host, patient);
    running.wait_until("delivered", LIMIT, || people(host)["done"] == done).expect("wait");
}

/// Puts a patient again and again, until an adapter with this difference is held. With nothing due it may have been
/// activated before.
fn wait_for_hold(host: &Host, running: &mut RunningHost, place: &str) {
    let is_held = || {
        let is_held = people(host)["held"]["differences"].to_string().contains(place);
        if !is_held {
            put(host, &born_on("A-1", BORN));
        }
        is_held
    };
    running.wait_until(place, LIMIT, is_held).unwrap_or_else(|error| {
        panic!("{error:#}\n{}\n{}", people(host), history(host));
    });
}

/// Waits until everything is delivered; the number of deliveries.
fn drained(host: &Host, running: &mut RunningHost) -> u64 {
    let is_drained = || {
        let status = host.status();
        status["unrouted"] == 0 && status["totals"]["pending"] == 0 && status["totals"]["processing"] == 0
    };
    running.wait_until("all delivered", LIMIT, is_drained).expect("wait");
    people(host)["done"].as_u64().expect("a number")
}

#[test]
fn what_sends_something_else_is_held_and_sends_nothing() {
    let (registry, url) = Registry::start();
    let host = host(&url);
    let mut running = started(&host);
    deliver(&host, &mut running, &born_on("A-1", BORN), 1);
    assert_eq!(registry.writes(), 2, "a new record is posted and put");
    let first = active(&host);
    for (word, place) in [("swapped", "Patient.birthDate"), ("extra", "POST /Observation")] {
        put_in_place(&host, &variant("testing-people-http", word));
        wait_for_hold(&host, &mut running, place);
        running.wait_until("the old one goes on", LIMIT, || active(&host) == first).expect("wait");
    }
    put(&host, &born_on("A-2", BORN));
    let done = drained(&host, &mut running);
    assert_eq!(registry.births(), [BORN, BORN].map(Value::from), "no other record, and no other day");
    assert_eq!(registry.writes() as u64, done + 2, "the canary sent nothing: each new record took two requests");
    let log = running.stderr();
    assert!(!log.contains("1990") && !log.contains("JiWoo"), "{log}");

    put_in_place(&host, &variant("testing-people-http", "swapped"));
    wait_for_hold(&host, &mut running, "Patient.birthDate");
    let _ = host.run(&["plugin", "accept", "--target", "people"]).expect_success();
    running.wait_until("it is active", LIMIT, || active(&host) != first).expect("wait");
    put(&host, &born_on("A-3", BORN));
    let _ = drained(&host, &mut running);
    assert!(registry.births().contains(&SWAPPED.into()));
}

#[test]
fn what_sends_the_same_is_activated() {
    let (registry, url) = Registry::start();
    let host = host(&url);
    let mut running = started(&host);
    let first = active(&host);
    put_in_place(&host, &variant("testing-people-http", "rebuilt"));
    for number in 0..6 {
        put(&host, &born_on(&format!("A-{number}"), BORN));
    }
    running.wait_until("the swap", LIMIT, || active(&host) != first).expect("wait");
    running.wait_until("delivered", LIMIT, || people(&host)["done"] == 6).expect("wait");
    assert!(!history(&host).contains(": held"), "{}", history(&host));
    assert_eq!((registry.births().len(), registry.writes()), (6, 12), "each record once");
}

#[test]
fn a_replay_over_http_sends_no_write() {
    let (registry, url) = Registry::start();
    let host = host(&url);
    put(&host, &born_on("A-1", BORN));
    let _ = host.run(&["run", "--until-idle"]).expect_success();
    let before = registry.writes();
    for (word, status, words) in [("swapped", 1, "another value in `Patient.birthDate`"), ("rebuilt", 0, "[EQUAL]")] {
        std::fs::write(host.folder().join("new.wasm"), variant("testing-people-http", word)).expect("write");
        let output = host.run(&["plugin", "replay", "new.wasm", "--target", "people"]);
        assert_eq!(output.status, Some(status), "{}{}", output.stdout, output.stderr);
        assert!(output.stdout.contains(words) && !output.stdout.contains("1990"), "{}", output.stdout);
    }
    assert_eq!(registry.writes(), before);
}

/// The adapter as it is shipped, with a section more, as any tool may append one.
#[test]
fn a_rebuilt_fhir_adapter_is_activated() {
    let (server, url) = SmallFhir::start();
    let configuration = Configuration::new("sqlite://.host/host.db")
        .fhir(std::path::Path::new("people.wasm"), &url)
        .more("auth = { type = \"basic\", username = \"writer\", password = \"secret\" }\n")
        .more("\n[plugins]\ndirectory = \".\"\n")
        .more(QUICK);
    let host = Host::new(&configuration).expect("host");
    let mut component = std::fs::read(adapter("fhir")).expect("adapter");
    put_in_place(&host, &component);
    let mut running = host.spawn(&["run"]).expect("spawn");
    let fhir = || host.status()["targets"]["fhir"].clone();
    running.wait_until("up", LIMIT, || fhir()["state"] == "up").expect("wait");
    put(&host, &patient("A-1"));
    running.wait_until("delivered", LIMIT, || fhir()["done"] == 1).expect("wait");
    let first = fhir()["adapter"]["sha256"].clone();
    component.extend([0, 5, 4, b'n', b'o', b't', b'e']);
    put_in_place(&host, &component);
    for id in ["A-2", "A-3", "A-4"] {
        put(&host, &born_on(id, BORN));
    }
    running.wait_until("the swap", LIMIT, || fhir()["adapter"]["sha256"] != first).unwrap_or_else(|error| {
        panic!("{error:#}\n{}\n{}", fhir(), history(&host));
    });
    running.wait_until("delivered", LIMIT, || fhir()["done"] == 4).expect("wait");
    assert!(!history(&host).contains(": held"), "{}", history(&host));
    assert_eq!(server.records.lock().expect("lock").len(), 4);
}
