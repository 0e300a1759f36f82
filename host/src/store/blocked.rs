//! Blocked keys: aggregates delivered in order (`order = "fifo"`) whose head failed, so that what follows waits.

use super::sql::ListBlockedKeys;
use super::{RowReader, Store, StoreError};

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
        let operation = "read blocked keys";
        let mut transaction = self.begin_read(operation).await?;
        let rows = transaction.fetch(ListBlockedKeys { fifo_types, limit }).await?;
        transaction.rollback().await?;
        rows.rows
            .into_iter()
            .map(|row| {
                let mut reader = RowReader::new(operation, row);
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
