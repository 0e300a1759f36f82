//! The paths of one change with a server in memory: nothing lost, no duplicate, one request if one is enough.

mod clinical;
mod creating;
mod deleting;
mod edits;
mod merging;
mod updating;

use adapter_sdk::Link;
use adapter_sdk::http::Error;
use serde_json::json;

use super::*;
use crate::settings::Existing;
use crate::testing::{Server, able, but, change, created, deliver, failed, id_of, one, own_ids, receipt, rules};

fn given(server: &Server, id: usize) -> Value {
    server.record(id)["name"][0]["given"][0].clone()
}

/// The response to a search without a match.
fn nobody() -> Answer {
    let mut entry = json!({ "response": { "status": "200" }, "resource": { "resourceType": "Bundle" } });
    Answer::from_entry(&mut entry)
}

const SEARCH: &str = "GET Patient?identifier=urn%3Aneuronova%3Apatient-id%7CP-1";

/// The ways to create at a server: ids of ours, a conditional create, a plain create.
fn ways() -> [Capabilities; 3] {
    [able(), own_ids(), but(own_ids(), |it| it.conditional_create = false)]
}

#[test]
fn an_invalid_patient_is_refused_before_any_request() {
    let (server, settings, capabilities) = (Server::default(), Settings::default(), able());
    let rules = rules(&settings, &capabilities);
    let good = change(1, Operation::Create, "MinJun", None);
    for (change, kind) in [
        (Change { aggregate_type: "lab-order".to_owned(), ..good.clone() }, FailureKind::Unsupported),
        (Change { payload: "{}".to_owned(), ..good.clone() }, FailureKind::Invalid),
        (Change { payload: "Kim MinJun".to_owned(), ..good.clone() }, FailureKind::Invalid),
        (Change { aggregate_id: "P-2".to_owned(), ..good.clone() }, FailureKind::Invalid),
        (
            Change {
                aggregate_id: String::new(),
                operation: Operation::Delete,
                payload: "{}".to_owned(),
                ..good.clone()
            },
            FailureKind::Invalid,
        ),
    ] {
        let outcome = one(&server, &rules, &change);
        let (found, message) = failed(&outcome);
        assert_eq!(found, kind);
        assert!(!message.contains("Kim") && !message.contains("MinJun"), "{message}");
    }
    assert!(server.requests().is_empty());
}
