//! `host retry`: makes failed or skipped deliveries pending again.

use std::process::ExitCode;

use super::aggregate::{AggregateArguments, explain_none};
use super::error::CliError;
use super::retry_in_steps::{self, Pace};
use super::trail::AuditTrail;
use super::{output, wiring};
use crate::config::Config;
use crate::domain::audit::AuditSubject;
use crate::domain::change::FailureKind;
use crate::domain::ids::ChangeId;
use crate::domain::spelling::expected;
use crate::store::{RetryFilter, Store};

/// The maximum number of refused deliveries that are counted.
const REFUSED_SHOWN_MAX: u32 = 1_000;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
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
    /// Select all failed deliveries
    #[arg(long)]
    failed: bool,
    /// Select skipped deliveries instead of failed ones
    #[arg(long, conflicts_with_all = ["failed", "kind"])]
    skipped: bool,
    /// Count them and change nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    pace: Pace,
}

pub(super) fn kind(word: &str) -> Result<FailureKind, String> {
    FailureKind::from_word(word).ok_or_else(|| expected(word, FailureKind::WORDS))
}

pub(super) async fn run(config: &Config, trail: &AuditTrail, arguments: &Arguments) -> Result<ExitCode, CliError> {
    let filter = RetryFilter {
        target: arguments.target.clone(),
        aggregate: arguments.aggregate.key(),
        kind: arguments.kind,
        older_than_ms: arguments.older_than.map(|seconds| seconds.saturating_mul(1_000)),
        change_id: arguments.change.map(ChangeId::new),
    };
    trail.about(about(&filter, arguments.dry_run, arguments.pace.detail()));
    if !is_narrowed(&filter) && !arguments.failed && !arguments.skipped {
        return Err(CliError::Usage(
            "nothing is selected; fix: add --target, --patient, --type and --id, --change, --kind, --older-than, or \
             --failed for all of them (--skipped for all skipped ones)"
                .to_owned(),
        ));
    }
    if let Some(name) = &filter.target {
        wiring::target_config(config, name)?;
    }
    let store = trail.writable_store(config).await?;
    if arguments.skipped {
        return retry_skipped(config, &store, &filter, arguments.dry_run).await;
    }
    let (count, what, code) = if arguments.dry_run {
        (arguments.pace.limited(store.count_failed(&filter).await?), "would be retried", ExitCode::SUCCESS)
    } else if arguments.pace.is_in_steps() {
        let (count, code) = retry_in_steps::run(&store, &filter, &arguments.pace).await?;
        (count, "were retried", code)
    } else {
        (store.retry(&filter).await?, "are pending again", ExitCode::SUCCESS)
    };
    if count == 0 {
        explain_none(config, &store, filter.aggregate.as_ref()).await?;
    }
    output::line(&format!("{count} failed deliveries {what}"));
    let refused = store.failed(&filter, REFUSED_SHOWN_MAX).await?.iter().filter(|failed| failed.attempts == 0).count();
    if refused > 0 {
        output::line(&format!(
            "{refused} more cannot be retried: their outbox rows are invalid; fix: insert a corrected row, then \
             `host failed dismiss`"
        ));
    }
    Ok(code)
}

async fn retry_skipped(
    config: &Config,
    store: &Store,
    filter: &RetryFilter,
    dry_run: bool,
) -> Result<ExitCode, CliError> {
    let count = if dry_run { store.count_skipped(filter).await? } else { store.retry_skipped(filter).await? };
    if count == 0 {
        explain_none(config, store, filter.aggregate.as_ref()).await?;
    }
    let what = if dry_run { "would be retried" } else { "are pending again" };
    output::line(&format!("{count} skipped deliveries {what}"));
    Ok(ExitCode::SUCCESS)
}

/// The subject of a command about these deliveries.
pub(super) fn about(filter: &RetryFilter, dry_run: bool, pace: Option<String>) -> AuditSubject {
    let parts = [
        dry_run.then(|| "dry run".to_owned()),
        filter.change_id.map(|id| format!("change {id}")),
        filter.kind.map(|kind| format!("kind {kind}")),
        filter.older_than_ms.map(|age_ms| format!("older than {} s", age_ms / 1_000)),
        pace,
    ];
    let detail = parts.into_iter().flatten().collect::<Vec<_>>().join(", ");
    let subject = AuditSubject::of(filter.aggregate.as_ref()).at(filter.target.as_deref());
    if detail.is_empty() { subject } else { subject.with_detail(&detail) }
}

/// Whether the filter restricts the deliveries.
pub(super) fn is_narrowed(filter: &RetryFilter) -> bool {
    filter.target.is_some()
        || filter.aggregate.is_some()
        || filter.kind.is_some()
        || filter.older_than_ms.is_some()
        || filter.change_id.is_some()
}
