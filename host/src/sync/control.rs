//! What the supervisor and the adapter swap of a target have in common: they set its gate and record its state in the
//! store.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::canary::Canary;
use super::gate::{Gate, OpenGate};
use super::options::{CurrentSettings, SyncOptions};
use crate::domain::change::{Failure, FindingLevel, Report};
use crate::domain::ids::TargetName;
use crate::plugin::Adapter;
use crate::store::{BreakerState, DesiredState, Store, TargetReport, TargetState};
use crate::target::{CheckedAdapter, Target};

pub(super) struct TargetControl {
    pub(super) name: TargetName,
    /// The target that is checked and that the gate opens with. Only the supervisor replaces it.
    pub(super) target: watch::Sender<Arc<Target>>,
    pub(super) store: Store,
    /// This host's id.
    pub(super) host: String,
    pub(super) settings: CurrentSettings,
    pub(super) gate: watch::Sender<Gate>,
    /// Why a delivery found that the target is down, until one works there. A check only reads: it cannot show that a
    /// target which refuses every write is up again.
    pub(super) unproven: Mutex<Option<Failure>>,
}

impl TargetControl {
    pub(super) fn name(&self) -> &TargetName {
        &self.name
    }

    pub(super) fn options(&self) -> Arc<SyncOptions> {
        self.settings.options()
    }

    pub(super) fn target(&self) -> Arc<Target> {
        self.target.borrow().clone()
    }

    /// The target as a reload has configured it, when that was not taken up yet.
    pub(super) fn reconfigured(&self) -> Option<Arc<Target>> {
        let wanted = self.settings.get().targets.get(&self.name).cloned()?;
        (!Arc::ptr_eq(&wanted, &self.target.borrow())).then_some(wanted)
    }

    /// Checks, and opens the gate with, the target as a reload has configured it. Batches under way end with the one
    /// that they began with.
    pub(super) fn take_up_reload(&self) {
        if let Some(wanted) = self.reconfigured() {
            tracing::debug!(target_name = %self.name, "settings of the target replaced");
            self.target.send_replace(wanted);
        }
    }

    pub(super) fn is_paused(&self) -> bool {
        matches!(*self.gate.borrow(), Gate::Paused)
    }

    /// The adapters that deliveries use now; `None` while the gate is shut.
    pub(super) fn open_gate(&self) -> Option<OpenGate> {
        self.gate.borrow().open().cloned()
    }

    /// Why the target is down, as the gate shows it, or as deliveries found it.
    pub(super) fn failure(&self) -> Option<Failure> {
        let shut = self.gate.borrow().failure().cloned();
        shut.or_else(|| self.unproven())
    }

    /// Why deliveries found the target down, while none has worked since.
    pub(super) fn unproven(&self) -> Option<Failure> {
        self.lock_unproven().clone()
    }

    /// A delivery found that the target is down.
    pub(super) fn disprove(&self, failure: Failure) {
        *self.lock_unproven() = Some(failure);
    }

    /// A delivery worked, or none is left to try: the target is up.
    pub(super) async fn prove(&self) {
        if self.lock_unproven().take().is_some() {
            tracing::info!(target_name = %self.name(), "target is up");
            self.record(TargetState::Up, BreakerState::Closed, None, None).await;
        }
    }

    fn lock_unproven(&self) -> MutexGuard<'_, Option<Failure>> {
        self.unproven.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set_gate(&self, gate: Gate) {
        self.gate.send_replace(gate);
    }

    /// Makes deliveries use this adapter, if the gate is open.
    pub(super) fn deliver_through(&self, active: Arc<CheckedAdapter>) {
        if self.open_gate().is_some() {
            self.set_gate(Gate::Open(self.opened(active, None)));
        }
    }

    /// The open gate of the target as it was checked.
    pub(super) fn opened(&self, active: Arc<CheckedAdapter>, canary: Option<Arc<Canary>>) -> OpenGate {
        OpenGate { target: self.target(), active, canary }
    }

    /// Checks the target with an adapter, and logs what was found.
    pub(super) async fn check(&self, adapter: &Adapter) -> Result<Report, Failure> {
        let report = self.target().check(adapter).await?;
        for finding in &report.findings {
            let name = self.name();
            match finding.level {
                FindingLevel::Ok => tracing::debug!(target_name = %name, finding = %finding.message, "check"),
                FindingLevel::Warning => tracing::warn!(target_name = %name, finding = %finding.message, "check"),
                FindingLevel::Problem => tracing::error!(target_name = %name, finding = %finding.message, "check"),
            }
        }
        Ok(report)
    }

    /// Opens the gate for an adapter whose check passed, unless the target is paused.
    pub(super) async fn activate(&self, adapter: Arc<Adapter>, report: Report) {
        if self.unproven().is_some() {
            tracing::debug!(target_name = %self.name(), found = %report.summary, "check passed, deliveries are tried");
        } else if self.open_gate().is_none() {
            tracing::info!(target_name = %self.name(), found = %report.summary, "target is up");
        }
        self.record_check_passed(None, Some(&report.summary)).await;
        // Read before the gate opens: a paused target gets not a single batch.
        let is_paused = match self.desired_state().await {
            Some(desired) => desired.paused,
            None => self.is_paused(),
        };
        let active = self.checked(adapter, report.state).await;
        self.set_gate(if is_paused { Gate::Paused } else { Gate::Open(self.opened(active, None)) });
    }

    /// An adapter that was just checked, with what any host has learned through it.
    pub(super) async fn checked(&self, adapter: Arc<Adapter>, state: Vec<u8>) -> Arc<CheckedAdapter> {
        let checked = Arc::new(CheckedAdapter::new(adapter, state));
        self.read_learned(&checked).await;
        checked
    }

    /// Takes over what another host has learned meanwhile.
    pub(super) async fn follow_learned(&self, desired: &DesiredState) {
        if let Some(OpenGate { active, .. }) = self.open_gate()
            && active.is_behind(desired.learned_basis.as_deref(), desired.learned_revision)
        {
            self.read_learned(&active).await;
        }
    }

    async fn read_learned(&self, checked: &CheckedAdapter) {
        match self.store.learned(self.name().as_str(), checked.basis()).await {
            Ok(Some(learned)) => checked.remember(learned.revision, learned.bytes),
            Ok(None) => {}
            Err(error) => tracing::debug!(target_name = %self.name(), %error, "what was learned cannot be read"),
        }
    }

    /// Records that the target answers: it is up, or still down while deliveries have to prove it.
    pub(super) async fn record_check_passed(&self, failure: Option<&Failure>, summary: Option<&str>) {
        match self.unproven() {
            None => self.record(TargetState::Up, BreakerState::Closed, failure, summary).await,
            Some(unproven) => {
                self.record(TargetState::Down, BreakerState::HalfOpen, Some(&unproven), summary).await;
            }
        }
    }

    /// Records the target's state in the store, for `host status`.
    pub(super) async fn record(
        &self,
        state: TargetState,
        breaker: BreakerState,
        failure: Option<&Failure>,
        summary: Option<&str>,
    ) {
        let report = TargetReport { name: self.name().as_str(), state, breaker, failure, summary };
        if let Err(error) = self.store.report_target(&report).await {
            tracing::warn!(target_name = %self.name(), %error, "cannot record the state of the target");
        }
    }

    /// The desired state of the target, set by operators and other hosts; `None` when the store cannot be read.
    pub(super) async fn desired_state(&self) -> Option<DesiredState> {
        match self.store.desired_state(self.name().as_str()).await {
            Ok(desired) => Some(desired),
            Err(error) => {
                tracing::debug!(target_name = %self.name(), %error, "cannot read the desired state of the target");
                None
            }
        }
    }
}
