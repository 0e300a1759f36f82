//! Holds an adapter that writes something else than the active one, until an operator accepts it.
//!
//! The hold is in the store, so that every host keeps to it, also after a restart. It ends when the adapter is accepted
//! (`host plugin accept`), when the file holds another one, and with `host plugin reload`, which has it compared anew.

use std::sync::Arc;

use super::canary::{CANARY_MAX, Canary, CanaryResult};
use super::comparing::{Conclusion, conclude};
use super::gate::OpenGate;
use super::swap::{AdapterSwap, Loaded};
use crate::domain::change::{Failure, FailureKind};
use crate::domain::effect_difference::EffectDifferences;
use crate::plugin::Adapter;
use crate::store::DesiredState;
use crate::target::{CheckedAdapter, Comparison};

impl AdapterSwap {
    /// Whether what an adapter writes must be compared before it is activated.
    pub(super) fn wants_comparison(&self, loaded: &Loaded, desired: &DesiredState) -> bool {
        self.control.options().compare_effects && desired.accepted_sha256.as_deref() != Some(loaded.sha256())
    }

    /// Whether the file's adapter may become a canary: not while it is held. With another one in the file the hold
    /// ends.
    pub(super) async fn is_let_through(&self, loaded: &Loaded, desired: &DesiredState) -> bool {
        let target_name = self.control.name();
        match desired.held_sha256.as_deref() {
            None => true,
            Some(held) if held == loaded.sha256() => {
                tracing::debug!(%target_name, sha256 = held, "the file's adapter is still held");
                false
            }
            Some(_) => {
                if let Err(error) = self.control.store.end_hold(target_name).await {
                    tracing::warn!(%target_name, %error, "cannot end the hold of an adapter that was replaced");
                }
                true
            }
        }
    }

    /// Holds an adapter. The previous one stays active, or becomes active again.
    pub(super) async fn hold(&mut self, loaded: Loaded, was_active: bool, differences: &EffectDifferences) {
        if was_active && let Some((old, _)) = self.previous.take() {
            self.current = Some(old);
        }
        let Some(previous) = &self.current else { return };
        let target_name = self.control.name();
        let reason = differences.to_string();
        let (held, old) = (self.event(&loaded, Some(&reason)), self.event(previous, Some("the new adapter is held")));
        match self.control.store.hold_adapter(&held, &old, differences).await {
            Ok(true) => {
                let sha256 = loaded.sha256();
                tracing::warn!(%target_name, sha256, %differences, "new adapter held: it writes something else");
            }
            Ok(false) => {}
            Err(error) => tracing::warn!(%target_name, %error, "cannot record that an adapter is held"),
        }
        // An earlier failure of another file has ended; `host status` shows the hold.
        self.control.record_check_passed(None, None).await;
    }

    /// Compares a canary for which nothing is due with the active adapter, for changes that were delivered before;
    /// `false` when it ended, or must be tried again.
    pub(super) async fn passes_on_recent_changes(&mut self, canary: &Arc<Canary>) -> bool {
        if !canary.wants_comparison() {
            return true;
        }
        // No worker gives it a batch meanwhile.
        let Some(OpenGate { active, .. }) = self.control.open_gate().filter(|_| canary.take()) else { return false };
        let comparison = self.compare_recent(&active, &canary.candidate).await;
        canary.put_back();
        match conclude(canary, comparison) {
            Conclusion::MayDeliver => true,
            Conclusion::TryAgain => false,
            Conclusion::Ends(result) => {
                self.judge(canary, result).await;
                false
            }
        }
    }

    /// The file's adapter, which was replaced while no host ran. If it fails its check, or writes something else than
    /// the one that was active: that one.
    pub(super) async fn compared_at_start(&mut self, loaded: Loaded, active: &str) -> Result<Loaded, Failure> {
        let kept = match self.load_kept(active).await {
            Ok(kept) => kept,
            Err(failure) => {
                let error = &failure.message;
                tracing::warn!(target_name = %self.control.name(), error, "the new adapter is compared with no other");
                return Ok(loaded);
            }
        };
        match self.control.check(&loaded.adapter).await {
            Ok(report) => {
                self.current = Some(kept.clone());
                let compared = self.activate_compared(loaded, report.state, true).await;
                let current = self.current.take();
                compared.map(|()| current.unwrap_or(kept))
            }
            Err(failure) if failure.kind == FailureKind::Adapter && !self.stop.is_cancelled() => {
                self.reject(Some(&loaded), &failure).await;
                Ok(kept)
            }
            // The target has to answer before they can be compared.
            Err(failure) => Err(failure),
        }
    }

    /// Activates an adapter that gets no canary, unless it writes something else for what was delivered before.
    ///
    /// # Errors
    /// The target's failure while they were compared: nothing was decided.
    pub(super) async fn activate_compared(
        &mut self,
        loaded: Loaded,
        state: Vec<u8>,
        wants_comparison: bool,
    ) -> Result<(), Failure> {
        let current = self.current.as_ref().filter(|_| wants_comparison).map(|current| Arc::clone(&current.adapter));
        if let Some(old) = current {
            let candidate = self.control.checked(Arc::clone(&loaded.adapter), state).await;
            match self.compare_without_deliveries(old, candidate).await? {
                CanaryResult::Passed => {}
                CanaryResult::Held(differences) => {
                    self.hold(loaded, false, &differences).await;
                    return Ok(());
                }
                CanaryResult::Rejected(why) => {
                    self.reject(Some(&loaded), &Failure::new(FailureKind::Adapter, why)).await;
                    return Ok(());
                }
            }
        }
        if self.record_activation(&loaded).await {
            self.current = Some(loaded);
        }
        Ok(())
    }

    /// Compares two adapters until that shows something. With an old one that does not work any more, as after a change
    /// of the target's tables, there is nothing to compare.
    ///
    /// # Errors
    /// When the target does not answer.
    async fn compare_without_deliveries(
        &self,
        old: Arc<Adapter>,
        candidate: Arc<CheckedAdapter>,
    ) -> Result<CanaryResult, Failure> {
        let old = match self.control.check(&old).await {
            Ok(report) => self.control.checked(old, report.state).await,
            Err(failure) => return without_old(failure),
        };
        let canary = Canary::new(candidate, true);
        loop {
            let comparison = match self.compare_recent(&old, &canary.candidate).await {
                Ok(comparison) => comparison,
                Err(failure) => return without_old(failure),
            };
            match conclude(&canary, Ok(comparison)) {
                Conclusion::Ends(result) => return Ok(result),
                Conclusion::MayDeliver => return Ok(CanaryResult::Passed),
                // It ends: a canary is held after some comparisons that showed nothing.
                Conclusion::TryAgain => {}
            }
        }
    }

    async fn compare_recent(&self, old: &CheckedAdapter, new: &CheckedAdapter) -> Result<Comparison, Failure> {
        let target_name = self.control.name();
        let changes = match self.control.store.recent_states(target_name, None, CANARY_MAX).await {
            Ok(states) => states.into_iter().map(|state| state.change).collect::<Vec<_>>(),
            Err(error) => {
                tracing::debug!(%target_name, %error, "cannot read what was delivered before");
                return Ok(Comparison::Inconclusive("what was delivered before cannot be read"));
            }
        };
        if changes.is_empty() {
            Ok(Comparison::Nothing)
        } else {
            self.control.target().compare(old, new, &changes).await
        }
    }
}

/// What follows when the old adapter failed where the new one has passed its check: later, if the target is away.
fn without_old(failure: Failure) -> Result<CanaryResult, Failure> {
    use FailureKind::{Delayed, Throttled, Transient, Unavailable};
    let is_away = matches!(failure.kind, Unavailable | Throttled | Delayed | Transient);
    if is_away { Err(failure) } else { Ok(CanaryResult::Passed) }
}
