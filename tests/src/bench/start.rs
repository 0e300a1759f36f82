//! From the start of `host run` until its first claim, with compiled adapters in the cache.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use super::connection::Connection;
use super::measure::Options;
use super::report::{Better, Goal, Row};
use super::stand::{Stand, Work, since};
use crate::environment::Backend;

/// At most so long, in milliseconds.
const LIMIT_MS: f64 = 150.0;
/// One batch: its lease lasts long enough to be seen.
const CHANGES: usize = 500;

/// The row of the start.
pub(super) async fn row(options: &Options) -> Result<Row> {
    let mut stand = Stand::new(Backend::MariaDb, Backend::MariaDb).await?;
    let mut ours = Vec::new();
    for _ in 0..options.sized(3, 9) {
        stand.fill(CHANGES, Work::Creates).await?;
        ours.push(first_claim(&stand).await?);
    }
    Ok(Row {
        name: "start to first claim, MariaDB".to_owned(),
        unit: "ms",
        ours,
        baseline: vec![LIMIT_MS],
        against: "the limit",
        better: Better::Less,
        goal: Goal::figure(LIMIT_MS),
    })
}

async fn first_claim(stand: &Stand) -> Result<f64> {
    let mut store = Connection::open(stand.store.url()).await?;
    let lease = "SELECT lease_id FROM sync_lease LIMIT 1";
    ensure!(store.rows(lease, &[]).await?.is_empty(), "a host before this one left a lease");
    let done = stand.count("done").await?;
    let began = Instant::now();
    let host = stand.host.spawn(&["run", "--until-idle"])?;
    while store.rows(lease, &[]).await?.is_empty() {
        ensure!(began.elapsed() < Duration::from_secs(30), "nothing was claimed within 30 s");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let elapsed = since(began);
    let ended = tokio::task::spawn_blocking(move || host.wait(Duration::from_secs(60))).await?.context("wait")?;
    ensure!(ended.status == Some(0), "host run: {}", ended.stderr);
    ensure!(stand.count("done").await? == done + CHANGES, "not all changes are done");
    Ok(elapsed)
}
