//! That independent validators take every kind of `AuditEvent` that the host exports.

use host::audit::{DeliveryTarget, Exporter};
use host::domain::audit::{AuditAction, AuditFacts, AuditOutcome, AuditSubject, Operator};
use host::domain::audit_chain::AuditHead;
use host::domain::ids::{AggregateKey, ChangeId};
use host::store::SentDelivery;
use serde_json::{Value, json};
use tests::servers::{Validators, Verdict};

const UNKNOWN_PROFILE: &str =
    "Failed to retrieve profile with url=https://profiles.ihe.net/ITI/BALP/StructureDefinition/";

fn operator(whole: bool) -> Operator {
    let some = |text: &str| whole.then(|| text.to_owned());
    Operator {
        user: "root".to_owned(),
        uid: whole.then_some(0),
        login: some("kim"),
        acting_as: some("Dr. 李 <&>\""),
        machine: "ward-3".to_owned(),
        remote: some("2001:db8::1"),
    }
}

fn key(kind: &str, id: &str) -> AggregateKey {
    AggregateKey { aggregate_type: kind.to_owned(), aggregate_id: id.to_owned() }
}

/// Every action with every kind of subject, and every outcome.
fn events(exporter: &Exporter) -> Vec<Value> {
    let subjects = [
        AuditSubject::default(),
        AuditSubject::patient("P-2025-001").with_other("P-2025-002").with_detail("keep local"),
        AuditSubject::of(Some(&key("lab-result", "L 1/김"))).at(Some("fhir")).with_count("delivery", 3),
        AuditSubject::default().at(Some("fhir")).with_count("delivery", 0),
    ];
    let mut head = AuditHead::genesis();
    let mut resources = Vec::new();
    for action in AuditAction::ALL {
        for (number, subject) in subjects.iter().enumerate() {
            let outcomes = if number == 0 { AuditOutcome::ALL } else { &AuditOutcome::ALL[..1] };
            for outcome in outcomes {
                let facts = AuditFacts {
                    command_id: "c0ffee".to_owned(),
                    operator: operator(number > 0),
                    action: action.as_str().to_owned(),
                    subject: subject.clone(),
                    reason: (number > 0).then(|| "phone call <&> 김".to_owned()),
                    outcome: outcome.as_str().to_owned(),
                };
                let event = head.next(1_700_000_000_123, &facts);
                head = AuditHead { id: event.id, hash: event.hash.clone() };
                resources.push(exporter.event(&event));
            }
        }
    }
    resources
}

fn deliveries(exporter: &Exporter) -> Vec<Value> {
    let targets = [
        DeliveryTarget { name: "fhir".to_owned(), server: Some("127.0.0.1".to_owned()) },
        DeliveryTarget { name: "open_emr".repeat(8), server: None },
    ];
    let mut resources = Vec::new();
    for target in &targets {
        for (number, operation) in (1..).zip([Some("create"), Some("update"), Some("delete"), Some("merge"), None]) {
            for (kind, is_done) in [("patient", true), ("condition", true), ("patient", false)] {
                let sent = SentDelivery {
                    change_id: ChangeId::new(i64::MAX - number),
                    key: key(kind, "P-1"),
                    operation: operation.map(str::to_owned),
                    is_done,
                    error_kind: (!is_done).then(|| "invalid".to_owned()),
                    finished_at: Some(1_700_000_000_000),
                    remote_id: is_done.then(|| "77".to_owned()),
                };
                resources.push(exporter.delivery(&sent, target));
            }
        }
    }
    resources
}

#[test]
fn every_exported_audit_event_is_valid() {
    let exporter = Exporter { machine: "ward-3".to_owned() };
    let mut resources = events(&exporter);
    resources.extend(deliveries(&exporter));
    // The last is none of ours: what cannot fail proves nothing.
    resources.push(json!({ "resourceType": "AuditEvent", "action": "X", "recorded": "yesterday", "colour": "red" }));
    let verdicts = Validators::provision().expect("validators").judge(&resources).expect("judge");
    let (wrong, ours): (Vec<_>, Vec<_>) = verdicts.iter().partition(|verdict| verdict.index == resources.len() - 1);
    for validator in ["fhir.resources", "JSON schema", "parser"] {
        assert!(wrong.iter().any(|verdict| verdict.problem.starts_with(validator)), "{validator} is silent: {wrong:?}");
    }
    // The validator has no definitions of IHE's profiles; `host/src/audit/fhir_tests.rs` has rules of our own for them.
    let is_meant = |verdict: &&&Verdict| !verdict.problem.contains(UNKNOWN_PROFILE);
    let ours: Vec<_> = ours.iter().filter(is_meant).collect();
    let shown: Vec<_> = ours.iter().take(5).map(|verdict| (&verdict.problem, &resources[verdict.index])).collect();
    assert!(shown.is_empty(), "{} problems, the first: {shown:#?}", ours.len());
}
