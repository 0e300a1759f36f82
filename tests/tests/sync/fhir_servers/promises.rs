//! What must hold on every FHIR server while nothing breaks.

use std::time::Duration;

use serde_json::{Value, json};
use tests::host::Host;
use tests::servers::Proxy;

use super::server::{SYSTEM, Server, Settings, host_at, import, sync, unique, written_back};
use crate::support::{patient, put};

const LIMIT: Duration = Duration::from_secs(120);

/// A server in Java that has just started, next to everything else on two cores, takes its time.
const PATIENT: &str = "timeout_ms = 60000";

fn plain(server: &Server) -> Host {
    host_at(&server.url, &Settings { http: PATIENT, ..Settings::default() })
}

fn holding(server: &Server) -> Host {
    host_at(&server.url, &Settings { target: "on_remote_edit = \"hold\"", http: PATIENT, ..Settings::default() })
}

fn moved(id: &str, city: &str) -> Value {
    let mut moved = patient(id);
    moved["city"] = city.into();
    moved
}

fn city(record: &Value) -> &str {
    record["address"][0]["city"].as_str().unwrap_or_default()
}

/// One conflict is open, of this patient.
fn assert_conflict(host: &Host, id: &str) {
    let listed = host.run(&["conflicts", "--json"]).expect_success().json();
    assert_eq!(listed["conflicts"].as_array().map(Vec::len), Some(1), "{listed}");
    assert_eq!(listed["conflicts"][0]["aggregate_id"], id, "{listed}");
}

fn keep(host: &Host, id: &str, whose: &str) {
    let arguments = ["conflicts", "resolve", "--target", "fhir", "--patient", id, "--keep", whose];
    let _ = host.run(&arguments).expect_success();
    sync(host);
    assert_eq!(host.run(&["conflicts"]).expect_success().stdout, "no conflicts\n");
}

pub(crate) fn patients_are_created_once_updated_and_deactivated(server: &Server) {
    let host = plain(server);
    let ids: Vec<_> = (0..12).map(|number| unique(&format!("C{number}"))).collect();
    import(&host, &ids, "Busan");
    sync(&host);
    assert_eq!(host.status()["totals"]["done"], 12, "{}", host.status());
    for id in &ids {
        let record = server.record(id);
        assert_eq!(record["id"], written_back(&host, id));
        assert_eq!((city(&record), &record["active"]), ("Busan", &json!(true)));
    }
    put(&host, &moved(&ids[0], "Daegu"));
    let _ = host.run(&["patient", "delete", &ids[1]]).expect_success();
    let remote_id = written_back(&host, &ids[0]);
    sync(&host);
    let record = server.record(&ids[0]);
    assert_eq!((city(&record), &record["id"]), ("Daegu", &json!(remote_id)));
    assert_eq!(server.record(&ids[1])["active"], false);
    assert_eq!(server.record(&ids[2])["active"], true);
    assert_eq!(host.status()["totals"]["done"], 14, "{}", host.status());
}

pub(crate) fn what_was_delivered_and_forgotten_is_found_again(server: &Server) {
    // The first host delivers and forgets everything, as if it had died before it settled.
    let (first, second) = (plain(server), plain(server));
    let id = unique("L");
    for host in [&first, &second] {
        put(host, &patient(&id));
        sync(host);
    }
    assert_eq!(server.record(&id)["id"], written_back(&first, &id));
    assert_eq!(written_back(&first, &id), written_back(&second, &id));
}

/// What another author adds to a record.
fn add_foreign(record: &mut Value) {
    record["contact"] = json!([{ "name": { "family": "Guardian" } }]);
    let identifiers = record["identifier"].as_array_mut().expect("identifiers");
    identifiers.push(json!({ "system": "urn:other", "value": "X-9" }));
    record["name"].as_array_mut().expect("names").push(json!({ "use": "nickname", "text": "Ji" }));
}

fn assert_foreign(record: &Value) {
    assert_eq!(record["contact"][0]["name"]["family"], "Guardian", "{record}");
    let has = |list: &str, element: &str, value: &str| {
        record[list].as_array().is_some_and(|entries| entries.iter().any(|entry| entry[element] == value))
    };
    assert!(has("identifier", "value", "X-9") && has("name", "use", "nickname"), "{record}");
}

pub(crate) fn what_others_wrote_on_a_record_is_kept(server: &Server) {
    let host = plain(server);
    let id = unique("O");
    put(&host, &patient(&id));
    sync(&host);
    server.edit(&written_back(&host, &id), add_foreign);
    // Twice: the first time finds the foreign edit, the second comes with what the first has learnt.
    for place in ["Daegu", "Jeju"] {
        put(&host, &moved(&id, place));
        sync(&host);
        let record = server.record(&id);
        assert_foreign(&record);
        assert_eq!(city(&record), place);
    }
    assert_eq!(host.status()["totals"]["failed"], 0);
}

pub(crate) fn what_others_wrote_on_a_record_without_a_link_is_kept(server: &Server) {
    let id = unique("U");
    let first = plain(server);
    put(&first, &patient(&id));
    sync(&first);
    server.edit(&written_back(&first, &id), add_foreign);
    // Another store, that has no link: it has been rebuilt, and the application calls every patient new.
    let second = plain(server);
    put(&second, &moved(&id, "Daegu"));
    sync(&second);
    let record = server.record(&id);
    assert_foreign(&record);
    assert_eq!(city(&record), "Daegu");
}

pub(crate) fn an_edit_of_our_elements_is_held_for_a_person(server: &Server) {
    let host = holding(server);
    let id = unique("H");
    put(&host, &patient(&id));
    sync(&host);
    server.edit(&written_back(&host, &id), |record| record["birthDate"] = "1991-01-01".into());
    put(&host, &moved(&id, "Daegu"));
    sync(&host);
    assert_conflict(&host, &id);
    let record = server.record(&id);
    assert_eq!((city(&record), &record["birthDate"]), ("Busan", &json!("1991-01-01")), "left alone");
    keep(&host, &id, "local");
    let record = server.record(&id);
    assert_eq!((city(&record), &record["birthDate"]), ("Daegu", &json!("1990-05-05")));
}

pub(crate) fn a_record_that_others_deleted_is_a_conflict_and_comes_back_when_a_person_says_so(server: &Server) {
    let host = plain(server);
    let id = unique("D");
    put(&host, &patient(&id));
    sync(&host);
    server.delete(&written_back(&host, &id));
    put(&host, &moved(&id, "Daegu"));
    sync(&host);
    assert_conflict(&host, &id);
    assert_eq!(server.records(&id).len(), 0, "it does not come back by itself");
    keep(&host, &id, "local");
    let record = server.record(&id);
    assert_eq!((city(&record), &record["id"]), ("Daegu", &json!(written_back(&host, &id))));
}

pub(crate) fn two_records_of_one_patient_are_a_conflict(server: &Server) {
    let id = unique("T");
    for _ in 0..2 {
        server.create(&json!({
            "resourceType": "Patient", "identifier": [{ "system": SYSTEM, "value": id }], "gender": "female",
            "name": [{ "family": "Choi", "given": ["JiWoo"], "text": "JiWoo Choi" }], "birthDate": "1990-05-05",
        }));
    }
    let host = plain(server);
    put(&host, &patient(&id));
    sync(&host);
    assert_conflict(&host, &id);
    let records = server.records(&id);
    assert_eq!(records.len(), 2, "and no third");
    assert!(records.iter().all(|record| record.get("address").is_none()), "both are left alone: {records:?}");
}

/// What the adapter sends to see whether its credentials may write.
pub(crate) fn a_create_that_is_cut_off_is_refused_by_everyone(server: &Server) {
    let status = server.create_from("{");
    assert!((400..500).contains(&status) && ![401, 403].contains(&status), "{status}");
}

pub(crate) fn a_double_that_others_make_while_we_create_is_a_conflict_at_once(server: &Server) {
    let id = unique("W");
    let proxy = &mut Proxy::start(server.port()).expect("proxy");
    proxy.hold_writes().expect("hold");
    let host = host_at(&proxy.address_of(&server.url), &Settings { http: PATIENT, ..Settings::default() });
    put(&host, &patient(&id));
    let mut running = host.spawn(&["run"]).expect("spawn");
    // Our search has found no patient, and our create is on its way.
    running.wait_until("the create is held", LIMIT, || proxy.held() > 0).expect("wait");
    server.create(&json!({
        "resourceType": "Patient", "identifier": [{ "system": SYSTEM, "value": id }], "gender": "female",
        "name": [{ "family": "Choi", "given": ["JiWoo"], "text": "JiWoo Choi" }], "birthDate": "1990-05-05",
    }));
    proxy.pass().expect("pass");
    let settled = || {
        let totals = host.status()["totals"].clone();
        totals["failed"] == 1 || totals["done"] == 1
    };
    running.wait_until("it is settled", LIMIT, settled).expect("wait");
    match server.records(&id).len() {
        // The server's own condition kept ours out.
        1 => assert_eq!(host.status()["totals"]["done"], 1, "{}", host.status()),
        _ => assert_conflict(&host, &id),
    }
}
