//! The router of this host: makes one delivery of every outbox row for each target that takes it. Rows may come from
//! this project or from another application. Claimers that request a batch get new changes directly under a lease.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::demand::{Demand, PendingRequest};
use super::leased_batch::release;
use super::options::CurrentSettings;
use super::trouble::StoreTrouble;
use crate::domain::ids::TargetName;
use crate::store::{ClaimedIds, DirectRequest, RequestId, Routed, Routes, ScanCursor, Store, StoreError};
use crate::telemetry::Meters;

/// Rows routed in one transaction at most.
const ROUTE_MAX: u32 = 1_000;

/// The shortest pause between two scans.
const POLL_MIN: Duration = Duration::from_millis(2);

/// How long to wait for a ready target before queueing. Direct dispatch costs less than queueing, and a target that is
/// busy with a batch could not take another yet. It must be longer than a batch takes: a claimer with queued work sends
/// no request. If the router queued eagerly, it would never hand out a batch directly.
const REQUEST_WAIT: Duration = Duration::from_secs(5);

/// The router's name in `StoreTrouble`.
const TASK: &str = "route";

pub(super) struct Router {
    pub(super) store: Store,
    pub(super) settings: CurrentSettings,
    pub(super) demand: Arc<Demand>,
    pub(super) trouble: StoreTrouble,
    pub(super) meters: Arc<Meters>,
    pub(super) stop: CancellationToken,
}

/// What the router remembers between two scans.
struct Progress {
    /// `None` before they are read, and when they have changed.
    routes: Option<Routes>,
    cursor: ScanCursor,
}

impl Router {
    /// Routes until `stop`. While changes come it scans every few milliseconds; each scan that finds nothing doubles
    /// the pause, up to `poll_ms`.
    pub(super) async fn run(self) {
        let mut progress = Progress { routes: None, cursor: ScanCursor::of_routing() };
        let mut pause = POLL_MIN;
        self.wait_for_request().await;
        while !self.stop.is_cancelled() {
            let requests = self.demand.take_all();
            let direct: Vec<_> = requests.iter().map(|pending| pending.request.clone()).collect();
            let started = Instant::now();
            match self.route(&mut progress, &direct).await {
                Ok(routed) => {
                    let took = started.elapsed();
                    self.trouble.end(TASK);
                    self.answer(requests, routed.claimed).await;
                    if routed.some_queued {
                        self.demand.notify_pending();
                    }
                    if routed.changes > 0 {
                        self.meters.routed(routed.changes as u64, took);
                        tracing::debug!(count = routed.changes, "changes routed");
                        pause = POLL_MIN;
                        self.wait_for_request().await;
                        continue;
                    }
                    if routed.routes_changed {
                        continue;
                    }
                    pause = (pause * 2).min(self.settings.poll());
                }
                Err(error) => {
                    self.demand.put(requests);
                    // Logged once for an outage, not at every scan.
                    if self.trouble.note(TASK, &error) {
                        tracing::error!(%error, "the router cannot reach the store; it keeps trying");
                    }
                    pause = self.settings.poll();
                }
            }
            tokio::select! {
                () = self.stop.cancelled() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Routes along the routes of the store. Without any target nothing is routed: a change that is routed nowhere
    /// would be ignored permanently.
    async fn route(&self, progress: &mut Progress, requests: &[DirectRequest]) -> Result<Routed, StoreError> {
        let routes = if let Some(routes) = progress.routes.take() {
            routes
        } else {
            let settings = self.settings.get();
            let (targets, fifo_types) = (settings.types().into_keys().collect(), settings.options.fifo_types.clone());
            self.store.routes().await?.in_order(targets, fifo_types)
        };
        if routes.list.is_empty() {
            return Ok(Routed::default());
        }
        let result = self.store.route(&routes, limit(requests), &mut progress.cursor, requests).await?;
        if !result.routes_changed {
            progress.routes = Some(routes);
        }
        Ok(result)
    }

    /// Answers each request that got a batch; the others wait on.
    async fn answer(&self, requests: Vec<PendingRequest>, mut claimed: BTreeMap<RequestId, ClaimedIds>) {
        let mut unanswered = Vec::new();
        for pending in requests {
            let Some(claimed) = claimed.remove(&pending.request.id) else {
                unanswered.push(pending);
                continue;
            };
            // Its claimer has ended.
            if let Err(claimed) = pending.answer(claimed) {
                release(&self.store, &claimed.lease).await;
            }
        }
        if !unanswered.is_empty() {
            self.demand.put(unanswered);
        }
    }

    /// Waits until a claimer sends a request, or no target takes deliveries.
    async fn wait_for_request(&self) {
        tokio::select! {
            () = self.stop.cancelled() => {}
            () = self.demand.wait_for_request() => {}
            () = tokio::time::sleep(REQUEST_WAIT) => {}
        }
    }
}

/// How many changes to route at once: no more than were requested, so that none of them has to be queued.
fn limit(requests: &[DirectRequest]) -> u32 {
    let mut requested = BTreeMap::<&TargetName, u32>::new();
    for DirectRequest { claim, .. } in requests {
        *requested.entry(&claim.target).or_default() += claim.batch_max;
    }
    requested.into_values().max().map_or(ROUTE_MAX, |most| most.min(ROUTE_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::ClaimRequest;

    #[test]
    fn no_more_is_routed_than_was_requested() {
        let request = |target: &str, batch_max| DirectRequest {
            id: RequestId(0),
            claim: ClaimRequest {
                target: TargetName::new(target).expect("a name"),
                owner: "host".to_owned(),
                batch_max,
                lease_ms: 1,
                fifo_types: Vec::new(),
            },
        };
        assert_eq!(limit(&[]), ROUTE_MAX);
        assert_eq!(limit(&[request("a", 100), request("b", 500)]), 500);
        assert_eq!(limit(&[request("a", 100), request("a", 200)]), 300);
        assert_eq!(limit(&[request("a", 800), request("a", 800)]), ROUTE_MAX);
    }
}
