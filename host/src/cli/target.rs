//! `host target`: pauses or resumes a target, checks it now, or removes it from the store.

use std::process::ExitCode;

use super::error::CliError;
use super::output::time;
use super::trail::AuditTrail;
use super::{output, since, wiring};
use crate::config::Config;
use crate::domain::audit::AuditSubject;
use crate::domain::spelling;
use crate::store::Store;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Verb {
    /// Stop delivering to a target; its changes wait
    Pause(Pause),
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

#[derive(Debug, clap::Args)]
pub(super) struct Pause {
    #[command(flatten)]
    name: Name,
    /// Resume by itself at this time, by the store's clock
    #[arg(long, value_name = "TIME", value_parser = since::until, conflicts_with = "duration")]
    until: Option<i64>,
    /// Resume by itself after this long, for example 8h
    #[arg(long = "for", value_name = "DURATION", value_parser = since::duration)]
    duration: Option<i64>,
}

pub(super) async fn run(config: &Config, trail: &AuditTrail, verb: &Verb) -> Result<ExitCode, CliError> {
    let (Verb::Pause(Pause { name: Name { target }, .. })
    | Verb::Resume(Name { target })
    | Verb::Probe(Name { target })
    | Verb::Disable(Name { target })) = verb;
    trail.about(AuditSubject::default().at(Some(target)));
    let store = trail.writable_store(config).await?;
    match verb {
        Verb::Pause(arguments) => pause(config, trail, &store, arguments).await?,
        Verb::Resume(_) => {
            wiring::know_target(&store, wiring::target_config(config, target)?).await?;
            store.set_paused(target, false).await?;
            output::line(&format!("target {target} is resumed"));
        }
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

async fn pause(config: &Config, trail: &AuditTrail, store: &Store, arguments: &Pause) -> Result<(), CliError> {
    let target = &arguments.name.target;
    wiring::know_target(store, wiring::target_config(config, target)?).await?;
    let now = store.now_ms().await?;
    let Some(until) = arguments.until.or_else(|| arguments.duration.map(|millis| now + millis)) else {
        store.set_paused(target, true).await?;
        output::line(&format!("target {target} is paused"));
        return Ok(());
    };
    let end = format!("until {}", time(until));
    if until <= now {
        return Err(CliError::Usage(format!(
            "cannot pause {target} {end}: by the store's clock it is {} already; fix: give a later time, or a duration \
             with --for",
            time(now)
        )));
    }
    trail.about(AuditSubject::default().at(Some(target)).with_detail(&end));
    trail.audited(store).pause_until(target, until).await?;
    output::line(&format!("target {target} is paused {end}"));
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
