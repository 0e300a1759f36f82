//! Charts that a person linked, after OpenEMR's users merged ours into another.

use super::*;

/// What the host remembers when a person said `--keep relink --remote-id PID`.
fn relinked(change: Change, pid: &str) -> Change {
    let named = Receipt { remote_id: pid.to_owned(), remote_version: None, fingerprint: None };
    linked(change, &named)
}

#[test]
fn a_chart_that_a_person_named_is_written_and_keeps_its_own_uuid() {
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
    // From now on it is an ordinary link: found without the pid, and its edits are noticed.
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
fn a_named_chart_that_is_not_there_is_a_conflict_and_the_others_are_delivered() {
    let database = Database::open();
    let context = context(&database);
    let batch = [relinked(change("P-1", "{}"), "77"), change("P-2", "{}")];
    let outcomes = run(&database, &context, &batch).unwrap().outcomes;
    assert!(refusal(&outcomes[0]).starts_with("Conflict: there is no chart with pid 77"));
    assert!(matches!(outcomes[1], Outcome::Applied(_)));
    assert_eq!(database.ask("SELECT pubpid FROM patient_data"), ["P-2"]);
}

#[test]
fn our_own_chart_may_be_named_too() {
    let database = Database::open();
    let context = context(&database);
    let first = receipts(&database, &context, &[change("P-1", "{}")]);
    let named = relinked(change("P-1", r#"{"city": "Busan"}"#), &first[0].remote_id);
    let second = receipts(&database, &context, &[named]);
    assert_eq!((second[0].remote_id.as_str(), second[0].remote_version.as_deref()), ("1", None));
}
