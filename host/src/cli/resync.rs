//! `host resync`: every patient's current state goes to one target again.

use std::process::ExitCode;
use std::time::Duration;

use super::error::CliError;
use super::{output, wiring};
use crate::config::Config;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Queue for this target
    #[arg(long)]
    target: String,
    /// Begin after this patient id, to resume a resync
    #[arg(long, value_name = "ID")]
    after: Option<String>,
    /// Queue this many patients at once
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    page: u32,
    /// Pause this long between pages, in milliseconds
    #[arg(long, default_value_t = 100)]
    pause_ms: u64,
}

pub(super) async fn run(config: &Config, arguments: &Arguments) -> Result<ExitCode, CliError> {
    let target = wiring::target_config(config, &arguments.target)?;
    if !target.enabled {
        return Err(CliError::Usage(format!("target `{}` is disabled; fix: set enabled = true", arguments.target)));
    }
    if !target.aggregate_types.iter().any(|kind| kind.as_str() == "patient") {
        return Err(CliError::Usage(format!("target `{}` accepts no patients", arguments.target)));
    }
    let store = wiring::migrated_store(config).await?;
    wiring::know_target(&store, target).await?;
    let mut after = arguments.after.clone();
    let mut total = 0;
    while let Some((last, count)) = store.resync_page(&target.name, after.as_deref(), arguments.page).await? {
        total += count;
        output::line(&format!("   [OK] {count} patients queued, up to {last}"));
        after = Some(last);
        tokio::time::sleep(Duration::from_millis(arguments.pause_ms)).await;
    }
    output::line(&format!("{total} patients queued for {} sync", arguments.target));
    Ok(ExitCode::SUCCESS)
}
