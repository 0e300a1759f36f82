//! The table of statuses, and that nothing personal comes through.

use serde_json::json;

use super::*;

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
fn a_status_of_one_entry_decides_the_kind() {
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
        assert_eq!(of_answer("PUT Patient", &answer(status, None), &Personal::default()).kind, kind, "{status}");
    }
}

#[test]
fn a_status_of_the_whole_request_speaks_for_the_target() {
    let response = |status, retry_after: Option<&str>| Response {
        status,
        headers: retry_after.map(|value| ("retry-after".to_owned(), value.to_owned())).into_iter().collect(),
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
        (502, true, None, Some(("odd", FailureKind::Unavailable))),
        (422, true, None, None),
    ] {
        let found = match of_response("POST Bundle", &response(status, retry_after), told) {
            Whole::Answer => None,
            Whole::Target(failure) => Some(("target", failure)),
            Whole::Odd(failure) => Some(("odd", failure)),
            Whole::Slow(failure) => Some(("slow", failure)),
        };
        assert_eq!(found.as_ref().map(|(who, failure)| (*who, failure.kind)), expected, "{status} {told}");
        assert_eq!(found.and_then(|(_, failure)| failure.retry_after_ms), retry_after.map(|_| 7000));
    }
}

#[test]
fn diagnostics_keep_code_place_and_words() {
    let failure = of_answer("PUT Patient", &answer(422, Some(issue("Not a date"))), &Personal::default());
    assert_eq!(failure.message, "PUT Patient answered 422: invalid at Patient.birthDate - Not a date");
    let coded = json!({ "issue": [{ "severity": "warning", "code": "informational", "diagnostics": "fine" },
        { "severity": "error", "code": "required", "details": { "text": "name is missing" } }] });
    let failure = of_answer("PUT Patient", &answer(400, Some(coded)), &Personal::default());
    assert_eq!(failure.message, "PUT Patient answered 400: required - name is missing");
}

#[test]
fn nothing_of_the_payload_comes_through_whatever_form_it_takes() {
    let personal = Personal::of_payload(
        r#"{"patient_id":"P-77","family_name":"Li","given_name":"MinJun","native_family_name":"김",
            "birth_date":"1985-03-15","phone_home":"02-123-4567","street":"12  Main Street","gender":"male"}"#,
    );
    for (said, expected) in [
        ("Value 'MinJun' is bad", "Value '…' is bad"),
        ("Value MINJUN is bad, Line 3", "Value … is bad, Line 3"),
        ("Name Li is short", "Name … is short"),
        ("이름 김민준 invalid", "이름 …민준 invalid"),
        ("born 1985-03-15 or 15/03/1985 or 19850315", "born … or … or …"),
        ("lives at 12 Main Street", "lives at …"),
        ("can't parse, doesn't fit", "can't parse, doesn't fit"),
        ("HAPI-0450: Failed to parse \"anyone at all", "HAPI-0450: Failed to parse \"…"),
        ("match URL \"Patient?identifier=x|P-77\" matched 2", "match URL \"…\" matched 2"),
        ("line\none\ttwo", "line one two"),
    ] {
        assert_eq!(personal.scrub(said), expected);
    }
}

#[test]
fn a_long_story_is_cut() {
    let told = of_answer("PUT Patient", &answer(400, Some(issue(&"word ".repeat(500)))), &Personal::default()).message;
    assert!(told.chars().count() < 360 && told.ends_with('…'), "{}", told.chars().count());
}

#[test]
fn a_request_without_an_answer_is_an_outage() {
    let failure = of_error("POST Bundle", &http::Error::ConnectionFailed("connection refused".to_owned()));
    assert_eq!(failure.kind, FailureKind::Unavailable);
    assert_eq!(failure.message, "POST Bundle: connection failed: connection refused");
}
