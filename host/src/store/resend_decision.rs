//! What a resend (`resend.rs`) does with the newest change of an aggregate. Pure, but for reading the row.

use super::{RowReader, StoreError};
use crate::database::Value;
use crate::domain::change::Operation;
use crate::domain::delivery::{Event, Status, next_status};
use crate::domain::ids::ChangeId;

/// The newest change of an aggregate, and the aggregate's state at the target.
pub(super) struct Candidate {
    pub(super) change_id: ChangeId,
    operation: Option<Operation>,
    is_routed: bool,
    delivery: Option<(Status, i64)>,
    is_in_flight: bool,
    pub(super) confirmed_id: Option<ChangeId>,
    /// Whether some target has confirmed a newer state, which is gone from the outbox.
    is_outdated: bool,
}

/// What the resend does with a candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Decision {
    Enqueue,
    /// Its delivery has this status.
    Resend(Status),
    Waiting,
    Dismissed,
    Invalid,
    DeleteOfNothing,
    WithoutState,
}

impl Candidate {
    /// A row of `resend_candidates` (sql/resend.sql).
    pub(super) fn read(operation: &str, row: Vec<Value>) -> Result<Self, StoreError> {
        let mut reader = RowReader::new(operation, row);
        let (change_id, word) = (reader.change_id()?, reader.key()?);
        let is_routed = reader.integer()? > 0;
        let (status, attempts) = (reader.optional_text()?, reader.optional_integer()?);
        let known = |word: String| {
            Status::from_word(&word).ok_or_else(|| super::corrupt(operation, format!("the status of {change_id}")))
        };
        let status = status.map(known).transpose()?;
        Ok(Self {
            change_id,
            operation: Operation::from_word(&word),
            is_routed,
            delivery: status.zip(attempts),
            is_in_flight: reader.integer()? > 0,
            confirmed_id: reader.optional_change_id()?,
            is_outdated: reader.integer()? > 0,
        })
    }

    pub(super) fn decide(&self) -> Decision {
        let Some(operation) = self.operation else { return Decision::Invalid };
        if !self.is_routed || self.is_in_flight {
            return Decision::Waiting;
        }
        if self.is_outdated {
            return Decision::WithoutState;
        }
        match self.delivery {
            Some((Status::Pending | Status::Processing, _)) => Decision::Waiting,
            Some((Status::Dismissed, _)) => Decision::Dismissed,
            // The host itself refused it, and would again.
            Some((Status::Failed, 0)) => Decision::Invalid,
            _ if operation == Operation::Delete && self.confirmed_id.is_none() => Decision::DeleteOfNothing,
            Some((status, _)) => {
                debug_assert_eq!(next_status(status, Event::Resend), Some(Status::Pending));
                Decision::Resend(status)
            }
            None => Decision::Enqueue,
        }
    }
}
