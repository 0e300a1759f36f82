//! HTTP of a real component against a small server: what may go out, what is added, and what is held back.

#![allow(clippy::unwrap_used, clippy::needless_pass_by_value, reason = "a test that fails says what it found")]

mod support;

use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::BoxFuture;
use host::domain::change::RemoteEdit;
use host::plugin::{
    Adapter, CallContext, CallError, Credentials, Fence, HttpAccess, HttpCall, HttpOptions, Limits, RequestFates,
    Secret, SecretValue, World,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use support::{adapter, changes, runtime};

/// A server that says `200 hello` to everything, but redirects, stalls and pours by its path.
struct Server {
    port: u16,
    seen: Arc<Mutex<Vec<String>>>,
    connections: Arc<AtomicU32>,
    /// Bytes of the last answer without end, when its client had left.
    poured: Arc<AtomicUsize>,
}

impl Server {
    async fn start() -> Self {
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

    fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }

    fn options(&self) -> HttpOptions {
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

/// An answer whose body is packed: whole, cut off, a bomb, or in a coding that nobody asked for.
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
struct Lease {
    held: bool,
    asked: AtomicU32,
}

impl Fence for Lease {
    fn renew(&self) -> BoxFuture<'_, bool> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        Box::pin(async { self.held })
    }
}

fn lease(held: bool) -> Arc<Lease> {
    Arc::new(Lease { held, asked: AtomicU32::new(0) })
}

struct Bench {
    adapter: Arc<Adapter>,
    server: Server,
}

impl Bench {
    async fn new() -> Self {
        let adapter = runtime().load(&adapter("testing-http-probe"), World::Http).await.unwrap();
        Self { adapter, server: Server::start().await }
    }

    fn context(&self, method: &str, path: &str, more: serde_json::Value) -> CallContext {
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

    async fn apply(&self, context: &CallContext, options: &HttpOptions, fence: Arc<Lease>) -> HttpCall<String> {
        let access = HttpAccess::new("t", options).unwrap();
        let permit = (fence as Arc<dyn Fence>, &RequestFates::default());
        let call = self.adapter.apply_http(context, &access, permit, b"", RemoteEdit::Overwrite, &changes(1)).await;
        HttpCall {
            result: call.result.map(|answer| answer.map(|outcomes| format!("{:?}", outcomes[0]))),
            lease_lost: call.lease_lost,
            in_doubt: call.in_doubt,
            timed_out: call.timed_out,
            usage: call.usage,
        }
    }

    /// A GET's answer in words.
    async fn get(&self, path: &str, more: serde_json::Value) -> Result<String, String> {
        let context = self.context("GET", path, more);
        let call = self.apply(&context, &self.server.options(), lease(true)).await;
        call.result.map_err(|error| error.to_string())?.map_err(|failure| failure.message)
    }
}

fn none() -> serde_json::Value {
    serde_json::json!({})
}

#[tokio::test]
async fn a_request_under_the_base_url_is_answered() {
    let bench = Bench::new().await;
    let answer = bench.get("/fhir/Patient?a=b", none()).await.unwrap();
    assert!(answer.contains("200") && answer.contains("hello"), "{answer}");
    let seen = bench.server.seen();
    assert!(seen[0].starts_with("GET /fhir/Patient?a=b HTTP/1.1\r\n"), "{seen:?}");
    assert!(seen[0].contains(&format!("host: 127.0.0.1:{}\r\n", bench.server.port)), "{seen:?}");
}

#[tokio::test]
async fn hostile_request_off_the_list_never_leaves() {
    let bench = Bench::new().await;
    for (path, more) in [
        ("/admin", none()),
        ("/fhirx", none()),
        ("/fhir/../admin", none()),
        ("/fhir/%2e%2e/admin", none()),
        ("/fhir/Patient", serde_json::json!({ "authority": "localhost:1" })),
        ("/fhir/Patient", serde_json::json!({ "scheme": "https" })),
    ] {
        let error = bench.get(path, more).await.unwrap_err();
        assert!(error.contains("HttpRequestDenied") || error.contains("UriInvalid"), "{path}: {error}");
    }
    assert_eq!(bench.server.seen(), [] as [String; 0]);
    assert_eq!(bench.server.connections.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn hostile_address_in_a_private_network_is_not_dialled() {
    let bench = Bench::new().await;
    let context = bench.context("GET", "/fhir/Patient", none());
    let options = HttpOptions { allow_private: false, ..bench.server.options() };
    let call = bench.apply(&context, &options, lease(true)).await;
    assert_eq!(call.result.unwrap().unwrap_err().message, "ErrorCode::DestinationIpProhibited");
    // By name, which is checked when it is resolved.
    let authority = format!("localhost:{}", bench.server.port);
    let options = HttpOptions { base_url: format!("http://{authority}/fhir"), ..options };
    let context = bench.context("GET", "/fhir/Patient", serde_json::json!({ "authority": authority }));
    let call = bench.apply(&context, &options, lease(true)).await;
    assert_eq!(call.result.unwrap().unwrap_err().message, "ErrorCode::DestinationIpProhibited");
    assert_eq!(bench.server.connections.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn hostile_headers_cannot_be_set() {
    let bench = Bench::new().await;
    let connection =
        ["Host", "Authorization", "Cookie", "Proxy-Authorization", "Connection", "Transfer-Encoding", "Upgrade"];
    let words_of_others = ["X-HTTP-Method-Override", "X-Original-URL", "X_Forwarded_For", "Proxy", "X-Remote-User"];
    for name in connection.into_iter().chain(words_of_others) {
        let more = serde_json::json!({ "headers": [[name, "x"]] });
        let error = bench.get("/fhir/Patient", more).await.unwrap_err();
        assert!(error.contains("Forbidden"), "{name}: {error}");
    }
    let injected = serde_json::json!({ "headers": [["x-a", "b\r\nAuthorization: c"]] });
    assert!(bench.get("/fhir/Patient", injected).await.unwrap_err().contains("InvalidSyntax"));
    let allowed = serde_json::json!({ "headers": [["if-match", "W/\"3\""], ["prefer", "return=minimal"]] });
    bench.get("/fhir/Patient", allowed).await.unwrap();
    assert!(bench.server.seen().last().unwrap().contains("if-match: W/\"3\""));
}

#[tokio::test]
async fn a_packed_answer_is_unpacked_and_counted_as_it_is_unpacked() {
    let bench = Bench::new().await;
    let answer = bench.get("/fhir/packed", serde_json::json!({ "tell": true })).await;
    let answer = answer.unwrap_or_else(|told| told);
    assert!(answer.contains("hello packed") && !answer.to_lowercase().contains("content-encoding"), "{answer}");
    assert!(bench.server.seen()[0].contains("accept-encoding: gzip, deflate\r\n"), "{:?}", bench.server.seen());
    // An adapter that asks for something else is not heard: the host unpacks.
    let asked = serde_json::json!({ "headers": [["accept-encoding", "br"]] });
    assert!(bench.get("/fhir/packed", asked).await.unwrap().contains("hello packed"));
    assert!(bench.server.seen()[1].contains("accept-encoding: gzip, deflate\r\n"));

    let mut context = bench.context("GET", "/fhir/bomb", none());
    context.limits.http_response_bytes_max = 1 << 20;
    let error = bench.apply(&context, &bench.server.options(), lease(true)).await.result.unwrap_err();
    assert!(matches!(error, CallError::Limit { limit: "http_response_bytes_max", value: 0x10_0000, .. }), "{error}");
    for path in ["/fhir/torn", "/fhir/other-coding"] {
        let error = bench.get(path, none()).await.unwrap_err();
        assert!(error.contains("ContentCoding") || error.contains("content coding"), "{path}: {error}");
    }
}

#[tokio::test]
async fn headers_of_the_operator_are_added_to_every_request_and_never_seen_by_the_adapter() {
    let bench = Bench::new().await;
    let count = Arc::new(AtomicU32::new(0));
    let asked = Arc::clone(&count);
    let read = move || Ok(Secret::new(format!("key-hunter2-{}", asked.fetch_add(1, Ordering::Relaxed))));
    let options = HttpOptions {
        headers: vec![
            ("X-Tenant-ID".to_owned(), Secret::new("clinic-hunter2").into()),
            ("X-Api-Key".to_owned(), SecretValue::Reread(Arc::new(read))),
        ],
        ..bench.server.options()
    };
    assert!(!format!("{options:?}").contains("hunter2"));
    // The adapter sets one of them itself, and tells everything that it sees.
    let more = serde_json::json!({ "tell": true, "headers": [["x-tenant-id", "another"]] });
    for _ in 0..2 {
        let call = bench.apply(&bench.context("PUT", "/fhir/Patient/1", more.clone()), &options, lease(true)).await;
        let told = format!("{:?}", call.result);
        assert!(told.contains("200") && !told.contains("hunter2"), "{told}");
    }
    let seen = bench.server.seen();
    for (head, key) in seen.iter().zip(["key-hunter2-0", "key-hunter2-1"]) {
        assert!(head.contains("x-tenant-id: clinic-hunter2\r\n") && !head.contains("another"), "{head}");
        assert!(head.contains(&format!("x-api-key: {key}\r\n")), "read anew for each request: {head}");
    }
    for name in ["Authorization", "Host", "If-Match", "Content-Length", "no header"] {
        let headers = vec![(name.to_owned(), Secret::new("hunter2").into())];
        let error = HttpAccess::new("t", &HttpOptions { headers, ..bench.server.options() }).err().unwrap().to_string();
        assert!(error.contains(name) && !error.contains("hunter2"), "{error}");
    }
}

#[tokio::test]
async fn credentials_are_added_and_never_seen_by_the_adapter() {
    let bench = Bench::new().await;
    for (credentials, header) in [
        (Credentials::Bearer(Secret::new("hunter2").into()), "authorization: Bearer hunter2\r\n"),
        (
            Credentials::Basic("user".to_owned(), Secret::new("hunter2").into()),
            "authorization: Basic dXNlcjpodW50ZXIy\r\n",
        ),
    ] {
        let options = HttpOptions { credentials, ..bench.server.options() };
        let context = bench.context("GET", "/fhir/cookie", none());
        let answer = bench.apply(&context, &options, lease(true)).await.result.unwrap().unwrap();
        assert!(bench.server.seen().last().unwrap().contains(header));
        assert!(!answer.contains("hunter2") && !answer.contains("set-cookie"), "{answer}");
    }
}

#[tokio::test]
async fn a_redirect_is_shown_and_not_followed() {
    let bench = Bench::new().await;
    let answer = bench.get("/fhir/redirect", none()).await.unwrap();
    assert!(answer.contains("302") && answer.contains("location"), "{answer}");
    assert_eq!(bench.server.seen().len(), 1);
}

#[tokio::test]
async fn a_write_waits_for_the_lease_and_a_read_does_not() {
    let bench = Bench::new().await;
    let body = serde_json::json!({ "body_bytes": 100_000 });
    let held = lease(true);
    let put = bench.context("PUT", "/fhir/Patient/1", body);
    assert!(bench.apply(&put, &bench.server.options(), Arc::clone(&held)).await.result.unwrap().is_ok());
    assert_eq!(held.asked.load(Ordering::Relaxed), 1);
    assert!(bench.server.seen()[0].contains("content-length: 100000\r\n"));

    let lost = lease(false);
    let call = bench.apply(&put, &bench.server.options(), Arc::clone(&lost)).await;
    assert_eq!(call.result.unwrap().unwrap_err().message, "ErrorCode::HttpRequestDenied");
    assert!(call.lease_lost);
    assert_eq!(call.usage.requests, 0);
    let get = bench.context("GET", "/fhir/Patient/1", none());
    let call = bench.apply(&get, &bench.server.options(), Arc::clone(&lost)).await;
    assert!(call.result.unwrap().is_ok() && !call.lease_lost);
    assert_eq!(lost.asked.load(Ordering::Relaxed), 1);
    assert_eq!(bench.server.seen().len(), 2, "the denied one was not sent");
}

#[tokio::test]
async fn a_check_cannot_write() {
    let bench = Bench::new().await;
    let access = HttpAccess::new("t", &bench.server.options()).unwrap();
    let call = bench.adapter.check_http(&bench.context("POST", "/fhir/Patient", none()), &access).await;
    assert_eq!(call.result.unwrap().unwrap_err().message, "ErrorCode::HttpRequestDenied");
    let call = bench.adapter.check_http(&bench.context("GET", "/fhir/metadata", none()), &access).await;
    assert!(call.result.unwrap().unwrap().summary.contains("hello"));
    assert_eq!(bench.server.seen().len(), 1);
}

#[tokio::test]
async fn hostile_response_of_gigabytes_is_cut_off() {
    let bench = Bench::new().await;
    for path in ["/fhir/announced", "/fhir/endless"] {
        let mut context = bench.context("GET", path, none());
        context.limits.http_response_bytes_max = 1 << 20;
        let error = bench.apply(&context, &bench.server.options(), lease(true)).await.result.unwrap_err();
        let words = "http_response_bytes_max: http response of more than 1048576 bytes; raise [targets.t.limits] http_response_bytes_max";
        assert_eq!(error.to_string(), words, "{path}");
    }
}

#[tokio::test]
async fn hostile_heads_without_end_are_cut_off() {
    let bench = Bench::new().await;
    let many = "http_headers_max: an HTTP request or response with more than 100 headers; raise [targets.t.limits] http_headers_max";
    let long =
        "http_header_bytes_max: http header of more than 65536 bytes; raise [targets.t.limits] http_header_bytes_max";
    for (path, words) in [("/fhir/many-headers", many), ("/fhir/long-headers", long), ("/fhir/endless-head", long)] {
        assert_eq!(bench.get(path, none()).await.unwrap_err(), words, "{path}");
    }
    let crowd: Vec<_> = (0..101).map(|number| [format!("x-{number}"), "y".to_owned()]).collect();
    let error = bench.get("/fhir/Patient", serde_json::json!({ "headers": crowd })).await.unwrap_err();
    assert_eq!(error, many);
    let heavy = serde_json::json!({ "headers": [["x-a", "y".repeat(40_000)], ["x-b", "y".repeat(40_000)]] });
    assert_eq!(bench.get("/fhir/Patient", heavy).await.unwrap_err(), long);
    assert_eq!(bench.server.seen().len(), 3, "those of the adapter were not sent");
}

#[tokio::test]
async fn hostile_interim_heads_without_end_are_cut_off() {
    let bench = Bench::new().await;
    assert!(bench.get("/fhir/few-interim", none()).await.unwrap().contains("hello"));
    let many = "interim_heads_max: an HTTP response with more than 16 interim heads (1xx) before it";
    let long =
        "http_header_bytes_max: http header of more than 65536 bytes; raise [targets.t.limits] http_header_bytes_max";
    for (path, words) in [("/fhir/interim", many), ("/fhir/wide-interim", long)] {
        assert_eq!(bench.get(path, none()).await.unwrap_err(), words, "{path}");
        let poured = || bench.server.poured.swap(0, Ordering::Relaxed);
        let bytes = loop {
            match poured() {
                0 => tokio::time::sleep(Duration::from_millis(10)).await,
                bytes => break bytes,
            }
        };
        // What the system buffers on the way, both ways, and one buffer of the client's.
        assert!(bytes < 16 << 20, "{path}: {bytes} bytes were taken");
    }
}

#[tokio::test]
async fn hostile_hoard_of_handles_is_held() {
    let bench = Bench::new().await;
    let error = bench.get("/fhir/Patient", serde_json::json!({ "hoard": 20_000 })).await.unwrap_err();
    let words = "handles_max: the adapter holds more than 10000 handles; raise [targets.t.limits] handles_max";
    assert_eq!(error, words);
}

#[tokio::test]
async fn hostile_redirect_to_a_metadata_address_leads_nowhere() {
    let bench = Bench::new().await;
    let answer = bench.get("/fhir/metadata-service", none()).await.unwrap();
    assert!(answer.contains("302") && answer.contains("location: http://169.254.169.254/latest"), "{answer}");
    // An adapter that follows by itself is off the list, and listed it would still not be dialled.
    let follow = serde_json::json!({ "authority": "169.254.169.254" });
    let error = bench.get("/latest", follow.clone()).await.unwrap_err();
    assert_eq!(error, "ErrorCode::HttpRequestDenied");
    let options = HttpOptions { base_url: "http://169.254.169.254".to_owned(), ..bench.server.options() };
    let call = bench.apply(&bench.context("GET", "/latest", follow), &options, lease(true)).await;
    assert_eq!(call.result.unwrap().unwrap_err().message, "ErrorCode::DestinationIpProhibited");
}

#[tokio::test]
async fn hostile_method_that_was_not_allowed_never_leaves() {
    let bench = Bench::new().await;
    let options = HttpOptions { methods: vec!["GET".to_owned(), "POST".to_owned()], ..bench.server.options() };
    for (method, passes) in [("GET", true), ("POST", true), ("PUT", false), ("TRACE", false), ("PURGE", false)] {
        let call = bench.apply(&bench.context(method, "/fhir/Patient", none()), &options, lease(true)).await;
        match call.result.unwrap() {
            Ok(_) => assert!(passes, "{method}"),
            Err(failure) => {
                assert_eq!((failure.message.as_str(), passes), ("ErrorCode::HttpRequestMethodInvalid", false));
            }
        }
    }
    assert_eq!(bench.server.seen().len(), 2);
}

#[tokio::test]
async fn hostile_request_of_megabytes_is_held_back() {
    let bench = Bench::new().await;
    let mut context = bench.context("POST", "/fhir/Patient", serde_json::json!({ "body_bytes": 2_000_000 }));
    context.limits.http_request_bytes_max = 1 << 20;
    let error = bench.apply(&context, &bench.server.options(), lease(true)).await.result.unwrap_err();
    assert!(matches!(error, CallError::Limit { limit: "http_request_bytes_max", value: 0x10_0000, .. }), "{error}");
    assert_eq!(bench.server.seen().len(), 0);
}

#[tokio::test]
async fn hostile_crowd_of_requests_is_limited() {
    let bench = Bench::new().await;
    let mut context = bench.context("GET", "/fhir/Patient", serde_json::json!({ "at_once": 5 }));
    context.limits.http_requests_in_flight_max = 5;
    assert!(bench.apply(&context, &bench.server.options(), lease(true)).await.result.unwrap().is_ok());
    context.limits.http_requests_in_flight_max = 4;
    let error = bench.apply(&context, &bench.server.options(), lease(true)).await.result.unwrap_err();
    assert!(matches!(error, CallError::Limit { limit: "http_requests_in_flight_max", value: 4, .. }), "{error}");
}

#[tokio::test]
async fn hostile_server_that_stalls_is_left() {
    let bench = Bench::new().await;
    let context = bench.context("GET", "/fhir/stall", none());
    let options = HttpOptions { timeout: Duration::from_millis(100), ..bench.server.options() };
    let call = bench.apply(&context, &options, lease(true)).await;
    assert_eq!(call.result.unwrap().unwrap_err().message, "ErrorCode::HttpResponseTimeout");
    // The deadline of the call counts when the operator's timeout is longer.
    let mut context = context;
    context.limits.deadline_ms = 100;
    let call = bench.apply(&context, &bench.server.options(), lease(true)).await;
    assert!(matches!(call.result.unwrap_err(), CallError::Limit { limit: "deadline_ms", .. }));
}

#[tokio::test]
async fn a_write_is_in_doubt_when_it_was_sent_and_has_no_whole_answer() {
    let bench = Bench::new().await;
    let options = HttpOptions { timeout: Duration::from_millis(300), ..bench.server.options() };
    for (method, path, held, in_doubt, timed_out) in [
        ("POST", "/fhir/Patient", true, false, false),
        ("POST", "/fhir/vanish", true, true, false),
        ("PUT", "/fhir/stall", true, true, true),
        ("POST", "/fhir/half", true, true, false),
        ("POST", "/fhir/gateway", true, true, false),
        ("POST", "/fhir/timeout", true, true, false),
        ("PUT", "/fhir/overloaded", true, true, false),
        ("POST", "/fhir/edge", true, true, false),
        ("POST", "/fhir/refuse", true, false, false),
        ("GET", "/fhir/vanish", true, false, false),
        ("GET", "/fhir/stall", true, false, true),
        ("POST", "/fhir/vanish", false, false, false),
    ] {
        let call = bench.apply(&bench.context(method, path, none()), &options, lease(held)).await;
        assert_eq!((call.in_doubt, call.timed_out), (in_doubt, timed_out), "{method} {path}, lease held: {held}");
    }
}

#[tokio::test]
async fn a_call_that_is_cut_off_leaves_its_write_in_doubt() {
    let bench = Bench::new().await;
    let mut context = bench.context("POST", "/fhir/stall", none());
    context.limits.deadline_ms = 200;
    let call = bench.apply(&context, &bench.server.options(), lease(true)).await;
    assert!(call.result.is_err() && call.in_doubt, "the deadline");
    // Dropped half-way, as by a host that stops: only the fates can still tell.
    context.limits.deadline_ms = 10_000;
    let (access, fates) = (HttpAccess::new("t", &bench.server.options()).unwrap(), RequestFates::default());
    let changes = changes(1);
    let permit = (lease(true) as Arc<dyn Fence>, &fates);
    let call = bench.adapter.apply_http(&context, &access, permit, b"", RemoteEdit::Overwrite, &changes);
    tokio::select! {
        _ = call => panic!("the server stalls"),
        () = async { while fates.unanswered() == 0 { tokio::time::sleep(Duration::from_millis(5)).await } } => {}
    }
    assert_eq!(fates.unanswered(), 1);
}

#[tokio::test]
async fn connections_outlive_a_call() {
    let bench = Bench::new().await;
    let access = HttpAccess::new("t", &bench.server.options()).unwrap();
    let context = bench.context("GET", "/fhir/Patient", none());
    for _ in 0..5 {
        let permit = (lease(true) as Arc<dyn Fence>, &RequestFates::default());
        let call = bench.adapter.apply_http(&context, &access, permit, b"", RemoteEdit::Overwrite, &changes(1)).await;
        assert!(call.result.unwrap().is_ok());
    }
    assert_eq!(bench.server.seen().len(), 5);
    assert_eq!(bench.server.connections.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_server_that_is_not_there_is_told_as_such() {
    let bench = Bench::new().await;
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let authority = format!("127.0.0.1:{closed}");
    let options = HttpOptions { base_url: format!("http://{authority}/fhir"), ..bench.server.options() };
    let context = bench.context("GET", "/fhir/metadata", serde_json::json!({ "authority": authority }));
    let call = bench.apply(&context, &options, lease(true)).await;
    assert_eq!(call.result.unwrap().unwrap_err().message, "ErrorCode::ConnectionRefused");
    let context = bench.context("POST", "/fhir/Patient", serde_json::json!({ "authority": authority }));
    let call = bench.apply(&context, &options, lease(true)).await;
    assert!(call.result.unwrap().is_err() && !call.in_doubt, "it was never sent");
}
