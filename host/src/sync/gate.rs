//! The gate of a target: what its workers deliver through, or why they must wait. The supervisor sets it.

use std::sync::Arc;

use super::canary::Canary;
use crate::domain::change::Failure;
use crate::target::CheckedAdapter;

/// Whether deliveries may flow.
#[derive(Clone)]
pub(super) enum Gate {
    /// The target has not been checked yet.
    Unknown,
    /// Deliveries flow.
    Open(OpenGate),
    /// The target is down, for this reason.
    Shut(Failure),
    /// An operator has paused the target.
    Paused,
}

/// The adapters that deliveries flow through.
#[derive(Clone)]
pub(super) struct OpenGate {
    pub(super) active: Arc<CheckedAdapter>,
    /// A new adapter, to be tried on a few deliveries.
    pub(super) canary: Option<Arc<Canary>>,
}

impl Gate {
    /// What deliveries flow through; `None` while they must wait.
    pub(super) fn open(&self) -> Option<&OpenGate> {
        match self {
            Self::Open(open) => Some(open),
            Self::Unknown | Self::Shut(_) | Self::Paused => None,
        }
    }

    /// Why the target is down; `None` when it is not.
    pub(super) fn failure(&self) -> Option<&Failure> {
        match self {
            Self::Shut(failure) => Some(failure),
            Self::Unknown | Self::Open(_) | Self::Paused => None,
        }
    }
}

impl OpenGate {
    /// Whether a canary waits for its batch.
    pub(super) fn wants_canary_batch(&self) -> bool {
        self.canary.as_ref().is_some_and(|canary| !canary.is_taken())
    }
}
