//! Asks the hosts' own commands what goes on while things break, and compares their answers with what is so.
//!
//! `host why` is asked about random patients all the time. What is so is read from the store itself before and after
//! each question, not through a proxy. An answer is right when it fits one of the two, since everything moves
//! meanwhile. In the end, `host status`, the journal and `host trace` must tell the same as the deliveries and links.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context as _, Result};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use tokio::runtime::Handle;

use super::{
    evidence::{Evidence, FHIR, OPENEMR},
    faults::Faults,
    world::World,
};
use crate::{host::Host, session::Session};

/// The part of the answers that must be right, in percent. Two moves between the readings are seen as an error.
const RIGHT_PERCENT: usize = 95;
/// Fewer answers prove nothing.
const ANSWERS_MIN: usize = 20;
/// Aggregates whose story is compared in the end.
const TRACED_MAX: usize = 5;
/// `next_attempt_at` of what waits for a reference.
const WAITING: &str = "9223372036854775805";

/// What was asked, and how many answers were right.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    asked: usize,
    right: usize,
    /// The store could not be read.
    unanswered: usize,
    wrong: Vec<String>,
}

/// What the store holds of the newest change of a patient at a target.
#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
struct Facts {
    is_routed: bool,
    status: Option<String>,
    is_waiting: bool,
    is_in_flight: bool,
    is_confirmed: bool,
    is_target_down: bool,
}

impl Facts {
    async fn read(session: &mut Session, patient_id: &str, target: &str) -> Result<Self> {
        let of_patient = format!("aggregate_type = 'patient' AND aggregate_id = '{patient_id}'");
        let newest = format!("(SELECT MAX(id) FROM sync_outbox WHERE {of_patient})");
        let delivery = format!("FROM sync_delivery WHERE target = '{target}' AND outbox_id = {newest}");
        let sql = format!(
            "SELECT (SELECT CASE WHEN routed_at IS NULL THEN 0 ELSE 1 END FROM sync_outbox WHERE id = {newest}), \
             (SELECT status {delivery}), \
             (SELECT CASE WHEN next_attempt_at = {WAITING} THEN 1 ELSE 0 END {delivery}), \
             (SELECT COUNT(*) FROM sync_in_flight WHERE target = '{target}' AND {of_patient}), \
             (SELECT CASE WHEN delivered_outbox_id >= {newest} THEN 1 ELSE 0 END FROM sync_link \
              WHERE target = '{target}' AND {of_patient}), \
             (SELECT state FROM sync_target WHERE name = '{target}')"
        );
        let rows = session.rows(&sql).await?;
        let row = rows.into_iter().next().context("no row")?;
        let text = |index: usize| row.get(index).and_then(Option::as_deref);
        Ok(Self {
            is_routed: text(0) == Some("1"),
            status: text(1).map(str::to_owned),
            is_waiting: text(2) == Some("1"),
            is_in_flight: text(3).is_some_and(|count| count != "0"),
            is_confirmed: text(4) == Some("1"),
            is_target_down: text(5) == Some("down"),
        })
    }

    /// The classes of `host why` that fit.
    fn fitting(&self) -> Vec<&'static str> {
        match self.status.as_deref() {
            _ if !self.is_routed => vec!["not-routed"],
            _ if self.is_in_flight => vec!["in-progress"],
            Some("done") => vec!["delivered"],
            Some("superseded") if self.is_confirmed => vec!["delivered", "not-wanted"],
            Some("failed") => vec!["failed", "conflict"],
            Some("superseded" | "dismissed" | "skipped") => vec!["not-wanted"],
            Some(_) if self.is_waiting && self.is_target_down => vec!["waits-for-reference", "waits-for-target"],
            Some(_) if self.is_waiting => vec!["waits-for-reference"],
            Some(_) if self.is_target_down => vec!["waits-for-target"],
            Some(_) => vec!["in-progress"],
            None => vec!["not-routed"],
        }
    }
}

/// Asks until the time of faults is over.
pub(crate) fn ask(world: &World, host: &Host, faults: &Faults, seed: u64, runtime: &Handle) -> Answers {
    let mut dice = StdRng::seed_from_u64(seed);
    let mut answers = Answers::default();
    while faults.pause(Duration::from_millis(dice.random_range(300..900))) {
        let target = [OPENEMR, FHIR][dice.random_range(0..2)];
        match ask_once(world, host, target, &mut dice, runtime) {
            Ok(Some((class, fitting, patient_id))) => {
                answers.asked += 1;
                if fitting.contains(&class.as_str()) {
                    answers.right += 1;
                } else {
                    answers
                        .wrong
                        .push(format!("{patient_id} at {target}: `{class}`, and {} fits", fitting.join(" or ")));
                }
            }
            // The store, or the way to it, is broken at the moment.
            Ok(None) | Err(_) => answers.unanswered += 1,
        }
    }
    answers
}

/// One question: the class of the answer, and those that fit before and after it.
fn ask_once(
    world: &World,
    host: &Host,
    target: &str,
    dice: &mut StdRng,
    runtime: &Handle,
) -> Result<Option<(String, Vec<&'static str>, String)>> {
    let patient_id = runtime.block_on(async {
        let mut session = Session::open(&world.store_urls[0]).await?;
        let sql = "SELECT aggregate_id FROM sync_outbox WHERE aggregate_type = 'patient' ORDER BY id DESC LIMIT 30";
        let rows = session.rows(sql).await?;
        let row = rows.get(dice.random_range(0..rows.len().max(1))).context("no patient yet")?;
        let before = row.first().cloned().flatten().context("no id")?;
        anyhow::Ok(before)
    })?;
    let facts = || {
        runtime.block_on(async {
            let mut session = Session::open(&world.store_urls[0]).await?;
            Facts::read(&mut session, &patient_id, target).await
        })
    };
    let before = facts()?;
    let output = host.run(&["why", &patient_id, "--target", target, "--json"]);
    let after = facts()?;
    if output.status.is_none_or(|status| (1..10).contains(&status)) {
        return Ok(None);
    }
    let json: serde_json::Value = serde_json::from_str(&output.stdout).context("read the answer")?;
    let class = json["class"].as_str().context("an answer without a class")?.to_owned();
    Ok(Some((class, [before.fitting(), after.fitting()].concat(), patient_id)))
}

impl Answers {
    /// The line for the summary.
    pub(crate) fn line(&self) -> String {
        let Self { asked, right, unanswered, .. } = self;
        format!("why: {right} of {asked} answers were right, and {unanswered} times the store could not be read")
    }

    pub(crate) fn violations(&self) -> Vec<String> {
        let is_wrong = self.asked >= ANSWERS_MIN && self.right * 100 < self.asked * RIGHT_PERCENT;
        if is_wrong { self.wrong.iter().map(|wrong| format!("host why: {wrong}")).collect() } else { Vec::new() }
    }

    /// For whoever reads the run's journal.
    pub(crate) fn wrong(&self) -> &[String] {
        &self.wrong
    }
}

/// Compares what the commands tell at rest with the deliveries and links. Gives a line for the summary, and what
/// differs.
pub(crate) async fn compare(
    world: &World,
    host: &Host,
    evidence: &Evidence,
    is_clinical: bool,
) -> Result<(String, Vec<String>)> {
    let mut found = status(host, evidence);
    let (attempts, confirmed) = journal(world).await?;
    for target in [OPENEMR, FHIR] {
        let done = count(evidence, target, "done");
        let confirmed = confirmed.get(target).copied().unwrap_or_default();
        // What refers to a merged patient is confirmed again.
        if confirmed != done && !(is_clinical && confirmed > done) {
            found
                .push(format!("the journal has {confirmed} confirmations by {target}, and {done} deliveries are done"));
        }
    }
    let (traced, differing) = trace(host, evidence);
    found.extend(differing);
    let line = format!(
        "books: status, the journal's {attempts} attempts, and the trace of {traced} patients {} the targets",
        if found.is_empty() { "agree with" } else { "differ from" }
    );
    Ok((line, found))
}

fn count(evidence: &Evidence, target: &str, status: &str) -> u64 {
    let with = evidence.deliveries.iter().filter(|one| one.target == target && one.status == status);
    u64::try_from(with.count()).unwrap_or(u64::MAX)
}

fn status(host: &Host, evidence: &Evidence) -> Vec<String> {
    let json = host.status();
    let mut found = Vec::new();
    for target in [OPENEMR, FHIR] {
        for status in ["pending", "processing", "done", "failed", "superseded", "dismissed", "skipped"] {
            let (shown, is) = (json["targets"][target][status].as_u64(), count(evidence, target, status));
            if shown != Some(is) {
                found.push(format!("host status shows {shown:?} {status} at {target}, and {is} are"));
            }
        }
    }
    found
}

/// How many attempts the journal has, and how many changes each target confirmed in them.
async fn journal(world: &World) -> Result<(usize, BTreeMap<String, u64>)> {
    let mut session = Session::open(&world.store_urls[0]).await.context("open the store")?;
    let rows = session.rows("SELECT target, outcomes FROM sync_attempt").await?;
    let attempts = rows.len();
    let mut confirmed = BTreeMap::new();
    for row in rows {
        let target = row[0].clone().context("an attempt without a target")?;
        let outcomes: serde_json::Value = serde_json::from_str(row[1].as_deref().unwrap_or("{}"))?;
        *confirmed.entry(target).or_default() += outcomes["done"].as_u64().unwrap_or_default();
    }
    session.close().await?;
    Ok((attempts, confirmed))
}

/// Whether `host trace` shows of some patients the change that each target confirmed last.
fn trace(host: &Host, evidence: &Evidence) -> (usize, Vec<String>) {
    let patients: Vec<_> = evidence.cache.keys().chain(evidence.acknowledged.keys()).take(TRACED_MAX).collect();
    let mut found = Vec::new();
    for patient_id in &patients {
        let output = host.run(&["trace", patient_id.as_str(), "--json"]);
        let json: serde_json::Value = serde_json::from_str(&output.stdout).unwrap_or_default();
        let events = json["events"].as_array().cloned().unwrap_or_default();
        for link in evidence.links.iter().filter(|link| link.aggregate_id == **patient_id) {
            let is_it = |event: &&serde_json::Value| {
                event["event"] == "delivery"
                    && event["status"] == "done"
                    && event["target"] == link.target.as_str()
                    && event["change_id"].as_i64() == Some(link.delivered_outbox_id)
            };
            if !events.iter().any(|event| is_it(&event)) {
                let (target, change) = (&link.target, link.delivered_outbox_id);
                found.push(format!("host trace {patient_id} lacks that {target} confirmed change {change}"));
            }
        }
    }
    (patients.len(), found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_classes_that_fit_follow_from_what_the_store_holds() {
        let routed = || Facts { is_routed: true, ..Facts::default() };
        let with = |status: &str| Facts { status: Some(status.to_owned()), ..routed() };
        for (facts, fitting) in [
            (Facts::default(), "not-routed"),
            (routed(), "not-routed"),
            (with("pending"), "in-progress"),
            (Facts { is_target_down: true, ..with("pending") }, "waits-for-target"),
            (Facts { is_waiting: true, ..with("pending") }, "waits-for-reference"),
            (Facts { is_in_flight: true, is_target_down: true, ..with("processing") }, "in-progress"),
            (with("done"), "delivered"),
            (with("failed"), "failed conflict"),
            (with("skipped"), "not-wanted"),
        ] {
            assert_eq!(facts.fitting().join(" "), fitting, "{facts:?}");
        }
    }

    #[test]
    fn too_many_wrong_answers_are_violations() {
        let answers = |right: usize, wrong: usize| Answers {
            asked: right + wrong,
            right,
            unanswered: 0,
            wrong: vec!["one".to_owned(); wrong],
        };
        assert_eq!(answers(95, 5).violations().len(), 0);
        assert_eq!(answers(94, 6).violations().len(), 6);
        assert_eq!(answers(10, 5).violations().len(), 0, "too few to prove anything");
    }
}
