//! The clock of adapters: it moves the engine's epoch on, which is where running code can be interrupted.
//!
//! A thread of its own, since the async threads may all be busy running adapters.

use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use wasmtime::Engine;

/// How long an epoch is, milliseconds.
pub(super) const TICK_MS: u64 = 10;

/// Stops when it is dropped.
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
            // It cannot panic, and if it did, there would be nothing left to stop.
            drop(thread.join());
        }
    }
}
