//! Clinical records into the tables of OpenEMR, on every version that counts.

use serde_json::{Value, json};
use tests::database;
use tests::host::Host;

use crate::support::{host_with_openemr, openemr_database, patient, put, rows};

async fn append(host: &Host, operation: &str, aggregate_type: &str, id: &str, payload: &Value, refs: &Value) {
    let insert = "INSERT INTO sync_outbox (aggregate_type, aggregate_id, operation, payload, refs) VALUES";
    let row = format!("{insert} ('{aggregate_type}', '{id}', '{operation}', '{payload}', '{refs}')");
    let store = database::sqlite_url(&host.folder().join(".host/host.db"));
    database::execute(&store, &row).await.expect("insert");
}

fn of_encounter() -> Value {
    let mut refs = of_patient();
    refs.as_array_mut().expect("list").push(json!({"name": "encounter", "type": "encounter", "id": "E-1"}));
    refs
}

fn of_patient() -> Value {
    json!([{"name": "subject", "type": "patient", "id": "A-1"}])
}

/// A host whose OpenEMR target takes every type that the adapter has rows for.
fn host(openemr: &str) -> Host {
    let host = host_with_openemr(openemr);
    let types = r#"["patient", "encounter", "condition", "allergy", "medication", "observation", "appointment"]"#;
    configure(&host, "[targets.openemr]", &format!("[targets.openemr]\naggregate_types = {types}"));
    let _ = host.run(&["migrate"]).expect_success();
    host
}

fn configure(host: &Host, from: &str, to: &str) {
    let path = host.folder().join("host.toml");
    let text = std::fs::read_to_string(&path).expect("read");
    assert!(text.contains(from), "{text}");
    std::fs::write(&path, text.replacen(from, to, 1)).expect("write");
}

/// A record of each type: type, id, a state, and a later one.
fn records() -> Vec<(&'static str, &'static str, Value, Value)> {
    let period = json!({"start": "2025-03-01T09:30:00+09:00"});
    let pulse = |value: i64| {
        json!({
            "status": "final", "category": "vital-signs", "effective": "2025-03-01T09:35:00+09:00",
            "code": {"system": "http://loinc.org", "code": "8867-4", "display": "Heart rate"},
            "value_quantity": {"value": value, "unit": "/min"},
        })
    };
    let appointment = |status: &str| json!({"status": status, "start": "2025-04-01T09:30:00+09:00", "end": "2025-04-01T10:00:00+09:00"});
    let named = |name: &str| json!({"display": name});
    vec![
        // Before the encounter that they refer to, and that before its patient.
        ("observation", "O-1", pulse(72), pulse(75)),
        (
            "condition",
            "C-1",
            json!({"clinical_status": "active", "code": named("Asthma")}),
            json!({"clinical_status": "resolved", "code": named("Asthma"), "abatement": "2025-02-01"}),
        ),
        (
            "allergy",
            "L-1",
            json!({"clinical_status": "active", "code": named("Latex"), "reaction": [{"manifestation": named("Hives")}]}),
            json!({"clinical_status": "active", "code": named("Latex"), "criticality": "high"}),
        ),
        (
            "medication",
            "M-1",
            json!({"status": "active", "medication": named("Aspirin")}),
            json!({"status": "active", "medication": named("Aspirin"), "dosage": "1 a day"}),
        ),
        ("appointment", "B-1", appointment("booked"), appointment("arrived")),
        (
            "encounter",
            "E-1",
            json!({"status": "in-progress", "class": "AMB", "period": period}),
            json!({"status": "finished", "class": "AMB", "period": period, "reason_code": named("Cough")}),
        ),
    ]
}

fn refs_of(aggregate_type: &str) -> Value {
    if aggregate_type == "encounter" { of_patient() } else { of_encounter() }
}

async fn counted(url: &str, sql: &str) -> String {
    rows(url, &format!("SELECT CAST(COUNT(*) AS CHAR) FROM {sql}")).await[0][0].clone()
}

async fn deliver_update_and_delete(version: &str) {
    let Some(openemr) = openemr_database(version).await else { return };
    let host = host(openemr.url());
    let checked = host.run(&["check"]).expect_success().stdout;
    assert!(checked.contains("clinical records: encounter, condition, allergy, medication, observation"), "{checked}");
    for (aggregate_type, id, created, _) in records() {
        append(&host, "create", aggregate_type, id, &created, &refs_of(aggregate_type)).await;
    }
    put(&host, &patient("A-1"));
    let laboratory = json!({
        "status": "final", "category": "laboratory", "effective": "2025-03-01T09:35:00+09:00",
        "code": {"display": "Glucose"}, "value_string": "normal",
    });
    append(&host, "create", "observation", "O-2", &laboratory, &of_patient()).await;
    let _ = host.run(&["run", "--until-idle"]);
    let status = host.status();
    assert_eq!((&status["totals"]["done"], &status["totals"]["skipped"]), (&7.into(), &1.into()), "{status}");

    let url = openemr.url();
    let within = "form_vitals v JOIN forms f ON f.form_id = v.id AND f.formdir = 'vitals' AND f.deleted = 0 \
                  JOIN form_encounter e ON e.encounter = f.encounter AND e.pid = v.pid JOIN patient_data p ON p.pid = e.pid";
    assert_eq!(counted(url, &format!("{within} WHERE v.pulse = 72 AND p.pubpid = 'A-1'")).await, "1", "{version}");
    let numbered = "form_encounter e JOIN forms f ON f.form_id = e.id AND f.formdir = 'newpatient' JOIN sequences s ON s.id = e.encounter";
    assert_eq!(counted(url, numbered).await, "1");
    assert_eq!(counted(url, "lists l JOIN issue_encounter i ON i.list_id = l.id AND i.pid = l.pid").await, "3");
    assert_eq!(counted(url, "lists l JOIN lists_touch t ON t.pid = l.pid AND t.type = l.type").await, "3");
    assert_eq!(counted(url, "lists WHERE title = 'Latex' AND reaction = 'hives'").await, "1");
    assert_eq!(
        counted(url, "openemr_postcalendar_events WHERE pc_eventDate = '2025-04-01' AND pc_apptstatus = '-'").await,
        "1"
    );

    for (aggregate_type, id, _, updated) in records() {
        append(&host, "update", aggregate_type, id, &updated, &refs_of(aggregate_type)).await;
    }
    let _ = host.run(&["run", "--until-idle"]);
    assert_eq!(host.status()["totals"]["failed"], 0);
    assert_eq!(counted(url, &format!("{within} WHERE v.pulse = 75 AND e.reason = 'Cough'")).await, "1");
    assert_eq!(counted(url, "lists WHERE enddate = '2025-02-01' AND outcome = 1 AND activity = 1").await, "1");
    assert_eq!(counted(url, "lists WHERE comments IN ('Criticality: high', 'Dosage: 1 a day')").await, "2");
    assert_eq!(counted(url, "openemr_postcalendar_events WHERE pc_apptstatus = '@'").await, "1");

    for (aggregate_type, id, _, _) in records() {
        append(&host, "delete", aggregate_type, id, &json!({}), &json!([])).await;
    }
    let _ = host.run(&["run", "--until-idle"]);
    assert_eq!(host.status()["totals"]["failed"], 0);
    for (hidden, count) in [
        ("forms WHERE deleted = 1", "2"),
        ("lists WHERE activity = 0", "3"),
        ("openemr_postcalendar_events WHERE pc_apptstatus = 'x'", "1"),
        ("form_encounter", "1"),
        ("form_vitals", "1"),
    ] {
        assert_eq!(counted(url, hidden).await, count, "{version}: {hidden}");
    }
}

#[tokio::test]
async fn openemr_5_0_2_takes_clinical_records() {
    deliver_update_and_delete("5.0.2").await;
}

#[tokio::test]
async fn openemr_6_0_0_takes_clinical_records() {
    deliver_update_and_delete("6.0.0").await;
}

#[tokio::test]
async fn openemr_7_0_2_takes_clinical_records() {
    deliver_update_and_delete("7.0.2").await;
}

#[tokio::test]
async fn openemr_8_2_0_takes_clinical_records() {
    deliver_update_and_delete("8.2.0").await;
}

#[tokio::test]
async fn an_allow_list_without_record_tables_delivers_patients_and_skips_records() {
    let Some(openemr) = openemr_database("8.2.0").await else { return };
    let host = host(openemr.url());
    let old = r#"allow = { read = ["patient_data", "uuid_registry", "version", "list_options", "layout_options"], insert = ["patient_data", "uuid_registry"], update = ["patient_data"] }"#;
    configure(&host, r#"allow = { preset = "openemr" }"#, old);
    put(&host, &patient("A-1"));
    let (aggregate_type, id, created, _) = records().remove(1);
    append(&host, "create", aggregate_type, id, &created, &of_patient()).await;
    let checked = host.run(&["check"]).expect_success().stdout;
    assert!(
        checked.contains("changes of type condition, allergy, medication are skipped: not granted: add"),
        "{checked}"
    );
    assert!(
        checked.contains(r#"insert = ["issue_encounter", "lists", "lists_touch"], update = ["lists"]"#),
        "{checked}"
    );
    let _ = host.run(&["run", "--until-idle"]);
    let status = host.status();
    assert_eq!((&status["totals"]["done"], &status["totals"]["skipped"]), (&1.into(), &1.into()), "{status}");
}
