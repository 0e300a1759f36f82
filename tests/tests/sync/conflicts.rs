//! An operator resolves conflicts by the command line, against OpenEMR's tables.

use serde_json::json;
use tests::database::Database;
use tests::host::{Configuration, Host};

use crate::support::{QUICK, adapter, openemr_database, patient, put, rows};

/// A host that holds what was edited at its target, with one patient synced.
fn holding_host(openemr: &Database) -> Host {
    let configuration =
        Configuration::new("sqlite://.host/host.db").openemr(&adapter("openemr"), openemr.url()).more(QUICK);
    let text = configuration.text().replace("[targets.openemr]", "[targets.openemr]\non_remote_edit = \"hold\"");
    let host = Host::new(&Configuration::new("sqlite://.host/host.db")).expect("host");
    std::fs::write(host.folder().join("host.toml"), text).expect("configure");
    put(&host, &patient("C-1"));
    sync(&host);
    host
}

fn sync(host: &Host) {
    let _ = host.run(&["run", "--until-idle"]).expect_success();
}

/// The patient moves, and the delivery of that fails.
fn moved_into_conflict(host: &Host, city: &str) {
    let mut moved = patient("C-1");
    moved["city"] = json!(city);
    put(host, &moved);
    sync(host);
    let listed = host.run(&["conflicts", "--json"]).expect_success().json();
    assert_eq!(listed["conflicts"].as_array().map(Vec::len), Some(1), "{listed}");
    assert_eq!(listed["conflicts"][0]["aggregate_id"], "C-1");
}

fn resolve(host: &Host, more: &[&str]) -> String {
    let arguments = [&["conflicts", "resolve", "--target", "openemr", "--patient", "C-1"], more].concat();
    let said = host.run(&arguments).expect_success().stdout;
    sync(host);
    assert_eq!(host.run(&["conflicts"]).expect_success().stdout, "no conflicts\n");
    said
}

async fn chart(openemr: &Database) -> Vec<Vec<String>> {
    rows(openemr.url(), "SELECT CAST(pid AS CHAR), city, email FROM patient_data").await
}

#[tokio::test]
async fn an_edit_in_openemr_is_overwritten_or_kept_as_the_operator_decides() {
    let Some(openemr) = openemr_database("8.2.0").await else { return };
    let host = holding_host(&openemr);
    openemr.execute("UPDATE patient_data SET email = 'edited@openemr'").await.expect("edit");
    moved_into_conflict(&host, "Daegu");
    let shown = host.run(&["status"]).expect_success().stdout;
    assert!(shown.contains("1 of the failed are conflicts; see `host conflicts`"), "{shown}");
    let said = resolve(&host, &["--keep", "remote"]);
    assert_eq!(said, "C-1 stays as it is at openemr\n");
    assert_eq!(chart(&openemr).await, [["1", "Busan", "edited@openemr"]]);
    // What was kept stays: a newer state that would write over it waits for an operator too.
    moved_into_conflict(&host, "Jeju");
    assert_eq!(chart(&openemr).await, [["1", "Busan", "edited@openemr"]]);
    resolve(&host, &["--keep", "remote"]);
    // The state that was declined, delivered again, is no new question.
    assert!(host.run(&["resync", "--target", "openemr"]).expect_success().stdout.contains('1'));
    sync(&host);
    assert_eq!(host.run(&["conflicts"]).expect_success().stdout, "no conflicts\n");
    // A second edit is one, whatever was decided about the first.
    openemr.execute("UPDATE patient_data SET email = 'again@openemr'").await.expect("edit");
    moved_into_conflict(&host, "Ulsan");
    assert_eq!(chart(&openemr).await, [["1", "Busan", "again@openemr"]]);
    resolve(&host, &["--keep", "local"]);
    assert_eq!(chart(&openemr).await, [["1", "Ulsan", ""]]);
}

#[tokio::test]
async fn a_missing_chart_is_created_again_or_replaced_by_another() {
    let Some(openemr) = openemr_database("8.2.0").await else { return };
    let host = holding_host(&openemr);
    openemr.execute("DELETE FROM patient_data").await.expect("delete");
    moved_into_conflict(&host, "Daegu");
    resolve(&host, &["--keep", "local"]);
    assert_eq!(chart(&openemr).await, [["1", "Daegu", ""]]);
    // As OpenEMR's merge leaves it: our chart is gone, the patient's other one stays.
    openemr
        .execute("UPDATE patient_data SET pid = 77, pubpid = '77', uuid = UNHEX('0102030405060708090A0B0C0D0E0F10')")
        .await
        .expect("merge");
    moved_into_conflict(&host, "Jeju");
    let wrong =
        ["conflicts", "resolve", "--target", "openemr", "--patient", "C-1", "--keep", "relink", "--remote-id", "x"];
    assert_eq!(host.run(&wrong).status, Some(2), "no pid of OpenEMR");
    resolve(&host, &["--keep", "relink", "--remote-id", "77"]);
    assert_eq!(chart(&openemr).await, [["77", "Jeju", ""]]);
    let shown = host.run(&["patient", "show", "C-1"]).expect_success().json();
    assert_eq!(shown["openemr_patient_id"], 77);
    let again = host.run(&["conflicts", "resolve", "--target", "openemr", "--patient", "C-1", "--keep", "local"]);
    assert_eq!(again.status, Some(1));
    assert!(again.stderr.contains("has no conflict at target `openemr`"), "{}", again.stderr);
}

/// OpenEMR 5.x has no key of ours: what its users do to a public id must never end in a second chart, nor in another
/// person's.
#[tokio::test]
async fn on_openemr_5_no_resolution_duplicates_a_chart_or_takes_another_persons() {
    let Some(openemr) = openemr_database("5.0.2").await else { return };
    let host = holding_host(&openemr);
    openemr.execute("UPDATE patient_data SET pubpid = 'edited'").await.expect("edit");
    moved_into_conflict(&host, "Daegu");
    resolve(&host, &["--keep", "local"]);
    assert_eq!(chart(&openemr).await, [["1", "Daegu", ""]]);
    // Another person's chart, with the public id that OpenEMR gives by itself: its pid.
    openemr
        .execute("INSERT INTO patient_data (pid, pubpid, fname, lname, DOB) VALUES (200, '200', 'Stranger', 'Danger', '1950-12-01')")
        .await
        .expect("insert");
    put(&host, &patient("200"));
    sync(&host);
    let listed = host.run(&["conflicts", "--json"]).expect_success().json();
    assert_eq!(listed["conflicts"][0]["aggregate_id"], "200");
    let resolved = ["conflicts", "resolve", "--target", "openemr", "--patient", "200", "--keep", "local"];
    let _ = host.run(&[&["--as", "kim", "--reason", "ours is newer"][..], &resolved].concat()).expect_success();
    let traced = host.run(&["trace", "200", "--json"]).expect_success().json();
    let command = traced["events"].as_array().and_then(|all| all.iter().rfind(|event| event["event"] == "command"));
    let command = command.unwrap_or_else(|| panic!("{traced}"));
    let named = ["action", "by", "detail", "reason", "target"].map(|name| command[name].as_str());
    let expected = ["conflicts resolve", "kim", "keep local", "ours is newer", "openemr"];
    assert_eq!(named, expected.map(Some));
    sync(&host);
    let strangers = "SELECT fname, city FROM patient_data WHERE pubpid = '200'";
    assert_eq!(rows(openemr.url(), strangers).await, [["Stranger", ""]]);
}
