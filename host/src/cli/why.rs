//! `host why`: one sentence about why an aggregate is not at a target yet; the exit code is the class of the reason.

use std::process::ExitCode;

use serde_json::json;

use super::aggregate::{SubjectArguments, not_taken, takes};
use super::error::CliError;
use super::output::line;
use super::trail::AuditTrail;
use super::{output, wiring};
use crate::config::Config;
use crate::domain::audit::AuditSubject;
use crate::store::Explanation;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    subject: SubjectArguments,
    /// The target that it should be at
    #[arg(long)]
    target: String,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(config: &Config, trail: &AuditTrail, arguments: &Arguments) -> Result<ExitCode, CliError> {
    let key = arguments.subject.required()?;
    trail.about(AuditSubject::of(Some(&key)).at(Some(&arguments.target)));
    let target = wiring::target_config(config, &arguments.target)?;
    if !takes(target, &key.aggregate_type) {
        return Err(not_taken(target, &key.aggregate_type));
    }
    let store = wiring::readable_store(config).await?;
    let explanation = store.explain(&key, &arguments.target, &wiring::fifo_types(config)).await?;
    trail.done(&store).await?;
    if arguments.json {
        output::json(&as_json(&explanation));
    } else {
        line(&explanation.sentence());
    }
    Ok(ExitCode::from(explanation.class().exit_code()))
}

fn as_json(explanation: &Explanation) -> serde_json::Value {
    json!({
        "class": explanation.class(),
        "exit_code": explanation.class().exit_code(),
        "sentence": explanation.sentence(),
        "target": explanation.target,
        "aggregate_type": explanation.key.aggregate_type,
        "aggregate_id": explanation.key.aggregate_id,
        "change_id": explanation.change_id,
        "written_at": explanation.since,
        "before": explanation.ahead,
        "before_is_more": explanation.ahead_is_more,
        "before_is_estimate": explanation.ahead_is_estimate,
        "estimate_ms": explanation.estimate_ms,
    })
}
