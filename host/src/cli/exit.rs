//! The end of the process: it comes within a bound, whatever hangs.
//!
//! A thread that the system holds (a file on a server that is gone, a pipe that nobody reads), a runtime whose threads
//! never yield: none of them is waited for. What was committed is safe; a lease that was not given back runs out.

use std::time::Duration;

use tokio::runtime::Runtime;

use super::logging::Log;

/// What a process that was asked to end may take beside the work that it may still finish.
pub(super) const MARGIN: Duration = Duration::from_secs(20);

/// What is left of it when somebody asks a second time.
pub(super) const AT_ONCE: Duration = Duration::from_secs(5);

/// What the end may take when everything is done.
const AFTER_ALL: Duration = Duration::from_secs(10);
/// How long tasks and threads of the runtime are waited for.
const THREADS: Duration = Duration::from_secs(2);

/// From now on the process ends within this time, with exit code 1 unless it has ended by itself before.
pub(super) fn end_within(limit: Duration) {
    let wait = move || {
        std::thread::sleep(limit);
        tracing::error!(seconds = limit.as_secs(), "the end took too long: exiting without it");
        // A moment for the line; the log has a thread of its own.
        std::thread::sleep(Duration::from_millis(200));
        std::process::exit(1);
    };
    if std::thread::Builder::new().name("ending".to_owned()).spawn(wait).is_err() {
        // Without a thread there is no later.
        std::process::exit(1);
    }
}

/// Waits for the runtime's threads and for the log's last lines, but not for long. The process ends with what comes
/// next: its threads that still hang end with it.
pub(super) fn leave(runtime: Runtime, log: Log) {
    end_within(AFTER_ALL);
    runtime.shutdown_timeout(THREADS);
    drop(log);
}
