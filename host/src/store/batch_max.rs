//! The remembered batch limit of a target whose requests for larger batches got no answer (`sync_target.batch_max`).
//!
//! A host measures it while it delivers and writes it here, so that a host that starts later begins with it. No
//! delivery may depend on it: a host that cannot read it treats the target as not measured yet.

use super::sql::{ReadBatchMax, SetBatchMax};
use super::{RowReader, Store, StoreError};
use crate::database::rerun;

impl Store {
    /// The remembered maximum of deliveries in a batch; `None` if every request was answered.
    ///
    /// # Errors
    /// When the store cannot be reached.
    pub async fn batch_max(&self, target: &str) -> Result<Option<u32>, StoreError> {
        let operation = "read a target's batch size";
        let rows = self.fetch_alone(operation, ReadBatchMax { name: target }).await?;
        let Some(row) = rows.rows.into_iter().next() else { return Ok(None) };
        let remembered = RowReader::new(operation, row).optional_integer()?;
        Ok(remembered.and_then(|batch_max| u32::try_from(batch_max).ok()).filter(|batch_max| *batch_max > 0))
    }

    /// Stores the limit for all hosts; `None` removes it.
    ///
    /// # Errors
    /// When the store cannot be reached.
    pub async fn remember_batch_max(&self, target: &str, batch_max: Option<u32>) -> Result<(), StoreError> {
        let operation = format!("remember the batch size of target `{target}`");
        rerun("remember batch size", || async {
            let mut transaction = self.begin(&operation).await?;
            transaction.run(SetBatchMax { name: target, batch_max: batch_max.map(i64::from) }).await?;
            transaction.commit().await
        })
        .await
    }
}
