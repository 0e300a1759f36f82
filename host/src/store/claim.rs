//! Claiming: the next batch of a target's deliveries goes under a lease.
//!
//! One transaction, a constant number of statements:
//! 1. look at what is due, passing over aggregates that are in work already;
//! 2. look at each one's siblings, and decide in Rust which is delivered and which is moot (`newest.rs`, pure);
//! 3. make the lease: its number, the epoch, is what every later step is guarded by;
//! 4. put the chosen ones under it, and retire the moot ones.
//!
//! Then the payloads are read, outside of the transaction: they never change. Correctness rests on compare-and-set
//! (`status = 'pending'`) and on the unique key over `active_key`, not on row locks; those only keep hosts from wasting
//! effort on the same rows.

use std::collections::HashMap;

use serde::Serialize;

use super::newest::{Candidate, Retire, sort_out};
use super::sql::{JsonType, json_rows, update_from};
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
    Lease(Lease),
}

impl Store {
    /// Puts the next due deliveries of a target under a new lease.
    ///
    /// # Errors
    /// When the store cannot be reached, or holds what this version does not understand.
    pub async fn claim(&self, request: &ClaimRequest) -> Result<Claim, StoreError> {
        match rerun("claim", || self.claim_once(request)).await? {
            Taken::Nothing => Ok(Claim::Nothing),
            Taken::OnlyMoot => Ok(Claim::OnlyMoot),
            Taken::Lease(lease) => {
                let deliveries = self.load(&lease).await?;
                Ok(Claim::Batch(Batch { lease, deliveries }))
            }
        }
    }

    async fn claim_once(&self, request: &ClaimRequest) -> Result<Taken, StoreError> {
        let what = format!("claim batch for target `{}`", request.target);
        // A look without a lock keeps an idle host from taking SQLite's only writer.
        if self.database.dialect() == Dialect::Sqlite {
            let mut look = self.begin_read(&what).await?;
            let due = look.due(request, 1).await?;
            look.rollback().await?;
            if due.is_empty() {
                return Ok(Taken::Nothing);
            }
        }
        let mut transaction = self.begin(&what).await?;
        let due = transaction.due(request, request.batch_max).await?;
        if due.is_empty() {
            transaction.rollback().await?;
            return Ok(Taken::Nothing);
        }
        let candidates = transaction.siblings(&request.target, &due).await?;
        let sorted = sort_out(candidates, |kind| request.fifo_types.iter().any(|fifo| fifo == kind));
        if !sorted.retire.is_empty() {
            transaction.retire(&request.target, &sorted.retire).await?;
        }
        if sorted.deliver.is_empty() {
            transaction.commit().await?;
            return Ok(Taken::OnlyMoot);
        }
        let lease = transaction.lease(request).await?;
        transaction.take(&lease, &sorted.deliver).await?;
        transaction.commit().await?;
        Ok(Taken::Lease(lease))
    }

    /// Reads what is under a lease.
    async fn load(&self, lease: &Lease) -> Result<Vec<Delivery>, StoreError> {
        let what = format!("read batch for target `{}`", lease.target);
        let mut transaction = self.begin_read(&what).await?;
        let sql = "SELECT d.outbox_id, o.event_id, d.aggregate_type, d.aggregate_id, o.operation, o.payload, \
                   o.created_at, d.attempts, l.remote_id, l.remote_version, l.fingerprint \
                   FROM sync_delivery d JOIN sync_outbox o ON o.id = d.outbox_id \
                   LEFT JOIN sync_link l ON l.target = d.target AND l.aggregate_type = d.aggregate_type \
                   AND l.aggregate_id = d.aggregate_id \
                   WHERE d.target = :target AND d.active_key IS NOT NULL AND d.lease_epoch = :epoch";
        let rows =
            transaction.query(sql, &[("target", lease.target.as_str().into()), ("epoch", lease.epoch.into())]).await?;
        transaction.rollback().await?;
        let mut deliveries = rows.rows.into_iter().map(|row| delivery(&what, row)).collect::<Result<Vec<_>, _>>()?;
        deliveries.sort_by_key(|delivery| delivery.change.change_id);
        Ok(deliveries)
    }
}

impl StoreTransaction {
    /// What is due, oldest first, without aggregates that are in work or (for fifo) not at the head.
    ///
    /// Whether an aggregate is in work is a count, not `NOT EXISTS`: that one PostgreSQL turns into a join over all that
    /// waits, while a count is one look into the unique key per row, and stops with the limit.
    async fn due(&mut self, request: &ClaimRequest, limit: u32) -> Result<Vec<(i64, String, String)>, StoreError> {
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
        let sql = format!(
            "SELECT d.outbox_id, d.aggregate_type, d.aggregate_id FROM sync_delivery d \
             WHERE d.target = :target AND d.status = 'pending' AND d.next_attempt_at <= {now} \
             AND (SELECT COUNT(*) FROM sync_delivery a WHERE a.target = d.target \
             AND a.active_key = d.aggregate_type || '/' || d.aggregate_id) = 0{fifo} \
             ORDER BY d.next_attempt_at, d.outbox_id LIMIT {limit}{lock}",
            now = self.now,
            lock = self.dialect().lock_free_rows(),
        );
        let names: Vec<_> = (0..request.fifo_types.len()).map(|index| format!("fifo{index}")).collect();
        let mut values: Vec<(&str, Value)> = vec![("target", request.target.as_str().into())];
        values.extend(names.iter().map(String::as_str).zip(request.fifo_types.iter().map(|kind| kind.as_str().into())));
        let rows = self.query(&sql, &values).await?;
        let what = self.what.clone();
        rows.rows
            .into_iter()
            .map(|row| {
                let mut reader = Reader::new(&what, row);
                Ok((reader.integer()?, reader.text()?, reader.text()?))
            })
            .collect()
    }

    async fn siblings(&mut self, target: &str, due: &[(i64, String, String)]) -> Result<Vec<Candidate>, StoreError> {
        #[derive(Serialize)]
        struct Key<'a> {
            outbox_id: i64,
            aggregate_type: &'a str,
            aggregate_id: &'a str,
        }
        let keys: Vec<_> = due
            .iter()
            .map(|(outbox_id, aggregate_type, aggregate_id)| Key {
                outbox_id: *outbox_id,
                aggregate_type,
                aggregate_id,
            })
            .collect();
        let key = "d.target = :target AND d.aggregate_type = j.aggregate_type AND d.aggregate_id = j.aggregate_id";
        let sql = format!(
            "SELECT j.outbox_id, (SELECT MAX(d.outbox_id) FROM sync_delivery d WHERE {key}), \
             (SELECT d.delivered_outbox_id FROM sync_link d WHERE {key}), \
             (SELECT MIN(d.outbox_id) FROM sync_delivery d WHERE {key}) \
             FROM {rows}",
            rows = json_rows(
                self.dialect(),
                &[
                    ("outbox_id", JsonType::Integer),
                    ("aggregate_type", JsonType::Text),
                    ("aggregate_id", JsonType::Text)
                ]
            ),
        );
        let rows = self.query(&sql, &[("target", target.into()), ("rows", rows_value(&keys))]).await?;
        let what = self.what.clone();
        let mut facts = HashMap::with_capacity(due.len());
        for row in rows.rows {
            let mut reader = Reader::new(&what, row);
            let outbox_id = reader.integer()?;
            let (newest, delivered, oldest) =
                (reader.optional_integer()?, reader.optional_integer()?, reader.optional_integer()?);
            facts.insert(outbox_id, (newest, delivered, oldest.is_some_and(|oldest| oldest < outbox_id)));
        }
        due.iter()
            .map(|(outbox_id, aggregate_type, aggregate_id)| {
                let (newest_id, delivered_id, has_older) =
                    facts.remove(outbox_id).ok_or_else(|| corrupt(&what, "a due delivery has no siblings' row"))?;
                Ok(Candidate {
                    outbox_id: *outbox_id,
                    aggregate_type: aggregate_type.clone(),
                    aggregate_id: aggregate_id.clone(),
                    newest_id: newest_id.unwrap_or(*outbox_id),
                    delivered_id,
                    has_older,
                })
            })
            .collect()
    }

    /// Retires what is moot, also what failed: nobody has to decide about a state that a newer one replaces. Its condition
    /// on the status is written so that no index over all that is pending is taken for it: the aggregate's own few rows
    /// are meant.
    ///
    /// PostgreSQL passes over rows that another claim looks at; those are retired the next time. Claims that wait for each
    /// other's rows are a deadlock, which that database notices only after a second: several hosts with a few patients who
    /// change often came to a standstill by it. The others notice at once.
    async fn retire(&mut self, target: &str, retire: &[Retire]) -> Result<(), StoreError> {
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
        let sql = update_from(self.dialect(), "sync_delivery", &assignments, &rows, condition);
        let values = [("target", target.into()), ("rows", rows_value(retire))];
        self.execute(&sql, &values).await.map(drop)
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
        Ok(Lease { target: request.target.clone(), epoch, lease_ms: request.lease_ms })
    }

    async fn take(&mut self, lease: &Lease, outbox_ids: &[i64]) -> Result<(), StoreError> {
        #[derive(Serialize)]
        struct Id {
            outbox_id: i64,
        }
        let ids: Vec<_> = outbox_ids.iter().map(|outbox_id| Id { outbox_id: *outbox_id }).collect();
        let sql = update_from(
            self.dialect(),
            "sync_delivery",
            &[
                ("status", "'processing'"),
                ("active_key", "t.aggregate_type || '/' || t.aggregate_id"),
                ("lease_epoch", ":epoch"),
            ],
            &json_rows(self.dialect(), &[("outbox_id", JsonType::Integer)]),
            "t.target = :target AND t.outbox_id = j.outbox_id AND t.status = 'pending'",
        );
        let values =
            [("target", lease.target.as_str().into()), ("epoch", lease.epoch.into()), ("rows", rows_value(&ids))];
        let taken = match self.execute(&sql, &values).await {
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

fn delivery(what: &str, row: Vec<Value>) -> Result<Delivery, StoreError> {
    let mut reader = Reader::new(what, row);
    let change_id = reader.integer()?;
    let event_id = reader.text()?;
    let aggregate_type = reader.text()?;
    let aggregate_id = reader.text()?;
    let operation = reader.text()?;
    let payload = reader.text()?;
    let created_at_ms = reader.integer()?;
    let attempts = u32::try_from(reader.integer()?).unwrap_or(u32::MAX);
    let remote_id = reader.optional_text()?;
    let remote_version = reader.optional_text()?;
    let fingerprint = reader.optional_text()?;
    // The router lets no other word through.
    let operation =
        Operation::from_word(&operation).ok_or_else(|| corrupt(what, format!("operation of {change_id}")))?;
    Ok(Delivery {
        change: Change {
            change_id,
            event_id,
            aggregate_type,
            aggregate_id,
            operation,
            payload,
            created_at_ms,
            attempt: attempts.saturating_add(1),
            link: remote_id.map(|remote_id| Link { remote_id, remote_version, fingerprint }),
        },
        attempts,
    })
}
