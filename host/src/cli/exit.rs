//! Ends the process within a time limit, even if threads hang.
//!
//! A thread may hang on a file of a lost server or on a full pipe, and a runtime's threads may never yield. None of
//! them delays the exit. Committed work is safe, and an unreleased lease expires.

use std::time::Duration;

use tokio::runtime::Runtime;

use super::logging::Log;

/// The time for shutdown, in addition to the time for running deliveries.
pub(super) const MARGIN: Duration = Duration::from_secs(20);

/// The time for shutdown after a second signal.
pub(super) const AT_ONCE: Duration = Duration::from_secs(5);

/// The time for shutdown when all work is done.
const AFTER_ALL: Duration = Duration::from_secs(10);
/// How long shutdown waits for the runtime's tasks and threads.
const THREADS: Duration = Duration::from_secs(2);

/// Exits with code 1 after this time, unless the process has ended before.
pub(super) fn end_within(limit: Duration) {
    let wait = move || {
        std::thread::sleep(limit);
        tracing::error!(seconds = limit.as_secs(), "shutdown took too long; exited");
        // The log's own thread needs a moment to write the line.
        std::thread::sleep(Duration::from_millis(200));
        std::process::exit(1);
    };
    if std::thread::Builder::new().name("ending".to_owned()).spawn(wait).is_err() {
        // Without a thread, nothing could end the process later.
        std::process::exit(1);
    }
}

/// Waits briefly for the runtime's threads and the log's last lines. Threads that hang end with the process.
pub(super) fn leave(runtime: Runtime, log: Log) {
    end_within(AFTER_ALL);
    runtime.shutdown_timeout(THREADS);
    drop(log);
}
