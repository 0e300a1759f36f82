//! `host trace` without a subject: lists deliveries page by page, and counts for which reasons they failed.

use std::process::ExitCode;

use serde_json::json;

use super::error::CliError;
use super::output;
use super::output::{line, printable, time};
use super::retry::kind;
use super::since::since;
use super::trail::AuditTrail;
use crate::config::Config;
use crate::domain::change::FailureKind;
use crate::domain::delivery::Status;
use crate::domain::ids::{ChangeId, TargetName};
use crate::domain::spelling::expected;
use crate::store::{CauseCount, DeliveryFilter, Store, TracedDelivery};

/// Causes that are shown.
const CAUSES_SHOWN: usize = 20;

/// Selects deliveries. Not for one aggregate or change.
#[derive(Debug, clap::Args)]
pub(super) struct ListArguments {
    /// List deliveries since this time, for example 2h or 7d
    #[arg(long, value_name = "TIME", value_parser = since, conflicts_with_all = ONE)]
    since: Option<i64>,
    /// List deliveries with this status
    #[arg(long, value_parser = status, conflicts_with_all = ONE)]
    status: Option<Status>,
    /// List failures of this kind, for example `invalid`
    #[arg(long, value_parser = kind, conflicts_with_all = ONE)]
    kind: Option<FailureKind>,
    /// List deliveries of changes before this one
    #[arg(long, value_name = "NUMBER", conflicts_with_all = ONE)]
    before: Option<i64>,
}

/// The options that name one aggregate or change.
const ONE: [&str; 5] = ["patient", "aggregate_type", "aggregate_id", "change", "event"];

fn status(word: &str) -> Result<Status, String> {
    Status::from_word(word).ok_or_else(|| expected(word, Status::WORDS))
}

pub(super) async fn run(
    config: &Config,
    trail: &AuditTrail,
    store: &Store,
    arguments: &ListArguments,
    (target, limit): (Option<&str>, u32),
    is_json: bool,
) -> Result<ExitCode, CliError> {
    let filter = DeliveryFilter { status: arguments.status, kind: arguments.kind, since: arguments.since };
    let before = arguments.before.map(ChangeId::new);
    let names = config.targets.keys().map(TargetName::as_str);
    let is_meant = |name: &&str| target.is_none_or(|target| target == *name);
    let (mut deliveries, mut causes, mut next) = (Vec::new(), Vec::new(), None);
    for target in names.filter(is_meant) {
        let page = store.deliveries(target, &filter, before, limit).await?;
        deliveries.extend(page.deliveries);
        // The next page begins where the first target that has more ended, so that none is left out.
        next = next.max(page.next);
        causes.extend(store.causes(target, &filter).await?);
    }
    deliveries.retain(|delivery| next.is_none_or(|next| delivery.change_id >= next));
    deliveries.sort_by(|one, other| other.change_id.cmp(&one.change_id).then_with(|| one.target.cmp(&other.target)));
    causes.sort_by_key(|cause| std::cmp::Reverse(cause.count));
    trail.shown(store, "delivery", deliveries.len()).await?;
    if is_json {
        let all: Vec<_> = deliveries.iter().map(as_json).collect();
        output::json(&json!({ "deliveries": all, "causes": causes, "next": next }));
    } else {
        show(&deliveries, &causes, next);
    }
    Ok(ExitCode::SUCCESS)
}

fn show(deliveries: &[TracedDelivery], causes: &[CauseCount], next: Option<ChangeId>) {
    if deliveries.is_empty() {
        line("no deliveries");
    }
    for delivery in deliveries {
        let TracedDelivery { target, key, change_id, status, .. } = delivery;
        let at = delivery.finished_at.unwrap_or(delivery.created_at);
        let reason = reason(delivery.error_kind.as_deref(), delivery.error_message.as_deref());
        let (status, name) = (status.as_str(), printable(&format!("{} {}", key.aggregate_type, key.aggregate_id)));
        line(&format!("{}  {target}: change {change_id} of {name}: {status}{reason}", time(at)));
    }
    if !causes.is_empty() {
        line("");
        line("[Causes]");
    }
    for cause in causes.iter().take(CAUSES_SHOWN) {
        let reason = reason(cause.kind.as_deref(), cause.message.as_deref());
        line(&format!("   {} {} at {}{reason}", cause.count, cause.status.as_str(), cause.target));
    }
    if let Some(others) = causes.len().checked_sub(CAUSES_SHOWN).filter(|others| *others > 0) {
        line(&format!("   and {others} other causes; see --json"));
    }
    if let Some(next) = next {
        line("");
        line(&format!("there are more: add --before {next}"));
    }
}

fn reason(kind: Option<&str>, message: Option<&str>) -> String {
    let parts: Vec<_> = [kind, message].into_iter().flatten().map(printable).collect();
    if parts.is_empty() { String::new() } else { format!(": {}", parts.join(": ")) }
}

fn as_json(delivery: &TracedDelivery) -> serde_json::Value {
    json!({
        "target": delivery.target,
        "aggregate_type": delivery.key.aggregate_type,
        "aggregate_id": delivery.key.aggregate_id,
        "change_id": delivery.change_id,
        "status": delivery.status,
        "attempts": delivery.attempts,
        "queued_at": delivery.created_at,
        "next_attempt_at": delivery.next_attempt_at,
        "finished_at": delivery.finished_at,
        "error_kind": delivery.error_kind,
        "error": delivery.error_message,
    })
}
