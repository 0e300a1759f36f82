//! `sync_host`: which hosts are at work, and which targets each of them has.
//!
//! Targets belong to the store: routing goes by what the store has enabled (`sync_target`), and every host adds what it has when
//! it starts. A host that lacks a target makes its deliveries all the same and leaves them to the hosts that have it. Only a
//! running host, or an operator's command, changes what is enabled; commands that read never do.

use std::collections::{BTreeMap, BTreeSet};

use super::sql::upsert;
use super::{Reader, Store, StoreError, StoreTransaction};
use crate::database::{Dialect, Value, rerun};

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
    /// Registers a host that starts: it is at work, its targets are enabled in the store, and changes are routed to them from now
    /// on, whichever host routes them. A target that it disables is disabled in the store unless another running host has it.
    ///
    /// # Errors
    /// When the store cannot be reached.
    pub async fn register_host(&self, host: &HostRecord) -> Result<(), StoreError> {
        rerun("register host", || async {
            let mut transaction = self.begin("register this host and its targets").await?;
            transaction.note_host(host).await?;
            // In the order of their names, so that hosts that start together wait for each other and do not deadlock. From here
            // on no other host decides about the same targets.
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
            transaction.note_host(host).await?;
            let forget = format!("DELETE FROM sync_host WHERE seen_at < {} - 86400000", transaction.now);
            transaction.execute(&forget, &[]).await?;
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
            transaction.execute("DELETE FROM sync_host WHERE id = :id", &[("id", id.into())]).await?;
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
    async fn note_host(&mut self, host: &HostRecord) -> Result<(), StoreError> {
        let sql = format!(
            "INSERT INTO sync_host (id, version, started_at, seen_at, targets) \
             VALUES (:id, :version, {now}, {now}, :targets){upsert}",
            now = self.now,
            upsert = upsert(self.dialect(), "id", &["seen_at", "targets"]),
        );
        let targets = serde_json::to_string(&host.targets).expect("invariant: names are JSON");
        let values =
            [("id", host.id.as_str().into()), ("version", host.version.as_str().into()), ("targets", targets.into())];
        self.execute(&sql, &values).await.map(drop)
    }

    /// Hosts that were seen lately.
    pub(super) async fn running_hosts(&mut self) -> Result<Vec<RunningHost>, StoreError> {
        let sql =
            format!("SELECT id, targets FROM sync_host WHERE seen_at > {} - {HOST_SEEN_MS} ORDER BY id", self.now);
        let rows = self.query(&sql, &[]).await?;
        rows.rows
            .into_iter()
            .map(|row| {
                let mut reader = Reader::new("read which hosts run", row);
                let id = reader.text()?;
                // What cannot be read was written by somebody else, and says nothing.
                let targets = reader.optional_text()?.and_then(|text| serde_json::from_str(&text).ok());
                Ok(RunningHost { id, targets })
            })
            .collect()
    }

    /// Makes a target known and enabled; its row is this transaction's from now on.
    async fn enable_target(&mut self, name: &str) -> Result<(), StoreError> {
        let revision = match self.dialect() {
            Dialect::Sqlite | Dialect::Postgres => "sync_target.route_revision + 1 - sync_target.enabled",
            Dialect::MySql => "route_revision + 1 - enabled",
        };
        // The revision first: MySQL would read the new value of `enabled` behind its assignment.
        let tail = match self.dialect() {
            Dialect::Sqlite | Dialect::Postgres => {
                format!(" ON CONFLICT (name) DO UPDATE SET route_revision = {revision}, enabled = 1")
            }
            Dialect::MySql => format!(" ON DUPLICATE KEY UPDATE route_revision = {revision}, enabled = 1"),
        };
        let sql = format!(
            "INSERT INTO sync_target (name, enabled, state, route_revision, updated_at) \
             VALUES (:name, 1, 'unknown', 1, {}){tail}",
            self.now
        );
        self.execute(&sql, &[("name", name.into())]).await.map(drop)
    }

    async fn set_types(&mut self, name: &str, types: &BTreeSet<String>) -> Result<(), StoreError> {
        let sql = "UPDATE sync_target SET aggregate_types = :types, route_revision = route_revision + 1 \
                   WHERE name = :name AND COALESCE(aggregate_types, '') <> :types";
        let types = serde_json::to_string(types).expect("invariant: names are JSON");
        self.execute(sql, &[("types", types.into()), ("name", name.into())]).await.map(drop)
    }

    /// `false` when there is no such target that is enabled.
    pub(super) async fn disable_target(&mut self, name: &str) -> Result<bool, StoreError> {
        let sql = format!(
            "UPDATE sync_target SET enabled = 0, route_revision = route_revision + 1, updated_at = {} \
             WHERE name = :name AND enabled = 1",
            self.now
        );
        let values: [(&str, Value); 1] = [("name", name.into())];
        Ok(self.execute(&sql, &values).await?.rows_affected == 1)
    }
}
