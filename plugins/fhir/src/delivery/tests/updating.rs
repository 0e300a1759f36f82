//! Updates of linked records: one request if one is enough, and checks of the replaced version.

use super::*;

#[test]
fn an_update_of_a_linked_patient_takes_one_request() {
    let (server, settings, capabilities) = (Server::default(), Settings::default(), able());
    let rules = rules(&settings, &capabilities);
    let link = created(&server, &rules);
    let second = receipt(&one(&server, &rules, &change(1, Operation::Update, "Jun", Some(&link)))).clone();
    assert_eq!((second.remote_id.clone(), second.remote_version.as_deref()), (id_of(1), Some("2")));
    assert_ne!(second.fingerprint, link.fingerprint);
    assert_eq!(server.requests()[3..], [format!("PUT Patient/{}", id_of(1))]);
    assert_eq!(given(&server, 1), "Jun");
}

#[test]
fn a_lost_response_to_an_update_is_recognised_and_not_repeated() {
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
fn without_versioned_updates_the_record_is_read_first() {
    let settings = Settings::default();
    for (versioning, on_remote_edit, reads) in [
        (Versioning::NoVersion, RemoteEdit::Overwrite, true),
        (Versioning::Versioned, RemoteEdit::Overwrite, true),
        (Versioning::Versioned, RemoteEdit::Hold, true),
        (Versioning::VersionedUpdate, RemoteEdit::Hold, false),
    ] {
        let capabilities = but(able(), |it| it.versioning = versioning);
        let server = Server::default();
        let rules = Rules { on_remote_edit, ..rules(&settings, &capabilities) };
        let link = created(&server, &rules);
        receipt(&one(&server, &rules, &change(1, Operation::Update, "Jun", Some(&link))));
        assert_eq!(server.requests()[3].starts_with("GET"), reads, "{versioning:?} {on_remote_edit:?}");
    }
    let (server, capabilities) = (Server::default(), able());
    let settings = Settings { read_first: true, ..settings };
    let rules = rules(&settings, &capabilities);
    let link = created(&server, &rules);
    let old_link = Receipt { fingerprint: Some("0:other".to_owned()), ..link.clone() };
    let read = format!("GET Patient/{}", id_of(1));
    receipt(&one(&server, &rules, &change(1, Operation::Update, "Jun", Some(&link))));
    assert_eq!(server.requests()[3], read);
    receipt(&one(&server, &rules, &change(1, Operation::Update, "Ho", Some(&old_link))));
    assert_eq!(server.requests()[5], read);
}

#[test]
fn an_edit_overwritten_despite_if_match_is_detected_and_restored() {
    let settings = Settings::default();
    for (opaque_versions, history) in [(false, false), (false, true), (true, true)] {
        let capabilities = but(able(), |it| it.history = history);
        for (on_remote_edit, edits_ours) in
            [(RemoteEdit::Overwrite, false), (RemoteEdit::Overwrite, true), (RemoteEdit::Hold, true)]
        {
            let server = Server { ignores_if_match: true, opaque_versions, ..Server::default() };
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
            let contact = server.record(1)["contact"][0]["name"]["text"].clone();
            assert_eq!((given(&server, 1), contact), (json!("Jun"), json!("Lee")));
            let asked = server.requests().len();
            one(&server, &rules, &change(1, Operation::Update, "Ho", Some(&receipt)));
            assert!(server.requests()[asked].starts_with("GET"), "from here on it is read first");
        }
    }
}

#[test]
fn non_numeric_versions_are_checked_in_the_history_or_read_first() {
    let settings = Settings::default();
    let record = format!("Patient/{}", id_of(1));
    for history in [true, false] {
        let capabilities = but(able(), |it| it.history = history);
        let server = Server { opaque_versions: true, has_no_history: !history, ..Server::default() };
        let rules = rules(&settings, &capabilities);
        let link = created(&server, &rules);
        receipt(&one(&server, &rules, &change(1, Operation::Update, "Jun", Some(&link))));
        let (put, get) = (format!("PUT {record}"), format!("GET {record}"));
        let expected = if history { [put, format!("{get}/_history?_count=4")] } else { [get, put] };
        assert_eq!(server.requests()[3..], expected);
        assert!(server.warnings.borrow().is_empty());
    }
}

#[test]
fn an_unreadable_history_does_not_fail_the_update() {
    let (settings, capabilities) = (Settings::default(), able());
    let mut server = Server { opaque_versions: true, ..Server::default() };
    let rules = rules(&settings, &capabilities);
    let link = created(&server, &rules);
    for (number, answer) in [(410, None), (500, None), (0, Some(Error::Timeout))] {
        server.before = Some(Box::new(move |_, request| {
            let failing = || answer.clone().map_or_else(|| Ok(crate::testing::outcome(number)), Err);
            request.path.contains("_history").then(failing)
        }));
        let update = change(1, Operation::Update, &format!("Jun{number}"), Some(&link));
        let outcome = one(&server, &rules, &update);
        assert_eq!(receipt(&outcome).remote_id, id_of(1), "{number}");
    }
}

#[test]
fn server_wide_version_numbers_are_not_taken_for_an_edit() {
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
fn a_record_that_keeps_changing_is_retried_later() {
    let (settings, capabilities) = (Settings::default(), able());
    let rules = rules(&settings, &capabilities);
    let link =
        Link { remote_id: "1".to_owned(), remote_version: Some("1".to_owned()), fingerprint: Some("1:ab:".to_owned()) };
    let linked = Change { link: Some(link), ..change(1, Operation::Update, "Jun", None) };
    let (mut delivery, first) = Delivery::begin(&rules, &linked).unwrap();
    let mut step = Step::Send(first);
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
