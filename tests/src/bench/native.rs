//! The native baseline: a program with no sandbox, no adapter, no supervision and no second thought, that does the same
//! job with the same statements, the same commits and as many workers as the host's default.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use tokio::task::JoinSet;

use super::connection::Connection;
use super::native_store::{fence, settle, take};
use super::native_target::{apply, unlock};

/// Changes in one batch and workers, as in the host's defaults.
pub(crate) const BATCH: usize = 1_000;
const WORKERS: usize = 2;

/// Carries `total` changes. Returns how long it took.
pub(crate) async fn drain(store: &str, target: &str, total: usize) -> Result<Duration> {
    let began = Instant::now();
    let settled = Arc::new(AtomicUsize::new(0));
    let mut tasks = JoinSet::<Result<()>>::new();
    for _ in 0..WORKERS {
        let (store, target, settled) = (store.to_owned(), target.to_owned(), Arc::clone(&settled));
        tasks.spawn(async move {
            let (mut store, mut target) = (Connection::open(&store).await?, Connection::open(&target).await?);
            while settled.load(Ordering::Relaxed) < total {
                match Box::pin(carry(&mut store, &mut target, BATCH)).await? {
                    0 => tokio::time::sleep(Duration::from_millis(1)).await,
                    count => drop(settled.fetch_add(count, Ordering::Relaxed)),
                }
            }
            Ok(())
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    Ok(began.elapsed())
}

/// Carries what comes, in one loop, until the task is dropped.
pub(crate) async fn follow(store: &str, target: &str) -> Result<()> {
    let (mut store, mut target) = (Connection::open(store).await?, Connection::open(target).await?);
    loop {
        while Box::pin(carry(&mut store, &mut target, BATCH)).await? > 0 {}
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// One batch: take, write, fence, commit, settle.
async fn carry(store: &mut Connection, target: &mut Connection, batch: usize) -> Result<usize> {
    let Some((lease_id, changes)) = take(store, batch).await? else { return Ok(0) };
    target.begin().await?;
    let confirmed = apply(target, &changes).await?;
    fence(store, lease_id).await?;
    target.commit().await?;
    unlock(target).await?;
    settle(store, lease_id, &confirmed).await?;
    Ok(changes.len())
}
