//! One attempt of a batch, as the journal keeps it: by which adapter, for how long, with which outcomes and effects.
//!
//! It holds no value of a payload. The journal's row has the lease's id as its key, since each lease is for one
//! attempt.

use std::collections::BTreeMap;

use super::delivery::{Settlement, Status};
use super::effects::Effects;

/// The outcome of a change whose request was sent and never answered.
pub const IN_DOUBT: &str = "in-doubt";
/// The cause of an attempt whose lease was lost before its results were written.
pub const LEASE_LOST: &str = "lease-lost";

/// Which adapter ran.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct AdapterIdentity {
    /// By its own description.
    pub name: String,
    /// By its own description.
    pub version: String,
    /// The digest of its file, 64 hexadecimal digits.
    pub sha256: String,
    /// The version of the interface that it was built for.
    pub interface_version: String,
}

/// Why an attempt failed as a whole.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Cause {
    /// A word of `domain::change::FailureKind`, or [`LEASE_LOST`].
    pub kind: String,
    /// The reason, without any value.
    pub message: String,
}

/// How many changes of an attempt had each outcome: `done`, `skipped`, [`IN_DOUBT`], or the kind of the failure.
pub type Outcomes = BTreeMap<String, u64>;

/// One attempt.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attempt {
    /// The adapter that gave the outcomes; `None` when none was called.
    pub adapter: Option<AdapterIdentity>,
    /// From the beginning of the first call to the end of the last.
    pub elapsed_ms: u64,
    /// Calls of an adapter: more than one where the batch was split or run again.
    pub calls: u64,
    /// How many changes the batch had.
    pub changes: u64,
    /// What became of them.
    pub outcomes: Outcomes,
    /// What was done at the target, also in calls that were rolled back.
    pub effects: Effects,
    /// Why it failed as a whole.
    pub cause: Option<Cause>,
}

/// Counts the outcomes of a batch.
#[must_use]
pub fn outcomes(settlements: &[Settlement], in_doubt: &[bool]) -> Outcomes {
    let mut outcomes = Outcomes::new();
    for (index, settlement) in settlements.iter().enumerate() {
        let word = match &settlement.failure {
            _ if in_doubt.get(index) == Some(&true) => IN_DOUBT,
            Some(failure) => failure.kind.as_str(),
            None if settlement.status == Status::Skipped => Status::Skipped.as_str(),
            None => Status::Done.as_str(),
        };
        *outcomes.entry(word.to_owned()).or_default() += 1;
    }
    outcomes
}
