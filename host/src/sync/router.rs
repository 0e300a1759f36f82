//! The router: every outbox row, ours or another application's, gets one delivery per target that takes it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::store::{Route, Store};

/// Rows routed in one transaction.
const ROUTE_MAX: u32 = 1_000;

/// After so many changes the database measures its tables, and then whenever they have doubled.
const MEASURE_FIRST: usize = 500;

/// Routes until `stop`, and wakes the workers when there is something for them.
pub(super) async fn run(store: Store, routes: Vec<Route>, poll: Duration, wake: Arc<Notify>, stop: CancellationToken) {
    let mut failing = false;
    let (mut total, mut measure_at) = (0, MEASURE_FIRST);
    loop {
        match store.route(&routes, ROUTE_MAX).await {
            Ok(0) => failing = false,
            Ok(count) => {
                failing = false;
                tracing::debug!(count, "changes routed");
                total += count;
                if total >= measure_at {
                    measure_at = total.saturating_mul(2);
                    if let Err(error) = store.refresh_statistics().await {
                        tracing::warn!(%error, "cannot refresh the planner's statistics; batches may be slow for a minute");
                    }
                }
                wake.notify_waiters();
                if !stop.is_cancelled() {
                    continue;
                }
            }
            Err(error) => {
                // Said once for an outage, not at every look.
                if !failing {
                    tracing::error!(%error, "the router cannot reach the store; it keeps trying");
                }
                failing = true;
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(poll) => {}
        }
    }
}
