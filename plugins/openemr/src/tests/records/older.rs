//! Tables without uuids, where our marker is the key.

use super::*;

#[test]
fn every_record_is_created_once_updated_hidden_and_revived_by_its_marker() {
    for case in cases() {
        live(&Database::open_without_uuid(), &case);
    }
}

#[test]
fn a_record_is_created_under_the_lock_with_its_marker() {
    for (case, marker) in [
        (encounters::case(), "external_id"),
        (issues::condition(), "external_id"),
        (vital_signs::case(), "external_id"),
        (appointments::case(), "pc_website"),
    ] {
        let database = Database::open_without_uuid();
        let context = context(&database);
        one(&database, &context, case.create.clone());
        assert_eq!(database.locks(), 1, "{}", case.table);
        assert_eq!(database.ask(&format!("SELECT length({marker}) FROM {}", case.table)), ["20"]);
        // Its deletion does not contain the patient.
        one(&database, &context, delete(case.create));
        assert_eq!(database.ask(&format!("SELECT COUNT(*) FROM {} WHERE {}", case.table, case.hidden)), ["1"]);
    }
}

#[test]
fn after_an_upgrade_a_linked_record_is_recognised_by_its_marker() {
    for case in cases() {
        let database = Database::open_without_uuid();
        let before = context(&database);
        let first = one(&database, &before, case.create.clone());
        database.change(&format!(
            "ALTER TABLE {table} ADD COLUMN uuid BLOB; UPDATE {table} SET uuid = x'00112233445566778899aabbccddeeff'",
            table = case.table
        ));
        let after = context(&database);
        one(&database, &after, linked(case.update.clone(), &first));
        assert_eq!(database.ask(case.read), [case.updated]);
        assert_eq!(database.ask(&format!("SELECT COUNT(*) FROM {}", case.table)), ["1"]);
    }
}

#[test]
fn older_tables_get_dates_without_time_and_two_decimals() {
    let database = Database::open();
    let mut schema = crate::schema::Schema::from_state(&context(&database).state).unwrap();
    for column in schema.records.get_mut("form_vitals").unwrap().values_mut() {
        column.decimals = column.decimals.map(|_| 2);
    }
    let older = Context { state: schema.to_state(), ..context(&database) };
    let payload = json!({
        "status": "final", "category": "vital-signs", "effective": "2025-03-01T09:35:00+09:00",
        "code": {"system": "http://loinc.org", "code": "29463-7", "display": "Weight"},
        "value_quantity": {"value": 70, "unit": "kg"},
    });
    let change = within("12", record("observation", "O-1", &payload));
    let first = one(&database, &older, change.clone());
    assert_eq!(database.ask("SELECT weight FROM form_vitals"), ["154.32"]);
    assert_eq!(observed(&database, &older, &change, &first), "as written");
}

#[test]
fn several_rows_with_one_marker_are_a_conflict() {
    let database = Database::open_without_uuid();
    let context = context(&database);
    let case = issues::condition();
    one(&database, &context, case.create.clone());
    database
        .change("INSERT INTO lists (type, pid, external_id, title) SELECT type, pid, external_id, 'copy' FROM lists");
    let refused = refusal(&outcome(&database, &context, case.create));
    assert_eq!(refused, "Conflict: several rows carry this record's key: 1, 2");
}
