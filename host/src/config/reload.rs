//! What a running host takes over from a configuration that was read again, and what needs a restart.
//!
//! [`Config::taking_over`] is the one place that decides it, and a test holds the table of `docs/configuration.md`
//! against it. Who hands what is taken over to the tasks that use it is `cli/reload.rs`.

use std::collections::{BTreeMap, BTreeSet};

use super::{Config, Connection, DatabaseConfig, Entry, HttpConfig, Limits, TargetConfig};
use crate::domain::limits::Limits as CallLimits;

impl Config {
    /// This configuration with everything of `file` that a running host can take over. What differs from `file` then
    /// needs a restart.
    #[must_use]
    pub fn taking_over(&self, file: &Self) -> Self {
        let target = |(name, target): (&_, &TargetConfig)| {
            let taken = file.targets.get(name).map_or_else(|| target.clone(), |new| target.taking_over(new));
            (taken.name.clone(), taken)
        };
        Self {
            path: self.path.clone(),
            store: self.store.clone(),
            plugins: self.plugins.clone(),
            sync: file.sync.clone(),
            retention: file.retention,
            audit: file.audit.clone(),
            alerts: file.alerts.clone(),
            observability: self.observability,
            targets: self.targets.iter().map(target).collect(),
            aggregates: self.aggregates.clone(),
        }
    }
}

impl TargetConfig {
    fn taking_over(&self, file: &Self) -> Self {
        Self {
            name: self.name.clone(),
            adapter: self.adapter.clone(),
            enabled: self.enabled,
            id_column: self.id_column,
            on_remote_edit: file.on_remote_edit,
            aggregate_types: file.aggregate_types.clone(),
            connection: self.connection.taking_over(&file.connection),
            settings: file.settings.clone(),
            limits: self.limits.taking_over(&file.limits),
            verify: file.verify,
        }
    }
}

impl Connection {
    fn taking_over(&self, file: &Self) -> Self {
        match (self, file) {
            (Self::Database(own), Self::Database(file)) => Self::Database(DatabaseConfig {
                url: own.url.clone(),
                connections_max: own.connections_max,
                allow: file.allow.clone(),
            }),
            (Self::Http(own), Self::Http(file)) => {
                Self::Http(HttpConfig { base_url: own.base_url.clone(), ..file.clone() })
            }
            // Another kind of target.
            (Self::Database(_), Self::Http(_)) | (Self::Http(_), Self::Database(_)) => self.clone(),
        }
    }
}

impl Limits {
    /// The workers of a target and the tables of the sandbox are made at the start.
    fn taking_over(&self, file: &Self) -> Self {
        Self {
            batch: file.batch,
            concurrency: self.concurrency,
            call: CallLimits { table_elements_max: self.call.table_elements_max, ..file.call.clone() },
        }
    }
}

/// The keys that differ between two configurations. A target that only one of them has is named as a whole.
#[must_use]
pub fn changed_keys(one: &Config, other: &Config) -> Vec<String> {
    let (of_one, of_other) = (by_key(one), by_key(other));
    let keys: BTreeSet<_> = of_one.keys().chain(of_other.keys()).collect();
    let has_both = |name: &str| [one, other].iter().all(|config| config.targets.keys().any(|key| key.as_str() == name));
    let changed = keys.into_iter().filter(|key| of_one.get(*key) != of_other.get(*key));
    let named = changed.map(|key| match key.strip_prefix("targets.").and_then(|rest| rest.split('.').next()) {
        Some(name) if !has_both(name) => format!("targets.{name}"),
        _ => key.clone(),
    });
    named.collect::<BTreeSet<_>>().into_iter().collect()
}

fn by_key(config: &Config) -> BTreeMap<String, Entry> {
    config.entries().into_iter().map(|entry| (entry.key.clone(), entry)).collect()
}

#[cfg(test)]
#[path = "reload_tests.rs"]
mod tests;
