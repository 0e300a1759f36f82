//! Conflicts: deliveries that failed because of what the target holds, and what a person decides about them.
//!
//! A decision is one transaction and a compare-and-set on `status = 'failed'`: two people, or a person and a retry, never
//! both decide. It changes what is remembered of the target (`sync_link`) and lets the ordinary delivery do the rest.

use super::counts::Counted;
use super::sql::{through, upsert};
use super::work::NEVER;
use super::{Reader, RetryFilter, Store, StoreError, StoreTransaction};
use crate::database::{Value, rerun};
use crate::domain::change::FailureKind;
use crate::domain::conflict::{Resolution, split_message};

/// A conflict that waits for a person.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Conflict {
    /// At which target.
    pub target: String,
    /// For example `patient`.
    pub aggregate_type: String,
    /// The application's id of it.
    pub aggregate_id: String,
    /// The change that could not be delivered: the id of its outbox row.
    pub change_id: i64,
    /// The record that was linked at the target.
    pub remote_id: Option<String>,
    /// What the adapter said.
    pub message: Option<String>,
    /// When it failed, milliseconds since 1970-01-01 UTC.
    pub failed_at: Option<i64>,
}

/// What became of a person's decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resolved {
    /// It holds.
    Decided,
    /// There was no conflict to decide.
    NoConflict,
    /// The record that was named is linked to this other aggregate of the same type; nothing was changed.
    TakenBy(String),
}

/// Which aggregate's conflict is meant.
#[derive(Clone, Copy, Debug)]
pub struct ConflictKey<'a> {
    /// At which target.
    pub target: &'a str,
    /// For example `patient`.
    pub aggregate_type: &'a str,
    /// The application's id of it.
    pub aggregate_id: &'a str,
}

impl ConflictKey<'_> {
    fn values(self) -> Vec<(&'static str, Value)> {
        vec![
            ("target", self.target.into()),
            ("type", self.aggregate_type.into()),
            ("id", self.aggregate_id.into()),
            ("kind", FailureKind::Conflict.as_str().into()),
        ]
    }
}

const AT_KEY: &str = "target = :target AND aggregate_type = :type AND aggregate_id = :id";

impl Store {
    /// Conflicts that wait for a person, oldest first, of one target or of all; at most `limit`.
    ///
    /// # Errors
    /// When the store cannot be reached.
    pub async fn conflicts(&self, target: Option<&str>, limit: u32) -> Result<Vec<Conflict>, StoreError> {
        let what = "read conflicts";
        let mut transaction = self.begin_read(what).await?;
        let mut values: Vec<(&str, Value)> = vec![("kind", FailureKind::Conflict.as_str().into())];
        // Joined to the few targets, so that the index by target and status finds the failed ones.
        let mut of_target = "";
        if let Some(target) = target {
            of_target = " AND t.name = :target";
            values.push(("target", target.into()));
        }
        let sql = format!(
            "SELECT d.target, d.aggregate_type, d.aggregate_id, d.outbox_id, NULLIF(l.remote_id, ''), d.error_message, d.finished_at \
             FROM sync_target t JOIN sync_delivery d{due} ON d.target = t.name AND d.next_attempt_at = {NEVER} AND d.error_kind = :kind \
             LEFT JOIN sync_link l ON l.target = d.target AND l.aggregate_type = d.aggregate_type \
             AND l.aggregate_id = d.aggregate_id WHERE 1 = 1{of_target} ORDER BY d.outbox_id, d.target LIMIT {limit}",
            due = through(transaction.dialect(), "sync_delivery_due"),
        );
        let rows = transaction.query(&sql, &values).await?;
        transaction.rollback().await?;
        rows.rows
            .into_iter()
            .map(|row| {
                let mut reader = Reader::new(what, row);
                Ok(Conflict {
                    target: reader.text()?,
                    aggregate_type: reader.key()?,
                    aggregate_id: reader.key()?,
                    change_id: reader.integer()?,
                    remote_id: reader.optional_text()?,
                    message: reader.failure_message()?,
                    failed_at: reader.optional_integer()?,
                })
            })
            .collect()
    }

    /// How many conflicts wait for a person.
    ///
    /// # Errors
    /// When the store cannot be reached.
    pub async fn count_conflicts(&self) -> Result<u64, StoreError> {
        let filter = RetryFilter { kind: Some(FailureKind::Conflict), ..RetryFilter::default() };
        self.count_failed(&filter).await
    }

    /// Settles an aggregate's conflict at a target as a person decided.
    ///
    /// # Errors
    /// When the store cannot be reached; nothing is then changed.
    pub async fn resolve_conflict(
        &self,
        key: ConflictKey<'_>,
        resolution: &Resolution,
    ) -> Result<Resolved, StoreError> {
        rerun("resolve conflict", || async {
            let mut transaction = self.begin(&format!("resolve a conflict at target `{}`", key.target)).await?;
            let holds = transaction.holds(key).await?;
            let decided = match resolution {
                Resolution::Local => {
                    let decided = transaction.try_again(key).await?;
                    if decided && holds.is_some() {
                        transaction.confirm_link(key).await?;
                    } else if decided {
                        transaction.forget_link(key).await?;
                    }
                    decided
                }
                Resolution::Relink { remote_id } => {
                    if let Some(other) = transaction.linked_to(key, remote_id).await? {
                        return Ok(Resolved::TakenBy(other));
                    }
                    let decided = transaction.try_again(key).await?;
                    if decided {
                        transaction.relink(key, remote_id).await?;
                    }
                    decided
                }
                Resolution::Remote => {
                    let left = transaction.leave_remote(key).await?;
                    if left > 0 {
                        transaction.remember_state(key, holds.as_deref().unwrap_or_default()).await?;
                    }
                    transaction.count(key.target, Counted::superseded(left)).await?;
                    left > 0
                }
            };
            transaction.commit().await?;
            Ok(if decided { Resolved::Decided } else { Resolved::NoConflict })
        })
        .await
    }
}

impl StoreTransaction {
    /// The conflicting deliveries are pending again; of several the newest will win, as always.
    async fn try_again(&mut self, key: ConflictKey<'_>) -> Result<bool, StoreError> {
        let sql = format!(
            "UPDATE sync_delivery SET status = 'pending', attempts = 0, next_attempt_at = {now}, finished_at = NULL \
             WHERE {AT_KEY} AND status = 'failed' AND error_kind = :kind",
            now = self.now
        );
        Ok(self.execute(&sql, &key.values()).await?.rows_affected > 0)
    }

    async fn leave_remote(&mut self, key: ConflictKey<'_>) -> Result<u64, StoreError> {
        let sql = format!(
            "UPDATE sync_delivery SET status = 'superseded', next_attempt_at = NULL, finished_at = {now}, \
             error_message = 'resolved: what the target holds was kept' \
             WHERE {AT_KEY} AND status = 'failed' AND error_kind = :kind",
            now = self.now
        );
        Ok(self.execute(&sql, &key.values()).await?.rows_affected)
    }

    /// The fingerprint of what the record held when the newest of the conflicts was found, where the adapter gave it.
    async fn holds(&mut self, key: ConflictKey<'_>) -> Result<Option<String>, StoreError> {
        let sql = format!(
            "SELECT error_message FROM sync_delivery WHERE {AT_KEY} AND status = 'failed' AND error_kind = :kind \
             ORDER BY outbox_id DESC LIMIT 1"
        );
        let Some(row) = self.query(&sql, &key.values()).await?.rows.into_iter().next() else { return Ok(None) };
        let message = Reader::new("read a conflict", row).optional_text()?;
        Ok(message.as_deref().and_then(|message| split_message(message).1).map(str::to_owned))
    }

    /// As if the target had never confirmed the aggregate: the adapter looks for it by the key that the target keeps.
    async fn forget_link(&mut self, key: ConflictKey<'_>) -> Result<(), StoreError> {
        self.execute(&format!("DELETE FROM sync_link WHERE {AT_KEY}"), &key.values()).await.map(drop)
    }

    /// The linked record is there and is the right one, by a person's word. Forgetting the link instead would let an adapter
    /// whose key was edited at the target make a second record.
    async fn confirm_link(&mut self, key: ConflictKey<'_>) -> Result<(), StoreError> {
        let sql = format!("UPDATE sync_link SET remote_version = NULL, fingerprint = NULL WHERE {AT_KEY}");
        self.execute(&sql, &key.values()).await.map(drop)
    }

    /// What the record held at the conflict is what counts as the last state there, so that a later edit is noticed. Without a
    /// fingerprint of it the link gets an empty one: whatever the record holds then is no edit. Not NULL, since a link without any
    /// fingerprint is a person's word about which record is meant.
    async fn remember_state(&mut self, key: ConflictKey<'_>, fingerprint: &str) -> Result<(), StoreError> {
        let sql = format!("UPDATE sync_link SET fingerprint = :fingerprint WHERE {AT_KEY}");
        let mut values = key.values();
        values.push(("fingerprint", fingerprint.into()));
        self.execute(&sql, &values).await.map(drop)
    }

    /// Who else is linked to this record of the target. Looks at every link there: it is a person who asks.
    async fn linked_to(&mut self, key: ConflictKey<'_>, remote_id: &str) -> Result<Option<String>, StoreError> {
        let sql = "SELECT aggregate_id FROM sync_link WHERE target = :target AND aggregate_type = :type \
                   AND aggregate_id <> :id AND remote_id = :remote_id LIMIT 1";
        let mut values = key.values();
        values.push(("remote_id", remote_id.into()));
        let rows = self.query(sql, &values).await?.rows;
        rows.into_iter().next().map(|row| Reader::new("read a link", row).key()).transpose()
    }

    async fn relink(&mut self, key: ConflictKey<'_>, remote_id: &str) -> Result<(), StoreError> {
        let sql = format!(
            "INSERT INTO sync_link (target, aggregate_type, aggregate_id, remote_id, remote_version, fingerprint, \
             delivered_outbox_id, synced_at) VALUES (:target, :type, :id, :remote_id, NULL, NULL, 0, {now}){upsert}",
            now = self.now,
            upsert = upsert(
                self.dialect(),
                "target, aggregate_type, aggregate_id",
                &["remote_id", "remote_version", "fingerprint", "synced_at"],
            ),
        );
        let mut values = key.values();
        values.push(("remote_id", remote_id.into()));
        self.execute(&sql, &values).await.map(drop)
    }
}
