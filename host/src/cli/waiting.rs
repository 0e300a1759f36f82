//! `host waiting`: lists deliveries that wait for a dependency, and what delays that dependency.

use std::process::ExitCode;

use serde_json::{Value, json};

use super::error::CliError;
use super::output::{age, line, printable};
use super::trail::AuditTrail;
use super::{output, wiring};
use crate::config::Config;
use crate::domain::audit::AuditSubject;
use crate::domain::ids::{AggregateKey, ChangeId, TargetName};
use crate::store::{Lacking, LackingReason, WaitingDelivery};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// List those of this target only
    #[arg(long)]
    target: Option<String>,
    /// List those behind this change only, by its number
    #[arg(long, value_name = "NUMBER", requires = "target")]
    after: Option<i64>,
    /// Show at most this many of a target
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    limit: u32,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(config: &Config, trail: &AuditTrail, arguments: &Arguments) -> Result<ExitCode, CliError> {
    trail.about(AuditSubject::default().at(arguments.target.as_deref()));
    if let Some(target) = &arguments.target {
        wiring::target_config(config, target)?;
    }
    let store = wiring::readable_store(config).await?;
    let names = config.targets.keys().map(TargetName::as_str);
    let names: Vec<_> = names.filter(|name| arguments.target.as_deref().is_none_or(|target| target == *name)).collect();
    let mut waiting = Vec::new();
    for target in names {
        let found = store.waiting(target, arguments.after.map(ChangeId::new), arguments.limit).await?;
        waiting.extend(found.into_iter().map(|one| (target, one)));
    }
    trail.shown(&store, "delivery", waiting.len()).await?;
    if arguments.json {
        let all: Vec<_> = waiting.iter().map(|(target, one)| as_json(target, one)).collect();
        output::json(&json!({ "waiting": all }));
        return Ok(ExitCode::SUCCESS);
    }
    if waiting.is_empty() {
        line("no delivery waits for another");
    }
    for (target, one) in &waiting {
        line(&format!("{}, for {}", describe(target, one), age(one.age_ms)));
    }
    Ok(ExitCode::SUCCESS)
}

/// A delivery and its missing dependencies, in one line.
pub(super) fn describe(target: &str, one: &WaitingDelivery) -> String {
    let lacks: Vec<_> = one.lacks.iter().map(ToString::to_string).collect();
    format!("change {} of {} [{target}] waits for {}", one.change_id, name(&one.key), lacks.join(" and for "))
}

fn name(key: &AggregateKey) -> String {
    printable(&format!("{} {}", key.aggregate_type, key.aggregate_id))
}

/// The JSON form in `host waiting --json` and `host status --json`.
pub(super) fn as_json(target: &str, one: &WaitingDelivery) -> Value {
    let lacks: Vec<_> = one.lacks.iter().map(lacking_json).collect();
    json!({
        "target": target,
        "change_id": one.change_id,
        "aggregate_type": one.key.aggregate_type,
        "aggregate_id": one.key.aggregate_id,
        "age_ms": one.age_ms,
        "waits_for": lacks,
    })
}

fn lacking_json(Lacking { key, reason, was_deleted }: &Lacking) -> Value {
    let (word, circle) = match reason {
        LackingReason::NotWritten => ("not_written", None),
        LackingReason::Delivery(status) => (status.as_str(), None),
        LackingReason::Waits => ("waits", None),
        LackingReason::Circle(keys) => ("circle", Some(keys)),
    };
    json!({
        "aggregate_type": key.aggregate_type,
        "aggregate_id": key.aggregate_id,
        "reason": word,
        "circle": circle,
        "was_deleted": was_deleted,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::delivery::Status;

    #[test]
    fn a_waiting_delivery_is_described_with_every_missing_dependency() {
        let key = |kind: &str, id: &str| AggregateKey { aggregate_type: kind.to_owned(), aggregate_id: id.to_owned() };
        let circle = vec![key("condition", "C-1"), key("condition", "C-2")];
        let lacking = |kind: &str, id: &str, reason| Lacking { key: key(kind, id), reason, was_deleted: false };
        let lacks = vec![
            lacking("patient", "P-1", LackingReason::Delivery(Status::Failed)),
            Lacking { was_deleted: true, ..lacking("encounter", "E-1", LackingReason::Delivery(Status::Pending)) },
            lacking("condition", "C-1", LackingReason::Circle(circle)),
        ];
        let one = WaitingDelivery { change_id: ChangeId::new(7), key: key("observation", "O-1"), age_ms: 5_000, lacks };
        assert_eq!(
            describe("openemr", &one),
            "change 7 of observation O-1 [openemr] waits for patient P-1 (failed: see `host failed list`) and for \
             encounter E-1 (deleted at the target and written again: not delivered yet) and for condition C-1 (in a circle: it waits for condition C-2, which waits for condition C-1)"
        );
    }
}
