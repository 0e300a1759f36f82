//! Where the router and the claimers of this host meet: claimers that have nothing queued request new changes from the
//! router, to be dispatched directly under a lease. Whoever queues deliveries notifies the claimers.
//!
//! It holds pending requests only, never a batch. A request can be cancelled. If the router has already taken it, its
//! batch must still be received.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, oneshot, watch};

use crate::store::{ClaimRequest, ClaimedIds, DirectRequest, RequestId};

/// A request as the router has it.
pub(super) struct PendingRequest {
    pub(super) request: DirectRequest,
    answer: oneshot::Sender<ClaimedIds>,
    is_cancelled: Arc<AtomicBool>,
}

/// A request as the claimer has it.
pub(super) struct RequestHandle {
    /// The ids of its batch, still to be loaded; closed when the request has ended without one.
    pub(super) answer: oneshot::Receiver<ClaimedIds>,
    is_cancelled: Arc<AtomicBool>,
}

/// An active consumer. Dropping it unregisters the consumer.
pub(super) struct ConsumerGuard(Arc<Demand>);

impl Drop for ConsumerGuard {
    fn drop(&mut self) {
        self.0.consumers.fetch_sub(1, Ordering::AcqRel);
        self.0.changed.notify_one();
    }
}

/// The pending requests of all targets of this host.
pub(super) struct Demand {
    requests: Mutex<Vec<PendingRequest>>,
    /// The id of the next request.
    next_id: AtomicU64,
    /// A request came, or a consumer left.
    changed: Notify,
    /// Targets that take deliveries, and so will send requests.
    consumers: AtomicUsize,
    /// Counts up whenever deliveries may have been queued: a claimer that was busy meanwhile notices afterwards.
    pending: watch::Sender<u64>,
}

impl Demand {
    pub(super) fn new() -> Self {
        Self {
            requests: Mutex::default(),
            next_id: AtomicU64::default(),
            changed: Notify::new(),
            consumers: AtomicUsize::default(),
            pending: watch::Sender::new(0),
        }
    }

    /// Notifies all claimers that deliveries may be queued.
    pub(super) fn notify_pending(&self) {
        self.pending.send_modify(|times| *times = times.wrapping_add(1));
    }

    /// Notices what [`Demand::notify_pending`] announces.
    pub(super) fn subscribe_pending(&self) -> watch::Receiver<u64> {
        self.pending.subscribe()
    }

    /// Registers an active consumer: a target that takes deliveries.
    pub(super) fn register_consumer(self: &Arc<Self>) -> ConsumerGuard {
        self.consumers.fetch_add(1, Ordering::AcqRel);
        ConsumerGuard(self.clone())
    }

    pub(super) fn request(&self, claim: ClaimRequest) -> RequestHandle {
        let (sender, receiver) = oneshot::channel();
        let is_cancelled = Arc::<AtomicBool>::default();
        let request = DirectRequest { id: RequestId(self.next_id.fetch_add(1, Ordering::Relaxed)), claim };
        self.put(vec![PendingRequest { request, answer: sender, is_cancelled: is_cancelled.clone() }]);
        RequestHandle { answer: receiver, is_cancelled }
    }

    /// Cancels a request. What the router has taken already still gets its answer.
    pub(super) fn cancel(&self, handle: &RequestHandle) {
        let mut requests = self.lock();
        handle.is_cancelled.store(true, Ordering::Release);
        requests.retain(|request| !request.is_cancelled.load(Ordering::Acquire));
    }

    /// Takes all requests, for the router.
    pub(super) fn take_all(&self) -> Vec<PendingRequest> {
        std::mem::take(&mut *self.lock())
    }

    /// Puts requests there, also those that could not be answered yet. Those that were cancelled meanwhile end.
    pub(super) fn put(&self, mut more: Vec<PendingRequest>) {
        let mut requests = self.lock();
        requests.append(&mut more);
        requests.retain(|request| !request.is_cancelled.load(Ordering::Acquire));
        self.changed.notify_one();
    }

    /// Returns when there is a request, or no consumer. A consumer that is busy with a batch will send a request
    /// afterwards.
    pub(super) async fn wait_for_request(&self) {
        loop {
            let changed = self.changed.notified();
            if !self.lock().is_empty() || self.consumers.load(Ordering::Acquire) == 0 {
                return;
            }
            changed.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<PendingRequest>> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PendingRequest {
    /// Answers the request. Gives the claimed ids back when its claimer has ended.
    pub(super) fn answer(self, claimed: ClaimedIds) -> Result<(), Box<ClaimedIds>> {
        self.answer.send(claimed).map_err(Box::new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::{LeaseId, TargetName};
    use crate::store::Lease;

    fn claim(target: &str) -> ClaimRequest {
        ClaimRequest {
            target: TargetName::new(target).expect("a name"),
            owner: "host".to_owned(),
            batch_max: 1,
            lease_ms: 1,
            fifo_types: Vec::new(),
        }
    }

    fn claimed(target: &str) -> ClaimedIds {
        let (target, owner) = (TargetName::new(target).expect("a name"), "host".to_owned());
        ClaimedIds::of(Lease { target, id: LeaseId::new(1), owner, lease_ms: 1, is_direct: true })
    }

    #[tokio::test]
    async fn a_cancelled_request_ends_and_is_not_answered() {
        let demand = Demand::new();
        let (cancelled, left) = (demand.request(claim("a")), demand.request(claim("b")));
        demand.cancel(&cancelled);
        let requests = demand.take_all();
        assert_eq!(requests.iter().map(|pending| pending.request.claim.target.as_str()).collect::<Vec<_>>(), ["b"]);
        assert!(cancelled.answer.await.is_err());
        drop(left);
    }

    #[tokio::test]
    async fn the_router_waits_until_a_consumer_requests_or_all_have_left() {
        let demand = Arc::new(Demand::new());
        demand.wait_for_request().await;
        let (one, other) = (demand.register_consumer(), demand.register_consumer());
        let wait = || {
            let demand = demand.clone();
            tokio::spawn(async move { demand.wait_for_request().await })
        };
        let router = wait();
        drop(one);
        tokio::task::yield_now().await;
        assert!(!router.is_finished());
        let handle = demand.request(claim("a"));
        router.await.expect("a request");
        drop(demand.take_all());
        let router = wait();
        tokio::task::yield_now().await;
        assert!(!router.is_finished());
        drop(other);
        router.await.expect("no consumer is left");
        drop(handle);
    }

    #[tokio::test]
    async fn a_request_that_the_router_has_taken_is_answered_although_it_was_cancelled() {
        let demand = Demand::new();
        let handle = demand.request(claim("a"));
        let request = demand.take_all().remove(0);
        demand.cancel(&handle);
        request.answer(claimed("a")).expect("its claimer waits");
        assert_eq!(handle.answer.await.expect("a batch").lease.target.as_str(), "a");
    }

    #[tokio::test]
    async fn an_unanswered_request_that_comes_back_ends_if_it_was_cancelled_and_waits_on_otherwise() {
        let demand = Demand::new();
        let (cancelled, left) = (demand.request(claim("a")), demand.request(claim("b")));
        let requests = demand.take_all();
        demand.cancel(&cancelled);
        demand.put(requests);
        assert!(cancelled.answer.await.is_err());
        demand.wait_for_request().await;
        assert_eq!(demand.take_all().len(), 1);
        drop(left);
    }
}
