//! `host status`: what waits, what is done, what is wrong.

use std::process::ExitCode;
use std::time::Duration;

use anstyle::AnsiColor;
use serde_json::{Map, Value, json};

use super::error::CliError;
use super::output::{age, line, paint};
use super::{assemble, output};
use crate::config::Config;
use crate::domain::delivery::Status;
use crate::store::{BlockedKey, Counts, RecentSync, StatusSnapshot, TargetStatus};
use crate::sync::Difference;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// One JSON object instead of text
    #[arg(long)]
    json: bool,
    /// Show it again and again, until interrupted
    #[arg(long)]
    watch: bool,
    /// With --watch, how often, in seconds
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=3_600), requires = "watch")]
    every: u64,
    /// How many recent deliveries to show
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(0..=1_000))]
    recent: u32,
}

pub(super) async fn run(config: &Config, arguments: &Arguments) -> Result<ExitCode, CliError> {
    let store = assemble::migrated_store(config).await?;
    loop {
        let snapshot = with_configured(store.status(arguments.recent).await?, config);
        let troubles = Troubles {
            conflicts: store.count_conflicts().await?,
            blocked: store.blocked_keys(&assemble::fifo_types(config), BLOCKED_MAX).await?,
        };
        if arguments.json {
            output::json(&as_json(&snapshot, &troubles));
        } else {
            show(&snapshot, &troubles);
        }
        if !arguments.watch {
            return Ok(ExitCode::SUCCESS);
        }
        tokio::time::sleep(Duration::from_secs(arguments.every)).await;
        if !arguments.json {
            line("");
        }
    }
}

/// Configured targets that no host has registered yet are shown as well; nothing is written.
fn with_configured(mut snapshot: StatusSnapshot, config: &Config) -> StatusSnapshot {
    for target in config.targets.values() {
        let new = || TargetStatus {
            enabled: target.enabled,
            state: "unknown".to_owned(),
            breaker: "closed".to_owned(),
            ..TargetStatus::default()
        };
        snapshot.targets.entry(target.name.as_str().to_owned()).or_insert_with(new);
    }
    snapshot
}

/// Where the running hosts differ from each other and from the store.
fn differences(snapshot: &StatusSnapshot) -> Vec<Difference> {
    let enabled = snapshot.targets.iter().filter(|(_, target)| target.enabled).map(|(name, _)| name.as_str());
    crate::sync::differences(&snapshot.hosts, enabled)
}

/// How many blocked keys are shown; more say nothing more.
const BLOCKED_MAX: u32 = 20;

/// What waits for a person.
struct Troubles {
    conflicts: u64,
    blocked: Vec<BlockedKey>,
}

fn show(snapshot: &StatusSnapshot, troubles: &Troubles) {
    let totals = snapshot.totals();
    line("[Outbox Status]");
    line(&format!("   Pending: {}", totals.pending + snapshot.unrouted));
    line(&format!("   Processing: {}", totals.processing));
    line(&format!("   Done: {}", totals.done));
    line(&format!("   Failed: {}", totals.failed));
    if totals.superseded > 0 {
        line(&format!("   Superseded: {}", totals.superseded));
    }
    if snapshot.unrouted > 0 {
        let about = if snapshot.unrouted_is_estimate { "about " } else { "" };
        let oldest = snapshot.oldest_unrouted_ms.map(|ms| format!(", oldest {}", age(ms))).unwrap_or_default();
        let what = format!("{about}{} of the pending are not routed to their targets yet{oldest}", snapshot.unrouted);
        line(&format!("   ({what})"));
    }
    if troubles.conflicts > 0 {
        let what = format!("{} of the failed are conflicts: decide them with `host conflicts`", troubles.conflicts);
        line(&format!("   {}", paint(AnsiColor::Yellow, &what)));
    }
    if snapshot.hosts.is_empty() {
        let waiting = totals.pending + snapshot.unrouted;
        let hint = if waiting > 0 { ": what is pending waits until one does (start `host run`)" } else { "" };
        line(&format!("   {}", paint(AnsiColor::Yellow, &format!("No host runs on this store{hint}"))));
    }
    line("");
    line("[Targets]");
    if snapshot.targets.is_empty() {
        line("   none configured");
    }
    let differences = differences(snapshot);
    for (name, target) in &snapshot.targets {
        show_target(name, target);
        for difference in differences.iter().filter(|difference| difference.target() == name) {
            line(&format!("      {}", paint(AnsiColor::Yellow, &difference.to_string())));
        }
    }
    show_blocked(&troubles.blocked);
    line("");
    line("[Recent Syncs]");
    if snapshot.recent.is_empty() {
        line("   none yet");
    }
    let several = snapshot.targets.len() > 1;
    for recent in &snapshot.recent {
        let place = if several { format!(" [{}]", recent.target) } else { String::new() };
        line(&format!("   {}{place}: {}", recent.aggregate_id, outcome(recent, snapshot)));
    }
}

fn show_target(name: &str, target: &TargetStatus) {
    let state = state(target);
    let colour = match state {
        "up" => AnsiColor::Green,
        "down" => AnsiColor::Red,
        _ => AnsiColor::Yellow,
    };
    let adapter = match (&target.adapter_name, &target.adapter_version, &target.adapter_sha256) {
        (Some(name), Some(version), Some(sha256)) => format!(" ({name} {version}, sha256:{}...)", prefix(sha256)),
        _ => String::new(),
    };
    let oldest = age(target.oldest_pending_ms.unwrap_or(0));
    let counts = &target.counts;
    let failed = if counts.failed > 0 { format!("  failed {}", counts.failed) } else { String::new() };
    line(&format!("   {name}: {}{adapter}  pending {}, oldest {oldest}{failed}", paint(colour, state), counts.pending));
    if let Some(summary) = &target.summary {
        line(&format!("      found: {summary}"));
    }
    if let Some(error) = &target.error_message {
        line(&format!("      {error}"));
    }
    if target.breaker != "closed" {
        let again =
            target.breaker_ms.filter(|millis| *millis > 0).map(|millis| format!(", next try in {}", age(millis)));
        line(&format!("      breaker {}{}", target.breaker, again.unwrap_or_default()));
    }
}

fn show_blocked(blocked: &[BlockedKey]) {
    if blocked.is_empty() {
        return;
    }
    line("");
    line("[Blocked]");
    for key in blocked {
        let BlockedKey { target, aggregate_type, aggregate_id, change_id, waiting, .. } = key;
        let error = key.error.as_deref().unwrap_or("no reason given");
        line(&format!(
            "   {aggregate_type} {aggregate_id} [{target}]: {waiting} wait behind change {change_id}, which failed: {error}"
        ));
    }
}

fn prefix(sha256: &str) -> &str {
    sha256.get(..4).unwrap_or(sha256)
}

fn state(target: &TargetStatus) -> &str {
    if !target.enabled {
        "disabled"
    } else if target.paused {
        "paused"
    } else if target.state == "unknown" {
        "not looked at yet"
    } else {
        &target.state
    }
}

/// A pending delivery of a target that is down waits for what keeps the target down.
fn error_of<'a>(recent: &'a RecentSync, snapshot: &'a StatusSnapshot) -> Option<&'a str> {
    match recent.status {
        Status::Pending => snapshot
            .targets
            .get(&recent.target)
            .and_then(|target| target.error_message.as_deref())
            .or(recent.error_message.as_deref()),
        Status::Failed => recent.error_message.as_deref(),
        Status::Processing | Status::Done | Status::Superseded => None,
    }
}

fn outcome(recent: &RecentSync, snapshot: &StatusSnapshot) -> String {
    let error = error_of(recent, snapshot).map(|error| format!(": {error}")).unwrap_or_default();
    match recent.status {
        Status::Done => {
            let id = recent.remote_id.as_deref().map(|id| format!(" (ID: {id})")).unwrap_or_default();
            format!("{}{id}", paint(AnsiColor::Green, "Synced"))
        }
        Status::Failed => format!("{}{error}", paint(AnsiColor::Red, "Failed")),
        Status::Pending => format!("{}{error}", paint(AnsiColor::Yellow, "Pending")),
        Status::Processing => "Processing".to_owned(),
        Status::Superseded => "Superseded".to_owned(),
    }
}

fn counts_json(counts: &Counts) -> Map<String, Value> {
    match serde_json::to_value(counts) {
        Ok(Value::Object(map)) => map,
        _ => Map::new(),
    }
}

fn as_json(snapshot: &StatusSnapshot, troubles: &Troubles) -> Value {
    let targets: Map<String, Value> = snapshot
        .targets
        .iter()
        .map(|(name, target)| (name.clone(), target_json(target, snapshot.hosts_with(name).len())))
        .collect();
    let recent: Vec<_> = snapshot
        .recent
        .iter()
        .map(|recent| {
            json!({
                "patient_id": recent.aggregate_id,
                "aggregate_type": recent.aggregate_type,
                "target": recent.target,
                "status": recent.status,
                "remote_id": recent.remote_id,
                "attempts": recent.attempts,
                "error_kind": recent.error_kind,
                "error": error_of(recent, snapshot),
                "finished_at": recent.finished_at,
            })
        })
        .collect();
    json!({
        "totals": counts_json(&snapshot.totals()),
        "unrouted": snapshot.unrouted,
        "unrouted_is_estimate": snapshot.unrouted_is_estimate,
        "oldest_unrouted_ms": snapshot.oldest_unrouted_ms,
        "hosts_running": snapshot.hosts.len(),
        "host_differences": differences(snapshot).iter().map(ToString::to_string).collect::<Vec<_>>(),
        "targets": targets,
        "conflicts": troubles.conflicts,
        "blocked": troubles.blocked,
        "recent": recent,
    })
}

fn target_json(target: &TargetStatus, hosts: usize) -> Value {
    let mut object = counts_json(&target.counts);
    let adapter = target
        .adapter_sha256
        .as_ref()
        .map(|sha256| json!({"name": target.adapter_name, "version": target.adapter_version, "sha256": sha256}));
    let facts = json!({
        "state": if target.enabled && target.paused { "paused" } else { target.state.as_str() },
        "enabled": target.enabled,
        "hosts": hosts,
        "breaker": target.breaker,
        "adapter": adapter,
        "summary": target.summary,
        "oldest_pending_ms": target.oldest_pending_ms,
        "error_kind": target.error_kind,
        "error": target.error_message,
    });
    if let Value::Object(facts) = facts {
        object.extend(facts);
    }
    Value::Object(object)
}
