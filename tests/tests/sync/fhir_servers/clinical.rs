//! Clinical records at a FHIR server: every type in one call, references to the server's ids, marks of what was
//! deleted, and that independent validators take all of it.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tests::environment::{Backend, workspace};
use tests::host::Host;
use tests::servers::Validators;
use tests::session::Session;

use super::server::{SYSTEM, Server, Settings, host_at, sync, unique, written_back};
use crate::support::{patient, put};

/// Every type that the adapter delivers.
const TYPES: &str = "aggregate_types = [\"patient\", \"encounter\", \"condition\", \"allergy\", \"medication\", \
                     \"observation\", \"appointment\", \"fhir-resource\"]";

/// Aggregate types, the names that FHIR has for them, and a payload each.
fn records() -> Vec<(&'static str, &'static str, Value)> {
    let coded = json!({ "system": "http://loinc.org", "code": "8867-4", "display": "Heart rate" });
    let (start, end) = ("2026-03-01T09:00:00+09:00", "2026-03-01T09:30:00+09:00");
    let quantity = json!({ "value": 71.5, "unit": "/min", "system": "http://unitsofmeasure.org", "code": "/min" });
    vec![
        (
            "encounter",
            "Encounter",
            json!({ "status": "finished", "class": "AMB", "type": coded, "period": { "start": start, "end": end },
                "provider": "Dr. Lee", "location": "Ward 3" }),
        ),
        (
            "condition",
            "Condition",
            json!({ "clinical_status": "resolved", "verification_status": "confirmed",
                "category": "encounter-diagnosis", "severity": "mild", "code": coded, "onset": "2019",
                "abatement": "2020-03", "note": "One.\nTwo." }),
        ),
        (
            "allergy",
            "AllergyIntolerance",
            json!({ "clinical_status": "active", "type": "allergy", "category": "food", "criticality": "high",
                "code": coded, "reaction": [{ "manifestation": { "display": "Hives" }, "severity": "mild" }] }),
        ),
        (
            "medication",
            "MedicationStatement",
            json!({ "status": "active", "medication": coded, "effective": { "start": "2026-01-02" }, "dosage": "1-0-0",
                "route": { "display": "oral" } }),
        ),
        (
            "observation",
            "Observation",
            json!({ "status": "final", "category": "vital-signs", "code": coded, "effective": start,
                "value_quantity": quantity, "interpretation": "N", "reference_range": { "low": 60, "high": 100 } }),
        ),
        (
            "appointment",
            "Appointment",
            json!({ "status": "booked", "start": start, "end": end, "description": "Control" }),
        ),
    ]
}

/// Writes outbox rows as an application does: type, id, operation, payload and references.
async fn write(host: &Host, rows: &[(&str, &str, &str, &Value, &Value)]) {
    let path = host.folder().join(".host/host.db");
    let mut store = Session::open(&format!("sqlite://{}", path.display())).await.expect("session");
    for (aggregate_type, id, operation, payload, refs) in rows {
        let text = |value: &Value| value.to_string().replace('\'', "''");
        let row = format!(
            "INSERT INTO sync_outbox (aggregate_type, aggregate_id, operation, payload, refs) \
             VALUES ('{aggregate_type}', '{id}', '{operation}', '{}', '{}')",
            text(payload),
            text(refs)
        );
        store.execute(&row).await.expect("insert");
    }
    store.close().await.expect("close");
}

#[tokio::test]
async fn clinical_records_refer_to_the_servers_ids_and_are_valid() {
    let Some(server) = Server::reach(Backend::Fhir) else { return };
    let host = host_at(&server.url, &Settings { target: TYPES, ..Settings::default() });
    let (person, visit, other) = (unique("VP"), unique("VE"), unique("VR"));
    let subject = json!([{ "name": "subject", "type": "patient", "id": person }]);
    let mut both = subject.clone();
    both.as_array_mut().expect("a list").push(json!({ "name": "encounter", "type": "encounter", "id": visit }));
    let records = records();
    let _ = host.run(&["migrate"]).expect_success();
    // Before the patient is there, and the records of the visit before the visit.
    let shot = json!({ "resourceType": "Immunization", "status": "completed", "vaccineCode": { "text": "x" },
        "patient": { "reference": format!("Patient/{person}") }, "occurrenceDateTime": "2026-01-01" });
    let mut rows = vec![("fhir-resource", other.as_str(), "create", &shot, &subject)];
    for (aggregate_type, _, payload) in records.iter().rev() {
        let refs = if *aggregate_type == "encounter" { &subject } else { &both };
        rows.push((*aggregate_type, visit.as_str(), "create", payload, refs));
    }
    write(&host, &rows).await;
    let mut payload = patient(&person);
    payload["patient_id"] = person.as_str().into();
    put(&host, &payload);
    sync(&host);
    assert_eq!(host.status()["totals"]["failed"], 0, "{}", host.status());

    let patient_id = written_back(&host, &person);
    let find = |name: &str, aggregate_type: &str, id: &str| {
        let found = server.found(name, &format!("{SYSTEM}/{aggregate_type}"), id);
        assert_eq!(found.len(), 1, "{name}: {found:?}");
        found.into_iter().next().expect("one")
    };
    let visited = find("Encounter", "encounter", &visit)["id"].clone();
    let mut written = vec![find("Immunization", "fhir-resource", &other)];
    for (aggregate_type, name, _) in &records {
        let record = find(name, aggregate_type, &visit);
        let text = record.to_string();
        assert!(text.contains(&format!("Patient/{patient_id}")), "{record}");
        if !matches!(*name, "Encounter" | "Appointment") {
            assert!(text.contains(&format!("Encounter/{}", visited.as_str().expect("an id"))), "{record}");
        }
        written.push(record);
    }
    assert_eq!(written[0]["patient"]["reference"], format!("Patient/{patient_id}"));

    // What is deleted is marked, and what was passed through goes.
    let (nothing, none) = (json!({}), json!([]));
    let mut rows = vec![("fhir-resource", other.as_str(), "delete", &nothing, &none)];
    rows.extend(
        records.iter().map(|(aggregate_type, ..)| (*aggregate_type, visit.as_str(), "delete", &nothing, &none)),
    );
    write(&host, &rows).await;
    sync(&host);
    assert_eq!(host.status()["totals"]["failed"], 0, "{}", host.status());
    assert!(server.found("Immunization", &format!("{SYSTEM}/fhir-resource"), &other).is_empty());
    for (aggregate_type, name, _) in &records {
        let record = find(name, aggregate_type, &visit);
        let status = record["verificationStatus"]["coding"][0]["code"].as_str().or(record["status"].as_str());
        assert_eq!(status, Some("entered-in-error"), "{record}");
        written.push(record);
    }

    let verdicts = Validators::provision().expect("validators").judge(&written).expect("judge");
    let shown: Vec<_> = verdicts.iter().map(|verdict| (&verdict.problem, &written[verdict.index])).collect();
    assert!(shown.is_empty(), "{shown:#?}");
}

/// FHIR's name of an aggregate type; of a resource that is passed through it is in the id.
fn resource_type<'a>(aggregate_type: &str, remote_id: &'a str) -> &'a str {
    match aggregate_type {
        "patient" => "Patient",
        "encounter" => "Encounter",
        "condition" => "Condition",
        "allergy" => "AllergyIntolerance",
        "medication" => "MedicationStatement",
        "observation" => "Observation",
        "appointment" => "Appointment",
        _ => remote_id.split_once('/').expect("type and id").0,
    }
}

/// Every record of the seeds is at the server, with the server's id of its patient; or it was skipped, with what the
/// server itself declares. What refers to a skipped record waits. Delivered again each is there once.
pub(crate) fn seeded_records_arrive_or_are_skipped_with_the_servers_word(server: &Server) {
    let system = format!("urn:example:{}", unique("seeds"));
    let settings = format!("identifier_system = \"{system}\"");
    let host = host_at(
        &server.url,
        &Settings { target: TYPES, http: "timeout_ms = 60000", adapter: &settings, ..Settings::default() },
    );
    let seeds = ["initial.toml", "clinical.toml"].map(|name| workspace().join("seeds").join(name));
    let seeds = seeds.map(|path| path.to_string_lossy().into_owned());
    let _ = host.run(&["seed", &seeds[0], &seeds[1]]).expect_success();
    deliver_what_can_be(&host);
    let skipped = host.run(&["failed", "list", "--skipped", "--json"]).expect_success().json();
    let mut refused = BTreeMap::new();
    for one in skipped["skipped"].as_array().expect("a list") {
        let reason = one["message"].as_str().expect("a reason").to_owned();
        assert!(reason.starts_with("the server keeps no ") || reason.starts_with("the server's "), "{reason}");
        *refused.entry(reason).or_insert(0) += 1;
    }
    eprintln!("{}: skipped {refused:?}", server.url);

    all_are_there_once(server, &host, &system);
    let verified = host.run(&["verify", "--target", "fhir"]);
    assert_eq!(verified.status, Some(0), "{}{}", verified.stdout, verified.stderr);
    let _ = host.run(&["resync", "--target", "fhir"]).expect_success();
    deliver_what_can_be(&host);
    all_are_there_once(server, &host, &system);
}

/// Delivers, and checks that what is left waits for a record that was skipped.
fn deliver_what_can_be(host: &Host) {
    let run = host.run(&["run", "--until-idle"]);
    let waiting = host.run(&["waiting", "--json"]).expect_success().json();
    let waiting = waiting["waiting"].as_array().expect("a list");
    assert_eq!(run.status, Some(i32::from(!waiting.is_empty())), "{}{}", run.stdout, run.stderr);
    for one in waiting {
        let mut lacks = one["waits_for"].as_array().expect("a list").iter();
        assert!(lacks.all(|lacking| lacking["reason"] == "skipped"), "{one}");
    }
}

fn all_are_there_once(server: &Server, host: &Host, system: &str) {
    let status = host.run(&["status", "--json", "--recent", "1000"]).expect_success().json();
    let waiting = &status["targets"]["fhir"]["waiting_for_references"];
    assert_eq!((&status["totals"]["failed"], &status["totals"]["pending"]), (&0.into(), waiting), "{status}");
    let text = |one: &Value, field: &str| one[field].as_str().unwrap_or_default().to_owned();
    let recent = status["recent"].as_array().expect("a list");
    let delivered: Vec<[String; 3]> = recent
        .iter()
        .filter(|one| one["status"] == "done")
        .map(|one| ["aggregate_type", "aggregate_id", "remote_id"].map(|field| text(one, field)))
        .collect();
    let patients: Vec<&[String; 3]> = delivered.iter().filter(|[kind, ..]| kind == "patient").collect();
    assert!(patients.len() >= 5 && delivered.len() >= patients.len(), "{status}");
    for [aggregate_type, id, remote_id] in &delivered {
        let system = if aggregate_type == "patient" { system.to_owned() } else { format!("{system}/{aggregate_type}") };
        let found = server.found(resource_type(aggregate_type, remote_id), &system, id);
        assert_eq!(found.len(), 1, "{aggregate_type} {id}: {found:?}");
        let record = found[0].to_string();
        let names_patient = patients.iter().any(|[_, _, id]| record.contains(&format!("\"Patient/{id}\"")));
        assert!(names_patient || ["patient", "fhir-resource"].contains(&aggregate_type.as_str()), "{record}");
    }
}
