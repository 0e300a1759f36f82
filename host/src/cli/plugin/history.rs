//! `host plugin history`: lists activations, rejections, holds and rollbacks of each target's adapters.

use std::process::ExitCode;

use serde_json::json;

use crate::cli::error::CliError;
use crate::cli::output::age;
use crate::cli::{output, wiring};
use crate::config::Config;
use crate::store::{AdapterEventKind, AdapterRecord};

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Arguments {
    /// Select this target only
    #[arg(long)]
    target: Option<String>,
    /// Show at most this many
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    limit: u32,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(config: &Config, arguments: &Arguments) -> Result<ExitCode, CliError> {
    if let Some(target) = &arguments.target {
        wiring::target_config(config, target)?;
    }
    let store = wiring::readable_store(config).await?;
    let history = store.adapter_history(arguments.target.as_deref(), arguments.limit).await?;
    if arguments.json {
        output::json(&json!({ "history": history }));
        return Ok(ExitCode::SUCCESS);
    }
    if history.is_empty() {
        output::line("no adapter was activated yet");
    }
    let now = store.now_ms().await?;
    for record in &history {
        output::line(&described(record, now));
    }
    Ok(ExitCode::SUCCESS)
}

fn described(record: &AdapterRecord, now: i64) -> String {
    let event = match record.event {
        AdapterEventKind::InForce => "activated",
        AdapterEventKind::Refused => "rejected",
        AdapterEventKind::RolledBack => "rolled back to",
        AdapterEventKind::Held => "held",
        AdapterEventKind::Accepted => "accepted",
    };
    let version = match (&record.name, &record.version) {
        (Some(name), Some(version)) => format!("{name} {version} "),
        _ => String::new(),
    };
    let reason = record.reason.as_deref().map(|reason| format!(": {reason}")).unwrap_or_default();
    format!("{} ago  {}: {event} {version}sha256:{}{reason}", age(now - record.at), record.target, record.sha256)
}
