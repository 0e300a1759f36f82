//! Rounds, Bundles, single requests, and targets that give up in the middle.

use adapter_sdk::{Operation, RemoteEdit};
use serde_json::json;

use super::*;
use crate::capability::Capabilities;
use crate::settings::Settings;
use crate::testing::{Server, able, change, id_of, outcome as told, own_ids, receipt, rules};

pub(super) fn batch(count: usize) -> Vec<Change> {
    (1..=count).map(|number| change(number, Operation::Create, "MinJun", None)).collect()
}

/// Creates so many patients, and gives an update of each.
pub(super) fn updates(server: &Server, count: usize) -> Vec<Change> {
    let (settings, capabilities) = (Settings::default(), able());
    let outcomes = deliver(server, &rules(&settings, &capabilities), &batch(count)).unwrap();
    let update = |(number, outcome)| change(number, Operation::Update, "Jun", Some(receipt(outcome)));
    (1..=count).zip(&outcomes).map(update).collect()
}

/// A batch of which some patients carry a word that a fault can look for.
pub(super) fn poisoned(count: usize, numbers: &[usize]) -> Vec<Change> {
    let mut changes = batch(count);
    for number in numbers {
        changes[*number].payload = changes[*number].payload.replace("MinJun", "Poison");
    }
    changes
}

pub(super) fn is_poisoned(request: &Request) -> bool {
    String::from_utf8_lossy(&request.body).contains("Poison")
}

pub(super) fn writes(request: &Request) -> bool {
    String::from_utf8_lossy(&request.body).contains("birthDate")
}

pub(super) fn entries(request: &Request) -> usize {
    String::from_utf8_lossy(&request.body).matches("\"request\":").count()
}

pub(super) fn kinds(outcomes: &[Outcome]) -> Vec<Option<FailureKind>> {
    outcomes
        .iter()
        .map(|outcome| match outcome {
            Outcome::Applied(_) => None,
            Outcome::Failed(failure) => Some(failure.kind),
        })
        .collect()
}

pub(super) fn page(status: u16, body: &str) -> Response {
    let headers = vec![("content-type".to_owned(), "text/html; charset=utf-8".to_owned())];
    Response { status, headers, body: body.as_bytes().to_vec() }
}

#[test]
fn a_batch_of_new_patients_is_two_requests_and_receipts_keep_their_order() {
    let (server, settings, capabilities) = (Server::default(), Settings::default(), able());
    let rules = rules(&settings, &capabilities);
    let outcomes = deliver(&server, &rules, &batch(50)).unwrap();
    assert_eq!(server.requests().len(), 2, "one to look, one to create");
    for (number, outcome) in outcomes.iter().enumerate() {
        assert_eq!(receipt(outcome).remote_id, id_of(number + 1));
        assert_eq!(server.record(number + 1)["identifier"][0]["value"], format!("P-{}", number + 1));
    }
    // ... and the batch of their updates is one.
    let updates: Vec<Change> =
        (1..=50).map(|number| change(number, Operation::Update, "Jun", Some(receipt(&outcomes[number - 1])))).collect();
    deliver(&server, &rules, &updates).unwrap();
    assert_eq!(server.requests().len(), 3);
    assert_eq!(server.count(), 50);
}

#[test]
fn a_large_batch_is_cut_as_the_settings_say() {
    let (server, capabilities) = (Server::default(), able());
    let settings = Settings { bundle_entries_max: 20, ..Settings::default() };
    deliver(&server, &rules(&settings, &capabilities), &batch(50)).unwrap();
    assert_eq!(server.requests().len(), 6);
}

#[test]
fn one_refused_entry_leaves_the_others_alone() {
    let (server, settings, capabilities) = (Server::default(), Settings::default(), able());
    let mut changes = batch(5);
    changes[2].payload = changes[2].payload.replace("\"male\"", "\"other\"");
    let outcomes = deliver(&server, &rules(&settings, &capabilities), &changes).unwrap();
    assert_eq!(kinds(&outcomes), [None, None, Some(FailureKind::Invalid), None, None]);
    assert_eq!((server.requests().len(), server.count()), (3, 4), "the refused one was also tried without our id");
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
            assert!(server.requests().len() <= 20, "{} requests", server.requests().len());
        }
    }
}

#[test]
fn a_server_that_breaks_on_everything_is_down_and_not_asked_for_every_entry() {
    let (settings, capabilities) = (Settings::default(), able());
    let server = Server { before: Some(Box::new(|_, _| Some(Ok(told(500))))), ..Server::default() };
    let failure = deliver(&server, &rules(&settings, &capabilities), &batch(64)).unwrap_err();
    assert_eq!((failure.kind, server.requests().len()), (FailureKind::Unavailable, 2));
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
        assert_eq!((server.requests().len(), server.count()), (6, 3));
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
        assert_eq!((server.requests().len(), server.warnings.borrow().len()), (7, 1));
    }
}

#[test]
fn without_ids_of_ours_all_are_searched_and_written_together() {
    let (server, settings) = (Server::default(), Settings::default());
    let capabilities = Capabilities { conditional_create: false, ..own_ids() };
    let rules = rules(&settings, &capabilities);
    deliver(&server, &rules, &batch(10)).unwrap();
    assert_eq!((server.requests().len(), server.count()), (3, 10), "looked for, created, looked for again");
    let again = deliver(&server, &rules, &batch(10)).unwrap();
    assert_eq!((server.requests().len(), server.count()), (4, 10), "what is there already is only searched");
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
        (told(200), FailureKind::Unavailable, None),
        (page(200, ""), FailureKind::Unavailable, None),
        (page(200, r#"{"resourceType":"Patient"}"#), FailureKind::Unavailable, None),
    ] {
        let (settings, capabilities) = (Settings::default(), able());
        let status = response.status;
        let server = Server { before: Some(Box::new(move |_, _| Some(Ok(response.clone())))), ..Server::default() };
        let failure = deliver(&server, &rules(&settings, &capabilities), &batch(3)).unwrap_err();
        assert_eq!((failure.kind, failure.retry_after_ms), (kind, wait_ms), "{status} {}", failure.message);
        assert!(server.requests().len() <= 2, "the Bundle, and a search that shows how the target is");
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
        Server { before: Some(Box::new(|number, _| (number > 3).then_some(Err(Error::Timeout)))), ..Server::default() };
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
    assert_eq!(server.requests().len(), 2 + 3, "all stale, all read, all written");
}

#[test]
fn one_patients_odd_answer_is_that_patients_own() {
    let settings = Settings::default();
    for (answer, kind) in [
        (Ok(page(403, "<html>blocked</html>")), FailureKind::Denied),
        (Ok(page(500, "")), FailureKind::Transient),
        (Ok(page(502, "bad gateway")), FailureKind::Transient),
        (Ok(told(503)), FailureKind::Transient),
        (Ok(page(200, "<html>captcha</html>")), FailureKind::Transient),
    ] {
        let answer: Result<Response, Error> = answer;
        for batch in [true, false] {
            if batch && answer.as_ref().is_ok_and(|answer| answer.status == 502) {
                continue; // A Bundle in doubt waits as a whole: `line::tests`.
            }
            for numbers in [&[7][..], &[3, 4, 5], &[0, 19]] {
                let capabilities = Capabilities { batch, ..able() };
                let answer = answer.clone();
                let poison = move |_: usize, request: &Request| is_poisoned(request).then(|| answer.clone());
                let server = Server { before: Some(Box::new(poison)), ..Server::default() };
                let outcomes = deliver(&server, &rules(&settings, &capabilities), &poisoned(20, numbers)).unwrap();
                let mut expected = vec![None; 20];
                for number in numbers {
                    expected[*number] = Some(kind);
                }
                assert_eq!(kinds(&outcomes), expected);
                assert_eq!(server.count(), 20 - numbers.len());
            }
        }
    }
}

#[test]
fn a_bundle_that_fails_is_looked_for_and_not_created_twice_where_the_server_gives_ids() {
    let (settings, capabilities) = (Settings::default(), own_ids());
    // Everything of the failed Bundle was done all the same.
    let poison = |_: usize, request: &Request| is_poisoned(request).then(|| Ok(page(500, "oops")));
    let server = Server { after: Some(Box::new(poison)), ..Server::default() };
    let outcomes = deliver(&server, &rules(&settings, &capabilities), &poisoned(20, &[3, 4])).unwrap();
    assert_eq!((kinds(&outcomes), server.count()), (vec![None; 20], 20));
}

#[test]
fn a_server_that_only_reads_is_down_and_nobody_pays_for_it() {
    let settings = Settings::default();
    for batch in [true, false] {
        let capabilities = Capabilities { batch, ..able() };
        for (answer, kind) in [
            (told(500), FailureKind::Unavailable),
            (page(502, "bad gateway"), FailureKind::Unavailable),
            (told(403), FailureKind::Misconfigured),
            (page(403, "<html>"), FailureKind::Misconfigured),
        ] {
            let status = answer.status;
            let no_writes = move |_: usize, request: &Request| writes(request).then(|| Ok(answer.clone()));
            let server = Server { before: Some(Box::new(no_writes)), ..Server::default() };
            let failure = deliver(&server, &rules(&settings, &capabilities), &self::batch(5)).unwrap_err();
            assert_eq!(failure.kind, kind, "{status} {}", failure.message);
        }
    }
}

#[test]
fn entries_that_all_fail_are_the_servers_fault() {
    let (settings, capabilities) = (Settings::default(), able());
    for (status, kind) in [(500, FailureKind::Unavailable), (403, FailureKind::Misconfigured)] {
        let server = Server { fails_entries: Some(status), ..Server::default() };
        let failure = deliver(&server, &rules(&settings, &capabilities), &batch(5)).unwrap_err();
        assert_eq!(failure.kind, kind, "{}", failure.message);
    }
}

#[test]
fn one_refused_patient_alone_says_too_little_of_the_credentials() {
    let (settings, capabilities) = (Settings::default(), able());
    let no_writes = |_: usize, request: &Request| writes(request).then(|| Ok(told(403)));
    let server = Server { before: Some(Box::new(no_writes)), ..Server::default() };
    let outcomes = deliver(&server, &rules(&settings, &capabilities), &batch(1)).unwrap();
    assert_eq!(kinds(&outcomes), [Some(FailureKind::Transient)]);
}

#[test]
fn a_slow_server_gets_smaller_bundles_in_the_same_call() {
    let settings = Settings::default();
    let slow = |_: usize, request: &Request| (entries(request) > 30 && writes(request)).then_some(Err(Error::Timeout));
    // What a version guards may be sent again at once, also while the server still works on it.
    let capabilities = able();
    let mut server = Server::default();
    let updates = updates(&server, 100);
    server.after = Some(Box::new(slow));
    let outcomes = deliver(&server, &rules(&settings, &capabilities), &updates).unwrap();
    assert_eq!(kinds(&outcomes), vec![None; 100]);
    // Creates that the server may be working on wait, whoever gives the id; the others go on in smaller Bundles.
    for capabilities in [able(), own_ids()] {
        let server = Server { after: Some(Box::new(slow)), ..Server::default() };
        let outcomes = deliver(&server, &rules(&settings, &capabilities), &batch(150)).unwrap();
        let mut expected = vec![Some(FailureKind::Unavailable); 100];
        expected.extend([None; 50]);
        assert_eq!((kinds(&outcomes), server.count()), (expected, 150));
    }
}

#[test]
fn a_connection_that_breaks_at_one_patient_is_that_patients_own() {
    let settings = Settings::default();
    let breaks =
        |_: usize, request: &Request| is_poisoned(request).then(|| Err(Error::Broken("closed early".to_owned())));
    // Creates one by one; updates, which may be sent again, also in Bundles.
    let capabilities = Capabilities { batch: false, ..able() };
    let server = Server { before: Some(Box::new(breaks)), ..Server::default() };
    let outcomes = deliver(&server, &rules(&settings, &capabilities), &poisoned(20, &[7])).unwrap();
    let mut expected = vec![None; 20];
    expected[7] = Some(FailureKind::Transient);
    assert_eq!(kinds(&outcomes), expected);
    let mut server = Server::default();
    let mut updates = updates(&server, 20);
    updates[7].payload = updates[7].payload.replace("Jun", "Poison");
    server.before = Some(Box::new(breaks));
    let outcomes = deliver(&server, &rules(&settings, &able()), &updates).unwrap();
    assert_eq!(kinds(&outcomes), expected);
    // A Bundle of creates that broke waits as a whole.
    let server = Server { before: Some(Box::new(breaks)), ..Server::default() };
    let failure = deliver(&server, &rules(&settings, &able()), &poisoned(20, &[7])).unwrap_err();
    assert_eq!(failure.kind, FailureKind::Unavailable);
}

#[test]
fn no_more_than_two_requests_of_a_call_wait_for_the_time_limit() {
    let settings = Settings::default();
    for batch in [true, false] {
        let slow = |_: usize, request: &Request| writes(request).then_some(Err(Error::Timeout));
        let server = Server { before: Some(Box::new(slow)), ..Server::default() };
        let capabilities = Capabilities { batch, ..able() };
        let failure = deliver(&server, &rules(&settings, &capabilities), &self::batch(9)).unwrap_err();
        assert_eq!(failure.kind, FailureKind::Unavailable);
        let waited = server.requests().iter().filter(|line| *line == "fault").count();
        assert!(waited <= 2, "{waited}");
    }
}

#[test]
fn a_time_limit_that_a_proxy_sets_is_one_too() {
    let (settings, capabilities) = (Settings::default(), able());
    for status in [408, 504] {
        let slow = move |_: usize, request: &Request| (entries(request) > 30).then(|| Ok(page(status, "")));
        let server = Server { before: Some(Box::new(slow)), ..Server::default() };
        let outcomes = deliver(&server, &rules(&settings, &capabilities), &batch(40)).unwrap();
        assert_eq!(kinds(&outcomes), vec![None; 40], "{status}");
        let always = move |_: usize, _: &Request| Some(Ok(page(status, "")));
        let server = Server { before: Some(Box::new(always)), ..Server::default() };
        let failure = deliver(&server, &rules(&settings, &capabilities), &batch(2)).unwrap_err();
        assert_eq!(failure.kind, FailureKind::Unavailable, "{status}");
    }
}

#[test]
fn that_searches_are_refused_in_bundles_is_learnt_once() {
    let (settings, capabilities) = (Settings::default(), able());
    let refused = |_: usize, request: &Request| {
        String::from_utf8_lossy(&request.body).contains("Patient?identifier").then(|| Ok(told(400)))
    };
    let server = Server { before: Some(Box::new(refused)), ..Server::default() };
    let outcomes = deliver(&server, &rules(&settings, &capabilities), &batch(100)).unwrap();
    assert_eq!(kinds(&outcomes), vec![None; 100]);
    assert_eq!((server.requests().len(), server.warnings.borrow().len()), (1 + 100 + 1, 1));
    // ... also where it takes the Bundle and refuses each of them.
    let server = Server { refuses_searches_in_bundles: true, ..Server::default() };
    let outcomes = deliver(&server, &rules(&settings, &capabilities), &batch(100)).unwrap();
    assert_eq!(kinds(&outcomes), vec![None; 100]);
    assert_eq!(server.requests().len(), 1 + 100 + 1);
    // Whoever says so beforehand never meets the refusal.
    let settings = Settings { searches_in_bundles: false, ..Settings::default() };
    let server = Server { refuses_searches_in_bundles: true, ..Server::default() };
    let outcomes = deliver(&server, &rules(&settings, &capabilities), &batch(100)).unwrap();
    assert_eq!(kinds(&outcomes), vec![None; 100]);
    assert_eq!((server.requests().len(), server.warnings.borrow().len()), (100 + 1, 0));
}

#[test]
fn that_our_ids_are_refused_is_learnt_once() {
    let (settings, capabilities) = (Settings::default(), Capabilities { batch: false, ..able() });
    let server = Server { refuses_ids: Some(405), ..Server::default() };
    let outcomes = deliver(&server, &rules(&settings, &capabilities), &batch(10)).unwrap();
    assert_eq!(kinds(&outcomes), vec![None; 10]);
    assert_eq!(server.requests().len(), 10 + 1 + 10 + 10);
    assert_eq!(server.warnings.borrow().len(), 1);
}

#[test]
fn a_base_address_that_wants_its_slash_gets_it() {
    let (settings, capabilities) = (Settings::default(), able());
    for status in [301, 302, 307, 308] {
        let headers = vec![("location".to_owned(), "https://host/fhir/".to_owned())];
        let redirect = Response { status, headers, body: Vec::new() };
        let only_with = move |_: usize, request: &Request| request.path.is_empty().then(|| Ok(redirect.clone()));
        let server = Server { before: Some(Box::new(only_with)), ..Server::default() };
        let outcomes = deliver(&server, &rules(&settings, &capabilities), &batch(3)).unwrap();
        assert_eq!(kinds(&outcomes), [None, None, None]);
        assert_eq!(server.requests().iter().filter(|line| *line == "fault").count(), 1, "learnt once");
    }
    // A redirect to somewhere else is none that we follow.
    let headers = vec![("location".to_owned(), "https://host/login".to_owned())];
    let server = Server {
        before: Some(Box::new(move |_, _| Some(Ok(Response { headers: headers.clone(), ..page(302, "") })))),
        ..Server::default()
    };
    let failure = deliver(&server, &rules(&settings, &capabilities), &batch(3)).unwrap_err();
    assert_eq!((failure.kind, server.requests().len()), (FailureKind::Misconfigured, 1));
}

#[test]
fn a_create_is_confirmed_although_the_target_goes_away_before_the_second_look() {
    let (settings, capabilities) = (Settings::default(), own_ids());
    let down = |number: usize, _: &Request| (number > 1).then_some(Err(Error::ConnectionFailed("refused".to_owned())));
    let server = Server { before: Some(Box::new(down)), ..Server::default() };
    let outcomes = deliver(&server, &rules(&settings, &capabilities), &batch(3)).unwrap();
    assert_eq!(kinds(&outcomes), [None, None, None]);
}

#[test]
fn an_empty_batch_is_nothing() {
    let (server, settings, capabilities) = (Server::default(), Settings::default(), able());
    assert!(deliver(&server, &rules(&settings, &capabilities), &[]).unwrap().is_empty());
    assert!(server.requests().is_empty());
}
