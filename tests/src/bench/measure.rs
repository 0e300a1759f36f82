//! Which rows there are, and what each compares. Every figure of the host stands beside a baseline of the same run: ratios
//! carry over to another machine, figures do not.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use super::latency::{self, Latency};
use super::native;
use super::report::{Better, Row};
use super::stand::{Stand, Work, since};
use crate::environment::Backend;

/// What is measured, and how thoroughly.
#[derive(Debug, Clone)]
pub struct Options {
    /// Small tables and no repeats: under two minutes in all.
    pub is_quick: bool,
    /// Only rows whose name contains this.
    pub only: Option<String>,
}

/// The rows of one group share what they are made of.
const GROUPS: [(&str, Group); 7] = [
    ("drain MariaDB to MariaDB", Group::Drain(Backend::MariaDb, Backend::MariaDb, ">= 15,000/s, ratio >= 0.7")),
    ("drain SQLite to SQLite", Group::Drain(Backend::Sqlite, Backend::Sqlite, ">= 20,000/s, ratio >= 0.7")),
    ("drain PostgreSQL to MariaDB", Group::Drain(Backend::Postgres, Backend::MariaDb, ">= 15,000/s, ratio >= 0.7")),
    ("two hosts MariaDB", Group::TwoHosts),
    ("latency PostgreSQL", Group::Latency(Backend::Postgres, "10 / 50 ms")),
    ("latency MariaDB", Group::Latency(Backend::MariaDb, "25 / 150 ms")),
    ("backlog MariaDB", Group::Backlog),
];

#[derive(Debug, Clone, Copy)]
enum Group {
    Drain(Backend, Backend, &'static str),
    TwoHosts,
    Latency(Backend, &'static str),
    Backlog,
}

/// Measures, and says on standard error where it is.
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
        match group {
            Group::Drain(store, target, goal) => {
                rows.extend(Box::pin(drain(options, name, (store, target), goal)).await?);
            }
            Group::TwoHosts => rows.push(Box::pin(two_hosts(options)).await?),
            Group::Latency(store, goal) => rows.extend(Box::pin(latency(options, name, store, goal)).await?),
            Group::Backlog => rows.extend(Box::pin(backlog(options)).await?),
        }
    }
    if rows.is_empty() {
        bail!("no row's name contains that; there are: {}", GROUPS.map(|(name, _)| name).join(", "));
    }
    Ok(rows)
}

fn repeats(options: &Options) -> usize {
    if options.is_quick { 1 } else { 3 }
}

#[allow(clippy::cast_precision_loss, reason = "rates need no exactness")]
fn rate(count: usize, elapsed: Duration) -> f64 {
    count as f64 / elapsed.as_secs_f64().max(0.001)
}

/// Creates and then updates, by the host and by the native program, each in a store and target of its own.
async fn drain(
    options: &Options,
    name: &str,
    (store, target): (Backend, Backend),
    goal: &'static str,
) -> Result<Vec<Row>> {
    let count = if options.is_quick { 10_000 } else { 50_000 };
    let (mut creates, mut updates) = ((Vec::new(), Vec::new()), (Vec::new(), Vec::new()));
    for _ in 0..repeats(options) {
        let mut ours = Stand::new(store, target).await?;
        let mut native = Stand::new(store, target).await?;
        for (work, figures) in [(Work::Creates, &mut creates), (Work::Updates, &mut updates)] {
            ours.fill(count, work).await?;
            native.fill(count, work).await?;
            let before = ours.count("done").await?;
            figures.0.push(rate(count, ours.host_drain().await?));
            ensure!(ours.count("done").await? == before + count, "{name}: not all of the host's changes are done");
            let elapsed = Box::pin(native::drain(native.store.url(), native.target.url(), count)).await?;
            figures.1.push(rate(count, elapsed));
        }
    }
    let row = |what: &str, ours: Vec<f64>, baseline: Vec<f64>, against, goal| Row {
        name: format!("{name}, {what}"),
        unit: "patients/s",
        ours,
        baseline,
        against,
        better: Better::More,
        goal,
    };
    Ok(vec![
        row("creates", creates.0.clone(), creates.1, "native", goal),
        row("updates", updates.0.clone(), updates.1, "native", "ratio >= 0.7"),
        row("updates beside creates", updates.0, creates.0, "the host's creates", "ratio >= 0.7"),
    ])
}

async fn two_hosts(options: &Options) -> Result<Row> {
    let count = if options.is_quick { 10_000 } else { 50_000 };
    let mut stand = Stand::new(Backend::MariaDb, Backend::MariaDb).await?;
    let (mut ours, mut baseline) = (Vec::new(), Vec::new());
    for _ in 0..repeats(options) {
        stand.fill(count, Work::Creates).await?;
        baseline.push(rate(count, stand.host_drain().await?));
        stand.fill(count, Work::Creates).await?;
        ours.push(rate(count, stand.hosts_drain(2).await?));
    }
    Ok(Row {
        name: "two hosts on one store, MariaDB".to_owned(),
        unit: "patients/s",
        ours,
        baseline,
        against: "one host",
        better: Better::More,
        goal: "ratio >= 1",
    })
}

async fn latency(options: &Options, name: &str, store: Backend, goal: &'static str) -> Result<Vec<Row>> {
    let changes = if options.is_quick { 600 } else { 4_000 };
    let (mut ours, mut baseline) = (Vec::<Latency>::new(), Vec::<Latency>::new());
    for _ in 0..repeats(options) {
        let mut stand = Stand::new(store, Backend::MariaDb).await?;
        ours.push(Box::pin(latency::of_host(&mut stand, changes)).await?);
        let mut stand = Stand::new(store, Backend::MariaDb).await?;
        baseline.push(Box::pin(latency::of_native(&mut stand, changes)).await?);
    }
    let row = |what: &str, of: fn(&Latency) -> f64| Row {
        name: format!("{name}, 200 changes/s, {what}"),
        unit: "ms",
        ours: ours.iter().map(of).collect(),
        baseline: baseline.iter().map(of).collect(),
        against: "native loop, looks every ms",
        better: Better::Less,
        goal,
    };
    Ok(vec![row("p50", |latency| latency.p50_ms), row("p99", |latency| latency.p99_ms)])
}

/// A long backlog beside many finished rows, against a small table.
async fn backlog(options: &Options) -> Result<Vec<Row>> {
    let (waiting, done, small) =
        if options.is_quick { (20_000, 100_000, 20_000) } else { (1_000_000, 10_000_000, 50_000) };
    let mut plain = Stand::new(Backend::MariaDb, Backend::MariaDb).await?;
    plain.fill(small, Work::Creates).await?;
    let started = start_to_first_claim(&plain).await?;
    let baseline = rate(small, plain.host_drain().await?);
    let mut stand = Stand::new(Backend::MariaDb, Backend::MariaDb).await?;
    stand.age(done).await?;
    stand.fill(waiting, Work::Creates).await?;
    let mut host = stand.host.spawn(&["run", "--until-idle"])?;
    let began = Instant::now();
    let (mut status_ms, mut memory_mb) = (Vec::new(), 0.0_f64);
    while host.is_running()? {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let asked = Instant::now();
        ensure!(stand.host.run(&["status", "--json"]).status == Some(0), "host status failed");
        status_ms.push(since(asked));
        memory_mb = memory_mb.max(resident_mb(host.id()).unwrap_or_default());
    }
    let elapsed = began.elapsed();
    ensure!(stand.count("done").await? == done + waiting, "not everything was delivered");
    let asked = Instant::now();
    ensure!(plain.host.run(&["status", "--json"]).status == Some(0), "host status failed");
    let plain_status = since(asked);
    let row = |name: &str, unit, ours, baseline, against, better, goal| Row {
        name: name.to_owned(),
        unit,
        ours,
        baseline: vec![baseline],
        against,
        better,
        goal,
    };
    Ok(vec![
        row(
            &format!("backlog of {waiting} beside {done} done"),
            "patients/s",
            vec![rate(waiting, elapsed)],
            baseline,
            "a small table",
            Better::More,
            "ratio >= 0.8",
        ),
        row("host status meanwhile", "ms", status_ms, plain_status, "a small table", Better::Less, "< 100 ms"),
        row("memory meanwhile", "MB", vec![memory_mb], 200.0, "the limit", Better::Less, "<= 200 MB"),
        row("start to first claim", "ms", vec![started], 150.0, "the limit", Better::Less, "<= 150 ms"),
    ])
}

/// From the start of the process until a lease is in the table, with compiled adapters in the cache.
async fn start_to_first_claim(stand: &Stand) -> Result<f64> {
    // The first run compiles; it finds nothing to deliver that the second would miss.
    ensure!(stand.host.run(&["check"]).status.is_some(), "host check did not end");
    let mut store = super::connection::Connection::open(stand.store.url()).await?;
    let began = Instant::now();
    let host = stand.host.spawn(&["run"])?;
    while store.rows("SELECT epoch FROM sync_lease LIMIT 1", &[]).await?.is_empty() {
        ensure!(began.elapsed() < Duration::from_secs(30), "nothing was claimed within 30 s");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let elapsed = since(began);
    #[cfg(unix)]
    host.signal(crate::host::HostSignal::Terminate).context("stop the host")?;
    let _ended = tokio::task::spawn_blocking(move || host.wait(Duration::from_secs(60))).await?;
    Ok(elapsed)
}

/// The most memory that the process has had resident, as Linux tells it.
fn resident_mb(process: u32) -> Option<f64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kilobytes: f64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kilobytes / 1_000.0)
}
