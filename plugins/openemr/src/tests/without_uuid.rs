//! OpenEMR 5.x, where `pubpid` is the key.

use super::*;
use crate::settings::PublicId;

#[test]
fn the_check_names_the_key_that_identifies_charts() {
    let database = Database::open_without_uuid();
    let report = check::check(&database, &Settings::default()).unwrap();
    let text: Vec<String> = report.findings.into_iter().map(|finding| finding.message).collect();
    assert!(text.iter().any(|message| message.contains("charts are found by `pubpid`")), "{text:?}");
    assert!(text.iter().any(|message| message.contains("no option `UNK`")), "{text:?}");
}

#[test]
fn a_patient_is_created_once_found_again_and_updated() {
    let database = Database::open_without_uuid();
    let context = context(&database);
    let first = receipts(&database, &context, &[change("P-1", r#"{"gender": "unknown"}"#)]);
    assert_eq!(database.locks(), 1);
    let again = receipts(&database, &context, &[change("P-1", r#"{"gender": "unknown"}"#)]);
    assert_eq!(first[0].remote_id, again[0].remote_id);
    let next = linked(change("P-1", r#"{"city": "Busan"}"#), &first[0]);
    receipts(&database, &context, &[next]);
    assert_eq!(database.ask("SELECT pid, pubpid, city, sex FROM patient_data"), ["1|P-1|Busan|Male"]);
}

#[test]
fn the_public_id_is_compared_byte_by_byte() {
    let database = Database::open_without_uuid();
    let context = context(&database);
    database.change("INSERT INTO patient_data (pid, pubpid) VALUES (1, 'p-1'), (2, 'P-1 ')");
    let receipts = receipts(&database, &context, &[change("P-1", "{}")]);
    assert_eq!(receipts[0].remote_id, "3");
}

/// A chart of another person, with OpenEMR's own public id or another.
fn stranger(database: &Database, pid: i64, pubpid: &str) {
    database.change(&format!(
        "INSERT INTO patient_data (pid, pubpid, fname, lname, DOB) VALUES ({pid}, '{pubpid}', 'Stranger', 'Danger', '1950-12-01')"
    ));
}

/// The link that the host stores after `--keep local` for an existing chart, or after `--keep relink`.
fn by_word(change: Change, pid: &str) -> Change {
    linked(change, &Receipt { remote_id: pid.to_owned(), remote_version: None, fingerprint: None })
}

#[test]
fn another_persons_chart_with_our_public_id_is_a_conflict_and_unchanged() {
    let database = Database::open_without_uuid();
    let context = context(&database);
    stranger(&database, 200, "200");
    let outcomes = run(&database, &context, &[change("200", "{}"), change("P-2", "{}")]).unwrap().outcomes;
    assert!(refusal(&outcomes[0]).starts_with("Conflict: the chart with pid 200 carries this patient's id"));
    assert_eq!(receipt(outcomes.into_iter().nth(1).unwrap()).remote_id, "201");
    // An operator's typing error has no effect: a matching public id proves nothing if OpenEMR filled it in.
    let by_word = by_word(change("200", "{}"), "200");
    let outcomes = run(&database, &context, std::slice::from_ref(&by_word)).unwrap().outcomes;
    assert!(refusal(&outcomes[0]).contains("another name or birth date"), "{:?}", outcomes[0]);
    database.change("UPDATE patient_data SET fname = 'MinJun', lname = 'Kim', DOB = '1980-01-31' WHERE pid = 200");
    assert_eq!(receipts(&database, &context, &[by_word])[0].remote_id, "200", "corrected in OpenEMR");
}

#[test]
fn a_deletion_that_counts_as_delivered_is_not_linked_to_another_persons_chart() {
    let database = Database::open_without_uuid();
    let context = context(&database);
    stranger(&database, 200, "200");
    let keep = Settings { on_delete: crate::settings::OnDelete::Keep, ..Settings::default() };
    let deletion = Change { operation: Operation::Delete, payload: "{}".into(), ..change("200", "{}") };
    let outcomes = apply(&database, &keep, &context, &[deletion]).unwrap().outcomes;
    assert_eq!(receipt(outcomes.into_iter().next().unwrap()).remote_id, "");
}

#[test]
fn among_charts_with_our_public_id_the_one_with_the_patients_name_is_the_patients() {
    let database = Database::open_without_uuid();
    let context = context(&database);
    let first = receipts(&database, &context, &[change("200", "{}")]);
    stranger(&database, 200, "200");
    let again = receipts(&database, &context, &[change("200", "{}")]);
    assert_eq!(again[0].remote_id, first[0].remote_id);
    database.change("INSERT INTO patient_data (pid, pubpid, fname, lname, DOB) SELECT 300, pubpid, fname, lname, DOB FROM patient_data WHERE pid = 1");
    let outcomes = run(&database, &context, &[change("200", "{}")]).unwrap().outcomes;
    assert_eq!(refusal(&outcomes[0]), "Conflict: 2 charts carry this patient's public id, name and birth date");
}

#[test]
fn a_chart_with_an_edited_public_id_is_a_conflict_without_a_second_chart() {
    let database = Database::open_without_uuid();
    let context = context(&database);
    let first = receipts(&database, &context, &[change("P-1", "{}")]);
    database.change("UPDATE patient_data SET pubpid = 'edited'");
    let next = linked(change("P-1", r#"{"city": "Busan"}"#), &first[0]);
    let outcomes = run(&database, &context, &[next]).unwrap().outcomes;
    let refused = refusal(&outcomes[0]);
    assert!(refused.starts_with("Conflict: the chart with pid 1 no longer carries our public id"), "{refused}");
    assert!(refused.contains(" [holds kept:"), "so that `--keep local` keeps the link");
    let kept = receipts(&database, &context, &[by_word(change("P-1", r#"{"city": "Busan"}"#), "1")]);
    assert!(kept[0].remote_version.as_deref().is_some_and(|version| version.starts_with("pubpid:")));
    let later = receipts(&database, &context, &[linked(change("P-1", r#"{"city": "Jeju"}"#), &kept[0])]);
    assert_eq!(later[0].remote_version, kept[0].remote_version);
    assert_eq!(database.ask("SELECT pid, pubpid, city FROM patient_data"), ["1|edited|Jeju"]);
}

#[test]
fn a_pid_reused_for_another_person_is_a_conflict_even_if_an_operator_named_it() {
    let database = Database::open_without_uuid();
    let context = context(&database);
    let first = receipts(&database, &context, &[change("P-1", "{}")]);
    database.change("DELETE FROM patient_data");
    stranger(&database, 1, "1");
    for link in [linked(change("P-1", "{}"), &first[0]), by_word(change("P-1", "{}"), "1")] {
        let outcomes = run(&database, &context, &[link]).unwrap().outcomes;
        assert!(refusal(&outcomes[0]).contains("no longer carries our public id (pubpid), and has another name"));
    }
    assert_eq!(database.ask("SELECT fname FROM patient_data"), ["Stranger"]);
    database.change("DELETE FROM patient_data");
    let outcomes = run(&database, &context, &[linked(change("P-1", "{}"), &first[0])]).unwrap().outcomes;
    assert!(refusal(&outcomes[0]).starts_with("Conflict: the chart with pid 1 was deleted"));
}

#[test]
fn a_pid_reused_with_its_public_id_is_a_conflict_but_a_renamed_patient_is_not() {
    let database = Database::open_without_uuid();
    let context = context(&database);
    let first = receipts(&database, &context, &[change("1", "{}")]);
    assert_eq!(first[0].remote_id, "1", "patient 1 has pid 1 by chance");
    let renamed = receipts(&database, &context, &[linked(change("1", r#"{"family_name": "Lee"}"#), &first[0])]);
    database.change("DELETE FROM patient_data");
    stranger(&database, 1, "1");
    let outcomes = run(&database, &context, &[linked(change("1", "{}"), &renamed[0])]).unwrap().outcomes;
    assert!(refusal(&outcomes[0]).contains("or is another person's that got this number again"));
}

#[test]
fn charts_linked_before_an_upgrade_added_uuids_stay_linked() {
    let database = Database::open_without_uuid();
    let before = context(&database);
    let first = receipts(&database, &before, &[change("P-1", "{}"), change("P-2", "{}"), change("P-3", "{}")]);
    // OpenEMR's upgrade assigned new uuids. Meanwhile one chart was given to another person, and one was deleted.
    database.change(
        "ALTER TABLE patient_data ADD COLUMN uuid BLOB; UPDATE patient_data SET uuid = randomblob(16); \
         CREATE UNIQUE INDEX uuid ON patient_data (uuid); \
         CREATE TABLE uuid_registry (uuid BLOB PRIMARY KEY, table_name TEXT, created TEXT); \
         UPDATE patient_data SET pubpid = 'X', fname = 'Stranger' WHERE pid = 2; DELETE FROM patient_data WHERE pid = 3",
    );
    let after = context(&database);
    let next =
        |place: usize, id: &str, city: &str| linked(change(id, &format!(r#"{{"city": "{city}"}}"#)), &first[place]);
    let outcomes = run(&database, &after, &[next(0, "P-1", "Busan"), next(1, "P-2", "Busan"), next(2, "P-3", "Busan")])
        .unwrap()
        .outcomes;
    for refused in &outcomes[1..] {
        assert!(refusal(refused).starts_with("Conflict: the chart with pid"), "{refused:?}");
    }
    let kept = receipt(outcomes.into_iter().next().unwrap());
    assert_eq!(kept.remote_id, first[0].remote_id);
    assert!(kept.remote_version.as_deref().is_some_and(|version| version.starts_with("uuid:")), "{kept:?}");
    receipts(&database, &after, &[linked(change("P-1", r#"{"city": "Jeju"}"#), &kept)]);
    assert_eq!(database.ask("SELECT pid, pubpid, city FROM patient_data ORDER BY pid"), ["1|P-1|Jeju", "2|X|"]);
}

#[test]
fn the_pid_as_public_id_is_refused_without_uuids() {
    let database = Database::open_without_uuid();
    let settings = Settings { pubpid: PublicId::Pid, ..Settings::default() };
    let failure = check::check(&database, &settings).unwrap_err();
    assert!(described(&failure).starts_with("Misconfigured: "));
}
