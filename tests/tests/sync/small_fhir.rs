//! A small FHIR server without Bundles. It has two users, one of them read-only, and gives a token to every client.
//!
//! It keeps what was written and counts the writes, and may take its time over them.

use std::collections::BTreeMap;
use std::io::{BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use tests::servers::small_http::read_request;

/// Its user `reader` may only read, and its user `writer` may write.
#[derive(Clone, Default)]
pub(crate) struct SmallFhir {
    pub(crate) records: Arc<Mutex<BTreeMap<String, Value>>>,
    pub(crate) writes: Arc<AtomicUsize>,
    /// It refuses a body that is no JSON before it looks at the user.
    pub(crate) reads_the_body_first: bool,
    /// How long it works on a write.
    pub(crate) work: Duration,
    /// The scopes that its tokens are granted.
    pub(crate) scope: &'static str,
}

impl SmallFhir {
    pub(crate) fn start() -> (Self, String) {
        Self::default().listen()
    }

    pub(crate) fn listen(self) -> (Self, String) {
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
        match method {
            "GET" if path == "/metadata" => (200, statement()),
            "POST" if path == "/token" => (200, json!({ "access_token": "t", "scope": self.scope })),
            _ if !["reader", "writer"].iter().any(|name| head.contains(&user(name))) => refuse(401),
            "GET" => {
                let records = self.records.lock().expect("lock");
                let value = path.rsplit("%7C").next().unwrap_or_default();
                let carries = |record: &&Value| record["identifier"][0]["value"] == value;
                let found = records.values().filter(carries).map(|record| json!({ "resource": record }));
                (200, json!({ "resourceType": "Bundle", "type": "searchset", "entry": found.collect::<Vec<_>>() }))
            }
            _ if self.reads_the_body_first && serde_json::from_slice::<Value>(body).is_err() => refuse(400),
            _ if !head.contains(&user("writer")) => refuse(403),
            "PUT" => {
                let record: Value = serde_json::from_slice(body).expect("a resource");
                self.writes.fetch_add(1, Ordering::SeqCst);
                thread::sleep(self.work);
                self.records.lock().expect("lock").insert(path.to_owned(), record.clone());
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
