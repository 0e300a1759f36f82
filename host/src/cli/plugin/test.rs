//! `host plugin test`: runs the conformance suite on one adapter and prints one line for each check.

use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anstyle::AnsiColor;
use serde_json::json;

use crate::cli::error::CliError;
use crate::cli::output::paint;
use crate::cli::{output, wiring};
use crate::config::{Config, Connection};
use crate::conformance::{self, Answers, ConformanceError, ConformanceReport, Example, Options, ScratchServer};
use crate::files;
use crate::plugin::{Compiler, Limits, Runtime, RuntimeOptions, SqlGrants};

/// The largest accepted file of statements or settings in bytes.
const TEXT_BYTES_MAX: u64 = 16 << 20;

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Arguments {
    /// The component's file
    file: PathBuf,
    /// Make the target's tables with this SQL file
    #[arg(long, value_name = "FILE")]
    setup: Option<PathBuf>,
    /// Test on this server too (mysql://, postgres://)
    #[arg(long, value_name = "URL")]
    database: Vec<url::Url>,
    /// Skip SQLite
    #[arg(long, requires = "database")]
    no_sqlite: bool,
    /// Read the adapter's settings from this TOML file
    #[arg(long, value_name = "FILE", conflicts_with = "target")]
    settings: Option<PathBuf>,
    /// Read the mock server's answers from this TOML file
    #[arg(long, value_name = "FILE")]
    answers: Option<PathBuf>,
    /// Test this type of the adapter's own too, by a JSON example
    #[arg(long, value_name = "TYPE=FILE", value_parser = payload)]
    payload: Vec<(String, PathBuf)>,
    /// Have that example refer to others, as the column refs
    #[arg(long, value_name = "TYPE=FILE", value_parser = payload)]
    refs: Vec<(String, PathBuf)>,
    /// Use this target's settings, limits and grants
    #[arg(long, value_name = "NAME")]
    target: Option<String>,
    /// Cache compiled adapters in this folder
    #[arg(long, value_name = "FOLDER")]
    cache: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

impl Arguments {
    pub(in crate::cli) fn needs_configuration(&self) -> bool {
        self.target.is_some()
    }
}

pub(in crate::cli) async fn run(config: Option<&Config>, arguments: &Arguments) -> Result<ExitCode, CliError> {
    let options = options(config, arguments)?;
    let cache_dir = arguments.cache.clone().or_else(|| config.map(|config| config.plugins.cache.clone()));
    let compiler = Compiler::of_this_program();
    let runtime = Runtime::new(&RuntimeOptions { cache_dir, instances_max: 4, compiler, ..RuntimeOptions::default() })?;
    let testing = Box::pin(conformance::run(&runtime, &options, output::progress));
    let report = testing.await.map_err(|error| match error {
        ConformanceError::Plugin(error) => CliError::from(error),
        error @ (ConformanceError::NoMockServer
        | ConformanceError::NotDelivered { .. }
        | ConformanceError::PatientExample) => CliError::Usage(error.to_string()),
        other => CliError::Database(other.to_string()),
    })?;
    if arguments.json {
        output::json(&as_json(&report));
    } else {
        show(&report);
    }
    Ok(if report.passed() { ExitCode::SUCCESS } else { ExitCode::from(5) })
}

fn options(config: Option<&Config>, arguments: &Arguments) -> Result<Options, CliError> {
    let mut databases = if arguments.no_sqlite { Vec::new() } else { vec![ScratchServer::Sqlite] };
    for url in &arguments.database {
        databases.push(place(url)?);
    }
    let mut options = Options {
        adapter: arguments.file.clone(),
        setup: None,
        databases,
        settings_json: "{}".to_owned(),
        limits: Limits::default(),
        answers: None,
        examples: Vec::new(),
        grants: SqlGrants::everything(),
    };
    if let Some(file) = &arguments.setup {
        options.setup = Some(files::read_text(file, TEXT_BYTES_MAX).map_err(|error| unreadable(file, &error))?);
    }
    options.examples = examples(arguments)?;
    if let Some(file) = &arguments.answers {
        options.answers = Some(Answers::read(file).map_err(|problems| CliError::Config(problems.to_string()))?);
    }
    if let Some(file) = &arguments.settings {
        let text = files::read_text(file, TEXT_BYTES_MAX).map_err(|error| unreadable(file, &error))?;
        options.settings_json = conformance::settings_json(&text)
            .map_err(|problem| CliError::Usage(format!("{}:{problem}", file.display())))?;
    }
    if let (Some(config), Some(name)) = (config, &arguments.target) {
        let target = wiring::target_config(config, name)?;
        options.settings_json = serde_json::Value::Object(target.settings.clone()).to_string();
        options.limits = target.limits.call.clone();
        if let Connection::Database(database) = &target.connection {
            options.grants = database.allow.clone();
        }
    }
    Ok(options)
}

/// The author's examples of payloads, with what they refer to.
fn examples(arguments: &Arguments) -> Result<Vec<Example>, CliError> {
    let read = |file: &PathBuf| files::read_text(file, TEXT_BYTES_MAX).map_err(|error| unreadable(file, &error));
    let invalid = |file: &PathBuf, reason: String| CliError::Config(format!("{}: {reason}", file.display()));
    let mut examples = Vec::new();
    for (kind, file) in &arguments.payload {
        examples.push(Example::parse(kind, &read(file)?).map_err(|reason| invalid(file, reason))?);
    }
    for (kind, file) in &arguments.refs {
        let Some(example) = examples.iter_mut().find(|example| example.aggregate_type() == kind) else {
            return Err(CliError::Usage(format!("--refs {kind}=...: give its payload too, --payload {kind}=FILE")));
        };
        example.refer(&read(file)?).map_err(|reason| invalid(file, reason))?;
    }
    Ok(examples)
}

fn unreadable(file: &Path, reason: &impl Display) -> CliError {
    CliError::Usage(format!("{}: {reason}", file.display()))
}

/// Parses `TYPE=FILE`.
fn payload(text: &str) -> Result<(String, PathBuf), String> {
    match text.split_once('=') {
        Some((kind, file)) if !kind.is_empty() && !file.is_empty() => Ok((kind.to_owned(), PathBuf::from(file))),
        _ => Err("expected TYPE=FILE".to_owned()),
    }
}

fn place(url: &url::Url) -> Result<ScratchServer, CliError> {
    match url.scheme() {
        "mysql" => Ok(ScratchServer::MySql(url.clone())),
        "postgres" | "postgresql" => Ok(ScratchServer::Postgres(url.clone())),
        other => Err(CliError::Usage(format!(
            "--database takes mysql:// and postgres:// addresses, not {other}://; SQLite is tried by itself"
        ))),
    }
}

fn show(report: &ConformanceReport) {
    output::line(&format!("{}, {}", report.adapter, report.world));
    for line in &report.lines {
        let tag = match (line.tried, line.passed) {
            (false, _) => paint(AnsiColor::Yellow, "[SKIP]"),
            (true, true) => paint(AnsiColor::Green, "[OK]"),
            (true, false) => paint(AnsiColor::Red, "[FAIL]"),
        };
        output::line(&format!("{tag} {}: {}: {}", line.place, line.check, line.message));
    }
    let failed = report.lines.iter().filter(|line| !line.passed).count();
    let skipped = report.lines.iter().filter(|line| !line.tried).count();
    let tried = report.lines.len() - skipped;
    let skipped = if skipped > 0 { format!(", {skipped} not tried") } else { String::new() };
    output::line(&format!("{tried} checks, {failed} failed{skipped}"));
}

fn as_json(report: &ConformanceReport) -> serde_json::Value {
    let checks: Vec<_> = report
        .lines
        .iter()
        .map(|line| {
            json!({
                "place": line.place,
                "check": line.check,
                "tried": line.tried,
                "passed": line.passed,
                "message": line.message,
            })
        })
        .collect();
    json!({"adapter": report.adapter, "world": report.world.name(), "passed": report.passed(), "checks": checks})
}
