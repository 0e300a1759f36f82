//! HTTP of a real component against a small server: what may go out, what is added, and what is held back.

#![allow(clippy::unwrap_used, clippy::needless_pass_by_value, reason = "a test that fails shows what it found")]

mod bench;
mod hostile;
#[path = "../support/mod.rs"]
mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use host::domain::change::{Link, Observation, Subject};
use host::plugin::{CallError, Credentials, Fence, HttpAccess, HttpOptions, RequestFates, Secret, SecretValue};

use tokio::net::TcpListener;

use bench::{Bench, lease, none};
use support::{changes, given};

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
async fn a_compressed_response_is_decompressed_and_its_decompressed_size_counts() {
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
    // With the limits as they are by default the adapter has less memory than the answer takes.
    let error = bench.get("/fhir/bomb", none()).await.unwrap_err();
    assert!(error.starts_with("http_response_bytes_max: "), "{error}");
    for (path, code) in [
        ("/fhir/torn", "HttpResponseContentCoding(None)"),
        ("/fhir/other-coding", "HttpResponseContentCoding(Some(\"br\"))"),
    ] {
        let error = bench.get(path, none()).await.unwrap_err();
        assert!(error.contains(code), "{path}: {error}");
    }
}

#[tokio::test]
async fn configured_headers_are_added_to_every_request_and_hidden_from_the_adapter() {
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
async fn credentials_are_added_and_hidden_from_the_adapter() {
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
async fn observing_cannot_write() {
    let bench = Bench::new().await;
    let access = HttpAccess::new("t", &bench.server.options()).unwrap();
    let link = Link { remote_id: "1".to_owned(), remote_version: None, fingerprint: None };
    let subject = Subject { aggregate_type: "patient".to_owned(), aggregate_id: "P-1".to_owned(), link };
    for method in ["POST", "PUT"] {
        let context = bench.context(method, "/fhir/Patient", none());
        let call = bench.adapter.observe_http(&context, &access, given(b""), std::slice::from_ref(&subject)).await;
        assert_eq!(call.result.unwrap().unwrap_err().message, "ErrorCode::HttpRequestDenied");
    }
    assert!(bench.server.seen().is_empty());
    let context = bench.context("GET", "/fhir/Patient/1", none());
    let call = bench.adapter.observe_http(&context, &access, given(b""), &[subject]).await;
    assert!(matches!(&call.result.unwrap().unwrap()[..], [Observation::Present { .. }]));
    assert_eq!(bench.server.seen().len(), 1);
}

#[tokio::test]
async fn a_write_waits_for_the_fence_and_a_read_does_not() {
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
async fn a_sent_write_without_a_complete_response_is_in_doubt() {
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
async fn an_aborted_call_leaves_its_write_in_doubt() {
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
    let call = bench.adapter.apply_http(&context, &access, permit, given(b""), &changes);
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
        let call = bench.adapter.apply_http(&context, &access, permit, given(b""), &changes(1)).await;
        assert!(call.result.unwrap().is_ok());
    }
    assert_eq!(bench.server.seen().len(), 5);
    assert_eq!(bench.server.connections.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn an_unreachable_server_is_reported_as_unreachable() {
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
