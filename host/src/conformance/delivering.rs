//! What most checks do first: deliveries that must work, and what the target then holds. Errors are sentences for the
//! author.

use super::harness::Harness;
use super::judgement::applied;
use crate::domain::change::{Change, Receipt};

/// The receipts of a batch that must work.
pub(super) async fn receipts(harness: &Harness, changes: &[Change]) -> Result<Vec<Receipt>, String> {
    let outcomes = harness.deliver(changes).await.map_err(|failure| format!("the batch failed, {failure}"))?;
    outcomes.into_iter().map(|outcome| applied(outcome, "a sound change")).collect()
}

/// The receipt of one change that must work; `what` names it in the error.
pub(super) async fn receipt(harness: &Harness, change: &Change, what: &str) -> Result<Receipt, String> {
    let outcomes = harness.deliver(std::slice::from_ref(change)).await;
    let outcome = outcomes.map_err(|failure| format!("{what} failed, {failure}"))?.pop();
    applied(outcome.ok_or_else(|| format!("{what} has no outcome"))?, what)
}

/// How many records the target holds.
pub(super) async fn records(harness: &Harness) -> Result<u64, String> {
    harness.records().await.map_err(|failure| failure.to_string())
}

/// What the target holds, to compare.
pub(super) async fn contents(harness: &Harness) -> Result<Vec<String>, String> {
    harness.contents().await.map_err(|failure| failure.to_string())
}
