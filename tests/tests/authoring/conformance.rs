//! The bundled adapters and every example pass the suite; each misbehaviour fails it with the words that name the fix.

use std::fs;

use tests::environment::{Backend, adapter, adapter_0_1, adapter_if_built, fixture, workspace};

use crate::{conformance, example_table, failed, host};

fn passes(name: &str, component: &std::path::Path, more: &[&str]) -> serde_json::Value {
    let host = host();
    let (output, said) = conformance(&host, component, more);
    assert_eq!(failed(&said), Vec::<String>::new(), "{name}");
    assert_eq!(output.status, Some(0), "{name}: {}", output.stderr);
    said
}

/// What others do at a target is tried for every type, and seen.
fn assert_sees(said: &serde_json::Value, what: &str) {
    let checks = said["checks"].as_array().expect("checks").iter().filter(|check| check["check"] == "observe");
    let messages: Vec<_> = checks.map(|check| check["message"].as_str().expect("text")).collect();
    assert!(messages.len() >= 7 && messages.iter().all(|message| message.contains(what)), "{messages:?}");
}

#[test]
fn openemr_passes_on_mariadb_in_every_version() {
    let Some(server) = Backend::MariaDb.url() else { return };
    for version in ["5.0.2", "6.0.0", "7.0.2", "8.2.0"] {
        let tables = fixture(&format!("openemr/{version}.sql")).to_string_lossy().into_owned();
        let options = ["--setup", &tables, "--no-sqlite", "--database", &server];
        assert_sees(&passes(version, &adapter("openemr"), &options), "an edit of others, their deletion and");
    }
}

#[test]
fn openemr_passes_on_sqlite() {
    let tables = fixture("openemr/sqlite.sql").to_string_lossy().into_owned();
    passes("openemr", &adapter("openemr"), &["--setup", &tables]);
}

#[test]
fn fhir_passes_against_the_mock_server() {
    assert_sees(&passes("fhir", &adapter("fhir"), &[]), "an edit of others, their deletion, their double and");
}

#[test]
fn adapters_of_interface_0_1_still_pass() {
    let tables = fixture("openemr/sqlite.sql").to_string_lossy().into_owned();
    passes("openemr 0.1", &adapter_0_1("openemr"), &["--setup", &tables]);
    passes("fhir 0.1", &adapter_0_1("fhir"), &[]);
}

#[test]
fn the_database_example_passes_on_every_database() {
    let (Some(mysql), Some(postgres)) = (Backend::MariaDb.url(), Backend::Postgres.url()) else { return };
    let postgres = format!("{postgres}/postgres");
    let servers = ["--setup", &example_table(), "--database", &mysql, "--database", &postgres];
    passes("example-chart", &adapter("example-chart"), &servers);
}

#[test]
fn the_http_example_passes() {
    passes("example-directory", &adapter("example-directory"), &[]);
}

#[test]
fn an_adapter_for_an_unusual_server_passes_only_with_canned_answers() {
    let host = host();
    let registrar = adapter("testing-registrar");
    let answers = workspace().join("tests").join("tests").join("authoring").join("answers.toml");
    passes("registrar", &registrar, &["--answers", &answers.to_string_lossy()]);

    let (output, said) = conformance(&host, &registrar, &[]);
    assert_eq!(output.status, Some(5));
    assert!(failed(&said)[0].starts_with("check: "), "{said}");

    let all = fs::read_to_string(&answers).expect("answers");
    let (part, _) = all.rsplit_once("[[answer]]").expect("three answers");
    fs::write(host.folder().join("part.toml"), part).expect("write");
    let (output, said) = conformance(&host, &registrar, &["--answers", "part.toml"]);
    assert_eq!(output.status, Some(5));
    let last = failed(&said).pop().expect("something failed");
    assert!(last.starts_with("canned answers: ") && last.contains("`POST rpc/strike`: add an [[answer]]"), "{last}");

    fs::write(host.folder().join("bad.toml"), "[[answer]]\nmethod = \"POST\"\npath = \"x\"\nthen = \"kept\"\n")
        .expect("write");
    let refused = host.run(&["plugin", "test", &registrar.to_string_lossy(), "--answers", "bad.toml"]);
    assert_eq!(refused.status, Some(3));
    assert!(refused.stderr.contains("bad.toml:4: answer[1].then: must be keep or forget"), "{}", refused.stderr);
    let database = host.run(&["plugin", "test", &adapter("example-chart").to_string_lossy(), "--answers", "part.toml"]);
    assert_eq!(database.status, Some(2));
    assert!(database.stderr.contains("leave --answers out"), "{}", database.stderr);
}

/// The checks that were not tried.
fn not_tried(said: &serde_json::Value) -> Vec<&str> {
    let checks = said["checks"].as_array().expect("checks").iter().filter(|check| check["tried"] == false);
    checks.map(|check| check["check"].as_str().expect("text")).collect()
}

#[test]
fn an_adapter_without_patients_is_tested_with_an_example_payload() {
    let host = host();
    let laboratory = adapter("testing-laboratory");
    let write = |name: &str, text: &str| fs::write(host.folder().join(name), text).expect("write");
    write(
        "tables.sql",
        "CREATE TABLE lab_result (result_id VARCHAR(64) PRIMARY KEY, code VARCHAR(255), value VARCHAR(255));",
    );
    write("varied.json", r#"{"result": "${id}", "code": "${text}", "value": "${number} mg/dl"}"#);
    write("fixed.json", r#"{"code": "718-7", "value": "13"}"#);
    write("wrong.json", r#"{"code": "${name}"}"#);
    let (Some(mysql), Some(postgres)) = (Backend::MariaDb.url(), Backend::Postgres.url()) else { return };
    let postgres = format!("{postgres}/postgres");
    let everywhere = ["--setup", "tables.sql", "--database", &mysql, "--database", &postgres];

    let varied = [&everywhere[..], &["--payload", "lab-result=varied.json"]].concat();
    let (output, said) = conformance(&host, &laboratory, &varied);
    assert_eq!((failed(&said), not_tried(&said)), (Vec::new(), Vec::new()), "{said}");
    assert_eq!(output.status, Some(0));
    let lines = said["checks"].as_array().expect("checks").len();
    assert!(lines > 3 * 15, "{lines} checks on three databases");
    assert!(said["checks"][0]["place"] == "SQLite, lab-result", "{said}");
    for words in ["compiling ", "testing on SQLite", "testing on MySQL", "testing on PostgreSQL"] {
        assert!(output.stderr.contains(words), "{words}: {}", output.stderr);
    }

    let (_, said) = conformance(&host, &laboratory, &["--setup", "tables.sql", "--payload", "lab-result=fixed.json"]);
    assert_eq!(failed(&said), Vec::<String>::new());
    assert_eq!(not_tried(&said), ["update", "unicode", "long text", "edited at the target"], "{said}");

    let output = host.run(&["plugin", "test", &laboratory.to_string_lossy(), "--setup", "tables.sql"]);
    assert_eq!(output.status, Some(5));
    assert!(output.stdout.contains("give an example of its payload, --payload lab-result=FILE"), "{}", output.stdout);
    for (payload, status, words) in [
        ("lab-result=wrong.json", 3, "wrong.json: ${name} is not known: write ${id}, ${text} or ${number}"),
        ("lab=fixed.json", 2, "--payload lab=...: the adapter delivers lab-result"),
        ("patient=fixed.json", 2, "patients are made up by the suite"),
        ("lab-result", 2, "expected TYPE=FILE"),
    ] {
        let output = host.run(&["plugin", "test", &laboratory.to_string_lossy(), "--payload", payload]);
        assert_eq!(output.status, Some(status), "{payload}: {}", output.stderr);
        assert!(output.stderr.contains(words), "{payload}: {}", output.stderr);
    }
}

fn both_examples_pass(language: &str) {
    if let Some(component) = adapter_if_built(&format!("example-chart-{language}")) {
        passes(language, &component, &["--setup", &example_table()]);
    }
    if let Some(component) = adapter_if_built(&format!("example-directory-{language}")) {
        passes(language, &component, &[]);
    }
}

#[test]
fn the_examples_in_python_pass() {
    both_examples_pass("python");
}

#[test]
fn the_examples_in_javascript_pass() {
    both_examples_pass("javascript");
}

#[test]
fn an_example_refers_to_records_that_the_suite_delivers() {
    let host = host();
    let write = |name: &str, text: &str| fs::write(host.folder().join(name), text).expect("write");
    write(
        "radiology.sql",
        "CREATE TABLE person (number INTEGER PRIMARY KEY, patient_id VARCHAR(64) UNIQUE, name VARCHAR(255));
         CREATE TABLE radiology_report (report_id VARCHAR(64) PRIMARY KEY, person VARCHAR(20), status VARCHAR(16),
             title VARCHAR(255), issued VARCHAR(40), findings VARCHAR(4000));",
    );
    write("report.json", r#"{"status": "final", "title": "${text}", "issued": "2025-06-02T09:30:00+09:00"}"#);
    write("refs.json", r#"[{"name": "subject", "type": "patient", "id": "P-1"}]"#);
    let radiology = adapter("testing-radiology");
    let options = ["--setup", "radiology.sql", "--payload", "radiology_report=report.json"];
    let with_refs = [&options[..], &["--refs", "radiology_report=refs.json"]].concat();
    let (_, said) = conformance(&host, &radiology, &with_refs);
    assert_eq!(failed(&said), Vec::<String>::new());
    let checks = said["checks"].as_array().expect("checks");
    assert!(checks.iter().any(|check| check["check"] == "references" && check["tried"] == true), "{said}");

    let (_, said) = conformance(&host, &radiology, &options);
    assert_eq!(failed(&said).len(), 1, "{said}");
    assert!(
        failed(&said)[0].starts_with("deliver: a sound change failed, `invalid`: refs.subject: is missing"),
        "{said}"
    );

    // An adapter that never reads what a change refers to.
    write("labs.sql", "CREATE TABLE lab_result (result_id VARCHAR(64) PRIMARY KEY, code TEXT, value TEXT);");
    write("labs.json", r#"{"code": "${text}", "value": "${number} mg/dl"}"#);
    let labs = ["--setup", "labs.sql", "--payload", "lab-result=labs.json", "--refs", "lab-result=refs.json"];
    let (_, said) = conformance(&host, &adapter("testing-laboratory"), &labs);
    assert_eq!(failed(&said), Vec::<String>::new(), "it delivers no patients, so its references have no id");

    write("circle.json", r#"[{"name": "before", "type": "radiology_report", "id": "R-1"}]"#);
    let circle = [&options[..], &["--refs", "radiology_report=circle.json"]].concat();
    let (_, said) = conformance(&host, &radiology, &circle);
    assert_eq!(
        failed(&said),
        ["references: its references come back to type `radiology_report`: leave one out of --refs"]
    );

    write("wrong.json", r#"{"subject": "P-1"}"#);
    let component = radiology.to_string_lossy().into_owned();
    for (refs, status, words) in [
        ("radiology_report=wrong.json", 3, "wrong.json: is not a JSON list of {\"name\", \"type\", \"id\"}"),
        ("patient=refs.json", 2, "--refs patient=...: give its payload too, --payload patient=FILE"),
    ] {
        let output = host.run(&[&["plugin", "test", &component], &options[..], &["--refs", refs]].concat());
        assert_eq!(output.status, Some(status), "{refs}: {}", output.stderr);
        assert!(output.stderr.contains(words), "{refs}: {}", output.stderr);
    }
}

/// Behaviour and argument of the probe, with the beginning of each check that fails and words of its message.
const MISBEHAVIOURS: &[(&str, &str, &str, &str)] = &[
    ("endless-loop", "", "check:", "computed for longer than 2000 ms; raise [targets.conformance.limits] cpu_ms"),
    ("endless-recursion", "", "check:", "nested too deeply"),
    ("endless-recursion-in-memory", "", "check:", "the adapter crashed: wasm trap: out of bounds memory access"),
    ("memory-growing", "", "check:", "needs more than 64 MiB; raise [targets.conformance.limits] memory_mib"),
    ("memory-many-small", "", "check:", "memory_mib"),
    ("panic", "", "check:", "the adapter crashed: it panicked"),
    ("unreachable", "", "check:", "the adapter crashed"),
    ("exit", "", "check:", "the adapter crashed: Exited"),
    ("late-panic", "", "deliver:", "the adapter crashed: it panicked"),
    ("sleep", "", "check:", "the call took longer than 4000 ms; raise [targets.conformance.limits] deadline_ms"),
    ("too-few", "", "deliver:", "4 outcomes for 5 changes"),
    ("too-many", "", "empty batch:", "1 outcomes for 0 changes"),
    ("gigabytes", "", "empty batch:", "host_call_bytes_max"),
    ("bad-id", "", "deliver:", "empty remote-id"),
    ("bad-id", "long", "deliver:", "is longer than 255 characters"),
    ("bad-id", "control", "deliver:", "holds a control character"),
    ("control-characters", "", "check:", "`invalid`: first  second  [31mred"),
    ("log-flood", "", "check:", "more than 1000 log lines"),
    ("host-call-flood", "", "check:", "called the host more than 10000 times"),
    ("clock-flood", "", "check:", "called the host more than 10000 times"),
    ("twice", "", "deliver:", "each must have a record of its own"),
    ("insert", "", "same batch twice:", "look for the record"),
    ("long-parameter", "", "check:", "host call of more than 16777216 bytes"),
    ("statement", "COMMIT", "check:", "`execute` runs one INSERT, UPDATE or DELETE and nothing else"),
    ("query", "SELECT a FROM other.note", "check:", "lies outside of the target's own tables"),
    ("extreme-numbers", "", "same batch twice:", "the same change twice must do nothing new"),
    ("look-around", "", "check:", "found: []"),
    ("log-long", "", "bad change among good ones:", "a payload that is no patient was confirmed"),
    ("echo", "", "unknown aggregate type:", "compare `aggregate-type` before reading the payload"),
    ("echo", "", "merge:", "the descriptor names none: answer it with `unsupported`"),
    ("echo", "", "references:", "refers to another record than before was confirmed, and the target is as it was"),
    ("log-payload", "", "nothing personal:", "is in a message, an id, a finding or a log line"),
];

#[test]
fn hostile_each_misbehaviour_fails_with_a_message_that_names_the_fix() {
    let host = host();
    fs::write(host.folder().join("tables.sql"), "CREATE TABLE note (id TEXT, body TEXT);\n").expect("write");
    for (behaviour, argument, check, words) in MISBEHAVIOURS {
        let target = format!(
            "[store]\nurl = \"sqlite://.host/host.db\"\n[targets.probe]\nadapter = \"testing-probe.wasm\"\n\
             [targets.probe.database]\nurl = \"sqlite://none.db\"\nallow = {{ read = [\"*\"], insert = [\"*\"], update = [\"*\"], delete = [\"*\"] }}\n\
             [targets.probe.limits]\ncpu_ms = 2000\ndeadline_ms = 4000\nhost_calls_max = 10000\n\
             [targets.probe.settings]\nbehaviour = \"{behaviour}\"\nargument = \"{argument}\"\n"
        );
        fs::write(host.folder().join("host.toml"), target).expect("write");
        let (output, said) =
            conformance(&host, &adapter("testing-probe"), &["--target", "probe", "--setup", "tables.sql"]);
        let failed = failed(&said);
        let found = failed.iter().any(|line| line.starts_with(check) && line.contains(words));
        assert!(found, "{behaviour} {argument}: {failed:?}");
        assert_eq!(output.status, Some(5), "{behaviour}");
    }
}

#[test]
fn an_adapter_of_another_interface_version_is_refused_and_both_versions_named() {
    let host = host();
    let mut bytes = fs::read(adapter("example-chart")).expect("adapter");
    let (ours, theirs) = (b"@0.2.0", b"@0.7.0");
    for start in 0..bytes.len() - ours.len() {
        // Only the names of our own package: its name is shortly before the version.
        let before = &bytes[start.saturating_sub(40)..start];
        if &bytes[start..start + ours.len()] == ours && before.windows(14).any(|window| window == b"neuronova:sync") {
            bytes[start..start + theirs.len()].copy_from_slice(theirs);
        }
    }
    fs::write(host.folder().join("later.wasm"), bytes).expect("write");
    for verb in ["inspect", "test"] {
        let output = host.run(&["plugin", verb, "later.wasm"]);
        assert_eq!(output.status, Some(5));
        for words in ["0.7.0", "0.1.0 and 0.2.0", "wit/", "host plugin new"] {
            assert!(output.stderr.contains(words), "{verb}: {}", output.stderr);
        }
    }
}
