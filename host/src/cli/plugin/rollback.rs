//! `host plugin rollback` and `host plugin reload`: a person decides which adapter is used.
//!
//! Both write a wish into the store; the hosts that run on it follow within a second or two.

use std::process::ExitCode;

use crate::cli::error::CliError;
use crate::cli::{assemble, output};
use crate::config::Config;
use crate::store::{AdapterEvent, AdapterNews, AdapterRecord, Store};

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Rollback {
    /// The target
    #[arg(long)]
    target: String,
    /// The digest to go back to, or its first digits; the adapter before the one in force when it is left out
    #[arg(long, value_name = "SHA256")]
    to: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Reload {
    /// Only of this target
    #[arg(long)]
    target: Option<String>,
}

pub(super) async fn rollback(config: &Config, arguments: &Rollback) -> Result<ExitCode, CliError> {
    let target = arguments.target.as_str();
    assemble::target_config(config, target)?;
    let store = assemble::migrated_store(config).await?;
    let wish = store.target_wish(target).await?;
    let Some(in_force) = wish.adapter_sha256 else {
        return Err(CliError::Failed(format!("no adapter was put in force at target `{target}` yet")));
    };
    let chosen = chosen(&store, target, &in_force, arguments.to.as_deref()).await?;
    if store.adapter_bytes(&chosen.sha256).await?.is_none() {
        return Err(CliError::Failed(format!(
            "the store no longer holds sha256:{}: put its file back in place instead",
            chosen.sha256
        )));
    }
    let news = AdapterNews {
        target,
        name: chosen.name.as_deref().unwrap_or_default(),
        version: chosen.version.as_deref().unwrap_or_default(),
        sha256: &chosen.sha256,
        reason: Some("by a person"),
        host: "command line",
    };
    if !store.roll_adapter_back(&in_force, &news).await? {
        return Err(CliError::Failed("another adapter was put in force meanwhile: look again".to_owned()));
    }
    output::line(&format!("target {target} goes back to {} {} sha256:{}", news.name, news.version, news.sha256));
    say_who_follows(&store).await?;
    Ok(ExitCode::SUCCESS)
}

/// The adapter to go back to: one that was in force before.
async fn chosen(store: &Store, target: &str, in_force: &str, to: Option<&str>) -> Result<AdapterRecord, CliError> {
    let wanted = to.map(|digits| digits.trim_start_matches("sha256:"));
    let was_in_force = |record: &AdapterRecord| record.event != AdapterEvent::Refused && record.sha256 != in_force;
    let is_wanted = |record: &AdapterRecord| wanted.is_none_or(|digits| record.sha256.starts_with(digits));
    let history = store.adapter_history(Some(target), 1_000).await?;
    history.into_iter().find(|record| was_in_force(record) && is_wanted(record)).ok_or_else(|| {
        CliError::Failed(format!("no such adapter was in force at target `{target}`: see `host plugin history`"))
    })
}

pub(super) async fn reload(config: &Config, arguments: &Reload) -> Result<ExitCode, CliError> {
    let store = assemble::migrated_store(config).await?;
    let names: Vec<_> = match &arguments.target {
        Some(name) => vec![assemble::target_config(config, name)?.name.as_str()],
        None => config.enabled_targets().map(|target| target.name.as_str()).collect(),
    };
    for name in names {
        store.request_reload(name).await?;
        output::line(&format!("target {name}: its adapter's file is looked at again"));
    }
    say_who_follows(&store).await?;
    Ok(ExitCode::SUCCESS)
}

async fn say_who_follows(store: &Store) -> Result<(), CliError> {
    if store.other_hosts("command line").await? == 0 {
        output::line("no host runs on this store: the next one that starts will do it");
    }
    Ok(())
}
