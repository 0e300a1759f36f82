//! The requests of a claimer: for queued deliveries (`claim.rs`), or for new changes (`routing.rs`). Plain data.

use crate::domain::ids::TargetName;

/// Which deliveries a claimer wants.
#[derive(Clone, Debug)]
pub struct ClaimRequest {
    pub target: TargetName,
    /// This host's id.
    pub owner: String,
    pub batch_max: u32,
    /// How long the lease lasts unless it is renewed.
    pub lease_ms: u64,
    /// Aggregate types whose every change is delivered, in order.
    pub fifo_types: Vec<String>,
}

impl ClaimRequest {
    pub(super) fn is_fifo(&self, aggregate_type: &str) -> bool {
        self.fifo_types.iter().any(|fifo| fifo == aggregate_type)
    }
}

/// Names a request for new changes; one host gives each number once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RequestId(pub u64);

/// A claimer's request for new changes, to be dispatched directly.
#[derive(Clone, Debug)]
pub struct DirectRequest {
    pub id: RequestId,
    pub claim: ClaimRequest,
}
