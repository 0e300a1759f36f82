//! The supervisor of one target: keeps an adapter active, checks the target, holds its breaker, and opens or shuts the
//! gate that the workers pass. Which adapter is active, `swap.rs` decides.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::breaker::Breaker;
use super::control::TargetControl;
use super::events::{Handled, TargetEvent};
use super::gate::Gate;
use super::options::CurrentSettings;
use super::swap::AdapterSwap;
use crate::domain::change::Failure;
use crate::store::{BreakerState, TargetState};

pub(super) struct Supervisor {
    pub(super) control: Arc<TargetControl>,
    pub(super) swap: AdapterSwap,
    pub(super) events: mpsc::Receiver<TargetEvent>,
    pub(super) stop: CancellationToken,
    pub(super) breaker: Breaker,
    /// Change when an operator has asked for a reload (SIGHUP): the adapter's file is read again too.
    pub(super) settings: CurrentSettings,
    /// The number of probes that operators had requested when this host last read it; `None` before the first time.
    pub(super) probes_seen: Option<i64>,
    /// A delivery was confirmed since the last tick.
    pub(super) has_delivered: bool,
}

/// The event that ended a wait.
enum Woken {
    Event(TargetEvent),
    Tick,
    Reload,
    Stop,
}

/// Why the gate does not stay open.
enum Ended {
    Failed(Failure, Handled),
    /// Time to check again, or to stop.
    Recheck,
}

impl Supervisor {
    pub(super) async fn run(mut self) {
        // The failure that a worker waits for. It is dropped as soon as the gate has been set.
        let mut handled: Option<Handled> = None;
        while !self.stop.is_cancelled() {
            self.control.take_up_reload();
            let current = match self.swap.current().await {
                Ok(current) => current,
                Err(_) if self.stop.is_cancelled() => return,
                Err(failure) => {
                    self.back_off(failure, handled.take()).await;
                    continue;
                }
            };
            if self.probes_seen.is_none() {
                self.is_probe_requested().await;
            }
            if let Some(failure) = self.control.failure() {
                self.control.record(TargetState::Down, BreakerState::HalfOpen, Some(&failure), None).await;
            }
            match self.control.check(&current.adapter).await {
                Ok(report) => {
                    self.swap.record_active().await;
                    self.control.activate(current.adapter, report).await;
                    handled = None;
                }
                Err(failure) => {
                    self.back_off(failure, handled.take()).await;
                    continue;
                }
            }
            let ended = self.supervise().await;
            self.swap.forget_canary();
            if let Ended::Failed(failure, waiting) = ended
                && !self.stop.is_cancelled()
            {
                if self.swap.roll_back(&failure).await {
                    // Until the previous adapter is checked and active.
                    handled = Some(waiting);
                } else {
                    self.report_down(&failure);
                    self.control.disprove(failure.clone());
                    self.back_off(failure, Some(waiting)).await;
                }
            }
        }
    }

    /// While the gate is open: waits until the target fails, and meanwhile swaps adapters and follows operators'
    /// pauses.
    async fn supervise(&mut self) -> Ended {
        let checked = Instant::now();
        let every = Duration::from_millis(self.control.options().watch_ms);
        let mut tick = checked + every;
        loop {
            // A busy target reports continuously, which must not delay file changes and operators' requests.
            let left = tick.saturating_duration_since(Instant::now());
            let woken = if left.is_zero() { Woken::Tick } else { self.wait(left).await };
            match woken {
                Woken::Event(TargetEvent::Failed { failure, handled }) => return Ended::Failed(failure, handled),
                Woken::Event(TargetEvent::Delivered) => {
                    self.breaker.succeeded();
                    self.control.prove().await;
                    self.has_delivered = true;
                }
                Woken::Event(TargetEvent::CanaryTried(canary, result)) => self.swap.judge(&canary, result).await,
                Woken::Reload if self.control.reconfigured().is_some() => {
                    self.swap.forget_file();
                    return Ended::Recheck;
                }
                Woken::Reload => self.swap.reload().await,
                Woken::Stop => return Ended::Recheck,
                Woken::Tick => {
                    tick = Instant::now() + every;
                    self.swap.look_for_another().await;
                    if self.follow_pause().await || self.is_probe_requested().await {
                        return Ended::Recheck;
                    }
                    self.prove_when_idle().await;
                    self.correct_report().await;
                    let recheck = Duration::from_millis(self.control.options().recheck_ms);
                    if checked.elapsed() > recheck && !self.swap.has_canary() {
                        return Ended::Recheck;
                    }
                }
            }
        }
    }

    /// Shuts the gate for the breaker's pause, or until its adapter's file changes.
    async fn back_off(&mut self, failure: Failure, handled: Option<Handled>) {
        let policy = self.control.options().breaker;
        let pause = self.breaker.failed(&policy, failure.retry_after_ms, rand::random());
        self.shut(failure, pause).await;
        drop(handled);
        if self.wait_for_file_or(pause).await {
            self.swap.forget_current();
        }
    }

    /// With nothing due there, as when other hosts delivered what failed here, no delivery can prove the target: its
    /// check counts.
    async fn prove_when_idle(&self) {
        if self.control.unproven().is_none() || self.control.open_gate().is_none() {
            return;
        }
        let (name, options) = (self.control.name(), self.control.options());
        match self.control.store.has_due_work(&[name.as_str()], &options.fifo_types).await {
            Ok(true) => {}
            Ok(false) => self.control.prove().await,
            Err(error) => tracing::debug!(target_name = %name, %error, "cannot see whether anything is due"),
        }
    }

    /// Reports that the target is up where deliveries show it and another host has reported that it is down: `host
    /// status` shows the last report.
    async fn correct_report(&mut self) {
        if std::mem::take(&mut self.has_delivered)
            && self.control.open_gate().is_some()
            && self.control.desired_state().await.is_some_and(|desired| desired.is_reported_down)
        {
            self.control.record(TargetState::Up, BreakerState::Closed, None, None).await;
        }
    }

    /// Whether an operator has requested a probe since the last time.
    async fn is_probe_requested(&mut self) -> bool {
        let Some(desired) = self.control.desired_state().await else { return false };
        self.probes_seen.replace(desired.probe_requests).is_some_and(|seen| seen < desired.probe_requests)
    }

    /// Pauses or resumes the target as an operator wishes; `true` when it may go on after a check. Also takes over what
    /// other hosts have learned.
    async fn follow_pause(&self) -> bool {
        let Some(desired) = self.control.desired_state().await else { return false };
        self.control.follow_learned(&desired).await;
        match (desired.paused, self.control.is_paused()) {
            (true, false) => {
                tracing::info!(target_name = %self.control.name(), "target paused");
                self.control.set_gate(Gate::Paused);
                false
            }
            (false, true) => {
                tracing::info!(target_name = %self.control.name(), "target resumed");
                self.control.set_gate(Gate::Unknown);
                true
            }
            _ => false,
        }
    }

    /// Logs that the target is down, once for each reason of an outage.
    fn report_down(&self, failure: &Failure) {
        let is_known = self.control.failure().is_some_and(|known| known.message == failure.message);
        if !is_known {
            tracing::error!(target_name = %self.control.name(), kind = failure.kind.as_str(), error = %failure.message, "target is down");
        }
    }

    async fn shut(&self, failure: Failure, pause: Duration) {
        self.report_down(&failure);
        let pause_ms = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
        self.control.record(TargetState::Down, BreakerState::Open { pause_ms }, Some(&failure), None).await;
        self.control.set_gate(Gate::Shut(failure));
    }

    async fn wait(&mut self, limit: Duration) -> Woken {
        tokio::select! {
            biased;
            () = self.stop.cancelled() => Woken::Stop,
            Some(event) = self.events.recv() => Woken::Event(event),
            () = self.settings.changed() => Woken::Reload,
            () = tokio::time::sleep(limit) => Woken::Tick,
        }
    }

    /// Waits, at most until the adapter's file changes or must be read again; `true` then. Events of calls that were
    /// still under way report nothing new.
    async fn wait_for_file_or(&mut self, pause: Duration) -> bool {
        let until = Instant::now() + pause;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            match self.wait(left.min(Duration::from_millis(self.control.options().watch_ms))).await {
                Woken::Stop => return false,
                Woken::Event(_) => {}
                Woken::Reload => return true,
                Woken::Tick => {
                    if self.swap.has_new_file().await {
                        return true;
                    }
                    if self.is_probe_requested().await {
                        tracing::info!(target_name = %self.control.name(), "probe requested: checking the target now");
                        return false;
                    }
                }
            }
        }
    }
}
