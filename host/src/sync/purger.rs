//! The purger: deletes old finished rows in small steps to avoid long locks.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::Retention;
use super::options::CurrentSettings;
use crate::domain::ids::TargetName;
use crate::store::{ClockState, PurgeCursor, Store, StoreError};
use crate::telemetry::Meters;

/// The pause between two purges.
const EVERY: Duration = Duration::from_secs(600);
/// The pause between two steps.
const STEP_PAUSE: Duration = Duration::from_millis(50);

/// Runs until `stop`.
pub(super) async fn run(
    store: Store,
    targets: Vec<TargetName>,
    mut settings: CurrentSettings,
    meters: Arc<Meters>,
    stop: CancellationToken,
) {
    let mut logged = ClockState::Trusted;
    loop {
        let retention = settings.options().retention;
        match purge_by_clock(&store, &targets, retention, &stop, &mut logged).await {
            Ok(0) => {}
            Ok(deleted) => {
                meters.purged(deleted);
                tracing::info!(deleted, "old finished rows purged");
            }
            Err(error) => tracing::warn!(%error, "cannot purge old rows; trying again later"),
        }
        tokio::select! {
            () = stop.cancelled() => return,
            // The rows may be kept for less time now.
            () = settings.changed() => {}
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}

/// Purges, unless the store's clock has made a step that is not trusted.
async fn purge_by_clock(
    store: &Store,
    targets: &[TargetName],
    retention: Retention,
    stop: &CancellationToken,
    logged: &mut ClockState,
) -> Result<u64, StoreError> {
    let state = store.judge_clock().await?;
    // Logged once for each change of the state.
    if std::mem::discriminant(&state) != std::mem::discriminant(logged) {
        match state {
            ClockState::Trusted => tracing::info!("the store's clock is trusted again; old rows are purged"),
            ClockState::Ahead { step_ms } => tracing::error!(
                step_hours = step_ms / 3_600_000,
                "the store's clock jumped ahead: nothing is purged until it is corrected, or has run on for a day"
            ),
            ClockState::Behind { by_ms } => {
                tracing::warn!(
                    minutes = by_ms / 60_000,
                    "the store's clock is behind times that hosts have seen; correct it"
                );
            }
        }
    }
    *logged = state;
    if matches!(state, ClockState::Ahead { .. }) {
        return Ok(0);
    }
    let age_ms = retention.finished_ms;
    Ok(purge(store, targets, age_ms, stop).await?
        + purge_journal(store, retention.journal_ms, stop).await?
        + store.purge_notices(age_ms).await?
        + store.purge_alerts(age_ms).await?)
}

async fn purge(
    store: &Store,
    targets: &[TargetName],
    age_ms: i64,
    stop: &CancellationToken,
) -> Result<u64, StoreError> {
    let mut deleted = 0;
    for target in targets {
        let mut cursor = Some(PurgeCursor::default());
        while let Some(from) = cursor.filter(|_| !stop.is_cancelled()) {
            let purged = store.purge_deliveries(target.as_str(), age_ms, from).await?;
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

/// Also where this host does not write the journal: another may have, or it may have been switched off since.
async fn purge_journal(store: &Store, age_ms: i64, stop: &CancellationToken) -> Result<u64, StoreError> {
    let mut deleted = 0;
    let mut cursor = Some(PurgeCursor::default());
    while let Some(from) = cursor.filter(|_| !stop.is_cancelled()) {
        let purged = store.purge_journal(age_ms, from).await?;
        deleted += purged.deleted;
        cursor = purged.next;
        tokio::time::sleep(STEP_PAUSE).await;
    }
    Ok(deleted)
}
