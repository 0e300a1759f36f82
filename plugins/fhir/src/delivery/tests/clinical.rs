//! The guarantees for patients hold for every type: one implementation, so one test over all types.

use adapter_sdk::{Observation, Receipt, Subject};

use super::*;
use crate::observe::observe;
use crate::ownership::Fingerprint;
use crate::testing::{later, of_type};

const SUBJECT: (&str, &str, &str, Option<&str>) = ("subject", "patient", "P-1", Some("17"));

/// One change of every type except `patient`, all with the same id, and the FHIR name of the type.
fn changes() -> Vec<(&'static str, Change)> {
    let text = json!({ "display": "x" });
    let time = "2026-03-01T09:00:00Z";
    [
        ("encounter", "Encounter", json!({ "status": "planned", "class": "AMB", "period": { "start": time } })),
        ("condition", "Condition", json!({ "clinical_status": "active", "code": text })),
        ("allergy", "AllergyIntolerance", json!({ "clinical_status": "active", "code": text })),
        ("medication", "MedicationStatement", json!({ "status": "active", "medication": text })),
        (
            "observation",
            "Observation",
            json!({ "status": "final", "category": "laboratory", "code": text, "effective": time,
                "value_string": "x" }),
        ),
        ("appointment", "Appointment", json!({ "status": "booked", "start": time, "end": "2026-03-01T09:30:00Z" })),
        (
            "fhir-resource",
            "Immunization",
            json!({ "resourceType": "Immunization", "status": "completed", "patient": { "reference": "Patient/P-1" } }),
        ),
    ]
    .into_iter()
    .map(|(aggregate_type, name, payload)| (name, of_type(aggregate_type, "X-1", &payload, &[SUBJECT])))
    .collect()
}

/// A later change of the same aggregate with another state.
fn changed(change: &Change, receipt: &Receipt) -> Change {
    let mut payload: Value = serde_json::from_str(&change.payload).unwrap();
    let remark = if change.aggregate_type == "appointment" { "comment" } else { "note" };
    match change.aggregate_type.as_str() {
        "encounter" => payload["provider"] = json!("Lee"),
        "fhir-resource" => payload[remark] = json!([{ "text": "new" }]),
        _ => payload[remark] = json!("new"),
    }
    Change { payload: payload.to_string(), ..later(change, Operation::Update, receipt) }
}

fn subject(change: &Change, receipt: &Receipt) -> Subject {
    let link = later(change, Operation::Update, receipt).link.unwrap();
    Subject { aggregate_type: change.aggregate_type.clone(), aggregate_id: change.aggregate_id.clone(), link }
}

#[test]
fn one_call_delivers_all_types_in_shared_bundles_with_distinct_ids() {
    let (server, settings, capabilities) = (Server::default(), Settings::default(), able());
    let rules = rules(&settings, &capabilities);
    let mut all: Vec<Change> = changes().into_iter().map(|(_, change)| change).collect();
    all.push(change(1, Operation::Create, "MinJun", None));
    let outcomes = deliver(&server, &rules, &all).unwrap();
    assert_eq!(server.requests().len(), 3, "looked for, created, looked for again: {:?}", server.requests());
    let ids: std::collections::HashSet<_> =
        outcomes.iter().map(|outcome| receipt(outcome).remote_id.rsplit('/').next().unwrap().to_owned()).collect();
    assert_eq!((ids.len(), server.count()), (8, 8));
    assert!(receipt(&outcomes[6]).remote_id.starts_with("Immunization/"), "what was passed through names its type");
    assert!(outcomes[..6].iter().all(|outcome| !receipt(outcome).remote_id.contains('/')));
    for (number, (name, change)) in changes().iter().enumerate() {
        let identifier = &server.record(number + 1)["identifier"][0];
        assert_eq!(server.record(number + 1)["resourceType"], *name);
        assert_eq!(identifier["system"], format!("urn:neuronova:patient-id/{}", change.aggregate_type));
    }
}

#[test]
fn an_update_is_one_guarded_request_and_an_equal_state_is_not_written() {
    let (settings, capabilities) = (Settings::default(), able());
    let rules = rules(&settings, &capabilities);
    for (name, change) in changes() {
        let server = Server::default();
        let link = receipt(&one(&server, &rules, &change)).clone();
        let before = server.requests().len();
        let update = one(&server, &rules, &changed(&change, &link));
        assert_eq!(receipt(&update).remote_version.as_deref(), Some("2"), "{name}");
        assert_eq!(receipt(&update).remote_id, link.remote_id);
        let sent = &server.requests()[before..];
        assert!(sent.len() == 1 && sent[0].starts_with(&format!("PUT {name}/")), "{sent:?}");
        // Without the link the record is found, and already holds the state.
        let lost = Change { link: None, ..changed(&change, &link) };
        assert_eq!(receipt(&one(&server, &rules, &lost)).remote_id, link.remote_id);
        assert_eq!(server.count(), 1, "{name}");
    }
}

#[test]
fn a_lost_response_makes_no_second_record_where_the_server_assigns_ids() {
    let settings = Settings::default();
    for capabilities in &ways()[1..] {
        for (name, change) in changes() {
            let mut server = Server {
                after: Some(Box::new(|_, request| (request.method != Method::Get).then_some(Err(Error::Timeout)))),
                ..Server::default()
            };
            let rules = rules(&settings, capabilities);
            assert!(deliver(&server, &rules, std::slice::from_ref(&change)).is_ok());
            server.after = None;
            let again = one(&server, &rules, &change);
            assert!(receipt(&again).remote_id.ends_with('1'), "{name}");
            assert_eq!(server.count(), 1, "{name}");
        }
    }
}

#[test]
fn other_writers_elements_stay_and_their_edits_of_ours_are_held() {
    let (settings, capabilities) = (Settings::default(), able());
    let overwrite = rules(&settings, &capabilities);
    let hold = Rules { on_remote_edit: RemoteEdit::Hold, ..overwrite };
    for (name, change) in changes().into_iter().filter(|(name, _)| *name != "Immunization") {
        let server = Server::default();
        let link = receipt(&one(&server, &overwrite, &change)).clone();
        server.edit(1, |record| {
            record["extension"] = json!([{ "url": "urn:theirs", "valueString": "x" }]);
            record["identifier"].as_array_mut().unwrap().push(json!({ "system": "urn:ward", "value": "7" }));
        });
        let shared = one(&server, &hold, &changed(&change, &link));
        let link = receipt(&shared).clone();
        assert!(Fingerprint::parse(link.fingerprint.as_deref().unwrap()).unwrap().shared, "{name}");
        let record = server.record(1);
        assert_eq!(
            (&record["extension"][0]["url"], &record["identifier"][1]["value"]),
            (&json!("urn:theirs"), &json!("7"))
        );

        let element = if record.get("status").is_some() { "status" } else { "recordedDate" };
        server.edit(1, |record| record[element] = json!("2020"));
        let outcome = one(&server, &hold, &later(&change, Operation::Update, &link));
        let (kind, message) = failed(&outcome);
        assert_eq!(kind, FailureKind::Conflict);
        assert!(message.starts_with(&format!("{name} was edited at the target")) && message.contains("[holds "));
        receipt(&one(&server, &overwrite, &later(&change, Operation::Update, &link)));
        assert_ne!(server.record(1)[element], "2020", "{name}");
        assert_eq!(server.record(1)["extension"][0]["url"], "urn:theirs");
    }
}

#[test]
fn list_entries_of_other_writers_are_kept() {
    let (server, settings, capabilities) = (Server::default(), Settings::default(), able());
    let rules = rules(&settings, &capabilities);
    let (_, appointment) = changes().remove(5);
    let link = receipt(&one(&server, &rules, &appointment)).clone();
    let doctor = json!({ "actor": { "reference": "Practitioner/3" }, "status": "accepted" });
    server.edit(1, |record| record["participant"].as_array_mut().unwrap().push(doctor.clone()));
    receipt(&one(&server, &rules, &changed(&appointment, &link)));
    let participants = &server.record(1)["participant"];
    assert_eq!((&participants[0]["actor"]["reference"], &participants[1]), (&json!("Patient/17"), &doctor));
}

#[test]
fn another_form_of_a_choice_element_is_replaced_by_ours() {
    let (server, settings, capabilities) = (Server::default(), Settings::default(), able());
    let rules = rules(&settings, &capabilities);
    let (_, observation) = changes().remove(4);
    let link = receipt(&one(&server, &rules, &observation)).clone();
    server.edit(1, |record| {
        record.as_object_mut().unwrap().remove("valueString");
        record["valueInteger"] = json!(3);
    });
    receipt(&one(&server, &rules, &changed(&observation, &link)));
    let record = server.record(1);
    assert_eq!((record.get("valueInteger"), &record["valueString"]), (None, &json!("x")));
}

#[test]
fn a_deleted_record_is_marked_entered_in_error_and_restored_by_the_next_state() {
    let (settings, capabilities) = (Settings::default(), able());
    let rules = rules(&settings, &capabilities);
    for (name, change) in changes().into_iter().filter(|(name, _)| *name != "Immunization") {
        let server = Server::default();
        let link = receipt(&one(&server, &rules, &change)).clone();
        let delete = Change { payload: "{}".to_owned(), ..later(&change, Operation::Delete, &link) };
        let gone = receipt(&one(&server, &rules, &delete)).clone();
        assert_eq!(gone.remote_id, link.remote_id);
        let status = |record: &Value| {
            record["verificationStatus"]["coding"][0]["code"].as_str().or(record["status"].as_str()).map(str::to_owned)
        };
        assert_eq!(status(&server.record(1)).as_deref(), Some("entered-in-error"), "{name}");
        assert_eq!(server.record(1).get("clinicalStatus"), None);
        // A second delete changes nothing, and a new state undoes it.
        let version = server.record(1)["meta"]["versionId"].clone();
        receipt(&one(
            &server,
            &rules,
            &Change { payload: "{}".to_owned(), ..later(&change, Operation::Delete, &gone) },
        ));
        assert_eq!(server.record(1)["meta"]["versionId"], version, "{name}");
        receipt(&one(&server, &rules, &later(&change, Operation::Update, &gone)));
        assert_ne!(status(&server.record(1)).as_deref(), Some("entered-in-error"), "{name}");
    }
}

#[test]
fn a_passed_through_resource_is_deleted_with_its_version() {
    let (settings, capabilities) = (Settings::default(), able());
    let rules = rules(&settings, &capabilities);
    let (_, change) = changes().remove(6);
    let server = Server::default();
    let link = receipt(&one(&server, &rules, &change)).clone();
    let delete = Change { payload: "{}".to_owned(), ..later(&change, Operation::Delete, &link) };
    // Another author edits it: with `hold` it is not overwritten.
    server.edit(1, |record| record["status"] = json!("not-done"));
    let held = one(&server, &Rules { on_remote_edit: RemoteEdit::Hold, ..rules }, &delete);
    assert_eq!(failed(&held).0, FailureKind::Conflict);
    assert_eq!(server.record(1)["status"], "not-done");
    let before = server.requests().len();
    assert_eq!(receipt(&one(&server, &rules, &delete)).remote_id, "", "the host forgets the link");
    let sent = &server.requests()[before..];
    assert!(sent.len() == 2 && sent[0].starts_with("GET Immunization/") && sent[1].starts_with("DELETE "), "{sent:?}");
    assert_eq!(server.record(1), Value::Null);
    // A second delete also confirms that it is gone, and a new state has the same id again.
    assert_eq!(receipt(&one(&server, &rules, &delete)).remote_id, "");
    assert_eq!(receipt(&one(&server, &rules, &change)).remote_id, link.remote_id);
}

#[test]
fn a_delete_that_loses_a_race_reads_the_record_again() {
    let (settings, capabilities) = (Settings::default(), able());
    let rules = rules(&settings, &capabilities);
    let (_, change) = changes().remove(6);
    let server = Server::default();
    let link = receipt(&one(&server, &rules, &change)).clone();
    let delete = later(&change, Operation::Delete, &link);
    let (mut delivery, read) = Delivery::begin(&rules, &delete).unwrap();
    assert_eq!(read.method, Method::Get);
    let mut entry = json!({ "response": { "status": "200" }, "resource": server.record(1) });
    let Step::Send(remove) = delivery.advance(&rules, &Answer::from_entry(&mut entry)) else { panic!("no delete") };
    assert_eq!((remove.method, remove.if_match.as_deref()), (Method::Delete, Some("W/\"1\"")));
    assert!(!remove.may_be_repeated(&capabilities), "no server promises to look at the version of a delete");
    let mut stale = json!({ "response": { "status": "412" } });
    let step = delivery.advance(&rules, &Answer::from_entry(&mut stale));
    assert!(matches!(step, Step::Send(Interaction { method: Method::Get, .. })), "{step:?}");
}

#[test]
fn a_server_without_deletes_and_a_changed_type_are_reported() {
    let (server, settings) = (Server::default(), Settings::default());
    let capabilities = but(able(), |it| it.deletes = false);
    let rules = rules(&settings, &capabilities);
    let (_, change) = changes().remove(6);
    let link = receipt(&one(&server, &rules, &change)).clone();
    let kept = one(&server, &rules, &later(&change, Operation::Delete, &link));
    assert_eq!(failed(&kept).0, FailureKind::Denied);
    let payload = json!({ "resourceType": "Procedure" }).to_string();
    let other = Change { payload, ..later(&change, Operation::Update, &link) };
    assert!(failed(&one(&server, &rules, &other)).1.starts_with("resourceType: "));
    let nameless = Change { payload: "{}".to_owned(), link: None, operation: Operation::Update, ..change };
    assert_eq!(failed(&one(&server, &rules, &nameless)).0, FailureKind::Invalid);
}

#[test]
fn the_delete_of_a_resource_that_never_came_here_is_confirmed_without_a_request() {
    let (server, settings, capabilities) = (Server::default(), Settings::default(), able());
    let rules = rules(&settings, &capabilities);
    let (_, change) = changes().remove(6);
    let delete = |payload: &str| {
        let change = change.clone();
        one(&server, &rules, &Change { payload: payload.to_owned(), operation: Operation::Delete, ..change })
    };
    assert_eq!(receipt(&delete("{}")).remote_id, "");
    for payload in ["", "[]", r#"{"resourceType": 7}"#] {
        assert_eq!(failed(&delete(payload)).0, FailureKind::Invalid, "{payload}");
    }
    assert!(server.requests().is_empty());
    // With its type it is looked for: the answer to its create may be lost.
    let known = Change { link: None, operation: Operation::Delete, ..change };
    assert_eq!(receipt(&one(&server, &rules, &known)).remote_id, "");
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn a_type_that_the_server_does_not_support_is_skipped_with_its_reason() {
    let settings = Settings::default();
    for (name, change) in changes() {
        let server = Server::default();
        let mut capabilities = able();
        capabilities.types.remove(name);
        let outcome = one(&server, &rules(&settings, &capabilities), &change);
        assert_eq!(skipped(&outcome), format!("the server keeps no {name}"));
        let mut reads_only = able();
        reads_only.types.get_mut(name).unwrap().missing = vec!["create".to_owned()];
        let outcome = one(&server, &rules(&settings, &reads_only), &change);
        assert!(skipped(&outcome).contains("has no interaction create"), "{outcome:?}");
        assert!(server.requests().is_empty());
        // The type is refused too if only the server's response shows that.
        let server = Server { refuses_type: Some(name), ..Server::default() };
        let outcomes =
            deliver(&server, &rules(&settings, &able()), &[change, super::change(1, Operation::Create, "Jun", None)]);
        let outcomes = outcomes.unwrap();
        assert!(skipped(&outcomes[0]).contains("404"), "{outcomes:?}");
        receipt(&outcomes[1]);
    }
    let nameless = of_type("fhir-resource", "R-1", &json!({ "resourceType": "AuditEvent" }), &[]);
    let outcome = one(&Server::default(), &rules(&settings, &able()), &nameless);
    assert!(skipped(&outcome).starts_with("AuditEvent has no identifier"), "{outcome:?}");
}

fn skipped(outcome: &Outcome) -> &str {
    match outcome {
        Outcome::Skipped(reason) => reason,
        other => panic!("not skipped: {other:?}"),
    }
}

#[test]
fn an_ignored_search_skips_the_type_and_leaves_the_target_up() {
    let (settings, capabilities) = (Settings::default(), able());
    let rules = rules(&settings, &capabilities);
    let (_, change) = changes().remove(4);
    let (mut delivery, _) = Delivery::begin(&rules, &change).unwrap();
    let somebody = json!({ "resourceType": "Observation", "id": "7" });
    let mut entry = json!({ "response": { "status": "200" },
        "resource": { "resourceType": "Bundle", "type": "searchset", "entry": [{ "resource": somebody }] } });
    let Step::Done(outcome) = delivery.advance(&rules, &Answer::from_entry(&mut entry)) else { panic!("asked on") };
    assert!(skipped(&outcome).contains("does not search Observation by identifier"));
}

#[test]
fn credentials_for_patients_only_do_not_take_the_target_down() {
    let (settings, capabilities) = (Settings::default(), Capabilities { batch: false, ..able() });
    let rules = rules(&settings, &capabilities);
    let server = Server {
        before: Some(Box::new(|_, request| {
            let is_other = request.method != Method::Get && !request.path.starts_with("Patient");
            is_other.then(|| Ok(crate::testing::outcome(403)))
        })),
        ..Server::default()
    };
    let others: Vec<Change> = changes().into_iter().map(|(_, change)| change).collect();
    let outcomes = deliver(&server, &rules, &others[..3]).unwrap();
    assert!(outcomes.iter().all(|outcome| failed(outcome).0 == FailureKind::Denied), "{outcomes:?}");
}

#[test]
fn observe_reports_written_edited_and_deleted_records_of_every_type() {
    let (settings, capabilities) = (Settings::default(), able());
    let rules = rules(&settings, &capabilities);
    for (name, change) in changes() {
        let server = Server::default();
        let link = receipt(&one(&server, &rules, &change)).clone();
        let subject = subject(&change, &link);
        let seen = || observe(&server, &settings, std::slice::from_ref(&subject)).unwrap().remove(0);
        let is_last = |seen: &Observation| match seen {
            Observation::Present(current) => Some(&current.fingerprint) == link.fingerprint.as_ref(),
            other => panic!("{name}: {other:?}"),
        };
        assert!(is_last(&seen()), "{name}");
        server.edit(1, |record| record["meta"]["tag"] = json!([{ "code": "theirs" }]));
        assert!(is_last(&seen()), "{name}: what others put beside ours is no edit");
        let element = if name == "Condition" || name == "AllergyIntolerance" { "recordedDate" } else { "status" };
        server.edit(1, |record| record[element] = json!("2020"));
        assert!(!is_last(&seen()), "{name}");
        server.delete(1);
        assert!(matches!(seen(), Observation::Gone), "{name}");
    }
}
