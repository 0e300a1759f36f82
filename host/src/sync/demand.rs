//! Where the router and the claimers meet: a target that has nothing to do asks for new changes, to be given them straight
//! under a lease; and whoever makes a delivery due says that something waits in line.
//!
//! It holds questions, never a batch. A question can be cancelled, and its answer is waited for all the same when the router
//! has it in hand: so no batch is taken that nobody wants.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, oneshot, watch};

use crate::store::{ClaimRequest, UnderLease};

/// One question of a target, as the router has it.
pub(super) struct PendingRequest {
    pub(super) request: ClaimRequest,
    pub(super) answer: oneshot::Sender<UnderLease>,
    cancelled: Arc<AtomicBool>,
}

/// One question, as the target has it.
pub(super) struct RequestHandle {
    /// The batch, still to be read; closed when there is none to be had any more.
    pub(super) answer: oneshot::Receiver<UnderLease>,
    cancelled: Arc<AtomicBool>,
}

/// A target that takes deliveries, or is about to.
pub(super) struct ConsumerGuard(Arc<Demand>);

impl Drop for ConsumerGuard {
    fn drop(&mut self) {
        self.0.taking.fetch_sub(1, Ordering::AcqRel);
        self.0.news.notify_one();
    }
}

/// The questions of all targets of this host.
pub(super) struct Demand {
    asked: Mutex<Vec<PendingRequest>>,
    news: Notify,
    /// Targets that take deliveries, and so will ask.
    taking: AtomicUsize,
    /// Counts up whenever something may have come to wait in line: who was busy meanwhile sees it afterwards.
    line: watch::Sender<u64>,
}

impl Demand {
    pub(super) fn new() -> Self {
        Self {
            asked: Mutex::default(),
            news: Notify::new(),
            taking: AtomicUsize::default(),
            line: watch::Sender::new(0),
        }
    }

    /// Something may wait in line, at whichever target.
    pub(super) fn notify_pending(&self) {
        self.line.send_modify(|times| *times = times.wrapping_add(1));
    }

    /// Hears of what waits in line.
    pub(super) fn subscribe_pending(&self) -> watch::Receiver<u64> {
        self.line.subscribe()
    }

    /// From now on a target takes deliveries, until what is returned is dropped.
    pub(super) fn register_consumer(self: &Arc<Self>) -> ConsumerGuard {
        self.taking.fetch_add(1, Ordering::AcqRel);
        ConsumerGuard(self.clone())
    }

    /// Asks.
    pub(super) fn ask(&self, request: ClaimRequest) -> RequestHandle {
        let (answer, receiver) = oneshot::channel();
        let cancelled = Arc::<AtomicBool>::default();
        self.put(vec![PendingRequest { request, answer, cancelled: cancelled.clone() }]);
        RequestHandle { answer: receiver, cancelled }
    }

    /// Asks no longer. What the router has in hand already still comes, as the answer.
    pub(super) fn cancel(&self, question: &RequestHandle) {
        let mut asked = self.lock();
        question.cancelled.store(true, Ordering::Release);
        asked.retain(|asked| !asked.cancelled.load(Ordering::Acquire));
    }

    /// Takes all questions.
    pub(super) fn take(&self) -> Vec<PendingRequest> {
        std::mem::take(&mut *self.lock())
    }

    /// Puts questions there, also such as could not be answered yet, but for those that were cancelled meanwhile.
    pub(super) fn put(&self, mut questions: Vec<PendingRequest>) {
        let mut asked = self.lock();
        asked.append(&mut questions);
        asked.retain(|asked| !asked.cancelled.load(Ordering::Acquire));
        self.news.notify_one();
    }

    /// Returns when there is a question, or no target to wait for. One that takes deliveries may be busy with what it was given;
    /// it will ask when it is not.
    pub(super) async fn wait(&self) {
        loop {
            let news = self.news.notified();
            if !self.lock().is_empty() || self.taking.load(Ordering::Acquire) == 0 {
                return;
            }
            news.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<PendingRequest>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Lease;

    fn request(target: &str) -> ClaimRequest {
        ClaimRequest {
            target: target.to_owned(),
            owner: "host".to_owned(),
            batch_max: 1,
            lease_ms: 1,
            fifo_types: Vec::new(),
        }
    }

    fn taken(target: &str) -> UnderLease {
        let lease =
            Lease { target: target.to_owned(), epoch: 1, owner: "host".to_owned(), lease_ms: 1, is_straight: true };
        UnderLease::of(lease)
    }

    #[tokio::test]
    async fn a_question_that_was_withdrawn_is_not_asked_and_ends() {
        let demand = Demand::new();
        let (gone, left) = (demand.ask(request("a")), demand.ask(request("b")));
        demand.cancel(&gone);
        let asked = demand.take();
        assert_eq!(asked.iter().map(|asked| asked.request.target.as_str()).collect::<Vec<_>>(), ["b"]);
        assert!(gone.answer.await.is_err());
        drop(left);
    }

    #[tokio::test]
    async fn targets_that_take_part_are_waited_for_until_one_asks_or_all_have_left() {
        let demand = Arc::new(Demand::new());
        demand.wait().await;
        let (one, other) = (demand.register_consumer(), demand.register_consumer());
        let waits = tokio::spawn({
            let demand = demand.clone();
            async move { demand.wait().await }
        });
        drop(one);
        tokio::task::yield_now().await;
        assert!(!waits.is_finished());
        let question = demand.ask(request("a"));
        waits.await.expect("a question");
        drop(demand.take());
        let waits = tokio::spawn({
            let demand = demand.clone();
            async move { demand.wait().await }
        });
        tokio::task::yield_now().await;
        assert!(!waits.is_finished());
        drop(other);
        waits.await.expect("nobody is left");
        drop(question);
    }

    #[tokio::test]
    async fn what_the_router_has_in_hand_comes_all_the_same() {
        let demand = Demand::new();
        let question = demand.ask(request("a"));
        let asked = demand.take().remove(0);
        demand.cancel(&question);
        asked.answer.send(taken("a")).expect("somebody waits");
        assert_eq!(question.answer.await.expect("a batch").lease.target, "a");
    }

    #[tokio::test]
    async fn a_question_that_comes_back_unanswered_ends_when_it_was_withdrawn_and_waits_on_otherwise() {
        let demand = Demand::new();
        let (gone, left) = (demand.ask(request("a")), demand.ask(request("b")));
        let asked = demand.take();
        demand.cancel(&gone);
        demand.put(asked);
        assert!(gone.answer.await.is_err());
        demand.wait().await;
        assert_eq!(demand.take().len(), 1);
        drop(left);
    }
}
