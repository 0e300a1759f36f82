//! `host target`: pauses or resumes a target, checks it now, or removes it from the store.

use std::process::ExitCode;

use super::error::CliError;
use super::trail::AuditTrail;
use super::{output, wiring};
use crate::config::Config;
use crate::domain::audit::AuditSubject;
use crate::domain::spelling;
use crate::store::Store;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Verb {
    /// Stop delivering to a target; its changes wait
    Pause(Name),
    /// Resume deliveries to a paused target
    Resume(Name),
    /// Check a target now, also while its breaker is open
    Probe(Name),
    /// Remove a target that no host has any more
    Disable(Name),
}

#[derive(Debug, clap::Args)]
pub(super) struct Name {
    /// The target's name in the configuration
    target: String,
}

pub(super) async fn run(config: &Config, trail: &AuditTrail, verb: &Verb) -> Result<ExitCode, CliError> {
    let (Verb::Pause(Name { target })
    | Verb::Resume(Name { target })
    | Verb::Probe(Name { target })
    | Verb::Disable(Name { target })) = verb;
    trail.about(AuditSubject::default().at(Some(target)));
    let store = trail.writable_store(config).await?;
    match verb {
        Verb::Pause(_) => set_paused(config, &store, target, true).await?,
        Verb::Resume(_) => set_paused(config, &store, target, false).await?,
        Verb::Probe(_) => {
            wiring::know_target(&store, wiring::target_config(config, target)?).await?;
            store.request_probe(target).await?;
            output::line(&format!("target {target} is checked within two seconds; see `host status`"));
            report_missing_host(&store).await?;
        }
        Verb::Disable(_) => disable(&store, target).await?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn set_paused(config: &Config, store: &Store, target: &str, paused: bool) -> Result<(), CliError> {
    wiring::know_target(store, wiring::target_config(config, target)?).await?;
    store.set_paused(target, paused).await?;
    output::line(&format!("target {target} is {}", if paused { "paused" } else { "resumed" }));
    Ok(())
}

/// Removes a target. One that a running host still has would be enabled again when that host starts.
async fn disable(store: &Store, target: &str) -> Result<(), CliError> {
    let snapshot = store.status(0).await?;
    if !snapshot.targets.contains_key(target) {
        let known = snapshot.targets.keys().map(String::as_str);
        return Err(CliError::Usage(format!("the store has {}", spelling::unknown("target", target, known))));
    }
    let hosts = snapshot.hosts_with(target);
    if !hosts.is_empty() {
        return Err(CliError::Failed(format!(
            "target `{target}` is enabled on running hosts ({}): set `enabled = false` there, or pause it",
            hosts.join(", ")
        )));
    }
    store.disable_target(target).await?;
    output::line(&format!(
        "target {target} is disabled: no more deliveries are made for it until a host that has it starts"
    ));
    Ok(())
}

async fn report_missing_host(store: &Store) -> Result<(), CliError> {
    if store.running_hosts().await?.is_empty() {
        output::line("no host runs on this store; the next one that starts checks it");
    }
    Ok(())
}
