//! Clinical records into the tables of OpenEMR, on every version that counts.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tests::host::Host;
use tests::session::Session;

use crate::support::{append, host_with_records, openemr_database, patient, put, rows, store_url};

const STORE: &str = "sqlite://.host/host.db";

fn of_encounter() -> Value {
    let mut refs = of_patient();
    refs.as_array_mut().expect("list").push(json!({"name": "encounter", "type": "encounter", "id": "E-1"}));
    refs
}

fn of_patient() -> Value {
    json!([{"name": "subject", "type": "patient", "id": "A-1"}])
}

fn configure(host: &Host, from: &str, to: &str) {
    let path = host.folder().join("host.toml");
    let text = std::fs::read_to_string(&path).expect("read");
    assert!(text.contains(from), "{text}");
    std::fs::write(&path, text.replacen(from, to, 1)).expect("write");
}

/// A record of each type: type, id, a state, and a later one.
pub(crate) fn records() -> Vec<(&'static str, &'static str, Value, Value)> {
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

pub(crate) fn refs_of(aggregate_type: &str) -> Value {
    if aggregate_type == "encounter" { of_patient() } else { of_encounter() }
}

async fn counted(url: &str, sql: &str) -> String {
    rows(url, &format!("SELECT CAST(COUNT(*) AS CHAR) FROM {sql}")).await[0][0].clone()
}

/// Tables of clinical records that have a uuid, each with its id.
const WITH_UUID: [(&str, &str); 4] =
    [("form_encounter", "id"), ("lists", "id"), ("form_vitals", "id"), ("openemr_postcalendar_events", "pc_eid")];

/// The rows of `uuid_registry` that an OpenEMR of this version has for one record of each type; 5.x has no registry.
fn in_registry(version: &str) -> Vec<String> {
    let expected: &[&str] = match version {
        "5.0.2" => &[],
        "6.0.0" => &["form_encounter.id 1 of 1", "lists.id 3 of 3"],
        _ => &[
            "form_encounter.id 1 of 1",
            "form_vitals.id 1 of 1",
            "lists.id 3 of 3",
            "openemr_postcalendar_events.pc_eid 1 of 1",
        ],
    };
    expected.iter().map(|row| (*row).to_owned()).collect()
}

/// For each table in the registry: how many rows are registered for it, and how many of them are rows of the table.
async fn registered(url: &str) -> Vec<String> {
    let there = "information_schema.tables WHERE table_schema = DATABASE() AND table_name = 'uuid_registry'";
    if counted(url, there).await == "0" {
        return Vec::new();
    }
    let of_table = "FROM uuid_registry WHERE table_name <> 'patient_data' AND created IS NOT NULL \
                    GROUP BY table_name, table_id ORDER BY table_name";
    let mut found = Vec::new();
    for row in rows(url, &format!("SELECT table_name, table_id, CAST(COUNT(*) AS CHAR) {of_table}")).await {
        let [table, id, count] = &row[..] else { panic!("three columns: {row:?}") };
        assert!(WITH_UUID.contains(&(table.as_str(), id.as_str())), "{row:?}");
        let matching = format!("{table} t JOIN uuid_registry r ON r.uuid = t.uuid AND r.table_name = '{table}'");
        found.push(format!("{table}.{id} {count} of {}", counted(url, &matching).await));
    }
    found
}

async fn deliver_update_and_delete(version: &str) {
    let Some(openemr) = openemr_database(version).await else { return };
    let host = host_with_records(STORE, openemr.url());
    let store = store_url(&host);
    let checked = host.run(&["check"]).expect_success().stdout;
    assert!(checked.contains("clinical records: encounter, condition, allergy, medication, observation"), "{checked}");
    for (aggregate_type, id, created, _) in records() {
        append(&store, "create", (aggregate_type, id), &created, &refs_of(aggregate_type)).await;
    }
    put(&host, &patient("A-1"));
    let laboratory = json!({
        "status": "final", "category": "laboratory", "effective": "2025-03-01T09:35:00+09:00",
        "code": {"display": "Glucose"}, "value_string": "normal",
    });
    append(&store, "create", ("observation", "O-2"), &laboratory, &of_patient()).await;
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

    assert_eq!(registered(url).await, in_registry(version), "{version}");

    for (aggregate_type, id, _, updated) in records() {
        append(&store, "update", (aggregate_type, id), &updated, &refs_of(aggregate_type)).await;
    }
    let _ = host.run(&["run", "--until-idle"]);
    assert_eq!(host.status()["totals"]["failed"], 0);
    assert_eq!(counted(url, &format!("{within} WHERE v.pulse = 75 AND e.reason = 'Cough'")).await, "1");
    assert_eq!(counted(url, "lists WHERE enddate = '2025-02-01' AND outcome = 1 AND activity = 1").await, "1");
    assert_eq!(counted(url, "lists WHERE comments IN ('Criticality: high', 'Dosage: 1 a day')").await, "2");
    assert_eq!(counted(url, "openemr_postcalendar_events WHERE pc_apptstatus = '@'").await, "1");

    for (aggregate_type, id, _, _) in records() {
        append(&store, "delete", (aggregate_type, id), &json!({}), &json!([])).await;
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
    let host = host_with_records(STORE, openemr.url());
    let store = store_url(&host);
    let old = r#"allow = { read = ["patient_data", "uuid_registry", "version", "list_options", "layout_options"], insert = ["patient_data", "uuid_registry"], update = ["patient_data"] }"#;
    configure(&host, r#"allow = { preset = "openemr" }"#, old);
    put(&host, &patient("A-1"));
    let (aggregate_type, id, created, _) = records().remove(1);
    append(&store, "create", (aggregate_type, id), &created, &of_patient()).await;
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

/// As OpenEMR takes an encounter's number; `LAST_INSERT_ID()` of the same connection is that number.
const TAKE: &str = "UPDATE sequences SET id = LAST_INSERT_ID(id + 1)";

/// Waits until a connection in this database waits for a lock. MariaDB renews this view only for a reader that was
/// away for 100 ms.
async fn wait_for_lock(url: &str) {
    let waiting = "information_schema.innodb_trx t JOIN information_schema.processlist p \
                   ON p.id = t.trx_mysql_thread_id AND p.db = DATABASE() WHERE t.trx_state = 'LOCK WAIT'";
    let deadline = Instant::now() + Duration::from_secs(60);
    while counted(url, waiting).await == "0" {
        assert!(Instant::now() < deadline, "nobody waits for the counter");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

async fn take_numbers_next_to_openemr(version: &str) {
    const COUNT: usize = 60;
    let Some(openemr) = openemr_database(version).await else { return };
    let (host, url) = (host_with_records(STORE, openemr.url()), openemr.url());
    put(&host, &patient("A-1"));
    let _ = host.run(&["run", "--until-idle"]).expect_success();
    let (_, _, encounter, _) = records().pop().expect("the encounter");
    for number in 1..=COUNT {
        let id = format!("E-{number}");
        append(&store_url(&host), "create", ("encounter", &id), &encounter, &of_patient()).await;
    }

    // OpenEMR has taken a number and not committed it: the host has to wait for the counter.
    let mut theirs = Session::open(url).await.expect("connect");
    theirs.execute(theirs.begin()).await.expect("begin");
    theirs.execute(TAKE).await.expect("take");
    let mut running = host.spawn(&["run", "--until-idle"]).expect("spawn");
    wait_for_lock(url).await;
    theirs.execute("COMMIT").await.expect("commit");
    let mut taken = 0;
    // One at least, and then as many as OpenEMR takes while the host delivers.
    loop {
        theirs
            .execute("INSERT INTO form_encounter (pid, encounter) VALUES (1, LAST_INSERT_ID())")
            .await
            .expect("insert");
        taken += 1;
        if !running.is_running().expect("the host") {
            break;
        }
        theirs.execute(TAKE).await.expect("take");
    }
    let _ = running.wait(Duration::from_secs(60)).expect("the host ends").expect_success();
    let sql = "SELECT CAST(COUNT(*) AS CHAR), CAST(COUNT(DISTINCT encounter) AS CHAR), \
               CAST(MAX(encounter) - (SELECT id FROM sequences) AS CHAR) FROM form_encounter";
    let all = (COUNT + taken).to_string();
    assert_eq!(rows(url, sql).await, [[all.as_str(), &all, "0"]], "{version}: each has a number of its own");
    assert_eq!(host.status()["totals"]["done"], COUNT + 1);
}

#[tokio::test]
async fn no_encounter_number_is_taken_twice_next_to_openemr_5_0_2() {
    take_numbers_next_to_openemr("5.0.2").await;
}

#[tokio::test]
async fn no_encounter_number_is_taken_twice_next_to_openemr_8_2_0() {
    take_numbers_next_to_openemr("8.2.0").await;
}
