//! What the FHIR adapter learns of a server holds for every later call, also after a restart.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use tests::environment::fhir_url;
use tests::host::{Configuration, Host};

use crate::support::{adapter, patient, put};

/// A FHIR server behind a gate that refuses Bundles with searches, as some servers do, and counts them.
struct Gate {
    port: u16,
    refused: Arc<AtomicUsize>,
}

impl Gate {
    fn before(upstream: &str) -> Self {
        let authority = upstream.trim_start_matches("http://").split('/').next().expect("an authority").to_owned();
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("listen");
        let port = listener.local_addr().expect("address").port();
        let refused = Arc::<AtomicUsize>::default();
        let count = Arc::clone(&refused);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (authority, count) = (authority.clone(), Arc::clone(&count));
                // A client that goes away, or the server at the end of the test, ends one exchange.
                thread::spawn(move || drop(exchange(&stream, &authority, &count)));
            }
        });
        Self { port, refused }
    }

    fn refused(&self) -> usize {
        self.refused.load(Ordering::SeqCst)
    }
}

/// One request and its answer; the connection is closed behind it.
fn exchange(mut client: &TcpStream, authority: &str, refused: &AtomicUsize) -> std::io::Result<()> {
    let mut reader = BufReader::new(client.try_clone()?);
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 || line == "\r\n" {
            break;
        }
        let lower = line.to_ascii_lowercase();
        if let Some(bytes) = lower.strip_prefix("content-length: ") {
            length = bytes.trim().parse().unwrap_or(0);
        }
        if !lower.starts_with("connection:") {
            head.push_str(&line);
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let text = String::from_utf8_lossy(&body);
    if text.contains("\"Bundle\"") && text.contains("Patient?") && text.contains("\"GET\"") {
        refused.fetch_add(1, Ordering::SeqCst);
        let outcome = r#"{"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"not-supported"}]}"#;
        let bytes = outcome.len();
        return client.write_all(
            format!(
                "HTTP/1.1 400 Bad Request\r\ncontent-type: application/fhir+json\r\ncontent-length: {bytes}\r\n\
                 connection: close\r\n\r\n{outcome}"
            )
            .as_bytes(),
        );
    }
    let mut server = TcpStream::connect(authority)?;
    server.write_all(format!("{head}connection: close\r\n\r\n").as_bytes())?;
    server.write_all(&body)?;
    std::io::copy(&mut server, &mut client)?;
    client.shutdown(std::net::Shutdown::Both)
}

fn deliver(host: &Host, prefix: &str, count: usize) {
    for number in 0..count {
        put(host, &patient(&format!("{prefix}-{number}")));
    }
    let _ = host.run(&["run", "--until-idle"]).expect_success();
}

#[test]
fn a_refusal_of_searches_in_bundles_is_learned_once_for_all_calls_and_hosts() {
    let Some(url) = fhir_url() else { return };
    let gate = Gate::before(&url);
    let path = url.trim_start_matches("http://").split_once('/').map_or("", |(_, path)| path);
    let configuration = Configuration::new("sqlite://.host/host.db").more(&format!(
        "\n[sync]\npoll_interval_ms = 20\nbatch = 3\n[targets.fhir]\nadapter = {}\n[targets.fhir.limits]\nconcurrency = 1\n\
         [targets.fhir.http]\nbase_url = \"http://127.0.0.1:{}/{path}\"\nallow_private = true\n\
         [targets.fhir.settings]\nclient_ids = false\n",
        tests::host::quoted(&adapter("fhir").to_string_lossy()),
        gate.port
    ));
    let host = Host::new(&configuration).expect("host");
    let unique = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("clock").as_nanos();
    deliver(&host, &format!("L{unique:x}"), 12);
    assert_eq!(host.status()["totals"]["done"], 12);
    assert_eq!(gate.refused(), 1, "four calls or more, and one refused Bundle");
    // Another process, which knows what the store has kept.
    deliver(&host, &format!("M{unique:x}"), 6);
    assert_eq!((&host.status()["totals"]["done"], gate.refused()), (&18.into(), 1));
}
