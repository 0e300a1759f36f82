//! The cause of a failure: one patient, the credentials, or the target as a whole.

use super::*;

#[test]
fn a_server_that_fails_every_request_is_unavailable_after_two_requests() {
    let (settings, capabilities) = (Settings::default(), able());
    let server = Server { before: Some(Box::new(|_, _| Some(Ok(told(500))))), ..Server::default() };
    let failure = deliver(&server, &rules(&settings, &capabilities), &batch(64)).unwrap_err();
    assert_eq!((failure.kind, server.requests().len()), (FailureKind::Unavailable, 2));
}

#[test]
fn a_refusal_of_the_whole_request_fails_the_batch_and_no_patient() {
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
fn no_response_is_an_outage_with_the_reason() {
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
fn receipts_of_confirmed_changes_survive_an_outage() {
    let capabilities = able();
    let settings = Settings { bundle_entries_max: 2, ..Settings::default() };
    let server =
        Server { before: Some(Box::new(|number, _| (number > 3).then_some(Err(Error::Timeout)))), ..Server::default() };
    let outcomes = deliver(&server, &rules(&settings, &capabilities), &batch(5)).unwrap();
    let lost = Some(FailureKind::Unavailable);
    assert_eq!(kinds(&outcomes), [None, None, lost, lost, lost]);
}

#[test]
fn a_create_is_confirmed_although_the_target_goes_away_before_the_second_look() {
    let settings = Settings::default();
    for capabilities in [able(), own_ids()] {
        let down =
            |number: usize, _: &Request| (number > 1).then_some(Err(Error::ConnectionFailed("refused".to_owned())));
        let server = Server { before: Some(Box::new(down)), ..Server::default() };
        let outcomes = deliver(&server, &rules(&settings, &capabilities), &batch(3)).unwrap();
        assert_eq!(kinds(&outcomes), [None, None, None]);
    }
}

#[test]
fn a_200_page_that_is_not_fhir_confirms_nothing() {
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
fn a_wrong_path_is_not_taken_for_deleted_patients() {
    let (settings, capabilities) = (Settings::default(), able());
    let server = Server::default();
    let outcomes = deliver(&server, &rules(&settings, &capabilities), &batch(1)).unwrap();
    let linked = change(1, Operation::Update, "Jun", Some(receipt(&outcomes[0])));
    let server = Server { before: Some(Box::new(|_, _| Some(Ok(page(404, "nginx"))))), ..Server::default() };
    let failure = deliver(&server, &rules(&settings, &capabilities), &[linked]).unwrap_err();
    assert_eq!(failure.kind, FailureKind::Misconfigured);
}

#[test]
fn one_unexpected_response_fails_only_its_patient() {
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
fn a_read_only_server_is_misconfigured_and_fails_no_patient() {
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
fn a_failure_of_every_entry_is_a_failure_of_the_server() {
    let (settings, capabilities) = (Settings::default(), able());
    for (status, kind) in [(500, FailureKind::Unavailable), (403, FailureKind::Misconfigured)] {
        let server = Server { fails_entries: Some(status), ..Server::default() };
        let failure = deliver(&server, &rules(&settings, &capabilities), &batch(5)).unwrap_err();
        assert_eq!(failure.kind, kind, "{}", failure.message);
    }
}

#[test]
fn one_denied_patient_does_not_prove_that_the_credentials_are_read_only() {
    let (settings, capabilities) = (Settings::default(), able());
    let no_writes = |_: usize, request: &Request| writes(request).then(|| Ok(told(403)));
    let server = Server { before: Some(Box::new(no_writes)), ..Server::default() };
    let outcomes = deliver(&server, &rules(&settings, &capabilities), &batch(1)).unwrap();
    assert_eq!(kinds(&outcomes), [Some(FailureKind::Denied)]);
    assert_eq!((server.requests().last().unwrap().as_str(), server.count()), ("broken body", 0));
}

#[test]
fn one_denied_patient_counts_when_an_empty_write_is_denied_too() {
    let settings = Settings::default();
    for batch in [true, false] {
        let capabilities = Capabilities { batch, ..able() };
        for answer in [told(403), page(403, "<html>"), told(401)] {
            let reads_only = move |_: usize, request: &Request| {
                let is_read = request.method == adapter_sdk::http::Method::Get;
                (!is_read).then(|| Ok(answer.clone()))
            };
            let server = Server { before: Some(Box::new(reads_only)), ..Server::default() };
            let failure = deliver(&server, &rules(&settings, &capabilities), &self::batch(1)).unwrap_err();
            assert_eq!((failure.kind, server.count()), (FailureKind::Misconfigured, 0), "{}", failure.message);
        }
    }
}

#[test]
fn unchanged_patients_do_not_hide_read_only_credentials() {
    let (settings, capabilities) = (Settings::default(), able());
    let mut server = Server::default();
    let unchanged = {
        let outcomes = deliver(&server, &rules(&settings, &capabilities), &batch(1)).unwrap();
        assert_eq!(kinds(&outcomes), [None]);
        change(1, Operation::Create, "MinJun", None)
    };
    server.before = Some(Box::new(|_, request| writes(request).then(|| Ok(told(403)))));
    let changes: Vec<Change> = std::iter::once(unchanged).chain(batch(4).into_iter().skip(1)).collect();
    let outcomes = deliver(&server, &rules(&settings, &capabilities), &changes).unwrap();
    let refused = Some(FailureKind::Misconfigured);
    assert_eq!(kinds(&outcomes), [None, refused, refused, refused]);
}
