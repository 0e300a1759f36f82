//! `host status`: shows pending, finished and failed deliveries, targets, and what needs attention.

use std::process::ExitCode;
use std::time::Duration;

use anstyle::AnsiColor;
use serde_json::json;

use super::aggregate::{AggregateArguments, require_known};
use super::error::CliError;
use super::output::{age, line, moment, paint, printable, time};
use super::status_check::CheckArguments;
use super::status_summary::{AttentionSummary, clock_trouble, describe, differences, error_of, read_status};
use super::trail::AuditTrail;
use super::verify::sentence;
use super::{alerts, output, status_check, status_json, waiting, wiring};
use crate::config::Config;
use crate::domain::audit::AuditSubject;
use crate::domain::delivery::Status;
use crate::domain::ids::AggregateKey;
use crate::store::{BlockedKey, RecentSync, StatusSnapshot, TargetStatus};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// Repeat until interrupted
    #[arg(long)]
    watch: bool,
    /// Repeat after this many seconds, with --watch
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=3_600), requires = "watch")]
    every: u64,
    /// Show this many recent deliveries
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(0..=1_000))]
    recent: u32,
    #[command(flatten)]
    aggregate: AggregateArguments,
    #[command(flatten)]
    check: CheckArguments,
}

impl Arguments {
    /// Whether it shows the deliveries of one aggregate.
    pub(super) fn is_of_one(&self) -> bool {
        self.aggregate.key().is_some()
    }
}

pub(super) async fn run(config: &Config, trail: &AuditTrail, arguments: &Arguments) -> Result<ExitCode, CliError> {
    if arguments.check.is_wanted() {
        return Ok(status_check::run(config, &arguments.check).await);
    }
    let aggregate = arguments.aggregate.key();
    trail.about(AuditSubject::of(aggregate.as_ref()));
    let store = wiring::readable_store(config).await?;
    require_known(config, &store, aggregate.as_ref()).await?;
    let mut was_shown = false;
    loop {
        let status = read_status(config, &store, arguments.recent, aggregate.as_ref()).await;
        if let (Ok((snapshot, _)), false) = (&status, was_shown) {
            trail.shown(&store, "delivery", snapshot.recent.len()).await?;
        }
        if arguments.watch && !arguments.json {
            begin_screen(arguments.every, was_shown);
        }
        match status {
            Ok((snapshot, attention)) if arguments.json => output::json(&status_json::as_json(&snapshot, &attention)),
            Ok((snapshot, attention)) => show(&snapshot, &attention),
            // A store that is unreachable for a moment must not end the watch.
            Err(error) if was_shown && arguments.json => output::json(&json!({ "error": error.to_string() })),
            Err(error) if was_shown => line(&paint(AnsiColor::Red, &format!("{error}; trying again"))),
            Err(error) => return Err(error.into()),
        }
        was_shown = true;
        if !arguments.watch || output::reader_is_gone() {
            return Ok(ExitCode::SUCCESS);
        }
        tokio::time::sleep(Duration::from_secs(arguments.every)).await;
    }
}

/// Clears a terminal, or separates two outputs otherwise, and prints the time.
fn begin_screen(every: u64, was_shown: bool) {
    if !output::clear_screen() && was_shown {
        line("");
    }
    let now = time(jiff::Timestamp::now().as_millisecond());
    line(&format!("host status, {now}, every {every} s; Ctrl-C ends it"));
    line("");
}

fn show(snapshot: &StatusSnapshot, attention: &AttentionSummary) {
    let totals = snapshot.totals();
    line("[Outbox Status]");
    line(&format!("   Pending: {}", totals.pending + snapshot.unrouted));
    line(&format!("   Processing: {}", totals.processing));
    line(&format!("   Done: {}", totals.done));
    line(&format!("   Failed: {}", totals.failed));
    if totals.superseded > 0 {
        line(&format!("   Superseded: {}", totals.superseded));
    }
    if totals.dismissed > 0 {
        line(&format!("   Dismissed: {}", totals.dismissed));
    }
    if totals.skipped > 0 {
        line(&format!("   Skipped: {}; see `host failed list --skipped`", totals.skipped));
    }
    if snapshot.unrouted > 0 {
        let about = if snapshot.unrouted_is_estimate { "about " } else { "" };
        let oldest = snapshot.oldest_unrouted_ms.map(|ms| format!(", oldest {}", age(ms))).unwrap_or_default();
        let text = format!("{about}{} pending changes are not routed to targets yet{oldest}", snapshot.unrouted);
        line(&format!("   ({text})"));
    }
    if attention.conflicts > 0 {
        let text = format!("{} of the failed are conflicts; see `host conflicts`", attention.conflicts);
        line(&format!("   {}", paint(AnsiColor::Yellow, &text)));
    }
    if snapshot.hosts.is_empty() {
        let waiting = totals.pending + snapshot.unrouted;
        let hint = if waiting > 0 { "; fix: start `host run` to deliver pending changes" } else { "" };
        line(&format!("   {}", paint(AnsiColor::Yellow, &format!("No host runs on this store{hint}"))));
    }
    show_store_attention(attention);
    show_alerts(attention);
    line("");
    line("[Targets]");
    if snapshot.targets.is_empty() {
        line("   none configured");
    }
    let differences = differences(snapshot);
    for (name, target) in &snapshot.targets {
        show_target(name, target, snapshot, attention.now);
        for difference in differences.iter().filter(|difference| difference.target() == name) {
            line(&format!("      {}", paint(AnsiColor::Yellow, &difference.to_string())));
        }
    }
    show_blocked(&attention.blocked);
    show_waiting(snapshot, attention);
    line("");
    line("[Recent Syncs]");
    if snapshot.recent.is_empty() {
        line("   none yet");
    }
    let several = snapshot.targets.len() > 1;
    for recent in &snapshot.recent {
        let place = if several { format!(" [{}]", recent.target) } else { String::new() };
        let at = recent.finished_at.map(|at| format!(", {} ago", age(attention.now - at))).unwrap_or_default();
        line(&format!("   {}{place}: {}{at}", printable(&recent.key.aggregate_id), outcome(recent, snapshot)));
    }
}

fn show_store_attention(attention: &AttentionSummary) {
    let mut lines = Vec::new();
    lines.extend(attention.write_trouble.as_ref().map(|trouble| format!("cannot write to the store: {trouble}")));
    lines.extend(clock_trouble(attention.clock));
    lines.extend(
        attention.notices.iter().map(|notice| describe(notice, &attention.types, Some(attention.now - notice.last_at))),
    );
    if lines.is_empty() {
        return;
    }
    line("");
    line("[Attention]");
    for text in lines {
        line(&format!("   {}", paint(AnsiColor::Yellow, &text)));
    }
}

fn show_alerts(attention: &AttentionSummary) {
    if attention.alerts.is_empty() {
        return;
    }
    line("");
    line("[Alerts]");
    for alert in attention.alerts.iter().rev() {
        line(&format!("   {}", paint(AnsiColor::Yellow, &alerts::describe(alert, attention.now))));
    }
}

fn show_target(name: &str, target: &TargetStatus, snapshot: &StatusSnapshot, now: i64) {
    let state = state(target);
    let colour = match state {
        "up" => AnsiColor::Green,
        "down" => AnsiColor::Red,
        _ => AnsiColor::Yellow,
    };
    let until = target.paused_until.filter(|_| state == "paused");
    let until = until.map(|at| format!(" until {}", moment(at, now))).unwrap_or_default();
    let adapter = match (&target.adapter_name, &target.adapter_version, &target.adapter_sha256) {
        (Some(name), Some(version), Some(sha256)) => format!(" ({name} {version}, sha256:{}...)", prefix(sha256)),
        _ => String::new(),
    };
    let oldest = age(target.oldest_pending_ms.unwrap_or(0));
    let counts = &target.counts;
    let left = time_left(target, state == "up" && !snapshot.hosts_with(name).is_empty());
    let failed = if counts.failed > 0 { format!("  failed {}", counts.failed) } else { String::new() };
    let state = paint(colour, state);
    line(&format!("   {name}: {state}{until}{adapter}  pending {}, oldest {oldest}{left}{failed}", counts.pending));
    if let Some(millis) = target.last_delivery_ms {
        line(&format!("      last delivery {} ago", age(millis)));
    }
    if let Some(summary) = &target.summary {
        line(&format!("      found: {summary}"));
    }
    if let Some(verification) = &target.verified {
        line(&format!("      {}", sentence(name, verification)));
    }
    if let Some(held) = &target.held {
        let text = format!(
            "held: {} {} sha256:{}... writes something else: {}; `host plugin accept --target {name}` activates it",
            held.name,
            held.version,
            prefix(&held.sha256),
            held.differences
        );
        line(&format!("      {}", paint(AnsiColor::Yellow, &text)));
    }
    if let Some(error) = &target.error_message {
        let since = target.error_ms.map(|millis| format!(" (since {})", age(millis))).unwrap_or_default();
        line(&format!("      {error}{since}"));
    }
    if target.breaker != "closed" {
        let again =
            target.breaker_ms.filter(|millis| *millis > 0).map(|millis| format!(", next try in {}", age(millis)));
        line(&format!("      breaker {}{}", target.breaker, again.unwrap_or_default()));
    }
}

/// How long what is left takes, by the rate of the last attempts that worked.
fn time_left(target: &TargetStatus, delivers: bool) -> String {
    match target.estimate_ms {
        Some(0) => String::new(),
        _ if !target.enabled => String::new(),
        Some(millis) => {
            let later = if delivers { "" } else { " once it delivers" };
            format!(", about {} to go{later}", age(millis.max(1_000)))
        }
        None if target.counts.pending > target.waiting => ", time to go unknown".to_owned(),
        None => String::new(),
    }
}

fn show_blocked(blocked: &[BlockedKey]) {
    if blocked.is_empty() {
        return;
    }
    line("");
    line("[Blocked]");
    for one in blocked {
        let BlockedKey { target, key, change_id, waiting, .. } = one;
        let AggregateKey { aggregate_type, aggregate_id } = key;
        let error = one.error.as_deref().unwrap_or("no reason given");
        line(&format!(
            "   {aggregate_type} {aggregate_id} [{target}]: {waiting} wait behind failed change {change_id}: {error}"
        ));
    }
}

fn show_waiting(snapshot: &StatusSnapshot, attention: &AttentionSummary) {
    let count: u64 = snapshot.targets.values().map(|target| target.waiting).sum();
    if count == 0 {
        return;
    }
    line("");
    line("[Waiting]");
    for (target, one) in &attention.waiting {
        line(&format!("   {}", waiting::describe(target, one)));
    }
    let others = count.saturating_sub(attention.waiting.len() as u64);
    if others > 0 {
        line(&format!("   and {others} more; see `host waiting`"));
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
        "not checked yet"
    } else {
        &target.state
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
        Status::Dismissed => "Dismissed".to_owned(),
        Status::Skipped => format!("{}{error}", paint(AnsiColor::Yellow, "Skipped")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Counts;

    #[test]
    fn the_time_left_is_shown_while_something_is_left() {
        let target = |estimate_ms, pending, waiting| TargetStatus {
            enabled: true,
            estimate_ms,
            waiting,
            counts: Counts { pending, ..Counts::default() },
            ..TargetStatus::default()
        };
        for (target, delivers, expected) in [
            (target(Some(0), 0, 0), true, ""),
            (target(Some(250_000), 9, 0), true, ", about 4 min to go"),
            (target(Some(12), 9, 0), true, ", about 1 s to go"),
            (target(Some(8_000), 9, 0), false, ", about 8 s to go once it delivers"),
            (target(None, 9, 0), true, ", time to go unknown"),
            (target(None, 9, 9), true, ""),
            (TargetStatus { enabled: false, ..target(None, 9, 0) }, false, ""),
        ] {
            assert_eq!(time_left(&target, delivers), expected, "{target:?}");
        }
    }
}
