//! Logs: to stderr, as text for people or JSON for machines; `RUST_LOG` chooses (default `info`).

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

/// How logs are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum LogFormat {
    Text,
    Json,
}

/// Starts logging, once per process.
pub(super) fn start(format: LogFormat) {
    let mut filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn,host=info"));
    // These would write requests and statements, and with them patients' data, whatever RUST_LOG says.
    for quiet in ["wasmtime_wasi=info", "wasmtime_wasi_http=info", "sqlx=warn", "hyper=info", "reqwest=info", "h2=info"]
    {
        filter = filter.add_directive(quiet.parse().expect("invariant: a directive of our own"));
    }
    let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match format {
        LogFormat::Text => builder.with_ansi(colour).with_target(false).init(),
        LogFormat::Json => builder.json().flatten_event(true).init(),
    }
}
