//! The paths of one change against a server in memory: no loss, no double, one request where one is enough.

use adapter_sdk::Link;
use adapter_sdk::http::Error;

use super::*;
use crate::exchange::deliver;
use crate::testing::{Server, able, change, receipt, rules};

/// Delivers one change, and gives its outcome.
fn one(server: &Server, rules: &Rules<'_>, change: &Change) -> Outcome {
    deliver(server, rules, std::slice::from_ref(change)).unwrap().remove(0)
}

fn failed(outcome: &Outcome) -> (FailureKind, &str) {
    match outcome {
        Outcome::Failed(failure) => (failure.kind, &failure.message),
        Outcome::Applied(receipt) => panic!("applied: {receipt:?}"),
    }
}

fn created(server: &Server, rules: &Rules<'_>) -> Receipt {
    receipt(&one(server, rules, &change(1, Operation::Create, "MinJun", None))).clone()
}

fn given(server: &Server, id: usize) -> Value {
    server.record(id)["name"][0]["given"][0].clone()
}

#[test]
fn a_new_patient_takes_one_conditional_update() {
    let (server, settings, capabilities) = (Server::default(), Settings::default(), able());
    let receipt = created(&server, &rules(&settings, &capabilities));
    assert_eq!((receipt.remote_id.as_str(), receipt.remote_version.as_deref()), ("1", Some("1")));
    assert_eq!(server.requests(), ["PUT Patient?identifier=urn%3Aneuronova%3Apatient-id%7CP-1"]);
}

#[test]
fn an_update_of_a_linked_patient_takes_one_request() {
    let (server, settings, capabilities) = (Server::default(), Settings::default(), able());
    let rules = rules(&settings, &capabilities);
    let link = created(&server, &rules);
    let second = receipt(&one(&server, &rules, &change(1, Operation::Update, "Jun", Some(&link)))).clone();
    assert_eq!((second.remote_id.as_str(), second.remote_version.as_deref()), ("1", Some("2")));
    assert_ne!(second.fingerprint, link.fingerprint);
    assert_eq!(server.requests()[1..], ["PUT Patient/1"]);
    assert_eq!(given(&server, 1), "Jun");
}

#[test]
fn a_lost_answer_never_makes_a_second_record() {
    for (update, create) in [(true, true), (true, false), (false, true), (false, false)] {
        let capabilities = Capabilities { conditional_update: update, conditional_create: create, ..able() };
        let settings = Settings::default();
        for operation in [Operation::Create, Operation::Update] {
            let mut server = Server {
                after: Some(Box::new(|_, request| (request.method != Method::Get).then_some(Err(Error::Timeout)))),
                ..Server::default()
            };
            let change = change(1, operation, "MinJun", None);
            let failure =
                deliver(&server, &rules(&settings, &capabilities), std::slice::from_ref(&change)).unwrap_err();
            assert_eq!(failure.kind, FailureKind::Unavailable);
            server.after = None;
            let again = one(&server, &rules(&settings, &capabilities), &change);
            assert_eq!((receipt(&again).remote_id.as_str(), server.count()), ("1", 1), "{capabilities:?}");
        }
    }
}

#[test]
fn a_lost_answer_to_an_update_is_recognised_and_not_repeated() {
    let (settings, capabilities) = (Settings::default(), able());
    for on_remote_edit in [RemoteEdit::Overwrite, RemoteEdit::Hold] {
        let mut server = Server::default();
        let rules = Rules { on_remote_edit, ..rules(&settings, &capabilities) };
        let link = created(&server, &rules);
        server.after = Some(Box::new(|_, _| Some(Err(Error::Timeout))));
        let update = change(1, Operation::Update, "Jun", Some(&link));
        deliver(&server, &rules, std::slice::from_ref(&update)).unwrap_err();
        server.after = None;
        let again = receipt(&one(&server, &rules, &update)).clone();
        assert_eq!(again.remote_version.as_deref(), Some("2"), "the record was not written again");
        assert_eq!(server.requests()[2..], ["PUT Patient/1", "GET Patient/1"]);
    }
}

#[test]
fn what_others_added_survives_our_updates_also_the_ones_after() {
    let (server, settings, capabilities) = (Server::default(), Settings::default(), able());
    let rules = rules(&settings, &capabilities);
    let mut link = created(&server, &rules);
    server.edit(1, |patient| {
        patient["contact"] = json!([{ "name": { "text": "Lee" } }]);
        patient["identifier"].as_array_mut().unwrap().push(json!({ "system": "urn:ward", "value": "W-9" }));
    });
    for name in ["Jun", "Ho", "Min"] {
        link = receipt(&one(&server, &rules, &change(1, Operation::Update, name, Some(&link)))).clone();
        let record = server.record(1);
        assert_eq!(record["contact"][0]["name"]["text"], "Lee");
        assert_eq!(record["identifier"][1]["value"], "W-9");
        assert_eq!(given(&server, 1), name);
    }
    // The first time the stale version tells; afterwards the link knows that the record is shared.
    let requests = server.requests();
    assert_eq!(requests[1..4], ["PUT Patient/1", "GET Patient/1", "PUT Patient/1"]);
    assert_eq!(requests[4..6], ["GET Patient/1", "PUT Patient/1"]);
}

#[test]
fn an_edit_of_our_elements_is_held_or_overwritten_as_the_operator_says() {
    let (settings, capabilities) = (Settings::default(), able());
    for (on_remote_edit, kept) in [(RemoteEdit::Hold, "Edited"), (RemoteEdit::Overwrite, "Jun")] {
        let server = Server::default();
        let rules = Rules { on_remote_edit, ..rules(&settings, &capabilities) };
        let link = created(&server, &rules);
        server.edit(1, |patient| patient["name"][0]["given"][0] = json!("Edited"));
        let outcome = one(&server, &rules, &change(1, Operation::Update, "Jun", Some(&link)));
        assert_eq!(given(&server, 1), kept);
        match on_remote_edit {
            RemoteEdit::Hold => assert_eq!(failed(&outcome).0, FailureKind::Conflict),
            RemoteEdit::Overwrite => assert_eq!(receipt(&outcome).remote_version.as_deref(), Some("3")),
        }
    }
}

#[test]
fn a_persons_word_is_not_held() {
    let (settings, capabilities) = (Settings::default(), able());
    let rules = Rules { on_remote_edit: RemoteEdit::Hold, ..rules(&settings, &capabilities) };
    for accepted in [false, true] {
        let server = Server::default();
        let link = created(&server, &rules);
        server.edit(1, |patient| patient["name"][0]["given"][0] = json!("Edited"));
        let word = if accepted {
            Receipt { fingerprint: Some(String::new()), ..link }
        } else {
            Receipt { fingerprint: None, remote_version: None, ..link }
        };
        let outcome = one(&server, &rules, &change(1, Operation::Update, "Jun", Some(&word)));
        assert_eq!((receipt(&outcome).remote_id.as_str(), given(&server, 1)), ("1", json!("Jun")));
    }
}

#[test]
fn an_edit_of_other_elements_is_no_conflict() {
    let (server, settings, capabilities) = (Server::default(), Settings::default(), able());
    let rules = Rules { on_remote_edit: RemoteEdit::Hold, ..rules(&settings, &capabilities) };
    let link = created(&server, &rules);
    server.edit(1, |patient| patient["managingOrganization"] = json!({ "reference": "Organization/1" }));
    receipt(&one(&server, &rules, &change(1, Operation::Update, "Jun", Some(&link))));
    assert_eq!(server.record(1)["managingOrganization"]["reference"], "Organization/1");
}

#[test]
fn without_a_guard_by_version_the_record_is_read_first() {
    let settings = Settings::default();
    for (versioning, on_remote_edit, reads) in [
        (Versioning::NoVersion, RemoteEdit::Overwrite, true),
        (Versioning::Versioned, RemoteEdit::Overwrite, false),
        (Versioning::Versioned, RemoteEdit::Hold, true),
        (Versioning::VersionedUpdate, RemoteEdit::Hold, false),
    ] {
        let capabilities = Capabilities { versioning, ..able() };
        let server = Server::default();
        let rules = Rules { on_remote_edit, ..rules(&settings, &capabilities) };
        let link = created(&server, &rules);
        receipt(&one(&server, &rules, &change(1, Operation::Update, "Jun", Some(&link))));
        assert_eq!(server.requests()[1].starts_with("GET"), reads, "{versioning:?} {on_remote_edit:?}");
    }
    let (server, capabilities) = (Server::default(), able());
    let settings = Settings { read_first: true, ..settings };
    let rules = rules(&settings, &capabilities);
    let link = created(&server, &rules);
    let old_link = Receipt { fingerprint: Some("0:other".to_owned()), ..link.clone() };
    receipt(&one(&server, &rules, &change(1, Operation::Update, "Jun", Some(&link))));
    assert_eq!(server.requests()[1], "GET Patient/1");
    receipt(&one(&server, &rules, &change(1, Operation::Update, "Ho", Some(&old_link))));
    assert_eq!(server.requests()[3], "GET Patient/1");
}

#[test]
fn a_record_without_a_link_keeps_what_others_added_unless_the_patient_is_new() {
    for (existing, operation, keeps) in [
        (Existing::Auto, Operation::Update, true),
        (Existing::Auto, Operation::Create, false),
        (Existing::Merge, Operation::Create, true),
        (Existing::Replace, Operation::Update, false),
    ] {
        let (server, capabilities) = (Server::default(), able());
        let settings = Settings { existing, ..Settings::default() };
        let rules = rules(&settings, &capabilities);
        created(&server, &rules);
        server.edit(1, |patient| patient["contact"] = json!([{ "name": { "text": "Lee" } }]));
        let outcome = one(&server, &rules, &change(1, operation, "Jun", None));
        assert_eq!((receipt(&outcome).remote_id.as_str(), server.count()), ("1", 1));
        assert_eq!(given(&server, 1), "Jun");
        assert_eq!(server.record(1).get("contact").is_some(), keeps, "{existing:?} {operation:?}");
    }
}

#[test]
fn several_records_with_our_identifier_are_a_conflict_on_every_way() {
    for (update, create) in [(true, true), (true, false), (false, true), (false, false)] {
        let capabilities = Capabilities { conditional_update: update, conditional_create: create, ..able() };
        let settings = Settings::default();
        let server = Server::default();
        let twin = json!({ "resourceType": "Patient",
            "identifier": [{ "system": "urn:neuronova:patient-id", "value": "P-1" }] });
        for id in 1..=2 {
            server.records.borrow_mut().push(crate::testing::Record { version: 1, resource: Some(twin.clone()) });
            server.edit(id, |patient| patient["id"] = json!(id.to_string()));
        }
        for operation in [Operation::Create, Operation::Update, Operation::Delete] {
            let outcome = one(&server, &rules(&settings, &capabilities), &change(1, operation, "Jun", None));
            assert_eq!(failed(&outcome).0, FailureKind::Conflict, "{operation:?} {capabilities:?}");
        }
        assert_eq!(server.count(), 2);
    }
}

#[test]
fn a_deleted_record_is_a_conflict_for_an_update_and_done_for_a_delete() {
    for versioning in [Versioning::VersionedUpdate, Versioning::NoVersion] {
        let (server, settings, capabilities) =
            (Server::default(), Settings::default(), Capabilities { versioning, ..able() });
        let rules = rules(&settings, &capabilities);
        let link = created(&server, &rules);
        server.delete(1);
        let outcome = one(&server, &rules, &change(1, Operation::Update, "Jun", Some(&link)));
        assert_eq!(failed(&outcome), (FailureKind::Conflict, "Patient was deleted at the target"));
        let outcome = one(&server, &rules, &change(1, Operation::Delete, "Jun", Some(&link)));
        assert_eq!((receipt(&outcome).remote_id.as_str(), &receipt(&outcome).fingerprint), ("1", &None));
        assert_eq!(server.record(1), Value::Null);
    }
}

#[test]
fn a_record_that_came_back_by_our_update_is_told() {
    let (settings, capabilities) = (Settings::default(), able());
    for on_remote_edit in [RemoteEdit::Hold, RemoteEdit::Overwrite] {
        let server = Server { ignores_if_match: true, ..Server::default() };
        let rules = Rules { on_remote_edit, ..rules(&settings, &capabilities) };
        let link = created(&server, &rules);
        server.delete(1);
        let outcome = one(&server, &rules, &change(1, Operation::Update, "Jun", Some(&link)));
        match on_remote_edit {
            RemoteEdit::Hold => assert_eq!(failed(&outcome).0, FailureKind::Conflict),
            RemoteEdit::Overwrite => {
                assert_eq!(receipt(&outcome).remote_id, "1");
                assert!(server.warnings.borrow()[0].starts_with("change 1: a Patient had been deleted"));
            }
        }
    }
}

#[test]
fn a_delete_makes_the_record_inactive_with_or_without_state_and_link() {
    let (settings, capabilities) = (Settings::default(), able());
    for (full, linked) in [(true, true), (true, false), (false, true), (false, false)] {
        let server = Server::default();
        let rules = rules(&settings, &capabilities);
        let link = created(&server, &rules);
        let mut delete = change(1, Operation::Delete, "MinJun", linked.then_some(&link));
        if !full {
            delete.payload = "{}".to_owned();
        }
        let receipt = receipt(&one(&server, &rules, &delete)).clone();
        assert_eq!((receipt.remote_id.as_str(), &server.record(1)["active"]), ("1", &json!(false)), "{full} {linked}");
        assert_eq!(given(&server, 1), "MinJun");
        // ... and the patient may come back.
        one(&server, &rules, &change(1, Operation::Update, "MinJun", Some(&receipt)));
        assert_eq!(server.record(1)["active"], true);
    }
}

#[test]
fn nothing_is_created_only_to_be_deactivated() {
    let (server, settings, capabilities) = (Server::default(), Settings::default(), able());
    let outcome = one(&server, &rules(&settings, &capabilities), &change(1, Operation::Delete, "MinJun", None));
    assert!(matches!(outcome, Outcome::Applied(receipt) if receipt.remote_id.is_empty()));
    assert_eq!(server.count(), 0);
}

#[test]
fn an_id_that_the_server_keeps_to_itself_is_looked_up() {
    let (server, settings, capabilities) =
        (Server { keeps_ids_to_itself: true, ..Server::default() }, Settings::default(), able());
    let receipt = created(&server, &rules(&settings, &capabilities));
    assert_eq!((receipt.remote_id.as_str(), receipt.remote_version.as_deref()), ("1", Some("1")));
    assert_eq!(server.requests().len(), 2);
}

#[test]
fn a_record_that_never_rests_is_given_up_for_now() {
    let (settings, capabilities) = (Settings::default(), able());
    let rules = rules(&settings, &capabilities);
    let link =
        Link { remote_id: "1".to_owned(), remote_version: Some("1".to_owned()), fingerprint: Some("1:ab:".to_owned()) };
    let linked = Change { link: Some(link), ..change(1, Operation::Update, "Jun", None) };
    let (mut delivery, mut step) = Delivery::begin(&rules, &linked);
    for round in 0.. {
        let Step::Ask(ask) = step else { break };
        assert!(round < 10, "it has an end");
        let mut entry = match ask.method {
            Method::Get => json!({ "response": { "status": "200" },
                "resource": { "resourceType": "Patient", "id": "1", "meta": { "versionId": "9" } } }),
            _ => json!({ "response": { "status": "409 Conflict" } }),
        };
        step = delivery.advance(&rules, &Answer::from_entry(&mut entry));
    }
    let Step::Done(outcome) = step else { unreachable!() };
    assert_eq!(failed(&outcome).0, FailureKind::Transient);
}

#[test]
fn a_server_that_ignores_the_search_never_gives_us_somebody_else() {
    let (settings, capabilities) =
        (Settings::default(), Capabilities { versioning: Versioning::Versioned, ..Capabilities::default() });
    let rules = rules(&settings, &capabilities);
    let change = change(1, Operation::Update, "Jun", None);
    let (mut delivery, step) = Delivery::begin(&rules, &change);
    assert!(matches!(step, Step::Ask(Ask { method: Method::Get, .. })));
    let somebody = json!({ "resourceType": "Patient", "id": "7",
        "identifier": [{ "system": "urn:other", "value": "P-1" }] });
    let mut entry = json!({ "response": { "status": "200" },
        "resource": { "resourceType": "Bundle", "type": "searchset", "entry": [{ "resource": somebody }] } });
    let Step::Done(outcome) = delivery.advance(&rules, &Answer::from_entry(&mut entry)) else { panic!("asked on") };
    assert_eq!(failed(&outcome).0, FailureKind::Misconfigured);
}

#[test]
fn what_is_no_patient_is_refused_before_anything_is_sent() {
    let (server, settings, capabilities) = (Server::default(), Settings::default(), able());
    let rules = rules(&settings, &capabilities);
    let good = change(1, Operation::Create, "MinJun", None);
    for (change, kind) in [
        (Change { aggregate_type: "observation".to_owned(), ..good.clone() }, FailureKind::Unsupported),
        (Change { payload: "{}".to_owned(), ..good.clone() }, FailureKind::Invalid),
        (Change { payload: "Kim MinJun".to_owned(), ..good.clone() }, FailureKind::Invalid),
        (Change { aggregate_id: "P-2".to_owned(), ..good.clone() }, FailureKind::Invalid),
        (
            Change {
                aggregate_id: String::new(),
                operation: Operation::Delete,
                payload: "{}".to_owned(),
                ..good.clone()
            },
            FailureKind::Invalid,
        ),
    ] {
        let outcome = one(&server, &rules, &change);
        let (found, message) = failed(&outcome);
        assert_eq!(found, kind);
        assert!(!message.contains("Kim") && !message.contains("MinJun"), "{message}");
    }
    assert!(server.requests().is_empty());
}
