//! The purger: lets old finished rows go, in small steps, so that it never stands in anyone's way.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::store::{PurgeCursor, Store, StoreError};

/// How often it begins anew.
const EVERY: Duration = Duration::from_secs(600);
/// The pause between two steps.
const BREATH: Duration = Duration::from_millis(50);

/// Runs until `stop`. `age_ms` is how old finished rows get.
pub(super) async fn run(store: Store, targets: Vec<String>, age_ms: i64, stop: CancellationToken) {
    loop {
        match purge(&store, &targets, age_ms, &stop).await {
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

async fn purge(store: &Store, targets: &[String], age_ms: i64, stop: &CancellationToken) -> Result<u64, StoreError> {
    let mut deleted = 0;
    for target in targets {
        let mut cursor = Some(PurgeCursor::default());
        while let Some(from) = cursor.filter(|_| !stop.is_cancelled()) {
            let step = store.purge_deliveries(target, age_ms, from).await?;
            deleted += step.deleted;
            cursor = step.next;
            tokio::time::sleep(BREATH).await;
        }
    }
    let mut cursor = Some(PurgeCursor::default());
    while let Some(from) = cursor.filter(|_| !stop.is_cancelled()) {
        let step = store.purge_changes(age_ms, from).await?;
        deleted += step.deleted;
        cursor = step.next;
        tokio::time::sleep(BREATH).await;
    }
    Ok(deleted)
}
