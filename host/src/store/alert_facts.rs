//! What alerts need to know beyond what `host status` shows: heartbeats that are overdue, changes that come no more,
//! failures of the last hour. Each statement reads few rows.

use std::collections::BTreeMap;

use super::sql::{ChangesAfter, FailedLately, Heartbeats, NewestChange, RolledBackAdapters};
use super::{RowReader, Store, StoreError};

/// Failed deliveries of a target that are looked at for when they failed.
pub(super) const FAILED_COUNTED: i64 = 10_000;
/// Changes that the first look reads to learn which types come.
const FIRST_LOOK: i64 = 10_000;
/// Ids can commit out of order: each look reads so many again.
const OVERLAP: i64 = 1_000;

/// The last heartbeat of a host that has not stopped in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heartbeat {
    pub host: String,
    /// Milliseconds since 1970-01-01 UTC, by the store's clock.
    pub started_at: i64,
    pub seen_at: i64,
    /// How long ago that was, milliseconds.
    pub age_ms: i64,
}

/// The newest change of each type.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewestChanges {
    /// How long ago it was routed, milliseconds.
    pub age_ms: BTreeMap<String, i64>,
    /// The next look begins behind this id.
    pub cursor: i64,
}

impl Store {
    /// The heartbeats of the last day.
    ///
    /// # Errors
    /// When the store cannot be reached.
    pub async fn heartbeats(&self) -> Result<Vec<Heartbeat>, StoreError> {
        let operation = "read the heartbeats";
        let rows = self.fetch_alone(operation, Heartbeats {}).await?;
        let read = |row| {
            let mut reader = RowReader::new(operation, row);
            Ok(Heartbeat {
                host: reader.text()?,
                started_at: reader.integer()?,
                seen_at: reader.integer()?,
                age_ms: reader.integer()?,
            })
        };
        rows.rows.into_iter().map(read).collect()
    }

    /// Targets whose adapter was rolled back, with the digest of the one that is not loaded again.
    ///
    /// # Errors
    /// When the store cannot be reached.
    pub async fn all_rolled_back_adapters(&self) -> Result<Vec<(String, String)>, StoreError> {
        let operation = "read which adapters were rolled back";
        let rows = self.fetch_alone(operation, RolledBackAdapters {}).await?;
        let read = |row| {
            let mut reader = RowReader::new(operation, row);
            Ok((reader.text()?, reader.text()?))
        };
        rows.rows.into_iter().map(read).collect()
    }

    /// The newest change of each type that came since the cursor of the last look; without one, among the newest
    /// changes.
    ///
    /// # Errors
    /// When the store cannot be reached.
    pub async fn newest_changes(&self, cursor: Option<i64>) -> Result<NewestChanges, StoreError> {
        let operation = "read when the last changes came";
        let mut transaction = self.begin_read(operation).await?;
        let after = match cursor {
            Some(cursor) => cursor.saturating_sub(OVERLAP),
            None => transaction.number(NewestChange {}).await?.unwrap_or_default().saturating_sub(FIRST_LOOK),
        };
        let rows = transaction.fetch(ChangesAfter { after }).await?;
        transaction.rollback().await?;
        let mut newest = NewestChanges { cursor: cursor.unwrap_or_default(), ..NewestChanges::default() };
        for row in rows.rows {
            let mut reader = RowReader::new(operation, row);
            let (kind, id) = (reader.key()?, reader.change_id()?);
            newest.cursor = newest.cursor.max(id.get());
            newest.age_ms.insert(kind, reader.integer()?.max(0));
        }
        Ok(newest)
    }

    /// How many of a target's failed deliveries failed within an hour; of very many failed ones a part is looked at.
    ///
    /// # Errors
    /// When the store cannot be reached.
    pub async fn failed_lately(&self, target: &str) -> Result<u64, StoreError> {
        let rows = self.fetch_alone("count what failed lately", FailedLately { target }).await?;
        let count = rows.rows.first().and_then(|row| row.first()).and_then(crate::database::Value::as_i64);
        Ok(count.and_then(|count| u64::try_from(count).ok()).unwrap_or_default())
    }
}
