//! The findings of a verification: whether the target still holds what was delivered.

use std::time::Duration;

use super::change::{Link, Observation};
use crate::vocabulary;

/// `[targets.NAME.verify]`: when a daemon verifies a target by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VerifySchedule {
    /// The time from the end of one verification to the start of the next.
    pub every: Duration,
    /// The maximum number of records per second.
    pub rate: u32,
}

vocabulary! {
    /// How a record differs from what was delivered.
    pub enum Finding {
        /// Fields that we write hold other values.
        Edited = "edited",
        /// No record exists.
        Gone = "gone",
        /// Several records carry our identifier.
        Several = "several",
        /// The record belongs to another aggregate, or to none.
        NotOurs = "not-ours",
        /// The target or its adapter cannot determine it.
        Unknown = "unknown",
    }
}

impl Finding {
    /// Compares an observation with the link of the delivered record; `None` when both agree.
    #[must_use]
    pub fn of(link: &Link, observation: &Observation) -> Option<Self> {
        match observation {
            Observation::Present { fingerprint, .. } => match &link.fingerprint {
                Some(delivered) if delivered == fingerprint => None,
                Some(_) => Some(Self::Edited),
                // An operator named the record, and nothing was delivered to it since then.
                None => Some(Self::Unknown),
            },
            Observation::Gone => Some(Self::Gone),
            Observation::Several(_) => Some(Self::Several),
            Observation::NotOurs => Some(Self::NotOurs),
            Observation::Unknown(_) => Some(Self::Unknown),
        }
    }

    /// Whether delivering the current state again may correct the record. `false` for a finding without a clear cause.
    #[must_use]
    pub fn can_be_repaired(self) -> bool {
        self != Self::Unknown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_equals_the_store_only_with_the_fingerprint_of_its_last_delivery() {
        let link = |fingerprint: Option<&str>| Link {
            remote_id: "1".to_owned(),
            remote_version: None,
            fingerprint: fingerprint.map(str::to_owned),
        };
        let present = Observation::Present { fingerprint: "a".to_owned(), remote_version: None };
        assert_eq!(Finding::of(&link(Some("a")), &present), None);
        assert_eq!(Finding::of(&link(Some("b")), &present), Some(Finding::Edited));
        assert_eq!(Finding::of(&link(None), &present), Some(Finding::Unknown));
        assert_eq!(Finding::of(&link(Some("a")), &Observation::Gone), Some(Finding::Gone));
        let several = Observation::Several(vec!["1".to_owned(), "2".to_owned()]);
        assert_eq!(Finding::of(&link(Some("a")), &several), Some(Finding::Several));
    }
}
