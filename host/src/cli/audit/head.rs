//! `host audit head`: prints the end of the chain, to be kept somewhere else.

use std::process::ExitCode;

use serde_json::json;

use crate::cli::error::CliError;
use crate::cli::{output, wiring};
use crate::config::Config;

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Arguments {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(config: &Config, arguments: &Arguments) -> Result<ExitCode, CliError> {
    let head = wiring::readable_store(config).await?.audit_head().await?;
    if arguments.json {
        output::json(&json!({ "id": head.id, "hash": head.hash }));
    } else {
        output::line(&head.to_string());
    }
    Ok(ExitCode::SUCCESS)
}
