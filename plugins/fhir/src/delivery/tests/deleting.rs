//! Deletes, and records that another author deleted.

use super::*;

#[test]
fn a_patient_is_restored_after_the_record_with_our_id_was_deleted() {
    let (settings, capabilities) = (Settings::default(), able());
    for status in [None, Some(410), Some(412)] {
        let mut server = Server::default();
        let rules = rules(&settings, &capabilities);
        let link = created(&server, &rules);
        server.delete(1);
        let outcome = one(&server, &rules, &change(1, Operation::Delete, "MinJun", Some(&link)));
        assert_eq!(receipt(&outcome).remote_id, "", "without an id the host forgets the link");
        if let Some(status) = status {
            // Some servers refuse to use a deleted id again.
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
fn a_deleted_record_is_a_conflict_for_an_update_and_done_for_a_delete() {
    for versioning in [Versioning::VersionedUpdate, Versioning::NoVersion] {
        let (server, settings, capabilities) =
            (Server::default(), Settings::default(), but(able(), |it| it.versioning = versioning));
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
fn a_record_restored_by_our_update_is_reported() {
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
                assert!(server.warnings.borrow()[0].starts_with("change 1: Patient had been deleted"));
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
        // The patient may be created again.
        one(&server, &rules, &change(1, Operation::Update, "MinJun", Some(&receipt)));
        assert_eq!(server.record(1)["active"], true);
    }
}

#[test]
fn a_delete_of_an_unknown_patient_creates_nothing() {
    let (server, settings, capabilities) = (Server::default(), Settings::default(), able());
    let outcome = one(&server, &rules(&settings, &capabilities), &change(1, Operation::Delete, "MinJun", None));
    assert!(matches!(outcome, Outcome::Applied(receipt) if receipt.remote_id.is_empty()));
    assert_eq!(server.count(), 0);
}
