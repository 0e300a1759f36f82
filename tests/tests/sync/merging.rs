//! Merges over the binary: a FHIR server and OpenEMR's tables, with an encounter that follows its patient there and
//! back.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use tests::database;
use tests::environment::fhir_url;
use tests::host::{Configuration, Host, quoted};
use tests::session::Session;

use crate::support::{QUICK, adapter, host_with_openemr, openemr_database, patient, put, rows};

async fn append_encounter(host: &Host, id: &str, patient_id: &str) {
    let refs = json!([{ "name": "subject", "type": "patient", "id": patient_id }]);
    let period = json!({ "start": "2025-03-01T09:30:00+09:00" });
    let payload = json!({ "status": "in-progress", "class": "AMB", "period": period });
    let insert = "INSERT INTO sync_outbox (aggregate_type, aggregate_id, operation, payload, refs) VALUES";
    let row = format!("{insert} ('encounter', '{id}', 'create', '{payload}', '{refs}')");
    database::execute(&store_url(host), &row).await.expect("insert");
}

/// Two patients and an encounter of the first, delivered.
async fn prepare(host: &Host, ids: [&str; 3]) {
    let [loser, survivor, encounter] = ids;
    put(host, &patient(loser));
    put(host, &patient(survivor));
    append_encounter(host, encounter, loser).await;
    run(host);
}

fn run(host: &Host) {
    let _ = host.run(&["run", "--until-idle"]).expect_success();
}

fn merge(host: &Host, loser: &str, survivor: &str) {
    let merged = host.run(&["patient", "merge", loser, survivor, "--reason", "registered twice"]).expect_success();
    assert!(
        merged.stdout.starts_with(&format!("[OK] Patient merged: {loser} into {survivor} (queued")),
        "{}",
        merged.stdout
    );
    let again = host.run(&["patient", "merge", survivor, loser, "--reason", "the other way"]);
    assert!(
        again.status == Some(1) && again.stderr.contains(&format!("host patient unmerge {loser}")),
        "{}",
        again.stderr
    );
    assert_eq!(host.run(&["patient", "show", loser]).expect_success().json()["merged_into"], survivor);
    run(host);
}

fn unmerge(host: &Host, loser: &str, survivor: &str) {
    let undone = host.run(&["patient", "unmerge", loser]).expect_success().stdout;
    assert!(undone.starts_with(&format!("[OK] Merge undone: {loser} from {survivor} (queued")), "{undone}");
    let again = host.run(&["patient", "unmerge", loser]);
    assert!(again.status == Some(1) && again.stderr.contains("is not merged"), "{}", again.stderr);
    run(host);
}

fn get(url: &str) -> Value {
    let output = std::process::Command::new("curl").args(["-sS", "--fail", url]).output().expect("curl");
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{url}: {error}: {}", String::from_utf8_lossy(&output.stderr)))
}

#[tokio::test]
async fn at_a_fhir_server_a_merged_patient_is_replaced_by_the_survivor_until_it_is_undone() {
    let Some(url) = fhir_url() else { return };
    let configuration = Configuration::new("sqlite://.host/host.db").more(&format!(
        "\n[targets.fhir]\nadapter = {}\nid_column = \"fhir_patient_id\"\naggregate_types = [\"patient\", \"encounter\"]\n\
         [targets.fhir.http]\nbase_url = {}\nallow_private = true\n{QUICK}",
        quoted(&adapter("fhir").to_string_lossy()),
        quoted(&url)
    ));
    let host = Host::new(&configuration).expect("host");
    // Every test shares the server, so each has patients of its own.
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).expect("clock").as_nanos();
    let ids = ["M1", "M2", "E1"].map(|prefix| format!("{prefix}-{nanos:x}"));
    let [loser, survivor, encounter] = ids.each_ref().map(String::as_str);
    prepare(&host, [loser, survivor, encounter]).await;
    let record = |id: &str| host.run(&["patient", "show", id]).expect_success().json()["fhir_patient_id"].clone();
    let (merged, kept) = (record(loser), record(survivor));
    let patient = || get(&format!("{url}/Patient/{}", merged.as_str().expect("an id")));
    let subject = || {
        let found = get(&format!("{url}/Encounter?identifier=urn:neuronova:patient-id/encounter%7C{encounter}"));
        found["entry"][0]["resource"]["subject"]["reference"].as_str().expect("a subject").to_owned()
    };
    let reference = |id: &Value| format!("Patient/{}", id.as_str().expect("an id"));
    assert_eq!(subject(), reference(&merged));

    merge(&host, loser, survivor);
    let after = patient();
    assert_eq!((&after["active"], &after["link"][0]["type"]), (&json!(false), &json!("replaced-by")));
    assert_eq!(after["link"][0]["other"]["reference"], reference(&kept));
    assert_eq!(subject(), reference(&kept));
    let verified = host.run(&["verify", "--target", "fhir"]);
    assert_eq!(verified.status, Some(0), "{}", verified.stdout);

    unmerge(&host, loser, survivor);
    let after = patient();
    assert_eq!((&after["active"], after.get("link")), (&json!(true), None));
    assert_eq!(subject(), reference(&merged));
}

async fn merged_in_openemr(version: &str) {
    let Some(openemr) = openemr_database(version).await else { return };
    let host = host_with_openemr(openemr.url());
    let path = host.folder().join("host.toml");
    let text = std::fs::read_to_string(&path).expect("read");
    let types = "[targets.openemr]\naggregate_types = [\"patient\", \"encounter\"]";
    std::fs::write(&path, text.replacen("[targets.openemr]", types, 1)).expect("write");
    let _ = host.run(&["migrate"]).expect_success();
    prepare(&host, ["A-1", "A-2", "E-1"]).await;
    openemr
        .execute("UPDATE patient_data SET billing_note = 'theirs', allow_patient_portal = 'YES'")
        .await
        .expect("OpenEMR's users write a note");
    let pids = rows(openemr.url(), "SELECT CAST(pid AS CHAR) FROM patient_data ORDER BY pubpid").await;
    let chart = "SELECT billing_note, allow_patient_portal FROM patient_data WHERE pubpid = 'A-1'";
    let encounter = "SELECT CAST(pid AS CHAR) FROM form_encounter";
    assert_eq!(rows(openemr.url(), encounter).await, [pids[0].clone()]);

    merge(&host, "A-1", "A-2");
    let ours = format!("[NeuroNova Sync] Merged into the chart with pid {}: use that one", pids[1][0]);
    let note = format!("theirs\n{ours} (patient portal before: YES)");
    assert_eq!(rows(openemr.url(), chart).await, [[note, "NO".to_owned()]]);
    assert_eq!(rows(openemr.url(), encounter).await, [pids[1].clone()]);
    let verified = host.run(&["verify", "--target", "openemr"]);
    assert_eq!(verified.status, Some(0), "{}", verified.stdout);

    unmerge(&host, "A-1", "A-2");
    assert_eq!(rows(openemr.url(), chart).await, [["theirs", "YES"]]);
    assert_eq!(rows(openemr.url(), encounter).await, [pids[0].clone()]);
    let count = "SELECT CAST(COUNT(*) AS CHAR) FROM patient_data";
    assert_eq!(rows(openemr.url(), count).await, [["2"]], "nothing is deleted, and nothing made");

    // Again, and the host dies between OpenEMR's commit and its own: it knows nothing of this merge when it is undone.
    let link = "SELECT remote_id || ' ' || fingerprint FROM sync_link WHERE aggregate_id = 'A-1'";
    let before = value(&host, link).await;
    merge(&host, "A-1", "A-2");
    assert_eq!(rows(openemr.url(), chart).await[0][1], "NO");
    forget_last_delivery(&host, "A-1", before.rsplit(' ').next().expect("a fingerprint")).await;
    unmerge(&host, "A-1", "A-2");
    assert_eq!(rows(openemr.url(), chart).await, [["theirs", "YES"]]);
    assert_eq!(rows(openemr.url(), encounter).await, [pids[0].clone()]);
    assert_eq!(value(&host, link).await, before);
    let verified = host.run(&["verify", "--target", "openemr"]);
    assert_eq!(verified.status, Some(0), "{}", verified.stdout);
}

fn store_url(host: &Host) -> String {
    database::sqlite_url(&host.folder().join(".host/host.db"))
}

async fn value(host: &Host, sql: &str) -> String {
    let mut session = Session::open(&store_url(host)).await.expect("connect");
    session.rows(sql).await.expect("read")[0][0].clone().expect("a value")
}

/// Puts the store back to before it settled the last delivery of a patient.
async fn forget_last_delivery(host: &Host, patient_id: &str, fingerprint: &str) {
    let of_patient = format!("aggregate_type = 'patient' AND aggregate_id = '{patient_id}'");
    let last = value(host, &format!("SELECT MAX(outbox_id) FROM sync_delivery WHERE {of_patient}")).await;
    let forget = format!(
        "UPDATE sync_link SET merged_into = NULL, fingerprint = '{fingerprint}', delivered_outbox_id = \
         (SELECT MAX(outbox_id) FROM sync_delivery WHERE {of_patient} AND outbox_id < {last}) WHERE {of_patient}; \
         UPDATE sync_delivery SET status = 'pending', next_attempt_at = 0, finished_at = NULL WHERE outbox_id = {last}; \
         UPDATE sync_count SET done = done - 1 WHERE shard = (SELECT MIN(shard) FROM sync_count WHERE done > 0) AND done > 0"
    );
    for sql in forget.split("; ") {
        database::execute(&store_url(host), sql).await.expect("forget");
    }
}

#[tokio::test]
async fn merged_in_openemr_5_0_2() {
    merged_in_openemr("5.0.2").await;
}

#[tokio::test]
async fn merged_in_openemr_6_0_0() {
    merged_in_openemr("6.0.0").await;
}

#[tokio::test]
async fn merged_in_openemr_7_0_2() {
    merged_in_openemr("7.0.2").await;
}

#[tokio::test]
async fn merged_in_openemr_8_2_0() {
    merged_in_openemr("8.2.0").await;
}
