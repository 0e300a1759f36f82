//! The rescuer: says that this host lives, and takes back the batches of hosts that no longer do.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::handover::Handover;
use crate::store::Store;

/// Runs until `stop`.
pub(super) async fn run(
    store: Store,
    host_id: String,
    every: Duration,
    handover: Arc<Handover>,
    stop: CancellationToken,
) {
    loop {
        if let Err(error) = store.host_is_alive(&host_id, env!("CARGO_PKG_VERSION")).await {
            tracing::warn!(%error, "cannot say that this host is at work");
        }
        match store.take_expired_leases().await {
            Ok(leases) => {
                for lease in &leases {
                    tracing::warn!(target_name = %lease.target, lease_epoch = lease.epoch, "a lease ran out: its batch is free again");
                }
                if !leases.is_empty() {
                    handover.something_waits();
                }
            }
            Err(error) => tracing::warn!(%error, "cannot look for leases that ran out"),
        }
        tokio::select! {
            () = stop.cancelled() => break,
            () = tokio::time::sleep(every) => {}
        }
    }
    if let Err(error) = store.host_stopped(&host_id).await {
        tracing::debug!(%error, "cannot say that this host has stopped");
    }
}
