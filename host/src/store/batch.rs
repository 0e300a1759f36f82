//! A batch under a lease, and reading what it carries.
//!
//! Reading happens outside of the transaction that took the batch: a change is never altered, nor is a link while its
//! aggregate is in work. Read next: `claim.rs` and `straight.rs`, the two ways by which a batch comes to be.

use std::collections::HashMap;

use super::sql::{among_ids, left_lookup};
use super::{Lease, Reader, Store, StoreError, corrupt};
use crate::database::Value;
use crate::domain::change::{Change, Link, Operation};

/// What to take.
#[derive(Clone, Debug)]
pub struct ClaimRequest {
    /// For which target.
    pub target: String,
    /// Who takes it: this host's id.
    pub owner: String,
    /// At most so many deliveries.
    pub batch_max: u32,
    /// How long the lease lasts unless it is renewed, in milliseconds.
    pub lease_ms: u64,
    /// Aggregate types whose every change is delivered, in order.
    pub fifo_types: Vec<String>,
}

impl ClaimRequest {
    pub(super) fn is_fifo(&self, aggregate_type: &str) -> bool {
        self.fifo_types.iter().any(|fifo| fifo == aggregate_type)
    }
}

/// One delivery under a lease.
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

/// What was put under a lease and not read yet.
#[derive(Clone, Debug)]
pub struct UnderLease {
    /// The lease.
    pub lease: Lease,
    pub(super) outbox_ids: Vec<i64>,
    /// Attempts spent before, by change; none where it is not named.
    pub(super) attempts: HashMap<i64, u32>,
}

impl UnderLease {
    /// A lease with nothing under it.
    #[cfg(test)]
    pub(crate) fn of(lease: Lease) -> Self {
        Self { lease, outbox_ids: Vec::new(), attempts: HashMap::new() }
    }
}

impl Store {
    /// Reads what is under a lease that was just made.
    ///
    /// `None`, and the lease is given back, when a newer state was confirmed between the look and the taking. A host that
    /// stood still there may have been passed by another; from the taking on nobody can, so that this is the place to see it.
    ///
    /// # Errors
    /// When the store cannot be reached, or holds what this version does not understand. The lease then runs out by itself.
    pub async fn load(&self, taken: UnderLease, request: &ClaimRequest) -> Result<Option<Batch>, StoreError> {
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
            if delivered_id > delivery.change.change_id && !request.is_fifo(&delivery.change.aggregate_type) {
                self.release(&taken.lease).await?;
                return Ok(None);
            }
            deliveries.push(delivery);
        }
        deliveries.sort_by_key(|delivery| delivery.change.change_id);
        Ok(Some(Batch { lease: taken.lease, deliveries }))
    }
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
