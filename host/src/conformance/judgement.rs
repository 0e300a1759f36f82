//! The result of one check, and of the deliveries in it.

use crate::domain::change::{Outcome, Receipt};

/// What a check found; the error names the fix.
pub(super) type Judgement = Result<String, String>;

/// The receipt of a change that must be applied; `what` names the change in the error.
pub(super) fn applied(outcome: Outcome, what: &str) -> Result<Receipt, String> {
    match outcome {
        Outcome::Applied(receipt) => Ok(receipt),
        Outcome::Failed(failure) => Err(format!("{what} failed, `{}`: {}", failure.kind.as_str(), failure.message)),
        Outcome::Skipped(reason) => Err(format!("{what} was skipped: {reason}")),
    }
}
