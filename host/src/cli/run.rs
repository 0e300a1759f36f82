//! `host run`: the daemon.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::alerting::Alerters;
use super::error::CliError;
use super::monitoring::Exporting;
use super::output::printable;
use super::reload::Reloader;
use super::{exit, monitoring, output, permissions, signals, wiring};
use crate::config::Config;
use crate::store::BlockedKey;
use crate::sync::{Breakdown, Daemon, RunEnd, Settings};
use crate::target::Target;
use crate::telemetry::{self, Meters};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Exit when nothing can be delivered; 1 if some is left
    #[arg(long)]
    until_idle: bool,
}

pub(super) async fn run(config: &Config, arguments: &Arguments) -> Result<ExitCode, CliError> {
    for warning in permissions::warnings(config) {
        tracing::warn!(warning, "others can write to files that this host relies on");
    }
    let store = wiring::migrated_store(config).await?;
    let runtime = wiring::runtime(config)?;
    let targets =
        config.enabled_targets().map(|target| wiring::target(target).map(Arc::new)).collect::<Result<Vec<_>, _>>()?;
    if targets.is_empty() && arguments.until_idle {
        return Err(CliError::Config(format!(
            "no target is enabled in {}, so that this host can deliver nothing; fix: set `enabled = true` at a target",
            config.path.display()
        )));
    }
    if targets.is_empty() {
        tracing::warn!("no target is enabled: changes wait in the outbox until one is");
    }
    let names: Vec<_> = targets.iter().map(|target: &Arc<Target>| target.spec.name.as_str()).collect();
    tracing::info!(store = %store.database().locator().location(), targets = names.join(", "), "host started");
    let (stop, abort) = (CancellationToken::new(), CancellationToken::new());
    let (settings, current) = watch::channel(Arc::new(Settings::new(wiring::sync_options(config), targets.clone())));
    signals::on_stop(obey_signals(stop.clone(), abort.clone(), current.clone()))
        .map_err(|error| CliError::Failed(format!("cannot listen for signals: {error}")))?;
    tokio::spawn(bound_the_end(stop.clone(), current.clone()));
    let meters = Arc::new(Meters::new(Some(store.clone())));
    monitoring::listen(config, &store, &meters, &abort).await;
    tokio::spawn(telemetry::report(meters.health().clone()));
    let exporting = Exporting::start(&meters)?;
    let started = Instant::now();
    let host = wiring::host_id();
    let (alerters, alerting) = Alerters::begin(config, (&store, &meters), &targets, &host, stop.clone())?;
    let reloads = tokio::spawn(Reloader::new(config, settings, meters.clone(), alerters).obey_hangups());
    let daemon = Daemon::new(store.clone(), runtime, host, current).with_meters(meters).with_task("alerter", alerting);
    let end = daemon.run(stop, abort, arguments.until_idle).await;
    reloads.abort();
    exporting.end().await;
    store.database().close().await;
    let end = end?;
    show(&end, started);
    exit_code(&end)
}

fn exit_code(end: &RunEnd) -> Result<ExitCode, CliError> {
    match &end.broken {
        Some(Breakdown::Task(death)) => return Err(CliError::Failed(death.to_string())),
        Some(Breakdown::Store(message)) => {
            return Err(CliError::Database(format!("cannot write to the store: {message}")));
        }
        None => {}
    }
    let left = end.remaining.as_ref().is_some_and(|remaining| remaining.open > 0);
    Ok(if left { ExitCode::from(1) } else { ExitCode::SUCCESS })
}

/// The first signal requests an orderly shutdown, the second one aborts running calls. Both have a time limit.
fn obey_signals(
    stop: CancellationToken,
    abort: CancellationToken,
    settings: watch::Receiver<Arc<Settings>>,
) -> impl FnMut(u32) + Send + 'static {
    move |number| {
        // Act before logging: a blocked log must not keep a host from stopping.
        if number == 1 {
            stop.cancel();
            exit::end_within(drain(&settings) + exit::MARGIN);
            tracing::info!("shutdown requested; running calls may finish");
        } else if !abort.is_cancelled() {
            abort.cancel();
            exit::end_within(exit::AT_ONCE);
            tracing::warn!("shutdown requested again; running calls aborted");
        }
    }
}

/// Applies the same time limit to a shutdown without a signal.
async fn bound_the_end(stop: CancellationToken, settings: watch::Receiver<Arc<Settings>>) {
    stop.cancelled().await;
    exit::end_within(drain(&settings) + exit::MARGIN);
}

fn drain(settings: &watch::Receiver<Arc<Settings>>) -> Duration {
    Duration::from_millis(settings.borrow().options.drain_ms)
}

fn show(end: &RunEnd, started: Instant) {
    let seconds = started.elapsed().as_secs_f64();
    output::line(&format!("[Run Summary] {seconds:.1} s"));
    for (name, tally) in &end.summary.targets {
        let also = |count: u64, label: &str| if count > 0 { format!(", {count} {label}") } else { String::new() };
        output::line(&format!(
            "   {name}: {} delivered, {} failed{}{}{}",
            tally.delivered,
            tally.failed,
            also(tally.skipped, "skipped"),
            also(tally.deferred, "to be tried again"),
            also(tally.leases_lost, "batches lost to another host"),
        ));
    }
    if let Some(remaining) = &end.remaining
        && remaining.open > 0
    {
        output::line(&format!("   {} still open", remaining.open));
        for (name, reason) in hold_ups(&remaining.held_up) {
            output::line(&format!("   {name}: {reason}"));
        }
        show_blocked(&remaining.blocked);
    }
}

/// Prints the blocked aggregates, which only an operator can unblock.
fn show_blocked(blocked: &[BlockedKey]) {
    for BlockedKey { target, key, change_id, waiting, .. } in blocked {
        let key = printable(&key.to_string());
        output::line(&format!("   {target}: {waiting} of {key} wait behind change {change_id}, which failed"));
    }
    if !blocked.is_empty() {
        output::line(
            "   fix: `host failed list`, then `host retry` or `host failed dismiss --change NUMBER --reason TEXT`",
        );
    }
}

fn hold_ups(held_up: &BTreeMap<String, String>) -> impl Iterator<Item = (&str, &str)> {
    held_up.iter().map(|(name, reason)| (name.as_str(), reason.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::TaskDeath;

    #[test]
    fn a_dead_task_ends_the_command_with_an_error_that_names_it() {
        let death = TaskDeath { task: "router".to_owned(), panicked: true };
        let end = RunEnd { broken: Some(Breakdown::Task(death)), ..RunEnd::default() };
        let error = exit_code(&end).expect_err("an error");
        assert_eq!(error.exit_code(), 1);
        assert!(error.to_string().contains("the task `router` panicked"), "{error}");
    }

    #[test]
    fn a_store_that_cannot_be_written_is_a_database_error() {
        let end = RunEnd { broken: Some(Breakdown::Store("the disk is full".to_owned())), ..RunEnd::default() };
        assert_eq!(exit_code(&end).expect_err("an error").exit_code(), 4);
        assert!(exit_code(&RunEnd::default()).is_ok());
    }
}
