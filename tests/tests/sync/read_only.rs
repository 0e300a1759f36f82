//! Credentials that may read and not write: the target is down as misconfigured, and no patient pays for it.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use tests::host::{Configuration, Host, HostSignal, quoted};

use crate::support::{QUICK, adapter, patient, put};

/// A FHIR server without Bundles whose user `reader` may only read and whose user `writer` may write.
#[derive(Clone, Default)]
struct Server {
    records: Arc<Mutex<BTreeMap<String, Value>>>,
    /// It refuses a body that is no JSON before it looks at the user.
    reads_the_body_first: bool,
}

impl Server {
    fn start() -> (Self, String) {
        Self::default().listen()
    }

    fn listen(self) -> (Self, String) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("listen");
        let url = format!("http://{}", listener.local_addr().expect("address"));
        let serving = self.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let server = serving.clone();
                thread::spawn(move || server.serve(&stream));
            }
        });
        (self, url)
    }

    fn serve(&self, stream: &TcpStream) {
        let mut reader = BufReader::new(stream.try_clone().expect("clone"));
        while let Some((head, body)) = read_request(&mut reader) {
            let (status, body) = self.answer(&head, &body);
            let body = body.to_string();
            let head = format!("HTTP/1.1 {status} -\r\nContent-Type: application/fhir+json\r\n");
            let written = write!(&mut &*stream, "{head}Content-Length: {}\r\n\r\n{body}", body.len());
            if written.is_err() {
                return;
            }
        }
    }

    fn answer(&self, head: &str, body: &[u8]) -> (u16, Value) {
        let refuse =
            |status| (status, json!({ "resourceType": "OperationOutcome", "issue": [{ "code": "forbidden" }] }));
        let user = |name: &str| base64::Engine::encode(&base64::prelude::BASE64_STANDARD, format!("{name}:secret"));
        let mut words = head.split(' ');
        let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let mut records = self.records.lock().expect("lock");
        match method {
            "GET" if path == "/metadata" => (200, statement()),
            "GET" => {
                let value = path.rsplit("%7C").next().unwrap_or_default();
                let carries = |record: &&Value| record["identifier"][0]["value"] == value;
                let found = records.values().filter(carries).map(|record| json!({ "resource": record }));
                (200, json!({ "resourceType": "Bundle", "type": "searchset", "entry": found.collect::<Vec<_>>() }))
            }
            _ if self.reads_the_body_first && serde_json::from_slice::<Value>(body).is_err() => refuse(400),
            _ if !head.contains(&user("writer")) => refuse(403),
            "PUT" => {
                let record: Value = serde_json::from_slice(body).expect("a resource");
                records.insert(path.to_owned(), record.clone());
                (201, record)
            }
            _ => refuse(400),
        }
    }
}

fn statement() -> Value {
    let interactions = ["read", "search-type", "create", "update"].map(|code| json!({ "code": code }));
    json!({ "resourceType": "CapabilityStatement", "fhirVersion": "4.0.1", "rest": [{ "mode": "server", "resource": [{
        "type": "Patient", "interaction": interactions, "updateCreate": true,
        "searchParam": [{ "name": "identifier", "type": "token" }] }] }] })
}

/// The head and the body.
fn read_request(reader: &mut BufReader<TcpStream>) -> Option<(String, Vec<u8>)> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let length = head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body).ok()?;
    Some((head, body))
}

fn configuration(url: &str, user: &str) -> Configuration {
    Configuration::new("sqlite://.host/host.db")
        .more(&format!(
            "\n[targets.fhir]\nadapter = {}\n[targets.fhir.http]\nbase_url = {}\nallow_private = true\n\
             auth = {{ type = \"basic\", username = \"{user}\", password = \"secret\" }}\n",
            quoted(&adapter("fhir").to_string_lossy()),
            quoted(url)
        ))
        .more(QUICK)
}

#[test]
fn read_only_credentials_stop_the_target_and_fail_no_patient() {
    for count in [1, 3] {
        let (server, url) = Server::start();
        let host = Host::new(&configuration(&url, "reader")).expect("host");
        for number in 0..count {
            put(&host, &patient(&format!("R-{number}")));
        }
        let ended = host.run(&["run", "--until-idle"]);
        assert_eq!(ended.status, Some(1), "{}", ended.stdout);
        let status = host.status();
        assert_eq!(status["targets"]["fhir"]["state"], "down", "{status}");
        let error = status["targets"]["fhir"]["error"].as_str().expect("error");
        assert!(error.contains("the credentials are wrong, or may only read"), "{error}");
        assert_eq!((&status["totals"]["pending"], &status["totals"]["failed"]), (&json!(count), &json!(0)), "{status}");
        assert_eq!(status["recent"][0]["attempts"], 0, "no patient pays: {status}");
        assert!(server.records.lock().expect("lock").is_empty());

        host.configure(&configuration(&url, "writer")).expect("configure");
        let _ = host.run(&["run", "--until-idle"]).expect_success();
        assert_eq!(host.status()["totals"]["done"], count);
        assert_eq!(server.records.lock().expect("lock").len(), count);
    }
}

/// Nothing tells such a refusal from one of a patient until there are too many.
#[test]
fn read_only_credentials_do_not_fail_every_patient_that_arrives_alone() {
    let (server, url) = Server { reads_the_body_first: true, ..Server::default() }.listen();
    let host = Host::new(&configuration(&url, "reader")).expect("host");
    let _ = host.run(&["migrate"]).expect_success();
    let mut daemon = host.spawn(&["run"]).expect("start");
    let patience = Duration::from_secs(60);
    for number in 1..=3 {
        put(&host, &patient(&format!("R-{number}")));
        let failed = || host.status()["totals"]["failed"] == number;
        daemon.wait_until("a refused patient", patience, failed).expect("refused");
    }
    put(&host, &patient("R-4"));
    let words = "denies every change, 4 in a row; fix: let its credentials write";
    // Between its tries the target is checked, and then it is up for a moment.
    let is_down = || host.status()["targets"]["fhir"]["error"].as_str().is_some_and(|error| error.contains(words));
    daemon.wait_until("the target is down", patience, is_down).expect("down");
    // From here on a try may carry several, and then the adapter itself sees that every write is refused.
    for number in 5..=6 {
        put(&host, &patient(&format!("R-{number}")));
    }
    assert_eq!(host.status()["totals"]["failed"], 3);
    // Between its tries the target is checked, and then a batch may be under way.
    daemon.wait_until("the others wait", patience, || host.status()["totals"]["pending"] == 3).expect("pending");
    daemon.signal(HostSignal::Terminate).expect("signal");
    let _ = daemon.wait(patience).expect("an end").expect_success();

    host.configure(&configuration(&url, "writer")).expect("configure");
    let _ = host.run(&["retry", "--failed"]).expect_success();
    let _ = host.run(&["run", "--until-idle"]).expect_success();
    assert_eq!(host.status()["totals"]["done"], 6);
    assert_eq!(server.records.lock().expect("lock").len(), 6);
}
