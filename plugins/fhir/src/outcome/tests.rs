//! The table of statuses.

use serde_json::{Value, json};

use super::*;

fn asked(what: &str) -> Asked<'_> {
    Asked { what, base_url: Some("http://h/fhir"), path: "" }
}

fn answer(status: u16, outcome: Option<Value>) -> Answer {
    let mut entry = json!({ "response": { "status": status.to_string() } });
    if let Some(outcome) = outcome {
        entry["response"]["outcome"] = outcome;
    }
    Answer::from_entry(&mut entry)
}

fn issue(diagnostics: &str) -> Value {
    json!({ "resourceType": "OperationOutcome", "issue": [
        { "severity": "error", "code": "invalid", "expression": ["Patient.birthDate"], "diagnostics": diagnostics }] })
}

#[test]
fn the_status_of_an_entry_decides_its_failure_kind() {
    for (status, kind) in [
        (400, FailureKind::Invalid),
        (422, FailureKind::Invalid),
        (413, FailureKind::Invalid),
        (401, FailureKind::Denied),
        (403, FailureKind::Denied),
        (410, FailureKind::Conflict),
        (412, FailureKind::Conflict),
        (409, FailureKind::Transient),
        (408, FailureKind::Unavailable),
        (429, FailureKind::Throttled),
        (500, FailureKind::Transient),
        (503, FailureKind::Transient),
        (0, FailureKind::Transient),
    ] {
        assert_eq!(of_answer("PUT Patient", &answer(status, None), "{}").kind, kind, "{status}");
    }
}

#[test]
fn the_status_of_the_whole_request_decides_the_failure_of_the_target() {
    let response = |status, told: bool, retry_after: Option<&str>| Response {
        status,
        headers: [
            ("retry-after", retry_after),
            ("content-type", told.then_some("application/fhir+json; charset=utf-8")),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned())))
        .collect(),
        body: Vec::new(),
    };
    for (status, told, retry_after, expected) in [
        (200, false, None, None),
        (304, false, None, None),
        (401, true, None, Some(("target", FailureKind::Misconfigured))),
        (403, false, None, Some(("odd", FailureKind::Misconfigured))),
        (403, true, None, None),
        (404, false, None, Some(("odd", FailureKind::Misconfigured))),
        (404, true, None, None),
        (302, false, None, Some(("target", FailureKind::Misconfigured))),
        (408, false, None, Some(("slow", FailureKind::Unavailable))),
        (504, true, None, Some(("slow", FailureKind::Unavailable))),
        (429, false, None, Some(("target", FailureKind::Throttled))),
        (503, true, Some("7"), Some(("target", FailureKind::Throttled))),
        (503, true, None, Some(("odd", FailureKind::Unavailable))),
        (500, false, None, Some(("odd", FailureKind::Unavailable))),
        (500, true, None, Some(("odd", FailureKind::Unavailable))),
        (501, false, None, Some(("odd", FailureKind::Unavailable))),
        (505, false, None, Some(("odd", FailureKind::Unavailable))),
        (503, false, None, Some(("unanswered", FailureKind::Unavailable))),
        (502, true, None, Some(("unanswered", FailureKind::Unavailable))),
        (499, false, None, Some(("unanswered", FailureKind::Unavailable))),
        (520, false, None, Some(("unanswered", FailureKind::Unavailable))),
        (530, false, None, Some(("unanswered", FailureKind::Unavailable))),
        (524, false, None, Some(("slow", FailureKind::Unavailable))),
        (598, false, None, Some(("slow", FailureKind::Unavailable))),
        (599, false, None, Some(("slow", FailureKind::Unavailable))),
        (422, true, None, None),
    ] {
        let found = match of_response(&asked("POST Bundle"), &response(status, told, retry_after), told) {
            Whole::Answer => None,
            Whole::Target(failure) => Some(("target", failure)),
            Whole::Odd(failure) => Some(("odd", failure)),
            Whole::Unanswered(failure) => Some(("unanswered", failure)),
            Whole::Slow(failure) => Some(("slow", failure)),
        };
        assert_eq!(found.as_ref().map(|(who, failure)| (*who, failure.kind)), expected, "{status} {told}");
        assert_eq!(found.and_then(|(_, failure)| failure.retry_after_ms), retry_after.map(|_| 7000));
    }
}

#[test]
fn a_message_carries_the_servers_reason_and_nothing_of_the_payload() {
    let said = of_answer("PUT Patient", &answer(422, Some(issue("name Kim is not a date"))), "{}").message;
    assert_eq!(said, "PUT Patient answered 422: invalid at Patient.birthDate - name ... is not a date");
    let said = of_answer("PUT Patient", &answer(422, Some(json!({ "issue": [] }))), "{}").message;
    assert_eq!(said, "PUT Patient answered 422");
}

#[test]
fn a_503_is_from_the_server_itself_only_if_header_and_body_are_fhir() {
    for (content_type, told, is_own) in [
        ("application/fhir+json", true, true),
        ("Application/FHIR+json; charset=utf-8", true, true),
        ("application/fhir+json", false, false),
        ("application/json", true, false),
        ("text/html", false, false),
    ] {
        let headers = vec![("content-type".to_owned(), content_type.to_owned())];
        let read = of_response(&asked("PUT Patient"), &Response { status: 503, headers, body: Vec::new() }, told);
        assert_eq!(matches!(read, Whole::Odd(_)), is_own, "{content_type}");
        assert_eq!(matches!(read, Whole::Unanswered(_)), !is_own, "{content_type}");
    }
}

#[test]
fn a_request_without_a_response_is_an_outage() {
    let failure = of_error("POST Bundle", &http::Error::ConnectionFailed("connection refused".to_owned()));
    assert_eq!(failure.kind, FailureKind::Unavailable);
    assert_eq!(failure.message, "POST Bundle: connection failed: connection refused");
}

#[test]
fn a_response_in_an_unsupported_coding_is_misconfigured() {
    let failure = of_error("GET metadata", &http::Error::UnknownCoding("br".to_owned()));
    assert_eq!(failure.kind, FailureKind::Misconfigured);
    assert!(failure.message.starts_with("GET metadata: the answer is packed as `br`"), "{}", failure.message);
    assert_eq!(of_error("GET metadata", &http::Error::Damaged).kind, FailureKind::Unavailable);
}

#[test]
fn a_body_that_is_not_json_is_named_by_its_type() {
    let headers = vec![("content-type".to_owned(), "text/html; charset=utf-8".to_owned())];
    let of = |body: &[u8]| unlike_json(&Response { status: 200, headers: headers.clone(), body: body.to_vec() });
    assert_eq!(of(b"<html>"), "text/html");
    assert_eq!(of(b" \r\n"), "an empty body");
    assert!(of(&[0x1F, 0x8B, 8, 0]).starts_with("gzip without a Content-Encoding"));
}
