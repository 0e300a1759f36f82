//! Whole calls with a server in memory. Shared: batches, and faults for particular requests.

mod bare;
mod blame;
mod bundles;
mod learning;
mod slow;

use adapter_sdk::{Operation, RemoteEdit};
use serde_json::json;

use super::*;
use crate::capability::Capabilities;
use crate::settings::Settings;
use crate::testing::{Server, able, change, deliver, id_of, outcome as told, own_ids, receipt, rules};

pub(super) fn batch(count: usize) -> Vec<Change> {
    (1..=count).map(|number| change(number, Operation::Create, "MinJun", None)).collect()
}

/// Creates this many patients, and returns an update of each.
pub(super) fn updates(server: &Server, count: usize) -> Vec<Change> {
    let (settings, capabilities) = (Settings::default(), able());
    let outcomes = deliver(server, &rules(&settings, &capabilities), &batch(count)).unwrap();
    let update = |(number, outcome)| change(number, Operation::Update, "Jun", Some(receipt(outcome)));
    (1..=count).zip(&outcomes).map(update).collect()
}

/// A batch in which some patients carry a word that triggers a fault.
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
            Outcome::Applied(_) | Outcome::Skipped(_) => None,
            Outcome::Failed(failure) => Some(failure.kind),
        })
        .collect()
}

pub(super) fn page(status: u16, body: &str) -> Response {
    let headers = vec![("content-type".to_owned(), "text/html; charset=utf-8".to_owned())];
    Response { status, headers, body: body.as_bytes().to_vec() }
}
