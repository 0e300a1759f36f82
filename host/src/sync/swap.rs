//! Which adapter a target uses: the file's, the one that other hosts on this store use, or the one before.
//!
//! A new file is loaded, checked, and tried on a few deliveries before it is put in force and recorded in the store; other
//! hosts then follow the store. What traps or fails more than the old one is refused, and one that breaks off later is
//! rolled back by itself; either stays out until there is another file or a person asks (`host plugin reload`). Calls
//! under way end on the adapter that they began with.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::supervisor::{Gate, InForce, Supervisor};
use super::trial::{Trial, Verdict};
use crate::domain::change::{Failure, FailureKind};
use crate::plugin::{Adapter, PluginError, read_component};
use crate::store::{AdapterEvent, BreakerState, DesiredState, TargetState};

/// When nothing was due for so long, the adapter on trial is put in force on its check alone. Its first deliveries are measured
/// against the old one all the same.
const TRIAL_WAIT: Duration = Duration::from_millis(1_500);

/// So long after a swap an adapter that breaks off is rolled back by itself.
const PROBATION: Duration = Duration::from_secs(600);

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

/// A trial under way.
struct UnderTrial {
    loaded: Loaded,
    trial: Arc<Trial>,
    since: tokio::time::Instant,
    /// It is in force already, with nothing delivered yet.
    in_force: bool,
}

/// What a supervisor remembers of its target's adapters.
#[derive(Default)]
pub(super) struct Adapters {
    pub(super) current: Option<Loaded>,
    /// The one that the current took the place of, and since when.
    previous: Option<(Loaded, tokio::time::Instant)>,
    under_trial: Option<UnderTrial>,
    stamp: FileStamp,
    reloads_seen: Option<i64>,
    /// An adapter of other hosts that this one could not take up, so that it is said once.
    not_followed: Option<String>,
}

impl Supervisor {
    /// The adapter to begin with: the file's, or the store's where others are at work with another one, where the file's was
    /// rolled back, or where the file is no good.
    pub(super) async fn first_adapter(&mut self) -> Result<Loaded, Failure> {
        self.adapters.stamp = file_stamp(&self.target.spec.adapter).await;
        let wish = self.wish().await;
        self.adapters.reloads_seen = wish.as_ref().map(|wish| wish.reload_requests);
        let file = self.load_file().await;
        let Some(DesiredState { adapter_sha256: Some(in_force), rejected_sha256: rejected, .. }) = wish else {
            return file;
        };
        let why = match &file {
            Ok(loaded) if loaded.sha256() == in_force => return file,
            Ok(loaded) if rejected.as_deref() == Some(loaded.sha256()) => {
                "the file's adapter was rolled back".to_owned()
            }
            Ok(_) if !self.has_company().await => return file,
            Ok(_) => "other hosts use another adapter than the file's".to_owned(),
            Err(failure) => failure.message.clone(),
        };
        match self.load_kept(&in_force).await {
            Ok(kept) => {
                tracing::warn!(target_name = %self.target.spec.name, sha256 = in_force, why, "adapter taken from the store");
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
            return self.end_idle_trial().await;
        }
        let stamp = file_stamp(&self.target.spec.adapter).await;
        let has_new_file = stamp != self.adapters.stamp && stamp.is_some();
        let wish = self.wish().await.unwrap_or_default();
        let is_asked = self.adapters.reloads_seen.is_some_and(|seen| seen < wish.reload_requests);
        self.adapters.reloads_seen = Some(wish.reload_requests);
        if has_new_file || is_asked {
            self.adapters.stamp = stamp;
            self.consider_file(wish.rejected_sha256.as_deref()).await;
        } else if let Some(wanted) = wish.adapter_sha256 {
            self.follow(&wanted).await;
        }
    }

    /// SIGHUP: the file is looked at although nothing says that it changed.
    pub(super) async fn reload(&mut self) {
        if self.is_undecided() {
            return;
        }
        self.adapters.stamp = file_stamp(&self.target.spec.adapter).await;
        let wish = self.wish().await.unwrap_or_default();
        self.consider_file(wish.rejected_sha256.as_deref()).await;
    }

    /// Takes up the file's adapter on trial, if it is another one than the one in force.
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
            return self.record_in_force().await;
        };
        let candidate = Arc::new(InForce { adapter: loaded.adapter.clone(), state: report.state, trial: None });
        let trial = Arc::new(Trial::new(candidate));
        let on_trial = InForce { adapter: old.adapter.clone(), state: old.state.clone(), trial: Some(trial.clone()) };
        self.gate.send_replace(Gate::Open(Arc::new(on_trial)));
        self.handover.something_waits();
        tracing::debug!(target_name = %self.target.spec.name, sha256 = loaded.sha256(), "new adapter on trial");
        self.adapters.under_trial =
            Some(UnderTrial { loaded, trial, since: tokio::time::Instant::now(), in_force: false });
    }

    /// Whether a trial is on that has put nothing in force yet.
    fn is_undecided(&self) -> bool {
        self.adapters.under_trial.as_ref().is_some_and(|under_trial| !under_trial.in_force)
    }

    /// Whether an adapter in force has still to show itself.
    pub(super) fn is_trying(&self) -> bool {
        self.adapters.under_trial.is_some()
    }

    /// A worker has tried the new adapter.
    pub(super) async fn judge(&mut self, verdict: Verdict) {
        let Some(under_trial) = self.adapters.under_trial.take() else { return };
        match verdict {
            Verdict::Passed => {
                if !under_trial.in_force {
                    self.activate(under_trial.loaded).await;
                }
                let InForce { adapter, state, .. } = &*under_trial.trial.candidate;
                self.open_with(adapter, state);
            }
            Verdict::Refused(why) => {
                self.end_trial();
                let failure = Failure::new(FailureKind::Adapter, why);
                if under_trial.in_force {
                    self.roll_back(&failure).await;
                } else {
                    self.refuse(Some(&under_trial.loaded), &failure).await;
                }
            }
        }
    }

    /// With nothing due there is nothing to try it on.
    async fn end_idle_trial(&mut self) {
        let Some(under_trial) = &mut self.adapters.under_trial else { return };
        if under_trial.since.elapsed() < TRIAL_WAIT || under_trial.trial.is_taken() {
            return;
        }
        under_trial.in_force = true;
        let loaded = under_trial.loaded.clone();
        self.activate(loaded).await;
    }

    async fn activate(&mut self, loaded: Loaded) {
        tracing::info!(target_name = %self.target.spec.name, sha256 = loaded.sha256(), "new adapter in force");
        if let Some(old) = self.adapters.current.replace(loaded) {
            self.adapters.previous = Some((old, tokio::time::Instant::now()));
        }
        self.record_in_force().await;
        self.note(TargetState::Up, BreakerState::Closed, None, None).await;
    }

    /// Lets deliveries go on through this adapter, where they go on at all.
    fn open_with(&self, adapter: &Arc<Adapter>, state: &[u8]) {
        if matches!(*self.gate.borrow(), Gate::Open(_)) {
            let in_force = InForce { adapter: adapter.clone(), state: state.to_vec(), trial: None };
            self.gate.send_replace(Gate::Open(Arc::new(in_force)));
        }
    }

    /// The target failed or was paused while a trial was on: what is not in force yet is looked at again when it is back.
    pub(super) fn forget_trial(&mut self) {
        if let Some(under_trial) = self.adapters.under_trial.take()
            && !under_trial.in_force
        {
            self.adapters.stamp = None;
        }
        self.end_trial();
    }

    fn end_trial(&self) {
        let gate = self.gate.borrow().clone();
        if let Gate::Open(old) = gate
            && old.trial.is_some()
        {
            self.open_with(&old.adapter, &old.state);
        }
    }

    /// Other hosts have put another adapter in force, or a person has rolled it back: this host takes it up too.
    async fn follow(&mut self, wanted: &str) {
        let is_current = self.adapters.current.as_ref().is_some_and(|current| current.sha256() == wanted);
        if is_current || self.adapters.not_followed.as_deref() == Some(wanted) {
            return;
        }
        let taken = match self.load_kept(wanted).await {
            Ok(loaded) => self.check(&loaded.adapter).await.map(|report| (loaded, report)),
            Err(failure) => Err(failure),
        };
        match taken {
            Ok((loaded, report)) => {
                tracing::info!(target_name = %self.target.spec.name, sha256 = wanted, "adapter of the other hosts in force");
                self.adapters.not_followed = None;
                self.adapters.under_trial = None;
                self.adapters.previous = None;
                self.adapters.current = Some(loaded.clone());
                self.put_in_force(loaded.adapter, report).await;
            }
            Err(failure) => {
                tracing::error!(target_name = %self.target.spec.name, sha256 = wanted, error = %failure.message, "the adapter of the other hosts cannot be used here");
                self.adapters.not_followed = Some(wanted.to_owned());
            }
        }
    }

    /// An adapter that took another's place broke off: the one before comes back. `false` when there is none.
    pub(super) async fn roll_back(&mut self, failure: &Failure) -> bool {
        let Some((old, since)) = self.adapters.previous.take() else { return false };
        if failure.kind != FailureKind::Adapter || since.elapsed() > PROBATION {
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
            && let Err(error) = self.store.record_rejected_adapter(&self.news(loaded, Some(&failure.message))).await
        {
            tracing::warn!(target_name = %self.target.spec.name, %error, "cannot record that an adapter was refused");
        }
        let message = format!("new adapter refused, the old one goes on: {}", failure.message);
        let failure = Failure::new(failure.kind, message);
        self.note(TargetState::Up, BreakerState::Closed, Some(&failure), None).await;
    }

    /// Tells the store what is in force here.
    pub(super) async fn record_in_force(&self) {
        let Some(current) = &self.adapters.current else { return };
        if let Err(error) = self.store.activate_adapter(&self.news(current, None), &current.bytes).await {
            tracing::warn!(target_name = %self.target.spec.name, %error, "cannot record which adapter is in force");
        }
    }

    fn news<'a>(&'a self, loaded: &'a Loaded, reason: Option<&'a str>) -> AdapterEvent<'a> {
        let descriptor = loaded.adapter.descriptor();
        AdapterEvent {
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

    pub(super) async fn wish(&self) -> Option<DesiredState> {
        match self.store.desired_state(&self.target.spec.name).await {
            Ok(wish) => Some(wish),
            Err(error) => {
                tracing::debug!(%error, "cannot read what is wanted of the target");
                None
            }
        }
    }

    /// Whether other hosts are at work on this store.
    async fn has_company(&self) -> bool {
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
