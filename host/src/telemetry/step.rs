//! The steps of a batch that are timed and traced.

use crate::vocabulary;

vocabulary! {
    /// A step of one target's batch that is timed.
    pub enum Step {
        /// A batch is put under a lease and read.
        Claim = "claim",
        /// The adapter and the target, with the fence and the commit.
        Adapter = "adapter",
        /// The lease is renewed before the commit or a request.
        Fence = "fence",
        /// The results are written.
        Settle = "settle",
    }
}

/// The step that serves all targets at once: new changes are entered as deliveries.
pub(super) const ROUTE: &str = "route";
