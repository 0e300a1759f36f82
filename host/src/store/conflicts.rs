//! Conflicts: deliveries that failed because of the target's own state, and operators' decisions about them.
//!
//! A decision is one transaction with a compare-and-set on `failed`, so that two operators, or an operator and a retry,
//! never both decide. It changes the link (`sync_link`), and the ordinary delivery does the rest.

use super::counts::CountDelta;
use super::retry::optional_columns;
use super::sql::{
    ConfirmLink, ConflictMessage, ForgetLink, KeepRemote, LinkedTo, ListConflicts, Relink, RememberState, RetryConflict,
};
use super::{RetryFilter, RowReader, Store, StoreError, StoreTransaction};
use crate::database::rerun;
use crate::domain::change::FailureKind;
use crate::domain::conflict::{Resolution, split_message};
use crate::domain::ids::{AggregateKey, ChangeId, TargetName};

/// A conflict that waits for an operator.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Conflict {
    pub target: String,
    #[serde(flatten)]
    pub key: AggregateKey,
    /// The change that could not be delivered: the id of its outbox row.
    pub change_id: ChangeId,
    /// The record that was linked at the target.
    pub remote_id: Option<String>,
    pub message: Option<String>,
    /// When it failed, milliseconds since 1970-01-01 UTC.
    pub failed_at: Option<i64>,
}

/// The result of an operator's decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resolved {
    Decided,
    /// There was no conflict to decide.
    NoConflict,
    /// The named record is already linked to this other aggregate of the same type; nothing was changed.
    TakenBy(String),
}

/// An aggregate at a target.
#[derive(Clone, Copy, Debug)]
pub struct ConflictKey<'a> {
    pub target: &'a TargetName,
    pub aggregate: &'a AggregateKey,
}

impl<'a> ConflictKey<'a> {
    /// The target, and the aggregate's type and id, as statements take them.
    fn columns(self) -> (&'a str, &'a str, &'a str) {
        (self.target.as_str(), &self.aggregate.aggregate_type, &self.aggregate.aggregate_id)
    }
}

/// The kind of failure that a decision is about.
const KIND: &str = FailureKind::Conflict.as_str();

impl Store {
    /// The conflicts of one target or of all, and of one aggregate or of all, oldest first; at most `limit`.
    ///
    /// # Errors
    /// When the store cannot be reached.
    pub async fn conflicts(
        &self,
        target: Option<&str>,
        aggregate: Option<&AggregateKey>,
        limit: u32,
    ) -> Result<Vec<Conflict>, StoreError> {
        let operation = "read conflicts";
        let mut transaction = self.begin_read(operation).await?;
        let (aggregate_type, aggregate_id) = optional_columns(aggregate);
        let statement = ListConflicts { kind: KIND, target, aggregate_type, aggregate_id, limit };
        let rows = transaction.fetch(statement).await?;
        transaction.rollback().await?;
        rows.rows
            .into_iter()
            .map(|row| {
                let mut reader = RowReader::new(operation, row);
                Ok(Conflict {
                    target: reader.text()?,
                    key: reader.aggregate_key()?,
                    change_id: reader.change_id()?,
                    remote_id: reader.optional_text()?,
                    message: reader.failure_message()?,
                    failed_at: reader.optional_integer()?,
                })
            })
            .collect()
    }

    /// The number of conflicts.
    ///
    /// # Errors
    /// When the store cannot be reached.
    pub async fn count_conflicts(&self) -> Result<u64, StoreError> {
        let filter = RetryFilter { kind: Some(FailureKind::Conflict), ..RetryFilter::default() };
        self.count_failed(&filter).await
    }

    /// Resolves an aggregate's conflict at a target.
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
            if *resolution != Resolution::Remote {
                transaction.lock_moves().await?;
            }
            let holds = transaction.held_fingerprint(key).await?;
            let decided = match resolution {
                Resolution::Local => {
                    let decided = transaction.try_again(key).await?;
                    if decided && holds.is_some() {
                        transaction.confirm_link(key).await?;
                    } else if decided {
                        transaction.forget_link(key).await?;
                        transaction.resend_dependents(key.target, &[key.aggregate]).await?;
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
                        transaction.resend_dependents(key.target, &[key.aggregate]).await?;
                    }
                    decided
                }
                Resolution::Remote => {
                    let left = transaction.leave_remote(key).await?;
                    if left > 0 {
                        transaction.remember_state(key, holds.as_deref().unwrap_or_default()).await?;
                    }
                    transaction.add_counts(key.target.as_str(), CountDelta::superseded(left)).await?;
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
        let (target, aggregate_type, aggregate_id) = key.columns();
        let statement = RetryConflict { target, aggregate_type, aggregate_id, kind: KIND };
        Ok(self.run(statement).await?.rows_affected > 0)
    }

    async fn leave_remote(&mut self, key: ConflictKey<'_>) -> Result<u64, StoreError> {
        let (target, aggregate_type, aggregate_id) = key.columns();
        let statement = KeepRemote { target, aggregate_type, aggregate_id, kind: KIND };
        Ok(self.run(statement).await?.rows_affected)
    }

    /// The fingerprint of the record when the newest conflict was found, if the adapter gave it.
    async fn held_fingerprint(&mut self, key: ConflictKey<'_>) -> Result<Option<String>, StoreError> {
        let (target, aggregate_type, aggregate_id) = key.columns();
        let statement = ConflictMessage { target, aggregate_type, aggregate_id, kind: KIND };
        let Some(row) = self.fetch(statement).await?.rows.into_iter().next() else { return Ok(None) };
        let message = RowReader::new("read a conflict", row).optional_text()?;
        Ok(message.as_deref().and_then(|message| split_message(message).1).map(str::to_owned))
    }

    /// Deletes links to records that no longer exist at the target, so that the next delivery of each creates one.
    /// Changes that refer to them are sent again. The transaction holds the lock of moves since its beginning.
    pub(super) async fn forget_gone(&mut self, target: &TargetName, gone: &[&AggregateKey]) -> Result<(), StoreError> {
        for aggregate in gone.iter().copied() {
            self.forget_link(ConflictKey { target, aggregate }).await?;
        }
        if !gone.is_empty() {
            self.resend_dependents(target, gone).await?;
        }
        Ok(())
    }

    async fn forget_link(&mut self, key: ConflictKey<'_>) -> Result<(), StoreError> {
        let (target, aggregate_type, aggregate_id) = key.columns();
        self.run(ForgetLink { target, aggregate_type, aggregate_id }).await.map(drop)
    }

    async fn confirm_link(&mut self, key: ConflictKey<'_>) -> Result<(), StoreError> {
        let (target, aggregate_type, aggregate_id) = key.columns();
        self.run(ConfirmLink { target, aggregate_type, aggregate_id }).await.map(drop)
    }

    async fn remember_state(&mut self, key: ConflictKey<'_>, fingerprint: &str) -> Result<(), StoreError> {
        let (target, aggregate_type, aggregate_id) = key.columns();
        self.run(RememberState { target, aggregate_type, aggregate_id, fingerprint }).await.map(drop)
    }

    async fn linked_to(&mut self, key: ConflictKey<'_>, remote_id: &str) -> Result<Option<String>, StoreError> {
        let (target, aggregate_type, aggregate_id) = key.columns();
        let rows = self.fetch(LinkedTo { target, aggregate_type, aggregate_id, remote_id }).await?.rows;
        rows.into_iter().next().map(|row| RowReader::new("read a link", row).key()).transpose()
    }

    async fn relink(&mut self, key: ConflictKey<'_>, remote_id: &str) -> Result<(), StoreError> {
        let (target, aggregate_type, aggregate_id) = key.columns();
        self.run(Relink { target, aggregate_type, aggregate_id, remote_id }).await.map(drop)
    }
}
