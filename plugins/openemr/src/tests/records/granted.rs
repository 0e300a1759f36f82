//! Results of `check` with missing tables or grants for clinical records; patients are still delivered.

use super::*;
use adapter_sdk::FindingLevel;

fn warnings(database: &Database) -> Vec<String> {
    let report = check::check(database, &Settings::default()).unwrap();
    let warning = |finding: &&adapter_sdk::Finding| matches!(finding.level, FindingLevel::Warning);
    report.findings.iter().filter(warning).map(|finding| finding.message.clone()).collect()
}

#[test]
fn the_check_lists_every_kind_when_all_can_be_written() {
    let report = check::check(&Database::open(), &Settings::default()).unwrap();
    let ok = "clinical records: encounter, condition, allergy, medication, observation, appointment";
    assert!(report.findings.iter().any(|it| it.message == ok && matches!(it.level, FindingLevel::Ok)));
}

#[test]
fn a_missing_table_skips_its_types_but_not_patients() {
    let database = Database::open();
    database.change("DROP TABLE lists_touch");
    let said = warnings(&database);
    let expected = "changes of type condition, allergy, medication are skipped: there is no lists_touch, or the database user may \
                    not see it";
    assert!(said.iter().any(|message| message == expected), "{said:?}");
    let context = context(&database);
    assert!(skipped(&database, &context, issues::condition().create).starts_with("there is no lists_touch"));
    one(&database, &context, encounters::case().create);
    one(&database, &context, change("P-1", "{}"));
}

#[test]
fn an_allow_list_without_record_tables_delivers_patients_and_names_the_missing_line() {
    for (refused, missing) in [
        ("INSERT INTO `lists`", r#"insert = ["lists"]"#),
        ("UPDATE `lists`", r#"update = ["lists"]"#),
        ("SELECT 1 FROM `issue_encounter`", r#"read = ["issue_encounter"]"#),
    ] {
        let database = Database::open();
        database.refuse(refused);
        let said = warnings(&database);
        let expected = format!(
            "changes of type condition, allergy, medication are skipped: not granted: add {missing} to [targets.NAME.database.allow]"
        );
        assert!(said.iter().any(|message| message.starts_with(&expected)), "{said:?}");
        let context = context(&database);
        assert!(skipped(&database, &context, issues::allergy().create).starts_with("not granted: add "));
        one(&database, &context, change("P-1", "{}"));
        let blind = Context { state: Vec::new(), ..context };
        assert!(skipped(&database, &blind, issues::allergy().create).starts_with("not granted: add "));
    }
}

#[test]
fn an_unfilled_required_column_skips_its_type() {
    let database = Database::open();
    database.change(
        "DROP TABLE form_vitals; CREATE TABLE form_vitals (id INTEGER PRIMARY KEY, uuid BLOB, date DATETIME, pid INTEGER, \
         custom TEXT NOT NULL)",
    );
    let reason = skipped(&database, &context(&database), vital_signs::case().create);
    assert!(reason.ends_with("form_vitals.custom"), "{reason}");
}

#[test]
fn test_statements_of_a_check_leave_nothing_behind() {
    let database = Database::open();
    let context = context(&database);
    for case in cases() {
        one(&database, &context, case.create);
    }
    let rows = || {
        let count = |table| database.ask(&format!("SELECT COUNT(*) FROM {table}"));
        (crate::records::kinds::TABLES.map(count), database.ask("SELECT id FROM sequences"))
    };
    let before = rows();
    warnings(&database);
    assert_eq!(rows(), before);
}
