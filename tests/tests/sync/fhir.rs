//! To a FHIR server that speaks the real protocol.

use std::time::{SystemTime, UNIX_EPOCH};

use tests::environment::fhir_url;
use tests::host::{Configuration, Host};

use crate::support::{QUICK, adapter, patient, put};

/// Every test shares the server, so each has patients of its own.
pub(crate) fn unique(prefix: &str) -> String {
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).expect("clock").as_nanos();
    format!("{prefix}-{nanos:x}")
}

fn host(url: &str) -> Host {
    host_with(url, "")
}

/// A host whose target has additional settings.
fn host_with(url: &str, more: &str) -> Host {
    let configuration = Configuration::new("sqlite://.host/host.db")
        .more(&format!(
            "\n[targets.fhir]\nadapter = {}\nid_column = \"fhir_patient_id\"\n[targets.fhir.http]\nbase_url = {}\nallow_private = true\n",
            tests::host::quoted(&adapter("fhir").to_string_lossy()),
            tests::host::quoted(url)
        ))
        .more(more)
        .more(QUICK);
    Host::new(&configuration).expect("host")
}

pub(crate) fn get(url: &str) -> serde_json::Value {
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

/// Someone else writes a Patient; gives its id.
fn post(url: &str, patient: &serde_json::Value) -> String {
    let body = patient.to_string();
    let output = std::process::Command::new("curl")
        .args(["-sS", "--fail", "-X", "POST", "-H", "content-type: application/fhir+json"])
        .args(["-H", "prefer: return=representation", "--data-binary", &body, &format!("{url}/Patient")])
        .output()
        .expect("curl");
    let created: serde_json::Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{url}: {error}: {}", String::from_utf8_lossy(&output.stderr)));
    created["id"].as_str().expect("id").to_owned()
}

fn fhir_id(host: &Host, id: &str) -> String {
    let shown = host.run(&["patient", "show", id]).expect_success().json();
    shown["fhir_patient_id"].as_str().expect("id written back").to_owned()
}

fn count(url: &str, id: &str) -> usize {
    let found = get(&format!("{url}/Patient?identifier=urn:neuronova:patient-id%7C{id}"));
    found["entry"].as_array().map_or(0, Vec::len)
}

#[test]
fn a_patient_deleted_on_both_sides_can_be_created_again() {
    let Some(url) = fhir_url() else { return };
    let host = host(&url);
    let id = unique("B");
    put(&host, &patient(&id));
    let _ = host.run(&["run", "--until-idle"]).expect_success();
    let remote_id = fhir_id(&host, &id);
    let record = format!("{url}/Patient/{remote_id}");
    let deleted = std::process::Command::new("curl").args(["-sS", "--fail", "-X", "DELETE", &record]).output();
    assert!(deleted.expect("curl").status.success());
    let _ = host.run(&["patient", "delete", &id]).expect_success();
    let _ = host.run(&["run", "--until-idle"]).expect_success();
    put(&host, &patient(&id));
    let _ = host.run(&["run", "--until-idle"]).expect_success();
    assert_eq!(host.status()["totals"]["done"], 3, "{}", host.status());
    assert_eq!(count(&url, &id), 1);
    let back = get(&format!("{url}/Patient/{}", fhir_id(&host, &id)));
    assert_eq!(back["active"], true);
}

#[test]
fn two_independent_stores_derive_the_same_id_for_a_patient() {
    let Some(url) = fhir_url() else { return };
    let statement = get(&format!("{url}/metadata"));
    let offered = statement["rest"][0]["resource"].as_array().is_some_and(|resources| {
        resources.iter().any(|resource| resource["type"] == "Patient" && resource["updateCreate"] == true)
    });
    let id = unique("D");
    let hosts = [host(&url), host(&url)];
    for host in &hosts {
        put(host, &patient(&id));
    }
    // At the same time: whoever comes second finds the id taken.
    std::thread::scope(|scope| {
        for host in &hosts {
            scope.spawn(|| host.run(&["run", "--until-idle"]).expect_success());
        }
    });
    if offered {
        assert_eq!(count(&url, &id), 1);
        assert_eq!(fhir_id(&hosts[0], &id), fhir_id(&hosts[1], &id));
        assert_eq!(fhir_id(&hosts[0], &id).len(), 36, "an id of ours");
    } else {
        eprintln!("the server gives ids itself: two at the same time may become two");
    }
}

#[test]
fn a_record_with_our_identifier_is_found_and_keeps_elements_of_others() {
    let Some(url) = fhir_url() else { return };
    let id = unique("O");
    let existing = post(
        &url,
        &serde_json::json!({ "resourceType": "Patient", "active": true,
            "identifier": [{ "system": "urn:neuronova:patient-id", "value": id }],
            "contact": [{ "name": { "text": "Lee" } }] }),
    );
    let host = host(&url);
    put(&host, &patient(&id));
    let _ = host.run(&["run", "--until-idle"]).expect_success();
    assert_eq!((fhir_id(&host, &id), count(&url, &id)), (existing.clone(), 1));
    let record = get(&format!("{url}/Patient/{existing}"));
    assert_eq!(record["contact"][0]["name"]["text"], "Lee");
    assert!(record["name"].to_string().contains("Choi"));
}

#[test]
fn two_patients_whose_ids_differ_only_in_case_stay_apart() {
    let Some(url) = fhir_url() else { return };
    let upper = unique("CASE");
    let lower = upper.to_lowercase();
    let host = host(&url);
    put(&host, &patient(&upper));
    let _ = host.run(&["run", "--until-idle"]).expect_success();
    put(&host, &patient(&lower));
    let _ = host.run(&["run", "--until-idle"]).expect_success();
    assert_eq!(host.status()["totals"]["done"], 2);
    assert_ne!(fhir_id(&host, &upper), fhir_id(&host, &lower));
}

#[test]
fn a_lost_response_makes_no_second_patient() {
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

#[test]
fn delivered_patients_are_imported_unchanged() {
    let Some(url) = fhir_url() else { return };
    let settings = "\n[targets.fhir.settings]\nnational_id_system = \"urn:nation\"\nus_core = true\n";
    let first = host_with(&url, settings);
    let (whole, least) = (unique("W"), unique("M"));
    let mut patient = patient(&whole);
    for (field, text) in [
        ("middle_name", "Q"),
        ("title", "Dr."),
        ("suffix", "Jr."),
        ("marital_status", "domestic_partner"),
        ("phone_home", "02-1"),
        ("phone_mobile", "010-2"),
        ("phone_work", "02-3"),
        ("email", "a@b.kr"),
        ("street", "1 A-ro"),
        ("street_line_2", "Flat 2"),
        ("state", "26"),
        ("postal_code", "48058"),
        ("country", "KR"),
        ("language", "ko"),
        ("race", "asian"),
        ("ethnicity", "not_hisp_or_latin"),
        ("national_id", "900505-2"),
        ("deceased_date", "2024-12-31"),
    ] {
        patient[field] = text.into();
    }
    put(&first, &patient);
    let bare = serde_json::json!({ "patient_id": least, "family_name": "Müller", "given_name": "Jörg",
                                   "birth_date": "1950-12-01", "gender": "unknown" });
    put(&first, &bare);
    let _ = first.run(&["run", "--until-idle"]).expect_success();
    let show = |host: &Host, id: &str| host.run(&["patient", "show", id]).expect_success().json();
    let second = self::host(&url);
    let lines: Vec<_> = [&whole, &least]
        .iter()
        .map(|id| {
            let remote_id = show(&first, id)["fhir_patient_id"].as_str().expect("delivered").to_owned();
            get(&format!("{url}/Patient/{remote_id}")).to_string()
        })
        .collect();
    std::fs::write(second.folder().join("export.ndjson"), lines.join("\n")).expect("write");
    let options = ["import", "export.ndjson", "--national-id-system", "urn:nation", "--us-core"];
    let _ = second.run(&options).expect_success();
    for id in [&whole, &least] {
        let (mut sent, mut taken) = (show(&first, id), show(&second, id));
        sent["fhir_patient_id"].take();
        taken["fhir_patient_id"].take();
        assert_eq!(sent, taken);
    }
}
