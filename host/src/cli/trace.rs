//! `host trace`: what happened to one aggregate or change, in the order of time; without one, a list of deliveries.

use std::process::ExitCode;

use super::aggregate::{SubjectArguments, unknown};
use super::error::CliError;
use super::output::{line, time};
use super::status_summary::aggregate_types;
use super::trace_events::{TraceEvent, events};
use super::trail::AuditTrail;
use super::{output, trace_list, wiring};
use crate::config::Config;
use crate::domain::audit::AuditSubject;
use crate::domain::ids::ChangeId;
use crate::domain::words::named;
use crate::store::{Store, Story, Subject};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    subject: SubjectArguments,
    /// Show this change only, by its number
    #[arg(long, value_name = "NUMBER", conflicts_with_all = SUBJECT)]
    change: Option<i64>,
    /// Show the change of this event only
    #[arg(long, value_name = "UUID", conflicts_with_all = SUBJECT, conflicts_with = "change")]
    event: Option<String>,
    /// Show this target only
    #[arg(long)]
    target: Option<String>,
    #[command(flatten)]
    list: trace_list::ListArguments,
    /// Show at most this many deliveries of a target
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    limit: u32,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

const SUBJECT: [&str; 3] = ["patient", "aggregate_type", "aggregate_id"];

impl Arguments {
    fn subject(&self) -> Option<Subject> {
        let of_change = self.change.map(|change| Subject::Change(ChangeId::new(change)));
        let of_event = || self.event.clone().map(Subject::Event);
        of_change.or_else(of_event).or_else(|| self.subject.key().map(Subject::Aggregate))
    }

    /// What the audit records of a command that ends before the aggregate of its change is known.
    fn about(&self) -> AuditSubject {
        AuditSubject::of(self.subject.key().as_ref()).at(self.target.as_deref())
    }
}

pub(super) async fn run(config: &Config, trail: &AuditTrail, arguments: &Arguments) -> Result<ExitCode, CliError> {
    trail.about(arguments.about());
    if let Some(target) = &arguments.target {
        wiring::target_config(config, target)?;
    }
    let store = wiring::readable_store(config).await?;
    if let Some(subject) = arguments.subject() {
        return story(config, &store, trail, &subject, arguments).await;
    }
    let page = (arguments.target.as_deref(), arguments.limit);
    trace_list::run(config, trail, &store, &arguments.list, page, arguments.json).await
}

async fn story(
    config: &Config,
    store: &Store,
    trail: &AuditTrail,
    subject: &Subject,
    arguments: &Arguments,
) -> Result<ExitCode, CliError> {
    let told = store.story(subject, arguments.target.as_deref(), arguments.limit).await?;
    let told = told.ok_or_else(|| no_such_change(config, subject))?;
    let events = events(&told);
    if events.is_empty() && !store.knows(&told.key).await? {
        return Err(unknown(&told.key, &aggregate_types(config)));
    }
    trail.about(AuditSubject::of(Some(&told.key)).at(arguments.target.as_deref()));
    trail.shown(store, "event", events.len()).await?;
    if arguments.json {
        let all: Vec<_> = events.iter().map(TraceEvent::as_json).collect();
        output::json(&serde_json::json!({
            "aggregate_type": told.key.aggregate_type,
            "aggregate_id": told.key.aggregate_id,
            "read_at": told.now,
            "is_cut": told.is_cut,
            "events": all,
        }));
        return Ok(ExitCode::SUCCESS);
    }
    show(&told, &events, arguments.limit);
    Ok(ExitCode::SUCCESS)
}

fn show(story: &Story, events: &[TraceEvent], limit: u32) {
    line(&format!("{} {}", story.key.aggregate_type, story.key.aggregate_id));
    if events.is_empty() {
        line("   nothing is kept of its changes");
    }
    for event in events {
        line(&format!("   {}  {}", time(event.at), event.text));
        for detail in &event.details {
            line(&format!("      {detail}"));
        }
    }
    if story.is_cut {
        line(&format!("   only the newest {limit} deliveries are shown; see --limit"));
    }
}

fn no_such_change(config: &Config, subject: &Subject) -> CliError {
    let what = match subject {
        Subject::Change(change_id) => format!("change {change_id}"),
        Subject::Event(event_id) => format!("event {}", named(event_id)),
        Subject::Aggregate(key) => return unknown(key, &aggregate_types(config)),
    };
    CliError::Failed(format!("the outbox has no {what}; retention may have deleted it (`[retention] done_days`)"))
}
