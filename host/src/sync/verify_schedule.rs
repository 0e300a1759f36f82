//! Verifies a target again and again, as `[targets.NAME.verify]` wants it.
//!
//! Where the verification is, and when the last one ended, is in the store. Of several hosts one verifies: the others
//! see it move and leave it alone. One that stands still (its host has died, or its target was down) is continued by
//! whoever looks next. A verification that an operator has begun is left alone as well, while it moves. It delivers
//! nothing and judges no target: failures of the target are the workers' to find.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::gate::{Gate, OpenGate};
use super::verifier::{Verifier, VerifyError, listed_types, observed_types};
use crate::domain::ids::TargetName;
use crate::domain::verification::VerifySchedule;
use crate::store::{Store, StoreError, Verification, Verifications};
use crate::target::Target;

/// How often it looks whether a verification is due.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// A verification that has not moved for so many looks was given up by whoever began it.
const LOOKS_UNMOVED: u32 = 3;

pub(super) struct ScheduledVerification {
    pub(super) name: TargetName,
    /// The target, whose schedule a reload may change, set or remove.
    pub(super) target: watch::Receiver<Arc<Target>>,
    pub(super) store: Store,
    pub(super) gate: watch::Receiver<Gate>,
    pub(super) stop: CancellationToken,
}

/// The verification under way as earlier looks saw it.
#[derive(Default)]
struct Seen {
    current: Option<Verification>,
    looks_unmoved: u32,
}

impl Seen {
    /// Whether a host or an operator is working on it.
    fn is_moving(&mut self, current: Option<&Verification>) -> bool {
        self.looks_unmoved = if current == self.current.as_ref() { self.looks_unmoved + 1 } else { 0 };
        self.current = current.cloned();
        current.is_some() && self.looks_unmoved < LOOKS_UNMOVED
    }
}

impl ScheduledVerification {
    /// Runs until `stop`. A verification under way then goes on at the next start, or on another host.
    pub(super) async fn run(mut self) {
        let stop = self.stop.clone();
        let looks = async {
            let mut seen = Seen::default();
            loop {
                let schedule = self.wait_for_look().await;
                if let Err(error) = Box::pin(self.look(schedule, &mut seen)).await {
                    tracing::warn!(target_name = %self.name, %error, "cannot verify the target; trying again");
                }
            }
        };
        Box::pin(stop.run_until_cancelled(looks)).await;
    }

    /// Waits until it is time to look; without end while the target has no schedule.
    async fn wait_for_look(&mut self) -> VerifySchedule {
        loop {
            let schedule = self.target.borrow_and_update().spec.verify;
            let time_to_look = async {
                match schedule {
                    Some(schedule) => {
                        tokio::time::sleep(LOOK_EVERY.min(schedule.every)).await;
                        schedule
                    }
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                schedule = time_to_look => return schedule,
                Ok(()) = self.target.changed() => {}
            }
        }
    }

    /// Verifies if it is due, and nobody else does.
    async fn look(&self, schedule: VerifySchedule, seen: &mut Seen) -> Result<(), VerifyError> {
        let Some(OpenGate { target, active, .. }) = self.open() else { return Ok(()) };
        let types = observed_types(&active.adapter, &target.spec.aggregate_types);
        let known = self.store.verifications(self.name.as_str()).await?;
        let is_others = seen.is_moving(known.current.as_ref());
        if is_others || types.is_empty() || !self.is_due(schedule, &known).await? {
            return Ok(());
        }
        let listed = listed_types(&active.adapter, &types);
        let (mut verification, _) = self.store.begin_verification(self.name.as_str(), &types, &listed).await?;
        self.verify(&mut verification).await
    }

    /// The target and the adapter in use; `None` while the target is not up.
    fn open(&self) -> Option<OpenGate> {
        self.gate.borrow().open().cloned()
    }

    async fn is_due(&self, schedule: VerifySchedule, known: &Verifications) -> Result<bool, StoreError> {
        let Some(finished_at) = known.last.as_ref().and_then(|last| last.finished_at) else { return Ok(true) };
        let every = i64::try_from(schedule.every.as_millis()).unwrap_or(i64::MAX);
        Ok(known.current.is_some() || self.store.now_ms().await? >= finished_at.saturating_add(every))
    }

    /// Verifies to the end, until the target is no longer up or no longer has a schedule, or until another host has
    /// taken over.
    async fn verify(&self, verification: &mut Verification) -> Result<(), VerifyError> {
        while let Some(OpenGate { target, active, .. }) = self.open() {
            let Some(VerifySchedule { rate, .. }) = target.spec.verify else { return Ok(()) };
            let verifier = Verifier { store: &self.store, target: &target, adapter: &active, rate: Some(rate) };
            let began = Instant::now();
            match verifier.step(verification).await {
                Ok(Some(records)) => tokio::time::sleep(verifier.pause(records, began.elapsed())).await,
                Ok(None) => {
                    self.log_end(verification);
                    return Ok(());
                }
                Err(VerifyError::Overtaken) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn log_end(&self, verification: &Verification) {
        let (name, counts) = (&self.name, &verification.counts);
        if counts.equal() + counts.moved == counts.checked {
            tracing::info!(target_name = %name, checked = counts.checked, moved = counts.moved, "target verified");
        } else {
            tracing::warn!(
                target_name = %name,
                checked = counts.checked,
                edited = counts.edited,
                gone = counts.gone,
                several = counts.several,
                not_ours = counts.not_ours,
                unknown = counts.unknown,
                "target differs from the store; `host verify --target {name}` lists what does"
            );
        }
    }
}
