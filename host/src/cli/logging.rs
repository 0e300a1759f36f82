//! Writes logs to stderr: text for people, JSON for machines, or lines for systemd's journal. `RUST_LOG` selects them
//! (default `warn,host=info,adapter=info`).
//!
//! A log that cannot be written never stops or delays the host (`log_writer.rs`). Panics are logged in the same way.

use std::io::IsTerminal as _;
use std::time::Duration;

use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::fmt::format::{Format, Full, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;

use super::log_writer::LogWriter;

/// The default of `RUST_LOG`: warnings of libraries, and the level `info` for the host and its adapters.
const DEFAULT: &str = "warn,host=info,adapter=info";

/// How long shutdown waits for the last lines.
const LAST_LINES: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum LogFormat {
    Text,
    Json,
    Journal,
}

/// A line without its time, which the journal adds, and with the level where the journal looks for it: sd-daemon(3).
struct JournalFormat(Format<Full, ()>);

impl<S, N> FormatEvent<S, N> for JournalFormat
where
    S: Subscriber + for<'lookup> LookupSpan<'lookup>,
    N: for<'writer> FormatFields<'writer> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> std::fmt::Result {
        let priority = match *event.metadata().level() {
            Level::ERROR => 3,
            Level::WARN => 4,
            Level::INFO => 6,
            Level::DEBUG | Level::TRACE => 7,
        };
        write!(writer, "<{priority}>")?;
        self.0.format_event(context, writer, event)
    }
}

/// The log of this process. Dropping it waits briefly for the last lines.
pub(super) struct Log(LogWriter);

impl Drop for Log {
    fn drop(&mut self) {
        self.0.flush(LAST_LINES);
    }
}

/// Starts logging, once per process.
///
/// # Errors
/// When the system cannot start a thread.
pub(super) fn start(format: LogFormat) -> std::io::Result<Log> {
    let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let writer = LogWriter::start(std::io::stderr())?;
    let lines = tracing_subscriber::fmt::layer().with_writer(writer.clone()).log_internal_errors(false);
    let wanted = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(DEFAULT));
    let all = tracing_subscriber::registry().with(wanted).with(filter_fn(may_be_shown));
    match format {
        LogFormat::Text => all.with(lines.with_ansi(colour).with_target(false)).init(),
        LogFormat::Json => all.with(lines.json().flatten_event(true)).init(),
        LogFormat::Journal => {
            let format = Format::default().without_time().with_target(false).with_ansi(false);
            all.with(lines.with_ansi(false).event_format(JournalFormat(format))).init();
        }
    }
    // The standard hook writes to stderr directly, and would block when stderr is blocked.
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let message = panic.payload_as_str().unwrap_or("no message");
        tracing::error!(place, "panicked: {message}");
    }));
    Ok(Log(writer))
}

/// The upper limit of logging, regardless of `RUST_LOG`. Below warnings, libraries log requests and statements with
/// patients' data, some of them gigabytes. A database driver often logs the server's own text (PostgreSQL's NOTICE and
/// WARNING), which may contain any data. The driver's errors reach the host as errors.
fn may_be_shown(event: &Metadata<'_>) -> bool {
    let (root, _) = event.target().split_once("::").unwrap_or((event.target(), ""));
    match root {
        "host" | "adapter" => true,
        "sqlx" | "sqlx_core" | "sqlx_mysql" | "sqlx_postgres" | "sqlx_sqlite" => false,
        _ => *event.level() <= Level::WARN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_log_nothing_below_a_warning_and_drivers_nothing() {
        let everything = tracing_subscriber::registry().with(EnvFilter::new("trace,sqlx::postgres::notice=trace"));
        tracing::subscriber::with_default(everything.with(filter_fn(may_be_shown)), || {
            assert!(tracing::enabled!(target: "host::sync", Level::TRACE));
            assert!(tracing::enabled!(target: "adapter", Level::TRACE));
            assert!(tracing::enabled!(target: "wasmtime::runtime", Level::WARN));
            assert!(!tracing::enabled!(target: "cranelift_codegen::timing", Level::INFO));
            assert!(!tracing::enabled!(target: "hyper::proto", Level::DEBUG));
            assert!(!tracing::enabled!(target: "hostile", Level::INFO), "not ours by its first letters");
            assert!(!tracing::enabled!(target: "sqlx::postgres::notice", Level::ERROR));
            assert!(!tracing::enabled!(target: "sqlx::query", Level::WARN));
        });
    }

    #[test]
    fn log_lines_of_adapters_are_shown_by_default() {
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
