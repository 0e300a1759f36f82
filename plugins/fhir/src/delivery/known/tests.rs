//! Decides which record is ours: false reports of a missing record, a lost identifier, and ids that a server chose.

use adapter_sdk::http::{Method, Response};
use adapter_sdk::{FailureKind, Operation, Receipt, RemoteEdit};
use serde_json::{Value, json};

use crate::capability::{Capabilities, Versioning};
use crate::delivery::Rules;
use crate::settings::Settings;
use crate::testing::{
    Fault, Server, able, but, change, created, failed, id_of, one, outcome as told, own_ids, receipt, rules,
};

fn page() -> Response {
    Response { status: 404, headers: Vec::new(), body: b"<html>".to_vec() }
}

fn fhir(status: u16, location: Option<&str>, body: &Value) -> Response {
    let headers = location.map(|location| ("location".to_owned(), location.to_owned()));
    Response { status, headers: headers.into_iter().collect(), body: body.to_string().into_bytes() }
}

/// A server without Bundles and with this versioning.
fn single(versioning: Versioning) -> Capabilities {
    but(Capabilities { batch: false, ..able() }, |it| it.versioning = versioning)
}

fn identified(id: &str, value: &str) -> Value {
    json!({ "resourceType": "Patient", "id": id, "meta": { "versionId": "1" }, "active": true,
        "identifier": [{ "system": "urn:neuronova:patient-id", "value": value }] })
}

/// Responds to requests with this method whose path begins like this.
fn answers(method: &'static str, path: &str, answer: Response) -> Fault {
    let path = path.to_owned();
    Box::new(move |_, request| {
        let is = format!("{:?}", request.method).eq_ignore_ascii_case(method) && request.path.starts_with(&path);
        is.then(|| Ok(answer.clone()))
    })
}

#[test]
fn a_404_that_is_not_fhir_counts_only_if_the_search_finds_no_record() {
    let settings = Settings::default();
    for versioning in [Versioning::VersionedUpdate, Versioning::NoVersion] {
        let capabilities = single(versioning);
        let rules = rules(&settings, &capabilities);
        let mut server = Server::default();
        let link = created(&server, &rules);
        server.delete(1);
        server.before =
            Some(answers(if versioning == Versioning::NoVersion { "get" } else { "put" }, "Patient/", page()));
        let update = one(&server, &rules, &change(1, Operation::Update, "Jun", Some(&link)));
        assert_eq!(failed(&update), (FailureKind::Conflict, "Patient was deleted at the target"));
        let delete = one(&server, &rules, &change(1, Operation::Delete, "Jun", Some(&link)));
        assert_eq!(receipt(&delete).remote_id, "");
    }
}

#[test]
fn a_404_from_a_proxy_does_not_confirm_a_delete_without_a_link() {
    let (settings, capabilities) = (Settings::default(), single(Versioning::VersionedUpdate));
    let rules = rules(&settings, &capabilities);
    let mut server = Server::default();
    created(&server, &rules);
    server.before = Some(answers("put", "Patient/", page()));
    let outcome = one(&server, &rules, &change(1, Operation::Delete, "Jun", None));
    assert_eq!((failed(&outcome).0, &server.record(1)["active"]), (FailureKind::Transient, &json!(true)));
}

#[test]
fn another_record_with_our_identifier_causes_a_search_for_the_linked_id() {
    let (settings, capabilities) = (Settings::default(), single(Versioning::VersionedUpdate));
    let rules = rules(&settings, &capabilities);
    let bundle = |entries: Value| json!({ "resourceType": "Bundle", "type": "searchset", "entry": entries });
    for (found, kind) in [
        (bundle(json!([])), Some(FailureKind::Conflict)),
        (bundle(json!([{ "resource": identified(&id_of(1), "gone") }])), Some(FailureKind::Transient)),
        // The server ignores the parameter, and returns every record.
        (bundle(json!([{ "resource": identified("7", "P-7") }])), Some(FailureKind::Transient)),
        (json!({ "resourceType": "OperationOutcome" }), Some(FailureKind::Transient)),
    ] {
        let mut server = Server::default();
        let link = created(&server, &rules);
        server.delete(1);
        server.plant(2, "P-1");
        let by_id = fhir(200, None, &found);
        server.before = Some(Box::new(move |_, request| {
            if request.path.starts_with("Patient?_id=") {
                return Some(Ok(by_id.clone()));
            }
            request.path.starts_with("Patient/").then(|| Ok(page()))
        }));
        let outcome = one(&server, &rules, &change(1, Operation::Update, "Jun", Some(&link)));
        assert_eq!(Some(failed(&outcome).0), kind, "{found}");
        let asked = server.requests();
        assert_eq!(asked.iter().filter(|line| *line == "fault").count(), 2, "the update, and the search by id");
    }
}

#[test]
fn a_search_that_fails_confirms_nothing() {
    let (settings, capabilities) = (Settings::default(), single(Versioning::VersionedUpdate));
    let rules = rules(&settings, &capabilities);
    for status in [400, 404, 410, 500, 503] {
        let mut server = Server::default();
        let link = created(&server, &rules);
        server.before = Some(Box::new(move |_, request| {
            let is_ours = request.path.contains("P-1");
            if is_ours {
                return Some(Ok(told(status)));
            }
            request.path.starts_with("Patient/").then(|| Ok(page()))
        }));
        let outcome = one(&server, &rules, &change(1, Operation::Delete, "Jun", Some(&link)));
        assert_eq!(failed(&outcome).0, FailureKind::Transient, "{status}");
    }
}

#[test]
fn no_second_record_is_created_when_a_proxy_hides_the_first() {
    let capabilities = but(single(Versioning::VersionedUpdate), |it| it.conditional_create = false);
    let settings = Settings::default();
    let rules = rules(&settings, &capabilities);
    let mut server = Server::default();
    created(&server, &rules);
    let nobody = fhir(200, None, &json!({ "resourceType": "Bundle" }));
    server.before = Some(Box::new(move |_, request| {
        // Its search index lags behind, so our id turns out to be used already.
        if request.path.contains('?') {
            return Some(Ok(nobody.clone()));
        }
        (request.method == Method::Get).then(|| Ok(page()))
    }));
    let outcome = one(&server, &rules, &change(1, Operation::Update, "Jun", None));
    assert_eq!((failed(&outcome).0, server.count()), (FailureKind::Transient, 1));
}

#[test]
fn a_record_that_lost_our_identifier_is_a_conflict_and_not_written() {
    let (settings, capabilities) = (Settings::default(), able());
    for operation in [Operation::Update, Operation::Delete] {
        let server = Server::default();
        let rules = rules(&settings, &capabilities);
        let link = created(&server, &rules);
        server.edit(1, |patient| patient["identifier"] = json!([{ "system": "urn:ward", "value": "W-9" }]));
        let before = server.record(1);
        let change = change(1, operation, "Jun", Some(&link));
        let outcome = one(&server, &rules, &change);
        let (kind, message) = failed(&outcome);
        assert_eq!((kind, server.record(1)), (FailureKind::Conflict, before.clone()));
        // `--keep remote`: the same state stays declined, and a newer one is a conflict again.
        let kept = message.split_once(" [holds ").expect("what it holds").1.trim_end_matches(']').to_owned();
        let declined = Receipt { fingerprint: Some(kept), ..link.clone() };
        receipt(&one(&server, &rules, &self::change(1, operation, "Jun", Some(&declined))));
        let newer = one(&server, &rules, &self::change(1, operation, "Ho", Some(&declined)));
        assert_eq!((failed(&newer).0, server.record(1)), (FailureKind::Conflict, before));
        // `--keep local`: from then on the link is an operator's choice, and the record carries our identifier again.
        let word = Receipt { fingerprint: None, remote_version: None, ..link };
        receipt(&one(&server, &rules, &self::change(1, operation, "Jun", Some(&word))));
        assert!(server.record(1)["identifier"].to_string().contains("P-1"));
    }
}

#[test]
fn a_link_to_another_patients_record_writes_nothing() {
    let (settings, capabilities) = (Settings::default(), able());
    for on_remote_edit in [RemoteEdit::Overwrite, RemoteEdit::Hold] {
        for value in ["P-2", "p-1"] {
            let server = Server::default();
            server.plant(1, value);
            let before = server.record(1);
            let rules = Rules { on_remote_edit, ..rules(&settings, &capabilities) };
            let link = Receipt {
                remote_id: "1".to_owned(),
                remote_version: Some("0".to_owned()),
                fingerprint: Some("1:ab:".to_owned()),
            };
            for operation in [Operation::Update, Operation::Delete] {
                let outcome = one(&server, &rules, &change(1, operation, "Jun", Some(&link)));
                let (kind, message) = failed(&outcome);
                assert_eq!(kind, FailureKind::Conflict);
                assert!(!message.contains("[holds"), "the link is to be forgotten, not confirmed: {message}");
            }
            assert_eq!(server.record(1), before);
        }
    }
}

#[test]
fn an_id_chosen_by_the_server_is_read_back_before_it_is_confirmed() {
    let settings = Settings::default();
    for batch in [true, false] {
        let capabilities = Capabilities { batch, ..able() };
        for (carried, is_believed) in [(Some("P-1"), true), (Some("P-2"), false), (Some("p-1"), false), (None, false)] {
            for linked in [true, false] {
                let mut server = Server::default();
                let rules = rules(&settings, &capabilities);
                let link = linked.then(|| created(&server, &rules));
                let change = change(1, Operation::Update, "Jun", link.as_ref());
                // The server reports a write and names another record, but wrote nothing.
                let elsewhere = carried.map(|value| identified("OTHER", value));
                let read = elsewhere.clone().map_or_else(|| told(404), |record| fhir(200, None, &record));
                let nobody = fhir(200, None, &json!({ "resourceType": "Bundle" }));
                server.before = Some(Box::new(move |_, request| {
                    let body = String::from_utf8_lossy(&request.body).into_owned();
                    if request.path.contains('?') || body.contains("Patient?identifier") {
                        let empty = json!({ "resourceType": "Bundle", "entry": [{ "response": { "status": "200" },
                            "resource": { "resourceType": "Bundle" } }] });
                        return Some(Ok(if request.path.is_empty() {
                            fhir(200, None, &empty)
                        } else {
                            nobody.clone()
                        }));
                    }
                    if request.path == "Patient/OTHER" {
                        return Some(Ok(read.clone()));
                    }
                    let is_put = request.method == Method::Put;
                    is_put.then(|| Ok(fhir(201, Some("http://h/fhir/Patient/OTHER/_history/1"), &Value::Null)))
                }));
                let outcome = one(&server, &rules, &change);
                if is_believed {
                    assert_eq!(receipt(&outcome).remote_id, "OTHER");
                    assert!(server.warnings.borrow()[0].contains("another id"));
                } else {
                    let (kind, message) = failed(&outcome);
                    assert_eq!(kind, FailureKind::Conflict, "{carried:?}");
                    assert!(message.starts_with("the server named a record"), "{message}");
                }
            }
        }
    }
}

#[test]
fn a_response_with_a_record_without_our_identifier_is_a_conflict() {
    let (settings, capabilities) = (Settings::default(), single(Versioning::VersionedUpdate));
    for status in [200, 201] {
        for (linked, capabilities) in [
            (true, capabilities.clone()),
            (false, capabilities.clone()),
            (false, Capabilities { batch: false, ..own_ids() }),
        ] {
            for (value, is_ours) in [("P-1", true), ("P-2", false), ("p-1", false)] {
                if status == 200 && !capabilities.of("Patient").unwrap().update_create {
                    continue; // The result of a conditional create is always read.
                }
                let mut server = Server::default();
                let rules = rules(&settings, &capabilities);
                let link = linked.then(|| created(&server, &rules));
                let id = if capabilities.of("Patient").unwrap().update_create { id_of(1) } else { "1".to_owned() };
                let answer = fhir(status, Some(&format!("Patient/{id}")), &identified(&id, value));
                // It carries out the request, and responds like this.
                server.after =
                    Some(Box::new(move |_, request| (request.method != Method::Get).then(|| Ok(answer.clone()))));
                let outcome = one(&server, &rules, &change(1, Operation::Update, "Jun", link.as_ref()));
                if is_ours {
                    receipt(&outcome);
                } else {
                    let told = crate::delivery::NOT_OURS.replace("TYPE", "Patient");
                    assert_eq!(failed(&outcome), (FailureKind::Conflict, told.as_str()), "{status} {value}");
                }
            }
        }
    }
}

#[test]
fn a_created_record_that_the_search_does_not_find_yet_is_read_by_id() {
    let (settings, capabilities) = (Settings::default(), own_ids());
    let nobody = || fhir(200, None, &json!({ "resourceType": "Bundle" }));
    for (lie, expected) in
        [(None, Ok("1")), (Some("7"), Err(FailureKind::Conflict)), (Some("8"), Err(FailureKind::Conflict))]
    {
        let mut server = Server::default();
        server.plant(1, "nobody");
        server.records.borrow_mut()[0].id = "7".to_owned();
        let rules = rules(&settings, &capabilities);
        server.before = Some(Box::new(move |_, request| request.path.contains('?').then(|| Ok(nobody()))));
        server.after = lie.map(|id| -> Fault {
            Box::new(move |_, request| {
                let answer = fhir(201, Some(&format!("Patient/{id}")), &Value::Null);
                (request.method == Method::Post).then_some(Ok(answer))
            })
        });
        let outcome = one(&server, &rules, &change(1, Operation::Create, "MinJun", None));
        match expected {
            Ok(_) => assert_eq!(receipt(&outcome).remote_id, "2"),
            Err(kind) => assert_eq!(failed(&outcome).0, kind),
        }
    }
    // If the record cannot be read either, the response counts: searching later could create a second one.
    let server = Server {
        before: Some(Box::new(move |_, request| match request.path.as_str() {
            "Patient" => None,
            path if path.contains('?') => Some(Ok(nobody())),
            _ => Some(Ok(page())),
        })),
        ..Server::default()
    };
    receipt(&one(&server, &rules(&settings, &capabilities), &change(1, Operation::Create, "MinJun", None)));
}

#[test]
fn a_linked_update_on_a_conforming_server_takes_no_extra_request() {
    let (server, settings, capabilities) = (Server::default(), Settings::default(), able());
    let rules = rules(&settings, &capabilities);
    let link = created(&server, &rules);
    let asked = server.requests().len();
    receipt(&one(&server, &rules, &change(1, Operation::Update, "Jun", Some(&link))));
    assert_eq!(server.requests().len(), asked + 1);
}
