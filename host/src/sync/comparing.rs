//! Compares what a canary writes with what the old adapter writes, on the first batch that a worker gives it.
//!
//! At a database both are tried in transactions that are rolled back, and then the canary delivers the batch. Over HTTP
//! the old adapter delivers it; the canary is run on the recorded answers, sends nothing, and delivers the next batch.
//! A canary that writes something else delivers nothing: it is held (`holding.rs`).

use std::sync::Arc;

use super::canary::{Canary, CanaryResult, compare};
use super::gate::OpenGate;
use super::worker::Worker;
use crate::domain::change::{Change, Failure};
use crate::domain::effect_difference::{EffectDifference, EffectDifferenceKind, EffectDifferences};
use crate::plugin::World;
use crate::target::{Comparison, Delivered, FenceLost, RecordedRun, TargetSession};

/// What a comparison means for a canary.
pub(super) enum Conclusion {
    /// It may deliver.
    MayDeliver,
    /// It is rejected or held.
    Ends(CanaryResult),
    /// Another batch must show it.
    TryAgain,
}

/// Decides what follows from a comparison; an error is a failure of the target.
pub(super) fn conclude(canary: &Canary, comparison: Result<Comparison, Failure>) -> Conclusion {
    let not_comparable = |reason: &str| {
        let mut found = EffectDifferences::default();
        found.add(EffectDifference::new(EffectDifferenceKind::NotComparable, reason, None));
        Conclusion::Ends(CanaryResult::Held(found))
    };
    let inconclusive =
        |reason: &str| if canary.is_too_inconclusive() { not_comparable(reason) } else { Conclusion::TryAgain };
    match comparison {
        Ok(Comparison::Equal | Comparison::Nothing) => Conclusion::MayDeliver,
        Ok(Comparison::Different(differences)) => Conclusion::Ends(CanaryResult::Held(differences)),
        Ok(Comparison::Fails { new, old }) => match compare(&new, &old) {
            // Its failures may pass.
            CanaryResult::Passed => inconclusive("the new adapter fails for a while"),
            ends @ (CanaryResult::Rejected(_) | CanaryResult::Held(_)) => Conclusion::Ends(ends),
        },
        Ok(Comparison::Inconclusive(reason)) => inconclusive(reason),
        Ok(Comparison::Impossible(reason)) => not_comparable(&reason),
        // The old adapter's own delivery reports it.
        Err(_) => Conclusion::TryAgain,
    }
}

impl Worker {
    /// Compares a canary before it delivers anything. Returns the old adapter's results where that has delivered the
    /// batch, and `None` where the canary may.
    pub(super) async fn compare_first(
        &self,
        session: &TargetSession<'_>,
        open: &OpenGate,
        canary: &Arc<Canary>,
        changes: &[Change],
    ) -> Option<Result<Delivered, FenceLost>> {
        if !canary.wants_comparison() {
            return None;
        }
        if open.target.world() == World::Http {
            return Some(self.compare_over_http(session, open, canary, changes).await);
        }
        let comparison = open.target.compare(&open.active, &canary.candidate, changes).await;
        match conclude(canary, comparison) {
            Conclusion::MayDeliver => {
                canary.compared();
                return None;
            }
            Conclusion::Ends(result) => self.events.canary_tried(canary, result).await,
            Conclusion::TryAgain => canary.put_back(),
        }
        Some(session.deliver(&open.active, changes).await)
    }

    async fn compare_over_http(
        &self,
        session: &TargetSession<'_>,
        open: &OpenGate,
        canary: &Arc<Canary>,
        changes: &[Change],
    ) -> Result<Delivered, FenceLost> {
        let recorded = RecordedRun::begin();
        let delivered = session.clone().recording(&recorded).deliver(&open.active, changes).await;
        let outcomes = match &delivered {
            Ok(done) if done.target_failure.is_none() && !done.in_doubt.contains(&true) => &done.outcomes,
            Ok(_) | Err(FenceLost) => {
                canary.put_back();
                return delivered;
            }
        };
        let adapters = (&*open.active, &*canary.candidate);
        let comparison = open.target.compare_recorded(&recorded, Some(outcomes), adapters, changes).await;
        match conclude(canary, Ok(comparison)) {
            Conclusion::MayDeliver => {
                canary.compared();
                canary.put_back();
            }
            Conclusion::Ends(result) => self.events.canary_tried(canary, result).await,
            Conclusion::TryAgain => canary.put_back(),
        }
        delivered
    }
}
