//! Blocked keys: aggregates delivered in order (`order = "fifo"`) whose head failed, so that what follows waits.

use super::siblings::{by_aggregate, is_sibling};
use super::sql::through;
use super::work::NEVER;
use super::{Reader, Store, StoreError};
use crate::database::Value;

/// An aggregate that waits behind its failed head.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct BlockedKey {
    /// At which target.
    pub target: String,
    /// For example `observation`.
    pub aggregate_type: String,
    /// The application's id of it.
    pub aggregate_id: String,
    /// The change that failed: the id of its outbox row.
    pub change_id: i64,
    /// Why it failed, as `domain::change::FailureKind` says it.
    pub error_kind: Option<String>,
    /// What the adapter said.
    pub error: Option<String>,
    /// Changes that wait behind it.
    pub waiting: i64,
}

impl Store {
    /// Aggregates of these types whose head failed while others wait behind it, oldest first; at most `limit`.
    ///
    /// # Errors
    /// When the store cannot be reached.
    pub async fn blocked_keys(&self, fifo_types: &[String], limit: u32) -> Result<Vec<BlockedKey>, StoreError> {
        if fifo_types.is_empty() {
            return Ok(Vec::new());
        }
        let what = "read blocked keys";
        let names: Vec<_> = (0..fifo_types.len()).map(|index| format!("fifo{index}")).collect();
        let values: Vec<(&str, Value)> =
            names.iter().map(String::as_str).zip(fifo_types.iter().map(|kind| kind.as_str().into())).collect();
        let dialect = self.database.dialect();
        let waiting = format!(
            "SELECT COUNT(*) FROM sync_delivery w{siblings} WHERE {behind} AND w.status = 'pending'",
            siblings = by_aggregate(dialect),
            behind = is_sibling(dialect, "w", "d.target", "d", "> d.outbox_id"),
        );
        let sql = format!(
            "SELECT * FROM (SELECT d.target, d.aggregate_type, d.aggregate_id, d.outbox_id, d.error_kind, d.error_message, \
             ({waiting}) AS waiting FROM sync_target t JOIN sync_delivery d{due} ON d.target = t.name AND d.next_attempt_at = {NEVER} \
             AND d.aggregate_type IN (:{})) b WHERE b.waiting > 0 ORDER BY b.outbox_id, b.target LIMIT {limit}",
            names.join(", :"),
            due = through(dialect, "sync_delivery_due"),
        );
        let mut transaction = self.begin_read(what).await?;
        let rows = transaction.query(&sql, &values).await?;
        transaction.rollback().await?;
        rows.rows
            .into_iter()
            .map(|row| {
                let mut reader = Reader::new(what, row);
                Ok(BlockedKey {
                    target: reader.text()?,
                    aggregate_type: reader.key()?,
                    aggregate_id: reader.key()?,
                    change_id: reader.integer()?,
                    error_kind: reader.optional_text()?,
                    error: reader.failure_message()?,
                    waiting: reader.integer()?,
                })
            })
            .collect()
    }
}
