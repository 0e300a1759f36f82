//! Writes that get a success without any content: a proxy may respond so, and also a server.

use super::*;

fn bare(status: u16) -> Response {
    Response { status, headers: Vec::new(), body: Vec::new() }
}

/// A server without Bundles that carries out each request.
fn honest(before: bool) -> Server {
    let strip = |_: usize, request: &Request| writes(request).then(|| Ok(bare(200)));
    if before {
        Server { before: Some(Box::new(strip)), ..Server::default() }
    } else {
        Server { after: Some(Box::new(strip)), ..Server::default() }
    }
}

#[test]
fn an_unconfirmed_create_with_an_empty_response_is_not_a_success() {
    let settings = Settings::default();
    for status in [200, 201, 204] {
        for count in [1, 2] {
            let capabilities = Capabilities { batch: false, ..able() };
            let swallow = move |_: usize, request: &Request| writes(request).then(|| Ok(bare(status)));
            let server = Server { before: Some(Box::new(swallow)), ..Server::default() };
            let result = deliver(&server, &rules(&settings, &capabilities), &batch(count));
            let kinds = result.map_or_else(|failure| vec![Some(failure.kind)], |outcomes| kinds(&outcomes));
            let expected = if count == 1 { FailureKind::Transient } else { FailureKind::Unavailable };
            assert_eq!((kinds, server.count()), (vec![Some(expected)], 0), "{status}");
        }
    }
}

#[test]
fn an_unconfirmed_update_with_an_empty_response_is_not_a_success() {
    let settings = Settings::default();
    let capabilities = Capabilities { batch: false, ..able() };
    let mut server = Server::default();
    let updates = updates(&server, 1);
    server.before = honest(true).before;
    let outcomes = deliver(&server, &rules(&settings, &capabilities), &updates).unwrap();
    assert_eq!(kinds(&outcomes), [Some(FailureKind::Transient)]);
}

#[test]
fn confirmed_writes_are_a_success_even_with_a_minimal_response() {
    let settings = Settings::default();
    let capabilities = Capabilities { batch: false, ..able() };
    let server = honest(false);
    let outcomes = deliver(&server, &rules(&settings, &capabilities), &batch(1)).unwrap();
    assert_eq!((receipt(&outcomes[0]).remote_id.clone(), server.count()), (id_of(1), 1));
    let update = change(1, Operation::Update, "Jun", Some(receipt(&outcomes[0])));
    let outcomes = deliver(&server, &rules(&settings, &capabilities), &[update]).unwrap();
    assert_eq!(kinds(&outcomes), [None]);
    assert_eq!(server.record(1)["name"][0]["given"], json!(["Jun"]));
}
