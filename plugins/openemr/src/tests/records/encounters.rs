//! `form_encounter`, its row in `forms`, and the numbers of `sequences`.

use super::*;

fn encounter(id: &str, fields: &Value) -> Change {
    let payload = json!({
        "status": "finished", "class": "AMB", "reason_code": {"display": "Cough"},
        "period": {"start": "2025-03-01T09:30:00+09:00", "end": "2025-03-01T09:50:00+09:00"},
    });
    record("encounter", id, &with(payload, fields))
}

pub(super) fn case() -> Case {
    Case {
        create: encounter("E-1", &json!({"status": "in-progress", "type": {"display": "Check-up"}})),
        update: encounter("E-1", &json!({"class": "EMER", "provider": "Dr. Lee", "location": "Room 3"})),
        read: "SELECT e.encounter, e.date, date_end, replace(reason, char(10), '/'), class_code, f.encounter, f.form_name, \
               f.deleted, f.pid FROM form_encounter e JOIN forms f ON f.form_id = e.id AND f.formdir = 'newpatient' \
               ORDER BY e.encounter",
        created: "2|2025-03-01 09:30:00|2025-03-01 09:50:00|Cough/Type: Check-up|AMB|2|New Patient Encounter|0|7",
        updated: "2|2025-03-01 09:30:00|2025-03-01 09:50:00|Cough/Provider: Dr. Lee/Location: Room 3|EMER|2|\
                  New Patient Encounter|0|7",
        hidden: "EXISTS (SELECT id FROM forms WHERE forms.form_id = form_encounter.id AND forms.deleted = 1)",
        table: "form_encounter",
        edit: "UPDATE form_encounter SET reason = 'edited'",
    }
}

#[test]
fn an_encounter_number_comes_from_the_sequences_table_and_is_registered() {
    let database = Database::open();
    let context = context(&database);
    database.change("UPDATE sequences SET id = 40");
    let batch: Vec<Change> = (0..3).map(|at| encounter(&format!("E-{at}"), &json!({}))).collect();
    let numbers: Vec<String> = receipts(&database, &context, &batch).into_iter().map(|it| it.remote_id).collect();
    assert_eq!(numbers, ["41", "42", "43"]);
    assert_eq!(database.ask("SELECT id FROM sequences"), ["43"]);
    let registered = "SELECT COUNT(*) FROM uuid_registry r JOIN form_encounter e ON e.uuid = r.uuid \
                      WHERE r.table_name = 'form_encounter' AND r.table_id = 'id'";
    assert_eq!(database.ask(registered), ["3"]);
    let written = "SELECT sensitivity, pc_catid, provider_id, facility_id FROM form_encounter LIMIT 1";
    assert_eq!(database.ask(written), ["normal|5|0|0"]);
    assert_eq!(
        database.ask("SELECT date, groupname, authorized FROM forms LIMIT 1"),
        ["2025-03-01 09:30:00|Default|1"]
    );
}

#[test]
fn settings_decide_user_provider_facility_and_time_zone() {
    let database = Database::open();
    let context = context(&database);
    let settings: Settings = serde_json::from_str(
        r#"{"user_name": "admin", "provider_id": 3, "facility_id": 4, "encounter_category": 9, "utc_offset": "+00:00"}"#,
    )
    .unwrap();
    apply(&database, &settings, &context, &[encounter("E-1", &json!({}))]).unwrap();
    let written = "SELECT e.date, e.provider_id, e.facility_id, e.billing_facility, e.pc_catid, f.user FROM form_encounter e, forms f";
    assert_eq!(database.ask(written), ["2025-03-01 00:30:00|3|4|4|9|admin"]);
}

#[test]
fn a_planned_encounter_is_skipped_and_a_cancelled_one_is_hidden() {
    let database = Database::open();
    let context = context(&database);
    let planned = encounter("E-1", &json!({"status": "planned"}));
    assert!(skipped(&database, &context, planned).starts_with("a planned encounter"));
    assert_eq!(database.ask("SELECT COUNT(*) FROM form_encounter"), ["0"]);
    one(&database, &context, encounter("E-1", &json!({"status": "cancelled"})));
    assert_eq!(database.ask("SELECT deleted FROM forms"), ["1"]);
}

#[test]
fn a_missing_row_in_forms_is_created_again() {
    let database = Database::open();
    let context = context(&database);
    let first = one(&database, &context, encounter("E-1", &json!({})));
    database.change("DELETE FROM forms");
    one(&database, &context, linked(encounter("E-1", &json!({})), &first));
    assert_eq!(database.ask("SELECT encounter, formdir, deleted FROM forms"), ["2|newpatient|0"]);
}

#[test]
fn an_encounter_deleted_by_openemr_users_is_an_edit() {
    let database = Database::open();
    let context = context(&database);
    let first = one(&database, &context, encounter("E-1", &json!({})));
    database.change("UPDATE forms SET deleted = 1");
    assert_eq!(observed(&database, &context, &encounter("E-1", &json!({})), &first), "edited");
    let next = linked(encounter("E-1", &json!({"class": "EMER"})), &first);
    assert!(refusal(&outcome(&database, &hold(&context), next)).contains("the encounter with id 2 was edited"));
}

#[test]
fn encounters_are_skipped_without_a_valid_sequences_row() {
    let database = Database::open();
    database.change("DELETE FROM sequences");
    let context = context(&database);
    let reason = skipped(&database, &context, encounter("E-1", &json!({})));
    assert_eq!(reason, "the table `sequences` has 0 rows, OpenEMR keeps one there");
}
