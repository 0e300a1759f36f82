//! Creation, with and without concurrent writers.

use uuid::Uuid;

use super::*;
use crate::identity;
use crate::settings::{NameScript, PublicId, SamePatient};

/// The uuid of a patient as SQL's hexadecimal literal.
fn uuid_literal(patient_id: &str) -> String {
    let uuid = identity::patient_uuid(&identity::namespace("urn:neuronova:patient-id"), patient_id);
    format!("X'{}'", Uuid::from_bytes(uuid).simple())
}

#[test]
fn a_new_patient_gets_the_next_pid_a_registered_uuid_and_all_columns() {
    let database = Database::open();
    database.change("INSERT INTO patient_data (pid, pubpid, fname) VALUES (41, '41', 'theirs')");
    let context = context(&database);
    let receipts = receipts(&database, &context, &[change("P-1", "{}"), change("P-2", "{}")]);
    assert_eq!(receipts.iter().map(|it| it.remote_id.as_str()).collect::<Vec<_>>(), ["42", "43"]);
    assert_eq!(
        database.ask(
            "SELECT p.pid, p.pubpid, p.fname, p.lname, p.DOB, p.sex, p.language, p.race, p.email, p.suffix, \
             p.date IS NOT NULL, p.date = p.regdate, r.table_name, r.table_id, r.mapped, r.created IS NOT NULL \
             FROM patient_data p JOIN uuid_registry r ON r.uuid = p.uuid ORDER BY p.pid"
        ),
        [
            "42|P-1|MinJun|Kim|1980-01-31|Male|korean|Asian||NULL|1|1|patient_data|id|0|1",
            "43|P-2|MinJun|Kim|1980-01-31|Male|korean|Asian||NULL|1|1|patient_data|id|0|1"
        ]
    );
    assert_eq!(database.ask(&format!("SELECT pid FROM patient_data WHERE uuid = {}", uuid_literal("P-2"))), ["43"]);
}

#[test]
fn settings_decide_names_public_id_and_user() {
    let database = Database::open();
    let settings =
        Settings { name_script: NameScript::Native, pubpid: PublicId::Pid, user_id: Some(7), ..Settings::default() };
    apply(&database, &settings, &context(&database), &[change("P-1", "{}")]).unwrap();
    assert_eq!(
        database.ask("SELECT lname, fname, pubpid, created_by, updated_by FROM patient_data"),
        ["김|민준|1|7|7"]
    );
}

#[test]
fn a_repeated_create_makes_no_second_chart() {
    let database = Database::open();
    let context = context(&database);
    let first = receipts(&database, &context, &[change("P-1", "{}")]);
    let again = receipts(&database, &context, &[change("P-1", "{}")]);
    assert_eq!(first[0].remote_id, again[0].remote_id);
    assert_eq!(first[0].fingerprint, again[0].fingerprint);
    assert_eq!(database.ask("SELECT COUNT(*) FROM patient_data"), ["1"]);
    assert_eq!(database.ask("SELECT COUNT(*) FROM uuid_registry"), ["1"]);
}

#[test]
fn only_creations_take_the_lock() {
    let database = Database::open();
    let context = context(&database);
    let first = receipts(&database, &context, &[change("P-1", "{}"), change("P-2", "{}")]);
    assert_eq!(database.locks(), 1);
    receipts(&database, &context, &[linked(change("P-1", r#"{"city": "Busan"}"#), &first[0])]);
    assert_eq!(database.locks(), 1);
}

#[test]
fn a_pid_taken_by_another_writer_is_skipped() {
    let database = Database::open();
    let context = context(&database);
    database.intrude("INSERT INTO patient_data (pid, pubpid) VALUES (2, 'theirs')");
    let receipts = receipts(&database, &context, &[change("P-1", "{}"), change("P-2", "{}"), change("P-3", "{}")]);
    assert_eq!(receipts.iter().map(|it| it.remote_id.as_str()).collect::<Vec<_>>(), ["3", "4", "5"]);
    assert_eq!(database.ask("SELECT pubpid FROM patient_data WHERE pid = 2"), ["theirs"]);
    assert_eq!(database.ask("SELECT COUNT(*) FROM uuid_registry"), ["3"]);
    assert_eq!(database.locks(), 1);
}

#[test]
fn a_chart_created_by_another_host_is_adopted_and_updated() {
    let database = Database::open();
    let context = context(&database);
    database.intrude(&format!(
        "INSERT INTO patient_data (pid, pubpid, uuid, lname) VALUES (9, 'P-2', {}, 'Old')",
        uuid_literal("P-2")
    ));
    let receipts = receipts(&database, &context, &[change("P-1", "{}"), change("P-2", "{}")]);
    assert_eq!(receipts.iter().map(|it| it.remote_id.as_str()).collect::<Vec<_>>(), ["10", "9"]);
    assert_eq!(database.ask("SELECT pid, lname FROM patient_data ORDER BY pid"), ["9|Kim", "10|Kim"]);
}

#[test]
fn a_uuid_that_is_registered_already_is_not_registered_twice() {
    let database = Database::open();
    let context = context(&database);
    database.change(&format!(
        "INSERT INTO uuid_registry (uuid, table_name) VALUES ({}, 'patient_data')",
        uuid_literal("P-1")
    ));
    receipts(&database, &context, &[change("P-1", "{}"), change("P-2", "{}")]);
    assert_eq!(database.ask("SELECT COUNT(*) FROM uuid_registry"), ["2"]);
}

#[test]
fn larger_pid_gaps_win_against_a_faster_writer() {
    let database = Database::open();
    let context = context(&database);
    for _ in 0..12 {
        database.intrude("INSERT INTO patient_data (pid) SELECT COALESCE(MAX(pid), 0) + 1 FROM patient_data");
    }
    let receipts = receipts(&database, &context, &[change("P-1", "{}")]);
    assert_eq!(database.ask("SELECT COUNT(*) FROM patient_data WHERE pubpid = 'P-1'"), ["1"]);
    assert!(receipts[0].remote_id.parse::<i64>().unwrap() > 1);
}

#[test]
fn too_many_lost_races_for_a_pid_defer_the_batch() {
    let database = Database::open();
    let context = context(&database);
    for _ in 0..20 {
        database.intrude(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 400) INSERT INTO patient_data (pid) \
             SELECT (SELECT COALESCE(MAX(pid), 0) FROM patient_data) + i FROM n",
        );
    }
    let failure = run(&database, &context, &[change("P-1", "{}")]).unwrap_err();
    assert!(described(&failure).starts_with("Transient: insert into patient_data: refused 20 times"));
}

#[test]
fn the_largest_pid_never_overflows() {
    let database = Database::open();
    database.change("INSERT INTO patient_data (pid, pubpid) VALUES (9223372036854775806, 'old')");
    let context = context(&database);
    let first = receipts(&database, &context, &[change("P-0", "{}")]);
    assert_eq!(first[0].remote_id, "9223372036854775807");
    let update = linked(change("P-0", r#"{"city": "Busan"}"#), &first[0]);
    let outcomes = run(&database, &context, &[change("P-1", "{}"), update, change("P-2", "{}")]).unwrap().outcomes;
    for refused in [&outcomes[0], &outcomes[2]] {
        assert!(refusal(refused).starts_with("Denied: OpenEMR has no number left"), "{}", refusal(refused));
    }
    assert!(matches!(outcomes[1], Outcome::Applied(_)), "charts that are there are written all the same");
    assert_eq!(database.ask("SELECT COUNT(*), MIN(pid) > 0 FROM patient_data"), ["2|1"]);
}

#[test]
fn a_violated_custom_unique_key_is_permanent() {
    let database = Database::open();
    database.change("CREATE UNIQUE INDEX one_mail ON patient_data (email); INSERT INTO patient_data (pid, email) VALUES (1, 'a@b.c')");
    let context = context(&database);
    let failure = run(&database, &context, &[change("P-1", r#"{"email": "a@b.c"}"#)]).unwrap_err();
    assert!(described(&failure).starts_with("Invalid: insert into patient_data"), "{}", described(&failure));
    let first = receipts(&database, &context, &[change("P-2", r#"{"email": "d@e.f"}"#)]);
    let update = linked(change("P-2", r#"{"email": "a@b.c"}"#), &first[0]);
    let failure = run(&database, &context, &[update]).unwrap_err();
    assert!(described(&failure).starts_with("Invalid: update patient_data"), "{}", described(&failure));
}

#[test]
fn a_chart_of_the_same_patient_by_others_is_a_conflict_without_a_second_chart() {
    let database = Database::open();
    database.change(
        "INSERT INTO patient_data (pid, pubpid, fname, lname, DOB, uuid) VALUES (5, 'P-1', 'minjun', 'KIM', '1980-01-31', \
         x'0102030405060708090A0B0C0D0E0F10'), (6, 'P-2', 'Other', 'Person', '1970-01-01', x'0202030405060708090A0B0C0D0E0F10')",
    );
    let context = context(&database);
    let batch = [change("P-1", "{}"), change("P-2", "{}"), change("P-3", "{}")];
    let applied = run(&database, &context, &batch).unwrap();
    assert!(refusal(&applied.outcomes[0]).starts_with("Conflict: the chart with pid 5 has this patient's id"));
    assert_eq!(
        applied.notes,
        [
            "created a separate chart for patient P-2 although pid 6, of another person, carries that id as its public id: \
          compare the two charts in OpenEMR"
        ]
    );
    assert_eq!(database.ask("SELECT pubpid, COUNT(*) FROM patient_data GROUP BY pubpid"), ["P-1|1", "P-2|2", "P-3|1"]);
    // The operator links the chart.
    let named = Receipt { remote_id: "5".into(), remote_version: None, fingerprint: None };
    let taken = receipts(&database, &context, &[linked(change("P-1", r#"{"city": "Busan"}"#), &named)]);
    assert_eq!(taken[0].remote_id, "5");
    let own = Settings { same_patient: SamePatient::Create, ..Settings::default() };
    database.change("UPDATE patient_data SET pubpid = 'P-4' WHERE pid = 5");
    let beside = apply(&database, &own, &context, &[change("P-4", "{}")]).unwrap();
    assert!(
        matches!(beside.outcomes[0], Outcome::Applied(_))
            && beside.notes[0].contains("with the same name and birth date")
    );
}

#[test]
fn values_that_openemrs_form_cannot_save_are_omitted_with_one_log_line() {
    let database = Database::open();
    let id = r#"{"national_id": "800229-1234567", "state": "Seoul", "race": "martian"}"#;
    let applied = run(&database, &context(&database), &[change("P-1", id), change("P-2", id)]).unwrap();
    assert_eq!(database.ask("SELECT ss, state, race FROM patient_data"), ["|Seoul|"; 2]);
    assert_eq!(applied.notes.len(), 2, "{:?}", applied.notes);
    assert!(
        applied.notes[0].starts_with("left `race` empty: `race`: OpenEMR's list `race`, `ethrace` has no such option"),
        "{:?}",
        applied.notes
    );
    assert!(applied.notes[1].starts_with("left `ss` empty: OpenEMR's form takes 11 characters"));
    assert!(applied.notes.iter().all(|note| note.ends_with("; patients P-1, P-2")));
}
