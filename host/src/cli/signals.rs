//! The signals that ask this process to stop: SIGTERM, and Ctrl-C.

/// Waits for it.
#[cfg(unix)]
pub(super) async fn stop() {
    use tokio::signal::unix::{SignalKind, signal};
    match signal(SignalKind::terminate()) {
        Ok(mut terminate) => {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = tokio::signal::ctrl_c() => {}
            }
        }
        Err(error) => {
            tracing::error!(%error, "cannot listen for SIGTERM");
            drop(tokio::signal::ctrl_c().await);
        }
    }
}

/// Waits for it.
#[cfg(not(unix))]
pub(super) async fn stop() {
    drop(tokio::signal::ctrl_c().await);
}
