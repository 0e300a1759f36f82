//! The router: every outbox row, ours or another application's, gets one delivery per target that takes it, and targets that
//! ask are given theirs straight under a lease.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::demand::{Demand, PendingRequest};
use super::trouble::StoreTrouble;
use super::worker::release;
use crate::store::{ClaimRequest, Routed, Routes, Store, StoreError, UnderLease};

/// Rows routed in one transaction.
const ROUTE_MAX: u32 = 1_000;

/// The shortest pause between two looks.
const POLL_MIN: Duration = Duration::from_millis(2);

/// A look goes on behind the last id. A smaller id may be committed later, so that it looks back so often.
const RESCAN_EVERY: Duration = Duration::from_millis(500);
/// It looks back to where it was at least so long ago.
const RESCAN_BACK: Duration = Duration::from_secs(2);
/// From the very beginning it looks so seldom that this takes a fiftieth of the time: there it walks over the dead entries of
/// all that was routed and that the database has not tidied up yet.
const FULL_SCAN_SHARE: u32 = 50;
const FULL_SCAN_EVERY_MAX: Duration = Duration::from_secs(30);

/// With something to route, so long is waited for a target that takes deliveries to ask: what is given straight costs less than
/// what waits in line, and who is busy with a batch could not take it yet anyway. It must be longer than a batch takes: who
/// finds something in line takes that and does not ask, so that a router that did not wait would fill the line for good.
const REQUEST_WAIT: Duration = Duration::from_secs(5);

/// The name under which the router notes its trouble with the store.
const TASK: &str = "route";

pub(super) struct Router {
    pub(super) store: Store,
    pub(super) poll: Duration,
    pub(super) demand: Arc<Demand>,
    pub(super) trouble: StoreTrouble,
    pub(super) stop: CancellationToken,
}

impl Router {
    /// Routes until `stop`. While changes come it looks every few milliseconds; each look that finds nothing doubles the pause,
    /// up to `poll`.
    pub(super) async fn run(self) {
        let mut routes = None;
        let mut pause = POLL_MIN;
        let mut place = Place::new(Instant::now());
        wait_for_targets(&self.demand, &self.stop).await;
        while !self.stop.is_cancelled() {
            let begun = Instant::now();
            place.begin(begun);
            let asked = self.demand.take();
            let requests: Vec<_> = asked.iter().map(|asked| asked.request.clone()).collect();
            match self.route(&mut routes, &mut place, &requests).await {
                Ok(done) => {
                    self.trouble.end(TASK);
                    place.ended(begun, Instant::now());
                    answer_requests(&self.store, &self.demand, asked, done.taken).await;
                    if done.some_wait {
                        self.demand.notify_pending();
                    }
                    if done.changes > 0 {
                        tracing::debug!(count = done.changes, "changes routed");
                        pause = POLL_MIN;
                        wait_for_targets(&self.demand, &self.stop).await;
                        continue;
                    }
                    if done.routes_changed || place.goes_back() {
                        continue;
                    }
                    pause = (pause * 2).min(self.poll);
                }
                Err(error) => {
                    self.demand.put(asked);
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
        place: &mut Place,
        requests: &[ClaimRequest],
    ) -> Result<Routed, StoreError> {
        let routes = match known.take() {
            Some(routes) => routes,
            None => self.store.routes().await?,
        };
        if routes.list.is_empty() {
            return Ok(Routed { taken: vec![None; requests.len()], ..Routed::default() });
        }
        let done = self.store.route_along(&routes, limit(requests), &mut place.after, requests).await?;
        if !done.routes_changed {
            *known = Some(routes);
        }
        Ok(done)
    }
}

/// Until one asks, or there is none to wait for.
async fn wait_for_targets(demand: &Demand, stop: &CancellationToken) {
    tokio::select! {
        () = stop.cancelled() => {}
        () = demand.wait() => {}
        () = tokio::time::sleep(REQUEST_WAIT) => {}
    }
}

/// Where the next look begins.
struct Place {
    after: i64,
    /// Where it was some seconds ago, and where it will then have been.
    back: i64,
    next_back: i64,
    moved: Instant,
    looked_back: Instant,
    is_whole: bool,
    whole_due: Instant,
}

impl Place {
    fn new(now: Instant) -> Self {
        let start = i64::MIN;
        Self {
            after: start,
            back: start,
            next_back: start,
            moved: now,
            looked_back: now,
            is_whole: false,
            whole_due: now,
        }
    }

    fn begin(&mut self, now: Instant) {
        if now.duration_since(self.moved) >= RESCAN_BACK {
            (self.back, self.next_back, self.moved) = (self.next_back, self.after, now);
        }
        self.is_whole = now >= self.whole_due;
        if self.is_whole {
            self.after = i64::MIN;
        } else if now.duration_since(self.looked_back) > RESCAN_EVERY {
            (self.after, self.looked_back) = (self.back, now);
        }
    }

    /// The look that began then is over.
    fn ended(&mut self, begun: Instant, now: Instant) {
        if self.is_whole {
            let took = now.duration_since(begun);
            self.whole_due = now + (took * FULL_SCAN_SHARE).min(FULL_SCAN_EVERY_MAX);
        }
    }

    /// After a look that found nothing: whether there is something to look at before it.
    fn goes_back(&mut self) -> bool {
        let is_before = self.after > self.back;
        self.after = self.after.min(self.back);
        is_before
    }
}

/// How much to route at once: no more than is asked for, so that nothing of it has to wait in line.
fn limit(asked: &[ClaimRequest]) -> u32 {
    let of = |target: &str| asked.iter().filter(|one| one.target == target).map(|one| one.batch_max).sum::<u32>();
    asked.iter().map(|one| of(&one.target)).max().map_or(ROUTE_MAX, |most| most.min(ROUTE_MAX))
}

/// Gives each its batch; who got none goes on waiting.
async fn answer_requests(store: &Store, demand: &Demand, asked: Vec<PendingRequest>, taken: Vec<Option<UnderLease>>) {
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
        demand.put(waiting);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_looks_back_now_and_then_and_from_the_beginning_seldom() {
        let mut now = Instant::now();
        let mut place = Place::new(now);
        place.begin(now);
        assert_eq!(place.after, i64::MIN, "the first look");
        place.ended(now, now + Duration::from_millis(100));
        let (mut from_the_beginning, mut looks_back) = (0, 0);
        // A minute of looks, each of which routes a hundred changes. In the first seconds to look back is to begin anew.
        for reached in (100..=120_000_i64).step_by(100) {
            place.after = reached;
            now += Duration::from_millis(50);
            place.begin(now);
            match place.after {
                i64::MIN => from_the_beginning += 1,
                after if after < reached => {
                    assert!(after >= reached - 10_000, "{reached}: {after} is more than five seconds ago");
                    looks_back += 1;
                }
                _ => {}
            }
            place.ended(now, now + Duration::from_millis(100));
        }
        assert!((10..=20).contains(&from_the_beginning) && looks_back > 50, "{from_the_beginning}, {looks_back}");
    }

    #[test]
    fn a_look_from_the_beginning_that_takes_long_is_done_every_half_minute() {
        let now = Instant::now();
        let mut place = Place::new(now);
        place.begin(now);
        let over = now + Duration::from_secs(5);
        place.ended(now, over);
        place.begin(over + Duration::from_secs(29));
        assert!(!place.is_whole);
        place.begin(over + Duration::from_secs(31));
        assert!(place.is_whole);
    }

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
