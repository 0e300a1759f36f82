//! The results of `check` for different databases.

use adapter_sdk::FindingLevel;

use super::*;

fn messages(database: &Database) -> Vec<String> {
    let report = check::check(database, &Settings::default()).unwrap();
    report.findings.into_iter().map(|finding| format!("{:?} {}", finding.level, finding.message)).collect()
}

#[test]
fn a_complete_openemr_passes_without_warning() {
    let database = Database::open();
    let report = check::check(&database, &Settings::default()).unwrap();
    assert_eq!(report.summary, "OpenEMR 8.2.0 (database version 541)");
    // OpenEMR's default installation has limits that a hospital should know.
    let warned: Vec<&str> = report
        .findings
        .iter()
        .filter(|finding| !matches!(finding.level, FindingLevel::Ok))
        .map(|finding| finding.message.as_str())
        .collect();
    assert!(
        warned[0].starts_with("OpenEMR's form takes few characters in `ss` 11 (longer: left empty);"),
        "{warned:?}"
    );
    assert!(warned[1].contains("`state` (list `state`, 52 options; others: written all the same)"), "{warned:?}");
    assert_eq!(warned.len(), 2, "{warned:?}");
    assert!(!report.state.is_empty());
}

#[test]
fn a_database_without_openemr_is_misconfigured() {
    let failure = check::check(&Database::empty(), &Settings::default()).unwrap_err();
    assert_eq!(described(&failure), "Misconfigured: not a usable OpenEMR database: missing patient_data");
}

#[test]
fn a_missing_column_of_the_minimum_is_named() {
    let database = Database::open();
    database.change("ALTER TABLE patient_data RENAME COLUMN sex TO gender");
    let failure = check::check(&database, &Settings::default()).unwrap_err();
    assert!(described(&failure).starts_with("Misconfigured: "));
    assert!(failure.message.ends_with("missing patient_data.sex"));
    let nothing = Context { state: Vec::new(), learned: Vec::new(), on_remote_edit: RemoteEdit::Overwrite };
    assert_eq!(described(&run(&database, &nothing, &[change("P-1", "{}")]).unwrap_err()), described(&failure));
}

#[test]
fn a_missing_registry_is_misconfigured() {
    let database = Database::open();
    database.change("DROP TABLE uuid_registry");
    let failure = check::check(&database, &Settings::default()).unwrap_err();
    assert!(failure.message.ends_with("missing uuid_registry"));
}

#[test]
fn a_missing_optional_column_is_a_warning_and_delivery_continues() {
    let database = Database::open();
    database.change("ALTER TABLE patient_data RENAME COLUMN suffix TO suffix_of_name");
    assert!(messages(&database)[0].contains("patient_data has no column for: suffix"));
    receipts(&database, &context(&database), &[change("P-1", r#"{"suffix": "Jr."}"#)]);
    assert_eq!(database.ask("SELECT suffix_of_name FROM patient_data"), ["NULL"]);
}

#[test]
fn a_state_older_than_a_dropped_column_fails_as_misconfigured() {
    let database = Database::open();
    let context = context(&database);
    database.change("ALTER TABLE patient_data RENAME COLUMN email TO mail");
    let failure = run(&database, &context, &[change("P-1", "{}")]).unwrap_err();
    assert!(described(&failure).starts_with("Misconfigured: read patient_data"), "{}", failure.message);
}

#[test]
fn missing_layout_or_lists_are_reported_and_delivery_continues() {
    let database = Database::open();
    database.change("DROP TABLE layout_options; DROP TABLE list_options");
    assert!(messages(&database).iter().any(|message| message.contains("(layout_options) could not be read")));
    let receipts = receipts(&database, &context(&database), &[change("P-1", r#"{"national_id": "800229-1234567"}"#)]);
    assert_eq!(receipts.len(), 1);
    assert_eq!(database.ask("SELECT ss FROM patient_data"), ["800229-1234567"]);
}

#[test]
fn every_kind_of_statement_is_tried_without_effect() {
    let database = Database::open();
    database.change("INSERT INTO patient_data (pid, pubpid, fname) VALUES (41, '41', 'theirs')");
    database.said();
    let settings = Settings { user_id: Some(7), ..Settings::default() };
    let _ = check::check(&database, &settings).unwrap();
    let said = database.said();
    for kind in [
        "SELECT `uuid`, `pid`",
        "SELECT `uuid` FROM `uuid_registry`",
        "INSERT INTO `patient_data`",
        "UPDATE `patient_data`",
        "INSERT INTO `uuid_registry`",
    ] {
        assert!(said.iter().any(|sql| sql.starts_with(kind)), "{kind}");
    }
    assert_eq!(database.ask("SELECT pid, fname FROM patient_data"), ["41|theirs"]);
    assert_eq!(database.ask("SELECT COUNT(*) FROM uuid_registry"), ["0"]);
}

#[test]
fn a_table_without_privileges_is_misconfigured_before_any_patient_fails() {
    for (refused, doing) in [
        ("UPDATE `patient_data`", "update patient_data"),
        ("INSERT INTO `patient_data`", "insert into patient_data"),
        ("INSERT INTO `uuid_registry`", "insert into uuid_registry"),
        ("SELECT `uuid` FROM `uuid_registry`", "read uuid_registry"),
        ("SELECT `uuid`, `pid`", "read and lock patient_data"),
    ] {
        let database = Database::open();
        database.refuse(refused);
        let failure = check::check(&database, &Settings::default()).unwrap_err();
        assert!(described(&failure).starts_with(&format!("Misconfigured: {doing} (needed")), "{}", described(&failure));
    }
}

#[test]
fn exhausted_pids_are_a_problem_and_large_ones_a_warning() {
    let database = Database::open();
    database.change("INSERT INTO patient_data (pid, pubpid) VALUES (3000000000, 'large')");
    assert!(
        messages(&database).iter().any(|it| it.contains("Warning the highest pid is 3000000000")),
        "{:?}",
        messages(&database)
    );
    assert!(messages(&database).iter().any(|it| it.contains("`pubpid` has no index")));
    database.change("CREATE INDEX pubpid ON patient_data (pubpid)");
    assert!(!messages(&database).iter().any(|it| it.contains("`pubpid` has no index")));
    database.change("INSERT INTO patient_data (pid, pubpid) VALUES (9223372036854775806, 'largest')");
    assert!(messages(&database).iter().any(|it| it.contains("Problem the highest pid is 9223372036854775806")));
}

#[test]
fn a_setting_for_an_unknown_column_is_misconfigured() {
    use crate::unfit::Unfit;
    for (column, policy, expected) in [
        ("sss", Unfit::Write, "no column that this adapter writes"),
        ("lname", Unfit::LeaveEmpty, "a chart has no owner"),
    ] {
        let settings = Settings { unfit: [(column.to_owned(), policy)].into(), ..Settings::default() };
        let failure = check::check(&Database::open(), &settings).unwrap_err();
        assert!(described(&failure).starts_with("Misconfigured: ") && failure.message.contains(expected));
    }
}
