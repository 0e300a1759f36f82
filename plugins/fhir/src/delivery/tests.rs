//! The paths of one change against a server in memory: no loss, no double, one request where one is enough.

use adapter_sdk::Link;
use adapter_sdk::http::Error;
use serde_json::json;

use super::*;
use crate::exchange::deliver;
use crate::settings::Existing;
use crate::testing::{Server, able, change, created, failed, id_of, one, own_ids, receipt, rules};

fn given(server: &Server, id: usize) -> Value {
    server.record(id)["name"][0]["given"][0].clone()
}

/// The answer to a search that finds none.
fn nobody() -> Answer {
    let mut entry = json!({ "response": { "status": "200" }, "resource": { "resourceType": "Bundle" } });
    Answer::from_entry(&mut entry)
}

const SEARCH: &str = "GET Patient?identifier=urn%3Aneuronova%3Apatient-id%7CP-1";

/// The ways a server may let us create: ids of ours, a condition on ids of its own, nothing at all.
fn ways() -> [Capabilities; 3] {
    [able(), own_ids(), Capabilities { conditional_create: false, ..own_ids() }]
}

#[test]
fn a_new_patient_is_looked_for_and_created_under_an_id_of_ours() {
    let (server, settings, capabilities) = (Server::default(), Settings::default(), able());
    let receipt = created(&server, &rules(&settings, &capabilities));
    assert_eq!((receipt.remote_id, receipt.remote_version.as_deref()), (id_of(1), Some("1")));
    assert_eq!(server.requests(), [SEARCH.to_owned(), format!("PUT Patient/{}", id_of(1))]);
}

#[test]
fn where_the_server_gives_ids_it_is_looked_for_before_and_after() {
    let settings = Settings::default();
    for capabilities in &ways()[1..] {
        let server = Server::default();
        let receipt = created(&server, &rules(&settings, capabilities));
        assert_eq!((receipt.remote_id.as_str(), receipt.remote_version.as_deref()), ("1", Some("1")));
        assert_eq!(server.requests(), [SEARCH, "POST Patient", SEARCH]);
    }
    // ... also where the operator says so.
    let settings = Settings { client_ids: false, ..settings };
    let (server, capabilities) = (Server::default(), able());
    assert_eq!(created(&server, &rules(&settings, &capabilities)).remote_id, "1");
}

#[test]
fn a_first_request_that_arrives_late_changes_nothing() {
    let (server, settings, capabilities) = (Server::default(), Settings::default(), able());
    let rules = rules(&settings, &capabilities);
    // The first request of a delivery, held up in the network...
    let first = change(1, Operation::Create, "Old", None);
    let (mut delivery, _) = Delivery::begin(&rules, &first);
    let nobody = nobody();
    let Step::Send(late) = delivery.advance(&rules, &nobody) else { panic!("no create") };
    // ... while a newer state arrives, and someone else adds a contact.
    let link = created(&server, &rules);
    server.edit(1, |patient| patient["contact"] = json!([{ "name": { "text": "Lee" } }]));
    receipt(&one(&server, &rules, &change(1, Operation::Update, "New", Some(&link))));
    let before = server.record(1);
    let request = adapter_sdk::http::Request::new(late.method, late.url)
        .with_header("if-none-match", "*")
        .with_body(late.resource.unwrap().to_string().into_bytes());
    assert!(late.only_if_new);
    assert_eq!(crate::exchange::Outside::send(&server, &request).unwrap().status, 412);
    assert_eq!((server.record(1), server.count()), (before, 1));
}

#[test]
fn a_server_that_writes_over_what_should_be_new_is_told_of() {
    let (server, settings, capabilities) =
        (Server { ignores_if_none_match: true, ..Server::default() }, Settings::default(), able());
    let rules = rules(&settings, &capabilities);
    let change = change(1, Operation::Create, "MinJun", None);
    let (mut delivery, _) = Delivery::begin(&rules, &change);
    let mut entry = json!({ "response": { "status": "200",
        "location": format!("Patient/{}/_history/2", id_of(1)) } });
    let nobody = nobody();
    assert!(matches!(delivery.advance(&rules, &nobody), Step::Send(_)));
    let step = delivery.advance(&rules, &Answer::from_entry(&mut entry));
    assert!(matches!(step, Step::Done(Outcome::Applied(_))));
    assert!(delivery.take_notice().unwrap().contains("If-None-Match"));
    drop(server);
}

#[test]
fn a_record_of_an_older_version_or_a_rebuilt_store_is_found_and_not_made_again() {
    let settings = Settings::default();
    for capabilities in ways() {
        let server = Server::default();
        server.plant(1, "P-1");
        let receipt = created(&server, &rules(&settings, &capabilities));
        assert_eq!((receipt.remote_id.as_str(), server.count()), ("1", 1), "{capabilities:?}");
    }
}

#[test]
fn a_server_that_refuses_our_ids_gets_patients_without_them() {
    let (settings, capabilities) = (Settings::default(), able());
    for status in [400, 403, 404, 405, 422, 501] {
        let server = Server { refuses_ids: Some(status), ..Server::default() };
        let receipt = created(&server, &rules(&settings, &capabilities));
        assert_eq!((receipt.remote_id.as_str(), server.count()), ("1", 1));
        let warned = server.warnings.borrow().join("\n");
        assert!(warned.contains(&format!("({status})")) && warned.contains("client_ids = false"), "{warned}");
    }
}

#[test]
fn a_patient_comes_back_after_the_record_with_our_id_was_deleted() {
    let (settings, capabilities) = (Settings::default(), able());
    for status in [None, Some(410), Some(412)] {
        let mut server = Server::default();
        let rules = rules(&settings, &capabilities);
        let link = created(&server, &rules);
        server.delete(1);
        let outcome = one(&server, &rules, &change(1, Operation::Delete, "MinJun", Some(&link)));
        assert_eq!(receipt(&outcome).remote_id, "", "without an id the host forgets the link");
        if let Some(status) = status {
            // Some servers let no one take a deleted id again.
            server.before = Some(Box::new(move |_, request| {
                (request.method == Method::Put).then(|| Ok(crate::testing::outcome(status)))
            }));
        }
        let back = one(&server, &rules, &change(1, Operation::Update, "MinJun", None));
        let expected = if status.is_none() { id_of(1) } else { "2".to_owned() };
        assert_eq!(receipt(&back).remote_id, expected, "{status:?}");
    }
}

#[test]
fn a_server_that_does_not_look_at_case_keeps_two_patients_apart() {
    let settings = Settings::default();
    for capabilities in ways() {
        let server = Server { ignores_case: true, ..Server::default() };
        server.plant(1, "p-1");
        let receipt = created(&server, &rules(&settings, &capabilities));
        assert_ne!(receipt.remote_id, "1", "{capabilities:?}");
        assert_eq!((server.count(), &server.record(1)["identifier"][0]["value"]), (2, &json!("p-1")));
    }
}

#[test]
fn a_double_that_arises_while_we_create_is_a_conflict_at_once() {
    let settings = Settings::default();
    for capabilities in &ways()[1..] {
        let mut server = Server::default();
        let rules = rules(&settings, capabilities);
        // The search of the next change of another host finds none; then its record and ours are both there.
        server.before = Some(Box::new(|number, _| {
            let nobody = json!({ "resourceType": "Bundle", "type": "searchset" }).to_string().into_bytes();
            (number == 0).then(|| Ok(adapter_sdk::http::Response { status: 200, headers: vec![], body: nobody }))
        }));
        server.plant(1, "P-1");
        server.ignores_condition = true;
        let outcome = one(&server, &rules, &change(1, Operation::Create, "MinJun", None));
        assert_eq!(failed(&outcome), (FailureKind::Conflict, "several Patients at the target carry our identifier"));
        assert_eq!(server.count(), 2);
    }
}

#[test]
fn what_a_refused_create_may_have_met_is_looked_into() {
    let settings = Settings::default();
    for capabilities in &ways()[1..] {
        for (status, kind) in
            [(400, FailureKind::Invalid), (409, FailureKind::Transient), (412, FailureKind::Transient)]
        {
            for is_there in [false, true] {
                let mut server = Server::default();
                let rules = rules(&settings, capabilities);
                let refused = move |_: usize, request: &adapter_sdk::http::Request| {
                    (request.method == Method::Post).then(|| Ok(crate::testing::outcome(status)))
                };
                // The request is carried out and refused all the same: an overlapping one was.
                if is_there {
                    server.after = Some(Box::new(refused));
                } else {
                    server.before = Some(Box::new(refused));
                }
                let outcome = one(&server, &rules, &change(1, Operation::Create, "MinJun", None));
                if is_there {
                    assert_eq!((receipt(&outcome).remote_id.as_str(), server.count()), ("1", 1), "{status}");
                } else {
                    assert_eq!(failed(&outcome).0, kind, "{status}");
                }
            }
        }
    }
}

#[test]
fn an_id_of_ours_that_another_request_has_just_taken_is_read() {
    let (settings, capabilities) = (Settings::default(), able());
    for status in [304, 409, 412] {
        let mut server = Server::default();
        let rules = rules(&settings, &capabilities);
        server.after = Some(Box::new(move |_, request| {
            (request.method == Method::Put).then(|| Ok(crate::testing::outcome(status)))
        }));
        let outcome = one(&server, &rules, &change(1, Operation::Create, "MinJun", None));
        assert_eq!((receipt(&outcome).remote_id.clone(), server.count()), (id_of(1), 1), "{status}");
    }
}

#[test]
fn an_update_of_a_linked_patient_takes_one_request() {
    let (server, settings, capabilities) = (Server::default(), Settings::default(), able());
    let rules = rules(&settings, &capabilities);
    let link = created(&server, &rules);
    let second = receipt(&one(&server, &rules, &change(1, Operation::Update, "Jun", Some(&link)))).clone();
    assert_eq!((second.remote_id.clone(), second.remote_version.as_deref()), (id_of(1), Some("2")));
    assert_ne!(second.fingerprint, link.fingerprint);
    assert_eq!(server.requests()[2..], [format!("PUT Patient/{}", id_of(1))]);
    assert_eq!(given(&server, 1), "Jun");
}

#[test]
fn a_lost_answer_never_makes_a_second_record() {
    for capabilities in ways() {
        let settings = Settings::default();
        for operation in [Operation::Create, Operation::Update] {
            let mut server = Server {
                after: Some(Box::new(|_, request| (request.method != Method::Get).then_some(Err(Error::Timeout)))),
                ..Server::default()
            };
            let change = change(1, operation, "MinJun", None);
            let lost = deliver(&server, &rules(&settings, &capabilities), std::slice::from_ref(&change));
            assert!(lost.is_ok_and(|outcomes| failed(&outcomes[0]).0 == FailureKind::Transient));
            server.after = None;
            let again = one(&server, &rules(&settings, &capabilities), &change);
            receipt(&again);
            assert_eq!(server.count(), 1, "{capabilities:?}");
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
        let asked = server.requests().len();
        let again = receipt(&one(&server, &rules, &update)).clone();
        assert_eq!(again.remote_version.as_deref(), Some("2"), "the record was not written again");
        let url = format!("Patient/{}", id_of(1));
        assert_eq!(server.requests()[asked..], [format!("PUT {url}"), format!("GET {url}")]);
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
    let requests: Vec<String> = server.requests()[2..].iter().map(|line| line[..3].to_owned()).collect();
    assert_eq!(requests, ["PUT", "GET", "PUT", "GET", "PUT", "GET", "PUT"]);
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
fn what_a_person_kept_is_held_until_it_is_decided_again() {
    let (settings, capabilities) = (Settings::default(), able());
    let hold = Rules { on_remote_edit: RemoteEdit::Hold, ..rules(&settings, &capabilities) };
    let server = Server::default();
    let link = created(&server, &hold);
    server.edit(1, |patient| patient["name"][0]["given"][0] = json!("Edited"));
    let declined = change(1, Operation::Update, "Jun", Some(&link));
    let outcome = one(&server, &hold, &declined);
    let message = failed(&outcome).1;
    let kept = message.split_once(" [holds ").unwrap().1.strip_suffix(']').unwrap().to_owned();
    // `--keep remote` writes it into the link.
    let link = Receipt { fingerprint: Some(kept), ..link };
    let again = one(&server, &hold, &change(1, Operation::Update, "Jun", Some(&link)));
    assert_eq!(receipt(&again).fingerprint, link.fingerprint, "the same state again is declined again");
    let newer = one(&server, &hold, &change(1, Operation::Update, "Ho", Some(&link)));
    assert!(failed(&newer).1.contains("holds what was kept"), "{newer:?}");
    server.edit(1, |patient| patient["name"][0]["given"][0] = json!("Edited again"));
    for name in ["Jun", "Ho"] {
        let edited = one(&server, &hold, &change(1, Operation::Update, name, Some(&link)));
        assert!(failed(&edited).1.contains("was edited"), "{edited:?}");
    }
    assert_eq!(given(&server, 1), "Edited again");
    // Where the operator lets edits be written over, the decision about that one state stands all the same.
    let overwrite = rules(&settings, &capabilities);
    receipt(&one(&server, &overwrite, &change(1, Operation::Update, "Ho", Some(&link))));
    assert_eq!(given(&server, 1), "Ho");
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
        assert_eq!((receipt(&outcome).remote_id.clone(), given(&server, 1)), (id_of(1), json!("Jun")));
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
        (Versioning::Versioned, RemoteEdit::Overwrite, true),
        (Versioning::Versioned, RemoteEdit::Hold, true),
        (Versioning::VersionedUpdate, RemoteEdit::Hold, false),
    ] {
        let capabilities = Capabilities { versioning, ..able() };
        let server = Server::default();
        let rules = Rules { on_remote_edit, ..rules(&settings, &capabilities) };
        let link = created(&server, &rules);
        receipt(&one(&server, &rules, &change(1, Operation::Update, "Jun", Some(&link))));
        assert_eq!(server.requests()[2].starts_with("GET"), reads, "{versioning:?} {on_remote_edit:?}");
    }
    let (server, capabilities) = (Server::default(), able());
    let settings = Settings { read_first: true, ..settings };
    let rules = rules(&settings, &capabilities);
    let link = created(&server, &rules);
    let old_link = Receipt { fingerprint: Some("0:other".to_owned()), ..link.clone() };
    let read = format!("GET Patient/{}", id_of(1));
    receipt(&one(&server, &rules, &change(1, Operation::Update, "Jun", Some(&link))));
    assert_eq!(server.requests()[2], read);
    receipt(&one(&server, &rules, &change(1, Operation::Update, "Ho", Some(&old_link))));
    assert_eq!(server.requests()[4], read);
}

#[test]
fn a_record_without_a_link_keeps_what_others_added_unless_replace_was_asked_for() {
    for existing in [Existing::Merge, Existing::Replace] {
        for capabilities in ways() {
            for operation in [Operation::Create, Operation::Update] {
                let server = Server::default();
                let settings = Settings { existing, ..Settings::default() };
                let rules = rules(&settings, &capabilities);
                let link = created(&server, &rules);
                server.edit(1, |patient| patient["contact"] = json!([{ "name": { "text": "Lee" } }]));
                let outcome = one(&server, &rules, &change(1, operation, "Jun", None));
                assert_eq!((receipt(&outcome).remote_id.clone(), server.count()), (link.remote_id, 1));
                assert_eq!(given(&server, 1), "Jun");
                let keeps = existing == Existing::Merge;
                assert_eq!(server.record(1).get("contact").is_some(), keeps, "{existing:?} {operation:?}");
            }
        }
    }
}

#[test]
fn several_records_with_our_identifier_are_a_conflict_on_every_way() {
    for capabilities in ways() {
        let settings = Settings::default();
        let server = Server::default();
        server.plant(1, "P-1");
        server.plant(2, "P-1");
        for operation in [Operation::Create, Operation::Update, Operation::Delete] {
            let outcome = one(&server, &rules(&settings, &capabilities), &change(1, operation, "Jun", None));
            assert_eq!(failed(&outcome).0, FailureKind::Conflict, "{operation:?} {capabilities:?}");
        }
        assert_eq!(server.count(), 2);
    }
}

#[test]
fn an_update_over_an_edit_that_if_match_should_have_stopped_is_noticed_and_mended() {
    let (settings, capabilities) = (Settings::default(), able());
    for (on_remote_edit, edits_ours) in
        [(RemoteEdit::Overwrite, false), (RemoteEdit::Overwrite, true), (RemoteEdit::Hold, true)]
    {
        let server = Server { ignores_if_match: true, ..Server::default() };
        let rules = Rules { on_remote_edit, ..rules(&settings, &capabilities) };
        let link = created(&server, &rules);
        server.edit(1, |patient| patient["contact"] = json!([{ "name": { "text": "Lee" } }]));
        if edits_ours {
            server.edit(1, |patient| patient["name"][0]["given"][0] = json!("Edited"));
        }
        let outcome = one(&server, &rules, &change(1, Operation::Update, "Jun", Some(&link)));
        assert!(server.warnings.borrow()[0].contains("read_first = true"));
        if on_remote_edit == RemoteEdit::Hold {
            assert_eq!(failed(&outcome).0, FailureKind::Conflict);
            continue;
        }
        let receipt = receipt(&outcome).clone();
        assert_eq!((given(&server, 1), &server.record(1)["contact"][0]["name"]["text"]), (json!("Jun"), &json!("Lee")));
        let asked = server.requests().len();
        one(&server, &rules, &change(1, Operation::Update, "Ho", Some(&receipt)));
        assert!(server.requests()[asked].starts_with("GET"), "from here on it is read first");
    }
}

#[test]
fn versions_that_count_all_records_together_are_no_sign_of_an_edit() {
    let (server, settings, capabilities) =
        (Server { counts_all: true, ..Server::default() }, Settings::default(), able());
    let rules = rules(&settings, &capabilities);
    let link = created(&server, &rules);
    one(&server, &rules, &change(2, Operation::Create, "Ho", None));
    let outcome = one(&server, &rules, &change(1, Operation::Update, "Jun", Some(&link)));
    assert!(Fingerprint::parse(receipt(&outcome).fingerprint.as_deref().unwrap()).is_some_and(|last| !last.shared));
    assert!(server.warnings.borrow().is_empty());
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
        assert_eq!((receipt(&outcome).remote_id.as_str(), &receipt(&outcome).fingerprint), ("", &None));
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
                assert_eq!(receipt(&outcome).remote_id, id_of(1));
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
        assert_eq!(
            (receipt.remote_id.clone(), &server.record(1)["active"]),
            (id_of(1), &json!(false)),
            "{full} {linked}"
        );
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
        (Server { keeps_ids_to_itself: true, ..Server::default() }, Settings::default(), own_ids());
    let receipt = created(&server, &rules(&settings, &capabilities));
    assert_eq!((receipt.remote_id.as_str(), receipt.remote_version.as_deref()), ("1", Some("1")));
    assert_eq!(server.requests().len(), 3);
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
        let Step::Send(interaction) = step else { break };
        assert!(round < 10, "it has an end");
        let mut entry = match interaction.method {
            Method::Get => json!({ "response": { "status": "200" },
                "resource": { "resourceType": "Patient", "id": "1", "meta": { "versionId": "9" },
                    "identifier": [{ "system": "urn:neuronova:patient-id", "value": "P-1" }] } }),
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
    assert!(matches!(step, Step::Send(Interaction { method: Method::Get, .. })));
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
