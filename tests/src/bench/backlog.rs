//! A long backlog next to many finished rows, against a small table: the same drain, watched in the same way. It also
//! shows what `host status` and the host's memory are meanwhile, and what a native program does with as large a target:
//! what both lose is the target's.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Result, ensure};

use super::measure::{Options, rate};
use super::native;
use super::report::{Better, Goal, Row};
use super::stand::{Stand, Work, since};
use super::watch::peak_memory_mb;
use crate::environment::Backend;

/// How often `host status` is asked for.
const ASK_EVERY: Duration = Duration::from_secs(1);
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// What was seen while the host delivered all that waited.
struct Seen {
    rate: f64,
    status_ms: Vec<f64>,
    memory_mb: f64,
}

/// The rows of the backlog.
pub(super) async fn rows(options: &Options) -> Result<Vec<Row>> {
    let (waiting, done, small) =
        if options.is_quick { (20_000, 100_000, 20_000) } else { (1_000_000, 10_000_000, 50_000) };
    let mut baseline = Vec::new();
    for _ in 0..options.repeats() {
        let mut plain = Stand::new(Backend::MariaDb, Backend::MariaDb).await?;
        plain.fill(small, Work::Creates).await?;
        baseline.push(watched(&plain, small).await?);
    }
    let mut stand = Stand::new(Backend::MariaDb, Backend::MariaDb).await?;
    let began = Instant::now();
    stand.age(done).await?;
    stand.fill(waiting, Work::Creates).await?;
    eprintln!("   {done} done and {waiting} waiting were made in {:.0} s", began.elapsed().as_secs_f64());
    let ours = watched(&stand, waiting).await?;
    ensure!(stand.count("done").await? == done + waiting, "not everything was delivered");
    let more = waiting / 5;
    let mut in_large_tables = (Vec::new(), Vec::new());
    for _ in 0..options.repeats() {
        stand.fill(more, Work::Creates).await?;
        in_large_tables.0.push(rate(more, stand.host_drain().await?.elapsed));
        stand.fill(more, Work::Creates).await?;
        let elapsed = Box::pin(native::drain(stand.store.url(), stand.target_url(), more)).await?;
        in_large_tables.1.push(rate(more, elapsed));
    }
    let row = |name: String, unit, ours, baseline, against, better, goal| Row {
        name,
        unit,
        ours,
        baseline,
        against,
        better,
        goal,
    };
    let against = "a small table";
    let of_baseline = |figure: fn(&Seen) -> f64| baseline.iter().map(figure).collect::<Vec<_>>();
    Ok(vec![
        row(
            format!("{waiting} waiting next to {done} done"),
            "patients/s",
            vec![ours.rate],
            of_baseline(|seen| seen.rate),
            against,
            Better::More,
            Goal::ratio(0.8),
        ),
        row(
            format!("{more} more into those tables"),
            "patients/s",
            in_large_tables.0,
            in_large_tables.1,
            "native",
            Better::More,
            Goal::ratio(0.7),
        ),
        row(
            "host status meanwhile".to_owned(),
            "ms",
            ours.status_ms,
            baseline.iter().flat_map(|seen| seen.status_ms.clone()).collect(),
            against,
            Better::Less,
            Goal::figure(100.0),
        ),
        row(
            "memory meanwhile".to_owned(),
            "MB",
            vec![ours.memory_mb],
            of_baseline(|seen| seen.memory_mb),
            against,
            Better::Less,
            Goal::figure(200.0),
        ),
    ])
}

/// Drains as any other row does, from the start of the process to the last delivery, and asks for the status meanwhile.
async fn watched(stand: &Stand, waiting: usize) -> Result<Seen> {
    let started = SystemTime::now().duration_since(UNIX_EPOCH)?;
    let mut host = stand.host.spawn(&["run", "--until-idle"])?;
    let (mut status_ms, mut memory_mb, mut asked) = (Vec::new(), 0.0_f64, Instant::now());
    while host.is_running()? {
        tokio::time::sleep(LOOK_EVERY).await;
        memory_mb = memory_mb.max(peak_memory_mb(host.id()).unwrap_or_default());
        if asked.elapsed() >= ASK_EVERY {
            asked = Instant::now();
            ensure!(stand.host.run(&["status", "--json"]).status == Some(0), "host status failed");
            status_ms.push(since(asked));
        }
    }
    if status_ms.is_empty() {
        let asked = Instant::now();
        ensure!(stand.host.run(&["status", "--json"]).status == Some(0), "host status failed");
        status_ms.push(since(asked));
    }
    ensure!(host.exit_code()? == Some(0), "host run --until-idle did not end well");
    let elapsed = Duration::from_millis(stand.last_finished_ms().await?).saturating_sub(started);
    Ok(Seen { rate: rate(waiting, elapsed), status_ms, memory_mb })
}
