//! `host conflicts`: lists conflicts with a target's own state, and records an operator's decision.

use std::process::ExitCode;

use serde_json::json;

use super::aggregate::{AggregateArguments, explain_none, hint};
use super::error::CliError;
use super::output::{age, line};
use super::status_summary::aggregate_types;
use super::trail::AuditTrail;
use super::{output, wiring};
use crate::config::Config;
use crate::domain::audit::AuditSubject;
use crate::domain::conflict::{Keep, Resolution};
use crate::domain::ids::AggregateKey;
use crate::domain::spelling::expected;
use crate::store::{Conflict, ConflictKey, Resolved};

#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct Arguments {
    #[command(subcommand)]
    verb: Option<Verb>,
    #[command(flatten)]
    list: List,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// List open conflicts (the default)
    List(List),
    /// Resolve a conflict
    Resolve(Resolve),
}

#[derive(Debug, clap::Args)]
struct List {
    /// Select this target only
    #[arg(long)]
    target: Option<String>,
    #[command(flatten)]
    aggregate: AggregateArguments,
    /// Show at most this many
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    limit: u32,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct Resolve {
    /// The target of the conflict
    #[arg(long)]
    target: String,
    #[command(flatten)]
    aggregate: AggregateArguments,
    /// Keep this state: local, remote, or relink
    #[arg(long, value_parser = keep)]
    keep: Keep,
    /// The target's id of the right record, for relink
    #[arg(long, value_name = "ID", required_if_eq("keep", "relink"))]
    remote_id: Option<String>,
}

fn keep(word: &str) -> Result<Keep, String> {
    Keep::from_word(word).ok_or_else(|| expected(word, Keep::WORDS))
}

impl Arguments {
    /// Whether it decides a conflict, and does not list some.
    pub(super) fn resolves(&self) -> bool {
        matches!(self.verb, Some(Verb::Resolve(_)))
    }
}

pub(super) async fn run(config: &Config, trail: &AuditTrail, arguments: &Arguments) -> Result<ExitCode, CliError> {
    match &arguments.verb {
        None => list(config, trail, &arguments.list).await,
        Some(Verb::List(list_arguments)) => list(config, trail, list_arguments).await,
        Some(Verb::Resolve(resolve_arguments)) => resolve(config, trail, resolve_arguments).await,
    }
}

async fn list(config: &Config, trail: &AuditTrail, arguments: &List) -> Result<ExitCode, CliError> {
    let aggregate = arguments.aggregate.key();
    trail.about(AuditSubject::of(aggregate.as_ref()).at(arguments.target.as_deref()));
    if let Some(target) = &arguments.target {
        wiring::target_config(config, target)?;
    }
    let store = wiring::readable_store(config).await?;
    let conflicts = store.conflicts(arguments.target.as_deref(), aggregate.as_ref(), arguments.limit).await?;
    if conflicts.is_empty() {
        explain_none(config, &store, aggregate.as_ref()).await?;
    }
    trail.shown(&store, "conflict", conflicts.len()).await?;
    if arguments.json {
        output::json(&json!({ "conflicts": conflicts }));
        return Ok(ExitCode::SUCCESS);
    }
    if conflicts.is_empty() {
        line("no conflicts");
        return Ok(ExitCode::SUCCESS);
    }
    let now = store.now_ms().await?;
    for conflict in &conflicts {
        show(conflict, now);
    }
    line("");
    line("Resolve with: host conflicts resolve --target TARGET --patient ID --keep local|remote|relink");
    if conflicts.iter().any(|conflict| !conflict.key.is_patient()) {
        line("   (--type TYPE --id ID instead of --patient ID, if it is not a patient)");
    }
    Ok(ExitCode::SUCCESS)
}

fn show(conflict: &Conflict, now: i64) {
    let Conflict { target, key, change_id, .. } = conflict;
    let linked = conflict.remote_id.as_deref().map(|id| format!(", linked to ID {id}")).unwrap_or_default();
    let since = conflict.failed_at.map(|failed| format!(", since {}", age(now - failed))).unwrap_or_default();
    line(&format!("{target}: {key} (change {change_id}{linked}{since})"));
    line(&format!("   {}", conflict.message.as_deref().unwrap_or("no reason given")));
}

async fn resolve(config: &Config, trail: &AuditTrail, arguments: &Resolve) -> Result<ExitCode, CliError> {
    let aggregate = arguments.aggregate.required()?;
    let relinked = arguments.remote_id.as_ref().map(|id| format!(" to ID {id}")).unwrap_or_default();
    let detail = format!("keep {}{relinked}", arguments.keep);
    trail.about(AuditSubject::of(Some(&aggregate)).at(Some(&arguments.target)).with_detail(&detail));
    let target = wiring::target_config(config, &arguments.target)?;
    let resolution = match (arguments.keep, &arguments.remote_id) {
        (Keep::Local, None) => Resolution::Local,
        (Keep::Remote, None) => Resolution::Remote,
        (Keep::Relink, Some(remote_id)) if target.id_column.is_none_or(|column| column.takes(remote_id)) => {
            Resolution::Relink { remote_id: remote_id.clone() }
        }
        (Keep::Relink, Some(remote_id)) => {
            return Err(CliError::Usage(format!(
                "--remote-id {remote_id} is not an id of target `{}`",
                arguments.target
            )));
        }
        (Keep::Local | Keep::Remote | Keep::Relink, _) => {
            return Err(CliError::Usage("--remote-id is for --keep relink only".to_owned()));
        }
    };
    let key = ConflictKey { target: &target.name, aggregate: &aggregate };
    let AggregateKey { aggregate_type, aggregate_id } = &aggregate;
    let store = trail.writable_store(config).await?;
    match store.resolve_conflict(key, &resolution).await? {
        Resolved::Decided => {}
        Resolved::NoConflict => {
            return Err(CliError::Failed(format!(
                "{aggregate_type} {aggregate_id} has no conflict at target `{}`{}; see `host conflicts`",
                arguments.target,
                hint(aggregate_type, &aggregate_types(config))
            )));
        }
        Resolved::TakenBy(other) => {
            return Err(CliError::Failed(format!(
                "cannot link to that record of target `{}`: it is {aggregate_type} {other}'s; fix: check the id. If both are one \
                 person, merge them in the application first",
                arguments.target
            )));
        }
    }
    tracing::info!(target_name = %key.target, aggregate_type, aggregate_id, keep = %arguments.keep, "conflict resolved");
    line(&match resolution {
        Resolution::Local => format!(
            "{aggregate_id} will be delivered to {} again; see `host conflicts` for what it comes to",
            key.target
        ),
        Resolution::Remote => format!("{aggregate_id} stays as it is at {}", key.target),
        Resolution::Relink { remote_id } => {
            format!(
                "{aggregate_id} will be delivered to ID {remote_id} at {}; see `host conflicts` for what it comes to",
                key.target
            )
        }
    });
    Ok(ExitCode::SUCCESS)
}
