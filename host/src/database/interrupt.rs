//! Stopping a statement of SQLite that nobody waits for any more.
//!
//! SQLite runs inside this process, on a thread of the driver. A server notices that its client is gone; this thread would
//! count on for ever, with the file's only writer in its hand. So SQLite asks every few thousand steps whether to go on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sqlx::pool::PoolConnection;
use sqlx::{Error, Sqlite};

use super::sqlite_limits;

/// Steps of SQLite's machine between two questions: some ten microseconds.
const STEPS: i32 = 4_096;

/// Whether the statement under way is to stop. Without effect on a connection that it was not set on.
#[derive(Clone, Default)]
pub(super) struct Interrupt(Option<Arc<AtomicBool>>);

impl Interrupt {
    /// Lets this connection be stopped from now on, and bounds what it does between two questions.
    pub(super) async fn set(connection: &mut PoolConnection<Sqlite>) -> Result<Self, Error> {
        let flag = Arc::new(AtomicBool::new(false));
        let asked = Arc::clone(&flag);
        let mut handle = connection.lock_handle().await?;
        handle.set_progress_handler(STEPS, move || !asked.load(Ordering::Relaxed));
        sqlite_limits::set(&mut handle);
        drop(handle);
        Ok(Self(Some(flag)))
    }

    /// For the length of one statement: dropped before [`Watch::finish`], it stops the statement.
    pub(super) fn watch(&self) -> Watch {
        Watch(self.0.clone())
    }
}

/// Held while a statement runs.
pub(super) struct Watch(Option<Arc<AtomicBool>>);

impl Watch {
    /// The statement has come to its end.
    pub(super) fn finish(mut self) {
        self.0 = None;
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some(flag) = &self.0 {
            flag.store(true, Ordering::Relaxed);
        }
    }
}
