//! `host verify` over the binary at a FHIR server: every finding that others can cause there, and what the server has
//! of ours that the store does not know.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tests::environment::Backend;
use tests::host::Host;
use tests::servers::Proxy;

use crate::fhir_servers::server::{Server, Settings, host_at, sync, unique, written_back};
use crate::support::{patient, put};

/// What the proxy answers in the server's place.
const REFUSED: &str = "HTTP/1.1 400 Bad Request\r\ncontent-type: application/fhir+json\r\nconnection: close\r\n\r\n\
                       {\"resourceType\": \"OperationOutcome\", \
                       \"issue\": [{\"severity\": \"error\", \"code\": \"invalid\"}]}";

/// Patients and conditions of this test's own at the server, each with what others do to it.
struct Stand {
    server: Server,
    /// The system of this test's identifiers: the server is shared.
    system: String,
    host: Host,
}

impl Stand {
    /// The name of a patient or condition with this fate.
    fn id(&self, fate: &str) -> String {
        format!("{fate}-{}", self.system.rsplit('-').next().expect("an id"))
    }

    fn condition(&self, fate: &str) -> Value {
        let found = self.server.found("Condition", &format!("{}/condition", self.system), &self.id(fate));
        assert_eq!(found.len(), 1, "{fate}: {found:?}");
        found.into_iter().next().expect("one")
    }

    fn patient_record(&self, fate: &str) -> Value {
        json!({
            "resourceType": "Patient", "identifier": [{ "system": self.system, "value": self.id(fate) }],
            "gender": "female", "name": [{ "family": "Choi", "given": ["JiWoo"], "text": "JiWoo Choi" }],
            "birthDate": "1990-05-05",
        })
    }

    fn verify(&self, more: &[&str]) -> Value {
        self.host.run(&[&["verify", "--target", "fhir", "--json"], more].concat()).json()
    }

    /// Delivers patients and conditions.
    fn deliver(&self) {
        for fate in ["LEFT", "EDITED", "GONE", "DOUBLE", "FOREIGN", "SILENT"] {
            put(&self.host, &patient(&self.id(fate)));
        }
        let condition = |fate: &str| {
            format!(
                "[[conditions]]\nid = \"{}\"\npatient = \"{}\"\nclinical_status = \"active\"\n\
                 code = {{ display = \"Asthma\" }}\n",
                self.id(fate),
                self.id("LEFT")
            )
        };
        let seeds = self.host.folder().join("conditions.toml");
        std::fs::write(&seeds, ["LEFT", "EDITED", "GONE"].map(condition).concat()).expect("write");
        let _ = self.host.run(&["seed", &seeds.to_string_lossy()]).expect_success();
        sync(&self.host);
        assert_eq!(self.host.status()["totals"]["done"], 9, "{}", self.host.status());
    }

    /// As other authors at the server do.
    fn change_by_others(&self) {
        let remote_id = |fate: &str| written_back(&self.host, &self.id(fate));
        self.server.edit(&remote_id("EDITED"), |record| record["birthDate"] = "1991-01-01".into());
        self.server.delete(&remote_id("GONE"));
        self.server.create(&self.patient_record("DOUBLE"));
        self.server.edit(&remote_id("FOREIGN"), |record| {
            record.as_object_mut().expect("a record").remove("identifier");
        });
        let mut edited = self.condition("EDITED");
        edited["code"] = json!({ "text": "Elsewhere" });
        let path = |record: &Value| format!("Condition/{}", record["id"].as_str().expect("an id"));
        let (status, answer) = self.server.send("PUT", &path(&edited), Some(&edited));
        assert!([200, 201].contains(&status), "{status}: {answer}");
        let (status, answer) = self.server.send("DELETE", &path(&self.condition("GONE")), None);
        assert!([200, 202, 204].contains(&status), "{status}: {answer}");
    }
}

/// What was found: state, type, and what others did.
fn found(verified: &Value) -> BTreeSet<[String; 3]> {
    let word = |one: &Value, name: &str| one[name].as_str().expect("a word").to_owned();
    let fate = |one: &Value| word(one, "aggregate_id").split('-').next().expect("a fate").to_owned();
    let findings = verified["findings"].as_array().expect("findings");
    findings.iter().map(|one| [word(one, "state"), word(one, "aggregate_type"), fate(one)]).collect()
}

/// The ids of the aggregates in a list.
fn ids(list: &Value) -> BTreeSet<String> {
    let id = |one: &Value| one["aggregate_id"].as_str().expect("an id").to_owned();
    list.as_array().expect("a list").iter().map(id).collect()
}

fn expected(findings: &[[&str; 3]]) -> BTreeSet<[String; 3]> {
    findings.iter().map(|finding| finding.map(str::to_owned)).collect()
}

#[test]
fn what_others_did_at_a_fhir_server_is_found_named_and_repaired() {
    let Some(server) = Server::reach(Backend::Fhir) else { return };
    let system = unique("urn:example:verify");
    let proxy = &mut Proxy::start(server.port()).expect("proxy");
    let (target, adapter) =
        ("aggregate_types = [\"patient\", \"condition\"]", format!("identifier_system = \"{system}\""));
    let host = host_at(&proxy.address_of(&server.url), &Settings { target, adapter: &adapter, ..Settings::default() });
    let stand = Stand { server, system, host };
    stand.deliver();
    let whole = stand.verify(&[]);
    assert_eq!(whole["verification"]["equal"], 9, "{whole}");
    assert_eq!(whole["verification"]["not_in_store"]["records"], 0, "{whole}");

    stand.change_by_others();
    // Another store of ours delivered this one.
    stand.server.create(&stand.patient_record("STRANGE"));
    proxy.answer_to(&stand.id("SILENT"), REFUSED.as_bytes()).expect("answer");
    let verified = stand.verify(&[]);
    let of_others = [
        ["edited", "patient", "EDITED"],
        ["gone", "patient", "GONE"],
        ["several", "patient", "DOUBLE"],
        ["not-ours", "patient", "FOREIGN"],
        ["unknown", "patient", "SILENT"],
        ["edited", "condition", "EDITED"],
        ["gone", "condition", "GONE"],
    ];
    assert_eq!(found(&verified), expected(&of_others), "{verified}");
    assert_eq!(
        ids(&verified["not_in_store"]),
        BTreeSet::from(["DOUBLE", "STRANGE"].map(|fate| stand.id(fate))),
        "{verified}"
    );
    let output = stand.host.run(&["verify", "--target", "fhir"]);
    assert_eq!(output.status, Some(1), "{}{}", output.stdout, output.stderr);
    let sentence = "; 2 edited, 2 gone, 1 there several times, 1 not ours, 1 unknown, \
                    2 at the target that the store does not know";
    assert!(output.stdout.contains("for 2 of 9 records") && output.stdout.contains(sentence), "{}", output.stdout);
    for value in ["Elsewhere", "1991-01-01", "Choi"] {
        assert!(!output.stdout.contains(value), "a value is never shown: {}", output.stdout);
    }

    // What the server does not answer is left alone. A foreign record is for an operator. Of two records of one patient
    // the linked one has the state, and the other one is an operator's, too: nothing deletes it.
    let repaired = stand.verify(&["--repair"]);
    assert_eq!(repaired["repair"], json!({ "queued": 6, "left": 0 }), "{repaired}");
    proxy.pass().expect("pass");
    sync(&stand.host);
    let conflicts = stand.host.run(&["conflicts", "--json"]).expect_success().json();
    assert_eq!(ids(&conflicts["conflicts"]), BTreeSet::from([stand.id("FOREIGN")]), "{conflicts}");
    let after = stand.verify(&[]);
    let left = [["several", "patient", "DOUBLE"], ["not-ours", "patient", "FOREIGN"]];
    assert_eq!(found(&after), expected(&left), "{after}");
    assert_eq!(stand.server.read(&written_back(&stand.host, &stand.id("EDITED"))).1["birthDate"], "1990-05-05");
    assert_eq!(stand.condition("EDITED")["code"]["text"], "Asthma");
}
