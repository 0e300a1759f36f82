//! The listener of a host: a small HTTP server that only answers, for monitoring on this machine.
//!
//! | path | answer |
//! |---|---|
//! | `/metrics` | the metrics, in Prometheus' text format |
//! | `/livez` | 200, or 503 when the process should be restarted |
//! | `/readyz` | 200 while this host delivers and its store can be read, also while a target is down; 503 otherwise |
//! | `/status.json` | as `host status --json`, without anything of a patient |
//!
//! It is no part of delivering: a port that is taken, or a client that never reads, delays nothing. It changes nothing
//! and asks nobody who they are, so it must never show anything of a patient.

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HOST};
use hyper::http::request::Parts;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use prometheus_client::encoding::prometheus_text;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::health::Readiness;
use super::meters::Meters;
use super::paced::Paced;

/// Connections at a time; further ones wait. Others on this machine must not use up the host's sockets.
const CONNECTIONS_MAX: usize = 32;
/// How long a client may take to send a request's head.
const HEAD_LIMIT: Duration = Duration::from_secs(5);
/// How long a connection may last. Prometheus opens another one.
const CONNECTION_LIMIT: Duration = Duration::from_secs(120);
/// The pause after a failure to accept, for example while the process has too many open files.
const ACCEPT_AGAIN_AFTER: Duration = Duration::from_millis(200);
const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";

/// Reads what `host status --json` shows, without anything of a patient. The error is the reason why it cannot be read.
pub type StatusSource = Arc<dyn Fn() -> BoxFuture<'static, Result<serde_json::Value, String>> + Send + Sync>;

/// A listener that is bound, and does not answer yet.
pub struct Listener {
    socket: TcpListener,
    shown: Arc<Shown>,
}

/// What a listener shows.
struct Shown {
    meters: Arc<Meters>,
    status: StatusSource,
    paced: Paced<Arc<str>>,
    /// Whether only this machine can connect.
    is_local: bool,
}

impl Listener {
    /// Binds the address.
    ///
    /// # Errors
    /// When the address is taken, or not this machine's.
    pub async fn bind(address: SocketAddr, meters: Arc<Meters>, status: StatusSource) -> io::Result<Self> {
        let socket = TcpListener::bind(address).await?;
        let is_local = address.ip().is_loopback();
        Ok(Self { socket, shown: Arc::new(Shown { meters, status, paced: Paced::default(), is_local }) })
    }

    /// The address that it is bound to.
    ///
    /// # Errors
    /// When the system cannot tell.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Answers until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        let free = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        stop.run_until_cancelled(async {
            loop {
                let Ok(permit) = free.clone().acquire_owned().await else { return };
                match self.socket.accept().await {
                    Ok((stream, _)) => {
                        let (shown, stop) = (self.shown.clone(), stop.clone());
                        tokio::spawn(async move {
                            let _held = permit;
                            // A client that goes away is no failure of ours.
                            let answers = tokio::time::timeout(CONNECTION_LIMIT, answer_all(stream, shown));
                            drop(stop.run_until_cancelled(answers).await);
                        });
                    }
                    Err(error) => {
                        tracing::debug!(%error, "cannot accept a connection for monitoring");
                        tokio::time::sleep(ACCEPT_AGAIN_AFTER).await;
                    }
                }
            }
        })
        .await;
    }
}

async fn answer_all(stream: TcpStream, shown: Arc<Shown>) -> Result<(), hyper::Error> {
    let service = service_fn(move |request: Request<Incoming>| {
        let shown = shown.clone();
        async move { Ok::<_, Infallible>(shown.answer(&request.into_parts().0).await) }
    });
    hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_LIMIT)
        .serve_connection(TokioIo::new(stream), service)
        .await
}

impl Shown {
    async fn answer(&self, request: &Parts) -> Response<Full<Bytes>> {
        if !matches!(request.method, Method::GET | Method::HEAD) {
            let mut refused = text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD are answered\n");
            refused.headers_mut().insert(ALLOW, "GET, HEAD".parse().expect("invariant: a valid header"));
            return refused;
        }
        let host = request.headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
        if self.is_local && !is_local_name(host) {
            return text(StatusCode::FORBIDDEN, "only requests to localhost or a loopback address are answered\n");
        }
        match request.uri.path() {
            "/metrics" => {
                let exposition = self.meters.exposition().await;
                response(StatusCode::OK, prometheus_text::CONTENT_TYPE, exposition)
            }
            "/livez" => self.liveness(),
            "/readyz" => self.readiness().await,
            "/status.json" => self.status().await,
            _ => text(StatusCode::NOT_FOUND, "there are: /metrics, /livez, /readyz, /status.json\n"),
        }
    }

    fn liveness(&self) -> Response<Full<Bytes>> {
        match self.meters.health().hanging() {
            None => text(StatusCode::OK, "alive\n"),
            Some(task) => text(StatusCode::SERVICE_UNAVAILABLE, &format!("the task `{task}` hangs\n")),
        }
    }

    async fn readiness(&self) -> Response<Full<Bytes>> {
        let unready = |reason: &str| text(StatusCode::SERVICE_UNAVAILABLE, &format!("{reason}\n"));
        match self.meters.health().readiness() {
            Readiness::Starting => unready("starting"),
            Readiness::Stopping => unready("stopping"),
            Readiness::Ready => match self.meters.store_trouble().await {
                None => text(StatusCode::OK, "ready\n"),
                Some(trouble) => unready(&format!("the store cannot be read: {trouble}")),
            },
        }
    }

    async fn status(&self) -> Response<Full<Bytes>> {
        let read = async { (self.status)().await.map(|status| Arc::from(format!("{status:#}\n"))) };
        match self.paced.get(read).await {
            Ok(status) => response(StatusCode::OK, JSON, status.to_string()),
            Err(error) => {
                let error = serde_json::json!({ "error": error });
                response(StatusCode::SERVICE_UNAVAILABLE, JSON, format!("{error}\n"))
            }
        }
    }
}

/// Whether the header `Host` names this machine. A page in a browser here may have another name resolve to this address
/// and read the answers.
fn is_local_name(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|digit| digit.is_ascii_digit()) => name,
        _ => host,
    };
    let address = name.trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost") || address.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn text(status: StatusCode, text: &str) -> Response<Full<Bytes>> {
    response(status, TEXT, text.to_owned())
}

fn response(status: StatusCode, content_type: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, hyper::header::HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;
    use crate::database::{Database, Locator};
    use crate::store::{Store, StoreClock};

    /// A listener that answers, and what a test changes behind it.
    struct Answering {
        address: SocketAddr,
        meters: Arc<Meters>,
        stop: CancellationToken,
        status_reads: Arc<AtomicU32>,
    }

    async fn answering(meters: Meters) -> Answering {
        let (meters, status_reads) = (Arc::new(meters), Arc::<AtomicU32>::default());
        let counted = status_reads.clone();
        let status: StatusSource = Arc::new(move || {
            counted.fetch_add(1, Ordering::Relaxed);
            Box::pin(std::future::ready(Ok(serde_json::json!({ "unrouted": 7 }))))
        });
        let address = "127.0.0.1:0".parse().unwrap();
        let listener = Listener::bind(address, meters.clone(), status).await.unwrap();
        let (address, stop) = (listener.address().unwrap(), CancellationToken::new());
        tokio::spawn(listener.run(stop.clone()));
        Answering { address, meters, stop, status_reads }
    }

    impl Answering {
        async fn send(&self, head: &str) -> String {
            let mut stream = TcpStream::connect(self.address).await.unwrap();
            stream.write_all(format!("{head}Connection: close\r\n\r\n").as_bytes()).await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            answer
        }

        async fn get(&self, path: &str) -> String {
            self.send(&format!("GET {path} HTTP/1.1\r\nHost: {}\r\n", self.address)).await
        }
    }

    fn is(answer: &str, status: &str, end: &str) {
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")) && answer.ends_with(end), "{answer}");
    }

    #[tokio::test]
    async fn a_host_is_alive_unless_a_task_hangs() {
        let answering = answering(Meters::default()).await;
        is(&answering.get("/livez").await, "200", "\r\nalive\n");
        let hangs = Arc::new(AtomicBool::new(false));
        let seen = hangs.clone();
        answering.meters.health().started(move || seen.load(Ordering::Relaxed).then(|| "router".to_owned()));
        is(&answering.get("/livez").await, "200", "alive\n");
        hangs.store(true, Ordering::Relaxed);
        is(&answering.get("/livez").await, "503", "the task `router` hangs\n");
    }

    #[tokio::test]
    async fn a_host_is_ready_between_its_start_and_its_stop() {
        let answering = answering(Meters::default()).await;
        is(&answering.get("/readyz").await, "503", "starting\n");
        answering.meters.health().started(|| None);
        is(&answering.get("/readyz").await, "200", "ready\n");
        answering.meters.health().stopping();
        is(&answering.get("/readyz").await, "503", "stopping\n");
    }

    #[tokio::test]
    async fn a_host_without_its_store_is_not_ready_but_alive() {
        let database = Database::new(Locator::Sqlite("/nonexistent/host.db".into()), 1, Duration::from_secs(1));
        let answering = answering(Meters::new(Some(Store::new(database.unwrap(), StoreClock::Database)))).await;
        answering.meters.health().started(|| None);
        let answer = answering.get("/readyz").await;
        assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("the store cannot be read: "), "{answer}");
        is(&answering.get("/livez").await, "200", "alive\n");
        let metrics = answering.get("/metrics").await;
        assert!(metrics.starts_with("HTTP/1.1 200 ") && metrics.contains("\nneuronova_store_up 0"), "{metrics}");
    }

    #[tokio::test]
    async fn the_status_is_read_once_for_many_requests() {
        let answering = answering(Meters::default()).await;
        for _ in 0..5 {
            is(&answering.get("/status.json").await, "200", "{\n  \"unrouted\": 7\n}\n");
        }
        assert_eq!(answering.status_reads.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn other_paths_methods_and_names_are_refused() {
        let answering = answering(Meters::default()).await;
        is(&answering.get("/").await, "404", "/status.json\n");
        is(
            &answering.send("POST /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n").await,
            "405",
            "answered\n",
        );
        is(&answering.send("GET /status.json HTTP/1.1\r\nHost: evil.example:9464\r\n").await, "403", "answered\n");
        is(&answering.send("GET /status.json HTTP/1.1\r\n").await, "403", "answered\n");
        is(&answering.send("GET /livez HTTP/1.1\r\nHost: localhost\r\n").await, "200", "alive\n");
        assert_eq!(answering.status_reads.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn the_names_of_this_machine_are_known() {
        for name in ["localhost", "LOCALHOST:9464", "127.0.0.1", "127.0.0.1:9464", "127.8.8.8:1", "[::1]:9464", "[::1]"]
        {
            assert!(is_local_name(name), "{name}");
        }
        for name in
            ["", "example.org", "localhost.example.org", "10.0.0.1:9464", "127.0.0.1.example.org:80", "[fe80::1]"]
        {
            assert!(!is_local_name(name), "{name}");
        }
    }

    #[tokio::test]
    async fn clients_that_send_nothing_leave_room_for_others_and_end_with_the_host() {
        let answering = answering(Meters::default()).await;
        let mut silent = Vec::new();
        for _ in 0..CONNECTIONS_MAX - 1 {
            silent.push(TcpStream::connect(answering.address).await.unwrap());
        }
        is(&answering.get("/livez").await, "200", "alive\n");
        answering.stop.cancel();
        for mut stream in silent {
            let mut rest = Vec::new();
            let read = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut rest)).await;
            // The end of the stream, or a reset.
            drop(read.expect("the host ends it"));
        }
    }

    #[tokio::test]
    async fn a_port_that_is_taken_is_an_error() {
        let answering = answering(Meters::default()).await;
        let status: StatusSource = Arc::new(|| Box::pin(std::future::ready(Ok(serde_json::Value::Null))));
        let error = Listener::bind(answering.address, Arc::default(), status).await.err().unwrap();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    }
}
