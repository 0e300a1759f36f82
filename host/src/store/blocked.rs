//! Blocked keys: aggregates delivered in order (`order = "fifo"`) whose head failed and blocks the rest.

use super::sql::ListBlockedKeys;
use super::{RowReader, Store, StoreError};
use crate::domain::ids::{AggregateKey, ChangeId};

/// An aggregate whose head failed while later changes are queued.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct BlockedKey {
    pub target: String,
    #[serde(flatten)]
    pub key: AggregateKey,
    /// The change that failed: the id of its outbox row.
    pub change_id: ChangeId,
    /// A name of a `domain::change::FailureKind`.
    pub error_kind: Option<String>,
    pub error: Option<String>,
    /// Changes queued behind it.
    pub waiting: i64,
}

impl Store {
    /// The blocked keys of these types, oldest first; at most `limit`.
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
                    key: reader.aggregate_key()?,
                    change_id: reader.change_id()?,
                    error_kind: reader.optional_text()?,
                    error: reader.failure_message()?,
                    waiting: reader.integer()?,
                })
            })
            .collect()
    }
}
