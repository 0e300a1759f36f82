//! What a worker records of an attempt, for the journal. It decides nothing about a delivery.

use std::time::Duration;

use super::leased_batch::LeasedBatch;
use crate::domain::attempt::{Attempt, Cause, LEASE_LOST, Outcomes, outcomes};
use crate::domain::change::{Failure, FailureKind};
use crate::domain::delivery::Settlement;
use crate::domain::words::one_line;
use crate::plugin::{AttemptRecorder, CallError, Recorded};
use crate::store::{Lease, Store};

/// The journal's column takes a little more.
const CAUSE_CHARS_MAX: usize = 1_000;

/// The attempt of a batch whose call has ended.
pub(super) struct Ended<'a> {
    /// In the order of the batch.
    pub(super) settlements: &'a [Settlement],
    pub(super) in_doubt: &'a [bool],
    /// A failure of the target as a whole.
    pub(super) target_failure: Option<&'a Failure>,
    pub(super) crash: Option<&'a CallError>,
}

/// What is recorded of an attempt; `None` where the journal is off.
pub(super) fn attempt(recorder: Option<&AttemptRecorder>, elapsed: Duration, ended: &Ended<'_>) -> Option<Attempt> {
    let Ended { settlements, in_doubt, target_failure, crash } = ended;
    let of_target = target_failure.map(|failure| cause_of(failure.kind.as_str(), &failure.message));
    // A part that crashed and then arrived in smaller parts is no failure of the whole.
    let crash = crash.filter(|_| settlements.iter().all(|settlement| settlement.receipt.is_none()));
    let of_adapter = crash.map(|error| cause_of(FailureKind::Adapter.as_str(), &error.to_string()));
    let cause = of_target.or(of_adapter);
    let changes = u64::try_from(settlements.len()).unwrap_or(u64::MAX);
    Some(Attempt { outcomes: outcomes(settlements, in_doubt), cause, ..begun(recorder?.recorded(), elapsed, changes) })
}

/// The attempt of a batch whose call ended without results; `None` where the journal is off.
pub(super) fn without_results(
    recorder: Option<&AttemptRecorder>,
    elapsed: Duration,
    batch: &LeasedBatch,
) -> Option<Attempt> {
    let changes = u64::try_from(batch.deliveries.len()).unwrap_or(u64::MAX);
    Some(begun(recorder?.recorded(), elapsed, changes))
}

/// Records an attempt whose lease was lost: nothing of it is settled. The batch is another host's by now, so a failure
/// to record it only leaves a gap in the journal.
pub(super) async fn record_lost(store: &Store, lease: &Lease, attempt: Option<&Attempt>) {
    let Some(attempt) = attempt else { return };
    let cause = Some(cause_of(LEASE_LOST, "another host took the batch over"));
    let attempt = Attempt { cause, outcomes: Outcomes::new(), ..attempt.clone() };
    if let Err(error) = store.record_unsettled(lease, &attempt).await {
        tracing::debug!(target_name = %lease.target, %error, "a lost attempt was not recorded");
    }
}

fn cause_of(kind: &str, message: &str) -> Cause {
    Cause { kind: kind.to_owned(), message: one_line(message, CAUSE_CHARS_MAX) }
}

fn begun(Recorded { adapter, calls, effects }: Recorded, elapsed: Duration, changes: u64) -> Attempt {
    let elapsed_ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
    Attempt { adapter, elapsed_ms, calls, changes, effects, ..Attempt::default() }
}
