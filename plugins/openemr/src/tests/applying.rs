//! Updates, conflicts and refusals.

use super::*;
use crate::schema::Schema;
use crate::settings::OnDelete;

#[test]
fn an_update_writes_only_owned_columns() {
    let database = Database::open();
    let context = context(&database);
    let first = receipts(&database, &context, &[change("P-1", "{}")]);
    database.change(
        "UPDATE patient_data SET phone_contact = 'theirs', pubpid = 'edited', regdate = '2001-01-01 00:00:00', \
         date = '2001-01-01 00:00:00'",
    );
    let next = linked(change("P-1", r#"{"city": "Busan", "deceased_date": "2024-05-01"}"#), &first[0]);
    let second = receipts(&database, &context, &[next]);
    assert_eq!(second[0].remote_id, first[0].remote_id);
    assert_ne!(second[0].fingerprint, first[0].fingerprint);
    assert_eq!(
        database.ask(
            "SELECT city, deceased_date, phone_contact, pubpid, regdate, date > '2001-01-02', suffix, mname FROM patient_data"
        ),
        ["Busan|2024-05-01 00:00:00|theirs|edited|2001-01-01 00:00:00|1|NULL|"]
    );
}

#[test]
fn unchanged_content_is_not_written_again() {
    let database = Database::open();
    let context = context(&database);
    let first = receipts(&database, &context, &[change("P-1", "{}")]);
    database.change("UPDATE patient_data SET date = '2001-01-01 00:00:00', suffix = ''");
    database.said();
    let again = receipts(&database, &context, &[linked(change("P-1", "{}"), &first[0])]);
    assert_eq!(again[0].remote_id, first[0].remote_id);
    assert_eq!(again[0].fingerprint, first[0].fingerprint);
    assert_eq!(database.said().len(), 1);
    assert_eq!(database.ask("SELECT date FROM patient_data"), ["2001-01-01 00:00:00"]);
}

#[test]
fn a_removed_field_is_emptied() {
    let database = Database::open();
    let context = context(&database);
    let first = receipts(&database, &context, &[change("P-1", r#"{"email": "a@b.c", "suffix": "Jr."}"#)]);
    receipts(&database, &context, &[linked(change("P-1", "{}"), &first[0])]);
    assert_eq!(database.ask("SELECT email, suffix FROM patient_data"), ["|NULL"]);
}

#[test]
fn a_batch_takes_as_many_statements_as_one_change() {
    let statements = |count: usize| {
        let database = Database::open();
        let context = context(&database);
        let old: Vec<Change> = (0..count).map(|index| change(&format!("old-{index}"), "{}")).collect();
        let receipts = receipts(&database, &context, &old);
        let updates = old.iter().zip(&receipts).map(|(change, receipt)| {
            let payload = change.payload.replace("Kim", "Lee");
            linked(Change { payload, ..change.clone() }, receipt)
        });
        let batch: Vec<Change> = (0..count).map(|index| change(&format!("new-{index}"), "{}")).chain(updates).collect();
        database.said();
        assert!(super::receipts(&database, &context, &batch).len() == 2 * count);
        assert_eq!(
            database.ask("SELECT COUNT(*), COUNT(DISTINCT pid) FROM patient_data WHERE lname = 'Lee'"),
            [format!("{count}|{count}")]
        );
        database.said().len()
    };
    assert_eq!(statements(1), 7);
    assert_eq!(statements(400), 7);
}

#[test]
fn a_linked_chart_that_is_gone_is_a_conflict_and_not_created_again() {
    let database = Database::open();
    let context = context(&database);
    let first = receipts(&database, &context, &[change("P-1", "{}")]);
    database.change("DELETE FROM patient_data");
    let outcomes = run(&database, &context, &[linked(change("P-1", "{}"), &first[0])]).unwrap().outcomes;
    assert_eq!(
        refusal(&outcomes[0]),
        "Conflict: the chart with pid 1 was deleted or merged in OpenEMR; it is not created again by itself"
    );
    assert_eq!(database.ask("SELECT COUNT(*) FROM patient_data"), ["0"]);
}

#[test]
fn a_linked_chart_with_another_pid_is_a_conflict() {
    let database = Database::open();
    let context = context(&database);
    let first = receipts(&database, &context, &[change("P-1", "{}")]);
    database.change("UPDATE patient_data SET pid = 77");
    let next = linked(change("P-1", r#"{"city": "Busan"}"#), &first[0]);
    let outcomes = run(&database, &context, &[next]).unwrap().outcomes;
    assert!(refusal(&outcomes[0]).starts_with("Conflict: the chart had pid 1 and now has pid 77"));
    assert_eq!(database.ask("SELECT city FROM patient_data"), [""]);
}

#[test]
fn an_edit_made_in_openemr_is_overwritten_or_held_by_policy() {
    let database = Database::open();
    let overwrite = context(&database);
    let hold = Context { on_remote_edit: RemoteEdit::Hold, ..overwrite.clone() };
    let first = receipts(&database, &overwrite, &[change("P-1", "{}")]);
    database.change("UPDATE patient_data SET email = 'edited@openemr'");
    let next = linked(change("P-1", r#"{"city": "Busan"}"#), &first[0]);
    let refused = run(&database, &hold, std::slice::from_ref(&next)).unwrap();
    assert!(
        refusal(&refused.outcomes[0])
            .starts_with("Conflict: the chart with pid 1 was edited in OpenEMR since the last delivery [holds kept:1.")
    );
    assert_eq!(database.ask("SELECT email, city FROM patient_data"), ["edited@openemr|"]);
    let written = run(&database, &overwrite, &[next]).unwrap();
    assert_eq!(written.notes, ["wrote over an edit made in OpenEMR: patient P-1, pid 1, change 1"]);
    assert_eq!(database.ask("SELECT email, city FROM patient_data"), ["|Busan"]);
}

#[test]
fn without_an_edit_policy_hold_writes_and_logs_nothing() {
    let database = Database::open();
    let hold = Context { on_remote_edit: RemoteEdit::Hold, ..context(&database) };
    let first = receipts(&database, &hold, &[change("P-1", "{}")]);
    database.change("UPDATE patient_data SET suffix = '', race = '|Asian', phone_contact = 'theirs'");
    let next = linked(change("P-1", r#"{"city": "Busan"}"#), &first[0]);
    let written = run(&database, &hold, &[next]).unwrap();
    assert!(written.notes.is_empty());
    assert_eq!(database.ask("SELECT city FROM patient_data"), ["Busan"]);
}

#[test]
fn an_invalid_change_fails_alone() {
    let database = Database::open();
    let context = context(&database);
    let long = format!(r#"{{"family_name": "{}"}}"#, "x".repeat(300));
    let batch = [
        change("P-1", "{}"),
        change("P-2", &long),
        change("P-3", r#"{"birth_date": "1980-02-31"}"#),
        change("P-4", r#"{"race": "martian"}"#),
        Change { aggregate_type: "radiology".into(), ..change("P-5", "{}") },
        Change { payload: "{".into(), ..change("P-6", "{}") },
        change("P-1", "{}"),
        change("P-7", "{}"),
    ];
    let outcomes = run(&database, &context, &batch).unwrap().outcomes;
    assert_eq!(
        refusal(&outcomes[1]),
        "Invalid: payload is not a patient: family_name: is too long: 300 characters, at most 255"
    );
    assert!(refusal(&outcomes[2]).contains("birth_date: is not a date of the calendar"));
    assert!(matches!(outcomes[3], Outcome::Applied(_)), "an optional field costs no patient");
    assert!(refusal(&outcomes[4]).starts_with("Unsupported: "));
    assert!(refusal(&outcomes[5]).starts_with("Invalid: payload"));
    assert_eq!(refusal(&outcomes[6]), "Transient: this patient comes twice in one batch");
    assert_eq!(database.ask("SELECT pubpid, pid FROM patient_data ORDER BY pid"), ["P-1|1", "P-4|2", "P-7|3"]);
    assert_eq!(database.ask("SELECT COUNT(*) FROM uuid_registry"), ["3"]);
}

#[test]
fn a_refusal_by_the_database_fails_the_batch_and_names_the_column() {
    let database = Database::open();
    let mut schema = Schema::from_state(&context(&database).state).unwrap();
    schema.patient.get_mut("street").unwrap().characters_max = None;
    schema.form = None;
    // Both lines then share one column.
    schema.patient.remove("street_line_2");
    let blind = Context { state: schema.to_state(), learned: Vec::new(), on_remote_edit: RemoteEdit::Overwrite };
    let long = format!(r#"{{"street": "{}", "street_line_2": "3F"}}"#, "x".repeat(255));
    let failure = run(&database, &blind, &[change("P-1", "{}"), change("P-2", &long)]).unwrap_err();
    assert!(described(&failure).starts_with("Invalid: insert into patient_data"), "{}", failure.message);
    assert!(failure.message.contains("street"));
}

#[test]
fn a_deletion_is_refused_or_ignored_by_setting() {
    let database = Database::open();
    let context = context(&database);
    let first = receipts(&database, &context, &[change("P-1", "{}")]);
    let delete = |change: Change| Change { operation: Operation::Delete, payload: "{}".into(), ..change };
    let linked = delete(linked(change("P-1", "{}"), &first[0]));
    let unlinked = delete(change("P-1", "{}"));
    let never_there = delete(change("P-2", "{}"));
    let outcomes = run(&database, &context, std::slice::from_ref(&linked)).unwrap().outcomes;
    assert!(refusal(&outcomes[0]).starts_with("Unsupported: OpenEMR keeps charts"));
    let keep = Settings { on_delete: OnDelete::Keep, ..Settings::default() };
    for (change, remote_id) in [(linked, "1"), (unlinked, "1"), (never_there, "")] {
        let applied = apply(&database, &keep, &context, &[change]).unwrap();
        assert_eq!(receipt(applied.outcomes.into_iter().next().unwrap()).remote_id, remote_id);
    }
    assert_eq!(database.ask("SELECT COUNT(*) FROM patient_data"), ["1"]);
}

#[test]
fn without_a_state_apply_reads_the_schema_itself() {
    let database = Database::open();
    let known = context(&database);
    database.said();
    let nothing = Context { state: Vec::new(), ..known.clone() };
    receipts(&database, &nothing, &[change("P-1", "{}")]);
    assert!(database.said().iter().any(|sql| sql.contains("pragma_table_info")));
    receipts(&database, &known, &[change("P-2", "{}")]);
    assert!(!database.said().iter().any(|sql| sql.contains("pragma_table_info")));
    assert_eq!(database.ask("SELECT lname, race, language FROM patient_data ORDER BY pid"), ["Kim|Asian|korean"; 2]);
}

#[test]
fn an_empty_batch_runs_no_statement() {
    let database = Database::open();
    let context = context(&database);
    database.said();
    assert!(run(&database, &context, &[]).unwrap().outcomes.is_empty());
    assert!(database.said().is_empty());
}
