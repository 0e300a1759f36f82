//! `host plugin replay`: compares what another adapter writes with what the active one writes, over recent changes.
//!
//! Nothing stays at the target. It takes no lease, and writes no more to the store than its event of the audit.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anstyle::AnsiColor;
use serde_json::{Value, json};

use super::accept::difference_lines;
use crate::cli::error::CliError;
use crate::cli::output::{self, paint, time};
use crate::cli::since::since;
use crate::cli::trail::AuditTrail;
use crate::cli::{signals, wiring};
use crate::config::{Config, TargetConfig};
use crate::domain::audit::AuditSubject;
use crate::domain::change::{Change, Failure, Outcome};
use crate::domain::effect_difference::{EffectDifference, EffectDifferenceKind, EffectDifferences};
use crate::plugin::{Adapter, Runtime};
use crate::store::Store;
use crate::target::{CheckedAdapter, Comparison, Target};

/// Changes in one comparison, as many as a canary gets.
const BATCH_MAX: usize = 20;

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Arguments {
    /// The new adapter's file
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Compare at this target
    #[arg(long)]
    target: String,
    /// Take changes delivered since: an age, a day or a moment
    #[arg(long, value_name = "AGE", default_value = "7d", value_parser = since)]
    last: i64,
    /// Compare at most this many, the newest first
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    limit: u32,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// What was found so far.
#[derive(Default)]
struct Found {
    compared: usize,
    inconclusive: usize,
    /// Why the last ones could not be compared.
    reason: Option<String>,
    differences: EffectDifferences,
}

pub(super) async fn run(config: &Config, trail: &AuditTrail, arguments: &Arguments) -> Result<ExitCode, CliError> {
    let subject = AuditSubject::default().at(Some(&arguments.target));
    trail.about(subject.clone());
    let target_config = wiring::target_config(config, &arguments.target)?;
    let store = wiring::readable_store(config).await?;
    let runtime = wiring::runtime(config)?;
    let target = wiring::target(target_config)?;
    let new = runtime.load(&arguments.file, target.world()).await?;
    let old = active(&store, &runtime, target_config, &target).await?;
    let states = store.recent_states(&target_config.name, Some(arguments.last), arguments.limit).await?;
    let changes: Vec<_> = states.into_iter().map(|state| state.change).collect();
    trail.about(subject.with_detail(&format!("sha256:{}", new.sha256())).with_count("change", changes.len()));
    trail.done(&store).await?;
    let stop = signals::stop_token().map_err(|error| CliError::Failed(error.to_string()))?;
    let compared = tokio::select! {
        compared = compare(&store, &target, (&old, &new), &changes) => compared,
        () = stop.cancelled() => {
            return Err(CliError::Failed(format!("stopped: nothing was changed at target `{}`", target_config.name)));
        }
    };
    target.close().await;
    let found = compared.map_err(|failure| {
        CliError::of_failure(failure.kind, format!("target `{}`: {}", target_config.name, failure.message))
    })?;
    let is_equal = found.differences.is_empty() && found.inconclusive == 0;
    if arguments.json {
        output::json(&as_json(arguments, (&old, &new), changes.len(), &found));
    } else {
        show(arguments, (&old, &new), changes.len(), &found);
    }
    Ok(if is_equal { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The adapter that is active in the store; before the first one was, the file's.
async fn active(
    store: &Store,
    runtime: &Arc<Runtime>,
    config: &TargetConfig,
    target: &Target,
) -> Result<Arc<Adapter>, CliError> {
    let Some(sha256) = store.desired_state(config.name.as_str()).await?.adapter_sha256 else {
        return Ok(runtime.load(&config.adapter, target.world()).await?);
    };
    let bytes = store.adapter_bytes(&sha256).await?.ok_or_else(|| {
        CliError::Failed(format!("the store does not hold the active adapter of target `{}`", config.name))
    })?;
    Ok(runtime.load_bytes(&format!("the store's adapter sha256:{sha256}"), bytes, target.world()).await?)
}

async fn compare(
    store: &Store,
    target: &Target,
    (old, new): (&Arc<Adapter>, &Arc<Adapter>),
    changes: &[Change],
) -> Result<Found, Failure> {
    let mut found = Found::default();
    let old = checked(store, target, old).await?;
    let new = checked(store, target, new).await?;
    for batch in changes.chunks(BATCH_MAX) {
        match target.compare(&old, &new, batch).await? {
            Comparison::Equal => found.compared += batch.len(),
            Comparison::Different(differences) => {
                found.compared += batch.len();
                found.differences.extend(differences);
            }
            Comparison::Fails { new, old } => {
                found.compared += batch.len();
                for difference in failing(&new, &old) {
                    found.differences.add(difference);
                }
            }
            Comparison::Nothing => found.inconclusive(batch, "the active adapter delivers none of these changes"),
            Comparison::Inconclusive(reason) => found.inconclusive(batch, reason),
            Comparison::Impossible(reason) => found.inconclusive(batch, &reason),
        }
    }
    Ok(found)
}

impl Found {
    fn inconclusive(&mut self, batch: &[Change], reason: &str) {
        self.inconclusive += batch.len();
        self.reason = Some(reason.to_owned());
    }
}

async fn checked(store: &Store, target: &Target, adapter: &Arc<Adapter>) -> Result<CheckedAdapter, Failure> {
    let report = target.check(adapter).await?;
    let checked = CheckedAdapter::new(Arc::clone(adapter), report.state);
    if let Ok(Some(learned)) = store.learned(target.spec.name.as_str(), checked.basis()).await {
        checked.remember(learned.revision, learned.bytes);
    }
    Ok(checked)
}

/// The changes that the new adapter fails and the old one does not.
fn failing(new: &[Outcome], old: &[Outcome]) -> Vec<EffectDifference> {
    let is_failed = |outcome: &Outcome| matches!(outcome, Outcome::Failed(_));
    let failing = new.iter().zip(old).filter(|(new, old)| is_failed(new) && !is_failed(old));
    failing.map(|_| EffectDifference::new(EffectDifferenceKind::OtherOutcome, "failed", None)).collect()
}

fn described(adapter: &Adapter) -> String {
    let descriptor = adapter.descriptor();
    format!("{} {} sha256:{}", descriptor.name, descriptor.version, adapter.sha256())
}

fn show(arguments: &Arguments, (old, new): (&Arc<Adapter>, &Arc<Adapter>), changes: usize, found: &Found) {
    output::line(&format!("[REPLAY] {} since {}", arguments.target, time(arguments.last)));
    output::line(&format!("   active: {}", described(old)));
    output::line(&format!("   new:    {}", described(new)));
    output::line(&format!("   {changes} changes, {} compared", found.compared));
    if let Some(reason) = &found.reason {
        let text = format!("{} not compared: {reason}", found.inconclusive);
        output::line(&format!("   {}", paint(AnsiColor::Yellow, &text)));
    }
    if changes == 0 {
        output::line("[EQUAL] nothing was delivered since then, so that there was nothing to compare");
    } else if !found.differences.is_empty() {
        output::line(&paint(AnsiColor::Red, "[DIFFERENT] the new adapter writes something else:"));
        for line in difference_lines(&found.differences) {
            output::line(&line);
        }
    } else if found.inconclusive == 0 {
        output::line(&format!("{} both adapters write the same", paint(AnsiColor::Green, "[EQUAL]")));
    }
    output::line(&format!("{} nothing of it stays at the target", paint(AnsiColor::Green, "[NOTHING WRITTEN]")));
}

fn as_json(arguments: &Arguments, (old, new): (&Arc<Adapter>, &Arc<Adapter>), changes: usize, found: &Found) -> Value {
    let adapter = |adapter: &Adapter| {
        let descriptor = adapter.descriptor();
        json!({"name": descriptor.name, "version": descriptor.version, "sha256": adapter.sha256()})
    };
    json!({
        "target": arguments.target,
        "since": arguments.last,
        "active": adapter(old),
        "new": adapter(new),
        "changes": changes,
        "compared": found.compared,
        "not_compared": found.inconclusive,
        "not_compared_reason": found.reason,
        "equal": found.differences.is_empty() && found.inconclusive == 0,
        "differences": found.differences.list(),
        "more_differences": found.differences.others(),
    })
}
