//! `sync_host`: the running hosts, and the targets that each of them has.
//!
//! The store lists the enabled targets (`sync_target`), and every host adds its own when it starts. A host that lacks a
//! target still queues its deliveries, and leaves them to the hosts that have it. Only a running host or an operator's
//! command enables or disables a target; commands that read never do.

use std::collections::{BTreeMap, BTreeSet};

use super::sql::{DeleteHost, DisableTarget, EnableTarget, ForgetHosts, PutHost, RunningHosts, SetTypes};
use super::{RowReader, Store, StoreError, StoreTransaction};
use crate::database::rerun;
use crate::domain::ids::TargetName;

/// A host without a heartbeat for longer does not count as running.
pub(super) const HOST_SEEN_MS: i64 = 15_000;

/// The aggregate types of each target that a host has enabled.
pub type TargetTypes = BTreeMap<TargetName, BTreeSet<String>>;

/// A host as it registers.
#[derive(Clone, Debug, Default)]
pub struct HostRecord {
    /// New at each start.
    pub id: String,
    pub version: String,
    /// The targets that it has enabled.
    pub targets: TargetTypes,
    /// The targets that its configuration disables.
    pub disabled: Vec<TargetName>,
}

/// A host with a recent heartbeat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunningHost {
    pub id: String,
    /// `None` when a host of another version has written a value that this one cannot read.
    pub targets: Option<TargetTypes>,
}

impl Store {
    /// Registers a host that starts, and enables its targets in the store: every host routes changes to them from now
    /// on. A target that this host disables is disabled in the store unless another running host has it.
    ///
    /// # Errors
    /// When the store cannot be reached.
    pub async fn register_host(&self, host: &HostRecord) -> Result<(), StoreError> {
        rerun("register host", || async {
            let mut transaction = self.begin("register this host and its targets").await?;
            transaction.record_host(host).await?;
            // In the order of their names, so that hosts that start together do not deadlock. The rows stay locked, so
            // that no other host decides about the same targets.
            for name in host.targets.keys() {
                transaction.enable_target(name.as_str()).await?;
            }
            let running = transaction.running_hosts().await?;
            for name in host.targets.keys() {
                transaction.set_types(name.as_str(), &types_of(name, &running)).await?;
            }
            for name in host.disabled.iter().filter(|name| types_of(name, &running).is_empty()) {
                transaction.disable_target(name.as_str()).await?;
            }
            transaction.commit().await
        })
        .await
    }

    /// Sends this host's heartbeat, and deletes hosts without one for a day.
    ///
    /// # Errors
    /// When the store cannot be reached.
    pub async fn host_is_alive(&self, host: &HostRecord) -> Result<(), StoreError> {
        rerun("host is alive", || async {
            let mut transaction = self.begin("send this host's heartbeat").await?;
            transaction.record_host(host).await?;
            transaction.run(ForgetHosts {}).await?;
            transaction.commit().await
        })
        .await
    }

    /// The running hosts, by their ids.
    ///
    /// # Errors
    /// When the store cannot be reached.
    pub async fn running_hosts(&self) -> Result<Vec<RunningHost>, StoreError> {
        let mut transaction = self.begin_read("read which hosts run").await?;
        let running = transaction.running_hosts().await?;
        transaction.rollback().await?;
        Ok(running)
    }

    /// The number of running hosts next to this one.
    ///
    /// # Errors
    /// When the store cannot be reached.
    pub async fn other_hosts(&self, id: &str) -> Result<u64, StoreError> {
        let others = self.running_hosts().await?.iter().filter(|host| host.id != id).count();
        Ok(u64::try_from(others).unwrap_or(u64::MAX))
    }

    /// Deletes a host that stops.
    ///
    /// # Errors
    /// When the store cannot be reached. The host's heartbeat then becomes too old.
    pub async fn host_stopped(&self, id: &str) -> Result<(), StoreError> {
        rerun("host stopped", || async {
            let mut transaction = self.begin("delete the row of this host").await?;
            transaction.run(DeleteHost { id }).await?;
            transaction.commit().await
        })
        .await
    }
}

/// The types that any running host sends to a target.
fn types_of(target: &TargetName, running: &[RunningHost]) -> BTreeSet<String> {
    running.iter().filter_map(|host| host.targets.as_ref()?.get(target)).flatten().cloned().collect()
}

impl StoreTransaction {
    async fn record_host(&mut self, host: &HostRecord) -> Result<(), StoreError> {
        let targets = serde_json::to_string(&host.targets).expect("invariant: names are JSON");
        self.run(PutHost { id: &host.id, version: &host.version, targets: &targets }).await.map(drop)
    }

    pub(super) async fn running_hosts(&mut self) -> Result<Vec<RunningHost>, StoreError> {
        let rows = self.fetch(RunningHosts {}).await?;
        rows.rows
            .into_iter()
            .map(|row| {
                let mut reader = RowReader::new("read which hosts run", row);
                let id = reader.text()?;
                // Another version may have written a value that this one cannot read.
                let targets = reader.optional_text()?.and_then(|text| serde_json::from_str(&text).ok());
                Ok(RunningHost { id, targets })
            })
            .collect()
    }

    /// Enables a target, and locks its row until the end of the transaction.
    async fn enable_target(&mut self, name: &str) -> Result<(), StoreError> {
        self.run(EnableTarget { name }).await.map(drop)
    }

    async fn set_types(&mut self, name: &str, types: &BTreeSet<String>) -> Result<(), StoreError> {
        let text = serde_json::to_string(types).expect("invariant: names are JSON");
        let is_changed = self.run(SetTypes { name, types: &text }).await?.rows_affected > 0;
        if is_changed && !types.is_empty() {
            self.forget_dependencies(name, &types.iter().cloned().collect::<Vec<_>>()).await?;
        }
        Ok(())
    }

    /// Returns `false` when no enabled target has this name.
    pub(super) async fn disable_target(&mut self, name: &str) -> Result<bool, StoreError> {
        Ok(self.run(DisableTarget { name }).await?.rows_affected == 1)
    }
}
