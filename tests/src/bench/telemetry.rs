//! What monitoring costs: a drain whose metrics and status are asked for once a second, against one of a host that
//! listens nowhere. Both hosts count: counting cannot be switched off, and its cost is part of every other row.

use std::time::Duration;

use anyhow::{Result, ensure};

use super::measure::{Options, rate};
use super::native_fhir;
use super::report::{Better, Goal, Row};
use super::stand::{Stand, Work};
use crate::environment::Backend;
use crate::servers::process::free_port;

/// Often for Prometheus, whose own default is a minute.
const SCRAPE_EVERY: Duration = Duration::from_secs(1);

const STARTED_WITHIN: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// The rows of creates, on a store of each kind of server.
pub(super) async fn rows(options: &Options) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for store in [Backend::MariaDb, Backend::Postgres] {
        rows.push(Box::pin(row(options, store)).await?);
    }
    Ok(rows)
}

async fn row(options: &Options, store: Backend) -> Result<Row> {
    let count = options.sized(10_000, 50_000);
    let (mut ours, mut baseline) = (Vec::new(), Vec::new());
    for _ in 0..options.repeats() {
        let mut unseen = Stand::new(store, Backend::MariaDb).await?;
        unseen.fill(count, Work::Creates).await?;
        baseline.push(rate(count, unseen.host_drain().await?.elapsed));

        let mut watched = Stand::new(store, Backend::MariaDb).await?;
        let port = free_port()?;
        watched.listen(port)?;
        watched.fill(count, Work::Creates).await?;
        let scraping = tokio::spawn(scrape(native_fhir::client()?, port));
        ours.push(rate(count, watched.host_drain().await?.elapsed));
        // It goes on until the host is gone.
        ensure!(scraping.await? > 0, "the metrics could not be read");
    }
    Ok(Row {
        name: format!("telemetry, {} to MariaDB, metrics read each second", store.name()),
        unit: "patients/s",
        ours,
        baseline,
        against: "a host that listens nowhere",
        better: Better::More,
        goal: Goal::ratio(0.97),
    })
}

/// Asks again and again, from when the host listens until it is gone. Returns how often both were answered.
async fn scrape(client: reqwest::Client, port: u16) -> usize {
    let get = |path: &str| client.get(format!("http://127.0.0.1:{port}{path}")).send();
    for _ in 0..STARTED_WITHIN.as_millis() / LOOK_EVERY.as_millis() {
        if get("/livez").await.is_ok() {
            break;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    let mut answered = 0;
    while let (Ok(metrics), Ok(status)) = (get("/metrics").await, get("/status.json").await) {
        let is_whole = metrics.text().await.is_ok_and(|text| text.contains("neuronova_deliveries_total"));
        answered += usize::from(is_whole && status.status().is_success());
        tokio::time::sleep(SCRAPE_EVERY).await;
    }
    answered
}
