//! Advances the engine's epoch, so that running adapter code can be interrupted.
//!
//! It runs on a thread of its own, because running adapters may occupy all async threads.

use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use wasmtime::Engine;

/// The length of an epoch in milliseconds.
pub(super) const TICK_MS: u64 = 10;

/// Runs the thread until dropped.
pub(super) struct Ticker {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Ticker {
    pub(super) fn start(engine: &Engine) -> std::io::Result<Self> {
        let (stop, stopped) = channel::<()>();
        let engine = engine.weak();
        let thread = std::thread::Builder::new().name("adapter-clock".to_owned()).spawn(move || {
            while matches!(stopped.recv_timeout(Duration::from_millis(TICK_MS)), Err(RecvTimeoutError::Timeout)) {
                match engine.upgrade() {
                    Some(engine) => engine.increment_epoch(),
                    None => return,
                }
            }
        })?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // The thread cannot panic, so the result of the join is irrelevant.
            drop(thread.join());
        }
    }
}
