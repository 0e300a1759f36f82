//! Merged charts and undone merges, with and without uuids.

use adapter_sdk::{Observation, Reference, Subject};

use super::*;
use crate::deliver::observe;

/// A merge of this patient into the survivor with this pid.
fn merge(id: &str, link: Option<&Receipt>, survivor: Option<&str>) -> Change {
    let survivor = Reference {
        name: "survivor".into(),
        aggregate_type: "patient".into(),
        aggregate_id: "P-9".into(),
        remote_id: survivor.map(str::to_owned),
    };
    let change = change(id, "{}");
    let change = link.map_or_else(|| change.clone(), |link| linked(change.clone(), link));
    Change { operation: Operation::Merge, payload: "{}".into(), survivor: Some(survivor), ..change }
}

const MARKS: &str = "SELECT billing_note, allow_patient_portal FROM patient_data ORDER BY pid";

/// The state of a marked chart, in the form that the tests compare.
fn marked(survivor: &str) -> String {
    format!("[NeuroNova Sync] Merged into the chart with pid {survivor}: use that one")
}

fn holds_what_was_written(database: &Database, context: &Context, id: &str, receipt: &Receipt) -> bool {
    let link = linked(change(id, "{}"), receipt).link.unwrap();
    let fingerprint = link.fingerprint.clone();
    let subject = Subject { aggregate_type: "patient".into(), aggregate_id: id.into(), link };
    match observe(database, &Settings::default(), context, &[subject]).unwrap().remove(0) {
        Observation::Present(current) => Some(current.fingerprint) == fingerprint,
        found => panic!("{found:?}"),
    }
}

fn merged_and_undone(database: &Database) {
    let context = context(database);
    let created =
        receipts(database, &context, &[change("P-1", "{}"), change("P-9", r#"{"birth_date": "1990-01-01"}"#)]);
    let survivor = created[1].remote_id.clone();
    database.change(&format!(
        "UPDATE patient_data SET billing_note = 'theirs', allow_patient_portal = 'YES' WHERE pid = {}",
        created[0].remote_id
    ));
    let merged = receipts(database, &context, &[merge("P-1", Some(&created[0]), Some(&survivor))]).remove(0);
    let with_portal = |survivor: &str| format!("theirs\n{} (patient portal before: YES)|NO", marked(survivor));
    assert_eq!(database.ask(MARKS)[0], with_portal(&survivor));
    assert_eq!(merged.remote_id, created[0].remote_id);
    assert!(holds_what_was_written(database, &context, "P-1", &merged));
    // A second merge changes nothing, also with the link from before, as after a lost settlement. Another survivor
    // replaces the first.
    database.change("UPDATE patient_data SET date = '2001-01-01 00:00:00'");
    for link in [&merged, &created[0]] {
        let again = receipts(database, &context, &[merge("P-1", Some(link), Some(&survivor))]).remove(0);
        assert_eq!((again.remote_id, again.fingerprint), (merged.remote_id.clone(), merged.fingerprint.clone()));
    }
    assert_eq!(database.ask("SELECT DISTINCT date FROM patient_data"), ["2001-01-01 00:00:00"]);
    let merged = receipts(database, &context, &[merge("P-1", Some(&merged), Some("77"))]).remove(0);
    assert_eq!(database.ask(MARKS)[0], with_portal("77"));
    let undoing = linked(change("P-1", r#"{"city": "Busan"}"#), &merged);
    let undone = receipts(database, &context, &[undoing]).remove(0);
    assert_eq!(database.ask(MARKS)[0], "theirs|YES");
    assert_eq!(database.ask("SELECT city FROM patient_data ORDER BY pid")[0], "Busan");
    assert!(holds_what_was_written(database, &context, "P-1", &undone));
}

#[test]
fn a_merged_chart_names_the_other_and_loses_nothing_until_it_is_undone() {
    merged_and_undone(&Database::open());
    merged_and_undone(&Database::open_without_uuid());
}

#[test]
fn a_chart_without_the_note_or_with_edits_is_not_as_it_was_merged() {
    let database = Database::open();
    let context = context(&database);
    let created = receipts(&database, &context, &[change("P-1", "{}")]);
    let merged = receipts(&database, &context, &[merge("P-1", Some(&created[0]), Some("9"))]).remove(0);
    for edit in ["billing_note = NULL", "city = 'Daegu'"] {
        database.change(&format!("UPDATE patient_data SET {edit}"));
        assert!(!holds_what_was_written(&database, &context, "P-1", &merged), "{edit}");
        let merged = receipts(&database, &context, &[merge("P-1", Some(&merged), Some("9"))]).remove(0);
        assert_eq!(database.ask(MARKS), [format!("{}|NO", marked("9"))]);
        assert_eq!(holds_what_was_written(&database, &context, "P-1", &merged), edit.starts_with("billing"));
    }
}

#[test]
fn what_never_came_here_is_merged_already_and_a_chart_whose_settlement_was_lost_is_found() {
    let database = Database::open();
    let context = context(&database);
    assert_eq!(receipts(&database, &context, &[merge("P-1", None, Some("9"))])[0].remote_id, "");
    assert_eq!(database.ask("SELECT COUNT(*) FROM patient_data"), ["0"]);
    let created = receipts(&database, &context, &[change("P-1", "{}")]);
    let merged = receipts(&database, &context, &[merge("P-1", None, Some("9"))]).remove(0);
    assert_eq!(merged.remote_id, created[0].remote_id);
    assert!(holds_what_was_written(&database, &context, "P-1", &merged));
}

fn undone_after_a_lost_receipt(database: &Database) {
    let context = context(database);
    let created =
        receipts(database, &context, &[change("P-1", "{}"), change("P-9", r#"{"birth_date": "1990-01-01"}"#)]);
    let survivor = created[1].remote_id.as_str();
    database.change("UPDATE patient_data SET billing_note = 'theirs', allow_patient_portal = 'YES'");
    let merged = || {
        receipts(database, &context, &[merge("P-1", Some(&created[0]), Some(survivor))]);
        let note = format!("theirs\n{} (patient portal before: YES)|NO", marked(survivor));
        assert_eq!(database.ask(MARKS), [note.as_str(), "theirs|YES"]);
    };
    // The host knows nothing of the merges: the links are those from before. Whether the state differs makes no
    // difference, nor does a link that is missing.
    for (link, fields) in [(true, "{}"), (true, r#"{"city": "Busan"}"#), (false, r#"{"city": "Busan"}"#)] {
        merged();
        let state = change("P-1", fields);
        let state = if link { linked(state, &created[0]) } else { state };
        let undone = receipts(database, &context, &[state, linked(change("P-9", r#"{"city": "Ulsan"}"#), &created[1])]);
        assert_eq!(database.ask(MARKS), ["theirs|YES", "theirs|YES"], "{link} {fields}");
        assert!(holds_what_was_written(database, &context, "P-1", &undone[0]));
    }
    // A portal that a user opened again meanwhile stays open; a note of theirs about us is none of ours.
    merged();
    database.change("UPDATE patient_data SET allow_patient_portal = 'other' WHERE pid = 1");
    receipts(database, &context, &[linked(change("P-1", "{}"), &created[0])]);
    let theirs = "see [NeuroNova Sync]";
    database.change(&format!("UPDATE patient_data SET billing_note = '{theirs}' WHERE pid = 2"));
    receipts(database, &context, &[linked(change("P-9", "{}"), &created[1])]);
    assert_eq!(database.ask(MARKS), ["theirs|other".to_owned(), format!("{theirs}|YES")]);
}

#[test]
fn a_state_undoes_a_merge_whose_receipt_was_lost() {
    undone_after_a_lost_receipt(&Database::open());
    undone_after_a_lost_receipt(&Database::open_without_uuid());
}

#[test]
fn a_note_that_appears_after_the_chart_was_read_makes_the_batch_come_again() {
    let database = Database::open();
    let context = context(&database);
    let created = receipts(&database, &context, &[change("P-1", "{}")]);
    database.intrude_on_update(&format!("UPDATE patient_data SET billing_note = '{}'", marked("9")));
    let state = linked(change("P-1", r#"{"city": "Busan"}"#), &created[0]);
    let failure = run(&database, &context, std::slice::from_ref(&state)).unwrap_err();
    assert_eq!(described(&failure), "Transient: update patient_data: 1 charts were there, 0 were written");
    receipts(&database, &context, &[state]);
    assert_eq!(database.ask(MARKS), ["NULL|"]);
}

#[test]
fn a_survivor_without_a_chart_is_refused() {
    let database = Database::open();
    let context = context(&database);
    let outcomes = run(&database, &context, &[merge("P-1", None, None)]).unwrap().outcomes;
    assert_eq!(
        refusal(&outcomes[0]),
        "Invalid: the patient who stays has no chart in this OpenEMR; fix: deliver that one first"
    );
}

#[test]
fn merges_take_as_many_statements_as_one() {
    let statements = |count: usize| {
        let database = Database::open();
        let context = context(&database);
        let changes: Vec<Change> = (0..count).map(|index| change(&format!("P-{index}"), "{}")).collect();
        let receipts = receipts(&database, &context, &changes);
        database.said();
        let merges = changes.iter().zip(&receipts);
        let merges: Vec<_> = merges.map(|(change, link)| merge(&change.aggregate_id, Some(link), Some("9"))).collect();
        run(&database, &context, &merges).unwrap();
        database.said().len()
    };
    assert_eq!((statements(1), statements(30)), (3, 3));
}
