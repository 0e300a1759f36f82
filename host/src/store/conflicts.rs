//! Conflicts: deliveries that failed because of what the target holds, and what a person decides about them.
//!
//! A decision is one transaction and a compare-and-set on `status = 'failed'`: two people, or a person and a retry,
//! never both decide. It changes what is remembered of the target (`sync_link`) and lets the ordinary delivery do the
//! rest.

use super::counts::CountDelta;
use super::sql::{
    ConfirmLink, ConflictMessage, ForgetLink, KeepRemote, LinkedTo, ListConflicts, Relink, RememberState, RetryConflict,
};
use super::{RetryFilter, RowReader, Store, StoreError, StoreTransaction};
use crate::database::rerun;
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

/// The kind of failure that a decision is about.
const KIND: &str = FailureKind::Conflict.as_str();

impl Store {
    /// Conflicts that wait for a person, oldest first, of one target or of all; at most `limit`.
    ///
    /// # Errors
    /// When the store cannot be reached.
    pub async fn conflicts(&self, target: Option<&str>, limit: u32) -> Result<Vec<Conflict>, StoreError> {
        let operation = "read conflicts";
        let mut transaction = self.begin_read(operation).await?;
        let rows = transaction.fetch(ListConflicts { kind: KIND, target, limit }).await?;
        transaction.rollback().await?;
        rows.rows
            .into_iter()
            .map(|row| {
                let mut reader = RowReader::new(operation, row);
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
                    transaction.add_counts(key.target, CountDelta::superseded(left)).await?;
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
    async fn try_again(&mut self, key: ConflictKey<'_>) -> Result<bool, StoreError> {
        let ConflictKey { target, aggregate_type, aggregate_id } = key;
        let statement = RetryConflict { target, aggregate_type, aggregate_id, kind: KIND };
        Ok(self.run(statement).await?.rows_affected > 0)
    }

    async fn leave_remote(&mut self, key: ConflictKey<'_>) -> Result<u64, StoreError> {
        let ConflictKey { target, aggregate_type, aggregate_id } = key;
        let statement = KeepRemote { target, aggregate_type, aggregate_id, kind: KIND };
        Ok(self.run(statement).await?.rows_affected)
    }

    /// The fingerprint of what the record held when the newest of the conflicts was found, where the adapter gave it.
    async fn holds(&mut self, key: ConflictKey<'_>) -> Result<Option<String>, StoreError> {
        let ConflictKey { target, aggregate_type, aggregate_id } = key;
        let statement = ConflictMessage { target, aggregate_type, aggregate_id, kind: KIND };
        let Some(row) = self.fetch(statement).await?.rows.into_iter().next() else { return Ok(None) };
        let message = RowReader::new("read a conflict", row).optional_text()?;
        Ok(message.as_deref().and_then(|message| split_message(message).1).map(str::to_owned))
    }

    async fn forget_link(&mut self, key: ConflictKey<'_>) -> Result<(), StoreError> {
        let ConflictKey { target, aggregate_type, aggregate_id } = key;
        self.run(ForgetLink { target, aggregate_type, aggregate_id }).await.map(drop)
    }

    async fn confirm_link(&mut self, key: ConflictKey<'_>) -> Result<(), StoreError> {
        let ConflictKey { target, aggregate_type, aggregate_id } = key;
        self.run(ConfirmLink { target, aggregate_type, aggregate_id }).await.map(drop)
    }

    async fn remember_state(&mut self, key: ConflictKey<'_>, fingerprint: &str) -> Result<(), StoreError> {
        let ConflictKey { target, aggregate_type, aggregate_id } = key;
        self.run(RememberState { target, aggregate_type, aggregate_id, fingerprint }).await.map(drop)
    }

    async fn linked_to(&mut self, key: ConflictKey<'_>, remote_id: &str) -> Result<Option<String>, StoreError> {
        let ConflictKey { target, aggregate_type, aggregate_id } = key;
        let rows = self.fetch(LinkedTo { target, aggregate_type, aggregate_id, remote_id }).await?.rows;
        rows.into_iter().next().map(|row| RowReader::new("read a link", row).key()).transpose()
    }

    async fn relink(&mut self, key: ConflictKey<'_>, remote_id: &str) -> Result<(), StoreError> {
        let ConflictKey { target, aggregate_type, aggregate_id } = key;
        self.run(Relink { target, aggregate_type, aggregate_id, remote_id }).await.map(drop)
    }
}
