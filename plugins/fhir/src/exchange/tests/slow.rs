//! Responses that come too late, and aborted connections.

use super::*;

#[test]
fn a_slow_server_gets_smaller_bundles_in_the_same_call() {
    let settings = Settings::default();
    let slow = |_: usize, request: &Request| (entries(request) > 30 && writes(request)).then_some(Err(Error::Timeout));
    // A write with a version may be sent again at once, even while the server is working on it.
    let capabilities = able();
    let mut server = Server::default();
    let updates = updates(&server, 100);
    server.after = Some(Box::new(slow));
    let outcomes = deliver(&server, &rules(&settings, &capabilities), &updates).unwrap();
    assert_eq!(kinds(&outcomes), vec![None; 100]);
    // Creates that the server may be working on wait, whoever chooses the id; the others continue in smaller Bundles.
    for capabilities in [able(), own_ids()] {
        let server = Server { after: Some(Box::new(slow)), ..Server::default() };
        let outcomes = deliver(&server, &rules(&settings, &capabilities), &batch(150)).unwrap();
        let mut expected = vec![Some(FailureKind::Unavailable); 100];
        expected.extend([None; 50]);
        assert_eq!((kinds(&outcomes), server.count()), (expected, 150));
    }
}

#[test]
fn a_connection_broken_by_one_patient_fails_only_that_patient() {
    let settings = Settings::default();
    let breaks =
        |_: usize, request: &Request| is_poisoned(request).then(|| Err(Error::Broken("closed early".to_owned())));
    // Single requests for creates; for updates, which may be sent again, also Bundles.
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
    // An aborted Bundle of creates waits as a whole.
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
fn a_timeout_of_a_proxy_counts_as_a_timeout() {
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
