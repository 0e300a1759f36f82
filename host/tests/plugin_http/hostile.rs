//! Adapters that ask for what they may not have, and servers that answer without end.

use std::sync::atomic::Ordering;
use std::time::Duration;

use host::plugin::{CallError, HttpOptions};

use crate::bench::{Bench, lease, none};

#[tokio::test]
async fn hostile_request_to_an_unlisted_url_is_not_sent() {
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
async fn hostile_endless_response_heads_are_cut_off() {
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
async fn hostile_endless_interim_heads_are_cut_off() {
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
async fn hostile_number_of_open_handles_is_limited() {
    let bench = Bench::new().await;
    let error = bench.get("/fhir/Patient", serde_json::json!({ "hoard": 20_000 })).await.unwrap_err();
    let words = "handles_max: the adapter holds more than 10000 handles; raise [targets.t.limits] handles_max";
    assert_eq!(error, words);
}

#[tokio::test]
async fn hostile_redirect_to_a_metadata_address_is_not_followed() {
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
async fn hostile_method_that_is_not_allowed_is_not_sent() {
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
async fn hostile_oversized_request_is_not_sent() {
    let bench = Bench::new().await;
    let mut context = bench.context("POST", "/fhir/Patient", serde_json::json!({ "body_bytes": 2_000_000 }));
    context.limits.http_request_bytes_max = 1 << 20;
    let error = bench.apply(&context, &bench.server.options(), lease(true)).await.result.unwrap_err();
    assert!(matches!(error, CallError::Limit { limit: "http_request_bytes_max", value: 0x10_0000, .. }), "{error}");
    assert_eq!(bench.server.seen().len(), 0);
}

#[tokio::test]
async fn hostile_number_of_requests_is_limited() {
    let bench = Bench::new().await;
    let mut context = bench.context("GET", "/fhir/Patient", serde_json::json!({ "at_once": 5 }));
    context.limits.http_requests_in_flight_max = 5;
    assert!(bench.apply(&context, &bench.server.options(), lease(true)).await.result.unwrap().is_ok());
    context.limits.http_requests_in_flight_max = 4;
    let error = bench.apply(&context, &bench.server.options(), lease(true)).await.result.unwrap_err();
    assert!(matches!(error, CallError::Limit { limit: "http_requests_in_flight_max", value: 4, .. }), "{error}");
}

#[tokio::test]
async fn hostile_server_that_stalls_is_abandoned_at_the_deadline() {
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
