//! What monitoring sees of a host: metrics, health and status over HTTP, read by the real Prometheus and its tools, and
//! the files under `deploy/`.

#[cfg(unix)]
mod alertmanager;
mod alerts;
mod checked;
mod deployed;
mod directory;
mod exposition;
mod fhir_server;
mod listener;
mod nothing_shown;
mod otlp;
mod receiver;
#[cfg(unix)]
mod reloaded_alerts;
mod server_certificates;
#[cfg(unix)]
mod service;

use std::time::Duration;

use tests::environment::adapter;
use tests::host::{Configuration, Host, quoted};
use tests::servers::process::free_port;

/// How long a test waits for what a host shows.
const LIMIT: Duration = Duration::from_secs(60);

/// A host that shows what it does at a port of its own.
struct Watched {
    host: Host,
    port: u16,
}

/// Quick pauses, and a target of patients over HTTP.
fn configuration(port: u16, base_url: &str) -> Configuration {
    let target = format!(
        "\n[targets.phones]\nadapter = {}\n[targets.phones.http]\nbase_url = {}\nallow_private = true\nin_doubt_ms = 0\n\
         [sync]\npoll_interval_ms = 20\n[sync.breaker]\nopen_ms = 100\ncap_ms = 300\n\
         [sync.retry]\nbase_ms = 10\ncap_ms = 50\nattempts_max = 2\n",
        quoted(&adapter("example-directory").to_string_lossy()),
        quoted(base_url)
    );
    Configuration::new("sqlite://.host/host.db").listening(port).more(&target)
}

impl Watched {
    fn new(base_url: &str) -> Self {
        let port = free_port().expect("a free port");
        let host = Host::new(&configuration(port, base_url)).expect("host");
        let _ = host.run(&["migrate"]).expect_success();
        Self { host, port }
    }

    fn put(&self, patient: &serde_json::Value) {
        std::fs::write(self.host.folder().join("patient.json"), patient.to_string()).expect("write");
        let _ = self.host.run(&["patient", "put", "patient.json"]).expect_success();
    }

    /// Status and body of an answer; `None` while nothing answers.
    fn get(&self, path: &str) -> Option<(u16, String)> {
        get(self.port, path)
    }

    fn metrics(&self) -> String {
        let (status, text) = self.get("/metrics").expect("an answer");
        assert_eq!(status, 200, "{text}");
        text
    }

    /// The value of a series, as `neuronova_target_up{target="phones"}`.
    fn value(&self, series: &str) -> Option<f64> {
        value(&self.get("/metrics")?.1, series)
    }
}

/// Sends one request to a port of loopback. Returns the status and the body.
fn get(port: u16, path: &str) -> Option<(u16, String)> {
    use std::io::{Read as _, Write as _};
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(LIMIT)).ok()?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    assert!(!head.to_lowercase().contains("transfer-encoding"), "the body is sent whole: {head}");
    Some((status, body.to_owned()))
}

fn value(exposition: &str, series: &str) -> Option<f64> {
    let lines = exposition.lines().filter_map(|line| line.rsplit_once(' '));
    lines.filter(|(name, _)| *name == series).find_map(|(_, value)| value.parse().ok())
}

/// A patient with nothing but what is required.
fn patient(id: &str) -> serde_json::Value {
    serde_json::json!({
        "patient_id": id, "family_name": "Choi", "given_name": "JiWoo", "birth_date": "1990-05-05", "gender": "female",
    })
}
