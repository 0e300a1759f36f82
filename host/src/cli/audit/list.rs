//! `host audit list`: lists events, the newest first. Listing is an event too, since events name patients.

use std::process::ExitCode;

use serde_json::json;

use crate::cli::aggregate::AggregateArguments;
use crate::cli::error::CliError;
use crate::cli::output::{line, printable, time};
use crate::cli::since::since;
use crate::cli::trail::AuditTrail;
use crate::cli::{output, wiring};
use crate::config::Config;
use crate::domain::audit::{AuditAction, AuditEvent, AuditSubject, Operator};
use crate::domain::spelling::expected;
use crate::store::AuditFilter;

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Arguments {
    /// Begin with this day, time or age: 2026-11-28, 24h, 7d
    #[arg(long, value_name = "TIME", value_parser = since)]
    since: Option<i64>,
    /// Select this system user, login or name of --as
    #[arg(long, value_name = "NAME")]
    actor: Option<String>,
    /// Select this command, or all commands of this group
    #[arg(long, value_name = "COMMAND", value_parser = actions)]
    action: Option<Actions>,
    #[command(flatten)]
    aggregate: AggregateArguments,
    /// Continue before this event, by its number
    #[arg(long, value_name = "NUMBER")]
    before: Option<i64>,
    /// Show at most this many
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    limit: u32,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// The actions that one word selects.
#[derive(Clone, Debug)]
struct Actions(Vec<String>);

fn actions(word: &str) -> Result<Actions, String> {
    let actions = AuditAction::named(word);
    if actions.is_empty() {
        return Err(expected(word, &AuditAction::names()));
    }
    Ok(Actions(actions.iter().map(ToString::to_string).collect()))
}

pub(super) async fn run(config: &Config, trail: &AuditTrail, arguments: &Arguments) -> Result<ExitCode, CliError> {
    let filter = AuditFilter {
        since: arguments.since,
        actor: arguments.actor.clone(),
        actions: arguments.action.as_ref().map(|actions| actions.0.clone()).unwrap_or_default(),
        aggregate: arguments.aggregate.key(),
    };
    trail.about(AuditSubject::of(filter.aggregate.as_ref()));
    let store = wiring::readable_store(config).await?;
    let before = arguments.before.unwrap_or(i64::MAX);
    let events = store.audit_events_before(&filter, before, arguments.limit).await?;
    trail.shown(&store, "event", events.len()).await?;
    let is_full = u32::try_from(events.len()) == Ok(arguments.limit);
    let next = events.last().filter(|_| is_full).map(|event| event.id);
    if arguments.json {
        output::json(&json!({ "events": events, "next_before": next }));
        return Ok(ExitCode::SUCCESS);
    }
    if events.is_empty() {
        line("no events");
    }
    events.iter().for_each(show);
    if let Some(next) = next {
        line("");
        line(&format!("older events: add --before {next}"));
    }
    Ok(ExitCode::SUCCESS)
}

fn show(event: &AuditEvent) {
    let AuditEvent { id, at, facts, .. } = event;
    let outcome = if facts.is_success() { String::new() } else { format!("  [{}]", printable(&facts.outcome)) };
    let action = printable(&facts.action);
    line(&format!("{id}  {}  {}  {action}{}{outcome}", time(*at), who(&facts.operator), about(&facts.subject)));
    if let Some(reason) = &facts.reason {
        line(&format!("   {}", printable(reason)));
    }
}

/// `root (login kim, as Dr. Lee) at ward-3 from 192.0.2.7`.
fn who(operator: &Operator) -> String {
    let Operator { user, uid: _, login, acting_as, machine, remote } = operator;
    let names =
        [login.as_ref().map(|name| format!("login {name}")), acting_as.as_ref().map(|name| format!("as {name}"))];
    let names: Vec<_> = names.into_iter().flatten().collect();
    let names = if names.is_empty() { String::new() } else { format!(" ({})", names.join(", ")) };
    let remote = remote.as_ref().map(|address| format!(" from {address}")).unwrap_or_default();
    printable(&format!("{user}{names} at {machine}{remote}"))
}

/// `: patient P-1 into P-2, target fhir, 3, keep local`.
fn about(subject: &AuditSubject) -> String {
    let AuditSubject { target, aggregate_type, aggregate_id, other_id, count, detail } = subject;
    let kind = aggregate_type.as_deref().unwrap_or_default();
    let count = match (count, aggregate_id) {
        (Some(count), None) => Some(several(*count, kind)),
        (Some(count), Some(_)) if *count != 1 => Some(count.to_string()),
        _ => None,
    };
    let parts = [
        aggregate_id.as_ref().map(|id| format!("{kind} {id}")),
        other_id.as_ref().map(|id| format!("and {id}")),
        target.as_ref().map(|target| format!("target {target}")),
        count,
        detail.clone(),
    ];
    let parts: Vec<_> = parts.into_iter().flatten().collect();
    if parts.is_empty() { String::new() } else { printable(&format!(": {}", parts.join(", "))) }
}

/// `1 delivery`, `3 deliveries`; a count alone where its kind is not known.
fn several(count: i64, kind: &str) -> String {
    match kind.strip_suffix('y') {
        _ if kind.is_empty() => count.to_string(),
        _ if count == 1 => format!("1 {kind}"),
        Some(stem) => format!("{count} {stem}ies"),
        None => format!("{count} {kind}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_is_shown_in_a_few_words() {
        let merge = AuditSubject::patient("P-1").with_other("P-2");
        assert_eq!(about(&merge), ": patient P-1, and P-2");
        let retry = AuditSubject::default().at(Some("fhir")).with_count("delivery", 3).with_detail("kind invalid");
        assert_eq!(about(&retry), ": target fhir, 3 deliveries, kind invalid");
        assert_eq!(about(&AuditSubject::patient("P-1").with_count("patient", 1)), ": patient P-1");
        assert_eq!(about(&AuditSubject::patient("P-1").with_count("delivery", 0)), ": patient P-1, 0");
        assert_eq!(about(&AuditSubject::default()), "");
        assert_eq!(about(&AuditSubject::default().with_count("user", 1)), ": 1 user");
        assert_eq!(about(&AuditSubject { count: Some(0), ..AuditSubject::default() }), ": 0");
    }

    #[test]
    fn everything_known_of_an_operator_is_shown() {
        let mut operator = Operator {
            user: "root".to_owned(),
            uid: Some(0),
            login: None,
            acting_as: None,
            machine: "ward-3".to_owned(),
            remote: None,
        };
        assert_eq!(who(&operator), "root at ward-3");
        operator.login = Some("kim".to_owned());
        operator.acting_as = Some("Dr. Lee".to_owned());
        operator.remote = Some("192.0.2.7".to_owned());
        assert_eq!(who(&operator), "root (login kim, as Dr. Lee) at ward-3 from 192.0.2.7");
    }
}
