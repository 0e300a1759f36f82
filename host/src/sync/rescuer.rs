//! The rescuer: sends this host's heartbeat, reclaims expired leases, wakes deliveries that wait for nothing, and
//! reports where the hosts of the store differ.
//!
//! The heartbeat means that this host delivers: none is sent while a task of the daemon hangs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::demand::Demand;
use super::options::CurrentSettings;
use super::roster::{Difference, differences};
use super::tasks::Pulses;
use super::trouble::StoreTrouble;
use crate::domain::ids::TargetName;
use crate::store::{HostRecord, Store, StoreError, WaitingCursor};
use crate::telemetry::Meters;

pub(super) struct Rescuer {
    pub(super) store: Store,
    pub(super) host: HostRecord,
    /// This host's targets, each with the cursor of the next scan for ready deliveries that still wait.
    pub(super) waiting: BTreeMap<TargetName, WaitingCursor>,
    pub(super) settings: CurrentSettings,
    pub(super) demand: Arc<Demand>,
    pub(super) pulses: Pulses,
    pub(super) meters: Arc<Meters>,
    pub(super) stop: CancellationToken,
}

impl Rescuer {
    /// Runs until `stop`.
    pub(super) async fn run(mut self) {
        let mut known = BTreeSet::new();
        let mut hanging = None;
        // For the log alone: a host that cannot send its heartbeat may still deliver.
        let trouble = StoreTrouble::default();
        loop {
            self.register_again(&trouble).await;
            self.beat(&mut hanging, &trouble).await;
            self.reclaim(&trouble).await;
            self.wake(&trouble).await;
            match self.differences().await {
                Ok(found) => report(&mut known, found),
                Err(error) => tracing::debug!(%error, "cannot compare the hosts of the store"),
            }
            let every = self.every();
            tokio::select! {
                () = self.stop.cancelled() => break,
                () = self.settings.changed() => {}
                () = tokio::time::sleep(every) => {}
            }
        }
        if let Err(error) = self.store.host_stopped(&self.host.id).await {
            tracing::debug!(%error, "cannot record that this host has stopped");
        }
    }

    /// Three times as often as a lease lasts.
    fn every(&self) -> Duration {
        Duration::from_millis((self.settings.options().lease_ms / 3).clamp(100, 5_000))
    }

    /// Registers this host as a start does, when a reload has changed the types that its targets take: what is routed
    /// depends on it, and other hosts compare it with theirs.
    async fn register_again(&mut self, trouble: &StoreTrouble) {
        let host = HostRecord { targets: self.settings.get().types(), ..self.host.clone() };
        if host.targets == self.host.targets {
            return;
        }
        let registered = self.store.register_host(&host).await;
        log_once(trouble, "register the types of this host's targets", registered.as_ref().err());
        if registered.is_ok() {
            self.host = host;
        }
    }

    async fn beat(&self, known: &mut Option<String>, trouble: &StoreTrouble) {
        let hanging = self.pulses.hanging();
        if hanging != *known {
            if let Some(task) = &hanging {
                tracing::error!(task, "a task of this host hangs: it no longer counts as running");
            } else {
                tracing::info!("no task of this host hangs any more");
            }
            known.clone_from(&hanging);
        }
        if hanging.is_none() {
            let alive = self.store.host_is_alive(&self.host).await;
            log_once(trouble, "send the heartbeat", alive.as_ref().err());
        }
    }

    async fn reclaim(&self, trouble: &StoreTrouble) {
        let taken = self.store.take_expired_leases().await;
        log_once(trouble, "look for expired leases", taken.as_ref().err());
        let leases = taken.unwrap_or_default();
        for lease in &leases {
            self.meters.lease_expired(lease.target.as_str());
            tracing::warn!(target_name = %lease.target, lease_id = lease.id.get(), "lease expired, batch requeued");
        }
        if !leases.is_empty() {
            self.demand.notify_pending();
        }
    }

    /// Wakes deliveries whose dependencies are linked, which a host that died after a settlement, or lost a race, has
    /// not woken.
    async fn wake(&mut self, trouble: &StoreTrouble) {
        let mut woken = 0;
        for (target, cursor) in &mut self.waiting {
            let result = self.store.wake_ready(target.as_str(), cursor).await;
            log_once(trouble, "look for deliveries that wait for nothing", result.as_ref().err());
            woken += result.unwrap_or_default();
        }
        if woken > 0 {
            self.demand.notify_pending();
        }
    }

    async fn differences(&self) -> Result<BTreeSet<Difference>, StoreError> {
        let routes = self.store.routes().await?;
        let enabled: BTreeSet<&str> = routes.list.iter().map(|route| route.target.as_str()).collect();
        Ok(differences(&self.store.running_hosts().await?, enabled).into_iter().collect())
    }
}

/// Logs a failure once, and its end once.
fn log_once(trouble: &StoreTrouble, what: &str, error: Option<&StoreError>) {
    match error {
        Some(error) if trouble.note(what, error) => tracing::warn!(%error, "cannot {what}; trying again"),
        None if trouble.end(what) => tracing::info!("can {what} again"),
        Some(_) | None => {}
    }
}

/// Logs each difference once, and once when it is gone.
fn report(known: &mut BTreeSet<Difference>, found: BTreeSet<Difference>) {
    for difference in found.difference(known) {
        tracing::warn!(target_name = difference.target(), "{difference}");
    }
    for difference in known.difference(&found) {
        tracing::info!(target_name = difference.target(), "no longer: {difference}");
    }
    *known = found;
}
