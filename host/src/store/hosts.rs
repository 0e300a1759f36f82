//! `sync_host`: which hosts are at work, and which targets each of them has.
//!
//! Targets belong to the store: routing goes by what the store has enabled (`sync_target`), and every host adds what it
//! has when it starts. A host that lacks a target makes its deliveries all the same and leaves them to the hosts that
//! have it. Only a running host, or an operator's command, changes what is enabled; commands that read never do.

use std::collections::{BTreeMap, BTreeSet};

use super::sql::{DeleteHost, DisableTarget, EnableTarget, ForgetHosts, PutHost, RunningHosts, SetTypes};
use super::{RowReader, Store, StoreError, StoreTransaction};
use crate::database::rerun;

/// A host that was not seen for so long is not counted as running, in milliseconds.
pub(super) const HOST_SEEN_MS: i64 = 15_000;

/// The aggregate types of each target that a host has enabled.
pub type TargetTypes = BTreeMap<String, BTreeSet<String>>;

/// A host as it registers.
#[derive(Clone, Debug, Default)]
pub struct HostRecord {
    /// Its id, unlike any other's.
    pub id: String,
    /// Its version.
    pub version: String,
    /// The targets that it has enabled.
    pub targets: TargetTypes,
    /// The targets that its configuration names and disables.
    pub disabled: Vec<String>,
}

/// A host that was seen lately.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunningHost {
    /// Its id.
    pub id: String,
    /// What it has; a host of an older version does not say.
    pub targets: Option<TargetTypes>,
}

impl Store {
    /// Registers a host that starts: it is at work, its targets are enabled in the store, and changes are routed to
    /// them from now on, whichever host routes them. A target that it disables is disabled in the store unless another
    /// running host has it.
    ///
    /// # Errors
    /// When the store cannot be reached.
    pub async fn register_host(&self, host: &HostRecord) -> Result<(), StoreError> {
        rerun("register host", || async {
            let mut transaction = self.begin("register this host and its targets").await?;
            transaction.record_host(host).await?;
            // In the order of their names, so that hosts that start together wait for each other and do not deadlock.
            // From here on no other host decides about the same targets.
            for name in host.targets.keys() {
                transaction.enable_target(name).await?;
            }
            let running = transaction.running_hosts().await?;
            for name in host.targets.keys() {
                transaction.set_types(name, &types_of(name, &running)).await?;
            }
            for name in host.disabled.iter().filter(|name| types_of(name, &running).is_empty()) {
                transaction.disable_target(name).await?;
            }
            transaction.commit().await
        })
        .await
    }

    /// Says that this host is at work, and forgets hosts that were not seen for a day.
    ///
    /// # Errors
    /// When the store cannot be reached.
    pub async fn host_is_alive(&self, host: &HostRecord) -> Result<(), StoreError> {
        rerun("host is alive", || async {
            let mut transaction = self.begin("note that this host is at work").await?;
            transaction.record_host(host).await?;
            transaction.run(ForgetHosts {}).await?;
            transaction.commit().await
        })
        .await
    }

    /// The hosts that are at work on the store, by their ids.
    ///
    /// # Errors
    /// When the store cannot be reached.
    pub async fn running_hosts(&self) -> Result<Vec<RunningHost>, StoreError> {
        let mut transaction = self.begin_read("read which hosts run").await?;
        let running = transaction.running_hosts().await?;
        transaction.rollback().await?;
        Ok(running)
    }

    /// How many hosts beside this one are at work on the store.
    ///
    /// # Errors
    /// When the store cannot be reached.
    pub async fn other_hosts(&self, id: &str) -> Result<u64, StoreError> {
        let others = self.running_hosts().await?.iter().filter(|host| host.id != id).count();
        Ok(u64::try_from(others).unwrap_or(u64::MAX))
    }

    /// Says that this host has stopped.
    ///
    /// # Errors
    /// When the store cannot be reached; the host is then forgotten by time.
    pub async fn host_stopped(&self, id: &str) -> Result<(), StoreError> {
        rerun("host stopped", || async {
            let mut transaction = self.begin("note that this host has stopped").await?;
            transaction.run(DeleteHost { id }).await?;
            transaction.commit().await
        })
        .await
    }
}

/// What running hosts take at a target, all together.
fn types_of(target: &str, running: &[RunningHost]) -> BTreeSet<String> {
    running.iter().filter_map(|host| host.targets.as_ref()?.get(target)).flatten().cloned().collect()
}

impl StoreTransaction {
    async fn record_host(&mut self, host: &HostRecord) -> Result<(), StoreError> {
        let targets = serde_json::to_string(&host.targets).expect("invariant: names are JSON");
        self.run(PutHost { id: &host.id, version: &host.version, targets: &targets }).await.map(drop)
    }

    /// Hosts that were seen lately.
    pub(super) async fn running_hosts(&mut self) -> Result<Vec<RunningHost>, StoreError> {
        let rows = self.fetch(RunningHosts {}).await?;
        rows.rows
            .into_iter()
            .map(|row| {
                let mut reader = RowReader::new("read which hosts run", row);
                let id = reader.text()?;
                // What cannot be read was written by somebody else, and says nothing.
                let targets = reader.optional_text()?.and_then(|text| serde_json::from_str(&text).ok());
                Ok(RunningHost { id, targets })
            })
            .collect()
    }

    /// Makes a target known and enabled; its row is this transaction's from now on.
    async fn enable_target(&mut self, name: &str) -> Result<(), StoreError> {
        self.run(EnableTarget { name }).await.map(drop)
    }

    async fn set_types(&mut self, name: &str, types: &BTreeSet<String>) -> Result<(), StoreError> {
        let types = serde_json::to_string(types).expect("invariant: names are JSON");
        self.run(SetTypes { name, types: &types }).await.map(drop)
    }

    /// `false` when there is no such target that is enabled.
    pub(super) async fn disable_target(&mut self, name: &str) -> Result<bool, StoreError> {
        Ok(self.run(DisableTarget { name }).await?.rows_affected == 1)
    }
}
