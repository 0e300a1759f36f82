//! `host plugin accept`: an operator accepts an adapter that is held since it writes something else.
//!
//! It writes the decision to the store, about exactly one digest. Running hosts activate the adapter within seconds.

use std::process::ExitCode;

use super::rollback::report_followers;
use crate::cli::error::CliError;
use crate::cli::trail::AuditTrail;
use crate::cli::{output, wiring};
use crate::config::Config;
use crate::domain::audit::AuditSubject;
use crate::domain::effect_difference::EffectDifferences;
use crate::store::{AdapterEvent, HeldAdapter};

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Arguments {
    /// Accept the held adapter of this target
    #[arg(long)]
    target: String,
    /// Accept it only if its digest begins like this
    #[arg(long, value_name = "SHA256")]
    sha256: Option<String>,
}

pub(super) async fn run(config: &Config, trail: &AuditTrail, arguments: &Arguments) -> Result<ExitCode, CliError> {
    let subject = AuditSubject::default().at(Some(&arguments.target));
    trail.about(subject.clone());
    let target = &wiring::target_config(config, &arguments.target)?.name;
    let store = trail.writable_store(config).await?;
    let held = store.held_adapter(target.as_str()).await?.filter(|held| held.accepted_at.is_none());
    let Some(held) = held else {
        return Err(CliError::Failed(format!(
            "no adapter is held at target `{target}`; `host plugin history` shows what became of its adapters"
        )));
    };
    if let Some(wanted) = &arguments.sha256
        && (wanted.is_empty() || !held.sha256.starts_with(wanted.trim_start_matches("sha256:")))
    {
        return Err(CliError::Failed(format!(
            "the adapter that is held at target `{target}` is another one: sha256:{}",
            held.sha256
        )));
    }
    trail.about(subject.with_detail(&format!("sha256:{}", held.sha256)));
    let event = AdapterEvent {
        target,
        name: &held.name,
        version: &held.version,
        sha256: &held.sha256,
        reason: Some("by an operator"),
        host: "command line",
    };
    if !trail.audited(&store).accept_adapter(&event).await? {
        return Err(CliError::Failed("the adapter is no longer held; fix: see `host plugin history`".to_owned()));
    }
    let HeldAdapter { name, version, sha256, .. } = &held;
    output::line(&format!("target {target} accepts {name} {version} sha256:{sha256}"));
    for line in difference_lines(&held.differences) {
        output::line(&line);
    }
    report_followers(&store).await?;
    Ok(ExitCode::SUCCESS)
}

/// In what an adapter differs: a line for each difference, and one for its template.
pub(in crate::cli) fn difference_lines(differences: &EffectDifferences) -> Vec<String> {
    let mut lines = Vec::new();
    for difference in differences.list() {
        lines.push(format!("   {difference}"));
        lines.extend(difference.template.iter().map(|template| format!("      {template}")));
    }
    if differences.others() > 0 {
        lines.push(format!("   and {} more", differences.others()));
    }
    lines
}
