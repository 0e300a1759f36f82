//! What a verification finds of one record: whether the target still holds what was delivered.

use std::time::Duration;

use super::change::{Link, Observation};
use crate::vocabulary;

/// `[targets.NAME.verify]`: how a daemon verifies a target by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VerifySchedule {
    /// From the end of one verification to the begin of the next.
    pub every: Duration,
    /// Records a second at most.
    pub rate: u32,
}

vocabulary! {
    /// How a record differs from what was delivered.
    pub enum Finding {
        /// Elements of ours hold something else.
        Edited = "edited",
        /// No record is there.
        Gone = "gone",
        /// Several records carry our identifier.
        Several = "several",
        /// The record is another aggregate's, or nobody's.
        NotOurs = "not-ours",
        /// The target or its adapter cannot tell.
        Unknown = "unknown",
    }
}

impl Finding {
    /// What an observation shows of a record that was delivered as the link tells; `None` when both are equal.
    #[must_use]
    pub fn of(link: &Link, observation: &Observation) -> Option<Self> {
        match observation {
            Observation::Present { fingerprint, .. } => match &link.fingerprint {
                Some(delivered) if delivered == fingerprint => None,
                Some(_) => Some(Self::Edited),
                // An operator named the record, and nothing was delivered to it since.
                None => Some(Self::Unknown),
            },
            Observation::Gone => Some(Self::Gone),
            Observation::Several(_) => Some(Self::Several),
            Observation::NotOurs => Some(Self::NotOurs),
            Observation::Unknown(_) => Some(Self::Unknown),
        }
    }

    /// Whether delivering the current state again may put the record right. What cannot be told is left alone.
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
