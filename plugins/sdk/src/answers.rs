//! Short forms of what most adapters answer.

use crate::{AggregateSupport, Applied, Observation, Operation, Outcome, Subject};

/// A batch after which nothing was learned.
impl From<Vec<Outcome>> for Applied {
    fn from(outcomes: Vec<Outcome>) -> Self {
        Self { outcomes, learned: None }
    }
}

impl AggregateSupport {
    /// A type whose records are created, updated and deleted, and not observed.
    #[must_use]
    pub fn written(aggregate_type: &str) -> Self {
        Self {
            aggregate_type: aggregate_type.to_owned(),
            operations: vec![Operation::Create, Operation::Update, Operation::Delete],
            observes: false,
            schema: None,
        }
    }

    /// The same type, whose records are also merged.
    #[must_use]
    pub fn merged(mut self) -> Self {
        self.operations.push(Operation::Merge);
        self
    }

    /// The same type, for which `observe` answers.
    #[must_use]
    pub fn observed(self) -> Self {
        Self { observes: true, ..self }
    }
}

/// The answer of an adapter that observes nothing. The host does not ask it.
#[must_use]
pub fn not_observed(subjects: &[Subject]) -> Vec<Observation> {
    subjects.iter().map(|_| Observation::Unknown("this adapter does not observe".to_owned())).collect()
}
