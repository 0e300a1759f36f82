//! What the patterns of IHE demand of each kind of event. `tests/tests/sync/fhir_servers/audit.rs` asks validators of
//! others about all of R4.

use super::*;
use crate::domain::audit::{AuditAction, Operator};
use crate::domain::audit_chain::AuditHead;
use crate::domain::ids::ChangeId;

fn event(action: AuditAction, subject: AuditSubject, outcome: &str) -> AuditEvent {
    let operator = Operator {
        user: "root".to_owned(),
        uid: Some(0),
        login: Some("kim".to_owned()),
        acting_as: None,
        machine: "ward-3".to_owned(),
        remote: Some("192.0.2.7".to_owned()),
    };
    let facts = AuditFacts {
        command_id: "c".to_owned(),
        operator,
        action: action.as_str().to_owned(),
        subject,
        reason: Some("phone call".to_owned()),
        outcome: outcome.to_owned(),
    };
    AuditHead::genesis().next(1_700_000_000_123, &facts)
}

fn exporter() -> Exporter {
    Exporter { machine: "ward-3".to_owned() }
}

fn codes(value: &Value, element: &str, part: &str) -> Vec<String> {
    let all = value[element].as_array().expect("a list");
    all.iter().filter_map(|one| one[part]["code"].as_str().or(one["code"].as_str())).map(str::to_owned).collect()
}

#[test]
fn a_patient_that_was_shown_keeps_the_pattern_patient_read() {
    let resource = exporter().event(&event(AuditAction::PatientShow, AuditSubject::patient("P-1"), "success"));
    assert_eq!(
        resource["meta"]["profile"][0],
        "https://profiles.ihe.net/ITI/BALP/StructureDefinition/IHE.BasicAudit.PatientRead"
    );
    assert_eq!((&resource["type"]["code"], &resource["action"]), (&"rest".into(), &"R".into()));
    assert_eq!((&resource["outcome"], &resource["recorded"]), (&"0".into(), &"2023-11-14T22:13:20.123Z".into()));
    assert_eq!(codes(&resource, "subtype", "none"), ["read", "patient-show"]);
    let agents: Vec<_> = (0..3).map(|index| &resource["agent"][index]["type"]["coding"][0]["code"]).collect();
    assert_eq!(agents, ["110152", "110153", "IRCP"]);
    let (client, user) = (&resource["agent"][0], &resource["agent"][2]);
    assert_eq!(client["network"], json!({ "address": "192.0.2.7", "type": "2" }));
    assert_eq!((&user["requestor"], &user["altId"]), (&true.into(), &"kim".into()));
    assert!(user.get("network").is_none());
    assert_eq!(codes(&resource, "entity", "type"), ["2", "1", "XrequestId"]);
    assert_eq!(
        resource["entity"][1]["what"],
        json!({ "type": "Patient", "identifier": { "system": "urn:neuronova:patient-id", "value": "P-1" } })
    );
    assert_eq!(resource["purposeOfEvent"][0]["text"], "phone call");
}

#[test]
fn a_search_has_a_query_and_no_record() {
    let resource = exporter().event(&event(
        AuditAction::FailedList,
        AuditSubject::default().at(Some("fhir")).with_count("delivery", 3),
        "success",
    ));
    let query = &resource["entity"][0];
    assert_eq!((&query["role"]["code"], &query["description"]), (&"24".into(), &"3 delivery, target fhir".into()));
    assert!(query.get("what").is_none() && query.get("name").is_none());
    assert!(resource["meta"]["profile"][0].as_str().expect("a profile").ends_with(".Query"));
}

#[test]
fn a_failed_command_keeps_no_pattern_of_a_success() {
    let resource = exporter().event(&event(AuditAction::PatientDelete, AuditSubject::patient("P-1"), "failed"));
    assert!(resource.get("meta").is_none());
    assert_eq!((&resource["outcome"], &resource["outcomeDesc"]), (&"4".into(), &"failed".into()));
    let broken = exporter().event(&event(AuditAction::PatientDelete, AuditSubject::patient("P-1"), "database"));
    assert_eq!(broken["outcome"], "8");
}

#[test]
fn both_patients_of_a_merge_are_named() {
    let subject = AuditSubject::patient("P-1").with_other("P-2");
    let resource = exporter().event(&event(AuditAction::PatientMerge, subject, "success"));
    let ids: Vec<_> = (1..3).map(|index| &resource["entity"][index]["what"]["identifier"]["value"]).collect();
    assert_eq!(ids, ["P-1", "P-2"]);
}

#[test]
fn every_action_has_what_r4_demands() {
    for action in AuditAction::ALL {
        let resource = exporter().event(&event(*action, AuditSubject::default(), "success"));
        for element in ["type", "action", "recorded", "outcome", "source", "agent", "entity", "subtype"] {
            assert!(!resource[element].is_null(), "{action}: {element}");
        }
        let entities = resource["entity"].as_array().expect("entities");
        assert!(entities.iter().all(|entity| entity.get("name").is_none() || entity.get("query").is_none()));
    }
}

#[test]
fn a_delivery_names_the_server_and_what_it_got() {
    let sent = SentDelivery {
        change_id: ChangeId::new(7),
        key: AggregateKey { aggregate_type: "condition".to_owned(), aggregate_id: "C-1".to_owned() },
        operation: Some("create".to_owned()),
        is_done: true,
        error_kind: None,
        finished_at: Some(1_700_000_000_123),
        remote_id: Some("77".to_owned()),
    };
    let server = DeliveryTarget { name: "fhir_1".to_owned(), server: Some("fhir.example".to_owned()) };
    let resource = exporter().delivery(&sent, &server);
    assert!(resource["meta"]["profile"][0].as_str().expect("a profile").ends_with(".BasicAudit.Create"));
    assert_eq!((&resource["id"], &resource["action"]), (&"d-fhir-1-7".into(), &"C".into()));
    assert_eq!(resource["agent"][1]["network"]["address"], "fhir.example");
    assert_eq!(resource["entity"][0]["what"]["identifier"]["system"], "urn:neuronova:patient-id/condition");
    let database = DeliveryTarget { name: "openemr".to_owned(), server: None };
    let failed = SentDelivery { is_done: false, error_kind: Some("invalid".to_owned()), operation: None, ..sent };
    let resource = exporter().delivery(&failed, &database);
    assert!(resource.get("meta").is_none());
    assert_eq!((&resource["outcome"], &resource["outcomeDesc"]), (&"8".into(), &"invalid".into()));
    assert_eq!(resource["type"]["code"], "110106");
}
