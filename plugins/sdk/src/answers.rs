//! Shortcuts for what most adapters return.

use crate::{
    AggregateSupport, Applied, DatabaseListing, Failure, FailureKind, HttpListing, Observation, Operation, Outcome,
    OwnPage, OwnRecord, Subject,
};

/// The results of a batch, without learned data.
impl From<Vec<Outcome>> for Applied {
    fn from(outcomes: Vec<Outcome>) -> Self {
        Self { outcomes, learned: None }
    }
}

impl AggregateSupport {
    /// Declares a type whose records are created, updated and deleted, but not observed.
    #[must_use]
    pub fn written(aggregate_type: &str) -> Self {
        Self {
            aggregate_type: aggregate_type.to_owned(),
            operations: vec![Operation::Create, Operation::Update, Operation::Delete],
            observes: false,
            schema: None,
        }
    }

    /// Also declares merges.
    #[must_use]
    pub fn merged(mut self) -> Self {
        self.operations.push(Operation::Merge);
        self
    }

    /// Also declares that `observe` supports the type.
    #[must_use]
    pub fn observed(self) -> Self {
        Self { observes: true, ..self }
    }
}

/// The result of an adapter that observes no type. The host never calls it.
#[must_use]
pub fn not_observed(subjects: &[Subject]) -> Vec<Observation> {
    subjects.iter().map(|_| Observation::Unknown("this adapter does not observe".to_owned())).collect()
}

/// A page of our records at the target, and where the next one begins.
impl OwnPage {
    /// The last page.
    #[must_use]
    pub fn last(records: Vec<OwnRecord>) -> Self {
        Self { records, next: None }
    }
}

/// The failure of `list-own` for a type that this target cannot list, with the reason.
#[must_use]
pub fn cannot_list(reason: &str) -> Failure {
    Failure { kind: FailureKind::Unsupported, message: reason.to_owned(), retry_after_ms: None }
}

/// Compiles only for a type that can be exported.
#[doc(hidden)]
pub fn implements_database_listing<A: DatabaseListing>() {}

/// Compiles only for a type that can be exported.
#[doc(hidden)]
pub fn implements_http_listing<A: HttpListing>() {}
