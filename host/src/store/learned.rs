//! What the adapter of a target learned (`sync_learned`), which the host gives to every later call, on every host.
//!
//! It is stored with its basis: the adapter, and the state that its check returned. Another adapter, or a check that
//! finds another server, does not get it and replaces it. No delivery may depend on it: a host that cannot read it
//! delivers as the first call did. Read next: `target/session.rs`, where calls get it.

use super::sql::{PutLearned, ReadLearned};
use super::{RowReader, Store, StoreError};
use crate::database::{Value, rerun};

/// The learned state, and its revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Learned {
    pub revision: i64,
    pub bytes: Vec<u8>,
}

impl Store {
    /// The learned state of a target on this basis, if there is one.
    ///
    /// # Errors
    /// When the store cannot be reached.
    pub async fn learned(&self, target: &str, basis: &str) -> Result<Option<Learned>, StoreError> {
        let operation = "read what was learned of a target";
        let rows = self.fetch_alone(operation, ReadLearned { target, basis }).await?;
        let Some(row) = rows.rows.into_iter().next() else { return Ok(None) };
        let mut reader = RowReader::new(operation, row);
        let revision = reader.integer()?;
        Ok(match reader.next()? {
            Value::Bytes(bytes) => Some(Learned { revision, bytes }),
            _ => None,
        })
    }

    /// Stores learned state and replaces the previous one.
    ///
    /// # Errors
    /// When the store cannot be reached.
    pub async fn remember_learned(&self, target: &str, basis: &str, bytes: &[u8]) -> Result<(), StoreError> {
        let operation = format!("keep what was learned of target `{target}`");
        rerun("keep what was learned", || async {
            let mut transaction = self.begin(&operation).await?;
            transaction.run(PutLearned { target, basis, learned: bytes.to_vec() }).await?;
            transaction.commit().await
        })
        .await
    }
}
