//! What `check` says of different databases.

use adapter_sdk::FindingLevel;

use super::*;

fn messages(database: &Database) -> Vec<String> {
    let report = check::check(database, &Settings::default()).unwrap();
    report.findings.into_iter().map(|finding| format!("{:?} {}", finding.level, finding.message)).collect()
}

#[test]
fn a_complete_openemr_is_named_and_without_warning() {
    let database = Database::open();
    let report = check::check(&database, &Settings::default()).unwrap();
    assert_eq!(report.summary, "OpenEMR 8.2.0 (database version 541)");
    assert!(
        report.findings.iter().all(|finding| matches!(finding.level, FindingLevel::Ok)),
        "{:?}",
        messages(&database)
    );
    assert!(!report.state.is_empty());
}

#[test]
fn a_database_without_openemr_is_misconfigured() {
    let failure = check::check(&Database::empty(), &Settings::default()).unwrap_err();
    assert_eq!(described(&failure), "Misconfigured: this is no OpenEMR that can be delivered to: missing patient_data");
}

#[test]
fn a_missing_column_of_the_minimum_is_named() {
    let database = Database::open();
    database.change("ALTER TABLE patient_data RENAME COLUMN sex TO gender");
    let failure = check::check(&database, &Settings::default()).unwrap_err();
    assert!(described(&failure).starts_with("Misconfigured: "));
    assert!(failure.message.ends_with("missing patient_data.sex"));
    let nothing = Context { state: Vec::new(), on_remote_edit: RemoteEdit::Overwrite };
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
fn an_optional_column_that_is_missing_is_a_warning_and_delivery_goes_on() {
    let database = Database::open();
    database.change("ALTER TABLE patient_data RENAME COLUMN suffix TO suffix_of_name");
    assert!(messages(&database)[0].contains("patient_data has no column for: suffix"));
    receipts(&database, &context(&database), &[change("P-1", r#"{"suffix": "Jr."}"#)]);
    assert_eq!(database.ask("SELECT suffix_of_name FROM patient_data"), ["NULL"]);
}

#[test]
fn a_state_from_before_a_column_went_away_fails_as_misconfigured() {
    let database = Database::open();
    let context = context(&database);
    database.change("ALTER TABLE patient_data RENAME COLUMN email TO mail");
    let failure = run(&database, &context, &[change("P-1", "{}")]).unwrap_err();
    assert!(described(&failure).starts_with("Misconfigured: read patient_data"), "{}", failure.message);
}
