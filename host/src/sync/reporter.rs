//! The reporter: one line in the log for each target that delivered something, at most one in ten seconds.
//!
//! So the log of a quiet night shows that the night was quiet, and not that the log was.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::tally::{Tally, TargetTally};

/// How often at most a target is reported.
const EVERY: Duration = Duration::from_secs(10);

/// Runs until `stop`, and reports what is left then.
pub(super) async fn run(targets: Vec<(String, Arc<Tally>)>, stop: CancellationToken) {
    let mut reported = vec![TargetTally::default(); targets.len()];
    loop {
        let stopping = tokio::select! {
            () = stop.cancelled() => true,
            () = tokio::time::sleep(EVERY) => false,
        };
        for ((name, tally), reported) in targets.iter().zip(&mut reported) {
            let now = tally.read();
            if let Some(TargetTally { delivered, deferred, failed, .. }) = now.since(reported) {
                tracing::info!(target_name = %name, delivered, deferred, failed, "delivered");
            }
            *reported = now;
        }
        if stopping {
            return;
        }
    }
}
