//! OpenEMR 5.x, where `pubpid` is the key.

use super::*;
use crate::settings::PublicId;

#[test]
fn check_says_which_key_it_is() {
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

#[test]
fn two_charts_with_one_public_id_are_a_conflict() {
    let database = Database::open_without_uuid();
    let context = context(&database);
    database.change("INSERT INTO patient_data (pid, pubpid) VALUES (1, 'P-1'), (2, 'P-1')");
    let outcomes = run(&database, &context, &[change("P-1", "{}")]).unwrap().outcomes;
    assert_eq!(refusal(&outcomes[0]), "Conflict: 2 charts carry this patient's public id");
}

#[test]
fn a_linked_chart_whose_pid_was_given_to_another_is_a_conflict() {
    let database = Database::open_without_uuid();
    let context = context(&database);
    let first = receipts(&database, &context, &[change("P-1", "{}")]);
    database.change("DELETE FROM patient_data; INSERT INTO patient_data (pid, pubpid) VALUES (1, 'theirs')");
    let next = || linked(change("P-1", "{}"), &first[0]);
    let outcomes = run(&database, &context, &[next()]).unwrap().outcomes;
    assert_eq!(refusal(&outcomes[0]), "Conflict: the chart with pid 1 no longer carries our public id");
    database.change("DELETE FROM patient_data");
    let outcomes = run(&database, &context, &[next()]).unwrap().outcomes;
    assert!(refusal(&outcomes[0]).starts_with("Conflict: the chart with pid 1 was deleted"));
}

#[test]
fn the_pid_as_public_id_would_leave_no_key() {
    let database = Database::open_without_uuid();
    let settings = Settings { pubpid: PublicId::Pid, ..Settings::default() };
    let failure = check::check(&database, &settings).unwrap_err();
    assert!(described(&failure).starts_with("Misconfigured: "));
}
