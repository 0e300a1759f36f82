//! Rounds in Bundles and in single requests, and one bad entry in a Bundle.

use super::*;
use crate::testing::but;

#[test]
fn a_batch_of_new_patients_is_three_requests_and_receipts_keep_their_order() {
    let (server, settings, capabilities) = (Server::default(), Settings::default(), able());
    let rules = rules(&settings, &capabilities);
    let outcomes = deliver(&server, &rules, &batch(50)).unwrap();
    assert_eq!(server.requests().len(), 3, "looked for, created, looked for again");
    for (number, outcome) in outcomes.iter().enumerate() {
        assert_eq!(receipt(outcome).remote_id, id_of(number + 1));
        assert_eq!(server.record(number + 1)["identifier"][0]["value"], format!("P-{}", number + 1));
    }
    // ... and the batch of their updates is one.
    let updates: Vec<Change> =
        (1..=50).map(|number| change(number, Operation::Update, "Jun", Some(receipt(&outcomes[number - 1])))).collect();
    deliver(&server, &rules, &updates).unwrap();
    assert_eq!(server.requests().len(), 4);
    assert_eq!(server.count(), 50);
}

#[test]
fn a_large_batch_is_split_by_the_settings() {
    let (server, capabilities) = (Server::default(), able());
    let settings = Settings { bundle_entries_max: 20, ..Settings::default() };
    deliver(&server, &rules(&settings, &capabilities), &batch(50)).unwrap();
    assert_eq!(server.requests().len(), 9);
}

#[test]
fn one_refused_entry_does_not_affect_the_others() {
    let (server, settings, capabilities) = (Server::default(), Settings::default(), able());
    let mut changes = batch(5);
    changes[2].payload = changes[2].payload.replace("\"male\"", "\"other\"");
    let outcomes = deliver(&server, &rules(&settings, &capabilities), &changes).unwrap();
    assert_eq!(kinds(&outcomes), [None, None, Some(FailureKind::Invalid), None, None]);
    assert_eq!((server.requests().len(), server.count()), (4, 4), "the refused one was also tried without our id");
}

#[test]
fn the_others_are_delivered_when_one_entry_gets_the_whole_bundle_refused() {
    for (status, kind) in [
        (400, FailureKind::Invalid),
        (422, FailureKind::Invalid),
        (413, FailureKind::Invalid),
        (500, FailureKind::Transient),
    ] {
        let (settings, capabilities) = (Settings::default(), able());
        for poisoned in [0, 31, 63] {
            let server = Server { chokes_on: Some((status, "Poison")), ..Server::default() };
            let mut changes = batch(64);
            changes[poisoned].payload = changes[poisoned].payload.replace("MinJun", "Poison");
            let outcomes = deliver(&server, &rules(&settings, &capabilities), &changes).unwrap();
            let mut expected = vec![None; 64];
            expected[poisoned] = Some(kind);
            assert_eq!(kinds(&outcomes), expected, "{status} at {poisoned}");
            assert_eq!(server.count(), 63);
            assert!(server.requests().len() <= 20, "{} requests", server.requests().len());
        }
    }
}

#[test]
fn without_batch_every_change_is_a_request_of_its_own() {
    for (settings, capabilities) in [
        (Settings { batch: false, ..Settings::default() }, able()),
        (Settings::default(), Capabilities { batch: false, ..able() }),
    ] {
        let server = Server::default();
        let outcomes = deliver(&server, &rules(&settings, &capabilities), &batch(3)).unwrap();
        assert_eq!(kinds(&outcomes), [None, None, None]);
        assert_eq!((server.requests().len(), server.count()), (9, 3));
        assert!(server.warnings.borrow().is_empty());
    }
}

#[test]
fn without_our_own_ids_searches_and_writes_share_bundles() {
    let (server, settings) = (Server::default(), Settings::default());
    let capabilities = but(own_ids(), |it| it.conditional_create = false);
    let rules = rules(&settings, &capabilities);
    deliver(&server, &rules, &batch(10)).unwrap();
    assert_eq!((server.requests().len(), server.count()), (3, 10), "looked for, created, looked for again");
    let again = deliver(&server, &rules, &batch(10)).unwrap();
    assert_eq!((server.requests().len(), server.count()), (4, 10), "what is there already is only searched");
    assert_eq!(kinds(&again), vec![None; 10]);
}

#[test]
fn only_the_throttled_entry_waits() {
    let (settings, capabilities) = (Settings::default(), able());
    let updates = updates(&Server::default(), 2);
    let body = json!({ "resourceType": "Bundle", "type": "batch-response", "entry": [
        { "response": { "status": "200", "location": format!("Patient/{}/_history/2", id_of(1)) } },
        { "response": { "status": "429 Too Many Requests" } }] });
    let answer = Response { status: 200, headers: Vec::new(), body: body.to_string().into_bytes() };
    let server = Server { before: Some(Box::new(move |_, _| Some(Ok(answer.clone())))), ..Server::default() };
    let outcomes = deliver(&server, &rules(&settings, &capabilities), &updates).unwrap();
    assert_eq!(kinds(&outcomes), [None, Some(FailureKind::Throttled)]);
}

#[test]
fn reads_and_writes_of_several_changes_share_their_rounds() {
    let (server, settings, capabilities) = (Server::default(), Settings::default(), able());
    let rules = Rules { on_remote_edit: RemoteEdit::Overwrite, ..rules(&settings, &capabilities) };
    let links = deliver(&server, &rules, &batch(10)).unwrap();
    for id in 1..=10 {
        server.edit(id, |patient| patient["contact"] = json!([{ "name": { "text": "Lee" } }]));
    }
    let updates: Vec<Change> =
        (1..=10).map(|number| change(number, Operation::Update, "Jun", Some(receipt(&links[number - 1])))).collect();
    let outcomes = deliver(&server, &rules, &updates).unwrap();
    assert_eq!(kinds(&outcomes), vec![None; 10]);
    assert_eq!(server.requests().len(), 3 + 3, "all stale, all read, all written");
}

#[test]
fn a_failed_bundle_is_searched_and_not_created_twice_where_the_server_assigns_ids() {
    let (settings, capabilities) = (Settings::default(), own_ids());
    // Everything of the failed Bundle was done all the same.
    let poison = |_: usize, request: &Request| is_poisoned(request).then(|| Ok(page(500, "oops")));
    let server = Server { after: Some(Box::new(poison)), ..Server::default() };
    let outcomes = deliver(&server, &rules(&settings, &capabilities), &poisoned(20, &[3, 4])).unwrap();
    assert_eq!((kinds(&outcomes), server.count()), (vec![None; 20], 20));
}

#[test]
fn an_empty_batch_sends_nothing() {
    let (server, settings, capabilities) = (Server::default(), Settings::default(), able());
    assert!(deliver(&server, &rules(&settings, &capabilities), &[]).unwrap().is_empty());
    assert!(server.requests().is_empty());
}

#[test]
fn an_undecodable_response_fails_only_its_patient() {
    let (settings, capabilities) = (Settings::default(), able());
    for (error, words) in
        [(Error::Damaged, "cannot be unpacked"), (Error::UnknownCoding("br".to_owned()), "packed as `br`")]
    {
        let fault = move |_: usize, request: &Request| {
            String::from_utf8_lossy(&request.body).contains("Poison").then(|| Err(error.clone()))
        };
        let server = Server { after: Some(Box::new(fault)), ..Server::default() };
        let mut changes = batch(8);
        changes[5].payload = changes[5].payload.replace("MinJun", "Poison");
        let outcomes = deliver(&server, &rules(&settings, &capabilities), &changes).unwrap();
        let Outcome::Failed(failure) = &outcomes[5] else { panic!("{outcomes:?}") };
        assert_eq!(failure.kind, FailureKind::Transient);
        assert!(failure.message.contains(words), "{}", failure.message);
        assert_eq!(kinds(&outcomes).iter().filter(|kind| kind.is_none()).count(), 7, "{outcomes:?}");
        assert_eq!(server.count(), 8, "it was written once");
    }
}
