//! Decides which adapter a target uses: the file's, the one that other hosts of this store use, or the previous one.
//!
//! A new file is loaded and checked, and becomes a canary (`canary.rs`). A canary that passes is activated and recorded
//! in the store; the other hosts then adopt it from there. One that fails more than the old one is rejected. One that
//! writes something else is held (`holding.rs`). An adapter that crashes within the rollback window is rolled back. A
//! rejected or rolled back one stays out until there is another file or an operator asks (`host plugin reload`). Calls
//! under way end on the adapter that they began with.

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
use crate::plugin::{Adapter, Runtime};
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
    pub(super) bytes: Arc<Vec<u8>>,
}

impl Loaded {
    pub(super) fn sha256(&self) -> &str {
        self.adapter.sha256()
    }
}

/// A canary under way.
pub(super) struct CanaryRun {
    pub(super) loaded: Loaded,
    pub(super) canary: Arc<Canary>,
    since: Instant,
    /// It was activated on its check, and has delivered nothing yet.
    pub(super) is_active: bool,
}

/// The adapters of one target.
pub(super) struct AdapterSwap {
    pub(super) control: Arc<TargetControl>,
    pub(super) runtime: Arc<Runtime>,
    demand: Arc<Demand>,
    pub(super) current: Option<Loaded>,
    /// The adapter that the current one replaced, and when.
    pub(super) previous: Option<(Loaded, Instant)>,
    canary_run: Option<CanaryRun>,
    stamp: FileStamp,
    reloads_seen: Option<i64>,
    /// An adapter of other hosts that this one could not adopt; kept so that this is logged once.
    not_adopted: Option<String>,
    pub(super) stop: CancellationToken,
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

    /// The adapter in use. The first one is the file's, or the store's in four cases: other hosts run another one, the
    /// file's was rolled back, the file's writes something else, or the file cannot be used.
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
        let Some(desired) = desired else { return file };
        let Some(active) = desired.adapter_sha256.clone() else { return file };
        let (rejected, held) = (&desired.rejected_sha256, &desired.held_sha256);
        let is_held = file.as_ref().is_ok_and(|loaded| held.as_deref() == Some(loaded.sha256()));
        let why = match &file {
            Ok(loaded) if loaded.sha256() == active => return file,
            Ok(_) if is_held => "the file's adapter is held, since it writes something else".to_owned(),
            Ok(loaded) if self.is_rolled_back(loaded, rejected.as_deref()).await => {
                "the file's adapter was rolled back".to_owned()
            }
            Ok(loaded) if !self.other_hosts_running().await => {
                let wants_comparison = self.wants_comparison(loaded, &desired);
                return if wants_comparison { self.compared_at_start(file?, &active).await } else { file };
            }
            Ok(_) => "other hosts use another adapter than the file's".to_owned(),
            Err(failure) => failure.message.clone(),
        };
        match self.load_kept(&active).await {
            Ok(kept) => {
                tracing::warn!(target_name = %self.control.name(), sha256 = active, why, "adapter taken from the store");
                Ok(kept)
            }
            Err(failure) if is_held => Err(Failure::new(
                failure.kind,
                format!(
                    "{why}, and the active one cannot be used: {}; fix: put its file back, or `host plugin accept --target {}`",
                    failure.message,
                    self.control.name()
                ),
            )),
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
            self.consider_file(&desired).await;
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
        self.consider_file(&desired).await;
    }

    /// Makes the file's adapter a canary, unless it is the current one or is held.
    async fn consider_file(&mut self, desired: &DesiredState) {
        let loaded = match self.load_file().await {
            Ok(loaded) => loaded,
            Err(_) if self.stop.is_cancelled() => return,
            Err(failure) => return self.reject(None, &failure).await,
        };
        if !self.is_let_through(&loaded, desired).await {
            return;
        }
        if self.current.as_ref().is_some_and(|current| current.sha256() == loaded.sha256()) {
            return;
        }
        if self.is_rolled_back(&loaded, desired.rejected_sha256.as_deref()).await {
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
        let wants_comparison = self.wants_comparison(&loaded, desired);
        let Some(OpenGate { active, .. }) = self.control.open_gate() else {
            // A paused target has no deliveries for a canary.
            if let Err(failure) = self.activate_compared(loaded, report.state, wants_comparison).await {
                tracing::debug!(target_name = %self.control.name(), error = %failure.message, "not compared yet");
                self.forget_file();
            }
            return;
        };
        // The new canary is compared with the previous one if that was activated and has delivered nothing yet.
        let active = self.canary_run.take().map_or(active, |activated| activated.canary.candidate.clone());
        let candidate = self.control.checked(loaded.adapter.clone(), report.state).await;
        let canary = Arc::new(Canary::new(candidate, wants_comparison));
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
                if run.is_active || self.replace_current(run.loaded).await {
                    self.control.deliver_through(run.canary.candidate.clone());
                } else {
                    self.end_canary();
                }
            }
            CanaryResult::Held(differences) => {
                self.end_canary();
                self.hold(run.loaded, run.is_active, &differences).await;
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

    /// Without due deliveries the canary gets no batch. What it writes is compared for deliveries of before.
    async fn activate_idle_canary(&mut self) {
        let Some(run) = &self.canary_run else { return };
        if run.since.elapsed() < CANARY_WAIT || run.canary.is_taken() {
            return;
        }
        let canary = Arc::clone(&run.canary);
        if !self.passes_on_recent_changes(&canary).await {
            return;
        }
        let Some(run) = &mut self.canary_run else { return };
        run.is_active = true;
        let loaded = run.loaded.clone();
        if !self.replace_current(loaded).await {
            self.canary_run = None;
            self.end_canary();
        }
    }

    /// Activates an adapter; `false` while it is held.
    async fn replace_current(&mut self, loaded: Loaded) -> bool {
        if !self.record_activation(&loaded).await {
            return false;
        }
        tracing::info!(target_name = %self.control.name(), sha256 = loaded.sha256(), "new adapter active");
        if let Some(old) = self.current.replace(loaded) {
            self.previous = Some((old, Instant::now()));
        }
        self.control.record_check_passed(None, None).await;
        true
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

    pub(super) async fn reject(&self, loaded: Option<&Loaded>, failure: &Failure) {
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
        if let Some(current) = &self.current {
            self.record_activation(current).await;
        }
    }

    /// Records that an adapter is active; `false` when it is held, perhaps by another host.
    pub(super) async fn record_activation(&self, loaded: &Loaded) -> bool {
        let target_name = self.control.name();
        match self.control.store.activate_adapter(&self.event(loaded, None), &loaded.bytes).await {
            Ok(true) => true,
            Ok(false) => {
                tracing::info!(%target_name, sha256 = loaded.sha256(), "adapter not activated: it is held");
                false
            }
            Err(error) => {
                tracing::warn!(%target_name, %error, "cannot record which adapter is active");
                true
            }
        }
    }

    pub(super) fn event<'a>(&'a self, loaded: &'a Loaded, reason: Option<&'a str>) -> AdapterEvent<'a> {
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
