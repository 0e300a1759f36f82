//! A small server, and an adapter that sends it a test's requests.

use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::BoxFuture;
use host::plugin::{Adapter, CallContext, Fence, HttpAccess, HttpCall, HttpOptions, Limits, RequestFates, World};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::support::{adapter, changes, given, runtime};

/// A server that answers `200 hello` to everything, but redirects, stalls and pours by its path.
pub(crate) struct Server {
    pub(crate) port: u16,
    pub(crate) seen: Arc<Mutex<Vec<String>>>,
    pub(crate) connections: Arc<AtomicU32>,
    /// Bytes of the last answer without end, when its client had left.
    pub(crate) poured: Arc<AtomicUsize>,
}

impl Server {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (seen, connections) = (Arc::<Mutex<Vec<String>>>::default(), Arc::<AtomicU32>::default());
        let poured = Arc::<AtomicUsize>::default();
        let (all, count, bytes) = (Arc::clone(&seen), Arc::clone(&connections), Arc::clone(&poured));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(serve(stream, port, (Arc::clone(&all), Arc::clone(&bytes))));
            }
        });
        Self { port, seen, connections, poured }
    }

    pub(crate) fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }

    pub(crate) fn options(&self) -> HttpOptions {
        HttpOptions {
            base_url: format!("http://127.0.0.1:{}/fhir", self.port),
            allow_private: true,
            timeout: Duration::from_secs(5),
            ..HttpOptions::default()
        }
    }
}

async fn serve(mut stream: TcpStream, port: u16, (seen, poured): (Arc<Mutex<Vec<String>>>, Arc<AtomicUsize>)) {
    let mut buffer = Vec::new();
    loop {
        let end = loop {
            if let Some(at) = buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            if stream.read_buf(&mut buffer).await.unwrap_or(0) == 0 {
                return;
            }
        };
        let head = String::from_utf8_lossy(&buffer[..end]).into_owned();
        let length = head
            .lines()
            .find_map(|line| {
                line.to_ascii_lowercase().strip_prefix("content-length: ").map(|text| text.parse().unwrap())
            })
            .unwrap_or(0_usize);
        while buffer.len() < end + length {
            if stream.read_buf(&mut buffer).await.unwrap_or(0) == 0 {
                return;
            }
        }
        buffer.drain(..end + length);
        seen.lock().unwrap().push(head.clone());
        let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
        let answer = match path.as_str() {
            "/fhir/redirect" => {
                format!("HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:{port}/admin\r\nContent-Length: 0\r\n\r\n")
            }
            "/fhir/cookie" => {
                "HTTP/1.1 200 OK\r\nSet-Cookie: session=hunter2\r\nContent-Length: 2\r\n\r\nok".to_owned()
            }
            "/fhir/metadata-service" => {
                "HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/latest\r\nContent-Length: 0\r\n\r\n".to_owned()
            }
            "/fhir/many-headers" => format!("HTTP/1.1 200 OK\r\n{}Content-Length: 0\r\n\r\n", "X-A: b\r\n".repeat(200)),
            "/fhir/long-headers" => {
                format!("HTTP/1.1 200 OK\r\nX-A: {}\r\nContent-Length: 0\r\n\r\n", "b".repeat(70_000))
            }
            "/fhir/endless-head" => {
                stream.write_all(b"HTTP/1.1 200 OK\r\n").await.unwrap();
                let line = format!("X-A: {}\r\n", "b".repeat(1_000));
                while stream.write_all(line.as_bytes()).await.is_ok() {}
                return;
            }
            "/fhir/few-interim" => format!(
                "{}HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
                "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n".repeat(3)
            ),
            "/fhir/interim" | "/fhir/wide-interim" => {
                let header = if path == "/fhir/interim" { 10 } else { 40_000 };
                let head = format!("HTTP/1.1 103 Early Hints\r\nX-A: {}\r\n\r\n", "b".repeat(header));
                let mut sent = 0;
                while let Ok(count) = stream.write(head.as_bytes()).await {
                    sent += count;
                }
                poured.store(sent, Ordering::Relaxed);
                return;
            }
            "/fhir/packed" | "/fhir/torn" | "/fhir/bomb" | "/fhir/other-coding" => {
                let answer = packed_answer(&path);
                if stream.write_all(&answer).await.is_err() {
                    return;
                }
                continue;
            }
            "/fhir/stall" => return std::future::pending().await,
            "/fhir/vanish" => return,
            "/fhir/half" => {
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhal").await.unwrap();
                return;
            }
            "/fhir/gateway" => "HTTP/1.1 504 Gateway Timeout\r\nContent-Length: 0\r\n\r\n".to_owned(),
            "/fhir/timeout" => "HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n".to_owned(),
            "/fhir/overloaded" => "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n".to_owned(),
            "/fhir/edge" => "HTTP/1.1 524 A Timeout Occurred\r\nContent-Length: 0\r\n\r\n".to_owned(),
            "/fhir/refuse" => "HTTP/1.1 422 Unprocessable\r\nContent-Length: 2\r\n\r\nno".to_owned(),
            "/fhir/announced" => "HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n".to_owned(),
            "/fhir/endless" => {
                stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await.unwrap();
                let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
                while stream.write_all(chunk.as_bytes()).await.is_ok() {}
                return;
            }
            _ => "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello".to_owned(),
        };
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

/// An answer whose body is packed: whole, cut off, a bomb, or in a coding that was not requested.
fn packed_answer(path: &str) -> Vec<u8> {
    use std::io::Write as _;
    let text = if path == "/fhir/bomb" { vec![b'0'; 64 << 20] } else { b"hello packed".to_vec() };
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(&text).unwrap();
    let mut body = packed.finish().unwrap();
    if path == "/fhir/torn" {
        body.truncate(body.len() - 6);
    }
    let coding = if path == "/fhir/other-coding" { "br" } else { "gzip" };
    let head = format!("HTTP/1.1 200 OK\r\nContent-Encoding: {coding}\r\nContent-Length: {}\r\n\r\n", body.len());
    [head.into_bytes(), body].concat()
}

/// A lease that holds, or not.
pub(crate) struct Lease {
    pub(crate) held: bool,
    pub(crate) asked: AtomicU32,
}

impl Fence for Lease {
    fn renew(&self) -> BoxFuture<'_, bool> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        Box::pin(async { self.held })
    }
}

pub(crate) fn lease(held: bool) -> Arc<Lease> {
    Arc::new(Lease { held, asked: AtomicU32::new(0) })
}

pub(crate) struct Bench {
    pub(crate) adapter: Arc<Adapter>,
    pub(crate) server: Server,
}

impl Bench {
    pub(crate) async fn new() -> Self {
        let adapter = runtime().load(&adapter("testing-http-probe"), World::Http).await.unwrap();
        Self { adapter, server: Server::start().await }
    }

    pub(crate) fn context(&self, method: &str, path: &str, more: serde_json::Value) -> CallContext {
        let mut settings = serde_json::json!({
            "method": method, "authority": format!("127.0.0.1:{}", self.server.port), "path": path,
        });
        settings.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        CallContext {
            target: "t".to_owned(),
            settings_json: settings.to_string(),
            base_url: None,
            limits: Limits { deadline_ms: 10_000, ..Limits::default() },
            ..CallContext::default()
        }
    }

    pub(crate) async fn apply(
        &self,
        context: &CallContext,
        options: &HttpOptions,
        fence: Arc<Lease>,
    ) -> HttpCall<String> {
        let access = HttpAccess::new("t", options).unwrap();
        let permit = (fence as Arc<dyn Fence>, &RequestFates::default());
        let call = self.adapter.apply_http(context, &access, permit, given(b""), &changes(1)).await;
        HttpCall {
            result: call.result.map(|answer| answer.map(|batch| format!("{:?}", batch.outcomes[0]))),
            lease_lost: call.lease_lost,
            in_doubt: call.in_doubt,
            timed_out: call.timed_out,
            usage: call.usage,
        }
    }

    /// A GET's answer in words.
    pub(crate) async fn get(&self, path: &str, more: serde_json::Value) -> Result<String, String> {
        let context = self.context("GET", path, more);
        let call = self.apply(&context, &self.server.options(), lease(true)).await;
        call.result.map_err(|error| error.to_string())?.map_err(|failure| failure.message)
    }
}

pub(crate) fn none() -> serde_json::Value {
    serde_json::json!({})
}
