//! The router: every outbox row, ours or another application's, gets one delivery per target that takes it, and targets that
//! ask are given theirs straight under a lease.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::handover::{Asked, Handover};
use super::trouble::StoreTrouble;
use super::worker::release;
use crate::store::{ClaimRequest, ClaimedIds, Routed, Routes, ScanCursor, Store, StoreError};

/// Rows routed in one transaction.
const ROUTE_MAX: u32 = 1_000;

/// The shortest pause between two looks.
const POLL_MIN: Duration = Duration::from_millis(2);

/// With something to route, so long is waited for a target that takes deliveries to ask: what is given straight costs less than
/// what waits in line, and who is busy with a batch could not take it yet anyway. It must be longer than a batch takes: who
/// finds something in line takes that and does not ask, so that a router that did not wait would fill the line for good.
const ASKED_WITHIN: Duration = Duration::from_secs(5);

/// The name under which the router notes its trouble with the store.
const TASK: &str = "route";

pub(super) struct Router {
    pub(super) store: Store,
    pub(super) poll: Duration,
    pub(super) handover: Arc<Handover>,
    pub(super) trouble: StoreTrouble,
    pub(super) stop: CancellationToken,
}

impl Router {
    /// Routes until `stop`. While changes come it looks every few milliseconds; each look that finds nothing doubles the pause,
    /// up to `poll`.
    pub(super) async fn run(self) {
        let mut routes = None;
        let mut pause = POLL_MIN;
        let mut cursor = ScanCursor::of_routing();
        wait_for_targets(&self.handover, &self.stop).await;
        while !self.stop.is_cancelled() {
            let asked = self.handover.take();
            let requests: Vec<_> = asked.iter().map(|asked| asked.request.clone()).collect();
            match self.route(&mut routes, &mut cursor, &requests).await {
                Ok(done) => {
                    self.trouble.end(TASK);
                    hand_over(&self.store, &self.handover, asked, done.claimed).await;
                    if done.some_queued {
                        self.handover.something_waits();
                    }
                    if done.changes > 0 {
                        tracing::debug!(count = done.changes, "changes routed");
                        pause = POLL_MIN;
                        wait_for_targets(&self.handover, &self.stop).await;
                        continue;
                    }
                    if done.routes_changed {
                        continue;
                    }
                    pause = (pause * 2).min(self.poll);
                }
                Err(error) => {
                    self.handover.put(asked);
                    // Said once for an outage, not at every look.
                    if self.trouble.note(TASK, &error) {
                        tracing::error!(%error, "the router cannot reach the store; it keeps trying");
                    }
                    pause = self.poll;
                }
            }
            tokio::select! {
                () = self.stop.cancelled() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Routes along what the store says, which is read once and again when it has changed. With no target at all nothing is
    /// routed: what is routed nowhere would be passed over for good.
    async fn route(
        &self,
        known: &mut Option<Routes>,
        cursor: &mut ScanCursor,
        requests: &[ClaimRequest],
    ) -> Result<Routed, StoreError> {
        let routes = match known.take() {
            Some(routes) => routes,
            None => self.store.routes().await?,
        };
        if routes.list.is_empty() {
            return Ok(Routed { claimed: vec![None; requests.len()], ..Routed::default() });
        }
        let done = self.store.route_along(&routes, limit(requests), cursor, requests).await?;
        if !done.routes_changed {
            *known = Some(routes);
        }
        Ok(done)
    }
}

/// Until one asks, or there is none to wait for.
async fn wait_for_targets(handover: &Handover, stop: &CancellationToken) {
    tokio::select! {
        () = stop.cancelled() => {}
        () = handover.wait() => {}
        () = tokio::time::sleep(ASKED_WITHIN) => {}
    }
}

/// How much to route at once: no more than is asked for, so that nothing of it has to wait in line.
fn limit(asked: &[ClaimRequest]) -> u32 {
    let of = |target: &str| asked.iter().filter(|one| one.target == target).map(|one| one.batch_max).sum::<u32>();
    asked.iter().map(|one| of(&one.target)).max().map_or(ROUTE_MAX, |most| most.min(ROUTE_MAX))
}

/// Gives each its batch; who got none goes on waiting.
async fn hand_over(store: &Store, handover: &Handover, asked: Vec<Asked>, taken: Vec<Option<ClaimedIds>>) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_routed_than_is_asked_for() {
        let asked = |target: &str, batch_max| ClaimRequest {
            target: target.to_owned(),
            owner: "host".to_owned(),
            batch_max,
            lease_ms: 1,
            fifo_types: Vec::new(),
        };
        assert_eq!(limit(&[]), ROUTE_MAX);
        assert_eq!(limit(&[asked("a", 100), asked("b", 500)]), 500);
        assert_eq!(limit(&[asked("a", 100), asked("a", 200)]), 300);
        assert_eq!(limit(&[asked("a", 800), asked("a", 800)]), ROUTE_MAX);
    }
}
