//! Merges, and undoing them.

use adapter_sdk::Reference;

use super::*;

/// A merge of patient 1 into patient 2.
fn merge(link: Option<&Receipt>, survivor: Option<&str>) -> Change {
    let survivor = Reference {
        name: "survivor".to_owned(),
        aggregate_type: "patient".to_owned(),
        aggregate_id: "P-2".to_owned(),
        remote_id: survivor.map(str::to_owned),
    };
    Change { payload: "{}".to_owned(), survivor: Some(survivor), ..change(1, Operation::Merge, "", link) }
}

fn replaced_by(id: &str) -> Value {
    let identifier = json!({ "system": "urn:neuronova:patient-id", "value": "P-2" });
    json!({ "other": { "reference": format!("Patient/{id}"), "identifier": identifier }, "type": "replaced-by" })
}

#[test]
fn a_merged_patient_is_inactive_and_leads_to_the_survivor_until_it_is_undone() {
    let (settings, capabilities) = (Settings::default(), able());
    for read_first in [false, true] {
        let settings = Settings { read_first, ..settings.clone() };
        let (server, rules) = (Server::default(), rules(&settings, &capabilities));
        let link = created(&server, &rules);
        let theirs = json!({ "other": { "reference": "Patient/90" }, "type": "seealso" });
        server.edit(1, |patient| patient["link"] = json!([theirs.clone()]));
        let merged = receipt(&one(&server, &rules, &merge(Some(&link), Some("77")))).clone();
        let record = server.record(1);
        assert_eq!((&record["active"], &record["link"]), (&json!(false), &json!([replaced_by("77"), theirs.clone()])));
        assert_eq!((given(&server, 1), &merged.remote_id), (json!("MinJun"), &link.remote_id));
        // A second merge changes nothing, and another survivor replaces the first.
        let before = server.requests().len();
        let again = receipt(&one(&server, &rules, &merge(Some(&merged), Some("77")))).clone();
        assert_eq!((again.remote_id, again.fingerprint), (merged.remote_id.clone(), merged.fingerprint.clone()));
        assert!(server.requests()[before..].iter().all(|line| line.starts_with("GET ")), "{:?}", server.requests());
        let merged = receipt(&one(&server, &rules, &merge(Some(&merged), Some("78")))).clone();
        assert_eq!(server.record(1)["link"], json!([replaced_by("78"), theirs.clone()]));
        receipt(&one(&server, &rules, &change(1, Operation::Update, "Jun", Some(&merged))));
        let record = server.record(1);
        assert_eq!((&record["active"], &record["link"]), (&json!(true), &json!([theirs])));
        assert_eq!(given(&server, 1), "Jun");
    }
}

#[test]
fn the_undoing_takes_our_link_away_where_nothing_else_is_in_the_record() {
    let (server, settings, capabilities) = (Server::default(), Settings::default(), able());
    let rules = rules(&settings, &capabilities);
    let link = created(&server, &rules);
    let merged = receipt(&one(&server, &rules, &merge(Some(&link), Some("77")))).clone();
    receipt(&one(&server, &rules, &change(1, Operation::Update, "MinJun", Some(&merged))));
    assert_eq!((&server.record(1)["active"], server.record(1).get("link")), (&json!(true), None));
}

#[test]
fn what_the_server_never_had_or_has_no_more_is_merged_already() {
    let (server, settings, capabilities) = (Server::default(), Settings::default(), able());
    let rules = rules(&settings, &capabilities);
    assert_eq!(receipt(&one(&server, &rules, &merge(None, Some("77")))).remote_id, "");
    assert!(server.requests().iter().all(|line| line.starts_with("GET ")), "nothing is made to be inactive");
    let link = created(&server, &rules);
    server.delete(1);
    assert_eq!(receipt(&one(&server, &rules, &merge(Some(&link), Some("77")))).remote_id, "");
}

#[test]
fn an_edit_by_others_holds_a_merge_where_edits_are_held() {
    let (server, settings, capabilities) = (Server::default(), Settings::default(), able());
    let rules = Rules { on_remote_edit: RemoteEdit::Hold, ..rules(&settings, &capabilities) };
    let link = created(&server, &rules);
    server.edit(1, |patient| patient["gender"] = "unknown".into());
    assert_eq!(failed(&one(&server, &rules, &merge(Some(&link), Some("77")))).0, FailureKind::Conflict);
    assert_eq!(server.record(1)["active"], true);
}

#[test]
fn a_survivor_that_the_server_does_not_have_is_refused_and_so_is_a_merge_of_records() {
    let (server, settings, capabilities) = (Server::default(), Settings::default(), able());
    let rules = rules(&settings, &capabilities);
    let link = created(&server, &rules);
    let before = server.requests().len();
    assert_eq!(failed(&one(&server, &rules, &merge(Some(&link), None))).0, FailureKind::Invalid);
    let record = Change { aggregate_type: "condition".to_owned(), ..merge(None, Some("77")) };
    assert_eq!(failed(&one(&server, &rules, &record)).0, FailureKind::Unsupported);
    assert_eq!(server.requests().len(), before);
}
