//! What the hosts tell of themselves once everything is at rest: their status, metrics and traces, and where that
//! differs from what happened. Reading is apart from judging, which is pure and has its own tests.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::{
    evidence::{Delivery, Evidence, FHIR, OPENEMR},
    fleet::Fleet,
    verdict::newest_changes,
};
use crate::host::Host;
use crate::http_client::client;

/// Aggregates whose traces are read.
const TRACED: usize = 8;

/// How long a host takes to listen.
const STARTED_WITHIN: Duration = Duration::from_secs(20);

/// The states of deliveries that `host status` counts.
const STATUSES: [&str; 7] = ["pending", "processing", "done", "failed", "superseded", "dismissed", "skipped"];

/// What the hosts tell.
#[derive(Debug, Clone, Default)]
pub(crate) struct Told {
    /// `host status --json`.
    pub(crate) status: Value,
    /// The metrics of each host that runs, by its process id.
    pub(crate) metrics: BTreeMap<u32, String>,
    /// `host trace --json` of some aggregates.
    pub(crate) traces: Vec<Value>,
}

impl Told {
    /// Reads it while the hosts run and nothing is left to do. `asker` is a host of the same store.
    pub(crate) async fn read(evidence: &Evidence, fleet: &Fleet, asker: &Host) -> Result<Self> {
        let mut told = Self { status: json_of(asker, &["status", "--json"])?, ..Self::default() };
        for (process, port) in fleet.running() {
            told.metrics.insert(process, metrics_at(port).await?);
        }
        let newest = newest_changes(evidence);
        for change in newest.values().step_by((newest.len() / TRACED).max(1)) {
            let subject = ["--type", &change.aggregate_type, "--id", &change.aggregate_id];
            told.traces.push(json_of(asker, &[&["trace", "--json"], &subject[..]].concat())?);
        }
        Ok(told)
    }
}

/// The metrics of a host, which may have started this moment.
async fn metrics_at(port: u16) -> Result<String> {
    let (client, until) = (client()?, Instant::now() + STARTED_WITHIN);
    loop {
        match client.get(format!("http://127.0.0.1:{port}/metrics")).send().await {
            Ok(answer) => return Ok(answer.error_for_status()?.text().await?),
            Err(error) if Instant::now() > until => return Err(error).context("read the metrics of a host"),
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

/// Runs a command that prints JSON.
fn json_of(host: &Host, arguments: &[&str]) -> Result<Value> {
    let output = host.run(arguments);
    ensure!(output.status == Some(0), "host {}: {}", arguments.join(" "), output.stderr);
    serde_json::from_str(&output.stdout).with_context(|| format!("read what host {} printed", arguments.join(" ")))
}

/// Every point at which the journal, the status, the metrics or a trace differs from what happened.
pub(crate) fn disagreements(evidence: &Evidence, told: &Told) -> Vec<String> {
    let mut found = Vec::new();
    found.extend(of_status(evidence, &told.status));
    found.extend(of_journal(evidence));
    found.extend(told.metrics.iter().flat_map(|(process, metrics)| of_metrics(evidence, *process, metrics)));
    found.extend(told.traces.iter().flat_map(|trace| of_trace(evidence, trace)));
    found
}

fn count(evidence: &Evidence, is_meant: impl Fn(&Delivery) -> bool) -> u64 {
    evidence.deliveries.iter().map(|delivery| u64::from(is_meant(delivery))).sum()
}

fn of_status(evidence: &Evidence, status: &Value) -> Vec<String> {
    let mut found = Vec::new();
    for word in STATUSES {
        for target in [OPENEMR, FHIR] {
            let there = count(evidence, |delivery| delivery.target == target && delivery.status == word);
            let told = &status["targets"][target][word];
            if told.as_u64() != Some(there) {
                found.push(format!("host status counts {told} deliveries to {target} as {word}: there are {there}"));
            }
        }
    }
    found
}

/// Each attempt delivered as many changes as the deliveries that name it. A clinical record may be sent again after a
/// merge: then its delivery names the later attempt.
fn of_journal(evidence: &Evidence) -> Vec<String> {
    let mut of_lease: BTreeMap<(&str, i64), u64> = BTreeMap::new();
    for delivery in evidence.deliveries.iter().filter(|it| it.status == "done" && it.last_attempt != 0) {
        *of_lease.entry((&delivery.target, delivery.last_attempt)).or_default() += 1;
    }
    let may_be_sent_again = evidence.changes.iter().any(|change| !change.is_patient());
    let mut found = Vec::new();
    for attempt in &evidence.attempts {
        let there = of_lease.remove(&(attempt.target.as_str(), attempt.lease_id)).unwrap_or_default();
        if there > attempt.done || (there < attempt.done && !may_be_sent_again) {
            let (lease, target, done) = (attempt.lease_id, &attempt.target, attempt.done);
            found.push(format!("the journal has {done} done of lease {lease} at {target}: there are {there}"));
        }
    }
    let missing = of_lease.into_iter().map(|((target, lease), count)| {
        format!("the journal lacks lease {lease} at {target}, which delivered {count} changes")
    });
    found.extend(missing);
    found
}

/// What one host counted is what the journal has of it, and what it shows of the store is there.
fn of_metrics(evidence: &Evidence, process: u32, metrics: &str) -> Vec<String> {
    let mut found = Vec::new();
    for target in [OPENEMR, FHIR] {
        let value = |name: &str| value(metrics, name);
        let counted = value(&format!("deliveries_total{{target=\"{target}\",outcome=\"done\",kind=\"none\"}}"));
        let lost = value(&format!("leases_lost_total{{target=\"{target}\"}}")).unwrap_or_default();
        // MACHINE-PROCESS-RANDOM
        let is_its = |host: &str| host.rsplit('-').nth(1) == Some(process.to_string().as_str());
        let of_host = evidence.attempts.iter().filter(|attempt| attempt.target == target && is_its(&attempt.host));
        let journal: u64 = of_host.map(|attempt| attempt.done).sum();
        // The answer to a commit may be lost: the host takes its lease for lost then, and the journal has the row.
        let agrees = counted.is_none_or(|counted| counted == journal || (counted < journal && lost > 0));
        if counted.is_none() && journal > 0 || !agrees {
            found.push(format!(
                "host process {process} counted {counted:?} deliveries to {target}, the journal has {journal} of it"
            ));
        }
        for word in STATUSES {
            let there = count(evidence, |delivery| delivery.target == target && delivery.status == word);
            let shown = value(&format!("queue_deliveries{{target=\"{target}\",status=\"{word}\"}}"));
            if shown != Some(there) {
                found.push(format!(
                    "the metrics of host process {process} show {shown:?} {word} at {target}: there are {there}"
                ));
            }
        }
    }
    found
}

/// The value of a whole number; gauges have it as `7.0`.
fn value(metrics: &str, name: &str) -> Option<u64> {
    let line = metrics.lines().find_map(|line| line.strip_prefix("neuronova_")?.strip_prefix(name))?;
    let number = line.trim();
    number.strip_suffix(".0").unwrap_or(number).parse().ok()
}

/// The trace of an aggregate ends at each target as its newest delivery did, with the id that the target gave.
fn of_trace(evidence: &Evidence, trace: &Value) -> Vec<String> {
    let id = trace["aggregate_id"].as_str().unwrap_or_default();
    let events = trace["events"].as_array().map_or(&[][..], Vec::as_slice);
    let mut found = Vec::new();
    for target in [OPENEMR, FHIR] {
        let is_its = |it: &&Delivery| it.target == target && it.aggregate_id == id;
        let Some(newest) = evidence.deliveries.iter().filter(is_its).max_by_key(|it| it.outbox_id) else { continue };
        let told = events.iter().find(|event| {
            event["event"] == "delivery" && event["target"] == target && event["change_id"] == newest.outbox_id
        });
        let link = evidence.links.iter().find(|link| link.target == target && link.aggregate_id == id);
        let remote_id = link.filter(|link| link.delivered_outbox_id == newest.outbox_id);
        let remote_id = remote_id.map(|link| link.remote_id.as_str()).filter(|remote_id| !remote_id.is_empty());
        let agrees = told
            .is_some_and(|event| event["status"] == newest.status.as_str() && event["remote_id"].as_str() == remote_id);
        if !agrees {
            let (change, status) = (newest.outbox_id, &newest.status);
            found.push(format!("{id}: the trace does not end as change {change} at {target}: {status}, {remote_id:?}"));
        }
    }
    found
}

#[cfg(test)]
#[path = "agreement_tests.rs"]
mod tests;
