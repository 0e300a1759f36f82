//! `host alerts`: lists alerts, acknowledges open ones, and tries the channels.

use std::collections::BTreeMap;
use std::process::ExitCode;

use serde_json::{Value, json};

use super::alerting;
use super::error::CliError;
use super::output::{age, line, printable};
use super::trail::AuditTrail;
use super::{output, wiring};
use crate::alerts::Message;
use crate::config::Config;
use crate::domain::alerts::AlertKind;
use crate::domain::audit::AuditSubject;
use crate::domain::spelling::expected;
use crate::store::{Alert, AlertFilter, AlertSend, Store};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Verb {
    /// List open alerts, and what was sent of them
    List(List),
    /// Acknowledge an open alert: it is not repeated
    Ack(Ack),
    /// Send a test message over each channel
    Test,
}

#[derive(Debug, clap::Args)]
pub(super) struct List {
    /// Show ended alerts too, until they are purged
    #[arg(long)]
    all: bool,
    /// Show at most this many
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    limit: u32,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct Ack {
    /// The number of the alert
    #[arg(required_unless_present_any = ["kind", "target"])]
    id: Option<i64>,
    /// All open alerts of this kind
    #[arg(long, value_parser = kind, conflicts_with = "id")]
    kind: Option<AlertKind>,
    /// All open alerts of this target
    #[arg(long, conflicts_with = "id")]
    target: Option<String>,
}

fn kind(word: &str) -> Result<AlertKind, String> {
    AlertKind::from_word(word).ok_or_else(|| expected(word, AlertKind::WORDS))
}

pub(super) async fn run(config: &Config, trail: &AuditTrail, verb: &Verb) -> Result<ExitCode, CliError> {
    match verb {
        Verb::List(arguments) => list(config, trail, arguments).await,
        Verb::Ack(arguments) => acknowledge(config, trail, arguments).await,
        Verb::Test => test(config, trail).await,
    }
}

async fn list(config: &Config, trail: &AuditTrail, arguments: &List) -> Result<ExitCode, CliError> {
    let store = wiring::readable_store(config).await?;
    let alerts = store.alerts(arguments.all, arguments.limit).await?;
    let sends = sends(&store, &alerts).await?;
    trail.shown(&store, "alert", alerts.len()).await?;
    if arguments.json {
        let alerts: Vec<_> = alerts.iter().map(|alert| as_json(alert, &sends)).collect();
        output::json(&json!({ "alerts": alerts }));
        return Ok(ExitCode::SUCCESS);
    }
    if alerts.is_empty() {
        line(if arguments.all { "no alerts" } else { "no open alerts" });
    }
    let now = store.now_ms().await?;
    for alert in &alerts {
        line(&describe(alert, now));
        if let Some(example) = &alert.example {
            line(&format!("   for example: {}", printable(example)));
        }
        for send in sends.get(&alert.id).into_iter().flatten() {
            line(&format!("   {}", sent(send, now)));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// What was sent, by alert.
async fn sends(store: &Store, alerts: &[Alert]) -> Result<BTreeMap<i64, Vec<AlertSend>>, CliError> {
    let mut sends = BTreeMap::<_, Vec<_>>::new();
    if let Some(first_id) = alerts.iter().map(|alert| alert.id).min() {
        for send in store.alert_sends(first_id).await? {
            sends.entry(send.alert_id).or_default().push(send);
        }
    }
    Ok(sends)
}

fn as_json(alert: &Alert, sends: &BTreeMap<i64, Vec<AlertSend>>) -> Value {
    let mut object = json!(alert);
    object["channels"] = json!(sends.get(&alert.id).map(Vec::as_slice).unwrap_or_default());
    object
}

/// One line about an alert.
pub(super) fn describe(alert: &Alert, now: i64) -> String {
    let Alert { id, key, raised_at, ended_at, acknowledged_at, acknowledged_by, .. } = alert;
    let lasted = match ended_at {
        Some(ended_at) => format!("ended {} ago, after {}", age(now - ended_at), age(ended_at - raised_at)),
        None => format!("for {}", age(now - raised_at)),
    };
    let by = acknowledged_by.as_deref().map(|name| format!(" by {}", printable(name))).unwrap_or_default();
    let acknowledged = acknowledged_at.map(|at| format!(", acknowledged{by} {} ago", age(now - at)));
    format!("{id}  {}: {} ({lasted}{})", key.kind, printable(&alert.sentence), acknowledged.unwrap_or_default())
}

fn sent(send: &AlertSend, now: i64) -> String {
    let AlertSend { channel, sends, last_sent_at, failures, error, .. } = send;
    let times = if *sends == 1 { "once".to_owned() } else { format!("{sends} times") };
    let last = last_sent_at.map(|at| format!(", last {} ago", age(now - at))).unwrap_or_default();
    let error = error.as_deref().filter(|_| *failures > 0).map(|error| {
        let again = if *failures == 1 { "attempt" } else { "attempts" };
        format!("; {failures} {again} failed: {}", printable(error))
    });
    format!("{channel}: sent {times}{last}{}", error.unwrap_or_default())
}

async fn acknowledge(config: &Config, trail: &AuditTrail, arguments: &Ack) -> Result<ExitCode, CliError> {
    let Ack { id, kind, target } = arguments;
    let detail = id.map(|id| format!("alert {id}")).or(kind.map(|kind| format!("alerts of kind {kind}")));
    let subject = AuditSubject::default().at(target.as_deref());
    trail.about(match &detail {
        Some(detail) => subject.with_detail(detail),
        None => subject,
    });
    if let Some(target) = target {
        wiring::target_config(config, target)?;
    }
    let store = trail.writable_store(config).await?;
    let filter = AlertFilter { id: *id, kind: *kind, target: target.clone() };
    match store.acknowledge_alerts(&filter, trail.who()).await? {
        0 => Err(CliError::Failed(
            "no open alert that is not acknowledged was selected; see `host alerts list`".to_owned(),
        )),
        count => {
            let are = if count == 1 { "alert is" } else { "alerts are" };
            line(&format!("{count} {are} acknowledged: nothing more is sent until the end"));
            Ok(ExitCode::SUCCESS)
        }
    }
}

async fn test(config: &Config, trail: &AuditTrail) -> Result<ExitCode, CliError> {
    let none = || CliError::Config(format!("{} has no [alerts.webhook] and no [alerts.smtp]", config.path.display()));
    let channels = config.alerts.as_ref().map(alerting::channels).transpose()?.unwrap_or_default();
    if channels.is_empty() {
        return Err(none());
    }
    trail.done_if_there(config).await?;
    let message = Message::test(&wiring::machine());
    let mut failed = 0;
    for channel in &channels {
        let (name, place) = (channel.name(), channel.place());
        match channel.send(&message).await {
            Ok(answer) => line(&format!("[OK] {name}: {place} answered {}", printable(&answer))),
            Err(error) => {
                failed += 1;
                line(&format!("[PROBLEM] {name}: {place}: {}", printable(&error)));
            }
        }
    }
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::from(1) })
}
