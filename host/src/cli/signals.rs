//! Receives the signals that stop this process: SIGTERM and Ctrl-C.
//!
//! A separate thread and runtime receive them, even if all other threads are blocked.

use std::io;

use super::exit;

/// Calls `act` at each signal with its number, counted from 1. `act` must not block.
///
/// # Errors
/// When the system cannot start a thread or register the signals.
pub(super) fn on_stop(mut act: impl FnMut(u32) + Send + 'static) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut signals = {
        let _entered = runtime.enter();
        Signals::listen()?
    };
    let listen = async move {
        for number in 1.. {
            signals.next().await;
            act(number);
        }
    };
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || runtime.block_on(listen))?;
    Ok(())
}

/// A token for commands that end at the first signal. It is then cancelled, and the process ends within a time limit.
///
/// # Errors
/// As [`on_stop`].
pub(super) fn stop_token() -> io::Result<tokio_util::sync::CancellationToken> {
    let token = tokio_util::sync::CancellationToken::new();
    let stop = token.clone();
    on_stop(move |_| {
        stop.cancel();
        exit::end_within(exit::MARGIN);
    })?;
    Ok(token)
}

#[cfg(unix)]
struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn listen() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn listen() -> io::Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) {
        drop(tokio::signal::ctrl_c().await);
    }
}
