//! First deliveries: search, one create, second search.

use super::*;

#[test]
fn a_new_patient_is_searched_and_created_with_our_id() {
    let (server, settings, capabilities) = (Server::default(), Settings::default(), able());
    let receipt = created(&server, &rules(&settings, &capabilities));
    assert_eq!((receipt.remote_id, receipt.remote_version.as_deref()), (id_of(1), Some("1")));
    assert_eq!(server.requests(), [SEARCH.to_owned(), format!("PUT Patient/{}", id_of(1)), SEARCH.to_owned()]);
}

#[test]
fn where_the_server_assigns_ids_a_create_searches_before_and_after() {
    let settings = Settings::default();
    for capabilities in &ways()[1..] {
        let server = Server::default();
        let receipt = created(&server, &rules(&settings, capabilities));
        assert_eq!((receipt.remote_id.as_str(), receipt.remote_version.as_deref()), ("1", Some("1")));
        assert_eq!(server.requests(), [SEARCH, "POST Patient", SEARCH]);
    }
    // The server also assigns the ids when `client_ids` is off.
    let settings = Settings { client_ids: false, ..settings };
    let (server, capabilities) = (Server::default(), able());
    assert_eq!(created(&server, &rules(&settings, &capabilities)).remote_id, "1");
}

#[test]
fn a_late_first_request_changes_nothing() {
    let (server, settings, capabilities) = (Server::default(), Settings::default(), able());
    let rules = rules(&settings, &capabilities);
    // The first request of a delivery is delayed in the network.
    let first = change(1, Operation::Create, "Old", None);
    let (mut delivery, _) = Delivery::begin(&rules, &first).unwrap();
    let nobody = nobody();
    let Step::Send(late) = delivery.advance(&rules, &nobody) else { panic!("no create") };
    // Meanwhile a newer state arrives, and another author adds a contact.
    let link = created(&server, &rules);
    server.edit(1, |patient| patient["contact"] = json!([{ "name": { "text": "Lee" } }]));
    receipt(&one(&server, &rules, &change(1, Operation::Update, "New", Some(&link))));
    let before = server.record(1);
    let request = adapter_sdk::http::Request::new(late.method, late.url)
        .with_header("if-none-match", "*")
        .with_body(late.resource.unwrap().to_string().into_bytes());
    assert!(late.only_if_new);
    assert_eq!(crate::exchange::Outside::send(&server, &request).unwrap().status, 412);
    assert_eq!((server.record(1), server.count()), (before, 1));
}

#[test]
fn a_server_that_overwrites_on_create_is_reported() {
    let (server, settings, capabilities) =
        (Server { ignores_if_none_match: true, ..Server::default() }, Settings::default(), able());
    let rules = rules(&settings, &capabilities);
    let change = change(1, Operation::Create, "MinJun", None);
    let (mut delivery, _) = Delivery::begin(&rules, &change).unwrap();
    let mut entry = json!({ "response": { "status": "200",
        "location": format!("Patient/{}/_history/2", id_of(1)) } });
    let nobody = nobody();
    assert!(matches!(delivery.advance(&rules, &nobody), Step::Send(_)));
    let step = delivery.advance(&rules, &Answer::from_entry(&mut entry));
    assert!(matches!(step, Step::Send(second_search) if second_search.is_search()));
    assert!(delivery.take_notice().unwrap().contains("If-None-Match"));
    drop(server);
}

#[test]
fn a_record_of_an_older_version_or_rebuilt_store_is_found_and_not_created_again() {
    let settings = Settings::default();
    for capabilities in ways() {
        let server = Server::default();
        server.plant(1, "P-1");
        let receipt = created(&server, &rules(&settings, &capabilities));
        assert_eq!((receipt.remote_id.as_str(), server.count()), ("1", 1), "{capabilities:?}");
    }
}

#[test]
fn a_server_that_refuses_our_ids_gets_patients_without_them() {
    let (settings, capabilities) = (Settings::default(), able());
    for status in [400, 403, 404, 405, 422, 501] {
        let server = Server { refuses_ids: Some(status), ..Server::default() };
        let receipt = created(&server, &rules(&settings, &capabilities));
        assert_eq!((receipt.remote_id.as_str(), server.count()), ("1", 1));
        let warned = server.warnings.borrow().join("\n");
        assert!(warned.contains(&format!("({status})")) && warned.contains("client_ids = false"), "{warned}");
    }
}

#[test]
fn two_patients_stay_apart_on_a_case_insensitive_server() {
    let settings = Settings::default();
    for capabilities in ways() {
        let server = Server { ignores_case: true, ..Server::default() };
        server.plant(1, "p-1");
        let receipt = created(&server, &rules(&settings, &capabilities));
        assert_ne!(receipt.remote_id, "1", "{capabilities:?}");
        assert_eq!((server.count(), &server.record(1)["identifier"][0]["value"]), (2, &json!("p-1")));
    }
}

#[test]
fn a_duplicate_created_meanwhile_is_a_conflict_at_once() {
    let settings = Settings::default();
    for capabilities in &ways() {
        let mut server = Server::default();
        let rules = rules(&settings, capabilities);
        // The search of another host's change finds none; then both its record and ours exist.
        server.before = Some(Box::new(|number, _| {
            let nobody = json!({ "resourceType": "Bundle", "type": "searchset" }).to_string().into_bytes();
            (number == 0).then(|| Ok(adapter_sdk::http::Response { status: 200, headers: vec![], body: nobody }))
        }));
        server.plant(1, "P-1");
        server.ignores_condition = true;
        let outcome = one(&server, &rules, &change(1, Operation::Create, "MinJun", None));
        assert_eq!(failed(&outcome), (FailureKind::Conflict, "several Patients at the target carry our identifier"));
        assert_eq!(server.count(), 2);
    }
}

#[test]
fn a_refused_create_searches_for_an_existing_record() {
    let settings = Settings::default();
    for capabilities in &ways()[1..] {
        for (status, kind) in
            [(400, FailureKind::Invalid), (409, FailureKind::Transient), (412, FailureKind::Transient)]
        {
            for is_there in [false, true] {
                let mut server = Server::default();
                let rules = rules(&settings, capabilities);
                let refused = move |_: usize, request: &adapter_sdk::http::Request| {
                    (request.method == Method::Post).then(|| Ok(crate::testing::outcome(status)))
                };
                // With `is_there` the request is carried out and still refused, as after an overlapping one.
                if is_there {
                    server.after = Some(Box::new(refused));
                } else {
                    server.before = Some(Box::new(refused));
                }
                let outcome = one(&server, &rules, &change(1, Operation::Create, "MinJun", None));
                if is_there {
                    assert_eq!((receipt(&outcome).remote_id.as_str(), server.count()), ("1", 1), "{status}");
                } else {
                    assert_eq!(failed(&outcome).0, kind, "{status}");
                }
            }
        }
    }
}

#[test]
fn our_id_taken_by_a_concurrent_request_is_read() {
    let (settings, capabilities) = (Settings::default(), able());
    for status in [304, 409, 412] {
        let mut server = Server::default();
        let rules = rules(&settings, &capabilities);
        server.after = Some(Box::new(move |_, request| {
            (request.method == Method::Put).then(|| Ok(crate::testing::outcome(status)))
        }));
        let outcome = one(&server, &rules, &change(1, Operation::Create, "MinJun", None));
        assert_eq!((receipt(&outcome).remote_id.clone(), server.count()), (id_of(1), 1), "{status}");
    }
}

#[test]
fn a_lost_response_never_makes_a_second_record() {
    for capabilities in ways() {
        let settings = Settings::default();
        for operation in [Operation::Create, Operation::Update] {
            let mut server = Server {
                after: Some(Box::new(|_, request| (request.method != Method::Get).then_some(Err(Error::Timeout)))),
                ..Server::default()
            };
            let change = change(1, operation, "MinJun", None);
            let lost = deliver(&server, &rules(&settings, &capabilities), std::slice::from_ref(&change));
            assert!(lost.is_ok_and(|outcomes| failed(&outcomes[0]).0 == FailureKind::Transient));
            server.after = None;
            let again = one(&server, &rules(&settings, &capabilities), &change);
            receipt(&again);
            assert_eq!(server.count(), 1, "{capabilities:?}");
        }
    }
}

#[test]
fn several_records_with_our_identifier_are_a_conflict_in_every_mode() {
    for capabilities in ways() {
        let settings = Settings::default();
        let server = Server::default();
        server.plant(1, "P-1");
        server.plant(2, "P-1");
        for operation in [Operation::Create, Operation::Update, Operation::Delete] {
            let outcome = one(&server, &rules(&settings, &capabilities), &change(1, operation, "Jun", None));
            assert_eq!(failed(&outcome).0, FailureKind::Conflict, "{operation:?} {capabilities:?}");
        }
        assert_eq!(server.count(), 2);
    }
}

#[test]
fn an_id_missing_in_the_response_is_searched() {
    let (server, settings, capabilities) =
        (Server { keeps_ids_to_itself: true, ..Server::default() }, Settings::default(), own_ids());
    let receipt = created(&server, &rules(&settings, &capabilities));
    assert_eq!((receipt.remote_id.as_str(), receipt.remote_version.as_deref()), ("1", Some("1")));
    assert_eq!(server.requests().len(), 3);
}

#[test]
fn an_ignored_search_never_links_another_patient() {
    let (settings, capabilities) = (Settings::default(), but(own_ids(), |it| it.versioning = Versioning::Versioned));
    let rules = rules(&settings, &capabilities);
    let change = change(1, Operation::Update, "Jun", None);
    let (mut delivery, search) = Delivery::begin(&rules, &change).unwrap();
    assert!(search.is_search());
    let somebody = json!({ "resourceType": "Patient", "id": "7",
        "identifier": [{ "system": "urn:other", "value": "P-1" }] });
    let mut entry = json!({ "response": { "status": "200" },
        "resource": { "resourceType": "Bundle", "type": "searchset", "entry": [{ "resource": somebody }] } });
    let Step::Done(outcome) = delivery.advance(&rules, &Answer::from_entry(&mut entry)) else { panic!("asked on") };
    assert_eq!(failed(&outcome).0, FailureKind::Misconfigured);
}
