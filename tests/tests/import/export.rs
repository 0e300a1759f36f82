//! `host import` of a bulk export: several files, references between them in every form, in whatever order.

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use host::domain::ids::AggregateKey;
use host::store::Store;
use serde_json::{Value, json};
use tests::database::{Database, fresh_databases};
use tests::environment::fixture;
use tests::host::{Host, Output};
use tests::session::Session;

use super::{host, host_on, patients_in, queued_in, store};

/// The files of the export, what refers to others first.
const WORST_ORDER: [&str; 11] = [
    "Immunization.ndjson",
    "Appointment.ndjson",
    "Observation.ndjson",
    "MedicationStatement.ndjson",
    "MedicationRequest.ndjson",
    "AllergyIntolerance.ndjson",
    "Condition.ndjson",
    "Encounter.ndjson",
    "Patient.001.ndjson",
    "Practitioner.ndjson",
    "Patient.000.ndjson",
];

/// Puts the export into the host's folder, as `export/`.
fn put_export(host: &Host) -> PathBuf {
    let folder = host.folder().join("export");
    fs::create_dir_all(&folder).expect("folder");
    for name in WORST_ORDER {
        fs::copy(fixture("bulk_export").join(name), folder.join(name)).expect(name);
    }
    folder
}

/// The references of a record, as `NAME: TYPE ID`.
async fn references_of(store: &Store, aggregate_type: &str, id: &str) -> Vec<String> {
    let key = AggregateKey { aggregate_type: aggregate_type.to_owned(), aggregate_id: id.to_owned() };
    let record = store.clinical_record(&key).await.expect("read").unwrap_or_else(|| panic!("no {aggregate_type} {id}"));
    record.references.iter().map(|it| format!("{}: {} {}", it.name, it.aggregate_type, it.aggregate_id)).collect()
}

/// How many changes are in the outbox. `host status` estimates thousands.
async fn changes_in(database: &Database) -> usize {
    let mut session = Session::open(database.url()).await.expect("open");
    let rows = session.rows("SELECT COUNT(*) FROM sync_outbox").await.expect("count");
    rows[0][0].as_deref().expect("a count").parse().expect("a number")
}

fn counts(summary: &Value, aggregate_type: &str) -> Vec<u64> {
    let counts = &summary["types"][aggregate_type];
    ["created", "unchanged", "rejected", "incomplete"]
        .map(|name| counts[name].as_u64().unwrap_or_else(|| panic!("no {name} of {aggregate_type}: {summary}")))
        .to_vec()
}

/// Every line of the files of rejects: file, line, fields.
fn rejects(host: &Host, output: &Output) -> Vec<String> {
    let mut found = Vec::new();
    for file in output.json()["rejects_files"].as_array().expect("a list") {
        let file = file.as_str().expect("text");
        for line in fs::read_to_string(host.folder().join(file)).expect("rejects").lines() {
            let reject: Value = serde_json::from_str(line).expect("JSON");
            let problems = reject["problems"].as_array().or(reject["left_out"].as_array()).expect("problems");
            let fields: Vec<_> = problems.iter().map(|problem| problem["field"].as_str().expect("text")).collect();
            let name = file.trim_start_matches("export/").trim_end_matches(".ndjson.rejects.ndjson");
            found.push(format!("{name} {} {}", reject["line"], fields.join(",")));
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_in_the_worst_order_has_every_reference_resolved() {
    for database in fresh_databases().await.expect("databases") {
        let (host, store) = (host_on(&database), store(&database));
        put_export(&host);
        let files = WORST_ORDER.map(|name| format!("export/{name}"));
        let mut arguments = vec!["import", "--json"];
        arguments.extend(files.iter().map(String::as_str));
        let output = host.run(&arguments);
        assert_eq!(output.status, Some(1), "{}{}", output.stdout, output.stderr);
        let summary = output.json();
        for (aggregate_type, expected) in [
            ("patient", [5, 0, 0, 0]),
            ("encounter", [5, 0, 1, 0]),
            ("condition", [4, 0, 1, 1]),
            ("allergy", [1, 0, 0, 0]),
            ("medication", [2, 0, 0, 0]),
            ("observation", [3, 0, 1, 0]),
            ("appointment", [1, 0, 0, 0]),
        ] {
            assert_eq!(counts(&summary, aggregate_type), expected, "{aggregate_type}: {summary}");
        }
        assert_eq!(summary["not_imported"], json!({ "Immunization": 1, "Practitioner": 1 }));
        assert_eq!(summary["waiting"], 1, "a condition is of a patient outside the files");
        assert_eq!(
            rejects(&host, &output),
            ["Encounter 6 status", "Condition 3 severity", "Condition 4 refs.encounter", "Observation 4 category"]
        );
        assert_eq!(references_of(&store, "encounter", "VISIT-1").await, ["subject: patient X-2025-001"]);
        assert_eq!(references_of(&store, "encounter", "enc-2").await, ["subject: patient X-2025-002"]);
        assert_eq!(references_of(&store, "encounter", "enc-3").await, ["subject: patient X-2025-003"]);
        assert_eq!(references_of(&store, "encounter", "enc-4").await, ["subject: patient pat-4"]);
        assert_eq!(
            references_of(&store, "medication", "MedicationRequest-med-1").await,
            ["subject: patient X-2025-001", "encounter: encounter VISIT-1"]
        );
        assert_eq!(references_of(&store, "appointment", "app-1").await, ["subject: patient X-2025-001"]);
        assert_eq!(references_of(&store, "condition", "con-5").await, ["subject: patient pat-77"]);
        assert_eq!((patients_in(&store).await, queued_in(&store).await), (5, 21), "{}", database.url());
        // The folder is the same files: nothing is left to import, and what was rejected is reported again.
        let again = host.run(&["import", "export", "--json"]);
        assert_eq!(
            (again.status, &again.json()["lines_before"], &again.json()["rejected"]),
            (Some(1), &json!(24), &json!(3))
        );
        let again = host.run(&["import", "export", "--again", "--json"]).json();
        assert_eq!((&again["unchanged"], &again["created"], &again["updated"]), (&json!(21), &json!(0), &json!(0)));
        assert_eq!(queued_in(&store).await, 21, "what is unchanged is not queued");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn other_types_are_passed_through_on_request() {
    for database in fresh_databases().await.expect("databases") {
        let (host, store) = (host_on(&database), store(&database));
        put_export(&host);
        let output = host.run(&["import", "export", "--other-types", "fhir-resource", "--json"]);
        assert_eq!(counts(&output.json(), "fhir-resource"), [2, 0, 0, 0]);
        assert_eq!(output.json()["not_imported"], json!({}));
        let mut references = references_of(&store, "fhir-resource", "Immunization-imm-1").await;
        references.sort();
        let mut named: Vec<_> = references.iter().map(|text| text.split_once(": ").expect("a name").1).collect();
        named.sort_unstable();
        assert_eq!(named, ["encounter enc-5", "fhir-resource Practitioner-doc-1", "patient pat-5"]);
        assert_eq!(references_of(&store, "fhir-resource", "Practitioner-doc-1").await, [""; 0]);
    }
}

/// A patient with an identifier of ours, and an encounter that refers to the patient by the resource's id.
fn write_large(host: &Host, patients: usize, encounters: usize) {
    let patient = |number: usize| {
        json!({ "resourceType": "Patient", "id": format!("r{number}"), "gender": "other", "birthDate": "1980-01-31",
                "identifier": [{ "system": "urn:neuronova:patient-id", "value": format!("P-{number}") }],
                "name": [{ "family": "Kim", "given": ["MinJun"] }] })
    };
    let encounter = |number: usize| {
        json!({ "resourceType": "Encounter", "id": format!("e{number}"), "status": "finished", "class": { "code": "AMB" },
                "subject": { "reference": format!("Patient/r{}", number % patients) },
                "period": { "start": "2025-06-01T09:00:00Z" } })
    };
    // One file, what refers to others first.
    let lines = (0..encounters).map(encounter).chain((0..patients).map(patient));
    let text: String = lines.map(|line| line.to_string() + "\n").collect();
    fs::write(host.folder().join("all.ndjson"), text).expect("write");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_import_of_several_types_goes_on_and_doubles_nothing() {
    for database in fresh_databases().await.expect("databases") {
        let (host, store) = (host_on(&database), store(&database));
        store.migrate().await.expect("migrate");
        // A kill after the end would prove nothing: then the same with more encounters.
        let (patients, mut encounters) = (2_500, 20_000);
        loop {
            write_large(&host, patients, encounters);
            let mut import = host.spawn(&["import", "all.ndjson"]).expect("spawn");
            while import.is_running().expect("look") && changes_in(&database).await <= patients {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            import.kill();
            let queued = changes_in(&database).await;
            assert!(queued > patients, "patients come first, and some encounters were imported");
            if queued < patients + encounters {
                break;
            }
            encounters *= 2;
            assert!(encounters < 1_000_000, "an import is always quicker than a kill");
            for table in ["sync_outbox", "patient_cache", "clinical_record", "sync_import"] {
                database.execute(&format!("DELETE FROM {table}")).await.expect("delete");
            }
        }
        let second = host.run(&["import", "all.ndjson", "--json"]).expect_success().json();
        let all = (patients + encounters) as u64;
        assert_eq!((second["created"].as_u64(), second["waiting"].as_u64()), (Some(all), Some(0)), "{second}");
        assert!(second["lines_before"].as_u64() > Some(all), "both parts went on: {second}");
        assert_eq!(changes_in(&database).await as u64, all, "{}", database.url());
        let last = format!("e{}", encounters - 1);
        let patient = (encounters - 1) % patients;
        assert_eq!(references_of(&store, "encounter", &last).await, [format!("subject: patient P-{patient}")]);
    }
}

/// Two patients, and an encounter of one of them with a condition.
fn write_visit_of(host: &Host, patient: usize) {
    write_large(host, 2, 0);
    let subject = json!({ "reference": format!("Patient/r{patient}") });
    let encounter = json!({ "resourceType": "Encounter", "id": "e1", "status": "finished", "class": { "code": "AMB" },
                            "subject": subject, "period": { "start": "2025-06-01T09:00:00Z" } });
    let condition = json!({ "resourceType": "Condition", "id": "c1", "code": { "text": "Asthma" },
                            "clinicalStatus": { "coding": [{ "code": "active" }] }, "subject": subject,
                            "encounter": { "reference": "Encounter/e1" } });
    let file = host.folder().join("all.ndjson");
    let patients = fs::read_to_string(&file).expect("read");
    fs::write(file, format!("{patients}{encounter}\n{condition}\n")).expect("write");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_that_moves_an_encounter_to_another_patient_moves_what_refers_to_it() {
    for database in fresh_databases().await.expect("databases") {
        let (host, store) = (host_on(&database), store(&database));
        let import = |patient: usize| {
            write_visit_of(&host, patient);
            host.run(&["import", "all.ndjson", "--again", "--json"]).expect_success()
        };
        assert_eq!(import(0).json()["created"], 4);
        let second = import(1);
        assert_eq!(second.json()["updated"], 2, "{}", database.url());
        let logged = "encounter moved to another patient without its records";
        assert!(second.stderr.contains(logged) && second.stderr.contains("condition c1"), "{}", second.stderr);
        assert_eq!(references_of(&store, "condition", "c1").await, ["subject: patient P-1", "encounter: encounter e1"]);
        assert_eq!(references_of(&store, "encounter", "e1").await, ["subject: patient P-1"]);
    }
}

#[test]
fn ids_that_lead_elsewhere_by_now_send_the_records_again() {
    let host = host();
    let export = put_export(&host);
    // Alone, the file does not say who `pat-1` is: the record waits for a patient of that id.
    let alone = host.run(&["import", "export/AllergyIntolerance.ndjson", "--json"]).expect_success().json();
    assert_eq!((&alone["created"], &alone["waiting"]), (&json!(1), &json!(1)));
    let with_patients =
        host.run(&["import", "export/Patient.000.ndjson", "export/AllergyIntolerance.ndjson", "--json"]);
    assert_eq!(counts(&with_patients.json(), "allergy"), [0, 0, 0, 0], "it refers to the patient's identifier now");
    assert_eq!(with_patients.json()["types"]["allergy"]["updated"], 1);
    fs::remove_file(export.join("Patient.000.ndjson")).expect("remove");
    let text = host.run(&["import", "export/Appointment.ndjson"]).expect_success().stdout;
    assert!(text.contains("[WAITING] 1 records refer to what the store does not have"), "{text}");
}

#[test]
fn a_dry_run_of_an_export_writes_nothing_and_reports_everything() {
    let host = host();
    put_export(&host);
    let output = host.run(&["import", "export", "--dry-run"]);
    assert_eq!(output.status, Some(1), "{}{}", output.stdout, output.stderr);
    for words in [
        "Patients: 5 would be created",
        "Observations: 3 would be created",
        "[NOT IMPORTED] 1 Immunization, 1 Practitioner: ",
        "1 records were rejected: see export/Encounter.ndjson.rejects.ndjson",
        "1 conditions were imported without some fields: see export/Condition.ndjson.rejects.ndjson",
        "nothing was written",
    ] {
        assert!(output.stdout.contains(words), "no `{words}` in {}", output.stdout);
    }
    assert_eq!(host.status()["unrouted"], 0);
}

#[test]
fn a_pipe_is_imported_for_the_type_of_its_first_record() {
    let host = host();
    let export = put_export(&host);
    let read = |name: &str| fs::read_to_string(export.join(name)).expect("read");
    let text = read("AllergyIntolerance.ndjson") + &read("Patient.000.ndjson") + &read("Practitioner.ndjson");
    let mut import = host
        .command(&["import", "-", "--format", "ndjson", "--json"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("spawn");
    import.stdin.take().expect("stdin").write_all(text.as_bytes()).expect("write");
    let output = import.wait_with_output().expect("wait");
    assert_eq!(output.status.code(), Some(1), "patients were not imported");
    let summary: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(counts(&summary, "allergy"), [1, 0, 0, 0]);
    assert_eq!(summary["not_imported"], json!({ "Patient": 2, "Practitioner": 1 }));
}

#[test]
fn a_file_of_several_types_has_rejects_for_each_and_a_wrong_call_is_refused() {
    let host = host();
    let export = put_export(&host);
    let read = |name: &str| fs::read_to_string(export.join(name)).expect("read");
    fs::write(host.folder().join("all.ndjson"), read("Encounter.ndjson") + "no JSON\n" + &read("Observation.ndjson"))
        .expect("write");
    let output = host.run(&["import", "all.ndjson", "--json"]);
    assert_eq!(
        output.json()["rejects_files"],
        json!(["all.ndjson.encounter.rejects.ndjson", "all.ndjson.observation.rejects.ndjson"])
    );
    let found = rejects(&host, &output);
    assert_eq!(found.iter().filter(|reject| reject.contains(" 7 record")).count(), 1, "once: {found:?}");
    fs::create_dir(host.folder().join("rejects")).expect("folder");
    let output = host.run(&["import", "all.ndjson", "--again", "--rejects", "rejects", "--json"]);
    assert!(host.folder().join("rejects/all.ndjson.encounter.rejects.ndjson").exists(), "{}", output.stdout);
    let cases: [(&[&str], i32, &str); 7] = [
        (&["import", "all.ndjson", "--rejects", "r.ndjson"], 2, "--rejects must name a folder that exists"),
        (&["import", "all.ndjson", "export/missing.ndjson"], 3, "missing.ndjson: not found"),
        (&["import", "all.ndjson", "-"], 2, "stdin is imported alone"),
        (&["import", "all.ndjson", "p.csv"], 2, "the files are of two formats"),
        (&["import", "rejects"], 3, "is a folder without a file *.ndjson or *.jsonl"),
        (&["import", "all.ndjson", "--base-url", "fhir.example.org"], 2, "--base-url must be the address"),
        (&["import", "all.ndjson", "--other-types", "Practitioner"], 2, "--other-types"),
    ];
    for (arguments, status, words) in cases {
        let output = host.run(arguments);
        assert_eq!(output.status, Some(status), "{arguments:?}: {}{}", output.stdout, output.stderr);
        assert!(output.stderr.contains(words), "no `{words}` in {}", output.stderr);
    }
}
