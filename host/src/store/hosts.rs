//! `sync_host`: which hosts are at work. It explains rows that stay pending because nobody carries them.

use super::sql::upsert;
use super::{Reader, Store, StoreError};
use crate::database::rerun;

/// A host that was not seen for so long is not counted as running, in milliseconds.
pub(super) const HOST_SEEN_MS: i64 = 15_000;

impl Store {
    /// Says that this host is at work, and forgets hosts that were not seen for a day.
    ///
    /// # Errors
    /// When the store cannot be reached.
    pub async fn host_is_alive(&self, id: &str, version: &str) -> Result<(), StoreError> {
        rerun("host is alive", || async {
            let mut transaction = self.begin("note that this host is at work").await?;
            let sql = format!(
                "INSERT INTO sync_host (id, version, started_at, seen_at) VALUES (:id, :version, {now}, {now}){upsert}",
                now = transaction.now,
                upsert = upsert(transaction.dialect(), "id", &["seen_at"]),
            );
            transaction.execute(&sql, &[("id", id.into()), ("version", version.into())]).await?;
            let forget = format!("DELETE FROM sync_host WHERE seen_at < {} - 86400000", transaction.now);
            transaction.execute(&forget, &[]).await?;
            transaction.commit().await
        })
        .await
    }

    /// How many hosts beside this one are at work on the store.
    ///
    /// # Errors
    /// When the store cannot be reached.
    pub async fn other_hosts(&self, id: &str) -> Result<u64, StoreError> {
        let what = "count the other hosts";
        let mut transaction = self.begin_read(what).await?;
        let sql = format!(
            "SELECT COUNT(*) FROM sync_host WHERE seen_at > {} - {HOST_SEEN_MS} AND id <> :id",
            transaction.now
        );
        let rows = transaction.query(&sql, &[("id", id.into())]).await?.rows;
        transaction.rollback().await?;
        match rows.into_iter().next() {
            Some(row) => Ok(u64::try_from(Reader::new(what, row).integer()?).unwrap_or_default()),
            None => Ok(0),
        }
    }

    /// Says that this host has stopped.
    ///
    /// # Errors
    /// When the store cannot be reached; the host is then forgotten by time.
    pub async fn host_stopped(&self, id: &str) -> Result<(), StoreError> {
        rerun("host stopped", || async {
            let mut transaction = self.begin("note that this host has stopped").await?;
            transaction.execute("DELETE FROM sync_host WHERE id = :id", &[("id", id.into())]).await?;
            transaction.commit().await
        })
        .await
    }
}
