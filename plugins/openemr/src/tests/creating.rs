//! Creation, alone and beside other writers.

use uuid::Uuid;

use super::*;
use crate::identity;
use crate::settings::{NameScript, PublicId};

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
fn a_lost_answer_is_answered_again_without_a_second_chart() {
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
fn the_lock_is_taken_for_creations_only() {
    let database = Database::open();
    let context = context(&database);
    let first = receipts(&database, &context, &[change("P-1", "{}"), change("P-2", "{}")]);
    assert_eq!(database.locks(), 1);
    receipts(&database, &context, &[linked(change("P-1", r#"{"city": "Busan"}"#), &first[0])]);
    assert_eq!(database.locks(), 1);
}

#[test]
fn a_pid_that_another_writer_took_is_passed_over() {
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
fn a_patient_that_another_host_created_meanwhile_is_adopted_and_brought_up_to_date() {
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
fn a_writer_that_is_always_faster_is_outrun() {
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
fn a_table_that_refuses_every_pid_puts_the_batch_off() {
    let database = Database::open();
    let context = context(&database);
    database.change("CREATE UNIQUE INDEX one_city ON patient_data (city)");
    database.change("INSERT INTO patient_data (pid, city) VALUES (1, '')");
    let failure = run(&database, &context, &[change("P-1", "{}")]).unwrap_err();
    assert!(described(&failure).starts_with("Transient: insert into patient_data: refused 20 times"));
}
