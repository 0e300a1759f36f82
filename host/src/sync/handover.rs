//! Where the router and the claimers meet: a target that has nothing to do asks for new changes, to be given them straight
//! under a lease; and whoever makes a delivery due says that something waits in line.
//!
//! It holds questions, never a batch: what nobody waits for any more is given back to the store by the router.

use std::sync::{Mutex, PoisonError};

use tokio::sync::{Notify, oneshot, watch};

use crate::store::{Batch, ClaimRequest};

/// One question of a target.
pub(super) struct Asked {
    pub(super) request: ClaimRequest,
    /// Where the batch goes; a closed one has gone away.
    pub(super) answer: oneshot::Sender<Batch>,
}

/// The questions of all targets of this host.
pub(super) struct Handover {
    asked: Mutex<Vec<Asked>>,
    news: Notify,
    /// Counts up whenever something may have come to wait in line: who was busy meanwhile sees it afterwards.
    line: watch::Sender<u64>,
}

impl Handover {
    pub(super) fn new() -> Self {
        Self { asked: Mutex::default(), news: Notify::new(), line: watch::Sender::new(0) }
    }

    /// Something may wait in line, at whichever target.
    pub(super) fn something_waits(&self) {
        self.line.send_modify(|times| *times = times.wrapping_add(1));
    }

    /// Hears of what waits in line.
    pub(super) fn line(&self) -> watch::Receiver<u64> {
        self.line.subscribe()
    }

    /// Asks. Whoever does not want the answer any more closes the receiver, and looks into it once more.
    pub(super) fn ask(&self, request: ClaimRequest) -> oneshot::Receiver<Batch> {
        let (answer, receiver) = oneshot::channel();
        self.put(vec![Asked { request, answer }]);
        receiver
    }

    /// Takes all questions that somebody still waits for.
    pub(super) fn take(&self) -> Vec<Asked> {
        let mut asked = std::mem::take(&mut *self.asked.lock().unwrap_or_else(PoisonError::into_inner));
        asked.retain(|asked| !asked.answer.is_closed());
        asked
    }

    /// Puts questions there, also such as could not be answered yet.
    pub(super) fn put(&self, mut asked: Vec<Asked>) {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).append(&mut asked);
        self.news.notify_one();
    }

    /// Returns when there is a question.
    pub(super) async fn wait(&self) {
        loop {
            let news = self.news.notified();
            if self.asked.lock().unwrap_or_else(PoisonError::into_inner).iter().any(|asked| !asked.answer.is_closed()) {
                return;
            }
            news.await;
        }
    }
}
