//! Reports to systemd (`Type=notify`, `sd_notify(3)`) that this host is ready, alive, reloading or stopping. Without a
//! service manager that asks for it nothing is sent.
//!
//! A host whose tasks hang is no longer reported as alive, so that systemd restarts it.

use std::sync::Arc;

use super::health::Health;

/// Reports until the host stops.
#[cfg(target_os = "linux")]
pub async fn report(health: Arc<Health>) {
    use std::time::Duration;

    use sd_notify::NotifyState;

    use super::health::Readiness;

    /// How often the readiness is looked at when no watchdog is wanted.
    const RARELY: Duration = Duration::from_secs(3_600);

    // Half of the limit, as `sd_watchdog_enabled(3)` advises.
    let watchdog = sd_notify::watchdog_enabled().map(|limit| limit / 2);
    let mut states = health.subscribe();
    let mut reported = Readiness::Starting;
    loop {
        let readiness = *states.borrow_and_update();
        if readiness != reported {
            reported = readiness;
            match readiness {
                Readiness::Starting => {}
                Readiness::Ready => send(&[NotifyState::Ready, NotifyState::Status("delivering")]),
                Readiness::Stopping => send(&[NotifyState::Stopping, NotifyState::Status("ending calls under way")]),
            }
        }
        if watchdog.is_some() && health.hanging().is_none() {
            send(&[NotifyState::Watchdog]);
        }
        tokio::select! {
            ended = states.changed() => if ended.is_err() { return },
            () = tokio::time::sleep(watchdog.unwrap_or(RARELY)) => {}
        }
    }
}

/// Reports that a reload has begun. [`reloaded`] must follow, whether it worked or not: until then systemd waits.
#[cfg(target_os = "linux")]
pub fn reloading() {
    use sd_notify::NotifyState;

    match NotifyState::monotonic_usec_now() {
        Ok(now) => send(&[NotifyState::Reloading, now]),
        Err(error) => tracing::debug!(%error, "cannot read the time for the service manager"),
    }
}

/// Reports that a reload has ended, and the status since then.
#[cfg(target_os = "linux")]
pub fn reloaded(status: &str) {
    use sd_notify::NotifyState;

    send(&[NotifyState::Ready, NotifyState::Status(status)]);
}

#[cfg(target_os = "linux")]
fn send(states: &[sd_notify::NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "cannot report to the service manager");
    }
}

#[cfg(not(target_os = "linux"))]
pub async fn report(_: Arc<Health>) {}

#[cfg(not(target_os = "linux"))]
pub fn reloading() {}

#[cfg(not(target_os = "linux"))]
pub fn reloaded(_: &str) {}
