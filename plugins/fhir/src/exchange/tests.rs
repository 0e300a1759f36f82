//! Rounds, Bundles, single requests, and targets that give up in the middle.

use adapter_sdk::{Operation, RemoteEdit};
use serde_json::json;

use super::*;
use crate::capability::Capabilities;
use crate::settings::Settings;
use crate::testing::{Server, able, change, outcome as told, receipt, rules};

fn batch(count: usize) -> Vec<Change> {
    (1..=count).map(|number| change(number, Operation::Create, "MinJun", None)).collect()
}

fn kinds(outcomes: &[Outcome]) -> Vec<Option<FailureKind>> {
    outcomes
        .iter()
        .map(|outcome| match outcome {
            Outcome::Applied(_) => None,
            Outcome::Failed(failure) => Some(failure.kind),
        })
        .collect()
}

fn page(status: u16, body: &str) -> Response {
    let headers = vec![("content-type".to_owned(), "text/html; charset=utf-8".to_owned())];
    Response { status, headers, body: body.as_bytes().to_vec() }
}

#[test]
fn a_batch_of_new_patients_is_one_request_and_receipts_keep_their_order() {
    let (server, settings, capabilities) = (Server::default(), Settings::default(), able());
    let rules = rules(&settings, &capabilities);
    let outcomes = deliver(&server, &rules, &batch(50)).unwrap();
    assert_eq!(server.requests().len(), 1);
    for (number, outcome) in outcomes.iter().enumerate() {
        let id = receipt(outcome).remote_id.parse::<usize>().unwrap();
        assert_eq!(server.record(id)["identifier"][0]["value"], format!("P-{}", number + 1));
    }
    // ... and so is the batch of their updates.
    let updates: Vec<Change> =
        (1..=50).map(|number| change(number, Operation::Update, "Jun", Some(receipt(&outcomes[number - 1])))).collect();
    deliver(&server, &rules, &updates).unwrap();
    assert_eq!(server.requests().len(), 2);
    assert_eq!(server.count(), 50);
}

#[test]
fn a_large_batch_is_cut_as_the_settings_say() {
    let (server, capabilities) = (Server::default(), able());
    let settings = Settings { bundle_entries_max: 20, ..Settings::default() };
    deliver(&server, &rules(&settings, &capabilities), &batch(50)).unwrap();
    assert_eq!(server.requests().len(), 3);
}

#[test]
fn one_refused_entry_leaves_the_others_alone() {
    let (server, settings, capabilities) = (Server::default(), Settings::default(), able());
    let mut changes = batch(5);
    changes[2].payload = changes[2].payload.replace("\"male\"", "\"other\"");
    let outcomes = deliver(&server, &rules(&settings, &capabilities), &changes).unwrap();
    assert_eq!(kinds(&outcomes), [None, None, Some(FailureKind::Invalid), None, None]);
    assert_eq!((server.requests().len(), server.count()), (1, 4));
}

#[test]
fn a_server_that_refuses_the_whole_bundle_for_one_entry_still_gets_the_others() {
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
            assert!(server.requests().len() <= 14, "{} requests", server.requests().len());
        }
    }
}

#[test]
fn a_server_that_breaks_on_everything_is_down_and_not_asked_for_every_entry() {
    let (settings, capabilities) = (Settings::default(), able());
    let server = Server { before: Some(Box::new(|_, _| Some(Ok(told(500))))), ..Server::default() };
    let failure = deliver(&server, &rules(&settings, &capabilities), &batch(64)).unwrap_err();
    assert_eq!((failure.kind, server.requests().len()), (FailureKind::Unavailable, 3));
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
        assert_eq!((server.requests().len(), server.count()), (3, 3));
        assert!(server.warnings.borrow().is_empty());
    }
}

#[test]
fn a_server_that_promised_bundles_and_does_not_take_them_gets_single_requests() {
    for status in [404, 405, 501] {
        let (settings, capabilities) = (Settings::default(), able());
        let no_bundles = move |_: usize, request: &Request| request.path.is_empty().then(|| Ok(page(status, "<html>")));
        let server = Server { before: Some(Box::new(no_bundles)), ..Server::default() };
        let outcomes = deliver(&server, &rules(&settings, &capabilities), &batch(3)).unwrap();
        assert_eq!(kinds(&outcomes), [None, None, None]);
        assert_eq!((server.requests().len(), server.warnings.borrow().len()), (4, 1));
    }
}

#[test]
fn without_conditional_requests_all_are_searched_together_and_then_written_together() {
    let (server, settings) = (Server::default(), Settings::default());
    let capabilities = Capabilities { conditional_update: false, conditional_create: false, ..able() };
    let rules = rules(&settings, &capabilities);
    deliver(&server, &rules, &batch(10)).unwrap();
    assert_eq!((server.requests().len(), server.count()), (2, 10));
    let again = deliver(&server, &rules, &batch(10)).unwrap();
    assert_eq!((server.requests().len(), server.count()), (3, 10), "what is there already is only searched");
    assert_eq!(kinds(&again), vec![None; 10]);
}

#[test]
fn a_target_that_refuses_as_a_whole_speaks_for_the_batch() {
    let headers = vec![("retry-after".to_owned(), "7".to_owned())];
    for (response, kind, wait_ms) in [
        (page(401, "no"), FailureKind::Misconfigured, None),
        (told(401), FailureKind::Misconfigured, None),
        (told(403), FailureKind::Misconfigured, None),
        (page(302, ""), FailureKind::Misconfigured, None),
        (Response { headers: headers.clone(), ..told(429) }, FailureKind::Throttled, Some(7000)),
        (Response { headers: headers.clone(), ..told(503) }, FailureKind::Throttled, Some(7000)),
        (told(503), FailureKind::Unavailable, None),
        (page(502, "bad gateway"), FailureKind::Unavailable, None),
        (page(500, "oops"), FailureKind::Unavailable, None),
        (page(200, "<html>please log in</html>"), FailureKind::Misconfigured, None),
        (told(200), FailureKind::Transient, None),
        (page(200, r#"{"resourceType":"Bundle","entry":[{}]}"#), FailureKind::Transient, None),
    ] {
        let (settings, capabilities) = (Settings::default(), able());
        let status = response.status;
        let server = Server { before: Some(Box::new(move |_, _| Some(Ok(response.clone())))), ..Server::default() };
        let failure = deliver(&server, &rules(&settings, &capabilities), &batch(3)).unwrap_err();
        assert_eq!((failure.kind, failure.retry_after_ms), (kind, wait_ms), "{status} {}", failure.message);
        assert_eq!(server.requests().len(), 1);
    }
}

#[test]
fn no_answer_is_an_outage_with_the_reason() {
    for (error, words) in [
        (Error::Timeout, "no answer within the time limit"),
        (Error::ConnectionFailed("connection refused".to_owned()), "connection refused"),
        (Error::Refused("not allowed, or the lease was lost".to_owned()), "the lease was lost"),
        (Error::Broken("closed early".to_owned()), "closed early"),
    ] {
        let (settings, capabilities) = (Settings::default(), able());
        let server = Server { before: Some(Box::new(move |_, _| Some(Err(error.clone())))), ..Server::default() };
        let failure = deliver(&server, &rules(&settings, &capabilities), &batch(3)).unwrap_err();
        assert_eq!(failure.kind, FailureKind::Unavailable);
        assert!(failure.message.contains(words), "{}", failure.message);
    }
}

#[test]
fn receipts_of_what_was_done_survive_an_outage_in_the_middle() {
    let capabilities = able();
    let settings = Settings { bundle_entries_max: 2, ..Settings::default() };
    let server =
        Server { before: Some(Box::new(|number, _| (number > 0).then_some(Err(Error::Timeout)))), ..Server::default() };
    let outcomes = deliver(&server, &rules(&settings, &capabilities), &batch(5)).unwrap();
    let lost = Some(FailureKind::Unavailable);
    assert_eq!(kinds(&outcomes), [None, None, lost, lost, lost]);
}

#[test]
fn a_page_that_says_200_never_passes_for_a_confirmation() {
    let (settings, capabilities) = (Settings::default(), able());
    let linked = {
        let server = Server::default();
        let outcomes = deliver(&server, &rules(&settings, &capabilities), &batch(1)).unwrap();
        change(1, Operation::Update, "Jun", Some(receipt(&outcomes[0])))
    };
    let server = Server { before: Some(Box::new(|_, _| Some(Ok(page(200, "<html>"))))), ..Server::default() };
    let failure = deliver(&server, &rules(&settings, &capabilities), &[linked]).unwrap_err();
    assert_eq!(failure.kind, FailureKind::Misconfigured);
    assert!(failure.message.contains("text/html"), "{}", failure.message);
}

#[test]
fn a_wrong_path_never_looks_like_deleted_patients() {
    let (settings, capabilities) = (Settings::default(), able());
    let server = Server::default();
    let outcomes = deliver(&server, &rules(&settings, &capabilities), &batch(1)).unwrap();
    let linked = change(1, Operation::Update, "Jun", Some(receipt(&outcomes[0])));
    let server = Server { before: Some(Box::new(|_, _| Some(Ok(page(404, "nginx"))))), ..Server::default() };
    let failure = deliver(&server, &rules(&settings, &capabilities), &[linked]).unwrap_err();
    assert_eq!(failure.kind, FailureKind::Misconfigured);
}

#[test]
fn a_throttled_entry_waits_alone() {
    let (settings, capabilities) = (Settings::default(), able());
    let body = json!({ "resourceType": "Bundle", "type": "batch-response", "entry": [
        { "response": { "status": "201", "location": "Patient/1/_history/1" } },
        { "response": { "status": "429 Too Many Requests" } }] });
    let answer = Response { status: 200, headers: Vec::new(), body: body.to_string().into_bytes() };
    let server = Server { before: Some(Box::new(move |_, _| Some(Ok(answer.clone())))), ..Server::default() };
    let outcomes = deliver(&server, &rules(&settings, &capabilities), &batch(2)).unwrap();
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
    assert_eq!(server.requests().len(), 1 + 3, "all stale, all read, all written");
}

#[test]
fn an_empty_batch_is_nothing() {
    let (server, settings, capabilities) = (Server::default(), Settings::default(), able());
    assert!(deliver(&server, &rules(&settings, &capabilities), &[]).unwrap().is_empty());
    assert!(server.requests().is_empty());
}
