//! Logs: to stderr, as text for people or JSON for machines; `RUST_LOG` chooses (default `warn,host=info,adapter=info`).
//!
//! A log that cannot be written stops and delays nothing (`log_writer.rs`). What a panic says goes the same way.

use std::io::IsTerminal as _;
use std::time::Duration;

use tracing_subscriber::EnvFilter;

use super::log_writer::LogWriter;

/// What is shown unless `RUST_LOG` says otherwise: of libraries their warnings, of the host and its adapters what an operator
/// reads.
const DEFAULT: &str = "warn,host=info,adapter=info";

/// How long the end of the process waits for its last lines.
const LAST_LINES: Duration = Duration::from_secs(1);

/// How logs are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum LogFormat {
    Text,
    Json,
}

/// The log of this process. Dropping it waits a moment for its last lines.
pub(super) struct Log(LogWriter);

impl Drop for Log {
    fn drop(&mut self) {
        self.0.flush(LAST_LINES);
    }
}

/// Starts logging, once per process.
///
/// # Errors
/// When the system gives no thread.
pub(super) fn start(format: LogFormat) -> std::io::Result<Log> {
    let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let writer = LogWriter::start(std::io::stderr())?;
    let builder =
        tracing_subscriber::fmt().with_env_filter(filter()).with_writer(writer.clone()).log_internal_errors(false);
    match format {
        LogFormat::Text => builder.with_ansi(colour).with_target(false).init(),
        LogFormat::Json => builder.json().flatten_event(true).init(),
    }
    // The standard hook writes to stderr itself, and would wait where nobody reads.
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let message = panic.payload_as_str().unwrap_or("no message");
        tracing::error!(place, "panicked: {message}");
    }));
    Ok(Log(writer))
}

fn filter() -> EnvFilter {
    let mut filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(DEFAULT));
    // These would write requests and statements, and with them patients' data, whatever RUST_LOG says.
    for quiet in ["wasmtime_wasi=info", "wasmtime_wasi_http=info", "sqlx=warn", "hyper=info", "reqwest=info", "h2=info"]
    {
        filter = filter.add_directive(quiet.parse().expect("invariant: a directive of our own"));
    }
    filter
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_adapters_say_is_shown_by_default() {
        use tracing_subscriber::prelude::*;
        let subscriber = tracing_subscriber::registry().with(EnvFilter::new(DEFAULT));
        tracing::subscriber::with_default(subscriber, || {
            assert!(tracing::enabled!(target: "adapter", tracing::Level::WARN), "an edit that was overwritten");
            assert!(tracing::enabled!(target: "adapter", tracing::Level::INFO));
            assert!(!tracing::enabled!(target: "adapter", tracing::Level::DEBUG));
            assert!(!tracing::enabled!(target: "sqlx", tracing::Level::INFO));
        });
    }
}
