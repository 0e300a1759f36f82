//! Claiming: the next batch of a target's deliveries goes under a lease.
//!
//! One transaction, a constant number of statements:
//! 1. look at what is due, passing over aggregates that are in work already, and at each one's siblings; which is
//!    delivered and which is moot is decided in Rust (`newest.rs`, pure);
//! 2. make the lease: its number, the epoch, is what every later step is guarded by;
//! 3. put the chosen ones under it, and retire the moot ones, if there are any.
//!
//! Then the payloads are read, outside of the transaction: they never change. Correctness rests on compare-and-set
//! (`status = 'pending'`) and on the unique key over `active_key`, not on row locks; those only keep hosts from wasting
//! effort on the same rows.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::counts::Counted;
use super::newest::{Candidate, Retire, sort_out};
use super::sql::{JsonType, among_ids, json_rows, left_lookup, through, update_from};
use super::{Lease, Reader, Store, StoreError, StoreTransaction, corrupt};
use crate::database::{DatabaseError, Dialect, ErrorKind, Value, rerun};
use crate::domain::change::{Change, Link, Operation};

/// What to claim.
#[derive(Clone, Debug)]
pub struct ClaimRequest {
    /// For which target.
    pub target: String,
    /// Who claims: this host's id.
    pub owner: String,
    /// At most so many deliveries.
    pub batch_max: u32,
    /// How long the lease lasts unless it is renewed, in milliseconds.
    pub lease_ms: u64,
    /// Aggregate types whose every change is delivered, in order.
    pub fifo_types: Vec<String>,
}

/// One claimed delivery.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// What to deliver.
    pub change: Change,
    /// Attempts spent before this one.
    pub attempts: u32,
}

/// Deliveries under one lease, at most one per aggregate.
#[derive(Clone, Debug)]
pub struct Batch {
    /// The lease.
    pub lease: Lease,
    /// The deliveries, oldest first.
    pub deliveries: Vec<Delivery>,
}

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
    Batch(UnderLease),
}

/// A look goes on where the last one ended, but begins anew after so long.
const FROM_THE_BEGINNING_EVERY: Duration = Duration::from_secs(1);

/// Where the last claim of a worker ended. What was claimed before it leaves dead entries in the index, and they would be
/// walked over again and again. It only saves looking: now and then, and whenever nothing is found, the look begins anew.
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

/// What was put under a lease.
struct UnderLease {
    lease: Lease,
    outbox_ids: Vec<i64>,
    attempts: HashMap<i64, u32>,
    reached_ms: i64,
}

impl Store {
    /// Puts the next due deliveries of a target under a new lease.
    ///
    /// # Errors
    /// When the store cannot be reached, or holds what this version does not understand.
    pub async fn claim(&self, request: &ClaimRequest) -> Result<Claim, StoreError> {
        self.claim_on(request, &mut Place::default()).await
    }

    /// As [`Store::claim`], going on where the last claim of this worker ended.
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
            Taken::Batch(taken) => {
                place.from_ms = taken.reached_ms;
                let is_fifo = |kind: &str| request.fifo_types.iter().any(|fifo| fifo == kind);
                if let Some(deliveries) = self.load(&taken, is_fifo).await? {
                    return Ok(Claim::Batch(Batch { lease: taken.lease, deliveries }));
                }
                self.release(&taken.lease).await?;
                Ok(Claim::OnlyMoot)
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
        let sorted = sort_out(candidates, |kind| request.fifo_types.iter().any(|fifo| fifo == kind));
        let mut counted = Counted::default();
        if !sorted.retire.is_empty() {
            counted = Counted::superseded(transaction.retire(&request.target, &sorted.retire).await?);
        }
        if sorted.deliver.is_empty() {
            transaction.count(&request.target, counted).await?;
            transaction.commit().await?;
            return Ok(Taken::OnlyMoot);
        }
        let lease = transaction.lease(request).await?;
        transaction.take(&lease, &sorted.deliver).await?;
        transaction.count(&request.target, counted).await?;
        transaction.commit().await?;
        Ok(Taken::Batch(UnderLease { lease, outbox_ids: sorted.deliver, attempts, reached_ms }))
    }

    /// Reads what is under a lease, outside of the transaction: a change is never altered, nor is a link while one is in work.
    ///
    /// `None` when a newer state was confirmed between our look and our taking. A host that stood still there may have been
    /// passed by another; from the taking on nobody can, so that this is the place to see it.
    async fn load(
        &self,
        taken: &UnderLease,
        is_fifo: impl Fn(&str) -> bool,
    ) -> Result<Option<Vec<Delivery>>, StoreError> {
        let dialect = self.database.dialect();
        let what = format!("read batch for target `{}`", taken.lease.target);
        let sql = format!(
            "SELECT o.id, o.event_id, o.aggregate_type, o.aggregate_id, o.operation, o.payload, o.created_at, \
             l.remote_id, l.remote_version, l.fingerprint, l.delivered_outbox_id FROM sync_outbox o {link} WHERE {among}",
            link = left_lookup(
                dialect,
                "sync_link",
                "l",
                "l.remote_id, l.remote_version, l.fingerprint, l.delivered_outbox_id",
                "l.target = :target AND l.aggregate_type = o.aggregate_type AND l.aggregate_id = o.aggregate_id",
            ),
            among = among_ids(dialect, "o.id"),
        );
        let values = [("target", taken.lease.target.as_str().into())];
        let rows = self.query_alone(&what, &sql, &values, &taken.outbox_ids).await?;
        let mut deliveries = Vec::with_capacity(rows.rows.len());
        for row in rows.rows {
            let (delivery, delivered_id) = delivery(&what, row, &taken.attempts)?;
            if delivered_id > delivery.change.change_id && !is_fifo(&delivery.change.aggregate_type) {
                return Ok(None);
            }
            deliveries.push(delivery);
        }
        deliveries.sort_by_key(|delivery| delivery.change.change_id);
        Ok(Some(deliveries))
    }
}

impl StoreTransaction {
    /// What is due, oldest first, without aggregates that are in work or (for fifo) not at the head, and of each one its
    /// siblings at this target: the newest, the oldest, and what was confirmed last.
    ///
    /// Whether an aggregate is in work is a count, not `NOT EXISTS`: that one PostgreSQL turns into a join over all that
    /// waits, while a count is one look into the unique key per row, and stops with the limit.
    async fn due(&mut self, request: &ClaimRequest, from_ms: i64, limit: u32) -> Result<Vec<Due>, StoreError> {
        let fifo = if request.fifo_types.is_empty() {
            String::new()
        } else {
            let names: Vec<_> = (0..request.fifo_types.len()).map(|index| format!(":fifo{index}")).collect();
            format!(
                " AND (d.aggregate_type NOT IN ({}) OR NOT EXISTS (SELECT 1 FROM sync_delivery e \
                 WHERE e.target = d.target AND e.aggregate_type = d.aggregate_type \
                 AND e.aggregate_id = d.aggregate_id AND e.outbox_id < d.outbox_id \
                 AND e.status IN ('pending', 'processing', 'failed')))",
                names.join(", ")
            )
        };
        let same = "s.target = d.target AND s.aggregate_type = d.aggregate_type AND s.aggregate_id = d.aggregate_id";
        let sql = format!(
            "SELECT d.outbox_id, d.aggregate_type, d.aggregate_id, d.next_attempt_at, d.attempts, \
             (SELECT MAX(s.outbox_id) FROM sync_delivery s{siblings} WHERE {same}), \
             (SELECT MIN(s.outbox_id) FROM sync_delivery s{siblings} WHERE {same}), \
             (SELECT s.delivered_outbox_id FROM sync_link s WHERE {same}) FROM sync_delivery d{index} \
             WHERE d.target = :target AND d.status = 'pending' AND d.next_attempt_at >= :from \
             AND d.next_attempt_at <= {now} \
             AND (SELECT COUNT(*) FROM sync_delivery a{active} WHERE a.target = d.target \
             AND a.active_key = d.aggregate_type || '/' || d.aggregate_id) = 0{fifo} \
             ORDER BY d.next_attempt_at, d.outbox_id LIMIT {limit}{lock}",
            now = self.now,
            index = through(self.dialect(), "sync_delivery_due"),
            siblings = through(self.dialect(), "sync_delivery_aggregate"),
            active = through(self.dialect(), "sync_delivery_one_active"),
            lock = self.dialect().lock_free_rows(),
        );
        let names: Vec<_> = (0..request.fifo_types.len()).map(|index| format!("fifo{index}")).collect();
        let mut values: Vec<(&str, Value)> = vec![("target", request.target.as_str().into()), ("from", from_ms.into())];
        values.extend(names.iter().map(String::as_str).zip(request.fifo_types.iter().map(|kind| kind.as_str().into())));
        let rows = self.query(&sql, &values).await?;
        let what = self.what.clone();
        rows.rows.into_iter().map(|row| due(&what, row)).collect()
    }

    /// Retires what is moot, also what failed: nobody has to decide about a state that a newer one replaces. Its condition
    /// on the status is written so that no index over all that is pending is taken for it: the aggregate's own few rows
    /// are meant.
    ///
    /// PostgreSQL passes over rows that another claim looks at; those are retired the next time. Claims that wait for each
    /// other's rows are a deadlock, which that database notices only after a second: several hosts with a few patients who
    /// change often came to a standstill by it. The others notice at once.
    async fn retire(&mut self, target: &str, retire: &[Retire]) -> Result<u64, StoreError> {
        let rows = json_rows(
            self.dialect(),
            &[("aggregate_type", JsonType::Text), ("aggregate_id", JsonType::Text), ("before_id", JsonType::Integer)],
        );
        let moot = "t.target = :target AND t.aggregate_type = j.aggregate_type AND t.aggregate_id = j.aggregate_id \
                    AND t.outbox_id < j.before_id AND t.status || '' IN ('pending', 'failed')";
        let (rows, condition) = if self.dialect() == Dialect::Postgres {
            let lock = self.dialect().lock_free_rows();
            let free = format!("(SELECT t.outbox_id FROM {rows} JOIN sync_delivery AS t ON {moot}{lock}) AS free");
            (free, "t.target = :target AND t.outbox_id = free.outbox_id")
        } else {
            (rows, moot)
        };
        let assignments = [("status", "'superseded'"), ("finished_at", self.now.as_str())];
        let table = ("sync_delivery", "sync_delivery_aggregate");
        let sql = update_from(self.dialect(), table, &assignments, &rows, condition);
        let values = [("target", target.into()), ("rows", rows_value(retire))];
        Ok(self.execute(&sql, &values).await?.rows_affected)
    }

    async fn lease(&mut self, request: &ClaimRequest) -> Result<Lease, StoreError> {
        let sql = format!(
            "INSERT INTO sync_lease (target, owner, acquired_at, lease_until) \
             VALUES (:target, :owner, {now}, {now} + :lease_ms)",
            now = self.now
        );
        let lease_ms = i64::try_from(request.lease_ms).unwrap_or(i64::MAX / 2);
        let values = [
            ("target", request.target.as_str().into()),
            ("owner", request.owner.as_str().into()),
            ("lease_ms", lease_ms.into()),
        ];
        let epoch = if self.dialect() == Dialect::Postgres {
            let rows = self.query(&format!("{sql} RETURNING epoch"), &values).await?;
            rows.rows.first().and_then(|row| row.first()).and_then(Value::as_i64)
        } else {
            self.execute(&sql, &values).await?.last_insert_id.and_then(|id| i64::try_from(id).ok())
        };
        let epoch = epoch.ok_or_else(|| corrupt(&self.what, "the new lease has no epoch"))?;
        Ok(Lease { target: request.target.clone(), epoch, owner: request.owner.clone(), lease_ms: request.lease_ms })
    }

    async fn take(&mut self, lease: &Lease, outbox_ids: &[i64]) -> Result<(), StoreError> {
        let sql = format!(
            "UPDATE sync_delivery{index} SET status = 'processing', active_key = aggregate_type || '/' || aggregate_id, \
             lease_epoch = :epoch WHERE target = :target AND {among} AND status || '' = 'pending'",
            index = through(self.dialect(), "PRIMARY"),
            among = among_ids(self.dialect(), "outbox_id"),
        );
        let values = [("target", lease.target.as_str().into()), ("epoch", lease.epoch.into())];
        let taken = match self.execute_for(&sql, &values, outbox_ids).await {
            Ok(execution) => execution.rows_affected,
            // The unique key: another host has just taken an aggregate of ours by another of its changes.
            Err(StoreError::Database { error, .. }) if error.kind == ErrorKind::DuplicateKey => 0,
            Err(error) => return Err(error),
        };
        if usize::try_from(taken) == Ok(outbox_ids.len()) {
            return Ok(());
        }
        // Another host was quicker between our look and our compare-and-set: look again.
        let error = DatabaseError::new(ErrorKind::Contention, "another host claimed at the same time");
        Err(super::failed(&self.what, error))
    }
}

/// A batch as the parameter `:rows`.
pub(super) fn rows_value<T: Serialize>(rows: &[T]) -> Value {
    Value::Json(serde_json::to_string(rows).expect("invariant: our own rows are JSON"))
}

fn due(what: &str, row: Vec<Value>) -> Result<Due, StoreError> {
    let mut reader = Reader::new(what, row);
    let outbox_id = reader.integer()?;
    let (aggregate_type, aggregate_id) = (reader.text()?, reader.text()?);
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

/// A delivery, and the newest change of its aggregate that the target confirmed (0 for none).
pub(super) fn delivery(
    what: &str,
    row: Vec<Value>,
    attempts: &HashMap<i64, u32>,
) -> Result<(Delivery, i64), StoreError> {
    let mut reader = Reader::new(what, row);
    let change_id = reader.integer()?;
    let event_id = reader.text()?;
    let aggregate_type = reader.text()?;
    let aggregate_id = reader.text()?;
    let operation = reader.text()?;
    let payload = reader.text()?;
    let created_at_ms = reader.integer()?;
    let attempts = attempts.get(&change_id).copied().unwrap_or_default();
    let remote_id = reader.optional_text()?;
    let remote_version = reader.optional_text()?;
    let fingerprint = reader.optional_text()?;
    let delivered_id = reader.optional_integer()?.unwrap_or_default();
    // The router lets no other word through.
    let operation =
        Operation::from_word(&operation).ok_or_else(|| corrupt(what, format!("operation of {change_id}")))?;
    let change = Change {
        change_id,
        event_id,
        aggregate_type,
        aggregate_id,
        operation,
        payload,
        created_at_ms,
        attempt: attempts.saturating_add(1),
        link: remote_id.map(|remote_id| Link { remote_id, remote_version, fingerprint }),
    };
    Ok((Delivery { change, attempts }, delivered_id))
}
