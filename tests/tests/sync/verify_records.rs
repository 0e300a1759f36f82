//! `host verify` over the binary, of patients and clinical records in OpenEMR's tables of every version, with the store
//! on every database: what others edited or deleted is named and repaired.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tests::database::Database;
use tests::environment::Backend;
use tests::host::Host;
use tests::session::Session;

use super::openemr_records::{records, refs_of};
use crate::support::{append, host_with_records, openemr_database, patient, put};

/// How others change a record in OpenEMR: the type, its table, the column of the remote id, and an edit of a field that
/// we write.
const CHANGED_BY_OTHERS: [(&str, &str, &str, &str); 7] = [
    ("patient", "patient_data", "pid", "city = 'Elsewhere'"),
    ("encounter", "form_encounter", "encounter", "reason = 'Elsewhere'"),
    ("condition", "lists", "id", "title = 'Elsewhere'"),
    ("allergy", "lists", "id", "title = 'Elsewhere'"),
    ("medication", "lists", "id", "title = 'Elsewhere'"),
    ("observation", "form_vitals", "id", "pulse = 99"),
    ("appointment", "openemr_postcalendar_events", "pc_eid", "pc_apptstatus = 'x'"),
];

/// Three aggregates of each type: one is left as it is, one is edited, and one is deleted.
const LEFT: &str = "A-1";
const EDITED: &str = "A-2";
const GONE: &str = "A-3";

async fn deliver_all(host: &Host, store: &str) {
    for id in [LEFT, EDITED, GONE] {
        put(host, &patient(id));
    }
    // The encounter that all others refer to.
    let visit = records().into_iter().find(|(kind, ..)| *kind == "encounter").expect("an encounter").2;
    append(store, "create", ("encounter", "E-1"), &visit, &refs_of("encounter")).await;
    for id in [LEFT, EDITED, GONE] {
        for (aggregate_type, _, payload, _) in records() {
            append(store, "create", (aggregate_type, id), &payload, &refs_of(aggregate_type)).await;
        }
    }
    deliver(host);
}

fn deliver(host: &Host) {
    let _ = host.run(&["run", "--until-idle"]).expect_success();
    let status = host.status();
    assert_eq!((&status["totals"]["failed"], &status["totals"]["pending"]), (&json!(0), &json!(0)), "{status}");
}

fn verify(host: &Host, more: &[&str]) -> Value {
    host.run(&[&["verify", "--target", "openemr", "--json"], more].concat()).json()
}

/// What was found: state, type and id.
fn found(verified: &Value) -> BTreeSet<[String; 3]> {
    let findings = verified["findings"].as_array().expect("findings");
    let words = |one: &Value| {
        ["state", "aggregate_type", "aggregate_id"].map(|word| one[word].as_str().expect("a word").to_owned())
    };
    findings.iter().map(words).collect()
}

async fn edits_and_deletions_are_found_and_repaired(version: &str, backend: Backend) {
    let Some(openemr) = openemr_database(version).await else { return };
    let Some(store) = Database::fresh(backend).await.expect("store") else { return };
    let host = host_with_records(store.url(), openemr.url());
    deliver_all(&host, store.url()).await;
    let whole = verify(&host, &[]);
    assert_eq!((found(&whole), &whole["verification"]["equal"]), (BTreeSet::new(), &json!(22)), "{version}: {whole}");

    let mut expected = BTreeSet::new();
    let mut session = Session::open(store.url()).await.expect("connect");
    for (aggregate_type, table, key, edit) in CHANGED_BY_OTHERS {
        for (id, state) in [(EDITED, "edited"), (GONE, "gone")] {
            let link = format!(
                "SELECT remote_id FROM sync_link WHERE aggregate_type = '{aggregate_type}' AND aggregate_id = '{id}'"
            );
            let remote_id = session.rows(&link).await.expect("a link")[0][0].clone().expect("an id");
            let change =
                if id == EDITED { format!("UPDATE {table} SET {edit}") } else { format!("DELETE FROM {table}") };
            openemr.execute(&format!("{change} WHERE {key} = {remote_id}")).await.expect("change by others");
            expected.insert([state, aggregate_type, id].map(str::to_owned));
        }
    }
    let output = host.run(&["verify", "--target", "openemr"]);
    assert_eq!(output.status, Some(1), "{version}: {}{}", output.stdout, output.stderr);
    assert!(
        output.stdout.contains("for 8 of 22 records") && output.stdout.contains("; 7 edited, 7 gone"),
        "{}",
        output.stdout
    );
    assert!(output.stdout.contains("   edited: encounter A-2\n"), "{}", output.stdout);
    assert!(!output.stdout.contains("Elsewhere"), "a value is never shown");

    let repaired = verify(&host, &["--repair"]);
    assert_eq!(found(&repaired), expected, "{version}");
    assert_eq!(repaired["repair"], json!({ "queued": 14, "left": 0 }), "{version}");
    deliver(&host);
    let after = verify(&host, &[]);
    assert_eq!((found(&after), &after["verification"]["equal"]), (BTreeSet::new(), &json!(22)), "{version}: {after}");
}

#[tokio::test]
async fn records_of_openemr_5_0_2_are_verified_and_repaired() {
    edits_and_deletions_are_found_and_repaired("5.0.2", Backend::Sqlite).await;
}

#[tokio::test]
async fn records_of_openemr_6_0_0_are_verified_and_repaired() {
    edits_and_deletions_are_found_and_repaired("6.0.0", Backend::Sqlite).await;
}

#[tokio::test]
async fn records_of_openemr_7_0_2_are_verified_and_repaired() {
    edits_and_deletions_are_found_and_repaired("7.0.2", Backend::Sqlite).await;
}

#[tokio::test]
async fn records_of_openemr_8_2_0_are_verified_and_repaired() {
    edits_and_deletions_are_found_and_repaired("8.2.0", Backend::Sqlite).await;
}

#[tokio::test]
async fn records_are_verified_and_repaired_with_a_store_on_mariadb() {
    edits_and_deletions_are_found_and_repaired("8.2.0", Backend::MariaDb).await;
}

#[tokio::test]
async fn records_are_verified_and_repaired_with_a_store_on_postgres() {
    edits_and_deletions_are_found_and_repaired("8.2.0", Backend::Postgres).await;
}
