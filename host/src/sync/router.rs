//! The router: every outbox row, ours or another application's, gets one delivery per target that takes it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::store::{Route, Store};

/// Rows routed in one transaction.
const ROUTE_MAX: u32 = 1_000;

/// The shortest pause between two looks.
const POLL_MIN: Duration = Duration::from_millis(2);

/// A look goes on behind the last id, but begins anew after so long: a smaller id may have been committed later.
const FROM_THE_BEGINNING_EVERY: Duration = Duration::from_millis(100);

/// Routes until `stop`, and wakes the workers when there is something for them. While changes come it looks every few
/// milliseconds; each look that finds nothing doubles the pause, up to `poll`.
pub(super) async fn run(store: Store, routes: Vec<Route>, poll: Duration, wake: Arc<Notify>, stop: CancellationToken) {
    let mut failing = false;
    let mut pause = POLL_MIN;
    let (mut after, mut begun) = (i64::MIN, Instant::now());
    loop {
        if begun.elapsed() > FROM_THE_BEGINNING_EVERY {
            (after, begun) = (i64::MIN, Instant::now());
        }
        match store.route_on(&routes, ROUTE_MAX, &mut after).await {
            Ok(0) => {
                failing = false;
                if after > i64::MIN {
                    after = i64::MIN;
                    continue;
                }
                pause = (pause * 2).min(poll);
            }
            Ok(count) => {
                failing = false;
                pause = POLL_MIN;
                tracing::debug!(count, "changes routed");
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
                pause = poll;
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}
