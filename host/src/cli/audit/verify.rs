//! `host audit verify`: follows the chain from its first event, and names the first one that breaks it.

use std::process::ExitCode;

use serde_json::json;

use crate::cli::error::CliError;
use crate::cli::{output, wiring};
use crate::config::Config;
use crate::domain::audit_chain::{AuditHead, BrokenChain, ChainCheck, KnownHead};
use crate::store::Store;

/// The number of events that are read at once.
const EVENTS_AT_ONCE: u32 = 1_000;

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Arguments {
    /// Require this earlier head: ID:HASH or the hash alone
    #[arg(long, value_name = "HEAD")]
    head: Option<KnownHead>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(config: &Config, arguments: &Arguments) -> Result<ExitCode, CliError> {
    let store = wiring::readable_store(config).await?;
    let checked = check(&store, arguments.head.clone()).await?;
    if arguments.json {
        output::json(&match &checked {
            Ok(head) => json!({ "whole": true, "id": head.id, "hash": head.hash, "fault": null }),
            Err(broken) => json!({ "whole": false, "id": broken.id, "hash": null, "fault": broken.to_string() }),
        });
    }
    match checked {
        Ok(_) if arguments.json => Ok(ExitCode::SUCCESS),
        Ok(head) => {
            output::line(&format!("the audit is whole: {} events, head {head}", head.id));
            Ok(ExitCode::SUCCESS)
        }
        Err(broken) => {
            Err(CliError::Failed(format!("the audit is broken: {broken}; fix: see docs/audit.md, \"A broken chain\"")))
        }
    }
}

/// Follows the whole chain. Other commands may record events meanwhile.
async fn check(store: &Store, known: Option<KnownHead>) -> Result<Result<AuditHead, BrokenChain>, CliError> {
    let mut check = ChainCheck::new(store.audit_head().await?, known);
    loop {
        let events = store.audit_events_after(check.last().id, None, EVENTS_AT_ONCE).await?;
        if events.is_empty() {
            return Ok(check.end(&store.audit_head().await?));
        }
        for event in &events {
            if let Err(broken) = check.follow(event) {
                return Ok(Err(broken));
            }
        }
    }
}
