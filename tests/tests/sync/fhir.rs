//! To a FHIR server that speaks the real protocol.

use std::time::{SystemTime, UNIX_EPOCH};

use tests::environment::fhir_url;
use tests::host::{Configuration, Host};

use crate::support::{QUICK, adapter, patient, put};

/// Every test shares the server, so each has patients of its own.
fn unique(prefix: &str) -> String {
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).expect("clock").as_nanos();
    format!("{prefix}-{nanos:x}")
}

fn host(url: &str) -> Host {
    let configuration = Configuration::new("sqlite://.host/host.db")
        .more(&format!(
            "\n[targets.fhir]\nadapter = {}\nid_column = \"fhir_patient_id\"\n[targets.fhir.http]\nbase_url = {}\nallow_private = true\n",
            tests::host::quoted(&adapter("fhir").to_string_lossy()),
            tests::host::quoted(url)
        ))
        .more(QUICK);
    Host::new(&configuration).expect("host")
}

fn get(url: &str) -> serde_json::Value {
    let output = std::process::Command::new("curl").args(["-sS", "--fail", url]).output().expect("curl");
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{url}: {error}: {}", String::from_utf8_lossy(&output.stderr)))
}

#[test]
fn patients_are_created_updated_and_deactivated() {
    let Some(url) = fhir_url() else { return };
    let host = host(&url);
    let ids: Vec<_> = (0..3).map(|number| unique(&format!("F{number}"))).collect();
    for id in &ids {
        put(&host, &patient(id));
    }
    let _ = host.run(&["run", "--until-idle"]).expect_success();
    assert_eq!(host.status()["totals"]["done"], 3);
    let shown = host.run(&["patient", "show", &ids[0]]).expect_success().json();
    let remote_id = shown["fhir_patient_id"].as_str().expect("id written back").to_owned();
    let resource = get(&format!("{url}/Patient/{remote_id}"));
    assert_eq!(resource["identifier"][0]["value"], ids[0]);
    let names = resource["name"].to_string();
    assert!(names.contains("최지우") || names.contains("최 지우"), "the name in its own script: {names}");
    assert!(names.contains("Choi"), "and romanised: {names}");

    let mut changed = patient(&ids[0]);
    changed["city"] = "Daegu".into();
    put(&host, &changed);
    let _ = host.run(&["run", "--until-idle"]).expect_success();
    let resource = get(&format!("{url}/Patient/{remote_id}"));
    assert_eq!(resource["address"][0]["city"], "Daegu");

    let _ = host.run(&["patient", "delete", &ids[0]]).expect_success();
    let _ = host.run(&["run", "--until-idle"]).expect_success();
    let resource = get(&format!("{url}/Patient/{remote_id}"));
    assert_eq!(resource["active"], false);
    assert_eq!(host.status()["totals"]["done"], 5);
}

#[test]
fn a_lost_answer_makes_no_second_patient() {
    let Some(url) = fhir_url() else { return };
    let id = unique("L");
    // The first host delivers and forgets everything, as if it had died before it settled.
    let first = host(&url);
    put(&first, &patient(&id));
    let _ = first.run(&["run", "--until-idle"]).expect_success();
    let second = host(&url);
    put(&second, &patient(&id));
    let _ = second.run(&["run", "--until-idle"]).expect_success();
    let of = |host: &Host| host.run(&["patient", "show", &id]).expect_success().json()["fhir_patient_id"].clone();
    assert_eq!(of(&first), of(&second));
    let found = get(&format!("{url}/Patient?identifier=urn:neuronova:patient-id%7C{id}"));
    assert_eq!(found["total"], 1);
}
