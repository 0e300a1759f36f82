//! The supervisor of one target: it keeps an adapter in force, probes a target that failed, and opens or shuts the gate
//! through which the workers go. Which adapter that is, `swap.rs` decides.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::breaker::Breaker;
use super::handover::Handover;
use super::swap::Adapters;
use super::target::{SyncOptions, Target};
use super::trial::{Trial, Verdict};
use crate::domain::change::{Failure, FindingLevel, Report};
use crate::plugin::{Adapter, Runtime};
use crate::store::{BreakerState, Store, TargetReport, TargetState};

/// An adapter that may be used, with what its last check learnt.
pub(super) struct InForce {
    pub(super) adapter: Arc<Adapter>,
    pub(super) state: Vec<u8>,
    /// Another one, to be tried on a few deliveries.
    pub(super) trial: Option<Arc<Trial>>,
}

/// What the gate shows to the workers.
#[derive(Clone)]
pub(super) enum Gate {
    /// The target has not been looked at yet.
    Unknown,
    /// Go through, with this.
    Open(Arc<InForce>),
    /// Wait. Why, for people.
    Shut(Failure),
    /// Wait: a person has paused the target.
    Paused,
}

/// What workers tell the supervisor.
#[derive(Debug)]
pub(super) enum News {
    /// The target as a whole failed.
    Failed(Failure),
    /// A delivery worked.
    Delivered,
    /// The adapter on trial was tried.
    Tried(Verdict),
}

pub(super) struct Supervisor {
    pub(super) target: Arc<Target>,
    pub(super) runtime: Arc<Runtime>,
    pub(super) store: Store,
    pub(super) options: Arc<SyncOptions>,
    pub(super) gate: watch::Sender<Gate>,
    pub(super) news: mpsc::Receiver<News>,
    pub(super) stop: CancellationToken,
    pub(super) breaker: Breaker,
    pub(super) adapters: Adapters,
    /// Tells the claimers.
    pub(super) handover: Arc<Handover>,
    /// Changes when the adapter's file is to be read again (SIGHUP).
    pub(super) reload: watch::Receiver<u64>,
    /// How often an operator had asked for a look at the target when this host last looked; none before the first time.
    pub(super) probes_seen: Option<i64>,
}

/// What ended a wait.
enum Woken {
    News(News),
    Tick,
    Reload,
    Stop,
}

impl Supervisor {
    pub(super) async fn run(mut self) {
        while !self.stop.is_cancelled() {
            if self.adapters.current.is_none() {
                match self.first_adapter().await {
                    Ok(loaded) => self.adapters.current = Some(loaded),
                    Err(failure) => {
                        self.stay_away(failure).await;
                        continue;
                    }
                }
            }
            let Some(current) = self.adapters.current.clone() else { continue };
            if self.probes_seen.is_none() {
                self.is_probe_wanted().await;
            }
            if let Some(reason) = self.reason() {
                self.note(TargetState::Down, BreakerState::HalfOpen, Some(&reason), None).await;
            }
            match self.check(&current.adapter).await {
                Ok(report) => {
                    self.record_in_force().await;
                    self.put_in_force(current.adapter, report).await;
                }
                Err(failure) => {
                    self.stay_away(failure).await;
                    continue;
                }
            }
            let failure = self.watch_over().await;
            self.forget_trial();
            if let Some(failure) = failure
                && !self.stop.is_cancelled()
                && !self.roll_back(&failure).await
            {
                self.stay_away(failure).await;
            }
        }
    }

    /// The gate is open: waits until the target fails, and swaps adapters and follows pauses meanwhile. `None` when it is
    /// time to stop or to check again.
    async fn watch_over(&mut self) -> Option<Failure> {
        let checked = tokio::time::Instant::now();
        let every = Duration::from_millis(self.options.watch_ms);
        let mut tick = checked + every;
        loop {
            // News of a busy target never stop, and must not keep the files and people's wishes waiting.
            let left = tick.saturating_duration_since(tokio::time::Instant::now());
            let woken = if left.is_zero() { Woken::Tick } else { self.wait(left).await };
            match woken {
                Woken::News(News::Failed(failure)) => return Some(failure),
                Woken::News(News::Delivered) => self.breaker.succeeded(),
                Woken::News(News::Tried(verdict)) => self.judge(verdict).await,
                Woken::Reload => self.reload().await,
                Woken::Stop => return None,
                Woken::Tick => {
                    tick = tokio::time::Instant::now() + every;
                    self.look_for_another().await;
                    if self.follow_pause().await || self.is_probe_wanted().await {
                        return None;
                    }
                    if checked.elapsed() > Duration::from_millis(self.options.recheck_ms) && !self.is_trying() {
                        return None;
                    }
                }
            }
        }
    }

    /// The target is left alone for a while, unless its adapter's file changes before.
    async fn stay_away(&mut self, failure: Failure) {
        let pause = self.breaker.failed(failure.retry_after_ms, rand::random());
        self.shut(failure, pause, None).await;
        if self.wait_for_file_or(pause).await {
            self.adapters.current = None;
        }
    }

    /// Whether an operator asks for a look at the target now.
    async fn is_probe_wanted(&mut self) -> bool {
        let Some(wish) = self.wish().await else { return false };
        self.probes_seen.replace(wish.probe_requests).is_some_and(|seen| seen < wish.probe_requests)
    }

    /// Shuts or frees the gate as a person wishes; `true` when the target may go on after a check.
    async fn follow_pause(&self) -> bool {
        let Some(wish) = self.wish().await else { return false };
        let paused = wish.paused;
        let is_paused = matches!(*self.gate.borrow(), Gate::Paused);
        if paused && !is_paused {
            tracing::info!(target_name = %self.target.spec.name, "target paused");
            self.gate.send_replace(Gate::Paused);
        }
        if !paused && is_paused {
            tracing::info!(target_name = %self.target.spec.name, "target resumed");
            self.gate.send_replace(Gate::Unknown);
        }
        !paused && is_paused
    }

    pub(super) async fn check(&self, adapter: &Adapter) -> Result<Report, Failure> {
        let report = self.target.check(adapter).await?;
        for finding in &report.findings {
            let name = &self.target.spec.name;
            match finding.level {
                FindingLevel::Ok => tracing::debug!(target_name = %name, finding = %finding.message, "check"),
                FindingLevel::Warning => tracing::warn!(target_name = %name, finding = %finding.message, "check"),
                FindingLevel::Problem => tracing::error!(target_name = %name, finding = %finding.message, "check"),
            }
        }
        Ok(report)
    }

    pub(super) async fn put_in_force(&self, adapter: Arc<Adapter>, report: Report) {
        let name = &self.target.spec.name;
        let was_open = matches!(*self.gate.borrow(), Gate::Open(_));
        if !was_open {
            tracing::info!(target_name = %name, found = %report.summary, "target is up");
        }
        self.note(TargetState::Up, BreakerState::Closed, None, Some(&report.summary)).await;
        // Asked before the gate opens: a paused target gets not a single batch through.
        let paused = match self.wish().await {
            Some(wish) => wish.paused,
            None => matches!(*self.gate.borrow(), Gate::Paused),
        };
        let in_force = Arc::new(InForce { adapter, state: report.state, trial: None });
        self.gate.send_replace(if paused { Gate::Paused } else { Gate::Open(in_force) });
    }

    async fn shut(&self, failure: Failure, pause: Duration, summary: Option<&str>) {
        let name = &self.target.spec.name;
        let known = self.reason().is_some_and(|known| known.message == failure.message);
        if !known {
            tracing::error!(target_name = %name, kind = failure.kind.as_str(), error = %failure.message, "target is down");
        }
        let pause_ms = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
        self.note(TargetState::Down, BreakerState::Open { pause_ms }, Some(&failure), summary).await;
        self.gate.send_replace(Gate::Shut(failure));
    }

    fn reason(&self) -> Option<Failure> {
        match &*self.gate.borrow() {
            Gate::Shut(failure) => Some(failure.clone()),
            Gate::Unknown | Gate::Open(_) | Gate::Paused => None,
        }
    }

    pub(super) async fn note(
        &self,
        state: TargetState,
        breaker: BreakerState,
        failure: Option<&Failure>,
        summary: Option<&str>,
    ) {
        let news = TargetReport { name: &self.target.spec.name, state, breaker, failure, summary };
        if let Err(error) = self.store.report_target(&news).await {
            tracing::warn!(target_name = %news.name, %error, "cannot note the state of the target");
        }
    }

    async fn wait(&mut self, limit: Duration) -> Woken {
        tokio::select! {
            biased;
            () = self.stop.cancelled() => Woken::Stop,
            Some(news) = self.news.recv() => Woken::News(news),
            Ok(()) = self.reload.changed() => Woken::Reload,
            () = tokio::time::sleep(limit) => Woken::Tick,
        }
    }

    /// Waits, at most until the adapter's file changes or is to be read again; `true` then. News from calls that were
    /// still under way say nothing new.
    async fn wait_for_file_or(&mut self, pause: Duration) -> bool {
        let until = tokio::time::Instant::now() + pause;
        loop {
            let left = until.saturating_duration_since(tokio::time::Instant::now());
            if left.is_zero() {
                return false;
            }
            match self.wait(left.min(Duration::from_millis(self.options.watch_ms))).await {
                Woken::Stop => return false,
                Woken::News(_) => {}
                Woken::Reload => return true,
                Woken::Tick => {
                    if self.has_new_file().await {
                        return true;
                    }
                    if self.is_probe_wanted().await {
                        tracing::info!(target_name = %self.target.spec.name, "looking at the target now, as was asked for");
                        return false;
                    }
                }
            }
        }
    }
}
