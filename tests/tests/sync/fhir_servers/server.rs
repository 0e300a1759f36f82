//! One of the FHIR servers, and what others do at it: read, search, write and delete with plain requests.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use tests::environment::Backend;
use tests::host::{Configuration, Host, quoted};

use crate::support::{QUICK, adapter};

/// The system of our identifiers.
pub(crate) const SYSTEM: &str = "urn:neuronova:patient-id";

/// A server that every test shares: each has patients of its own.
pub(crate) struct Server {
    pub(crate) url: String,
}

impl Server {
    /// None after saying that it was not reached.
    pub(crate) fn reach(backend: Backend) -> Option<Self> {
        backend.url().map(|url| Self { url })
    }

    /// Its port on 127.0.0.1.
    pub(crate) fn port(&self) -> u16 {
        let behind = self.url.rsplit_once("127.0.0.1:").expect("an address on loopback").1;
        behind.split('/').next().and_then(|port| port.parse().ok()).expect("a port")
    }

    /// A record by its id: the status and the body.
    pub(crate) fn read(&self, id: &str) -> (u16, Value) {
        self.send("GET", &format!("Patient/{id}"), None)
    }

    /// All patients that carry this identifier of ours.
    pub(crate) fn records(&self, patient_id: &str) -> Vec<Value> {
        self.found("Patient", SYSTEM, patient_id)
    }

    /// All records of a type that carry this identifier.
    pub(crate) fn found(&self, resource_type: &str, system: &str, value: &str) -> Vec<Value> {
        let (status, bundle) = self.send("GET", &format!("{resource_type}?identifier={system}%7C{value}"), None);
        assert_eq!(status, 200, "{bundle}");
        let entries = bundle["entry"].as_array().cloned().unwrap_or_default();
        entries.into_iter().map(|mut entry| entry["resource"].take()).collect()
    }

    /// The one record of a patient.
    pub(crate) fn record(&self, patient_id: &str) -> Value {
        let records = self.records(patient_id);
        assert_eq!(records.len(), 1, "records of {patient_id}: {records:?}");
        records.into_iter().next().expect("one")
    }

    /// As another author does: reads the record, changes it, writes it.
    pub(crate) fn edit(&self, id: &str, change: impl FnOnce(&mut Value)) {
        let (status, mut record) = self.read(id);
        assert_eq!(status, 200, "{record}");
        change(&mut record);
        let (status, answer) = self.send("PUT", &format!("Patient/{id}"), Some(&record));
        assert!([200, 201].contains(&status), "{status}: {answer}");
    }

    /// As another author does.
    pub(crate) fn create(&self, record: &Value) {
        let (status, answer) = self.send("POST", "Patient", Some(record));
        assert_eq!(status, 201, "{answer}");
    }

    /// As another author does.
    pub(crate) fn delete(&self, id: &str) {
        let (status, answer) = self.send("DELETE", &format!("Patient/{id}"), None);
        assert!([200, 202, 204].contains(&status), "{status}: {answer}");
        assert!([404, 410].contains(&self.read(id).0), "the record is gone");
    }

    /// The status of a create whose body is this.
    pub(crate) fn create_from(&self, text: &str) -> u16 {
        self.send_text("POST", "Patient", Some(text)).0
    }

    /// Any request: the status and the body.
    pub(crate) fn send(&self, method: &str, path: &str, body: Option<&Value>) -> (u16, Value) {
        self.send_text(method, path, body.map(Value::to_string).as_deref())
    }

    fn send_text(&self, method: &str, path: &str, body: Option<&str>) -> (u16, Value) {
        let mut command = Command::new("curl");
        command
            .args(["-sS", "--max-time", "60", "-w", "\n%{http_code}", "-X", method])
            .args(["-H", "accept: application/fhir+json", "-H", "content-type: application/fhir+json"])
            .arg(format!("{}/{path}", self.url))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        if body.is_some() {
            command.args(["--data-binary", "@-"]);
        }
        let mut child = command.spawn().expect("curl");
        let text = body.unwrap_or_default();
        child.stdin.take().expect("piped").write_all(text.as_bytes()).expect("curl reads");
        let output = child.wait_with_output().expect("curl ends");
        let text = String::from_utf8_lossy(&output.stdout);
        let (answer, status) = text.rsplit_once('\n').expect("a status");
        (status.parse().expect("a status"), serde_json::from_str(answer).unwrap_or_default())
    }
}

/// A host whose one target is the server at `url` (its own address, or a proxy's), with more said about it.
pub(crate) fn host_at(url: &str, more: &Settings<'_>) -> Host {
    let configuration = Configuration::new("sqlite://.host/host.db")
        .more(&format!(
            "\n[targets.fhir]\nadapter = {}\nid_column = \"fhir_patient_id\"\n{}\n\
             [targets.fhir.http]\nbase_url = {}\nallow_private = true\n{}\n[targets.fhir.settings]\n{}\n",
            quoted(&adapter("fhir").to_string_lossy()),
            more.target,
            quoted(url),
            more.http,
            more.adapter
        ))
        .more(&QUICK.replace("[sync]", &format!("[sync]\n{}", more.sync)));
    Host::new(&configuration).expect("host")
}

/// More of a host's configuration, by its section.
#[derive(Default)]
pub(crate) struct Settings<'a> {
    pub(crate) target: &'a str,
    pub(crate) http: &'a str,
    pub(crate) adapter: &'a str,
    pub(crate) sync: &'a str,
}

/// An id that no other test has.
pub(crate) fn unique(prefix: &str) -> String {
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).expect("clock").as_nanos();
    format!("{prefix}-{nanos:x}")
}

/// So many new patients in one transaction each, in a city.
pub(crate) fn import(host: &Host, ids: &[String], city: &str) {
    let lines: Vec<String> = ids
        .iter()
        .map(|id| {
            json!({
                "resourceType": "Patient", "identifier": [{ "system": SYSTEM, "value": id }],
                "name": [{ "use": "official", "family": "Choi", "given": ["JiWoo"] }], "birthDate": "1990-05-05",
                "gender": "female", "address": [{ "use": "home", "city": city }],
            })
            .to_string()
        })
        .collect();
    std::fs::write(host.folder().join("patients.ndjson"), lines.join("\n")).expect("write");
    let _ = host.run(&["import", "patients.ndjson"]).expect_success();
}

/// Delivers what waits.
pub(crate) fn sync(host: &Host) {
    let _ = host.run(&["run", "--until-idle"]).expect_success();
}

/// The id at the server, as it was written back next to the patient.
pub(crate) fn written_back(host: &Host, patient_id: &str) -> String {
    let shown = host.run(&["patient", "show", patient_id]).expect_success().json();
    shown["fhir_patient_id"].as_str().unwrap_or_else(|| panic!("no id was written back: {shown}")).to_owned()
}
