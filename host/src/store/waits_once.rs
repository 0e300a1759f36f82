//! An aggregate waits once at a target: where several of its deliveries wait, the newest supersedes the others.
//!
//! A claim supersedes older states (`claim.rs`), but what waits is never due, so that no claim sees it. Without this
//! step each resync and each newer state would leave one more delivery waiting for the same reference. The rule is the
//! claim's: the newest delivery counts, in whatever status it is. Of a type with `order = "fifo"` every change counts,
//! and none is superseded. Only who knows the orders of a target may call this. Read next: `dependencies.rs`.

use std::collections::BTreeMap;

use super::newest::Supersede;
use super::sql::{Json, SupersedeWaiting, WaitingTwice};
use super::{RowReader, StoreError, StoreTransaction};
use crate::domain::ids::{ChangeId, TargetName};

/// The deliveries that were queued and depend on something.
#[derive(Debug, Default)]
pub(super) struct Held {
    /// Whether they wait or not.
    pub(super) queued: BTreeMap<TargetName, Vec<ChangeId>>,
    pub(super) some_wait: bool,
}

impl StoreTransaction {
    /// Supersedes what waits and is older than another delivery, of the aggregates of those of these deliveries that
    /// wait. Returns the number of superseded deliveries, which the caller counts.
    pub(super) async fn supersede_waiting(
        &mut self,
        target: &str,
        ids: &[ChangeId],
        is_fifo: impl Fn(&str) -> bool,
    ) -> Result<u64, StoreError> {
        let rows = self.fetch(WaitingTwice { target, ids }).await?.rows;
        let mut supersede = Vec::with_capacity(rows.len());
        for row in rows {
            let mut reader = RowReader::new(&self.operation, row);
            let (key, before_id) = (reader.aggregate_key()?, reader.change_id()?);
            if !is_fifo(&key.aggregate_type) {
                supersede.push(Supersede { key, before_id });
            }
        }
        if supersede.is_empty() {
            return Ok(0);
        }
        Ok(self.run(SupersedeWaiting { target, batch: Json::of(&supersede) }).await?.rows_affected)
    }
}
