//! `host plugin dry-run`: tries one aggregate's delivery at the real target without leaving anything there.
//!
//! It takes no lease, and writes no more to the store than its event of the audit. `dry_run_report.rs` formats and
//! masks the result.

use std::process::ExitCode;

use anstyle::AnsiColor;
use serde_json::json;

use super::dry_run_report::View;
use crate::cli::aggregate::{self, AggregateArguments};
use crate::cli::error::{CliError, failure_exit_code};
use crate::cli::output::{self, paint, printable};
use crate::cli::status_summary::aggregate_types;
use crate::cli::trail::AuditTrail;
use crate::cli::{signals, wiring};
use crate::config::{Config, Connection, TargetConfig};
use crate::domain::audit::AuditSubject;
use crate::domain::change::{Failure, Outcome};
use crate::domain::delivery::Status;
use crate::domain::ids::AggregateKey;
use crate::plugin::Runtime;
use crate::store::{NextState, StateSource, Store};
use crate::target::{CheckedAdapter, DryRun, DryRunEnd};

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Arguments {
    #[command(flatten)]
    aggregate: AggregateArguments,
    /// Run at this target only
    #[arg(long, value_name = "NAME")]
    target: Option<String>,
    /// Show patients' data too; credentials stay hidden
    #[arg(long)]
    reveal: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// The result of a dry run at one target.
struct Tried<'a> {
    config: &'a TargetConfig,
    next: NextState,
    adapter: String,
    /// The check's summary and the result of the dry run.
    result: Result<(String, DryRun), Failure>,
}

pub(super) async fn run(config: &Config, trail: &AuditTrail, arguments: &Arguments) -> Result<ExitCode, CliError> {
    let key = arguments.aggregate.required()?;
    trail.about(about(arguments, &key));
    let targets = targets(config, arguments.target.as_deref(), &key)?;
    let store = wiring::readable_store(config).await?;
    let runtime = wiring::runtime(config)?;
    let stop = signals::stop_token().map_err(|error| CliError::Failed(error.to_string()))?;
    let mut exit_code = 0;
    let mut said = Vec::new();
    for target in targets {
        let tried = tokio::select! {
            tried = try_at(&store, &runtime, target, &key) => tried?,
            () = stop.cancelled() => {
                return Err(CliError::Failed(format!("stopped: nothing was changed at target `{}`", target.name)));
            }
        };
        if exit_code == 0 {
            exit_code = tried.exit_code();
        }
        trail.about(about(arguments, &key).at(Some(target.name.as_str())));
        trail.shown(&store, "delivery", 1).await?;
        let view = tried.view(&key, arguments.reveal);
        if arguments.json { said.push(tried.json(&view)) } else { tried.show(&view) }
    }
    store.database().close().await;
    if arguments.json {
        output::json(&json!({
            "aggregate_type": key.aggregate_type,
            "aggregate_id": key.aggregate_id,
            "patient_id": key.is_patient().then_some(&key.aggregate_id),
            "revealed": arguments.reveal,
            "targets": said,
        }));
    }
    Ok(ExitCode::from(exit_code))
}

fn about(arguments: &Arguments, key: &AggregateKey) -> AuditSubject {
    let subject = AuditSubject::of(Some(key)).at(arguments.target.as_deref());
    if arguments.reveal { subject.with_detail("revealed") } else { subject }
}

fn targets<'a>(config: &'a Config, name: Option<&str>, key: &AggregateKey) -> Result<Vec<&'a TargetConfig>, CliError> {
    let takes = |target: &&TargetConfig| aggregate::takes(target, &key.aggregate_type);
    let Some(name) = name else {
        let all: Vec<_> = config.enabled_targets().filter(takes).collect();
        let none = || {
            let hint = aggregate::hint(&key.aggregate_type, &aggregate_types(config));
            CliError::Usage(format!("no enabled target takes `{}`{hint}", key.aggregate_type))
        };
        return if all.is_empty() { Err(none()) } else { Ok(all) };
    };
    let target = wiring::target_config(config, name)?;
    if !target.enabled {
        return Err(CliError::Usage(format!("target `{name}` is disabled; fix: set enabled = true")));
    }
    if !takes(&target) {
        return Err(aggregate::not_taken(target, &key.aggregate_type));
    }
    Ok(vec![target])
}

async fn try_at<'a>(
    store: &Store,
    runtime: &std::sync::Arc<Runtime>,
    config: &'a TargetConfig,
    key: &AggregateKey,
) -> Result<Tried<'a>, CliError> {
    let next = store.next_state(&config.name, key).await?;
    let next = next.ok_or_else(|| aggregate::unknown(key, &[]))?;
    let target = wiring::target(config)?;
    let adapter = runtime.load(&config.adapter, target.world()).await?;
    let name = format!("{} {}", adapter.descriptor().name, adapter.descriptor().version);
    let result = async {
        let report = target.check(&adapter).await?;
        let checked = CheckedAdapter::new(adapter, report.state);
        if let Ok(Some(learned)) = store.learned(config.name.as_str(), checked.basis()).await {
            checked.remember(learned.revision, learned.bytes);
        }
        let dry_run = target.dry_run(&checked, &next.change).await?;
        Ok((report.summary, dry_run))
    };
    let result = result.await;
    target.close().await;
    Ok(Tried { config, next, adapter: name, result })
}

impl Tried<'_> {
    fn view<'a>(&'a self, key: &'a AggregateKey, reveal: bool) -> View<'a> {
        let base_url = match &self.config.connection {
            Connection::Http(http) => Some(http.base_url_text()),
            Connection::Database(_) => None,
        };
        View { reveal, aggregate_id: &key.aggregate_id, base_url }
    }

    fn failure(&self) -> Option<&Failure> {
        match &self.result {
            Err(failure) | Ok((_, DryRun { outcome: Some(Outcome::Failed(failure)), .. })) => Some(failure),
            Ok(_) => None,
        }
    }

    fn exit_code(&self) -> u8 {
        self.failure().map_or(0, |failure| failure_exit_code(failure.kind))
    }

    fn show(&self, view: &View<'_>) {
        let key = printable(&self.next.change.key.to_string());
        output::line(&format!("[DRY RUN] {key} at {}, by {}", self.config.name, self.adapter));
        output::line(&format!("   {}", self.state_tried()));
        output::line(&match &self.next.change.link {
            Some(link) => format!("   linked to ID {}", printable(&link.remote_id)),
            None => "   not linked yet".to_owned(),
        });
        if let Ok((found, dry_run)) = &self.result {
            output::line(&format!("   found: {found}"));
            for (index, exchange) in dry_run.entries.iter().enumerate() {
                view.lines(index + 1, exchange).iter().for_each(|line| output::line(line));
            }
            output::line(&format!("{} {}", paint(AnsiColor::Green, "[NOTHING WRITTEN]"), trace(dry_run.end)));
            match &dry_run.outcome {
                Some(Outcome::Applied(receipt)) if receipt.remote_id.is_empty() => {
                    output::line("[ANSWER] applied: the target never had it");
                }
                Some(Outcome::Applied(receipt)) => output::line(&format!("[ANSWER] applied: ID {}", receipt.remote_id)),
                Some(Outcome::Skipped(reason)) => output::line(&format!("[ANSWER] skipped: {reason}")),
                Some(Outcome::Failed(_)) => {}
                None => {
                    output::line("[ANSWER] unknown: nothing was written, so the target gave no answer");
                }
            }
        }
        if let Some(failure) = self.failure() {
            let word = paint(AnsiColor::Red, "[FAILED]");
            output::line(&format!("{word} {}: {}", failure.kind.as_str(), failure.message));
        }
    }

    /// Describes the state that the dry run delivered.
    fn state_tried(&self) -> String {
        let NextState { change, source, status } = &self.next;
        let (id, operation) = (change.change_id, change.operation.as_str());
        let status = status.map_or("not routed yet", Status::as_str);
        match source {
            StateSource::Waiting => format!("change {id}: {operation}, {status}, attempt {}", change.attempt),
            StateSource::Current => "the current state; no change is pending for this target".to_owned(),
            StateSource::Last => format!("change {id}: {operation}, the last one known"),
        }
    }

    fn json(&self, view: &View<'_>) -> serde_json::Value {
        let NextState { change, source, status } = &self.next;
        let dry_run = self.result.as_ref().ok();
        let exchanges: Vec<_> =
            dry_run.iter().flat_map(|(_, dry_run)| &dry_run.entries).map(|exchange| view.json(exchange)).collect();
        let applied = dry_run.and_then(|(_, dry_run)| match &dry_run.outcome {
            Some(Outcome::Applied(receipt)) => Some(json!({
                "remote_id": receipt.remote_id,
                "remote_version": receipt.remote_version,
            })),
            _ => None,
        });
        let skipped = dry_run.and_then(|(_, dry_run)| match &dry_run.outcome {
            Some(Outcome::Skipped(reason)) => Some(reason),
            _ => None,
        });
        json!({
            "target": self.config.name,
            "adapter": self.adapter,
            "state": {
                "source": source,
                "change_id": (*source != StateSource::Current).then_some(change.change_id),
                "operation": change.operation,
                "status": status,
            },
            "linked_to": change.link.as_ref().map(|link| &link.remote_id),
            "found": dry_run.map(|(found, _)| found),
            "exchanges": exchanges,
            "ended": dry_run.map(|(_, dry_run)| dry_run.end.as_str()),
            "applied": applied,
            "skipped": skipped,
            "failed": self.failure().map(|failure| json!({"kind": failure.kind, "message": failure.message})),
        })
    }
}

fn trace(trace: DryRunEnd) -> &'static str {
    match trace {
        DryRunEnd::RolledBack => "the transaction was rolled back",
        DryRunEnd::Withheld => "the first writing request was not sent",
        DryRunEnd::OnlyRead => "no request would have written",
    }
}
