//! Where the router and the claimers meet: a target that has nothing to do asks for new changes, to be given them straight
//! under a lease; and whoever makes a delivery due says that something waits in line.
//!
//! It holds questions, never a batch. A question can be withdrawn, and its answer is waited for all the same when the router
//! has it in hand: so no batch is taken that nobody wants.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, oneshot, watch};

use crate::store::{ClaimRequest, ClaimedIds};

/// One question of a target, as the router has it.
pub(super) struct Asked {
    pub(super) request: ClaimRequest,
    pub(super) answer: oneshot::Sender<ClaimedIds>,
    withdrawn: Arc<AtomicBool>,
}

/// One question, as the target has it.
pub(super) struct Question {
    /// The batch, still to be read; closed when there is none to be had any more.
    pub(super) answer: oneshot::Receiver<ClaimedIds>,
    withdrawn: Arc<AtomicBool>,
}

/// A target that takes deliveries, or is about to.
pub(super) struct Taking(Arc<Handover>);

impl Drop for Taking {
    fn drop(&mut self) {
        self.0.taking.fetch_sub(1, Ordering::AcqRel);
        self.0.news.notify_one();
    }
}

/// The questions of all targets of this host.
pub(super) struct Handover {
    asked: Mutex<Vec<Asked>>,
    news: Notify,
    /// Targets that take deliveries, and so will ask.
    taking: AtomicUsize,
    /// Counts up whenever something may have come to wait in line: who was busy meanwhile sees it afterwards.
    line: watch::Sender<u64>,
}

impl Handover {
    pub(super) fn new() -> Self {
        Self {
            asked: Mutex::default(),
            news: Notify::new(),
            taking: AtomicUsize::default(),
            line: watch::Sender::new(0),
        }
    }

    /// Something may wait in line, at whichever target.
    pub(super) fn something_waits(&self) {
        self.line.send_modify(|times| *times = times.wrapping_add(1));
    }

    /// Hears of what waits in line.
    pub(super) fn line(&self) -> watch::Receiver<u64> {
        self.line.subscribe()
    }

    /// From now on a target takes deliveries, until what is returned is dropped.
    pub(super) fn take_part(self: &Arc<Self>) -> Taking {
        self.taking.fetch_add(1, Ordering::AcqRel);
        Taking(self.clone())
    }

    /// Asks.
    pub(super) fn ask(&self, request: ClaimRequest) -> Question {
        let (answer, receiver) = oneshot::channel();
        let withdrawn = Arc::<AtomicBool>::default();
        self.put(vec![Asked { request, answer, withdrawn: withdrawn.clone() }]);
        Question { answer: receiver, withdrawn }
    }

    /// Asks no longer. What the router has in hand already still comes, as the answer.
    pub(super) fn withdraw(&self, question: &Question) {
        let mut asked = self.lock();
        question.withdrawn.store(true, Ordering::Release);
        asked.retain(|asked| !asked.withdrawn.load(Ordering::Acquire));
    }

    /// Takes all questions.
    pub(super) fn take(&self) -> Vec<Asked> {
        std::mem::take(&mut *self.lock())
    }

    /// Puts questions there, also such as could not be answered yet, but for those that were withdrawn meanwhile.
    pub(super) fn put(&self, mut questions: Vec<Asked>) {
        let mut asked = self.lock();
        asked.append(&mut questions);
        asked.retain(|asked| !asked.withdrawn.load(Ordering::Acquire));
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

    fn lock(&self) -> MutexGuard<'_, Vec<Asked>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::LeaseId;
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

    fn taken(target: &str) -> ClaimedIds {
        let lease = Lease {
            target: target.to_owned(),
            id: LeaseId::new(1),
            owner: "host".to_owned(),
            lease_ms: 1,
            is_direct: true,
        };
        ClaimedIds::of(lease)
    }

    #[tokio::test]
    async fn a_question_that_was_withdrawn_is_not_asked_and_ends() {
        let handover = Handover::new();
        let (gone, left) = (handover.ask(request("a")), handover.ask(request("b")));
        handover.withdraw(&gone);
        let asked = handover.take();
        assert_eq!(asked.iter().map(|asked| asked.request.target.as_str()).collect::<Vec<_>>(), ["b"]);
        assert!(gone.answer.await.is_err());
        drop(left);
    }

    #[tokio::test]
    async fn targets_that_take_part_are_waited_for_until_one_asks_or_all_have_left() {
        let handover = Arc::new(Handover::new());
        handover.wait().await;
        let (one, other) = (handover.take_part(), handover.take_part());
        let waits = tokio::spawn({
            let handover = handover.clone();
            async move { handover.wait().await }
        });
        drop(one);
        tokio::task::yield_now().await;
        assert!(!waits.is_finished());
        let question = handover.ask(request("a"));
        waits.await.expect("a question");
        drop(handover.take());
        let waits = tokio::spawn({
            let handover = handover.clone();
            async move { handover.wait().await }
        });
        tokio::task::yield_now().await;
        assert!(!waits.is_finished());
        drop(other);
        waits.await.expect("nobody is left");
        drop(question);
    }

    #[tokio::test]
    async fn what_the_router_has_in_hand_comes_all_the_same() {
        let handover = Handover::new();
        let question = handover.ask(request("a"));
        let asked = handover.take().remove(0);
        handover.withdraw(&question);
        asked.answer.send(taken("a")).expect("somebody waits");
        assert_eq!(question.answer.await.expect("a batch").lease.target, "a");
    }

    #[tokio::test]
    async fn a_question_that_comes_back_unanswered_ends_when_it_was_withdrawn_and_waits_on_otherwise() {
        let handover = Handover::new();
        let (gone, left) = (handover.ask(request("a")), handover.ask(request("b")));
        let asked = handover.take();
        handover.withdraw(&gone);
        handover.put(asked);
        assert!(gone.answer.await.is_err());
        handover.wait().await;
        assert_eq!(handover.take().len(), 1);
        drop(left);
    }
}
