//! Requests that the server may still be working on: no write is sent twice in a call, and one patient does not stop
//! the others.

use std::cell::RefCell;
use std::rc::Rc;

use adapter_sdk::http::{Error, Method, Request, Response};
use adapter_sdk::{Change, FailureKind, Operation, Outcome, Receipt};

use crate::capability::{Capabilities, Versioning};
use crate::exchange::tests::{batch, entries, is_poisoned, kinds, page, poisoned, updates, writes};
use crate::settings::Settings;
use crate::testing::{Server, able, but, change, deliver, id_of, outcome as told, own_ids, receipt, rules};

/// The statuses of a gateway while the server behind it may still be working.
const DOUBTFUL: [u16; 19] =
    [408, 499, 502, 503, 504, 520, 521, 522, 523, 524, 525, 526, 527, 528, 529, 530, 598, 599, 0];

/// A gateway's response with this status; no response for 0.
fn gateway(status: u16) -> Result<Response, Error> {
    if status == 0 { Err(Error::Broken("closed early".to_owned())) } else { Ok(page(status, "<html>upstream</html>")) }
}

/// A server that carries out writes later and responds with this status now. It records the bodies.
fn late(status: u16, chosen: fn(&Request) -> bool) -> (Server, Rc<RefCell<Vec<String>>>) {
    let seen = Rc::new(RefCell::new(Vec::new()));
    let noted = Rc::clone(&seen);
    let before = move |_: usize, request: &Request| {
        (writes(request) && chosen(request)).then(|| {
            noted.borrow_mut().push(String::from_utf8_lossy(&request.body).into_owned());
            gateway(status)
        })
    };
    (Server { before: Some(Box::new(before)), ..Server::default() }, seen)
}

fn times_sent(bodies: &[String], number: usize) -> usize {
    bodies.iter().filter(|body| body.contains(&format!("\"P-{number}\""))).count()
}

/// Whether the failure leaves open that the change was carried out: the host waits for changes in doubt.
fn is_open(kind: Option<FailureKind>) -> bool {
    matches!(kind, Some(FailureKind::Transient | FailureKind::Unavailable))
}

#[test]
fn a_create_after_a_gateway_error_is_not_sent_again_in_the_call() {
    let settings = Settings::default();
    for status in DOUBTFUL {
        for capabilities in [able(), own_ids(), but(own_ids(), |it| it.conditional_create = false)] {
            for batch in [true, false] {
                let capabilities = Capabilities { batch, ..capabilities.clone() };
                let (server, sent) = late(status, |_| true);
                let outcomes = deliver(&server, &rules(&settings, &capabilities), &self::batch(3));
                let failed = outcomes.map_or_else(|failure| vec![Some(failure.kind)], |outcomes| kinds(&outcomes));
                assert!(failed.iter().all(|kind| is_open(*kind)), "{status} {batch} {failed:?}");
                let sent = sent.borrow();
                assert!((1..=3).all(|number| times_sent(&sent, number) <= 1), "{status} {batch} {capabilities:?}");
                assert!(!sent.is_empty());
            }
        }
    }
}

/// Existing patients with their links, and a change of each.
fn linked(server: &Server, capabilities: &Capabilities, count: usize) -> Vec<Change> {
    let settings = Settings::default();
    let outcomes = deliver(server, &rules(&settings, capabilities), &batch(count)).unwrap();
    let update = |(number, outcome)| change(number, Operation::Update, "Jun", Some(receipt(outcome)));
    (1..=count).zip(&outcomes).map(update).collect()
}

#[test]
fn an_update_is_sent_again_only_where_a_promised_version_guards_it() {
    let settings = Settings::default();
    for versioning in [Versioning::VersionedUpdate, Versioning::Versioned, Versioning::NoVersion] {
        for status in DOUBTFUL {
            for batch in [true, false] {
                let capabilities = but(Capabilities { batch, ..able() }, |it| it.versioning = versioning);
                let mut server = Server::default();
                let updates = linked(&server, &capabilities, 8);
                // Large Bundles and single requests go to the gateway.
                let (doubtful, sent) = late(status, |request| !(1..=4).contains(&entries(request)));
                server.before = doubtful.before;
                let outcomes = deliver(&server, &rules(&settings, &capabilities), &updates);
                let found = outcomes.map_or_else(|failure| vec![Some(failure.kind)], |outcomes| kinds(&outcomes));
                let is_repeated = versioning == Versioning::VersionedUpdate && batch;
                if is_repeated {
                    assert_eq!(found, vec![None; 8], "{status}");
                    continue;
                }
                assert!(found.iter().all(|kind| is_open(*kind)), "{status} {batch} {found:?}");
                let sent = sent.borrow();
                assert!((1..=8).all(|number| times_sent(&sent, number) <= 1), "{status} {batch} {versioning:?}");
            }
        }
    }
}

#[test]
fn reads_are_repeated_after_any_gateway_error() {
    let (settings, capabilities) = (Settings::default(), able());
    for status in DOUBTFUL {
        let gives_up = move |_: usize, request: &Request| (entries(request) > 30).then(|| gateway(status));
        let server = Server { before: Some(Box::new(gives_up)), ..Server::default() };
        let outcomes = deliver(&server, &rules(&settings, &capabilities), &batch(40));
        let found = outcomes.map(|outcomes| kinds(&outcomes));
        // The creates after the searches are then small enough for the gateway, unless nothing reduced the size.
        assert!(server.requests().len() > 2, "{status}");
        let count = found.map_or(0, |found| found.iter().filter(|kind| kind.is_none()).count());
        assert_eq!(count, server.count(), "{status}");
    }
}

#[test]
fn one_patient_without_a_response_does_not_block_the_others() {
    let (settings, capabilities) = (Settings::default(), own_ids());
    for status in [502, 503, 520, 0] {
        let (server, _) = late(status, is_poisoned);
        let mut waiting: Vec<Change> = poisoned(20, &[7]);
        let mut done: Vec<Receipt> = Vec::new();
        let mut attempts = 0;
        // As the host does it: changes in doubt come again in batches of a quarter.
        for size in [20, 5, 1] {
            let mut open = Vec::new();
            for part in waiting.chunks(size) {
                match deliver(&server, &rules(&settings, &capabilities), part) {
                    Err(failure) => {
                        assert_eq!(failure.kind, FailureKind::Unavailable, "nobody pays for it");
                        open.extend_from_slice(part);
                    }
                    Ok(outcomes) => {
                        for (change, outcome) in part.iter().zip(outcomes) {
                            match outcome {
                                Outcome::Applied(receipt) => done.push(receipt),
                                Outcome::Skipped(reason) => panic!("skipped: {reason}"),
                                Outcome::Failed(failure) => {
                                    attempts += u32::from(failure.kind == FailureKind::Transient);
                                    open.push(change.clone());
                                }
                            }
                        }
                    }
                }
            }
            waiting = open;
        }
        assert_eq!((done.len(), server.count(), waiting.len(), attempts), (19, 19, 1, 1), "{status}");
        assert!(waiting[0].payload.contains("Poison"));
    }
}

#[test]
fn an_error_of_the_server_itself_is_checked_and_sent_again() {
    let settings = Settings::default();
    for capabilities in [able(), own_ids()] {
        for answer in [told(503), told(500), page(500, ""), page(403, "<html>blocked</html>"), page(200, "<html>")] {
            let poison = {
                let answer = answer.clone();
                move |_: usize, request: &Request| is_poisoned(request).then(|| Ok(answer.clone()))
            };
            let server = Server { before: Some(Box::new(poison)), ..Server::default() };
            let outcomes = deliver(&server, &rules(&settings, &capabilities), &poisoned(20, &[7])).unwrap();
            let refused = kinds(&outcomes).iter().filter(|kind| kind.is_some()).count();
            assert_eq!((refused, server.count()), (1, 19), "{}", answer.status);
        }
    }
}

#[test]
fn a_404_page_does_not_prove_that_a_record_is_gone() {
    let settings = Settings::default();
    let json_page = Response {
        headers: vec![("content-type".to_owned(), "application/json".to_owned())],
        ..page(404, r#"{"error":"no route"}"#)
    };
    for answer in [page(404, "<html>"), page(404, ""), json_page] {
        for batch in [true, false] {
            for operation in [Operation::Delete, Operation::Update] {
                for count in [1, 3] {
                    let capabilities = Capabilities { batch, ..able() };
                    let mut server = Server::default();
                    let mut changes = updates(&server, count);
                    for change in &mut changes {
                        change.operation = operation;
                    }
                    let answer = answer.clone();
                    // It responds so to Bundles too, and then requests are sent one by one.
                    let no_route = move |_: usize, request: &Request| {
                        (request.method != Method::Get || !request.path.contains('?')).then(|| Ok(answer.clone()))
                    };
                    server.before = Some(Box::new(no_route));
                    let outcomes = deliver(&server, &rules(&settings, &capabilities), &changes);
                    let expected =
                        if count == 1 { Ok(vec![Some(FailureKind::Transient)]) } else { Err(FailureKind::Unavailable) };
                    let found = outcomes.map(|outcomes| kinds(&outcomes)).map_err(|failure| failure.kind);
                    assert_eq!(found, expected, "{operation:?} of {count}, batch {batch}");
                    assert_eq!(server.count(), count);
                }
            }
        }
    }
}

#[test]
fn one_record_behind_a_404_page_fails_alone() {
    let (settings, capabilities) = (Settings::default(), Capabilities { batch: false, ..able() });
    let mut server = Server::default();
    let updates = updates(&server, 3);
    let hidden = format!("Patient/{}", id_of(2));
    server.before = Some(Box::new(move |_, request| (request.path == hidden).then(|| Ok(page(404, "")))));
    let outcomes = deliver(&server, &rules(&settings, &capabilities), &updates).unwrap();
    assert_eq!(kinds(&outcomes), [None, Some(FailureKind::Transient), None]);
    // If the record is really gone, the search shows that, even with the same page as response.
    server.delete(2);
    let outcomes = deliver(&server, &rules(&settings, &capabilities), &updates[1..2]).unwrap();
    assert_eq!(kinds(&outcomes), [Some(FailureKind::Conflict)]);
}

#[test]
fn page_404_for_creates_and_searches_is_never_permanent() {
    let settings = Settings::default();
    for capabilities in [able(), own_ids()] {
        let capabilities = Capabilities { batch: false, ..capabilities };
        let no_writes = |_: usize, request: &Request| writes(request).then(|| Ok(page(404, "<html>")));
        let server = Server { before: Some(Box::new(no_writes)), ..Server::default() };
        let failure = deliver(&server, &rules(&settings, &capabilities), &batch(3)).unwrap_err();
        assert_eq!(failure.kind, FailureKind::Unavailable);
        let no_search = |_: usize, request: &Request| request.path.contains("P-1").then(|| Ok(page(404, "<html>")));
        let server = Server { before: Some(Box::new(no_search)), ..Server::default() };
        let outcomes = deliver(&server, &rules(&settings, &capabilities), &batch(3)).unwrap();
        assert_eq!(kinds(&outcomes), [Some(FailureKind::Transient), None, None]);
    }
}
