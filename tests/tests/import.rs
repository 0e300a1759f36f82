//! `host import` as its user sees it, on every store: accepted records, the state after a kill, the messages.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use host::database::{Database as HostDatabase, Locator};
use host::store::{Store, StoreClock};
use serde_json::{Value, json};
use tests::database::{Database, fresh_databases};
use tests::environment::Backend;
use tests::host::{Configuration, Host};

fn host_on(database: &Database) -> Host {
    Host::new(&Configuration::new(database.url())).expect("host")
}

fn host() -> Host {
    Host::new(&Configuration::new("sqlite://.host/host.db")).expect("host")
}

fn store(database: &Database) -> Store {
    let url = database.url();
    let locator = match database.backend() {
        Backend::Sqlite => Locator::Sqlite(url.trim_start_matches("sqlite://").into()),
        Backend::MariaDb => Locator::MySql(url.parse().expect("url")),
        Backend::Postgres => Locator::Postgres(url.parse().expect("url")),
        Backend::Fhir | Backend::Hapi | Backend::Medplum | Backend::FhirStarter => {
            panic!("a FHIR server is no store")
        }
    };
    Store::new(HostDatabase::new(locator, 2, Duration::from_secs(30)).expect("database"), StoreClock::Database)
}

fn resource(id: &str, city: &str) -> Value {
    json!({
        "resourceType": "Patient", "id": id, "birthDate": "1980-01-31", "gender": "female",
        "identifier": [{ "system": "urn:neuronova:patient-id", "value": id }],
        "name": [{ "use": "official", "family": "김", "given": ["민준"] }, { "use": "official", "family": "Kim", "given": ["MinJun"] }],
        "telecom": [{ "system": "phone", "value": "010-5550-1001", "use": "mobile" }],
        "address": [{ "use": "home", "line": ["1 Sejong-daero"], "city": city, "country": "KR" }],
    })
}

fn write_patients(host: &Host, name: &str, count: usize, city: &str) {
    let lines: Vec<_> = (0..count).map(|number| resource(&format!("P-{number:06}"), city).to_string()).collect();
    fs::write(host.folder().join(name), lines.join("\n") + "\n").expect("write");
}

async fn patients_in(store: &Store) -> usize {
    let (mut after, mut count) = (None, 0);
    loop {
        let page = store.patients(after.as_deref(), 5_000).await.expect("list");
        let Some(last) = page.last() else { return count };
        after = Some(last.patient.patient_id.as_str().to_owned());
        count += page.len();
    }
}

async fn queued_in(store: &Store) -> usize {
    usize::try_from(store.status(0).await.expect("status").unrouted).expect("a count")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_import_resumes_without_duplicates() {
    for database in fresh_databases().await.expect("databases") {
        let (host, store) = (host_on(&database), store(&database));
        store.migrate().await.expect("migrate");
        // A kill after the end would prove nothing: then the same with more patients.
        let mut count = 20_000;
        let left = loop {
            write_patients(&host, "patients.ndjson", count, "Seoul");
            let mut import = host.spawn(&["import", "patients.ndjson"]).expect("spawn");
            while import.is_running().expect("look") && queued_in(&store).await == 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            import.kill();
            let queued = queued_in(&store).await;
            assert!(queued > 0, "the first chunk was taken");
            if queued < count {
                break queued;
            }
            count *= 2;
            assert!(count < 1_000_000, "an import is always quicker than a kill");
            database.execute("DELETE FROM sync_outbox").await.expect("delete");
            database.execute("DELETE FROM patient_cache").await.expect("delete");
        };
        assert_eq!(patients_in(&store).await, left, "each patient came with its row");
        let second = host.run(&["import", "patients.ndjson", "--json"]).expect_success().json();
        assert!(second["lines_before"].as_u64().expect("number") > 0, "it went on: {second}");
        assert_eq!((second["created"].as_u64(), second["lines"].as_u64()), (Some(count as u64), Some(count as u64)));
        assert_eq!((patients_in(&store).await, queued_in(&store).await), (count, count), "{}", database.url());
        let third = host.run(&["import", "patients.ndjson"]).expect_success();
        assert!(third.stdout.contains("an earlier run imported the whole file"), "{}", third.stdout);
        let again = host.run(&["import", "patients.ndjson", "--again", "--json"]).expect_success().json();
        assert_eq!((again["unchanged"].as_u64(), again["created"].as_u64()), (Some(count as u64), Some(0)));
        assert_eq!(queued_in(&store).await, count, "what is unchanged is not queued");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_file_of_the_same_name_is_imported_and_only_changes_are_queued() {
    for database in fresh_databases().await.expect("databases") {
        let (host, store) = (host_on(&database), store(&database));
        write_patients(&host, "patients.ndjson", 2_500, "Seoul");
        let _ = host.run(&["import", "patients.ndjson"]).expect_success();
        write_patients(&host, "patients.ndjson", 2_500, "Busan");
        let path = host.folder().join("patients.ndjson");
        let half = fs::read_to_string(&path).expect("read").replacen("Busan", "Seoul", 1_250);
        fs::write(&path, half).expect("write");
        let second = host.run(&["import", "patients.ndjson", "--json"]).expect_success().json();
        assert_eq!(
            (second["lines_before"].as_u64(), second["updated"].as_u64(), second["unchanged"].as_u64()),
            (Some(0), Some(1_250), Some(1_250)),
            "{second}"
        );
        assert_eq!((patients_in(&store).await, queued_in(&store).await), (2_500, 3_750));
        // One more line: only that one is taken.
        let mut file = fs::OpenOptions::new().append(true).open(&path).expect("open");
        writeln!(file, "{}", resource("P-new", "Daegu")).expect("append");
        let third = host.run(&["import", "patients.ndjson", "--json"]).expect_success().json();
        assert_eq!((third["lines_before"].as_u64(), third["created"].as_u64()), (Some(2_500), Some(1)), "{third}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn csv_patients_round_trip() {
    for database in fresh_databases().await.expect("databases") {
        let (host, store) = (host_on(&database), store(&database));
        let header = "Patient No;family_name;given_name;birth_date;gender;native_family_name;street;notes\r\n";
        let row = |number| format!("P-{number};O'Neil \\ ;Min;1980-02-29;other;김😀;\"1; \"\"A\"\"\";x\r\n");
        let text = header.to_owned() + &(0..1_003).map(row).collect::<Vec<_>>().concat();
        fs::write(host.folder().join("patients.csv"), text).expect("write");
        let arguments =
            ["import", "patients.csv", "--delimiter", ";", "--map", "patient no=patient_id", "--map", "notes="];
        let _ = host.run(&arguments).expect_success();
        assert_eq!((patients_in(&store).await, queued_in(&store).await), (1_003, 1_003));
        for id in ["P-0", "P-1002"] {
            let patient = store.patient(id).await.expect("read").expect("there").patient;
            assert_eq!(
                patient.payload(),
                json!({ "patient_id": id, "family_name": "O'Neil \\", "given_name": "Min", "birth_date": "1980-02-29",
                        "gender": "other", "native_family_name": "김😀", "street": "1; \"A\"" })
                .as_object()
                .map(|object| {
                    let order = [
                        "patient_id",
                        "family_name",
                        "given_name",
                        "birth_date",
                        "gender",
                        "native_family_name",
                        "street",
                    ];
                    let fields: Vec<_> = order.iter().map(|field| format!("\"{field}\":{}", object[*field])).collect();
                    format!("{{{}}}", fields.join(","))
                })
                .expect("object"),
            );
        }
        let again = host.run(&[&arguments[..], &["--again", "--json"]].concat()).expect_success().json();
        assert_eq!(again["unchanged"], 1_003, "the store holds what the file has");
    }
}

#[test]
fn rejects_are_written_with_line_and_reason_and_the_others_are_imported() {
    let host = host();
    let lines = [
        resource("P-1", "Seoul").to_string(),
        "{\"resourceType\": \"Patient\", \"id\": \"P-2\", \"birthDate\": \"Secretdate\"}".to_owned(),
        resource("P-3", "Seoul").to_string(),
    ];
    fs::write(host.folder().join("patients.ndjson"), lines.join("\n")).expect("write");
    let dry = host.run(&["import", "patients.ndjson", "--dry-run"]);
    assert_eq!(dry.status, Some(1));
    assert!(dry.stdout.contains("2 would be created") && dry.stdout.contains("nothing was written"), "{}", dry.stdout);
    assert_eq!(host.status()["unrouted"], 0);
    let output = host.run(&["import", "patients.ndjson"]);
    assert_eq!(output.status, Some(1), "{}{}", output.stdout, output.stderr);
    for words in ["2 created", "1 records were rejected: see patients.ndjson.rejects.ndjson"] {
        assert!(output.stdout.contains(words), "no `{words}` in {}", output.stdout);
    }
    assert!(!format!("{}{}", output.stdout, output.stderr).contains("Secretdate"));
    let rejects = fs::read_to_string(host.folder().join("patients.ndjson.rejects.ndjson")).expect("rejects");
    assert!(!rejects.contains("Secretdate"), "{rejects}");
    let reject: Value = serde_json::from_str(&rejects).expect("one JSON object");
    assert_eq!(reject["line"], 2);
    let fields: Vec<_> =
        reject["problems"].as_array().expect("problems").iter().map(|problem| &problem["field"]).collect();
    assert_eq!(fields, ["family_name", "given_name", "birth_date"]);
    // The next run reports the reject again, and does not write it twice.
    let second = host.run(&["import", "patients.ndjson", "--json"]);
    assert_eq!((second.status, &second.json()["rejected"]), (Some(1), &json!(1)));
    assert_eq!(fs::read_to_string(host.folder().join("patients.ndjson.rejects.ndjson")).expect("rejects"), rejects);
    let kept = host.run(&["import", "patients.ndjson", "--again", "--rejects", "r.ndjson", "--rejects-with-line"]);
    assert_eq!(kept.status, Some(1));
    assert!(fs::read_to_string(host.folder().join("r.ndjson")).expect("rejects").contains("Secretdate"));
    assert_eq!(host.status()["unrouted"], 2);
}

#[test]
fn a_patient_is_imported_without_an_invalid_field_and_counted() {
    let host = host();
    let mut patient = resource("P-1", "Seoul");
    patient["telecom"] = json!([{ "system": "email", "value": "no-at-sign" }]);
    let lines = [patient.to_string(), resource("P-2", "Seoul").to_string()];
    fs::write(host.folder().join("patients.ndjson"), lines.join("\n")).expect("write");
    let strict = host.run(&["import", "patients.ndjson", "--strict"]);
    assert_eq!(strict.status, Some(1), "{}{}", strict.stdout, strict.stderr);
    assert!(strict.stdout.contains("[REJECTED] 1 records were rejected"), "{}", strict.stdout);
    assert_eq!(host.status()["unrouted"], 1);
    let output = host.run(&["import", "patients.ndjson", "--again"]);
    assert_eq!(output.status, Some(1), "{}{}", output.stdout, output.stderr);
    for words in ["1 created", "[LEFT OUT] 1 patients were imported without some fields"] {
        assert!(output.stdout.contains(words), "no `{words}` in {}", output.stdout);
    }
    let again = host.run(&["import", "patients.ndjson", "--again", "--json"]).json();
    assert_eq!((&again["incomplete"], &again["rejected"], &again["unchanged"]), (&json!(1), &json!(0), &json!(2)));
    assert_eq!(host.status()["unrouted"], 2);
}

/// Exit 0 would say that the patients behind the quote are there.
#[test]
fn an_open_quote_ends_the_import_and_keeps_the_records_before_it() {
    let host = host();
    let csv = "patient_id,family_name,given_name,birth_date,gender,remarks\nP-1,Kim,A,1980-01-31,female,fine\n\
               P-2,Kim,B,1980-01-31,female,\"open\nP-3,Kim,C,1980-01-31,female,fine\n";
    fs::write(host.folder().join("patients.csv"), csv).expect("write");
    let dry = host.run(&["import", "patients.csv", "--ignore-other-columns", "--dry-run"]);
    assert_eq!(dry.status, Some(3), "{}{}", dry.stdout, dry.stderr);
    assert!(dry.stderr.contains("Nothing was written (--dry-run)"), "{}", dry.stderr);
    assert!(!dry.stderr.contains("were imported"), "{}", dry.stderr);
    let output = host.run(&["import", "patients.csv", "--ignore-other-columns"]);
    assert_eq!(output.status, Some(3), "{}{}", output.stdout, output.stderr);
    assert!(output.stderr.contains("patients.csv:3: a quote is opened in the record"), "{}", output.stderr);
    assert!(output.stderr.contains("Earlier records were imported. Fix the file"), "{}", output.stderr);
    assert_eq!(host.status()["unrouted"], 1);
}

#[test]
fn stdin_is_imported_and_the_last_state_of_a_patient_wins() {
    let host = host();
    let lines = [resource("P-1", "Seoul"), resource("P-2", "Seoul"), resource("P-1", "Busan")];
    let text = lines.map(|line| line.to_string()).join("\n");
    for (created, unchanged) in [(2, 0), (0, 2)] {
        let mut import = host
            .command(&["import", "-", "--format", "ndjson", "--json"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("spawn");
        import.stdin.take().expect("stdin").write_all(text.as_bytes()).expect("write");
        let output = import.wait_with_output().expect("wait");
        assert!(output.status.success());
        let summary: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        assert_eq!(
            (&summary["created"], &summary["unchanged"], &summary["repeated"]),
            (&json!(created), &json!(unchanged), &json!(1))
        );
    }
    assert_eq!(host.run(&["patient", "show", "P-1"]).expect_success().json()["city"], "Busan");
}

#[test]
fn invalid_arguments_are_refused_before_anything_is_written() {
    let host = host();
    write_patients(&host, "patients.ndjson", 3, "Seoul");
    fs::copy(host.folder().join("patients.ndjson"), host.folder().join("patients")).expect("copy");
    fs::write(host.folder().join("p.csv"), "a,b\n1,2\n").expect("write");
    let cases: [(&[&str], i32, &str); 9] = [
        (&["import", "missing.ndjson"], 3, "missing.ndjson: not found"),
        (&["import", "."], 2, "--format"),
        (&["import", ".", "--format", "csv"], 3, "is a folder"),
        (&["import", "patients"], 2, "cannot tell the format"),
        (&["import", "patients.ndjson", "--map", "a=city"], 2, "apply to CSV only"),
        (&["import", "p.csv", "--map", "a=colour"], 2, "the field must be one of"),
        (&["import", "p.csv"], 3, "column 1 is not a field of a patient"),
        (&["import", "p.csv", "--delimiter", "ab"], 2, "--delimiter must be one character"),
        (&["import", "p.csv", "--rejects", "p.csv"], 2, "--rejects names a folder or a file that is read"),
    ];
    for (arguments, status, words) in cases {
        let output = host.run(arguments);
        assert_eq!(output.status, Some(status), "{arguments:?}: {}", output.stderr);
        assert!(output.stderr.contains(words), "no `{words}` in {}", output.stderr);
    }
    assert!(Path::new(&host.folder().join("p.csv")).exists(), "nothing that is read was removed");
    assert_eq!(host.status()["unrouted"], 0);
}

#[test]
fn a_file_without_patients_ends_early() {
    let host = host();
    fs::write(host.folder().join("notes.ndjson"), "Secretname, a note\n".repeat(30_000)).expect("write");
    let output = host.run(&["import", "notes.ndjson"]);
    assert_eq!(output.status, Some(3), "{}{}", output.stdout, output.stderr);
    assert!(output.stderr.contains("cannot import any of the first 20000 records"), "{}", output.stderr);
    assert!(!output.stderr.contains("Secretname"), "{}", output.stderr);
    assert_eq!(host.status()["unrouted"], 0);
}
