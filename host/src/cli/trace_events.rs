//! The events of an aggregate's story, in the order of time: what `host trace` prints and gives as JSON. Pure.

use serde_json::{Map, Value, json};

use super::output::{age, printable, time};
use crate::domain::attempt::Attempt;
use crate::domain::audit::{AuditEvent, AuditFacts};
use crate::domain::delivery::Status;
use crate::domain::effects::{Effect, Effects, Template};
use crate::domain::ids::{AggregateKey, ChangeId};
use crate::domain::words::one_line;
use crate::store::{RecordedAttempt, Story, TracedDelivery, TracedDependency, TracedDismissal, TracedInFlight};

/// How much of a statement is shown; the JSON has all of it.
const SQL_CHARS_SHOWN: usize = 100;

/// One event.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct TraceEvent {
    /// Milliseconds since 1970-01-01 UTC.
    pub(super) at: i64,
    /// The order of events of one moment.
    rank: u8,
    kind: &'static str,
    change_id: Option<ChangeId>,
    target: Option<String>,
    pub(super) text: String,
    /// Lines below it.
    pub(super) details: Vec<String>,
    facts: Map<String, Value>,
}

impl TraceEvent {
    fn new(at: i64, rank: u8, kind: &'static str, text: &str) -> Self {
        let text = printable(text);
        Self { at, rank, kind, change_id: None, target: None, text, details: Vec::new(), facts: Map::new() }
    }

    fn of(mut self, change_id: ChangeId, target: Option<&str>) -> Self {
        self.change_id = Some(change_id);
        self.target = target.map(str::to_owned);
        self
    }

    fn with(mut self, facts: Value) -> Self {
        if let Value::Object(facts) = facts {
            self.facts.extend(facts);
        }
        self
    }

    /// The event for machines. Its fields are a contract (docs/commands.md).
    pub(super) fn as_json(&self) -> Value {
        let mut object = Map::new();
        object.insert("at".to_owned(), json!(self.at));
        object.insert("event".to_owned(), json!(self.kind));
        object.insert("change_id".to_owned(), json!(self.change_id));
        object.insert("target".to_owned(), json!(self.target));
        object.extend(self.facts.clone());
        Value::Object(object)
    }
}

/// All events of a story.
pub(super) fn events(story: &Story) -> Vec<TraceEvent> {
    let mut events = Vec::new();
    add_changes(story, &mut events);
    add_dependencies(story, &mut events);
    for delivery in &story.deliveries {
        events.extend(story.attempt_of(delivery).map(|attempt| attempt_event(delivery, attempt)));
        events.extend(outcome(story, delivery));
    }
    events.extend(story.in_flight.iter().map(|one| in_flight(one, story.now)));
    add_decisions(story, &mut events);
    add_links(story, &mut events);
    events.sort_by_key(|event| (event.at, event.rank, event.change_id));
    events
}

fn add_changes(story: &Story, events: &mut Vec<TraceEvent>) {
    for change in &story.changes {
        let (id, operation) = (change.change_id, &change.operation);
        let written = change.created_at.or(change.routed_at).unwrap_or(story.now);
        let text = format!("change {id} written: {operation}, event {}", change.event_id);
        let facts = json!({ "operation": operation, "event_id": change.event_id });
        events.push(TraceEvent::new(written, 0, "written", &text).of(id, None).with(facts));
        events.push(match change.routed_at {
            Some(at) => TraceEvent::new(at, 1, "routed", &format!("change {id} routed")).of(id, None),
            None => TraceEvent::new(story.now, 9, "unrouted", &format!("change {id} is not routed yet")).of(id, None),
        });
    }
}

fn add_dependencies(story: &Story, events: &mut Vec<TraceEvent>) {
    for one in &story.dependencies {
        let (id, target, key) = (one.change_id, &one.target, &one.key);
        let routed = story.changes.iter().find(|change| change.change_id == id).and_then(|change| change.routed_at);
        let state = one.confirmed_at.map_or_else(
            || "which the target lacks".to_owned(),
            |at| format!("which the target confirmed last at {}", time(at)),
        );
        let text = format!("change {id} at {target} refers to {} {}, {state}", key.aggregate_type, key.aggregate_id);
        let facts = json!({ "refers_to": key, "confirmed_at": one.confirmed_at });
        let event = TraceEvent::new(routed.unwrap_or(story.now), 2, "refers", &text);
        events.push(event.of(id, Some(target)).with(facts));
    }
}

fn attempt_event(delivery: &TracedDelivery, recorded: &RecordedAttempt) -> TraceEvent {
    let RecordedAttempt { lease_id, target, host, started_at, attempt } = recorded;
    let Attempt { adapter, elapsed_ms, calls, changes, outcomes, effects, cause } = attempt;
    let by = adapter.as_ref().map_or_else(
        || "no adapter".to_owned(),
        |adapter| {
            let digest = adapter.sha256.get(..8).unwrap_or(&adapter.sha256);
            let (name, version, interface) = (&adapter.name, &adapter.version, &adapter.interface_version);
            format!("{name} {version} (sha256:{digest}..., interface {interface})")
        },
    );
    let counts: Vec<_> = outcomes.iter().map(|(outcome, count)| format!("{count} {outcome}")).collect();
    let outcome = if counts.is_empty() { "nothing settled".to_owned() } else { counts.join(", ") };
    let elapsed = age(i64::try_from(*elapsed_ms).unwrap_or(i64::MAX));
    let text = format!(
        "attempt at {target} with change {}: {by}, host {host}, lease {}: {} in {elapsed}, {}: {outcome}",
        delivery.change_id,
        lease_id.get(),
        counted(*changes, "change"),
        counted(*calls, "call"),
    );
    let mut event = TraceEvent::new(*started_at, 3, "attempt", &text);
    event.details = effect_lines(effects);
    event.details.extend(cause.iter().map(|cause| format!("failed as a whole: {}: {}", cause.kind, cause.message)));
    event.of(delivery.change_id, Some(target)).with(json!({
        "lease_id": lease_id.get(),
        "host": host,
        "adapter": adapter,
        "elapsed_ms": elapsed_ms,
        "calls": calls,
        "changes": changes,
        "outcomes": outcomes,
        "effects": effects_json(effects),
        "cause": cause,
    }))
}

fn counted(count: u64, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

fn effect_lines(effects: &Effects) -> Vec<String> {
    let line = |effect: &Effect| {
        let refused = if effect.refused > 0 { format!(", {} refused", effect.refused) } else { String::new() };
        match &effect.template {
            Template::Statement { sql } => {
                let sql = one_line(sql, SQL_CHARS_SHOWN);
                format!("{} x {sql} ({}{refused})", effect.count, counted(effect.rows, "row"))
            }
            Template::Request { method, path, status } => {
                let status = status.map_or_else(|| "no response".to_owned(), |status| status.to_string());
                format!("{} x {method} {path}: {status}", effect.count)
            }
        }
    };
    let mut lines: Vec<_> = effects.list().iter().map(line).collect();
    if effects.others() > 0 {
        lines.push(format!("and {} others", effects.others()));
    }
    lines
}

fn effects_json(effects: &Effects) -> Value {
    let one = |effect: &Effect| {
        let count = effect.count;
        match &effect.template {
            Template::Statement { sql } => {
                json!({ "sql": &**sql, "count": count, "rows": effect.rows, "refused": effect.refused })
            }
            Template::Request { method, path, status } => {
                json!({ "method": method, "path": path, "status": status, "count": count })
            }
        }
    };
    json!({ "templates": effects.list().iter().map(one).collect::<Vec<_>>(), "others": effects.others() })
}

/// What became of a delivery, or what it waits for.
fn outcome(story: &Story, delivery: &TracedDelivery) -> Option<TraceEvent> {
    let TracedDelivery { target, change_id, status, attempts, error_kind, error_message, .. } = delivery;
    let link = story.links.iter().find(|link| link.target == *target && link.change_id == *change_id);
    let kind = error_kind.as_ref().map(|kind| format!("{kind}: ")).unwrap_or_default();
    let why = error_message.as_ref().map(|message| format!(": {kind}{message}")).unwrap_or_default();
    let lacking = if delivery.waits { lacking(story, delivery) } else { Vec::new() };
    let state = match status {
        // It is told by what is in flight.
        Status::Processing => return None,
        Status::Pending if delivery.waits => match lacking.as_slice() {
            // What was deleted and comes back was confirmed once.
            [] => "waits for what it refers to".to_owned(),
            keys => format!(
                "waits for {}",
                keys.iter()
                    .map(|key| format!("{} {}", key.aggregate_type, key.aggregate_id))
                    .collect::<Vec<_>>()
                    .join(", ")
            ),
        },
        Status::Pending => match delivery.next_attempt_at.filter(|at| *at > story.now) {
            Some(at) => format!("is tried again in {}{why}", age(at - story.now)),
            None => format!("waits for its turn{why}"),
        },
        Status::Done => match link {
            Some(link) => {
                let id = link.remote_id.as_ref().map_or_else(|| "no record".to_owned(), |id| format!("ID {id}"));
                let version =
                    link.remote_version.as_ref().map(|version| format!(", version {version}")).unwrap_or_default();
                format!("done ({id}{version})")
            }
            None => "done".to_owned(),
        },
        Status::Failed | Status::Superseded | Status::Dismissed | Status::Skipped => {
            format!("{}{why}", status.as_str())
        }
    };
    let (at, rank) = match (status, delivery.finished_at) {
        (Status::Pending, _) | (_, None) => (story.now, 9),
        // The decision and its effect are written by two statements: each has a time of its own.
        (_, Some(at)) => (dismissed_at(story, delivery).map_or(at, |decided| decided.max(at)), 5),
    };
    let spent = if *attempts > 1 { format!(", attempts {attempts}") } else { String::new() };
    let text = format!("change {change_id} at {target}: {state}{spent}");
    let facts = json!({
        "status": status,
        "attempts": attempts,
        "next_attempt_at": delivery.next_attempt_at,
        "error_kind": error_kind,
        "error": error_message,
        "waits_for": lacking,
        "remote_id": link.and_then(|link| link.remote_id.clone()),
        "remote_version": link.and_then(|link| link.remote_version.clone()),
    });
    Some(TraceEvent::new(at, rank, "delivery", &text).of(*change_id, Some(target)).with(facts))
}

/// What a delivery refers to and its target has never confirmed.
fn lacking<'a>(story: &'a Story, delivery: &TracedDelivery) -> Vec<&'a AggregateKey> {
    let is_its = |one: &&TracedDependency| one.target == delivery.target && one.change_id == delivery.change_id;
    let lacks = |one: &&TracedDependency| one.confirmed_at.is_none();
    story.dependencies.iter().filter(is_its).filter(lacks).map(|one| &one.key).collect()
}

fn dismissed_at(story: &Story, delivery: &TracedDelivery) -> Option<i64> {
    let is_its = |one: &&TracedDismissal| one.target == delivery.target && one.change_id == delivery.change_id;
    story.dismissals.iter().find(is_its).map(|one| one.dismissed_at)
}

fn in_flight(one: &TracedInFlight, now: i64) -> TraceEvent {
    let TracedInFlight { target, change_id, lease_id, lease } = one;
    let (host, since) = lease.as_ref().map_or(("unknown", now), |(host, since, _)| (host.as_str(), *since));
    let until = lease.as_ref().map(|(_, _, until)| *until);
    let ends = until.map(|until| format!(", until {}", time(until))).unwrap_or_default();
    let text = format!("change {change_id} in flight to {target}: host {host}, lease {}{ends}", lease_id.get());
    let facts = json!({ "lease_id": lease_id.get(), "host": host, "lease_until": until });
    TraceEvent::new(since, 8, "in-flight", &text).of(*change_id, Some(target)).with(facts)
}

/// What operators decided, and what verifications found.
fn add_decisions(story: &Story, events: &mut Vec<TraceEvent>) {
    for one in &story.dismissals {
        let (by, reason) = (one.dismissed_by.as_deref().unwrap_or("?"), one.reason.as_deref().unwrap_or("no reason"));
        let text = format!("change {} at {} dismissed by {by}: {reason}", one.change_id, one.target);
        let event = TraceEvent::new(one.dismissed_at, 4, "dismissed", &text);
        events.push(event.of(one.change_id, Some(&one.target)).with(json!({ "by": by, "reason": one.reason })));
    }
    for one in &story.merges {
        let (patient, survivor) = (&one.patient_id, &one.survivor_id);
        let text = format!("patient {patient} merged into {survivor} by {}: {}", one.merged_by, one.reason);
        let facts =
            json!({ "patient_id": patient, "survivor_id": survivor, "by": one.merged_by, "reason": one.reason });
        events.push(TraceEvent::new(one.merged_at, 4, "merged", &text).with(facts));
    }
    events.extend(story.commands.iter().map(command));
    for one in &story.findings {
        let text = format!("verification of {} found it {}", one.target, one.state);
        let mut event = TraceEvent::new(one.found_at, 7, "verified", &text).with(json!({ "state": one.state }));
        event.target = Some(one.target.clone());
        events.push(event);
    }
}

/// A command that changed something about the aggregate, or about many at once, with who ran it and why.
fn command(event: &AuditEvent) -> TraceEvent {
    let AuditFacts { operator, action, subject, reason, .. } = &event.facts;
    let is_bulk = subject.aggregate_id.is_none();
    let many = if is_bulk { " of many" } else { "" };
    let at = subject.target.as_ref().map(|target| format!(" at {target}")).unwrap_or_default();
    let detail = subject.detail.as_ref().map(|detail| format!(" ({detail})")).unwrap_or_default();
    let why = reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
    let text = format!("host {action}{many}{at} by {}{detail}{why}", operator.who());
    let facts = json!({
        "action": action,
        "of_many": is_bulk,
        "by": operator.who(),
        "detail": subject.detail,
        "reason": reason,
    });
    let mut traced = TraceEvent::new(event.at, 4, "command", &text).with(facts);
    traced.target.clone_from(&subject.target);
    traced
}

/// What a target confirmed and whose delivery is not kept, and where an aggregate was merged.
fn add_links(story: &Story, events: &mut Vec<TraceEvent>) {
    for link in &story.links {
        let is_shown = |delivery: &TracedDelivery| {
            delivery.target == link.target && delivery.change_id == link.change_id && delivery.status == Status::Done
        };
        if story.deliveries.iter().any(is_shown) && link.merged_into.is_none() {
            continue;
        }
        let id = link.remote_id.as_ref().map_or_else(|| "no record".to_owned(), |id| format!("ID {id}"));
        let merged = link.merged_into.as_ref().map(|survivor| format!(", merged into {survivor}")).unwrap_or_default();
        let text = format!("{} confirmed change {} last: {id}{merged}", link.target, link.change_id);
        let facts = json!({
            "remote_id": link.remote_id,
            "remote_version": link.remote_version,
            "merged_into": link.merged_into,
        });
        let event = TraceEvent::new(link.synced_at, 6, "link", &text);
        events.push(event.of(link.change_id, Some(&link.target)).with(facts));
    }
}
