//! What ends alerts on a host that does not look.
//!
//! Hosts that look end what none of them sees any more. Once `[alerts]` was removed none does, and `host status` and
//! the metrics would show for ever what was open then.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::alerter::LOOKS_UNSEEN;
use crate::domain::alerts::LOOK_EVERY_MAX;
use crate::store::{Store, StoreError};

/// The time between two passes. A host that starts at the same moment, and looks, has looked before the first one.
const EVERY: Duration = Duration::from_secs(30);
/// What was seen in a look that was under way may still be written.
const LAST_LOOK: Duration = Duration::from_secs(2);
/// So long no host leaves an alert unseen whose condition holds, whatever its `look_every` is.
const LONGEST: Duration = LOOK_EVERY_MAX.saturating_mul(LOOKS_UNSEEN);

/// Ends alerts that no host has seen for long, until `stop`. `looked` is there where this host has looked until now:
/// for how long it let them be unseen. What it alone saw ends after that, once.
pub async fn end_unseen(store: &Store, looked: &mut Option<Duration>, stop: CancellationToken) {
    let mut is_failing = false;
    loop {
        let (pause, unseen) = looked.map_or((EVERY, LONGEST), |looked| (looked + LAST_LOOK, looked));
        if stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
            return;
        }
        match end_once(store, unseen).await {
            Ok(ended) => {
                if ended > 0 {
                    tracing::info!(count = ended, "alerts ended: no host looks for them any more");
                }
                (is_failing, *looked) = (false, None);
            }
            Err(error) => {
                if !std::mem::replace(&mut is_failing, true) {
                    tracing::warn!(%error, "cannot end alerts that no host sees; trying again");
                }
            }
        }
    }
}

/// Ends alerts that no host has seen for so long, by the store's clock. Returns their number.
async fn end_once(store: &Store, unseen: Duration) -> Result<u64, StoreError> {
    let unseen_ms = i64::try_from(unseen.as_millis()).unwrap_or(i64::MAX);
    Ok(store.report_alerts(&[], &[], Some(unseen_ms), &[]).await?.ended)
}
