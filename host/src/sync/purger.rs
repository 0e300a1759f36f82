//! The purger: lets old finished rows go, in small steps, so that it never stands in anyone's way.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::store::{ClockState, PurgeCursor, Store, StoreError};

/// How often it begins anew.
const EVERY: Duration = Duration::from_secs(600);
/// The pause between two steps.
const STEP_PAUSE: Duration = Duration::from_millis(50);

/// Runs until `stop`. `age_ms` is how old finished rows get.
pub(super) async fn run(store: Store, targets: Vec<String>, age_ms: i64, stop: CancellationToken) {
    let mut said = ClockState::Trusted;
    loop {
        match purge_by_clock(&store, &targets, age_ms, &stop, &mut said).await {
            Ok(0) => {}
            Ok(deleted) => tracing::info!(deleted, "old finished rows purged"),
            Err(error) => tracing::warn!(%error, "cannot purge old rows; trying again later"),
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}

/// Purges, unless the store's clock has made a step that nobody believes.
async fn purge_by_clock(
    store: &Store,
    targets: &[String],
    age_ms: i64,
    stop: &CancellationToken,
    said: &mut ClockState,
) -> Result<u64, StoreError> {
    let state = store.judge_clock().await?;
    // Once for each change, not at every look.
    if std::mem::discriminant(&state) != std::mem::discriminant(said) {
        match state {
            ClockState::Trusted => tracing::info!("the store's clock is believed again; old rows are purged"),
            ClockState::Ahead { step_ms } => tracing::error!(
                step_hours = step_ms / 3_600_000,
                "the store's clock went ahead at once: nothing is purged until it was set right, or has gone on for a day"
            ),
            ClockState::Behind { by_ms } => {
                tracing::warn!(
                    minutes = by_ms / 60_000,
                    "the store's clock is behind times that hosts have seen; set it right"
                );
            }
        }
    }
    *said = state;
    if matches!(state, ClockState::Ahead { .. }) {
        return Ok(0);
    }
    Ok(purge(store, targets, age_ms, stop).await? + store.purge_notices(age_ms).await?)
}

async fn purge(store: &Store, targets: &[String], age_ms: i64, stop: &CancellationToken) -> Result<u64, StoreError> {
    let mut deleted = 0;
    for target in targets {
        let mut cursor = Some(PurgeCursor::default());
        while let Some(from) = cursor.filter(|_| !stop.is_cancelled()) {
            let purged = store.purge_deliveries(target, age_ms, from).await?;
            deleted += purged.deleted;
            cursor = purged.next;
            tokio::time::sleep(STEP_PAUSE).await;
        }
    }
    let mut cursor = Some(PurgeCursor::default());
    while let Some(from) = cursor.filter(|_| !stop.is_cancelled()) {
        let purged = store.purge_changes(age_ms, from).await?;
        deleted += purged.deleted;
        cursor = purged.next;
        tokio::time::sleep(STEP_PAUSE).await;
    }
    Ok(deleted)
}
