//! The command line: one file per command. Output on stdout is a contract (docs/commands.md); logs go to stderr.
//!
//! It connects the parts and prints their results. It makes no decisions about deliveries.

mod aggregate;
mod alerting;
mod alerts;
mod audit;
mod audited;
mod check;
mod conflicts;
mod error;
mod exit;
mod failed;
mod import;
mod import_arguments;
mod import_bar;
mod import_part;
mod import_report;
mod log_writer;
mod logging;
mod monitoring;
mod operator;
mod output;
mod patient;
mod permissions;
mod plugin;
#[cfg_attr(not(unix), allow(dead_code, reason = "without SIGHUP nothing is reloaded"))]
mod reload;
mod resync;
mod resync_list;
mod resync_outbox;
mod retry;
mod retry_in_steps;
mod run;
mod seed;
mod signals;
mod since;
mod status;
mod status_check;
mod status_json;
mod status_summary;
mod support_bundle;
mod target;
mod trace;
mod trace_events;
mod trace_list;
mod trail;
mod verify;
mod waiting;
mod why;
mod wiring;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};

use crate::config::Config;
use crate::domain::words::is_unprintable;
use crate::plugin::{COMPILE_COMMAND, CompileLimits, compile_for_parent};
use error::CliError;
use logging::LogFormat;
use trail::AuditTrail;

/// Deliver every change of a patient to all targets
#[derive(Debug, Parser)]
#[command(name = "host", version, propagate_version = true)]
struct Cli {
    /// Read this configuration
    #[arg(long, global = true, value_name = "FILE", default_value = "host.toml")]
    config: PathBuf,
    /// Write logs to stderr in this format
    #[arg(long, global = true, value_enum, default_value_t = LogFormat::Text)]
    log_format: LogFormat,
    /// Record this reason in the audit; give no patient's data
    #[arg(long, global = true, value_name = "TEXT", value_parser = operator::reason)]
    reason: Option<String>,
    /// Record this name in the audit, next to the system's user
    #[arg(long = "as", alias = "by", global = true, value_name = "NAME", value_parser = operator::name)]
    acting_as: Option<String>,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Write users, patients and records of TOML files
    Seed(seed::Arguments),
    /// Import patients and records of another system
    Import(import_arguments::Arguments),
    /// Deliver changes until SIGTERM or Ctrl-C
    Run(run::Arguments),
    /// Show pending and failed deliveries, targets and hosts
    Status(status::Arguments),
    /// Retry failed deliveries
    Retry(retry::Arguments),
    /// List or dismiss failed deliveries
    #[command(subcommand)]
    Failed(failed::Verb),
    /// List deliveries that wait for something that they refer to
    Waiting(waiting::Arguments),
    /// Show what happened to a patient, or list deliveries
    Trace(trace::Arguments),
    /// Explain why a patient is not at a target yet
    Why(why::Arguments),
    /// Compare what a target holds with what was delivered
    Verify(verify::Arguments),
    /// List or resolve conflicts with a target's own state
    Conflicts(conflicts::Arguments),
    /// Queue every patient's current state for one target
    Resync(resync::Arguments),
    /// Validate configuration, store and targets
    Check(check::Arguments),
    /// Migrate the store's tables to this version
    Migrate,
    /// Write an archive for support, without patients' data
    SupportBundle(support_bundle::Arguments),
    /// List, show, change, merge or delete patients of the store
    #[command(subcommand)]
    Patient(patient::Verb),
    /// Develop, install, inspect and roll back adapters
    #[command(subcommand)]
    Plugin(plugin::Verb),
    /// Pause, resume, probe or disable a target
    #[command(subcommand)]
    Target(target::Verb),
    /// List and acknowledge alerts, or test their channels
    #[command(subcommand)]
    Alerts(alerts::Verb),
    /// List, verify and export who changed or saw what
    #[command(subcommand)]
    Audit(audit::Verb),
    /// Compile an adapter from stdin to stdout, for the host that starts this process
    #[command(name = COMPILE_COMMAND, hide = true)]
    CompileAdapter {
        #[arg(long)]
        stack_kib: u32,
        #[arg(long)]
        table_elements_max: u64,
        #[arg(long)]
        cpu_seconds_max: u64,
        #[arg(long)]
        memory_bytes_max: u64,
        #[arg(long)]
        code_bytes_max: u64,
    },
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

/// Runs the command line of this process.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::try_parse().unwrap_or_else(|error| refuse_arguments(&error));
    if let Verb::CompileAdapter { stack_kib, table_elements_max, cpu_seconds_max, memory_bytes_max, code_bytes_max } =
        cli.verb
    {
        let limits = CompileLimits { cpu_seconds_max, memory_bytes_max, code_bytes_max };
        return ExitCode::from(compile_for_parent(stack_kib, table_elements_max, limits));
    }
    let log = match logging::start(cli.log_format) {
        Ok(log) => log,
        Err(error) => {
            output::error(&format!("cannot start the log: {error}"));
            return ExitCode::from(1);
        }
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            output::error(&format!("cannot start the runtime: {error}"));
            return ExitCode::from(1);
        }
    };
    let ended = runtime.block_on(async {
        let ended = Box::pin(dispatch(cli)).await;
        wiring::close_stores().await;
        ended
    });
    let code = match ended {
        Ok(code) => code,
        Err(error) => {
            output::error(&error.to_string());
            ExitCode::from(error.exit_code())
        }
    };
    exit::leave(runtime, log);
    code
}

/// Prints help or an argument error, and exits. A repeated argument may contain any text, so control characters are
/// removed.
fn refuse_arguments(error: &clap::Error) -> ! {
    // For `--option=VALUE`, the value alone too.
    let values = std::env::args().filter_map(|argument| argument.split_once('=').map(|(_, value)| value.to_owned()));
    // The message contains each argument without colour sequences.
    let repeated = std::env::args().chain(values).map(|argument| anstream::adapter::strip_str(&argument).to_string());
    let foreign: Vec<_> = repeated.filter(|argument| argument.contains(is_unprintable)).collect();
    if foreign.is_empty() {
        error.exit();
    }
    let text = error.render().to_string();
    let text = foreign
        .iter()
        .fold(text, |text, argument| text.replace(argument.as_str(), &argument.replace(is_unprintable, " ")));
    drop(write!(anstream::stderr(), "{}", output::harmless(&text)));
    std::process::exit(error.exit_code());
}

async fn dispatch(cli: Cli) -> Result<ExitCode, CliError> {
    if let Verb::Completions { shell } = cli.verb {
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut Cli::command(), "host", &mut script);
        output::lines(String::from_utf8_lossy(&script).trim_end());
        return Ok(ExitCode::SUCCESS);
    }
    let verb = match cli.verb {
        Verb::Plugin(verb) if !verb.needs_configuration() => return plugin::run_on_file(verb).await,
        verb => verb,
    };
    let config = Config::load(&cli.config)?;
    let (acting_as, reason) = (cli.acting_as.as_deref(), cli.reason.as_deref());
    let trail = AuditTrail::begin(&config.audit, audited::action(&verb), acting_as, reason);
    let ended = match trail.require_reason(&config.audit) {
        Ok(()) => Box::pin(run_configured(&config, &trail, verb)).await,
        Err(error) => Err(error),
    };
    trail.end(&config, ended).await
}

async fn run_configured(config: &Config, trail: &AuditTrail, verb: Verb) -> Result<ExitCode, CliError> {
    match verb {
        Verb::Seed(arguments) => seed::run(config, trail, &arguments).await,
        Verb::Import(arguments) => Box::pin(import::run(config, trail, &arguments)).await,
        Verb::Run(arguments) => run::run(config, &arguments).await,
        Verb::Status(arguments) => status::run(config, trail, &arguments).await,
        Verb::Retry(arguments) => retry::run(config, trail, &arguments).await,
        Verb::Failed(verb) => failed::run(config, trail, &verb).await,
        Verb::Waiting(arguments) => waiting::run(config, trail, &arguments).await,
        Verb::Trace(arguments) => trace::run(config, trail, &arguments).await,
        Verb::Why(arguments) => why::run(config, trail, &arguments).await,
        Verb::Verify(arguments) => verify::run(config, trail, &arguments).await,
        Verb::Conflicts(arguments) => conflicts::run(config, trail, &arguments).await,
        Verb::Resync(arguments) => resync::run(config, trail, &arguments).await,
        Verb::Check(arguments) => check::run(config, &arguments).await,
        Verb::Migrate => migrate(config, trail).await,
        Verb::SupportBundle(arguments) => Box::pin(support_bundle::run(config, trail, &arguments)).await,
        Verb::Patient(verb) => patient::run(config, trail, &verb).await,
        Verb::Plugin(verb) => Box::pin(plugin::run(config, trail, verb)).await,
        Verb::Target(verb) => target::run(config, trail, &verb).await,
        Verb::Alerts(verb) => alerts::run(config, trail, &verb).await,
        Verb::Audit(verb) => audit::run(config, trail, &verb).await,
        Verb::Completions { .. } | Verb::CompileAdapter { .. } => {
            unreachable!("invariant: neither needs a configuration")
        }
    }
}

async fn migrate(config: &Config, trail: &AuditTrail) -> Result<ExitCode, CliError> {
    let store = wiring::store(config)?;
    let migrations = trail.migrate(&store).await?;
    output::line(&format!("store is at schema version {} ({} applied now)", migrations.version, migrations.applied));
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
#[path = "help_tests.rs"]
mod tests;
