//! Charts that an operator linked, after OpenEMR's users merged ours into another.

use super::*;

/// The link that the host stores after `--keep relink --remote-id PID`.
fn relinked(change: Change, pid: &str) -> Change {
    let named = Receipt { remote_id: pid.to_owned(), remote_version: None, fingerprint: None };
    linked(change, &named)
}

#[test]
fn a_chart_named_by_an_operator_is_written_and_keeps_its_uuid() {
    let database = Database::open();
    let hold = Context { on_remote_edit: RemoteEdit::Hold, ..context(&database) };
    receipts(&database, &hold, &[change("P-1", "{}")]);
    database.change(
        "UPDATE patient_data SET uuid = x'0102030405060708090A0B0C0D0E0F10', pid = 77, pubpid = '77', email = 'theirs'",
    );
    let named = relinked(change("P-1", r#"{"city": "Busan"}"#), "77");
    let first = receipts(&database, &hold, &[named]);
    assert_eq!(first[0].remote_id, "77");
    assert_eq!(first[0].remote_version.as_deref(), Some("uuid:0102030405060708090a0b0c0d0e0f10"));
    assert_eq!(
        database.ask("SELECT hex(uuid), city, pubpid FROM patient_data"),
        ["0102030405060708090A0B0C0D0E0F10|Busan|77"]
    );
    // From now on it is an ordinary link: it is found without the pid, and edits are detected.
    let next = linked(change("P-1", r#"{"city": "Incheon"}"#), &first[0]);
    let second = receipts(&database, &hold, std::slice::from_ref(&next));
    assert_eq!(second[0].remote_version, first[0].remote_version);
    database.change("UPDATE patient_data SET email = 'edited again'");
    let third = linked(change("P-1", r#"{"city": "Jeju"}"#), &second[0]);
    let outcomes = run(&database, &hold, &[third]).unwrap().outcomes;
    assert!(refusal(&outcomes[0]).starts_with("Conflict: the chart with pid 77 was edited"));
    assert_eq!(database.ask("SELECT COUNT(*), city FROM patient_data"), ["1|Incheon"]);
}

#[test]
fn a_named_chart_that_is_missing_is_a_conflict_and_the_others_are_delivered() {
    let database = Database::open();
    let context = context(&database);
    let batch = [relinked(change("P-1", "{}"), "77"), change("P-2", "{}")];
    let outcomes = run(&database, &context, &batch).unwrap().outcomes;
    assert!(refusal(&outcomes[0]).starts_with("Conflict: there is no chart with pid 77"));
    assert!(matches!(outcomes[1], Outcome::Applied(_)));
    assert_eq!(database.ask("SELECT pubpid FROM patient_data"), ["P-2"]);
}

#[test]
fn an_operator_may_name_our_own_chart() {
    let database = Database::open();
    let context = context(&database);
    let first = receipts(&database, &context, &[change("P-1", "{}")]);
    let named = relinked(change("P-1", r#"{"city": "Busan"}"#), &first[0].remote_id);
    let second = receipts(&database, &context, &[named]);
    assert_eq!((second[0].remote_id.as_str(), second[0].remote_version.as_deref()), ("1", None));
}

/// The link that the host stores when an operator keeps OpenEMR's content.
fn kept(outcome: &Outcome) -> Receipt {
    let refused = refusal(outcome);
    let (_, holds) = refused.rsplit_once(" [holds ").unwrap();
    Receipt { remote_id: "1".into(), remote_version: None, fingerprint: holds.strip_suffix(']').map(str::to_owned) }
}

#[test]
fn a_kept_edit_is_held_until_both_sides_agree() {
    let database = Database::open();
    let hold = Context { on_remote_edit: RemoteEdit::Hold, ..context(&database) };
    let first = receipts(&database, &hold, &[change("P-1", "{}")]);
    database.change("UPDATE patient_data SET email = 'theirs@openemr'");
    let declined = change("P-1", r#"{"city": "Busan"}"#);
    let refused = run(&database, &hold, &[linked(declined.clone(), &first[0])]).unwrap().outcomes;
    let kept = kept(&refused[0]);
    // The declined state again changes nothing, and the decision stays.
    let again = receipts(&database, &hold, &[linked(declined.clone(), &kept)]);
    assert_eq!(again[0].fingerprint, kept.fingerprint);
    // A newer state would overwrite the kept content.
    let newer = linked(change("P-1", r#"{"city": "Jeju"}"#), &kept);
    let outcomes = run(&database, &hold, std::slice::from_ref(&newer)).unwrap().outcomes;
    assert!(refusal(&outcomes[0]).starts_with("Conflict: the chart with pid 1 holds what was kept of OpenEMR's"));
    // So would any state after a second edit.
    database.change("UPDATE patient_data SET email = 'again@openemr'");
    for change in [linked(declined, &kept), newer.clone()] {
        let outcomes = run(&database, &hold, &[change]).unwrap().outcomes;
        assert!(refusal(&outcomes[0]).starts_with("Conflict: the chart with pid 1 was edited in OpenEMR"));
    }
    assert_eq!(database.ask("SELECT email, city FROM patient_data"), ["again@openemr|"]);
    // The application adopts OpenEMR's value: both agree, and the link is an ordinary one again.
    let agreed = receipts(&database, &hold, &[linked(change("P-1", r#"{"email": "again@openemr"}"#), &kept)]);
    let next = linked(change("P-1", r#"{"email": "again@openemr", "city": "Jeju"}"#), &agreed[0]);
    receipts(&database, &hold, &[next]);
    assert_eq!(database.ask("SELECT email, city FROM patient_data"), ["again@openemr|Jeju"]);
    // With the other policy it is overwritten, and logged.
    let overwrite = Context { on_remote_edit: RemoteEdit::Overwrite, ..hold };
    assert_eq!(run(&database, &overwrite, &[newer]).unwrap().notes.len(), 1);
}

#[test]
fn changes_made_by_a_form_save_itself_are_not_an_edit() {
    let database = Database::open();
    let hold = Context { on_remote_edit: RemoteEdit::Hold, ..context(&database) };
    let fields = r#"{"state": "Seoul", "country": "KR", "title": "Prof.", "email": "a@b.c"}"#;
    let first = receipts(&database, &hold, &[change("P-1", fields)]);
    assert_eq!(database.ask("SELECT state, country_code, title FROM patient_data"), ["Seoul|KR|Prof."]);
    database.change(
        "UPDATE patient_data SET state = '', country_code = '', title = '', race = '|Asian', suffix = '', street_line_2 = ''",
    );
    let fields = fields.replace("a@b.c", "d@e.f");
    let second = receipts(&database, &hold, &[linked(change("P-1", &fields), &first[0])]);
    assert_eq!(database.ask("SELECT state, country_code, title, email FROM patient_data"), ["Seoul|KR|Prof.|d@e.f"]);
    database.change("UPDATE patient_data SET state = 'CA'");
    let outcomes = run(&database, &hold, &[linked(change("P-1", "{}"), &second[0])]).unwrap().outcomes;
    assert!(
        refusal(&outcomes[0]).starts_with("Conflict: the chart with pid 1 was edited"),
        "a chosen option is an edit"
    );
}
