//! Claiming: the next batch of a target's deliveries goes under a lease.
//!
//! One transaction, a constant number of statements:
//! 1. look at what is due, passing over aggregates that are in work already, and at each one's siblings; which is
//!    delivered and which is moot is decided in Rust (`newest.rs`, pure);
//! 2. make the lease: its number, the epoch, is what every later step is guarded by;
//! 3. put the chosen ones under it, enter their aggregates as in work, and retire the moot ones, if there are any.
//!
//! Then the payloads are read (`batch.rs`). Correctness rests on compare-and-set (`status = 'pending'`) and on the key of
//! `sync_work`, not on row locks; those only keep hosts from wasting effort on the same rows. What has just been routed
//! needs no claim: see `straight.rs`.

use std::time::{Duration, Instant};

use super::batch::{Batch, ClaimRequest, UnderLease};
use super::counts::Counted;
use super::newest::{Candidate, Retire, sort_out};
use super::sql::{BeginInFlight, ClaimDue, Json, MarkProcessing, Supersede};
use super::{Lease, Reader, Store, StoreError, StoreTransaction};
use crate::database::{Dialect, Value, rerun};

/// What a claim found.
#[derive(Clone, Debug)]
pub enum Claim {
    /// Nothing is due.
    Nothing,
    /// What was due was moot; there may be more behind it.
    OnlyMoot,
    /// Something to deliver.
    Batch(Batch),
}

enum Taken {
    Nothing,
    OnlyMoot,
    Batch { taken: UnderLease, reached_ms: i64 },
}

/// A look goes on where the last one ended, but begins anew after so long.
const FROM_THE_BEGINNING_EVERY: Duration = Duration::from_secs(1);

/// Where the last claim ended. What was claimed before it leaves dead entries in the index, and they would be walked over
/// again and again. It only saves looking: now and then, and whenever nothing is found, the look begins anew.
#[derive(Clone, Copy, Debug, Default)]
pub struct Place {
    from_ms: i64,
    begun: Option<Instant>,
}

impl Place {
    fn begin(&mut self) -> i64 {
        if self.begun.is_none_or(|begun| begun.elapsed() > FROM_THE_BEGINNING_EVERY) {
            *self = Self { from_ms: i64::MIN, begun: Some(Instant::now()) };
        }
        self.from_ms
    }
}

/// One row of the look.
struct Due {
    candidate: Candidate,
    next_attempt_at_ms: i64,
    attempts: u32,
}

impl Store {
    /// Puts the next due deliveries of a target under a new lease.
    ///
    /// # Errors
    /// When the store cannot be reached, or holds what this version does not understand.
    pub async fn claim(&self, request: &ClaimRequest) -> Result<Claim, StoreError> {
        self.claim_on(request, &mut Place::default()).await
    }

    /// As [`Store::claim`], going on where the last claim of this caller ended.
    ///
    /// # Errors
    /// As [`Store::claim`].
    pub async fn claim_on(&self, request: &ClaimRequest, place: &mut Place) -> Result<Claim, StoreError> {
        let from_ms = place.begin();
        match rerun("claim", || self.claim_once(request, from_ms)).await? {
            Taken::Nothing if from_ms > i64::MIN => {
                *place = Place::default();
                Box::pin(self.claim_on(request, place)).await
            }
            Taken::Nothing => Ok(Claim::Nothing),
            Taken::OnlyMoot => Ok(Claim::OnlyMoot),
            Taken::Batch { taken, reached_ms } => {
                place.from_ms = reached_ms;
                Ok(self.load(taken, request).await?.map_or(Claim::OnlyMoot, Claim::Batch))
            }
        }
    }

    async fn claim_once(&self, request: &ClaimRequest, from_ms: i64) -> Result<Taken, StoreError> {
        let what = format!("claim batch for target `{}`", request.target);
        // A look without a lock keeps an idle host from taking SQLite's only writer.
        if self.database.dialect() == Dialect::Sqlite {
            let mut look = self.begin_read(&what).await?;
            let due = look.due(request, from_ms, 1).await?;
            look.rollback().await?;
            if due.is_empty() {
                return Ok(Taken::Nothing);
            }
        }
        let mut transaction = self.begin(&what).await?;
        let due = transaction.due(request, from_ms, request.batch_max).await?;
        let Some(reached_ms) = due.last().map(|last| last.next_attempt_at_ms) else {
            transaction.rollback().await?;
            return Ok(Taken::Nothing);
        };
        let attempts = due.iter().map(|due| (due.candidate.outbox_id, due.attempts)).collect();
        let candidates = due.into_iter().map(|due| due.candidate).collect();
        let sorted = sort_out(candidates, |kind| request.is_fifo(kind));
        let mut counted = Counted::default();
        if !sorted.retire.is_empty() {
            counted = Counted::superseded(transaction.retire(&request.target, &sorted.retire).await?);
        }
        if sorted.deliver.is_empty() {
            transaction.count(&request.target, counted).await?;
            transaction.commit().await?;
            return Ok(Taken::OnlyMoot);
        }
        let lease = transaction.lease(request, false).await?;
        transaction.take(&lease, &sorted.deliver).await?;
        transaction.count(&request.target, counted).await?;
        transaction.commit().await?;
        Ok(Taken::Batch { taken: UnderLease { lease, outbox_ids: sorted.deliver, attempts }, reached_ms })
    }
}

impl StoreTransaction {
    /// What is due, oldest first, without aggregates that are in work or (for fifo) not at the head, and of each one its
    /// siblings at this target: the newest, the oldest behind what was confirmed last, and that one.
    async fn due(&mut self, request: &ClaimRequest, from_ms: i64, limit: u32) -> Result<Vec<Due>, StoreError> {
        let target = &request.target;
        let rows = self.fetch(ClaimDue { target, from_ms, limit, fifo_types: &request.fifo_types }).await?;
        let what = self.what.clone();
        rows.rows.into_iter().map(|row| due(&what, row)).collect()
    }

    /// Retires what is moot, also what failed. Gives how many.
    async fn retire(&mut self, target: &str, retire: &[Retire]) -> Result<u64, StoreError> {
        Ok(self.run(Supersede { target, batch: Json::of(retire) }).await?.rows_affected)
    }

    /// Moves deliveries from pending to processing, by compare-and-set.
    async fn take(&mut self, lease: &Lease, outbox_ids: &[i64]) -> Result<(), StoreError> {
        let (target, epoch, ids) = (lease.target.as_str(), lease.epoch, outbox_ids);
        self.execute_exactly(ids.len(), MarkProcessing { target, epoch, ids }).await?;
        self.execute_exactly(ids.len(), BeginInFlight { target, epoch, ids }).await
    }
}

fn due(what: &str, row: Vec<Value>) -> Result<Due, StoreError> {
    let mut reader = Reader::new(what, row);
    let outbox_id = reader.integer()?;
    let (aggregate_type, aggregate_id) = (reader.key()?, reader.key()?);
    let next_attempt_at_ms = reader.integer()?;
    let attempts = u32::try_from(reader.integer()?).unwrap_or(u32::MAX);
    let (newest, oldest) = (reader.optional_integer()?, reader.optional_integer()?);
    let candidate = Candidate {
        outbox_id,
        aggregate_type,
        aggregate_id,
        newest_id: newest.unwrap_or(outbox_id),
        delivered_id: reader.optional_integer()?,
        has_older: oldest.is_some_and(|oldest| oldest < outbox_id),
    };
    Ok(Due { candidate, next_attempt_at_ms, attempts })
}
