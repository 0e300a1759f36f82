//! The supervisor of one target: it keeps an adapter in force, probes a target that failed, and opens or shuts the gate
//! through which the workers go.
//!
//! It takes up a new adapter file while everything runs: the new one is loaded and checked first, and put in force only
//! then; a bad one leaves the old one running. Calls under way end on the adapter that they began with.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::breaker::Breaker;
use super::target::{SyncOptions, Target};
use crate::domain::change::{Failure, FailureKind, FindingLevel, Report};
use crate::plugin::{Adapter, Runtime};
use crate::store::{AdapterInForce, BreakerState, Store, TargetNews, TargetState};

/// An adapter that may be used, with what its last check learnt.
pub(super) struct InForce {
    pub(super) adapter: Arc<Adapter>,
    pub(super) state: Vec<u8>,
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
}

/// Size and time of the adapter's file: when they change, it is read again.
type FileStamp = Option<(u64, SystemTime)>;

/// What ended a wait.
enum Woken {
    News(News),
    Tick,
    Stop,
}

impl Supervisor {
    pub(super) async fn run(mut self) {
        let mut adapter: Option<Arc<Adapter>> = None;
        let mut stamp: FileStamp = None;
        while !self.stop.is_cancelled() {
            if adapter.is_none() {
                stamp = file_stamp(&self.target.spec.adapter).await;
                match self.load().await {
                    Ok(loaded) => adapter = Some(loaded),
                    Err(failure) => {
                        let pause = self.breaker.failed(None, rand::random());
                        self.shut(failure, pause, None).await;
                        self.wait_for_file_or(pause, &stamp).await;
                        continue;
                    }
                }
            }
            let Some(current) = adapter.clone() else { continue };
            if let Some(reason) = self.reason() {
                self.note(TargetState::Down, BreakerState::HalfOpen, Some(&reason), None).await;
            }
            match self.check(&current).await {
                Ok(report) => self.put_in_force(current, report).await,
                Err(failure) => {
                    let pause = self.breaker.failed(failure.retry_after_ms, rand::random());
                    self.shut(failure, pause, None).await;
                    if self.wait_for_file_or(pause, &stamp).await {
                        adapter = None;
                    }
                    continue;
                }
            }
            if let Some(failure) = self.watch_over(&mut adapter, &mut stamp).await
                && !self.stop.is_cancelled()
            {
                let pause = self.breaker.failed(failure.retry_after_ms, rand::random());
                self.shut(failure, pause, None).await;
                if self.wait_for_file_or(pause, &stamp).await {
                    adapter = None;
                }
            }
        }
    }

    /// The gate is open: waits until the target fails, and swaps adapters and follows pauses meanwhile. `None` when it is
    /// time to stop or to check again.
    async fn watch_over(&mut self, adapter: &mut Option<Arc<Adapter>>, stamp: &mut FileStamp) -> Option<Failure> {
        let checked = tokio::time::Instant::now();
        loop {
            match self.wait(Duration::from_millis(self.options.watch_ms)).await {
                Woken::News(News::Failed(failure)) => return Some(failure),
                Woken::News(News::Delivered) => self.breaker.succeeded(),
                Woken::Stop => return None,
                Woken::Tick => {
                    let now = file_stamp(&self.target.spec.adapter).await;
                    if now != *stamp && now.is_some() {
                        *stamp = now;
                        self.swap(adapter).await;
                    }
                    if self.follow_pause().await {
                        return None;
                    }
                    if checked.elapsed() > Duration::from_millis(self.options.recheck_ms) {
                        return None;
                    }
                }
            }
        }
    }

    /// Takes up a new file, if it is a different and a good one.
    async fn swap(&self, adapter: &mut Option<Arc<Adapter>>) {
        let name = &self.target.spec.name;
        let loaded = match self.load().await {
            Ok(loaded) => loaded,
            Err(failure) => return self.refuse_swap(&failure).await,
        };
        if adapter.as_ref().is_some_and(|old| old.sha256() == loaded.sha256()) {
            return;
        }
        match self.check(&loaded).await {
            Ok(report) => {
                tracing::info!(target_name = %name, sha256 = loaded.sha256(), "new adapter in force");
                *adapter = Some(loaded.clone());
                self.put_in_force(loaded, report).await;
            }
            Err(failure) => self.refuse_swap(&failure).await,
        }
    }

    async fn refuse_swap(&self, failure: &Failure) {
        let name = &self.target.spec.name;
        let failure =
            Failure::new(failure.kind, format!("new adapter refused, the old one goes on: {}", failure.message));
        tracing::error!(target_name = %name, error = %failure.message, "adapter not swapped");
        self.note(TargetState::Up, BreakerState::Closed, Some(&failure), None).await;
    }

    /// Shuts or frees the gate as a person wishes; `true` when the target may go on after a check.
    async fn follow_pause(&self) -> bool {
        let paused = match self.store.is_paused(&self.target.spec.name).await {
            Ok(paused) => paused,
            Err(error) => {
                tracing::debug!(%error, "cannot read whether the target is paused");
                return false;
            }
        };
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

    async fn load(&self) -> Result<Arc<Adapter>, Failure> {
        let spec = &self.target.spec;
        let adapter = self
            .runtime
            .load(&spec.adapter, self.target.world())
            .await
            .map_err(|error| Failure::new(FailureKind::Adapter, error.to_string()))?;
        let known = &adapter.descriptor().aggregate_types;
        match spec.aggregate_types.iter().find(|kind| !known.contains(kind)) {
            None => Ok(adapter),
            Some(kind) => Err(Failure::new(
                FailureKind::Misconfigured,
                format!("adapter {} does not take aggregates of type {kind}", adapter.descriptor().name),
            )),
        }
    }

    async fn check(&self, adapter: &Adapter) -> Result<Report, Failure> {
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

    async fn put_in_force(&self, adapter: Arc<Adapter>, report: Report) {
        let name = &self.target.spec.name;
        let was_open = matches!(*self.gate.borrow(), Gate::Open(_));
        if !was_open {
            tracing::info!(target_name = %name, found = %report.summary, "target is up");
        }
        let descriptor = adapter.descriptor();
        let in_force =
            AdapterInForce { name: &descriptor.name, version: &descriptor.version, sha256: adapter.sha256() };
        if let Err(error) = self.store.put_adapter_in_force(name, &in_force).await {
            tracing::warn!(target_name = %name, %error, "cannot record which adapter is in force");
        }
        self.note(TargetState::Up, BreakerState::Closed, None, Some(&report.summary)).await;
        // Asked before the gate opens: a paused target gets not a single batch through.
        let paused = match self.store.is_paused(name).await {
            Ok(paused) => paused,
            Err(error) => {
                tracing::warn!(target_name = %name, %error, "cannot read whether the target is paused");
                matches!(*self.gate.borrow(), Gate::Paused)
            }
        };
        let in_force = Arc::new(InForce { adapter, state: report.state });
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

    async fn note(&self, state: TargetState, breaker: BreakerState, failure: Option<&Failure>, summary: Option<&str>) {
        let news = TargetNews { name: &self.target.spec.name, state, breaker, failure, summary };
        if let Err(error) = self.store.note_target(&news).await {
            tracing::warn!(target_name = %news.name, %error, "cannot note the state of the target");
        }
    }

    async fn wait(&mut self, limit: Duration) -> Woken {
        tokio::select! {
            biased;
            () = self.stop.cancelled() => Woken::Stop,
            Some(news) = self.news.recv() => Woken::News(news),
            () = tokio::time::sleep(limit) => Woken::Tick,
        }
    }

    /// Waits, at most until the adapter's file changes; `true` when it did. News from calls that were still under way
    /// say nothing new.
    async fn wait_for_file_or(&mut self, pause: Duration, stamp: &FileStamp) -> bool {
        let until = tokio::time::Instant::now() + pause;
        loop {
            let left = until.saturating_duration_since(tokio::time::Instant::now());
            if left.is_zero() {
                return false;
            }
            match self.wait(left.min(Duration::from_millis(self.options.watch_ms))).await {
                Woken::Stop => return false,
                Woken::News(_) => {}
                Woken::Tick => {
                    if file_stamp(&self.target.spec.adapter).await != *stamp {
                        return true;
                    }
                }
            }
        }
    }
}

async fn file_stamp(path: &Path) -> FileStamp {
    let metadata = tokio::fs::metadata(path).await.ok()?;
    Some((metadata.len(), metadata.modified().ok()?))
}
