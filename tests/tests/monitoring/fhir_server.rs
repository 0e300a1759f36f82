//! A small FHIR server that a test may let fail. What it refuses it repeats, as some servers do.

use std::collections::BTreeMap;
use std::io::{BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::{Value, json};

use tests::servers::small_http::read_request;

use super::directory::Answer;

/// The types that it keeps.
const TYPES: [&str; 8] = [
    "Patient",
    "Encounter",
    "Condition",
    "AllergyIntolerance",
    "MedicationStatement",
    "Observation",
    "Appointment",
    "Immunization",
];

#[derive(Clone)]
pub(super) struct FhirServer {
    port: u16,
    state: Arc<Mutex<State>>,
}

struct State {
    answer: Answer,
    records: BTreeMap<String, Value>,
    /// The body of the last write, which it repeats.
    last: String,
}

impl FhirServer {
    pub(super) fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("listen");
        let port = listener.local_addr().expect("address").port();
        let state = State { answer: Answer::Takes, records: BTreeMap::new(), last: String::new() };
        let server = Self { port, state: Arc::new(Mutex::new(state)) };
        let serving = server.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let server = serving.clone();
                // A client that goes away ends its thread.
                thread::spawn(move || server.serve(&stream));
            }
        });
        server
    }

    pub(super) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// From now on it answers so. A server that is down answers 503.
    pub(super) fn answer(&self, answer: Answer) {
        self.state.lock().expect("lock").answer = answer;
    }

    /// How many records of each type it keeps.
    pub(super) fn kept(&self) -> BTreeMap<String, usize> {
        let mut kept = BTreeMap::new();
        for path in self.state.lock().expect("lock").records.keys() {
            let name = path.split('/').nth(1).expect("a type").to_owned();
            *kept.entry(name).or_default() += 1;
        }
        kept
    }

    fn serve(&self, mut stream: &TcpStream) -> Option<()> {
        let mut reader = BufReader::new(stream.try_clone().ok()?);
        loop {
            let (head, body) = read_request(&mut reader)?;
            let (status, body) = self.state.lock().expect("lock").respond(&head, &body);
            let body = body.to_string();
            let head = format!("HTTP/1.1 {status} -\r\nContent-Type: application/fhir+json\r\n");
            stream.write_all(format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()).as_bytes()).ok()?;
        }
    }
}

impl State {
    fn respond(&mut self, head: &str, body: &[u8]) -> (u16, Value) {
        let mut words = head.split(' ');
        let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        if method == "PUT" {
            self.last = String::from_utf8_lossy(body).into_owned();
        }
        match (self.answer, method) {
            (Answer::Down, _) => (503, self.outcome()),
            (Answer::Refuses, "PUT") => (422, self.outcome()),
            (_, "GET") if path == "/metadata" => (200, statement()),
            (_, "GET") if path.contains('?') => (200, self.search(path)),
            (_, "GET") => self.records.get(path).map_or((404, self.outcome()), |record| (200, record.clone())),
            (_, "PUT") => {
                let record: Value = serde_json::from_slice(body).expect("a resource");
                self.records.insert(path.to_owned(), record.clone());
                (201, record)
            }
            _ => (400, self.outcome()),
        }
    }

    /// Repeats what was written last.
    fn outcome(&self) -> Value {
        let text = format!("cannot take {}", self.last);
        let issue = json!({ "severity": "error", "code": "invalid", "diagnostics": text, "details": { "text": text } });
        json!({ "resourceType": "OperationOutcome", "issue": [issue] })
    }

    fn search(&self, path: &str) -> Value {
        let (folder, query) = path.split_once('?').expect("a query");
        let value = query.split('&').next().and_then(|first| first.rsplit("%7C").next()).unwrap_or_default();
        let carries = |record: &Value| record["identifier"].to_string().contains(&format!("\"value\":\"{value}\""));
        let of_type = |path: &str| path.starts_with(&format!("{folder}/"));
        let found = self.records.iter().filter(|(path, record)| of_type(path) && carries(record));
        let entries: Vec<_> = found.map(|(_, record)| json!({ "resource": record })).collect();
        json!({ "resourceType": "Bundle", "type": "searchset", "entry": entries })
    }
}

fn statement() -> Value {
    let interactions = ["read", "search-type", "create", "update"].map(|code| json!({ "code": code }));
    let resources = TYPES.map(|name| {
        json!({
            "type": name, "interaction": interactions, "updateCreate": true,
            "searchParam": [{ "name": "identifier", "type": "token" }],
        })
    });
    let rest = json!([{ "mode": "server", "resource": resources }]);
    json!({ "resourceType": "CapabilityStatement", "fhirVersion": "4.0.1", "rest": rest })
}
