//! References over the binary: an encounter waits for its patient, is listed with what it waits for, and arrives with
//! the id that the target gave him.

use serde_json::{Value, json};
use tests::database::{self, Database};
use tests::environment::Backend;
use tests::host::{Configuration, Host, quoted};
use tests::session::Session;

use crate::support::{QUICK, adapter, patient, put};

/// The probe, whose ids tell what a change refers to.
fn configuration(url: &str) -> Configuration {
    Configuration::new("sqlite://.host/host.db").more(&format!(
        "[targets.probe]\nadapter = {}\naggregate_types = [\"patient\", \"encounter\"]\n\
         [targets.probe.database]\nurl = {}\n\
         [targets.probe.settings]\nbehaviour = \"references\"\nquiet_check = true\n{QUICK}",
        quoted(&adapter("testing-probe").to_string_lossy()),
        quoted(url)
    ))
}

async fn append(host: &Host, id: &str, refs: &str) {
    let insert = "INSERT INTO sync_outbox (aggregate_type, aggregate_id, operation, payload, refs) VALUES";
    let row = format!("{insert} ('encounter', '{id}', 'create', '{{}}', '{refs}')");
    database::execute(&store_url(host), &row).await.expect("insert");
}

fn store_url(host: &Host) -> String {
    database::sqlite_url(&host.folder().join(".host/host.db"))
}

fn subject(id: &str) -> String {
    json!([{ "name": "subject", "type": "patient", "id": id }]).to_string()
}

/// The one reference in the story of E-1, and the story as it is shown.
fn traced_reference(host: &Host) -> (Value, String) {
    let trace = ["trace", "--type", "encounter", "--id", "E-1"];
    let story = host.run(&[&trace[..], &["--json"]].concat()).expect_success().json();
    let events = story["events"].as_array().expect("events").iter();
    let refers: Vec<_> = events.filter(|event| event["event"] == "refers").cloned().collect();
    let [refers] = &refers[..] else { panic!("one reference: {story}") };
    (refers.clone(), host.run(&trace).expect_success().stdout)
}

#[tokio::test]
async fn an_encounter_waits_for_its_patient_and_gets_the_patients_id() {
    let target = Database::fresh(Backend::Sqlite).await.expect("database").expect("SQLite is always there");
    let host = Host::new(&configuration(target.url())).expect("host");
    let _ = host.run(&["migrate"]).expect_success();
    append(&host, "E-1", &subject("P-1")).await;
    append(&host, "E-2", &json!([{ "name": "part", "type": "encounter", "id": "E-3" }]).to_string()).await;
    append(&host, "E-3", &json!([{ "name": "part", "type": "encounter", "id": "E-2" }]).to_string()).await;
    let run = host.run(&["run", "--until-idle"]);
    assert_eq!(run.status, Some(1), "it ends, and something is left: {}", run.stdout);

    let waiting = host.run(&["waiting"]).expect_success().stdout;
    let expected = "change 1 of encounter E-1 [probe] waits for patient P-1 (not written yet), for ";
    assert!(waiting.contains(expected), "{waiting}");
    let circle = "change 2 of encounter E-2 [probe] waits for encounter E-3 (in a circle: it waits for encounter E-2, \
                  which waits for encounter E-3)";
    assert!(waiting.contains(circle), "{waiting}");
    let json = host.run(&["waiting", "--target", "probe", "--after", "1", "--json"]).expect_success().json();
    assert_eq!(json["waiting"][0]["waits_for"][0]["reason"], "circle", "{json}");
    assert_eq!(json["waiting"].as_array().map(Vec::len), Some(2));
    let (refers, shown) = traced_reference(&host);
    assert_eq!(refers["refers_to"], json!({ "aggregate_type": "patient", "aggregate_id": "P-1" }));
    assert_eq!((&refers["target"], &refers["confirmed_at"]), (&json!("probe"), &Value::Null), "{refers}");
    assert!(shown.contains("change 1 at probe refers to patient P-1, which the target lacks\n"), "{shown}");
    let status = host.run(&["status"]).expect_success().stdout;
    assert!(status.contains("[Waiting]") && status.contains("encounter E-1 [probe] waits for patient P-1"), "{status}");
    assert_eq!(host.status()["targets"]["probe"]["waiting_for_references"], 3);

    put(&host, &patient("P-1"));
    let _ = host.run(&["run", "--until-idle"]);
    let mut session = Session::open(&store_url(&host)).await.expect("open");
    let links =
        session.rows("SELECT aggregate_id, remote_id FROM sync_link ORDER BY aggregate_id").await.expect("links");
    let links: Vec<_> = links.into_iter().map(|row| row.into_iter().flatten().collect::<Vec<_>>().join(": ")).collect();
    assert_eq!(links, ["E-1: Operation::Create subject=patient/P-1@Operation::Create ", "P-1: Operation::Create "]);
    assert_eq!(host.status()["totals"]["done"], 2);
    let (refers, shown) = traced_reference(&host);
    assert!(refers["confirmed_at"].is_i64(), "{refers}");
    let confirmed = "change 1 at probe refers to patient P-1, which the target confirmed last at 20";
    assert!(shown.contains(confirmed), "{shown}");
}

#[tokio::test]
async fn a_resync_resumes_behind_a_patient_and_behind_a_clinical_record() {
    let target = Database::fresh(Backend::Sqlite).await.expect("database").expect("SQLite is always there");
    let host = Host::new(&configuration(target.url())).expect("host");
    let _ = host.run(&["migrate"]).expect_success();
    for id in ["P-1", "P-2", "P-3"] {
        put(&host, &patient(id));
    }
    let visit = |id: &str| {
        format!(
            "[[encounters]]\nid = \"{id}\"\npatient = \"P-1\"\nstatus = \"planned\"\nclass = \"AMB\"\n\
             period = {{ start = 2026-01-01T09:00:00+09:00 }}\n"
        )
    };
    let seeds = host.folder().join("visits.toml");
    std::fs::write(&seeds, ["E-1", "E-2", "E-3"].map(visit).concat()).expect("write");
    let _ = host.run(&["seed", &seeds.to_string_lossy()]).expect_success();

    let resync = |more: &[&str]| {
        let first: &[&str] = &["resync", "--target", "probe", "--page", "1", "--pause-ms", "0"];
        host.run(&[first, more].concat())
    };
    let resumed = resync(&["--after", "P-2"]).expect_success().stdout;
    assert!(resumed.contains("up to P-3\n1 patients queued for probe sync\n"), "{resumed}");
    assert!(resumed.contains("3 clinical records queued for probe sync"), "{resumed}");
    let resumed = resync(&["--after", "E-2", "--after-type", "encounter"]).expect_success().stdout;
    assert!(
        resumed.starts_with("   [OK] 1 clinical records queued, up to encounter E-3\n1 clinical records"),
        "{resumed}"
    );

    let refused = resync(&["--after", "L-1", "--after-type", "lab-result"]);
    assert_eq!(refused.status, Some(2));
    assert!(refused.stderr.contains("cannot resume after lab-result `L-1`"), "{}", refused.stderr);
    assert_eq!(resync(&["--after-type", "encounter"]).status, Some(2));
}
