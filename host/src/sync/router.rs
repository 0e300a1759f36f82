//! The router: every outbox row, ours or another application's, gets one delivery per target that takes it, and targets that
//! ask are given theirs straight under a lease.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::handover::{Asked, Handover};
use super::worker::release;
use crate::store::{ClaimRequest, Route, Store, UnderLease};

/// Rows routed in one transaction.
const ROUTE_MAX: u32 = 1_000;

/// The shortest pause between two looks.
const POLL_MIN: Duration = Duration::from_millis(2);

/// A look goes on behind the last id, but begins anew after so long: a smaller id may have been committed later.
const FROM_THE_BEGINNING_EVERY: Duration = Duration::from_millis(500);

/// With more to route, so long is waited for a target to ask: what is given straight costs less than what waits in line.
const ASKED_WITHIN: Duration = Duration::from_millis(200);

/// When no target has asked for so long, none of them takes anything, and nobody is waited for.
const ASKED_LATELY: Duration = Duration::from_secs(1);

/// Routes until `stop`. While changes come it looks every few milliseconds; each look that finds nothing doubles the pause,
/// up to `poll`.
pub(super) async fn run(
    store: Store,
    routes: Vec<Route>,
    poll: Duration,
    handover: Arc<Handover>,
    stop: CancellationToken,
) {
    let mut failing = false;
    let mut pause = POLL_MIN;
    let (mut after, mut begun) = (i64::MIN, Instant::now());
    let mut last_asked = Instant::now();
    while !stop.is_cancelled() {
        if begun.elapsed() > FROM_THE_BEGINNING_EVERY {
            (after, begun) = (i64::MIN, Instant::now());
        }
        let asked = handover.take();
        if !asked.is_empty() {
            last_asked = Instant::now();
        }
        let requests: Vec<_> = asked.iter().map(|asked| asked.request.clone()).collect();
        match store.route_to(&routes, limit(&requests), &mut after, &requests).await {
            Ok(done) => {
                failing = false;
                hand_over(&store, &handover, asked, done.taken).await;
                if done.some_wait {
                    handover.something_waits();
                }
                if done.changes > 0 {
                    tracing::debug!(count = done.changes, "changes routed");
                    pause = POLL_MIN;
                    if last_asked.elapsed() > ASKED_LATELY {
                        continue;
                    }
                    tokio::select! {
                        () = stop.cancelled() => {}
                        () = handover.wait() => {}
                        () = tokio::time::sleep(ASKED_WITHIN) => {}
                    }
                    continue;
                }
                if after > i64::MIN {
                    after = i64::MIN;
                    continue;
                }
                pause = (pause * 2).min(poll);
            }
            Err(error) => {
                handover.put(asked);
                // Said once for an outage, not at every look.
                if !failing {
                    tracing::error!(%error, "the router cannot reach the store; it keeps trying");
                }
                failing = true;
                pause = poll;
            }
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// How much to route at once: no more than is asked for, so that nothing of it has to wait in line.
fn limit(asked: &[ClaimRequest]) -> u32 {
    let of = |target: &str| asked.iter().filter(|one| one.target == target).map(|one| one.batch_max).sum::<u32>();
    asked.iter().map(|one| of(&one.target)).max().map_or(ROUTE_MAX, |most| most.min(ROUTE_MAX))
}

/// Gives each its batch; who got none goes on waiting.
async fn hand_over(store: &Store, handover: &Handover, asked: Vec<Asked>, taken: Vec<Option<UnderLease>>) {
    let mut waiting = Vec::new();
    for (asked, taken) in asked.into_iter().zip(taken) {
        let Some(taken) = taken else {
            waiting.push(asked);
            continue;
        };
        // Its claimer was broken off.
        if let Err(taken) = asked.answer.send(taken) {
            release(store, &taken.lease).await;
        }
    }
    if !waiting.is_empty() {
        handover.put(waiting);
    }
}
