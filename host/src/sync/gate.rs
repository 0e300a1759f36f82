//! The gate of a target: the adapters that its workers use, or why they must wait. The supervisor sets it.

use std::sync::Arc;

use super::canary::Canary;
use crate::domain::change::Failure;
use crate::target::{CheckedAdapter, Target};

/// Whether workers may deliver.
#[derive(Clone)]
pub(super) enum Gate {
    /// The target has not been checked yet.
    Unknown,
    /// Workers deliver.
    Open(OpenGate),
    /// The target is down, for this reason.
    Shut(Failure),
    /// An operator has paused the target.
    Paused,
}

/// What deliveries use.
#[derive(Clone)]
pub(super) struct OpenGate {
    /// The target with the settings that the adapter was checked under.
    pub(super) target: Arc<Target>,
    pub(super) active: Arc<CheckedAdapter>,
    /// A new adapter that gets a few deliveries first.
    pub(super) canary: Option<Arc<Canary>>,
}

impl Gate {
    /// The adapters that deliveries use; `None` while they must wait.
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
