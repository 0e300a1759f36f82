//! `host failed`: lists and dismisses failed deliveries.

use std::process::ExitCode;

use serde_json::json;

use super::aggregate::{AggregateArguments, explain_none, shown};
use super::error::CliError;
use super::operator::reason;
use super::output::{age, line, printable, time};
use super::retry::{about, is_narrowed, kind};
use super::trail::AuditTrail;
use super::{output, wiring};
use crate::config::Config;
use crate::domain::change::FailureKind;
use crate::domain::ids::ChangeId;
use crate::store::{DismissedDelivery, FailedDelivery, RetryFilter};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Verb {
    /// List failed deliveries, oldest first
    List(List),
    /// Dismiss failed deliveries that need no delivery
    Dismiss(Dismiss),
}

/// Selects failed deliveries.
#[derive(Debug, clap::Args)]
struct Which {
    /// Select this target only
    #[arg(long)]
    target: Option<String>,
    #[command(flatten)]
    aggregate: AggregateArguments,
    /// Select this change only, by its number
    #[arg(long, value_name = "NUMBER")]
    change: Option<i64>,
    /// Select failures of this kind, for example `invalid`
    #[arg(long, value_parser = kind)]
    kind: Option<FailureKind>,
    /// Select failures at least this many seconds old
    #[arg(long, value_name = "SECONDS")]
    older_than: Option<u64>,
}

#[derive(Debug, clap::Args)]
pub(super) struct List {
    #[command(flatten)]
    which: Which,
    /// List dismissed deliveries instead, newest first
    #[arg(long, conflicts_with_all = ["patient", "aggregate_type", "aggregate_id", "change", "kind", "older_than"])]
    dismissed: bool,
    /// List skipped deliveries instead, with their reasons
    #[arg(long, conflicts_with_all = ["dismissed", "kind"])]
    skipped: bool,
    /// Show at most this many
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    limit: u32,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct Dismiss {
    #[command(flatten)]
    which: Which,
    /// Select all failed deliveries
    #[arg(long)]
    all: bool,
    /// Record this reason; give no patient's data
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    reason: String,
    /// Count them and change nothing
    #[arg(long)]
    dry_run: bool,
}

impl Which {
    fn filter(&self, config: &Config) -> Result<RetryFilter, CliError> {
        if let Some(target) = &self.target {
            wiring::target_config(config, target)?;
        }
        Ok(RetryFilter {
            target: self.target.clone(),
            aggregate: self.aggregate.key(),
            kind: self.kind,
            older_than_ms: self.older_than.map(|seconds| seconds.saturating_mul(1_000)),
            change_id: self.change.map(ChangeId::new),
        })
    }
}

pub(super) async fn run(config: &Config, trail: &AuditTrail, verb: &Verb) -> Result<ExitCode, CliError> {
    match verb {
        Verb::List(arguments) if arguments.dismissed => list_dismissed(config, trail, arguments).await,
        Verb::List(arguments) if arguments.skipped => list_skipped(config, trail, arguments).await,
        Verb::List(arguments) => list(config, trail, arguments).await,
        Verb::Dismiss(arguments) => dismiss(config, trail, arguments).await,
    }
}

async fn list(config: &Config, trail: &AuditTrail, arguments: &List) -> Result<ExitCode, CliError> {
    let filter = arguments.which.filter(config)?;
    trail.about(about(&filter, false, None));
    let store = wiring::readable_store(config).await?;
    let failed = store.failed(&filter, arguments.limit).await?;
    if failed.is_empty() {
        explain_none(config, &store, filter.aggregate.as_ref()).await?;
    }
    trail.shown(&store, "delivery", failed.len()).await?;
    if arguments.json {
        output::json(&json!({ "failed": failed }));
        return Ok(ExitCode::SUCCESS);
    }
    if failed.is_empty() {
        line("no failed deliveries");
        return Ok(ExitCode::SUCCESS);
    }
    let now = store.now_ms().await?;
    for one in &failed {
        let since = one.failed_at.map(|at| format!(", {}, {} ago", time(at), age(now - at))).unwrap_or_default();
        show(one, &since);
    }
    line("");
    advice(&failed).into_iter().for_each(line);
    Ok(ExitCode::SUCCESS)
}

async fn list_skipped(config: &Config, trail: &AuditTrail, arguments: &List) -> Result<ExitCode, CliError> {
    let filter = arguments.which.filter(config)?;
    trail.about(about(&filter, false, None));
    let store = wiring::readable_store(config).await?;
    let skipped = store.skipped(&filter, arguments.limit).await?;
    if skipped.is_empty() {
        explain_none(config, &store, filter.aggregate.as_ref()).await?;
    }
    trail.shown(&store, "delivery", skipped.len()).await?;
    if arguments.json {
        output::json(&json!({ "skipped": skipped }));
        return Ok(ExitCode::SUCCESS);
    }
    if skipped.is_empty() {
        line("no skipped deliveries");
        return Ok(ExitCode::SUCCESS);
    }
    for one in &skipped {
        let FailedDelivery { target, key, change_id, .. } = one;
        let reason = one.message.as_deref().unwrap_or("no reason given");
        let (kind, id, reason) = (printable(&key.aggregate_type), printable(&key.aggregate_id), printable(reason));
        line(&format!("{kind} {id} [{target}]: change {change_id} was skipped: {reason}"));
    }
    line("");
    line("`host retry --skipped` tries them again; a new adapter does so by itself");
    Ok(ExitCode::SUCCESS)
}

async fn list_dismissed(config: &Config, trail: &AuditTrail, arguments: &List) -> Result<ExitCode, CliError> {
    let filter = arguments.which.filter(config)?;
    trail.about(about(&filter, false, None));
    let store = wiring::readable_store(config).await?;
    let dismissed = store.dismissed(filter.target.as_deref(), arguments.limit).await?;
    trail.shown(&store, "delivery", dismissed.len()).await?;
    if arguments.json {
        output::json(&json!({ "dismissed": dismissed }));
        return Ok(ExitCode::SUCCESS);
    }
    if dismissed.is_empty() {
        line("no dismissed deliveries");
    }
    for DismissedDelivery { delivery, reason, dismissed_by, dismissed_at } in &dismissed {
        show(delivery, "");
        line(&format!(
            "   dismissed by {}{}: {}",
            printable(dismissed_by.as_deref().unwrap_or("?")),
            dismissed_at.map(|at| format!(", {}", time(at))).unwrap_or_default(),
            printable(reason.as_deref().unwrap_or("no reason given"))
        ));
    }
    Ok(ExitCode::SUCCESS)
}

/// Advice for an operator about these failures.
fn advice(failed: &[FailedDelivery]) -> Vec<&'static str> {
    let is_conflict = |one: &FailedDelivery| one.kind.as_deref() == Some(FailureKind::Conflict.as_str());
    let can_be_retried = |one: &FailedDelivery| one.attempts > 0 && !is_conflict(one);
    let of = |applies: bool, text| applies.then_some(text);
    let parts = [
        of(failed.iter().any(can_be_retried), "Fix the cause, then `host retry`"),
        of(failed.iter().any(is_conflict), "Decide conflicts with `host conflicts`"),
        of(
            failed.iter().any(|one| one.attempts == 0),
            "A delivery without attempts comes from an invalid outbox row: insert a corrected row, and dismiss this \
             delivery",
        ),
        Some("Dismiss what needs no delivery with `host failed dismiss --change NUMBER --reason TEXT`"),
    ];
    parts.into_iter().flatten().collect()
}

fn show(failed: &FailedDelivery, since: &str) {
    let why = failed.kind.as_deref().unwrap_or("unknown");
    line(&format!("{}: {} (change {}, {why}{since})", failed.target, shown(&failed.key), failed.change_id));
    line(&format!("   {}", printable(failed.message.as_deref().unwrap_or("no reason given"))));
}

async fn dismiss(config: &Config, trail: &AuditTrail, arguments: &Dismiss) -> Result<ExitCode, CliError> {
    let filter = arguments.which.filter(config)?;
    trail.about(about(&filter, arguments.dry_run, None));
    if !is_narrowed(&filter) && !arguments.all {
        return Err(CliError::Usage(
            "cannot dismiss: no delivery is selected; fix: add --change, --patient, --type and --id, --target, --kind, \
             --older-than, or --all"
                .to_owned(),
        ));
    }
    let store = trail.writable_store(config).await?;
    if arguments.dry_run {
        let count = store.failed(&filter, 100_000).await?.len();
        line(&format!("{count} failed deliveries would be dismissed"));
        return Ok(ExitCode::SUCCESS);
    }
    let count = store.dismiss(&filter, &arguments.reason, trail.who()).await?;
    if count == 0 {
        explain_none(config, &store, filter.aggregate.as_ref()).await?;
        return Err(CliError::Failed("no failed delivery matches these options: see `host failed list`".to_owned()));
    }
    tracing::info!(count, "failed deliveries dismissed");
    line(&format!("dismissed {count} failed deliveries; later changes of the same aggregates are delivered as usual"));
    Ok(ExitCode::SUCCESS)
}
