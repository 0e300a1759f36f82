//! Decides which adapter a target uses: the file's, the one that other hosts of this store use, or the previous one.
//!
//! A new file is loaded and checked, and becomes a canary (`canary.rs`). A canary that passes is activated and recorded
//! in the store; the other hosts then adopt it from there. One that fails more than the old one is rejected. An adapter
//! that crashes within the rollback window is rolled back. A rejected or rolled back one stays out until there is
//! another file or an operator asks (`host plugin reload`). Calls under way end on the adapter that they began with.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::canary::{Canary, CanaryResult};
use super::control::TargetControl;
use super::demand::Demand;
use super::gate::{Gate, OpenGate};
use crate::domain::change::{Failure, FailureKind};
use crate::plugin::{Adapter, PluginError, Runtime, read_component};
use crate::store::{AdapterEvent, DesiredState};

/// When nothing was due for this long, the canary is activated after its check alone. Its first deliveries are still
/// compared with the old adapter's.
const CANARY_WAIT: Duration = Duration::from_millis(1_500);

/// An adapter that crashes within this time after its activation is rolled back.
const ROLLBACK_WINDOW: Duration = Duration::from_secs(600);

/// Size and time of the adapter's file: when they change, it is read again.
type FileStamp = Option<(u64, SystemTime)>;

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
    since: Instant,
    /// It was activated on its check, and has delivered nothing yet.
    is_active: bool,
}

/// The adapters of one target.
pub(super) struct AdapterSwap {
    control: Arc<TargetControl>,
    runtime: Arc<Runtime>,
    demand: Arc<Demand>,
    current: Option<Loaded>,
    /// The adapter that the current one replaced, and when.
    previous: Option<(Loaded, Instant)>,
    canary_run: Option<CanaryRun>,
    stamp: FileStamp,
    reloads_seen: Option<i64>,
    /// An adapter of other hosts that this one could not adopt; kept so that this is logged once.
    not_adopted: Option<String>,
    stop: CancellationToken,
}

impl AdapterSwap {
    /// What is being compiled at `stop` is given up.
    pub(super) fn new(
        control: Arc<TargetControl>,
        runtime: Arc<Runtime>,
        demand: Arc<Demand>,
        stop: CancellationToken,
    ) -> Self {
        Self {
            control,
            runtime,
            demand,
            stop,
            current: None,
            previous: None,
            canary_run: None,
            stamp: None,
            reloads_seen: None,
            not_adopted: None,
        }
    }

    /// The adapter in use. The first one is the file's, or the store's in three cases: other hosts run another one, the
    /// file's was rolled back, or the file cannot be used.
    pub(super) async fn current(&mut self) -> Result<Loaded, Failure> {
        if let Some(current) = &self.current {
            return Ok(current.clone());
        }
        let first = self.first_adapter().await?;
        self.current = Some(first.clone());
        Ok(first)
    }

    /// Makes the next [`AdapterSwap::current`] begin anew.
    pub(super) fn forget_current(&mut self) {
        self.current = None;
    }

    async fn first_adapter(&mut self) -> Result<Loaded, Failure> {
        self.stamp = file_stamp(&self.control.target().spec.adapter).await;
        let desired = self.control.desired_state().await;
        self.reloads_seen = desired.as_ref().map(|desired| desired.reload_requests);
        let file = self.load_file().await;
        if self.stop.is_cancelled() {
            return file;
        }
        let Some(DesiredState { adapter_sha256: Some(active), rejected_sha256: rejected, .. }) = desired else {
            return file;
        };
        let why = match &file {
            Ok(loaded) if loaded.sha256() == active => return file,
            Ok(loaded) if self.is_rolled_back(loaded, rejected.as_deref()).await => {
                "the file's adapter was rolled back".to_owned()
            }
            Ok(_) if !self.other_hosts_running().await => return file,
            Ok(_) => "other hosts use another adapter than the file's".to_owned(),
            Err(failure) => failure.message.clone(),
        };
        match self.load_kept(&active).await {
            Ok(kept) => {
                tracing::warn!(target_name = %self.control.name(), sha256 = active, why, "adapter taken from the store");
                Ok(kept)
            }
            Err(failure) => {
                tracing::warn!(target_name = %self.control.name(), error = %failure.message, "the store's adapter cannot be used");
                file
            }
        }
    }

    /// Checks whether another adapter is wanted: by the store, by an operator, or by a new file.
    pub(super) async fn look_for_another(&mut self) {
        if self.is_undecided() {
            return self.activate_idle_canary().await;
        }
        let stamp = file_stamp(&self.control.target().spec.adapter).await;
        let has_new_file = stamp != self.stamp && stamp.is_some();
        let desired = self.control.desired_state().await.unwrap_or_default();
        let is_requested = self.reloads_seen.is_some_and(|seen| seen < desired.reload_requests);
        self.reloads_seen = Some(desired.reload_requests);
        if has_new_file || is_requested {
            self.stamp = stamp;
            self.consider_file(desired.rejected_sha256.as_deref()).await;
        } else if let Some(wanted) = desired.adapter_sha256 {
            self.adopt_shared_adapter(&wanted).await;
        }
    }

    /// Reads the file again although nothing shows that it changed (SIGHUP).
    pub(super) async fn reload(&mut self) {
        if self.is_undecided() {
            return;
        }
        self.stamp = file_stamp(&self.control.target().spec.adapter).await;
        let desired = self.control.desired_state().await.unwrap_or_default();
        self.consider_file(desired.rejected_sha256.as_deref()).await;
    }

    /// Makes the file's adapter a canary, unless it is the current one.
    async fn consider_file(&mut self, rejected: Option<&str>) {
        let loaded = match self.load_file().await {
            Ok(loaded) => loaded,
            Err(_) if self.stop.is_cancelled() => return,
            Err(failure) => return self.reject(None, &failure).await,
        };
        if self.current.as_ref().is_some_and(|current| current.sha256() == loaded.sha256()) {
            return;
        }
        if self.is_rolled_back(&loaded, rejected).await {
            let failure = Failure::new(
                FailureKind::Adapter,
                "it was rolled back: put another file in its place, or run `host plugin reload`",
            );
            return self.reject(None, &failure).await;
        }
        let report = match self.control.check(&loaded.adapter).await {
            Ok(report) => report,
            Err(failure) => return self.reject(Some(&loaded), &failure).await,
        };
        let Some(OpenGate { active, .. }) = self.control.open_gate() else {
            // A paused target has no deliveries for a canary.
            self.current = Some(loaded);
            return self.record_active().await;
        };
        // The new canary is compared with the previous one if that was activated and has delivered nothing yet.
        let active = self.canary_run.take().map_or(active, |activated| activated.canary.candidate.clone());
        let candidate = self.control.checked(loaded.adapter.clone(), report.state).await;
        let canary = Arc::new(Canary::new(candidate));
        self.control.set_gate(Gate::Open(self.control.opened(active, Some(canary.clone()))));
        self.demand.notify_pending();
        tracing::debug!(target_name = %self.control.name(), sha256 = loaded.sha256(), "canary begun");
        self.canary_run = Some(CanaryRun { loaded, canary, since: Instant::now(), is_active: false });
    }

    /// Whether an adapter was rolled back, by the last roll-back or by one in a row before it: the file may still hold
    /// the broken adapter when an operator has rolled back further. `rejected` is the last one.
    async fn is_rolled_back(&self, loaded: &Loaded, rejected: Option<&str>) -> bool {
        let Some(rejected) = rejected else { return false };
        if rejected == loaded.sha256() {
            return true;
        }
        match self.control.store.rolled_back_adapters(self.control.name().as_str()).await {
            Ok(all) => all.iter().any(|sha256| sha256 == loaded.sha256()),
            Err(error) => {
                tracing::warn!(target_name = %self.control.name(), %error, "cannot read which adapters were rolled back");
                false
            }
        }
    }

    /// Whether a canary is under way that was not activated yet.
    fn is_undecided(&self) -> bool {
        self.canary_run.as_ref().is_some_and(|run| !run.is_active)
    }

    /// Whether a canary is under way, activated or not.
    pub(super) fn has_canary(&self) -> bool {
        self.canary_run.is_some()
    }

    /// Activates or rejects the canary that a worker has tried. A result that came too late, of a canary that another
    /// one has replaced, is ignored.
    pub(super) async fn judge(&mut self, tried: &Arc<Canary>, result: CanaryResult) {
        let Some(run) = self.canary_run.take_if(|run| Arc::ptr_eq(&run.canary, tried)) else { return };
        match result {
            CanaryResult::Passed => {
                if !run.is_active {
                    self.replace_current(run.loaded).await;
                }
                self.control.deliver_through(run.canary.candidate.clone());
            }
            CanaryResult::Rejected(why) => {
                self.end_canary();
                let failure = Failure::new(FailureKind::Adapter, why);
                if run.is_active {
                    self.roll_back(&failure).await;
                } else {
                    self.reject(Some(&run.loaded), &failure).await;
                }
            }
        }
    }

    /// Without due deliveries the canary gets no batch.
    async fn activate_idle_canary(&mut self) {
        let Some(run) = &mut self.canary_run else { return };
        if run.since.elapsed() < CANARY_WAIT || run.canary.is_taken() {
            return;
        }
        run.is_active = true;
        let loaded = run.loaded.clone();
        self.replace_current(loaded).await;
    }

    async fn replace_current(&mut self, loaded: Loaded) {
        tracing::info!(target_name = %self.control.name(), sha256 = loaded.sha256(), "new adapter active");
        if let Some(old) = self.current.replace(loaded) {
            self.previous = Some((old, Instant::now()));
        }
        self.record_active().await;
        self.control.record_check_passed(None, None).await;
    }

    /// Has the file read again at the next look, although nothing shows that it changed.
    pub(super) fn forget_file(&mut self) {
        self.stamp = None;
    }

    /// Drops the canary when the target fails or is paused. An adapter that was not activated yet becomes a canary
    /// again later.
    pub(super) fn forget_canary(&mut self) {
        if self.canary_run.take().is_some_and(|run| !run.is_active) {
            self.stamp = None;
        }
        self.end_canary();
    }

    fn end_canary(&self) {
        if let Some(OpenGate { active, canary: Some(_), .. }) = self.control.open_gate() {
            self.control.deliver_through(active);
        }
    }

    /// Adopts the adapter that other hosts have activated, or that an operator has rolled back to.
    async fn adopt_shared_adapter(&mut self, wanted: &str) {
        let is_current = self.current.as_ref().is_some_and(|current| current.sha256() == wanted);
        if is_current || self.not_adopted.as_deref() == Some(wanted) {
            return;
        }
        let checked = match self.load_kept(wanted).await {
            Ok(loaded) => self.control.check(&loaded.adapter).await.map(|report| (loaded, report)),
            Err(failure) => Err(failure),
        };
        match checked {
            Ok((loaded, report)) => {
                tracing::info!(target_name = %self.control.name(), sha256 = wanted, "adapter of the other hosts active");
                self.not_adopted = None;
                self.canary_run = None;
                self.previous = None;
                self.current = Some(loaded.clone());
                self.control.activate(loaded.adapter, report).await;
            }
            Err(_) if self.stop.is_cancelled() => {}
            Err(failure) => {
                tracing::error!(target_name = %self.control.name(), sha256 = wanted, error = %failure.message, "the adapter of the other hosts cannot be used here");
                self.not_adopted = Some(wanted.to_owned());
            }
        }
    }

    /// Makes the previous adapter current again after a crash within the rollback window; `false` when there is none.
    pub(super) async fn roll_back(&mut self, failure: &Failure) -> bool {
        let Some((old, since)) = self.previous.take() else { return false };
        if failure.kind != FailureKind::Adapter || since.elapsed() > ROLLBACK_WINDOW {
            self.previous = Some((old, since));
            return false;
        }
        let Some(broken) = self.current.replace(old.clone()) else { return false };
        tracing::error!(target_name = %self.control.name(), sha256 = broken.sha256(), error = %failure.message, "adapter rolled back");
        let event = self.event(&old, Some(&failure.message));
        if let Err(error) = self.control.store.roll_adapter_back(broken.sha256(), &event).await {
            tracing::warn!(target_name = %self.control.name(), %error, "cannot record that the adapter was rolled back");
        }
        true
    }

    async fn reject(&self, loaded: Option<&Loaded>, failure: &Failure) {
        tracing::error!(target_name = %self.control.name(), error = %failure.message, "adapter not swapped");
        if let Some(loaded) = loaded
            && let Err(error) =
                self.control.store.record_rejected_adapter(&self.event(loaded, Some(&failure.message))).await
        {
            tracing::warn!(target_name = %self.control.name(), %error, "cannot record that an adapter was rejected");
        }
        let message = format!("new adapter rejected; the previous one stays active: {}", failure.message);
        let failure = Failure::new(failure.kind, message);
        self.control.record_check_passed(Some(&failure), None).await;
    }

    /// Records in the store which adapter is active here.
    pub(super) async fn record_active(&self) {
        let Some(current) = &self.current else { return };
        if let Err(error) = self.control.store.activate_adapter(&self.event(current, None), &current.bytes).await {
            tracing::warn!(target_name = %self.control.name(), %error, "cannot record which adapter is active");
        }
    }

    fn event<'a>(&'a self, loaded: &'a Loaded, reason: Option<&'a str>) -> AdapterEvent<'a> {
        let descriptor = loaded.adapter.descriptor();
        AdapterEvent {
            target: self.control.name(),
            name: &descriptor.name,
            version: &descriptor.version,
            sha256: loaded.adapter.sha256(),
            reason,
            host: &self.control.host,
        }
    }

    async fn load_file(&self) -> Result<Loaded, Failure> {
        let target = self.control.target();
        let path = &target.spec.adapter;
        let bytes =
            read_component(path).await.map_err(|error| Failure::new(FailureKind::Adapter, error.to_string()))?;
        let kept = bytes.clone();
        self.loaded(self.runtime.load_file(path, bytes, target.world()), kept).await
    }

    async fn load_kept(&self, sha256: &str) -> Result<Loaded, Failure> {
        let unavailable = |reason: String| Failure::new(FailureKind::Adapter, reason);
        let bytes = self.control.store.adapter_bytes(sha256).await.map_err(|error| unavailable(error.to_string()))?;
        let bytes = bytes.ok_or_else(|| unavailable(format!("the store does not hold the adapter sha256:{sha256}")))?;
        let (name, kept) = (format!("the store's adapter sha256:{sha256}"), bytes.clone());
        let world = self.control.target().world();
        let loaded = self.loaded(self.runtime.load_bytes(&name, bytes, world), kept).await?;
        if loaded.sha256() == sha256 {
            return Ok(loaded);
        }
        Err(unavailable(format!("the store's adapter sha256:{sha256} is damaged: it has another digest")))
    }

    /// Waits for an adapter, which must take every type of this target. A host that is stopping waits no longer:
    /// compiling may take minutes, and ends when nobody waits for it.
    async fn loaded(
        &self,
        loading: impl Future<Output = Result<Arc<Adapter>, PluginError>>,
        bytes: Vec<u8>,
    ) -> Result<Loaded, Failure> {
        let failed = |reason: String| Failure::new(FailureKind::Adapter, reason);
        let loaded = self.stop.run_until_cancelled(loading).await;
        let adapter = loaded.ok_or_else(|| failed("the host is stopping".to_owned()))?;
        let adapter = adapter.map_err(|error| failed(error.to_string()))?;
        self.control.target().accept(&adapter)?;
        Ok(Loaded { adapter, bytes: Arc::new(bytes) })
    }

    async fn other_hosts_running(&self) -> bool {
        self.control.store.other_hosts(&self.control.host).await.unwrap_or(0) > 0
    }

    /// Whether the adapter's file has changed since it was read.
    pub(super) async fn has_new_file(&self) -> bool {
        file_stamp(&self.control.target().spec.adapter).await != self.stamp
    }
}

async fn file_stamp(path: &Path) -> FileStamp {
    let metadata = tokio::fs::metadata(path).await.ok()?;
    Some((metadata.len(), metadata.modified().ok()?))
}
