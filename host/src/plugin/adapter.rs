//! A loaded adapter.
use super::{Inspection, World};
use crate::domain::change::Descriptor;

/// A component that was inspected, compiled and asked who it is. Cheap to call, safe to share; calls under way on an old
/// one go on when a new one is put in its place.
pub struct Adapter {
    pub(super) inspection: Inspection,
    pub(super) descriptor: Descriptor,
}

impl Adapter {
    /// What kind of target it is for.
    #[must_use]
    pub fn world(&self) -> World {
        self.inspection.world
    }

    /// The digest of its file, 64 hexadecimal digits.
    #[must_use]
    pub fn sha256(&self) -> &str {
        &self.inspection.sha256
    }

    /// Who it says it is.
    #[must_use]
    pub fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    /// What its file says.
    #[must_use]
    pub fn inspection(&self) -> &Inspection {
        &self.inspection
    }
}
