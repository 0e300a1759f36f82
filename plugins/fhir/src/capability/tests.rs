//! `CapabilityStatement`s as servers write them, and responses that are not a statement.

use adapter_sdk::http::{Error, Response};
use serde_json::json;

use super::*;
use crate::testing::Server;

fn statement() -> Value {
    let listed = |name: &str| {
        json!({ "type": name, "versioning": "versioned-update", "updateCreate": true,
            "conditionalCreate": true, "conditionalUpdate": true,
            "interaction": [{ "code": "read" }, { "code": "search-type" }, { "code": "create" }, { "code": "update" },
                { "code": "delete" }, { "code": "history-instance" }],
            "searchParam": [{ "name": "identifier", "type": "token" }] })
    };
    let mut types = crate::testing::TYPES.map(listed).to_vec();
    // Patient first, so that tests find it.
    types.sort_by_key(|listed| listed["type"] != "Patient");
    json!({
        "resourceType": "CapabilityStatement", "fhirVersion": "4.0.1",
        "software": { "name": "Example", "version": "1.2" },
        "rest": [{
            "mode": "server",
            "interaction": [{ "code": "transaction" }, { "code": "batch" }],
            "resource": types
        }]
    })
}

/// A server with this statement; its other responses are those of the in-memory server.
fn server_with(statement: &Value) -> Server {
    let body = statement.to_string().into_bytes();
    Server {
        before: Some(Box::new(move |_, request| {
            let answer = Response { status: 200, headers: Vec::new(), body: body.clone() };
            (request.path == "metadata").then_some(Ok(answer))
        })),
        ..Server::default()
    }
}

fn checked(statement: &Value) -> Result<Report, Failure> {
    check(&server_with(statement), &Settings::default())
}

fn capabilities(report: &Report) -> Capabilities {
    Capabilities::from_state(&report.state).unwrap()
}

#[test]
fn a_complete_server_is_accepted_without_warning() {
    let report = checked(&statement()).unwrap();
    assert_eq!(report.summary, "Example 1.2, FHIR 4.0.1");
    assert!(report.findings.iter().all(|finding| finding.level == FindingLevel::Ok), "{:?}", report.findings);
    assert_eq!(capabilities(&report), crate::testing::able());
}

#[test]
fn a_feature_that_is_not_declared_is_not_assumed() {
    let silent = json!({ "resourceType": "CapabilityStatement", "fhirVersion": "4.0.1",
        "rest": [{ "mode": "server", "resource": [{ "type": "Patient" }] }] });
    let report = checked(&silent).unwrap();
    let types = [("Patient".to_owned(), Abilities { deletes: true, ..Abilities::default() })].into();
    let server = "FHIR server, FHIR 4.0.1".to_owned();
    assert_eq!(capabilities(&report), Capabilities { batch: false, server, types });
    assert!(report.findings.iter().any(|finding| finding.level == FindingLevel::Warning));
}

#[test]
fn features_are_read_one_by_one() {
    let all = |pointer: &str, value: Value| {
        let mut statement = statement();
        *statement.pointer_mut(pointer).unwrap() = value;
        capabilities(&checked(&statement).unwrap())
    };
    let variant = |pointer: &str, value: Value| all(pointer, value).of("Patient").unwrap().clone();
    let patient = "/rest/0/resource/0";
    assert!(!variant(&format!("{patient}/updateCreate"), json!(false)).update_create);
    assert!(!variant(&format!("{patient}/conditionalCreate"), json!(false)).conditional_create);
    assert_eq!(variant(&format!("{patient}/versioning"), json!("versioned")).versioning, Versioning::Versioned);
    assert_eq!(variant(&format!("{patient}/versioning"), json!("no-version")).versioning, Versioning::NoVersion);
    assert!(all("/rest/0/interaction", json!([{ "code": "transaction" }])).batch);
    assert!(!all("/rest/0/interaction", json!([{ "code": "history-system" }])).batch);
    assert!(!variant(&format!("{patient}/interaction"), json!([{ "code": "read" }])).history);
}

#[test]
fn a_missing_interaction_is_a_problem_by_name() {
    let mut statement = statement();
    statement["rest"][0]["resource"][0]["interaction"] = json!([{ "code": "read" }, { "code": "search-type" }]);
    let report = checked(&statement).unwrap();
    let problems: Vec<&str> = report
        .findings
        .iter()
        .filter(|finding| finding.level == FindingLevel::Problem)
        .map(|finding| finding.message.as_str())
        .collect();
    assert_eq!(
        problems,
        [
            "Patient has no interaction create: changes will fail",
            "Patient has no interaction update: changes will fail"
        ]
    );
}

#[test]
fn other_versions_and_servers_without_patients_are_named() {
    let mut other = statement();
    other["fhirVersion"] = json!("3.0.2");
    assert!(checked(&other).unwrap_err().message.contains("FHIR 3.0.2"));
    other["fhirVersion"] = json!("4.3.0");
    assert!(checked(&other).unwrap().findings.iter().any(|finding| finding.message.contains("R4B")));
    let mut empty = statement();
    empty["rest"][0]["resource"] = json!([{ "type": "Observation" }]);
    let failure = checked(&empty).unwrap_err();
    assert_eq!(
        (failure.kind, failure.message.as_str()),
        (FailureKind::Misconfigured, "the server keeps no Patient resources")
    );
}

#[test]
fn a_server_that_is_not_fhir_is_reported_by_its_response() {
    let page = |status, content_type: &str, body: &str| {
        let headers = vec![("content-type".to_owned(), content_type.to_owned())];
        Ok(Response { status, headers, body: body.as_bytes().to_vec() })
    };
    let dated = Response {
        status: 503,
        headers: vec![
            ("date".to_owned(), "Sun, 06 Nov 1994 08:49:37 GMT".to_owned()),
            ("retry-after".to_owned(), "Sun, 06 Nov 1994 08:50:07 GMT".to_owned()),
        ],
        body: Vec::new(),
    };
    for (answer, kind, words) in [
        (page(200, "text/html", "<html>"), FailureKind::Misconfigured, "text/html"),
        (page(200, "application/json", r#"{"resourceType":"Patient"}"#), FailureKind::Misconfigured, "type Patient"),
        (page(200, "application/json", "{}"), FailureKind::Misconfigured, "application/json"),
        (page(200, "application/fhir+json", ""), FailureKind::Misconfigured, "an empty body"),
        (page(401, "text/html", ""), FailureKind::Misconfigured, "credentials"),
        (page(403, "text/html", ""), FailureKind::Misconfigured, "credentials"),
        (page(408, "text/html", ""), FailureKind::Unavailable, "in time"),
        (page(404, "text/html", ""), FailureKind::Misconfigured, "check base_url"),
        (page(400, "text/html", ""), FailureKind::Misconfigured, "answered 400"),
        (page(301, "text/html", ""), FailureKind::Misconfigured, "redirect"),
        (page(500, "text/html", ""), FailureKind::Unavailable, "500"),
        (Ok(dated), FailureKind::Throttled, "wait"),
        (Ok(crate::testing::outcome(500)), FailureKind::Unavailable, "500"),
        (Err(Error::ConnectionFailed("connection refused".to_owned())), FailureKind::Unavailable, "refused"),
        (Err(Error::Timeout), FailureKind::Unavailable, "time limit"),
        (Err(Error::UnknownCoding("br".to_owned())), FailureKind::Misconfigured, "packed as `br`"),
        (Err(Error::Damaged), FailureKind::Unavailable, "cannot be unpacked"),
        (Err(Error::Refused("not allowed".to_owned())), FailureKind::Misconfigured, "not allowed"),
    ] {
        let waits = matches!(&answer, Ok(response) if response.status == 503);
        let server = Server { before: Some(Box::new(move |_, _| Some(answer.clone()))), ..Server::default() };
        let failure = check(&server, &Settings::default()).unwrap_err();
        assert_eq!(failure.kind, kind, "{}", failure.message);
        assert!(failure.message.contains(words), "{}", failure.message);
        assert_eq!(failure.retry_after_ms, waits.then_some(30_000));
    }
}

#[test]
fn a_state_of_another_version_is_discarded() {
    for state in [&b""[..], b"{}", b"7", br#"{"conditional_update":"yes"}"#] {
        assert_eq!(Capabilities::from_state(state), None);
    }
    assert_eq!(discover(&server_with(&statement()), &Settings::default()).unwrap(), crate::testing::able());
}

#[test]
fn credentials_that_may_not_search_are_reported_by_the_check() {
    for (status, kind, words) in [
        (401, FailureKind::Misconfigured, "the credentials"),
        (403, FailureKind::Misconfigured, "may not search Patient"),
        (404, FailureKind::Misconfigured, "nothing is found"),
        (400, FailureKind::Misconfigured, "nothing is found"),
        (429, FailureKind::Throttled, "slow down"),
        (500, FailureKind::Unavailable, "not able"),
    ] {
        let mut server = server_with(&statement());
        let metadata = server.before.take().unwrap();
        server.before = Some(Box::new(move |number, request| {
            metadata(number, request).or_else(|| Some(Ok(crate::testing::outcome(status))))
        }));
        let failure = check(&server, &Settings::default()).unwrap_err();
        assert_eq!(failure.kind, kind, "{status}");
        assert!(failure.message.contains(words), "{}", failure.message);
    }
}

#[test]
fn a_server_that_refuses_count_zero_is_searched_without_it() {
    let mut server = server_with(&statement());
    let metadata = server.before.take().unwrap();
    server.before = Some(Box::new(move |number, request| {
        let refused = || request.path.contains("_count=0").then(|| Ok(crate::testing::outcome(400)));
        metadata(number, request).or_else(refused)
    }));
    check(&server, &Settings::default()).unwrap();
}

#[test]
fn a_server_that_does_not_search_by_identifier_is_reported_by_the_check() {
    for found in [
        json!({ "resourceType": "Bundle", "total": 3 }),
        json!({ "resourceType": "Bundle", "entry": [{ "resource": { "resourceType": "Patient", "id": "7" } }] }),
    ] {
        let mut server = server_with(&statement());
        let metadata = server.before.take().unwrap();
        server.before = Some(Box::new(move |number, request| {
            let everybody = Response { status: 200, headers: Vec::new(), body: found.to_string().into_bytes() };
            metadata(number, request).or(Some(Ok(everybody)))
        }));
        let failure = check(&server, &Settings::default()).unwrap_err();
        assert!(failure.message.contains("does not search by identifier"), "{}", failure.message);
    }
}

#[test]
fn a_check_tests_versions_on_our_own_record_and_changes_nothing() {
    use Versioning::{NoVersion, VersionedUpdate};
    for (version, history, expected, told) in [
        (Some("1"), true, (VersionedUpdate, true), "in the record's history"),
        (Some("1"), false, (VersionedUpdate, false), "by its version number"),
        (Some("b1f0-77"), true, (VersionedUpdate, true), "in the record's history"),
        (Some("b1f0-77"), false, (VersionedUpdate, false), "would not be noticed"),
        (None, true, (NoVersion, true), "has none"),
    ] {
        let mut server = server_with(&statement());
        let metadata = server.before.take().unwrap();
        server.before = Some(Box::new(move |number, request| {
            let mut patient = json!({ "resourceType": "Patient", "id": "7",
                "identifier": [{ "system": "urn:neuronova:patient-id", "value": "P-1" }] });
            if let Some(version) = version {
                patient["meta"] = json!({ "versionId": version });
            }
            let bundle = |entries: Value| json!({ "resourceType": "Bundle", "entry": entries });
            let body = match request.path.as_str() {
                "Patient/7" => patient,
                "Patient/7/_history?_count=1" if history => bundle(json!([{ "resource": patient }])),
                "Patient/7/_history?_count=1" => return Some(Ok(crate::testing::outcome(404))),
                path if path.ends_with("_count=1") => bundle(json!([{ "resource": patient }])),
                _ => json!({ "resourceType": "Bundle", "total": 0 }),
            };
            assert_eq!(request.method, Method::Get, "a check writes nothing");
            let answer = Response { status: 200, headers: Vec::new(), body: body.to_string().into_bytes() };
            metadata(number, request).or(Some(Ok(answer)))
        }));
        let report = check(&server, &Settings::default()).unwrap();
        let found = capabilities(&report).of("Patient").unwrap().clone();
        assert_eq!((found.versioning, found.history), expected, "{version:?} {history}");
        let findings: Vec<_> = report.findings.iter().map(|finding| finding.message.as_str()).collect();
        assert!(findings.iter().any(|finding| finding.contains(told)), "{findings:?}");
    }
}
