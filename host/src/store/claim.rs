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

use serde::Serialize;

use super::batch::{Batch, ClaimRequest, UnderLease};
use super::counts::Counted;
use super::newest::{Candidate, Retire, sort_out};
use super::siblings::{by_aggregate, is_sibling, newest, oldest_behind};
use super::sql::{AT_PLACE, JsonType, json_rows, named_deliveries, placed, through, update_from};
use super::work::is_free;
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
        let fifo = if request.fifo_types.is_empty() {
            String::new()
        } else {
            let names: Vec<_> = (0..request.fifo_types.len()).map(|index| format!(":fifo{index}")).collect();
            format!(
                " AND (d.aggregate_type NOT IN ({}) OR NOT EXISTS (SELECT 1 FROM sync_delivery e{siblings} \
                 WHERE {older} AND e.status IN ('pending', 'processing', 'failed')))",
                names.join(", "),
                siblings = by_aggregate(self.dialect()),
                older = is_sibling(self.dialect(), "e", "d.target", "d", "< d.outbox_id"),
            )
        };
        let confirmed = "(SELECT l.delivered_outbox_id FROM sync_link l WHERE l.target = d.target \
                         AND l.aggregate_type = d.aggregate_type AND l.aggregate_id = d.aggregate_id)";
        let sql = format!(
            "SELECT d.outbox_id, d.aggregate_type, d.aggregate_id, d.next_attempt_at, d.attempts, \
             {newest}, {oldest}, {confirmed} FROM sync_delivery d{index} \
             WHERE d.target = :target AND d.status = 'pending' AND d.next_attempt_at >= :from \
             AND d.next_attempt_at <= {now} AND {free}{fifo} \
             ORDER BY d.next_attempt_at, d.outbox_id LIMIT {limit}{lock}",
            now = self.now,
            index = through(self.dialect(), "sync_delivery_due"),
            newest = newest(self.dialect(), "d.target", "d"),
            oldest = oldest_behind(self.dialect(), "d.target", "d", &format!("COALESCE({confirmed}, 0)")),
            free = is_free("d.target", "d"),
            lock = self.dialect().lock_free_rows(),
        );
        let names: Vec<_> = (0..request.fifo_types.len()).map(|index| format!("fifo{index}")).collect();
        let mut values: Vec<(&str, Value)> = vec![("target", request.target.as_str().into()), ("from", from_ms.into())];
        values.extend(names.iter().map(String::as_str).zip(request.fifo_types.iter().map(|kind| kind.as_str().into())));
        let rows = self.query(&sql, &values).await?;
        let what = self.what.clone();
        rows.rows.into_iter().map(|row| due(&what, row)).collect()
    }

    /// Retires what is moot, also what failed: nobody has to decide about a state that a newer one replaces.
    ///
    /// PostgreSQL passes over rows that another claim looks at; those are retired the next time. Claims that wait for each
    /// other's rows are a deadlock, which that database notices only after a second: several hosts with a few patients who
    /// change often came to a standstill by it. The others notice at once.
    async fn retire(&mut self, target: &str, retire: &[Retire]) -> Result<u64, StoreError> {
        let rows = json_rows(
            self.dialect(),
            &[("aggregate_type", JsonType::Text), ("aggregate_id", JsonType::Text), ("before_id", JsonType::Integer)],
        );
        let moot = format!(
            "{} AND t.status IN ('pending', 'failed')",
            is_sibling(self.dialect(), "t", ":target", "j", "< j.before_id")
        );
        let (rows, condition) = if self.dialect() == Dialect::Postgres {
            let free = format!("{moot}{}", self.dialect().lock_free_rows());
            (placed("sync_delivery", &rows, &free), AT_PLACE.to_owned())
        } else {
            (rows, moot)
        };
        let assignments = [("status", "'superseded'"), ("next_attempt_at", "NULL"), ("finished_at", self.now.as_str())];
        let table = ("sync_delivery", "sync_delivery_aggregate");
        let sql = update_from(self.dialect(), table, &assignments, &rows, &condition);
        let values = [("target", target.into()), ("rows", rows_value(retire))];
        Ok(self.execute(&sql, &values).await?.rows_affected)
    }

    /// Moves deliveries from pending to processing, by compare-and-set.
    async fn take(&mut self, lease: &Lease, outbox_ids: &[i64]) -> Result<(), StoreError> {
        let sql = format!(
            "UPDATE sync_delivery{index} SET status = 'processing', next_attempt_at = NULL, lease_epoch = :epoch \
             WHERE {named} AND status = 'pending'",
            index = through(self.dialect(), "PRIMARY"),
            named = named_deliveries(self.dialect()),
        );
        self.put_all(lease, &sql, outbox_ids).await?;
        // By the deliveries' own keys: an outbox row may have been changed or deleted since, and says so when it is read.
        let sql = format!(
            "INSERT INTO sync_work (target, aggregate_type, aggregate_id, outbox_id, epoch) \
             SELECT target, aggregate_type, aggregate_id, outbox_id, :epoch FROM sync_delivery{index} WHERE {named}",
            index = through(self.dialect(), "PRIMARY"),
            named = named_deliveries(self.dialect()),
        );
        self.put_all(lease, &sql, outbox_ids).await
    }
}

/// A batch as the parameter `:rows`.
pub(super) fn rows_value<T: Serialize>(rows: &[T]) -> Value {
    Value::Json(serde_json::to_string(rows).expect("invariant: our own rows are JSON"))
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
