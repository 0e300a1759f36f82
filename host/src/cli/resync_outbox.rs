//! The part of `host resync` that sends again what only the outbox holds.

use std::time::Duration;

use super::error::CliError;
use super::output;
use crate::config::TargetConfig;
use crate::store::{Resend, ResendCounts, Store};

/// Sends states of the outbox again, from the newest change to the oldest.
pub(super) async fn resend(store: &Store, walk: &mut Resend, pause: Duration) -> Result<(), CliError> {
    let mut shown = 0;
    while let Some(reached) = store.resend_step(walk).await? {
        let queued = walk.counts().queued;
        if queued > shown {
            output::line(&format!("   [OK] {} queued from the outbox, back to change {reached}", queued - shown));
            shown = queued;
            tokio::time::sleep(pause).await;
        }
    }
    Ok(())
}

/// Prints what a resend of the outbox's states did.
pub(super) fn show(counts: &ResendCounts, target: &TargetConfig) {
    let name = &target.name;
    output::line(&format!("{} states of the outbox queued for {name} sync", counts.queued));
    let left = [
        (counts.waiting, "are on their way already"),
        (counts.dismissed, "are left: an operator dismissed their newest change here"),
        (counts.invalid, "are left: their newest outbox row is invalid"),
        (counts.deletes, "are left: they are deleted, and this target never had them"),
    ];
    for (count, why) in left.into_iter().filter(|(count, _)| *count > 0) {
        output::line(&format!("   [INFO] {count} {why}"));
    }
    if counts.without_state > 0 {
        output::line(&format!(
            "   [WARNING] {} have no state left in the outbox, or were deleted long ago; fix: let their application insert what \
             it still has",
            counts.without_state
        ));
    }
}
