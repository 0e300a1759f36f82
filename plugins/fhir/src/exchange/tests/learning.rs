//! Facts about a server are learned once, in a call and for the calls after it.

use adapter_sdk::http::Method;

use super::*;
use crate::exchange;

#[test]
fn a_server_that_refuses_bundles_gets_single_requests() {
    for status in [404, 405, 501] {
        let (settings, capabilities) = (Settings::default(), able());
        let no_bundles = move |_: usize, request: &Request| request.path.is_empty().then(|| Ok(page(status, "<html>")));
        let server = Server { before: Some(Box::new(no_bundles)), ..Server::default() };
        let outcomes = deliver(&server, &rules(&settings, &capabilities), &batch(3)).unwrap();
        assert_eq!(kinds(&outcomes), [None, None, None]);
        assert_eq!((server.requests().len(), server.warnings.borrow().len()), (10, 1));
    }
}

#[test]
fn a_refusal_of_searches_in_bundles_is_learned_once() {
    let (settings, capabilities) = (Settings::default(), able());
    let refused = |_: usize, request: &Request| {
        String::from_utf8_lossy(&request.body).contains("Patient?identifier").then(|| Ok(told(400)))
    };
    let server = Server { before: Some(Box::new(refused)), ..Server::default() };
    let outcomes = deliver(&server, &rules(&settings, &capabilities), &batch(100)).unwrap();
    assert_eq!(kinds(&outcomes), vec![None; 100]);
    assert_eq!((server.requests().len(), server.warnings.borrow().len()), (1 + 100 + 1 + 100, 1));
    // The same when it accepts the Bundle and refuses each search in it.
    let server = Server { refuses_searches_in_bundles: true, ..Server::default() };
    let outcomes = deliver(&server, &rules(&settings, &capabilities), &batch(100)).unwrap();
    assert_eq!(kinds(&outcomes), vec![None; 100]);
    assert_eq!(server.requests().len(), 1 + 100 + 1 + 100);
    // With this setting the refusal never happens.
    let settings = Settings { searches_in_bundles: false, ..Settings::default() };
    let server = Server { refuses_searches_in_bundles: true, ..Server::default() };
    let outcomes = deliver(&server, &rules(&settings, &capabilities), &batch(100)).unwrap();
    assert_eq!(kinds(&outcomes), vec![None; 100]);
    assert_eq!((server.requests().len(), server.warnings.borrow().len()), (100 + 1 + 100, 0));
}

#[test]
fn a_refusal_of_our_ids_is_learned_once() {
    let (settings, capabilities) = (Settings::default(), Capabilities { batch: false, ..able() });
    let server = Server { refuses_ids: Some(405), ..Server::default() };
    let outcomes = deliver(&server, &rules(&settings, &capabilities), &batch(10)).unwrap();
    assert_eq!(kinds(&outcomes), vec![None; 10]);
    assert_eq!(server.requests().len(), 10 + 1 + 10 + 10);
    assert_eq!(server.warnings.borrow().len(), 1);
}

#[test]
fn a_redirect_to_a_trailing_slash_is_followed_and_learned() {
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
    // A redirect to another host is not followed.
    let headers = vec![("location".to_owned(), "https://host/login".to_owned())];
    let server = Server {
        before: Some(Box::new(move |_, _| Some(Ok(Response { headers: headers.clone(), ..page(302, "") })))),
        ..Server::default()
    };
    let failure = deliver(&server, &rules(&settings, &capabilities), &batch(3)).unwrap_err();
    assert_eq!((failure.kind, server.requests().len()), (FailureKind::Misconfigured, 1));
    assert!(failure.message.contains("a redirect to https://host/login,"), "{}", failure.message);
    // A redirect between two forms of the URL and back.
    let circle = |_: usize, request: &Request| {
        let to = if request.path.is_empty() { "http://host/fhir/" } else { "http://host/fhir" };
        let headers = vec![("location".to_owned(), to.to_owned())];
        Some(Ok(Response { headers, ..page(301, "") }))
    };
    let server = Server { before: Some(Box::new(circle)), ..Server::default() };
    let failure = deliver(&server, &rules(&settings, &capabilities), &batch(3)).unwrap_err();
    assert_eq!((failure.kind, server.requests().len()), (FailureKind::Misconfigured, 2));
    assert!(failure.message.contains("batch = false"), "{}", failure.message);
}

/// Makes calls in a row, each with the learned state of the call before. Returns the number of requests of each.
fn calls(server: &Server, count: usize, changes: usize) -> Vec<usize> {
    let (settings, capabilities) = (Settings::default(), able());
    let (mut learned, mut requests) = (Learned::default(), Vec::new());
    for call in 0..count {
        let before = server.requests().len();
        let changes: Vec<_> =
            (0..changes).map(|number| change(call * changes + number, Operation::Create, "Min", None)).collect();
        let (outcomes, after) = exchange::deliver(server, &rules(&settings, &capabilities), learned, &changes).unwrap();
        assert_eq!(kinds(&outcomes), vec![None; changes.len()]);
        // Converted as the host stores it.
        learned = Learned::from_bytes(&after.to_bytes());
        requests.push(server.requests().len() - before);
    }
    requests
}

#[test]
fn a_learned_refusal_costs_one_request_and_not_one_per_call() {
    let server = Server { refuses_searches_in_bundles: true, ..Server::default() };
    assert_eq!(calls(&server, 4, 10), [1 + 10 + 1 + 10, 10 + 1 + 10, 10 + 1 + 10, 10 + 1 + 10]);
    assert_eq!(server.warnings.borrow().len(), 1);
    let no_bundles = |_: usize, request: &Request| request.path.is_empty().then(|| Ok(page(405, "<html>")));
    let server = Server { before: Some(Box::new(no_bundles)), ..Server::default() };
    let requests = calls(&server, 3, 3);
    assert!(requests[0] == requests[1] + 1 && requests[1] == requests[2], "{requests:?}");
}

#[test]
fn nothing_is_learned_when_nothing_worked() {
    let (settings, capabilities) = (Settings::default(), able());
    // A proxy's page for the Bundle, and a server that refuses each patient.
    let refuses = |_: usize, request: &Request| match request.method {
        Method::Post if request.path.is_empty() => Some(Ok(page(405, "<html>"))),
        Method::Get => None,
        _ => Some(Ok(told(422))),
    };
    let server = Server { before: Some(Box::new(refuses)), ..Server::default() };
    let (_, after) =
        exchange::deliver(&server, &rules(&settings, &capabilities), Learned::default(), &batch(3)).unwrap();
    assert_eq!(after, Learned::default());
}
