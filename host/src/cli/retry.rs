//! `host retry`: a person wants failed deliveries tried again.

use std::process::ExitCode;

use super::error::CliError;
use super::{assemble, output};
use crate::config::Config;
use crate::domain::change::FailureKind;
use crate::domain::words::one_of;
use crate::store::RetryFilter;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Only deliveries to this target
    #[arg(long)]
    target: Option<String>,
    /// Only deliveries of this patient
    #[arg(long)]
    patient: Option<String>,
    /// Only deliveries that failed for this reason, for example `invalid`
    #[arg(long, value_parser = kind)]
    kind: Option<FailureKind>,
    /// Only deliveries that failed at least so many seconds ago
    #[arg(long, value_name = "SECONDS")]
    older_than: Option<u64>,
    /// All failed deliveries; needed where nothing else narrows it down
    #[arg(long)]
    failed: bool,
    /// Say how many it would be, and change nothing
    #[arg(long)]
    dry_run: bool,
}

fn kind(word: &str) -> Result<FailureKind, String> {
    FailureKind::from_word(word).ok_or_else(|| format!("expected {}", one_of(FailureKind::WORDS)))
}

pub(super) async fn run(config: &Config, arguments: &Arguments) -> Result<ExitCode, CliError> {
    let filter = RetryFilter {
        target: arguments.target.clone(),
        patient: arguments.patient.clone(),
        kind: arguments.kind,
        older_than_ms: arguments.older_than.map(|seconds| seconds.saturating_mul(1_000)),
    };
    let narrowed =
        filter.target.is_some() || filter.patient.is_some() || filter.kind.is_some() || filter.older_than_ms.is_some();
    if !narrowed && !arguments.failed {
        return Err(CliError::Usage(
            "say which: --target, --patient, --kind, --older-than, or --failed for all of them".to_owned(),
        ));
    }
    if let Some(name) = &filter.target {
        assemble::target_config(config, name)?;
    }
    let store = assemble::migrated_store(config).await?;
    if arguments.dry_run {
        output::line(&format!("{} failed deliveries would be tried again", store.count_failed(&filter).await?));
    } else {
        output::line(&format!("{} failed deliveries are pending again", store.retry(&filter).await?));
    }
    Ok(ExitCode::SUCCESS)
}
