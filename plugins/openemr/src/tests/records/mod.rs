//! The clinical records, each kind against OpenEMR's tables.

mod appointments;
mod encounters;
mod granted;
mod issues;
mod older;
mod vital_signs;

use adapter_sdk::{Observation, Reference, Subject};
use serde_json::{Value, json};

use super::*;
use crate::deliver;

/// The pid of the patient of all records here.
const PID: &str = "7";

fn reference(name: &str, aggregate_type: &str, remote_id: &str) -> Reference {
    Reference {
        name: name.into(),
        aggregate_type: aggregate_type.into(),
        aggregate_id: format!("of-{name}"),
        remote_id: Some(remote_id.into()),
    }
}

/// A change of a record of the patient with [`PID`].
fn record(aggregate_type: &str, id: &str, payload: &Value) -> Change {
    Change {
        aggregate_type: aggregate_type.into(),
        payload: payload.to_string(),
        references: vec![reference("subject", "patient", PID)],
        // The first of March 2025.
        created_at_ms: 1_740_787_200_000,
        ..change(id, "{}")
    }
}

/// A payload with other fields; `null` removes one.
fn with(mut payload: Value, fields: &Value) -> Value {
    for (name, value) in fields.as_object().unwrap() {
        payload[name] = value.clone();
    }
    payload.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    payload
}

/// The same change, within an encounter.
fn within(encounter: &str, change: Change) -> Change {
    let mut references = change.references;
    references.push(reference("encounter", "encounter", encounter));
    Change { references, ..change }
}

fn delete(change: Change) -> Change {
    Change { operation: Operation::Delete, payload: "{}".into(), references: Vec::new(), ..change }
}

fn hold(context: &Context) -> Context {
    Context { on_remote_edit: RemoteEdit::Hold, ..context.clone() }
}

fn one(database: &Database, context: &Context, change: Change) -> Receipt {
    receipts(database, context, &[change]).remove(0)
}

fn outcome(database: &Database, context: &Context, change: Change) -> Outcome {
    run(database, context, &[change]).unwrap().outcomes.remove(0)
}

/// The reason of a change that was skipped.
fn skipped(database: &Database, context: &Context, change: Change) -> String {
    match outcome(database, context, change) {
        Outcome::Skipped(reason) => reason,
        other => panic!("{other:?}"),
    }
}

fn observed(database: &Database, context: &Context, change: &Change, receipt: &Receipt) -> String {
    let subject = Subject {
        aggregate_type: change.aggregate_type.clone(),
        aggregate_id: change.aggregate_id.clone(),
        link: linked(change.clone(), receipt).link.unwrap(),
    };
    match deliver::observe(database, &Settings::default(), context, &[subject]).unwrap().remove(0) {
        Observation::Present(current) if Some(&current.fingerprint) == receipt.fingerprint.as_ref() => "as written",
        Observation::Present(_) => "edited",
        Observation::Gone => "gone",
        Observation::Several(_) => "several",
        Observation::NotOurs => "not ours",
        Observation::Unknown(_) => "unknown",
    }
    .to_owned()
}

/// A kind of record with two states, and the SQL for the tests below.
struct Case {
    create: Change,
    update: Change,
    /// The expression that reads the row, for both states.
    read: &'static str,
    created: &'static str,
    updated: &'static str,
    /// The SQL condition that holds when OpenEMR hides it.
    hidden: &'static str,
    table: &'static str,
    /// An edit by a user of OpenEMR.
    edit: &'static str,
}

fn cases() -> Vec<Case> {
    vec![
        encounters::case(),
        issues::condition(),
        issues::allergy(),
        issues::medication(),
        vital_signs::case(),
        appointments::case(),
    ]
}

/// The life of a record: created, found again after a lost settlement, updated, left unchanged, hidden, restored.
fn live(database: &Database, case: &Case) {
    let context = context(database);
    let name = &case.create.aggregate_type;
    let count = format!("SELECT COUNT(*) FROM {}", case.table);
    let first = one(database, &context, case.create.clone());
    assert_eq!(database.ask(case.read), [case.created], "{name}");
    // The settlement was lost: there is no link, but the row exists.
    let again = one(database, &context, case.create.clone());
    assert_eq!((&again.remote_id, &again.fingerprint), (&first.remote_id, &first.fingerprint), "{name}");
    assert_eq!(database.ask(&count), ["1"], "{name}");
    assert_eq!(observed(database, &context, &case.create, &first), "as written", "{name}");
    let update = linked(case.update.clone(), &first);
    let second = one(database, &hold(&context), update.clone());
    assert_eq!(
        (second.remote_id.as_str(), database.ask(case.read)),
        (first.remote_id.as_str(), vec![case.updated.to_owned()])
    );
    assert_eq!(observed(database, &context, &case.update, &first), "edited", "{name}");
    // The settlement of the update was lost: the link is the old one.
    database.said();
    assert_eq!(one(database, &hold(&context), update).fingerprint, second.fingerprint, "{name}");
    assert!(database.said().iter().all(|sql| sql.starts_with("SELECT")), "{name}: nothing is written again");
    let hidden = one(database, &hold(&context), delete(linked(case.update.clone(), &second)));
    assert_eq!(database.ask(&format!("{count} WHERE {}", case.hidden)), ["1"], "{name}");
    assert_eq!(database.ask(&count), ["1"], "{name}: nothing is deleted");
    let after = one(database, &hold(&context), delete(linked(case.update.clone(), &hidden)));
    assert_eq!(after.fingerprint, hidden.fingerprint, "{name}");
    one(database, &hold(&context), linked(case.update.clone(), &hidden));
    assert_eq!(database.ask(case.read), [case.updated], "{name}: it is back");
}

#[test]
fn every_record_is_created_once_updated_hidden_and_revived() {
    for case in cases() {
        live(&Database::open(), &case);
    }
}

#[test]
fn an_edit_by_openemr_users_is_held_or_overwritten_by_policy() {
    for case in cases() {
        let database = Database::open();
        let overwrite = context(&database);
        let first = one(&database, &overwrite, case.create.clone());
        database.change(case.edit);
        assert_eq!(observed(&database, &overwrite, &case.create, &first), "edited", "{}", case.table);
        let update = linked(case.update.clone(), &first);
        let refused = refusal(&outcome(&database, &hold(&overwrite), update.clone()));
        assert!(refused.contains("was edited in OpenEMR since the last delivery [holds kept:1."), "{refused}");
        let deletion = delete(update.clone());
        assert!(refusal(&outcome(&database, &hold(&overwrite), deletion)).starts_with("Conflict"), "{}", case.table);
        let written = run(&database, &overwrite, &[update]).unwrap();
        assert!(written.notes[0].starts_with("wrote over an edit made in OpenEMR: "), "{:?}", written.notes);
        assert_eq!(database.ask(case.read), [case.updated]);
    }
}

#[test]
fn a_missing_record_is_a_conflict_for_updates_and_done_for_deletes() {
    for case in cases() {
        let database = Database::open();
        let context = context(&database);
        let first = one(&database, &context, case.create.clone());
        database.change(&format!("DELETE FROM {}", case.table));
        assert_eq!(observed(&database, &context, &case.create, &first), "gone");
        let refused = refusal(&outcome(&database, &context, linked(case.update.clone(), &first)));
        assert!(refused.ends_with("was deleted in OpenEMR; it is not created again by itself"), "{refused}");
        assert_eq!(one(&database, &context, delete(linked(case.update.clone(), &first))).remote_id, first.remote_id);
        assert_eq!(one(&database, &context, delete(case.create)).remote_id, "", "it never was there");
        assert_eq!(database.ask(&format!("SELECT COUNT(*) FROM {}", case.table)), ["0"]);
    }
}

#[test]
fn a_record_created_meanwhile_by_another_host_is_adopted() {
    for case in cases() {
        let database = Database::open();
        let context = context(&database);
        let first = one(&database, &context, case.create.clone());
        let columns: Vec<String> = database.ask(&format!("SELECT name FROM pragma_table_info('{}')", case.table));
        let columns = columns.join(", ");
        database
            .change(&format!("CREATE TABLE kept AS SELECT * FROM {table}; DELETE FROM {table}", table = case.table));
        database.intrude(&format!("INSERT INTO {} ({columns}) SELECT {columns} FROM kept", case.table));
        let again = one(&database, &context, case.create.clone());
        assert_eq!(again.remote_id, first.remote_id, "{}", case.table);
        assert_eq!(database.ask(&format!("SELECT COUNT(*) FROM {}", case.table)), ["1"]);
    }
}

#[test]
fn a_row_named_by_an_operator_is_written_and_stays_linked() {
    for case in cases() {
        let database = Database::open();
        let context = context(&database);
        let first = one(&database, &context, case.create.clone());
        let named = Receipt { remote_id: first.remote_id.clone(), remote_version: None, fingerprint: None };
        let other = Change { aggregate_id: "another-one".into(), ..case.update.clone() };
        let taken = one(&database, &context, linked(other.clone(), &named));
        assert!(taken.remote_version.as_ref().is_some_and(|version| version.starts_with("named:")));
        assert_eq!(database.ask(case.read), [case.updated]);
        one(&database, &context, linked(other, &taken));
        // A conflict about our own row, resolved with the local state, keeps the row ours.
        let ours = one(&database, &context, linked(case.update.clone(), &named));
        assert_eq!(ours.remote_version, first.remote_version);
        assert_eq!(database.ask(&format!("SELECT COUNT(*) FROM {}", case.table)), ["1"]);
    }
}

#[test]
fn a_row_that_lost_our_key_is_not_written() {
    let database = Database::open();
    let context = context(&database);
    let case = issues::condition();
    let first = one(&database, &context, case.create);
    database.change("UPDATE lists SET uuid = x'00112233445566778899aabbccddeeff'");
    assert_eq!(observed(&database, &context, &case.update, &first), "not ours");
    let refused = refusal(&outcome(&database, &context, linked(case.update, &first)));
    assert!(refused.contains("does not carry our key any more"), "{refused}");
}

#[test]
fn the_number_of_statements_does_not_grow_with_a_batch() {
    for case in cases() {
        let statements = |count: usize| {
            let database = Database::open();
            let context = context(&database);
            let named = |change: &Change, of: &str| {
                (0..count).map(|at| Change { aggregate_id: format!("{of}-{at}"), ..change.clone() }).collect::<Vec<_>>()
            };
            let old = named(&case.create, "old");
            let receipts = receipts(&database, &context, &old);
            let updates = named(&case.update, "old");
            let updates = updates.into_iter().zip(&receipts).map(|(change, receipt)| linked(change, receipt));
            let batch: Vec<Change> = named(&case.create, "new").into_iter().chain(updates).collect();
            database.said();
            assert_eq!(super::receipts(&database, &context, &batch).len(), 2 * count);
            let said = database.said().len();
            assert_eq!(database.ask(&format!("SELECT COUNT(*) FROM {}", case.table)), [(2 * count).to_string()]);
            said
        };
        assert_eq!(statements(1), statements(100), "{}", case.table);
        assert!(statements(2) <= 13, "{}: {}", case.table, statements(2));
    }
}

#[test]
fn a_batch_of_all_types_is_answered_in_its_order() {
    let database = Database::open();
    let context = context(&database);
    let changes: Vec<Change> = cases().into_iter().map(|case| case.create).chain([change("P-1", "{}")]).collect();
    let outcomes = run(&database, &context, &changes).unwrap().outcomes;
    assert!(outcomes.iter().all(|outcome| matches!(outcome, Outcome::Applied(_))), "{outcomes:?}");
    let twice = [cases().remove(1).create, cases().remove(1).create];
    let outcomes = run(&database, &context, &twice).unwrap().outcomes;
    assert_eq!(refusal(&outcomes[1]), "Transient: this record comes twice in one batch");
    assert_eq!(database.ask("SELECT COUNT(*) FROM lists WHERE type = 'medical_problem'"), ["1"]);
}

#[test]
fn unsupported_records_are_skipped_and_malformed_ones_are_invalid() {
    let database = Database::open();
    let context = context(&database);
    let resource = record("fhir-resource", "R-1", &json!({"resourceType": "Device"}));
    assert!(skipped(&database, &context, resource).contains("no place"));
    let condition = issues::condition().create;
    let invalid = Change { payload: r#"{"clinical_status": "Secret"}"#.into(), ..condition.clone() };
    let refused = refusal(&outcome(&database, &context, invalid));
    assert!(refused.starts_with("Invalid: payload is not of type condition: "), "{refused}");
    assert!(!refused.contains("Secret"));
    let merge = Change { operation: Operation::Merge, ..condition.clone() };
    assert!(refusal(&outcome(&database, &context, merge)).starts_with("Unsupported: "));
    let mut nobody = condition;
    nobody.references[0].remote_id = None;
    assert_eq!(refusal(&outcome(&database, &context, nobody)), "Invalid: refs.subject: has no chart in OpenEMR");
    assert_eq!(database.ask("SELECT COUNT(*) FROM lists"), ["0"]);
}

#[test]
fn a_record_moves_with_its_patient_to_another_chart() {
    for case in cases() {
        let database = Database::open();
        let context = context(&database);
        let first = one(&database, &context, case.create.clone());
        let mut moved = linked(case.create.clone(), &first);
        moved.references[0].remote_id = Some("8".into());
        one(&database, &hold(&context), moved);
        let pid = if case.table.starts_with("openemr") { "pc_pid" } else { "pid" };
        assert_eq!(database.ask(&format!("SELECT {pid} FROM {}", case.table)), ["8"]);
        assert!(database.ask("SELECT pid FROM forms WHERE pid <> 8").is_empty());
    }
}
