//! What became of the HTTP requests of a batch: whether one that may write was sent and has no answer, and whether one timed
//! out.
//!
//! The caller shares it with the call, so that it can be read after a call was dropped half-way. It only counts; what follows
//! from a request in doubt is decided by whoever holds the lease.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The fates of all requests of one batch, over all its calls. Cloning shares them.
#[derive(Clone, Debug, Default)]
pub struct RequestFates(Arc<Fates>);

#[derive(Debug, Default)]
struct Fates {
    unanswered: AtomicU64,
    timed_out: AtomicU64,
}

impl RequestFates {
    /// Requests that may write, were sent, and have no complete answer (yet). The server may still be working on them.
    #[must_use]
    pub fn unanswered(&self) -> u64 {
        self.0.unanswered.load(Ordering::Acquire)
    }

    /// Requests of any kind that took longer than they may.
    #[must_use]
    pub fn timed_out(&self) -> u64 {
        self.0.timed_out.load(Ordering::Acquire)
    }

    /// A request that may write is about to be sent.
    ///
    /// It is counted before the lease is asked for: a caller that finds nothing unanswered and gives the lease up can then be
    /// sure that the lease refuses the request.
    pub(super) fn sending(&self) -> Unanswered {
        self.0.unanswered.fetch_add(1, Ordering::AcqRel);
        Unanswered(self.clone())
    }

    pub(super) fn note_timeout(&self) {
        self.0.timed_out.fetch_add(1, Ordering::AcqRel);
    }
}

/// A request whose answer is awaited. Dropped without an answer, it stays unanswered for good.
#[must_use = "a request that was answered must say so"]
pub(super) struct Unanswered(RequestFates);

impl Unanswered {
    /// The answer is complete, or it is certain that the request was never sent.
    pub(super) fn resolve(self) {
        self.0.0.unanswered.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_in_doubt_until_it_is_resolved() {
        let fates = RequestFates::default();
        let (answered, dropped) = (fates.sending(), fates.sending());
        assert_eq!(fates.unanswered(), 2);
        answered.resolve();
        drop(dropped);
        assert_eq!(fates.unanswered(), 1, "a dropped request was never answered");
    }
}
