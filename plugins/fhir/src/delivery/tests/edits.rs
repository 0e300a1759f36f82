//! Content of other authors: kept, held or overwritten by the operator's policy.

use super::*;

#[test]
fn elements_added_by_others_survive_all_our_updates() {
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
    // The first time the stale version shows the edit; afterwards the link marks the record as shared.
    let requests: Vec<String> = server.requests()[3..].iter().map(|line| line[..3].to_owned()).collect();
    assert_eq!(requests, ["PUT", "GET", "PUT", "GET", "PUT", "GET", "PUT"]);
}

#[test]
fn an_edit_of_our_elements_is_held_or_overwritten_by_setting() {
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
fn a_kept_edit_is_held_until_the_operator_decides_again() {
    let (settings, capabilities) = (Settings::default(), able());
    let hold = Rules { on_remote_edit: RemoteEdit::Hold, ..rules(&settings, &capabilities) };
    let server = Server::default();
    let link = created(&server, &hold);
    server.edit(1, |patient| patient["name"][0]["given"][0] = json!("Edited"));
    let declined = change(1, Operation::Update, "Jun", Some(&link));
    let outcome = one(&server, &hold, &declined);
    let message = failed(&outcome).1;
    let kept = message.split_once(" [holds ").unwrap().1.strip_suffix(']').unwrap().to_owned();
    // `--keep remote` writes the fingerprint into the link.
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
    // With the policy `overwrite`, the decision about that one state still applies.
    let overwrite = rules(&settings, &capabilities);
    receipt(&one(&server, &overwrite, &change(1, Operation::Update, "Ho", Some(&link))));
    assert_eq!(given(&server, 1), "Ho");
}

#[test]
fn a_link_set_by_the_operator_is_not_held() {
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
fn an_unlinked_record_keeps_elements_of_others_unless_replace_is_set() {
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
