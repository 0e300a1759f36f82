//! Which rows there are, and what each compares. Every figure of the host has a baseline of the same run:
//! ratios carry over to another machine, figures do not.

use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};

use super::latency::{self, Latency};
use super::report::{Better, Goal, Row};
use super::stand::{Stand, Work};
use super::{backlog, fhir, imports, journal, judging, native, start, telemetry, verifying};
use crate::environment::Backend;

/// What is measured, and how thoroughly.
#[derive(Debug, Clone)]
pub struct Options {
    /// Small tables and no repeats: under two minutes in all.
    pub is_quick: bool,
    /// Only rows whose group's name contains this.
    pub only: Option<String>,
}

impl Options {
    pub(super) fn repeats(&self) -> usize {
        if self.is_quick { 1 } else { 3 }
    }

    /// The one number or the other.
    pub(super) fn sized(&self, quick: usize, full: usize) -> usize {
        if self.is_quick { quick } else { full }
    }
}

/// The rows of one group share what they are made of.
const GROUPS: [(&str, Group); 21] = [
    ("drain MariaDB to MariaDB", Group::Drain(Backend::MariaDb, Backend::MariaDb, 15_000.0)),
    ("drain SQLite to SQLite", Group::Drain(Backend::Sqlite, Backend::Sqlite, 20_000.0)),
    ("drain PostgreSQL to MariaDB", Group::Drain(Backend::Postgres, Backend::MariaDb, 15_000.0)),
    ("FHIR", Group::Fhir),
    ("two hosts MariaDB", Group::TwoHosts(Backend::MariaDb, Backend::MariaDb)),
    ("two hosts PostgreSQL", Group::TwoHosts(Backend::Postgres, Backend::MariaDb)),
    ("two hosts SQLite", Group::TwoHosts(Backend::Sqlite, Backend::Sqlite)),
    ("latency PostgreSQL", Group::Latency(Backend::Postgres, (10.0, 50.0))),
    ("latency MariaDB", Group::Latency(Backend::MariaDb, (25.0, 150.0))),
    ("import SQLite", Group::Import(Backend::Sqlite)),
    ("import MariaDB", Group::Import(Backend::MariaDb)),
    ("import PostgreSQL", Group::Import(Backend::Postgres)),
    ("start", Group::Start),
    ("backlog MariaDB", Group::Backlog),
    ("judging", Group::Judging),
    ("journal MariaDB to MariaDB", Group::Journal(Backend::MariaDb, Backend::MariaDb)),
    ("journal SQLite to SQLite", Group::Journal(Backend::Sqlite, Backend::Sqlite)),
    ("journal PostgreSQL to MariaDB", Group::Journal(Backend::Postgres, Backend::MariaDb)),
    ("verify OpenEMR", Group::VerifyOpenEmr),
    ("verify FHIR", Group::VerifyFhir),
    ("telemetry", Group::Telemetry),
];

#[derive(Debug, Clone, Copy)]
enum Group {
    /// Store, target, patients a second.
    Drain(Backend, Backend, f64),
    Fhir,
    TwoHosts(Backend, Backend),
    /// Store, milliseconds of p50 and p99.
    Latency(Backend, (f64, f64)),
    Import(Backend),
    Start,
    Backlog,
    Judging,
    Journal(Backend, Backend),
    VerifyOpenEmr,
    VerifyFhir,
    Telemetry,
}

/// Measures, and prints its progress to standard error.
///
/// # Errors
/// When a server is not there, or a drain does not end well.
pub async fn all(options: &Options) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for (name, group) in GROUPS {
        if options.only.as_ref().is_some_and(|only| !name.contains(only.as_str())) {
            continue;
        }
        eprintln!("measuring: {name}");
        let began = Instant::now();
        rows.extend(match group {
            Group::Drain(store, target, goal) => Box::pin(drain(options, name, (store, target), goal)).await?,
            Group::Fhir => Box::pin(fhir::rows(options)).await?,
            Group::TwoHosts(store, target) => vec![Box::pin(two_hosts(options, store, target)).await?],
            Group::Latency(store, goal) => Box::pin(latency(options, name, store, goal)).await?,
            Group::Import(store) => Box::pin(imports::rows(options, store)).await?,
            Group::Start => vec![Box::pin(start::row(options)).await?],
            Group::Backlog => Box::pin(backlog::rows(options)).await?,
            Group::Judging => judging::rows()?,
            Group::Journal(store, target) => Box::pin(journal::rows(options, name, store, target)).await?,
            Group::VerifyOpenEmr => Box::pin(verifying::openemr(options)).await?,
            Group::VerifyFhir => vec![Box::pin(verifying::fhir(options)).await?],
            Group::Telemetry => Box::pin(telemetry::rows(options)).await?,
        });
        eprintln!("   took {:.0} s", began.elapsed().as_secs_f64());
    }
    if rows.is_empty() {
        bail!("no row's name contains that; there are: {}", GROUPS.map(|(name, _)| name).join(", "));
    }
    Ok(rows)
}

#[allow(clippy::cast_precision_loss, reason = "rates need no exactness")]
pub(super) fn rate(count: usize, elapsed: Duration) -> f64 {
    count as f64 / elapsed.as_secs_f64().max(0.001)
}

/// Creates and then updates, by the host and by the native program, each in a store and target of its own.
async fn drain(options: &Options, name: &str, (store, target): (Backend, Backend), goal: f64) -> Result<Vec<Row>> {
    let count = options.sized(10_000, 50_000);
    let (mut creates, mut updates) = <(Rates, Rates)>::default();
    for _ in 0..options.repeats() {
        let mut ours = Stand::new(store, target).await?;
        let mut native = Stand::new(store, target).await?;
        for (work, figures) in [(Work::Creates, &mut creates), (Work::Updates, &mut updates)] {
            ours.fill(count, work).await?;
            native.fill(count, work).await?;
            let before = ours.count("done").await?;
            let drained = ours.host_drain().await?;
            figures.ours.push(rate(count, drained.elapsed));
            figures.without_checks.push(rate(count, drained.elapsed.saturating_sub(drained.checks)));
            ensure!(ours.count("done").await? == before + count, "{name}: not all of the host's changes are done");
            let elapsed = Box::pin(native::drain(native.store.url(), native.target_url(), count)).await?;
            figures.native.push(rate(count, elapsed));
        }
    }
    let row = |what: &str, ours: &[f64], baseline: &[f64], against, goal| Row {
        name: format!("{name}, {what}"),
        unit: "patients/s",
        ours: ours.to_vec(),
        baseline: baseline.to_vec(),
        against,
        better: Better::More,
        goal,
    };
    let unchecked = "the same drain, less the checks of statements";
    Ok(vec![
        row("creates", &creates.ours, &creates.native, "native", Goal::both(goal, 0.7)),
        row("updates", &updates.ours, &updates.native, "native", Goal::ratio(0.7)),
        row("updates against creates", &updates.ours, &creates.ours, "the host's creates", Goal::ratio(0.7)),
        row("creates with checks", &creates.ours, &creates.without_checks, unchecked, Goal::ratio(0.97)),
        row("updates with checks", &updates.ours, &updates.without_checks, unchecked, Goal::ratio(0.97)),
    ])
}

/// Patients a second, one figure for each repeat.
#[derive(Debug, Default)]
struct Rates {
    ours: Vec<f64>,
    native: Vec<f64>,
    /// As `ours`, had the checks of statements taken no time. Workers that wait at once are counted one after the
    /// other, so this is more than could be won.
    without_checks: Vec<f64>,
}

async fn two_hosts(options: &Options, store: Backend, target: Backend) -> Result<Row> {
    let count = options.sized(10_000, 50_000);
    let (mut ours, mut baseline) = (Vec::new(), Vec::new());
    for _ in 0..options.repeats() {
        for (hosts, figures) in [(1, &mut baseline), (2, &mut ours)] {
            // Each in tables of its own: what runs second would else have the longer ones.
            let mut stand = Stand::new(store, target).await?;
            stand.fill(count, Work::Creates).await?;
            figures.push(rate(count, stand.hosts_drain(hosts).await?.elapsed));
        }
    }
    Ok(Row {
        name: format!("two hosts on one store, {}", store.name()),
        unit: "patients/s",
        ours,
        baseline,
        against: "one host",
        better: Better::More,
        goal: Goal::ratio(1.0),
    })
}

async fn latency(options: &Options, name: &str, store: Backend, goal: (f64, f64)) -> Result<Vec<Row>> {
    let changes = if options.is_quick { 600 } else { 4_000 };
    let (mut ours, mut baseline) = (Vec::<Latency>::new(), Vec::<Latency>::new());
    for _ in 0..options.repeats() {
        let mut stand = Stand::new(store, Backend::MariaDb).await?;
        ours.push(Box::pin(latency::of_host(&mut stand, changes)).await?);
        let mut stand = Stand::new(store, Backend::MariaDb).await?;
        baseline.push(Box::pin(latency::of_native(&mut stand, changes)).await?);
    }
    let row = |what: &str, of: fn(&Latency) -> f64, goal| Row {
        name: format!("{name}, 200 changes/s, {what}"),
        unit: "ms",
        ours: ours.iter().map(of).collect(),
        baseline: baseline.iter().map(of).collect(),
        against: "native loop, looks every ms",
        better: Better::Less,
        goal: Goal::figure(goal),
    };
    Ok(vec![row("p50", |latency| latency.p50_ms, goal.0), row("p99", |latency| latency.p99_ms, goal.1)])
}
