//! Claiming: the next batch of a target's queued deliveries goes under a lease.
//!
//! One transaction, a constant number of statements:
//! 1. scan what is due, skipping aggregates in flight, together with the other deliveries of each aggregate;
//!    `newest.rs` (pure) decides which are delivered and which are superseded;
//! 2. insert the lease, whose id every later statement names;
//! 3. mark the selected deliveries as processing, enter their aggregates as in flight, and supersede the older ones.
//!
//! Then the payloads are read (`batch.rs`). Correctness relies on compare-and-set (`status = 'pending'`) and on the key
//! of `sync_in_flight`, not on row locks; those only keep hosts from wasting effort on the same rows. A change that was
//! dispatched directly needs no claim: see `direct.rs`.

use tokio::time::Instant;

use super::batch::{Batch, ClaimedIds};
use super::counts::CountDelta;
use super::newest::{Candidate, Supersede, select_newest};
use super::request::ClaimRequest;
use super::scan::ScanCursor;
use super::sql::{BeginInFlight, ClaimDue, Json, MarkProcessing, MarkSuperseded};
use super::{Lease, RowReader, Store, StoreError, StoreTransaction};
use crate::database::{Dialect, Value, rerun};
use crate::domain::ids::ChangeId;

/// The result of a claim.
#[derive(Clone, Debug)]
pub enum Claim {
    /// Nothing is due.
    Nothing,
    /// Everything that was scanned is superseded; more may be due behind it.
    OnlySuperseded,
    Batch(Batch),
}

enum ClaimOutcome {
    Nothing,
    OnlySuperseded,
    Batch { claimed: ClaimedIds, reached_ms: i64 },
}

/// One due delivery.
struct Due {
    candidate: Candidate,
    next_attempt_at_ms: i64,
    attempts: u32,
}

impl Store {
    /// Puts the next due deliveries of a target under a new lease.
    ///
    /// # Errors
    /// When the store cannot be reached, or holds values that this version does not understand.
    pub async fn claim(&self, request: &ClaimRequest) -> Result<Claim, StoreError> {
        self.claim_from(request, &mut ScanCursor::of_claims()).await
    }

    /// Claims from a cursor that the caller keeps between claims.
    ///
    /// # Errors
    /// As [`Store::claim`].
    pub async fn claim_from(&self, request: &ClaimRequest, cursor: &mut ScanCursor) -> Result<Claim, StoreError> {
        loop {
            let begun = Instant::now();
            let from_ms = cursor.begin(begun);
            let outcome = rerun("claim", || self.claim_once(request, from_ms)).await?;
            let reached_ms = match &outcome {
                ClaimOutcome::Batch { reached_ms, .. } => Some(*reached_ms),
                ClaimOutcome::Nothing | ClaimOutcome::OnlySuperseded => None,
            };
            cursor.end(begun, Instant::now(), reached_ms);
            return Ok(match outcome {
                ClaimOutcome::Nothing if cursor.rewind() => continue,
                ClaimOutcome::Nothing => Claim::Nothing,
                ClaimOutcome::OnlySuperseded => Claim::OnlySuperseded,
                ClaimOutcome::Batch { claimed, .. } => {
                    self.load(claimed, request).await?.map_or(Claim::OnlySuperseded, Claim::Batch)
                }
            });
        }
    }

    async fn claim_once(&self, request: &ClaimRequest, from_ms: i64) -> Result<ClaimOutcome, StoreError> {
        let operation = format!("claim batch for target `{}`", request.target);
        // Check without locking first, so that idle hosts do not hold SQLite's write lock.
        if self.database.dialect() == Dialect::Sqlite {
            let mut check = self.begin_read(&operation).await?;
            let due = check.due(request, from_ms, 1).await?;
            check.rollback().await?;
            if due.is_empty() {
                return Ok(ClaimOutcome::Nothing);
            }
        }
        let mut transaction = self.begin(&operation).await?;
        let due = transaction.due(request, from_ms, request.batch_max).await?;
        let Some(reached_ms) = due.last().map(|last| last.next_attempt_at_ms) else {
            transaction.rollback().await?;
            return Ok(ClaimOutcome::Nothing);
        };
        let attempts = due.iter().map(|due| (due.candidate.change_id, due.attempts)).collect();
        let candidates = due.into_iter().map(|due| due.candidate).collect();
        let selection = select_newest(candidates, |kind| request.is_fifo(kind));
        let mut delta = CountDelta::default();
        if !selection.supersede.is_empty() {
            delta = CountDelta::superseded(transaction.supersede(request.target.as_str(), &selection.supersede).await?);
        }
        if selection.deliver.is_empty() {
            transaction.add_counts(request.target.as_str(), delta).await?;
            transaction.commit().await?;
            return Ok(ClaimOutcome::OnlySuperseded);
        }
        let lease = transaction.begin_lease(request, false).await?;
        transaction.mark_processing(&lease, &selection.deliver).await?;
        transaction.add_counts(request.target.as_str(), delta).await?;
        transaction.commit().await?;
        let claimed = ClaimedIds { lease, change_ids: selection.deliver, attempts };
        Ok(ClaimOutcome::Batch { claimed, reached_ms })
    }
}

impl StoreTransaction {
    /// Scans what is due, oldest first, without aggregates in flight or, for fifo, deliveries that are not the head.
    /// With each delivery come three of its aggregate at this target: the newest, the oldest after the one that was
    /// confirmed last, and that one.
    async fn due(&mut self, request: &ClaimRequest, from_ms: i64, limit: u32) -> Result<Vec<Due>, StoreError> {
        let target = request.target.as_str();
        let rows = self.fetch(ClaimDue { target, from_ms, limit, fifo_types: &request.fifo_types }).await?;
        let operation = self.operation.clone();
        rows.rows.into_iter().map(|row| due(&operation, row)).collect()
    }

    /// Supersedes older deliveries, failed ones too. Returns their number.
    async fn supersede(&mut self, target: &str, supersede: &[Supersede]) -> Result<u64, StoreError> {
        Ok(self.run(MarkSuperseded { target, batch: Json::of(supersede) }).await?.rows_affected)
    }

    /// Moves deliveries from pending to processing, by compare-and-set, and enters them as in flight.
    async fn mark_processing(&mut self, lease: &Lease, change_ids: &[ChangeId]) -> Result<(), StoreError> {
        let (target, lease_id, ids) = (lease.target.as_str(), lease.id, change_ids);
        self.execute_exactly(ids.len(), MarkProcessing { target, lease_id, ids }).await?;
        self.execute_exactly(ids.len(), BeginInFlight { target, lease_id, ids }).await
    }
}

fn due(operation: &str, row: Vec<Value>) -> Result<Due, StoreError> {
    let mut reader = RowReader::new(operation, row);
    let change_id = reader.change_id()?;
    let key = reader.aggregate_key()?;
    let next_attempt_at_ms = reader.integer()?;
    let attempts = u32::try_from(reader.integer()?).unwrap_or(u32::MAX);
    let (newest, oldest) = (reader.optional_change_id()?, reader.optional_change_id()?);
    let candidate = Candidate {
        change_id,
        key,
        newest_id: newest.unwrap_or(change_id),
        delivered_id: reader.optional_change_id()?,
        has_older: oldest.is_some_and(|oldest| oldest < change_id),
    };
    Ok(Due { candidate, next_attempt_at_ms, attempts })
}
