//! Which adapter a target uses: the file's, the one that other hosts on this store use, or the one before.
//!
//! A new file is loaded, checked, and tried on a few deliveries before it is put in force and recorded in the store; other
//! hosts then follow the store. What traps or fails more than the old one is refused, and one that breaks off later is
//! rolled back by itself; either stays out until there is another file or a person asks (`host plugin reload`). Calls
//! under way end on the adapter that they began with.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::canary::{Canary, CanaryResult};
use super::supervisor::{ActiveAdapter, Gate, Supervisor};
use crate::domain::change::{Failure, FailureKind};
use crate::plugin::{Adapter, PluginError, read_component};
use crate::store::{AdapterNews, BreakerState, TargetState, TargetWish};

/// When nothing was due for so long, the adapter on trial is put in force on its check alone. Its first deliveries are measured
/// against the old one all the same.
const CANARY_WAIT: Duration = Duration::from_millis(1_500);

/// So long after a swap an adapter that breaks off is rolled back by itself.
const ROLLBACK_WINDOW: Duration = Duration::from_secs(600);

/// Size and time of the adapter's file: when they change, it is read again.
pub(super) type FileStamp = Option<(u64, SystemTime)>;

/// An adapter with the bytes that it was made of, which the store keeps for other hosts.
#[derive(Clone)]
pub(super) struct Loaded {
    pub(super) adapter: Arc<Adapter>,
    bytes: Arc<Vec<u8>>,
}

impl Loaded {
    fn sha256(&self) -> &str {
        self.adapter.sha256()
    }
}

/// A canary under way.
struct CanaryRun {
    loaded: Loaded,
    canary: Arc<Canary>,
    since: tokio::time::Instant,
    /// It is in force already, with nothing delivered yet.
    active: bool,
}

/// What a supervisor remembers of its target's adapters.
#[derive(Default)]
pub(super) struct Adapters {
    pub(super) current: Option<Loaded>,
    /// The one that the current took the place of, and since when.
    previous: Option<(Loaded, tokio::time::Instant)>,
    canary_run: Option<CanaryRun>,
    stamp: FileStamp,
    reloads_seen: Option<i64>,
    /// An adapter of other hosts that this one could not take up, so that it is said once.
    not_adopted: Option<String>,
}

impl Supervisor {
    /// The adapter to begin with: the file's, or the store's where others are at work with another one, where the file's was
    /// rolled back, or where the file is no good.
    pub(super) async fn first_adapter(&mut self) -> Result<Loaded, Failure> {
        self.adapters.stamp = file_stamp(&self.target.spec.adapter).await;
        let desired = self.desired_state().await;
        self.adapters.reloads_seen = desired.as_ref().map(|desired| desired.reload_requests);
        let file = self.load_file().await;
        let Some(TargetWish { adapter_sha256: Some(active), rejected_sha256: rejected, .. }) = desired else {
            return file;
        };
        let why = match &file {
            Ok(loaded) if loaded.sha256() == active => return file,
            Ok(loaded) if rejected.as_deref() == Some(loaded.sha256()) => {
                "the file's adapter was rolled back".to_owned()
            }
            Ok(_) if !self.other_hosts_running().await => return file,
            Ok(_) => "other hosts use another adapter than the file's".to_owned(),
            Err(failure) => failure.message.clone(),
        };
        match self.load_kept(&active).await {
            Ok(kept) => {
                tracing::warn!(target_name = %self.target.spec.name, sha256 = active, why, "adapter taken from the store");
                Ok(kept)
            }
            Err(failure) => {
                tracing::warn!(target_name = %self.target.spec.name, error = %failure.message, "the store's adapter cannot be used");
                file
            }
        }
    }

    /// Looks whether another adapter is wanted: by the store, by a person, or by a new file.
    pub(super) async fn look_for_another(&mut self) {
        if self.is_undecided() {
            return self.activate_idle_canary().await;
        }
        let stamp = file_stamp(&self.target.spec.adapter).await;
        let has_new_file = stamp != self.adapters.stamp && stamp.is_some();
        let desired = self.desired_state().await.unwrap_or_default();
        let is_asked = self.adapters.reloads_seen.is_some_and(|seen| seen < desired.reload_requests);
        self.adapters.reloads_seen = Some(desired.reload_requests);
        if has_new_file || is_asked {
            self.adapters.stamp = stamp;
            self.consider_file(desired.rejected_sha256.as_deref()).await;
        } else if let Some(wanted) = desired.adapter_sha256 {
            self.adopt_shared_adapter(&wanted).await;
        }
    }

    /// SIGHUP: the file is looked at although nothing says that it changed.
    pub(super) async fn reload(&mut self) {
        if self.is_undecided() {
            return;
        }
        self.adapters.stamp = file_stamp(&self.target.spec.adapter).await;
        let desired = self.desired_state().await.unwrap_or_default();
        self.consider_file(desired.rejected_sha256.as_deref()).await;
    }

    /// Takes up the file's adapter on canary, if it is another one than the one in force.
    async fn consider_file(&mut self, rejected: Option<&str>) {
        let loaded = match self.load_file().await {
            Ok(loaded) => loaded,
            Err(failure) => return self.refuse(None, &failure).await,
        };
        if self.adapters.current.as_ref().is_some_and(|current| current.sha256() == loaded.sha256()) {
            return;
        }
        if rejected == Some(loaded.sha256()) {
            let failure = Failure::new(
                FailureKind::Adapter,
                "it was rolled back: put another file in its place, or say `host plugin reload`",
            );
            return self.refuse(None, &failure).await;
        }
        let report = match self.check(&loaded.adapter).await {
            Ok(report) => report,
            Err(failure) => return self.refuse(Some(&loaded), &failure).await,
        };
        let Gate::Open(old) = self.gate.borrow().clone() else {
            // A paused target delivers nothing that it could be tried on.
            self.adapters.current = Some(loaded);
            return self.record_active().await;
        };
        let candidate = Arc::new(ActiveAdapter { adapter: loaded.adapter.clone(), state: report.state, canary: None });
        let canary = Arc::new(Canary::new(candidate));
        let with_canary =
            ActiveAdapter { adapter: old.adapter.clone(), state: old.state.clone(), canary: Some(canary.clone()) };
        self.gate.send_replace(Gate::Open(Arc::new(with_canary)));
        self.demand.notify_pending();
        tracing::debug!(target_name = %self.target.spec.name, sha256 = loaded.sha256(), "new adapter on canary");
        self.adapters.canary_run =
            Some(CanaryRun { loaded, canary, since: tokio::time::Instant::now(), active: false });
    }

    /// Whether a trial is on that has put nothing in force yet.
    fn is_undecided(&self) -> bool {
        self.adapters.canary_run.as_ref().is_some_and(|canary_run| !canary_run.active)
    }

    /// Whether an adapter in force has still to show itself.
    pub(super) fn has_canary(&self) -> bool {
        self.adapters.canary_run.is_some()
    }

    /// A worker has tried the new adapter.
    pub(super) async fn judge(&mut self, result: CanaryResult) {
        let Some(canary_run) = self.adapters.canary_run.take() else { return };
        match result {
            CanaryResult::Passed => {
                if !canary_run.active {
                    self.replace_active(canary_run.loaded).await;
                }
                let ActiveAdapter { adapter, state, .. } = &*canary_run.canary.candidate;
                self.open_with(adapter, state);
            }
            CanaryResult::Rejected(why) => {
                self.end_canary();
                let failure = Failure::new(FailureKind::Adapter, why);
                if canary_run.active {
                    self.roll_back(&failure).await;
                } else {
                    self.refuse(Some(&canary_run.loaded), &failure).await;
                }
            }
        }
    }

    /// With nothing due there is nothing to try it on.
    async fn activate_idle_canary(&mut self) {
        let Some(canary_run) = &mut self.adapters.canary_run else { return };
        if canary_run.since.elapsed() < CANARY_WAIT || canary_run.canary.is_taken() {
            return;
        }
        canary_run.active = true;
        let loaded = canary_run.loaded.clone();
        self.replace_active(loaded).await;
    }

    async fn replace_active(&mut self, loaded: Loaded) {
        tracing::info!(target_name = %self.target.spec.name, sha256 = loaded.sha256(), "new adapter in force");
        if let Some(old) = self.adapters.current.replace(loaded) {
            self.adapters.previous = Some((old, tokio::time::Instant::now()));
        }
        self.record_active().await;
        self.note(TargetState::Up, BreakerState::Closed, None, None).await;
    }

    /// Lets deliveries go on through this adapter, where they go on at all.
    fn open_with(&self, adapter: &Arc<Adapter>, state: &[u8]) {
        if matches!(*self.gate.borrow(), Gate::Open(_)) {
            let active = ActiveAdapter { adapter: adapter.clone(), state: state.to_vec(), canary: None };
            self.gate.send_replace(Gate::Open(Arc::new(active)));
        }
    }

    /// The target failed or was paused while a trial was on: what is not in force yet is looked at again when it is back.
    pub(super) fn forget_canary(&mut self) {
        if let Some(canary_run) = self.adapters.canary_run.take()
            && !canary_run.active
        {
            self.adapters.stamp = None;
        }
        self.end_canary();
    }

    fn end_canary(&self) {
        let gate = self.gate.borrow().clone();
        if let Gate::Open(old) = gate
            && old.canary.is_some()
        {
            self.open_with(&old.adapter, &old.state);
        }
    }

    /// Other hosts have put another adapter in force, or a person has rolled it back: this host takes it up too.
    async fn adopt_shared_adapter(&mut self, wanted: &str) {
        let is_current = self.adapters.current.as_ref().is_some_and(|current| current.sha256() == wanted);
        if is_current || self.adapters.not_adopted.as_deref() == Some(wanted) {
            return;
        }
        let taken = match self.load_kept(wanted).await {
            Ok(loaded) => self.check(&loaded.adapter).await.map(|report| (loaded, report)),
            Err(failure) => Err(failure),
        };
        match taken {
            Ok((loaded, report)) => {
                tracing::info!(target_name = %self.target.spec.name, sha256 = wanted, "adapter of the other hosts in force");
                self.adapters.not_adopted = None;
                self.adapters.canary_run = None;
                self.adapters.previous = None;
                self.adapters.current = Some(loaded.clone());
                self.activate(loaded.adapter, report).await;
            }
            Err(failure) => {
                tracing::error!(target_name = %self.target.spec.name, sha256 = wanted, error = %failure.message, "the adapter of the other hosts cannot be used here");
                self.adapters.not_adopted = Some(wanted.to_owned());
            }
        }
    }

    /// An adapter that took another's place broke off: the one before comes back. `false` when there is none.
    pub(super) async fn roll_back(&mut self, failure: &Failure) -> bool {
        let Some((old, since)) = self.adapters.previous.take() else { return false };
        if failure.kind != FailureKind::Adapter || since.elapsed() > ROLLBACK_WINDOW {
            self.adapters.previous = Some((old, since));
            return false;
        }
        let Some(broken) = self.adapters.current.replace(old.clone()) else { return false };
        tracing::error!(target_name = %self.target.spec.name, sha256 = broken.sha256(), error = %failure.message, "adapter rolled back");
        let news = self.news(&old, Some(&failure.message));
        if let Err(error) = self.store.roll_adapter_back(broken.sha256(), &news).await {
            tracing::warn!(target_name = %self.target.spec.name, %error, "cannot record that the adapter was rolled back");
        }
        true
    }

    async fn refuse(&self, loaded: Option<&Loaded>, failure: &Failure) {
        tracing::error!(target_name = %self.target.spec.name, error = %failure.message, "adapter not swapped");
        if let Some(loaded) = loaded
            && let Err(error) = self.store.note_refused_adapter(&self.news(loaded, Some(&failure.message))).await
        {
            tracing::warn!(target_name = %self.target.spec.name, %error, "cannot record that an adapter was refused");
        }
        let message = format!("new adapter refused, the old one goes on: {}", failure.message);
        let failure = Failure::new(failure.kind, message);
        self.note(TargetState::Up, BreakerState::Closed, Some(&failure), None).await;
    }

    /// Tells the store what is in force here.
    pub(super) async fn record_active(&self) {
        let Some(current) = &self.adapters.current else { return };
        if let Err(error) = self.store.put_adapter_in_force(&self.news(current, None), &current.bytes).await {
            tracing::warn!(target_name = %self.target.spec.name, %error, "cannot record which adapter is in force");
        }
    }

    fn news<'a>(&'a self, loaded: &'a Loaded, reason: Option<&'a str>) -> AdapterNews<'a> {
        let descriptor = loaded.adapter.descriptor();
        AdapterNews {
            target: &self.target.spec.name,
            name: &descriptor.name,
            version: &descriptor.version,
            sha256: loaded.adapter.sha256(),
            reason,
            host: &self.options.host_id,
        }
    }

    async fn load_file(&self) -> Result<Loaded, Failure> {
        let path = &self.target.spec.adapter;
        let bytes =
            read_component(path).await.map_err(|error| Failure::new(FailureKind::Adapter, error.to_string()))?;
        let kept = bytes.clone();
        self.accepted(self.runtime.load_file(path, bytes, self.target.world()).await, kept)
    }

    async fn load_kept(&self, sha256: &str) -> Result<Loaded, Failure> {
        let unavailable = |reason: String| Failure::new(FailureKind::Adapter, reason);
        let bytes = self.store.adapter_bytes(sha256).await.map_err(|error| unavailable(error.to_string()))?;
        let bytes = bytes.ok_or_else(|| unavailable(format!("the store does not hold the adapter sha256:{sha256}")))?;
        let (name, kept) = (format!("the store's adapter sha256:{sha256}"), bytes.clone());
        let loaded = self.accepted(self.runtime.load_bytes(&name, bytes, self.target.world()).await, kept)?;
        if loaded.sha256() == sha256 {
            return Ok(loaded);
        }
        Err(unavailable(format!("the store's adapter sha256:{sha256} is damaged: it has another digest")))
    }

    /// Whether it is one for this target.
    fn accepted(&self, loaded: Result<Arc<Adapter>, PluginError>, bytes: Vec<u8>) -> Result<Loaded, Failure> {
        let adapter = loaded.map_err(|error| Failure::new(FailureKind::Adapter, error.to_string()))?;
        let known = &adapter.descriptor().aggregate_types;
        match self.target.spec.aggregate_types.iter().find(|kind| !known.contains(kind)) {
            None => Ok(Loaded { adapter, bytes: Arc::new(bytes) }),
            Some(kind) => Err(Failure::new(
                FailureKind::Misconfigured,
                format!("adapter {} does not take aggregates of type {kind}", adapter.descriptor().name),
            )),
        }
    }

    pub(super) async fn desired_state(&self) -> Option<TargetWish> {
        match self.store.target_wish(&self.target.spec.name).await {
            Ok(desired) => Some(desired),
            Err(error) => {
                tracing::debug!(%error, "cannot read what is wanted of the target");
                None
            }
        }
    }

    /// Whether other hosts are at work on this store.
    async fn other_hosts_running(&self) -> bool {
        self.store.other_hosts(&self.options.host_id).await.unwrap_or(0) > 0
    }

    /// Whether the adapter's file is another one than at the last look.
    pub(super) async fn has_new_file(&self) -> bool {
        file_stamp(&self.target.spec.adapter).await != self.adapters.stamp
    }
}

async fn file_stamp(path: &Path) -> FileStamp {
    let metadata = tokio::fs::metadata(path).await.ok()?;
    Some((metadata.len(), metadata.modified().ok()?))
}
