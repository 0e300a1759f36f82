//! How long a change takes from its commit until it is settled, at a steady pace: the host, and the native loop.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use super::connection::Connection;
use super::stand::{Stand, Work};
use super::{native, report};

/// Changes in a second.
const PACE: u32 = 200;

/// The two percentiles, milliseconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Latency {
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
}

/// Of the host, for so many changes.
pub(crate) async fn of_host(stand: &mut Stand, changes: u32) -> Result<Latency> {
    let mut host = stand.host.spawn(&["run"])?;
    warm(stand).await?;
    let latency = paced(stand, changes).await;
    host.kill();
    latency
}

/// Of the native loop.
pub(crate) async fn of_native(stand: &mut Stand, changes: u32) -> Result<Latency> {
    let (store, target) = (stand.store.url().to_owned(), stand.target_url().to_owned());
    let loop_ = tokio::spawn(async move { Box::pin(native::follow(&store, &target)).await });
    warm(stand).await?;
    let latency = paced(stand, changes).await;
    loop_.abort();
    latency
}

/// The first delivery waits for connections and for code that is compiled.
async fn warm(stand: &mut Stand) -> Result<()> {
    let done = stand.count("done").await?;
    stand.fill(50, Work::Creates).await?;
    settled(stand, done + 50).await
}

async fn settled(stand: &Stand, wanted: usize) -> Result<()> {
    let began = Instant::now();
    while stand.count("done").await? < wanted {
        ensure!(began.elapsed() < Duration::from_secs(120), "the changes were not settled in two minutes");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

async fn paced(stand: &mut Stand, changes: u32) -> Result<Latency> {
    let mut store = Connection::open(stand.store.url()).await?;
    let from = store.rows("SELECT MAX(id) FROM sync_outbox", &[]).await?[0][0].integer();
    let done = stand.count("done").await?;
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / PACE);
    for number in 0..changes {
        ticks.tick().await;
        let payload = format!(
            "{{\"patient_id\":\"L-{from}-{number}\",\"family_name\":\"Kim\",\"given_name\":\"MinJun\",\
             \"birth_date\":\"1980-01-31\",\"gender\":\"male\"}}"
        );
        let sql = "INSERT INTO sync_outbox (aggregate_type, aggregate_id, operation, payload) \
                   VALUES ('patient', ?, 'create', ?)";
        store.execute(sql, &[format!("L-{from}-{number}").into(), payload.into()]).await?;
    }
    settled(stand, done + changes as usize).await?;
    // Both times are the database's own, and commits take as long for everyone.
    let rows = store
        .rows(
            "SELECT d.finished_at - o.created_at FROM sync_delivery d JOIN sync_outbox o ON o.id = d.outbox_id \
             WHERE o.id > ? ORDER BY 1",
            &[from.into()],
        )
        .await?;
    let waits: Vec<_> = rows.iter().map(|row| milliseconds(row[0].integer())).collect();
    let p99 = waits.get(waits.len() * 99 / 100).copied().context("no change was measured")?;
    Ok(Latency { p50_ms: report::median(&waits), p99_ms: p99 })
}

#[allow(clippy::cast_precision_loss, reason = "milliseconds of a test")]
fn milliseconds(number: i64) -> f64 {
    number as f64
}
