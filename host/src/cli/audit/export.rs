//! `host audit export`: prints every event for another system, one JSON object a line.
//!
//! The export is recorded before the first line, so that it holds its own event.

use std::process::ExitCode;

use clap::ValueEnum;
use serde_json::json;

use crate::audit::{DeliveryTarget, Exporter, this_operator};
use crate::cli::error::CliError;
use crate::cli::since::since;
use crate::cli::trail::AuditTrail;
use crate::cli::{output, wiring};
use crate::config::{Config, Connection};
use crate::domain::audit::AuditSubject;
use crate::store::{SentDelivery, Store};

/// The number of events or deliveries that are read at once.
const AT_ONCE: u32 = 1_000;

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Arguments {
    /// Print in this form
    #[arg(long, value_enum, default_value_t = Form::Fhir)]
    format: Form,
    /// Begin with this day, time or age: 2026-11-28, 24h, 7d
    #[arg(long, value_name = "TIME", value_parser = since)]
    since: Option<i64>,
    /// Print one more for each delivery to a target
    #[arg(long)]
    deliveries: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Form {
    /// FHIR R4 audit events
    Fhir,
    /// The events as the store has them, with their hashes
    Json,
}

pub(super) async fn run(config: &Config, trail: &AuditTrail, arguments: &Arguments) -> Result<ExitCode, CliError> {
    let store = wiring::readable_store(config).await?;
    let what = if arguments.deliveries { "with deliveries" } else { "events" };
    trail.about(AuditSubject::default().with_detail(what));
    trail.done(&store).await?;
    let exporter = Exporter { machine: this_operator(None).machine };
    let mut after = 0;
    loop {
        let events = store.audit_events_after(after, arguments.since, AT_ONCE).await?;
        let Some(last) = events.last() else { break };
        after = last.id;
        for event in &events {
            output::json(&match arguments.format {
                Form::Fhir => exporter.event(event),
                Form::Json => json!(event),
            });
        }
    }
    if arguments.deliveries {
        let known = store.status(0).await?.targets;
        for name in known.keys() {
            export_deliveries(&store, &exporter, &target(config, name), arguments).await?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// A target of the store. One that the configuration does not have counts as a database.
fn target(config: &Config, name: &str) -> DeliveryTarget {
    let configured = config.targets.values().find(|target| target.name.as_str() == name);
    let server = configured.and_then(|target| match &target.connection {
        Connection::Http(http) => {
            let url = url::Url::parse(http.base_url_text()).ok();
            Some(url.as_ref().and_then(url::Url::host_str).unwrap_or(name).to_owned())
        }
        Connection::Database(_) => None,
    });
    DeliveryTarget { name: name.to_owned(), server }
}

async fn export_deliveries(
    store: &Store,
    exporter: &Exporter,
    target: &DeliveryTarget,
    arguments: &Arguments,
) -> Result<(), CliError> {
    let mut after = 0;
    loop {
        let sent = store.sent_deliveries(&target.name, after, arguments.since, AT_ONCE).await?;
        let Some(last) = sent.last() else { return Ok(()) };
        after = last.change_id.get();
        for one in &sent {
            output::json(&match arguments.format {
                Form::Fhir => exporter.delivery(one, target),
                Form::Json => as_json(one, target),
            });
        }
    }
}

fn as_json(sent: &SentDelivery, target: &DeliveryTarget) -> serde_json::Value {
    json!({
        "target": target.name,
        "change_id": sent.change_id,
        "aggregate_type": sent.key.aggregate_type,
        "aggregate_id": sent.key.aggregate_id,
        "operation": sent.operation,
        "status": if sent.is_done { "done" } else { "failed" },
        "error_kind": sent.error_kind,
        "finished_at": sent.finished_at,
        "remote_id": sent.remote_id,
    })
}
