//! `openemr_postcalendar_events`.

use super::*;

fn appointment(fields: &Value) -> Change {
    let payload = json!({
        "status": "booked", "service_type": {"display": "Follow-up"}, "start": "2025-03-01T09:30:00+09:00",
        "end": "2025-03-01T10:00:00+09:00",
    });
    record("appointment", "B-1", &with(payload, fields))
}

pub(super) fn case() -> Case {
    Case {
        create: appointment(&json!({"description": "Bring results", "comment": "By phone"})),
        update: appointment(&json!({"status": "arrived", "end": "2025-03-01T10:15:00+09:00"})),
        read: "SELECT pc_pid, pc_title, replace(pc_hometext, char(10), '/'), pc_eventDate, pc_startTime, pc_endTime, pc_duration, \
               pc_apptstatus, pc_catid, pc_multiple, pc_eventstatus, pc_sharing FROM openemr_postcalendar_events",
        created: "7|Follow-up|Bring results/By phone|2025-03-01|09:30:00|10:00:00|1800|-|5|0|1|1",
        updated: "7|Follow-up|NULL|2025-03-01|09:30:00|10:15:00|2700|@|5|0|1|1",
        hidden: "pc_apptstatus = 'x'",
        table: "openemr_postcalendar_events",
        edit: "UPDATE openemr_postcalendar_events SET pc_startTime = '11:00:00'",
    }
}

#[test]
fn an_appointment_is_registered_under_its_own_key() {
    let database = Database::open();
    let context = context(&database);
    one(&database, &context, case().create);
    let registered =
        "SELECT r.table_name, r.table_id FROM uuid_registry r, openemr_postcalendar_events e WHERE r.uuid = e.uuid";
    assert_eq!(database.ask(registered), ["openemr_postcalendar_events|pc_eid"]);
}

#[test]
fn an_appointment_over_midnight_is_skipped() {
    let database = Database::open();
    let context = context(&database);
    let night = appointment(&json!({"start": "2025-03-01T23:30:00+09:00", "end": "2025-03-02T00:30:00+09:00"}));
    assert!(skipped(&database, &context, night).contains("ends on another day"));
    // 20:30 and 21:00 in the same time zone.
    let mixed = appointment(&json!({"start": "2025-03-01T20:30:00+09:00", "end": "2025-03-01T12:00:00Z"}));
    one(&database, &context, mixed);
    let read = "SELECT pc_eventDate, pc_startTime, pc_endTime, pc_duration FROM openemr_postcalendar_events";
    assert_eq!(database.ask(read), ["2025-03-01|20:30:00|21:00:00|1800"]);
}

#[test]
fn an_appointment_without_a_service_has_a_default_title() {
    let database = Database::open();
    let context = context(&database);
    one(&database, &context, appointment(&json!({"service_type": null, "reason_code": {"display": "Cough"}})));
    assert_eq!(
        database.ask("SELECT pc_title, pc_hometext FROM openemr_postcalendar_events"),
        ["Appointment|Reason: Cough"]
    );
}
