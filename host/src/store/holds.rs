//! Adapters that are held (`sync_adapter_hold`): one writes something else than the active adapter, and no host
//! activates it until an operator accepts it.
//!
//! All hosts see a hold, also after a restart. It ends when the adapter is accepted, when another one is loaded, and
//! with a reload. Which adapter is held, `host/src/sync/holding.rs` decides.

use std::collections::BTreeMap;

use super::adapters::{AdapterEvent, AdapterEventKind};
use super::sql::{
    AcceptAdapter, EndAdapterHold, HoldAdapter, IsActiveAdapter, ListAdapterHolds, ReadAdapterHold, ReloadAdapter,
    RequestReload,
};
use super::{RetryFilter, RowReader, Store, StoreError, StoreTransaction, corrupt};
use crate::database::{Value, rerun};
use crate::domain::effect_difference::EffectDifferences;
use crate::domain::ids::TargetName;

/// An adapter of a target that is held, or was accepted.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct HeldAdapter {
    pub sha256: String,
    pub name: String,
    pub version: String,
    /// In what it differs from the adapter that was active.
    pub differences: EffectDifferences,
    /// Milliseconds since 1970-01-01 UTC.
    pub held_at: i64,
    /// When an operator accepted it, milliseconds since 1970-01-01 UTC.
    pub accepted_at: Option<i64>,
}

impl Store {
    /// Holds an adapter that writes something else than `previous`, which stays active, or becomes active again if the
    /// held one was activated meanwhile. Returns `false` when it is held already.
    ///
    /// # Errors
    /// When the store cannot be reached.
    pub async fn hold_adapter(
        &self,
        candidate: &AdapterEvent<'_>,
        previous: &AdapterEvent<'_>,
        differences: &EffectDifferences,
    ) -> Result<bool, StoreError> {
        let AdapterEvent { target, name, version, sha256, .. } = *candidate;
        let differences = serde_json::to_string(differences)
            .map_err(|error| corrupt("hold an adapter", format!("differences that are no JSON: {error}")))?;
        rerun("hold adapter", || async {
            let mut transaction = self.begin(&format!("hold an adapter of target `{target}`")).await?;
            let target_name = target.as_str();
            if transaction.is_held(target_name, sha256).await? {
                transaction.rollback().await?;
                return Ok(false);
            }
            let is_active = IsActiveAdapter { target: target_name, sha256 };
            if !transaction.fetch(is_active).await?.rows.is_empty() && transaction.activate(previous).await? {
                transaction.record_adapter_event(AdapterEventKind::RolledBack, previous).await?;
                transaction.reject(target, Some(sha256)).await?;
                transaction.retry_skipped(target_name, &RetryFilter::default()).await?;
            }
            let hold = HoldAdapter { target: target_name, sha256, name, version, differences: &differences };
            transaction.run(hold).await?;
            transaction.record_adapter_event(AdapterEventKind::Held, candidate).await?;
            transaction.commit().await?;
            Ok(true)
        })
        .await
    }

    /// The adapter of a target that is held or was accepted last.
    ///
    /// # Errors
    /// When the store cannot be reached.
    pub async fn held_adapter(&self, target: &str) -> Result<Option<HeldAdapter>, StoreError> {
        let operation = "read the held adapter of a target";
        let rows = self.fetch_alone(operation, ReadAdapterHold { target }).await?;
        rows.rows.into_iter().next().map(|row| read_hold(RowReader::new(operation, row))).transpose()
    }

    /// Accepts a held adapter: every host loads its file again and activates it. Returns `false` when it is not held.
    ///
    /// # Errors
    /// When the store cannot be reached.
    pub async fn accept_adapter(&self, accepted: &AdapterEvent<'_>) -> Result<bool, StoreError> {
        let AdapterEvent { target, sha256, .. } = *accepted;
        rerun("accept adapter", || async {
            let mut transaction = self.begin(&format!("accept an adapter of target `{target}`")).await?;
            let target_name = target.as_str();
            if transaction.run(AcceptAdapter { target: target_name, sha256 }).await?.rows_affected == 0 {
                transaction.rollback().await?;
                return Ok(false);
            }
            transaction.record_adapter_event(AdapterEventKind::Accepted, accepted).await?;
            transaction.run(ReloadAdapter { target: target_name, sha256 }).await?;
            transaction.run(RequestReload { target: target_name }).await?;
            transaction.commit().await?;
            Ok(true)
        })
        .await
    }

    /// Ends the hold of a target's adapter, since another one is loaded.
    ///
    /// # Errors
    /// When the store cannot be reached.
    pub async fn end_hold(&self, target: &TargetName) -> Result<(), StoreError> {
        rerun("end hold", || async {
            let mut transaction = self.begin(&format!("end the hold of target `{target}`")).await?;
            transaction.end_hold(target).await?;
            transaction.commit().await
        })
        .await
    }
}

impl StoreTransaction {
    pub(super) async fn end_hold(&mut self, target: &TargetName) -> Result<(), StoreError> {
        self.run(EndAdapterHold { target: target.as_str() }).await.map(drop)
    }

    /// Whether this adapter is held and was not accepted.
    pub(super) async fn is_held(&mut self, target: &str, sha256: &str) -> Result<bool, StoreError> {
        let operation = self.operation.clone();
        let rows = self.fetch(ReadAdapterHold { target }).await?;
        let Some(row) = rows.rows.into_iter().next() else { return Ok(false) };
        let hold = read_hold(RowReader::new(&operation, row))?;
        Ok(hold.sha256 == sha256 && hold.accepted_at.is_none())
    }

    /// The held adapters of all targets.
    pub(super) async fn adapter_holds(&mut self) -> Result<BTreeMap<String, HeldAdapter>, StoreError> {
        let operation = self.operation.clone();
        let hold = |row: Vec<Value>| {
            let mut reader = RowReader::new(&operation, row);
            Ok((reader.text()?, read_hold(reader)?))
        };
        self.fetch(ListAdapterHolds {}).await?.rows.into_iter().map(hold).collect()
    }
}

fn read_hold(mut reader: RowReader<'_>) -> Result<HeldAdapter, StoreError> {
    Ok(HeldAdapter {
        sha256: reader.text()?,
        name: reader.text()?,
        version: reader.text()?,
        // A newer host may have written kinds that this one does not know: the hold counts all the same.
        differences: serde_json::from_str(&reader.text()?).unwrap_or_default(),
        held_at: reader.integer()?,
        accepted_at: reader.optional_integer()?,
    })
}
