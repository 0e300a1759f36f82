//! Stops a statement of SQLite whose caller no longer waits for it.
//!
//! SQLite runs inside this process, on a thread of the driver. A server detects that its client has disconnected. This
//! thread would continue forever and keep the file's only write lock. So SQLite checks every few thousand steps whether
//! to continue.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sqlx::pool::PoolConnection;
use sqlx::{Error, Sqlite};

use super::sqlite_memory::Budget;
use super::{sqlite_limits, sqlite_memory};

/// Steps of SQLite's machine between two questions: some ten microseconds.
const STEPS: i32 = 4_096;

/// Whether the statement under way is to stop. Without effect on a connection that it was not set on.
#[derive(Clone, Default)]
pub(super) struct Interrupt {
    flag: Option<Arc<AtomicBool>>,
    budget: Option<&'static Budget>,
}

impl Interrupt {
    /// Makes statements of this connection stoppable, and bounds the work between two checks.
    pub(super) async fn set(connection: &mut PoolConnection<Sqlite>, budget: &'static Budget) -> Result<Self, Error> {
        let flag = Arc::new(AtomicBool::new(false));
        let asked = Arc::clone(&flag);
        let mut handle = connection.lock_handle().await?;
        handle.set_progress_handler(STEPS, move || !asked.load(Ordering::Relaxed));
        sqlite_limits::set(&mut handle);
        sqlite_memory::watch_rows(&mut handle);
        drop(handle);
        Ok(Self { flag: Some(flag), budget: Some(budget) })
    }

    /// Watches one statement: if it is dropped before [`Watch::finish`], it stops the statement.
    pub(super) fn watch(&self) -> Watch {
        Watch(self.flag.clone())
    }

    /// How often the connection's target was refused memory so far.
    pub(super) fn refusals(&self) -> u64 {
        self.budget.map_or(0, Budget::refusals)
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
