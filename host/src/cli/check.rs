//! `host check`: checks configuration, store, and every target with its adapter, and prints one line for each.

use std::process::ExitCode;

use anstyle::AnsiColor;
use serde_json::json;

use super::error::{CliError, failure_exit_code};
use super::output::paint;
use super::status_summary::{aggregate_types, clock_trouble, describe};
use super::{output, permissions, wiring};
use crate::config::{Config, TargetConfig};
use crate::domain::change::{Finding, FindingLevel};
use crate::plugin::{Adapter, Runtime};
use crate::store::{RunningHost, StatusSnapshot};
use crate::sync::{Difference, differences};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// One checked subject, its level and its findings.
struct Line {
    subject: String,
    level: FindingLevel,
    message: String,
    details: Vec<Finding>,
    /// SQL for an administrator of the target's database to run.
    statements: Vec<String>,
    /// The exit code if this line is a problem.
    exit_code: u8,
}

impl Line {
    fn new(subject: String, level: FindingLevel, message: String) -> Self {
        Self { subject, level, message, details: Vec::new(), statements: Vec::new(), exit_code: 0 }
    }

    /// Adds a finding. The worst finding sets the level of the line.
    fn find(&mut self, level: FindingLevel, message: String, exit_code: u8) {
        if severity(level) > severity(self.level) {
            (self.level, self.exit_code) = (level, exit_code);
        }
        self.details.push(Finding { level, message });
    }

    fn problem(subject: String, message: String, exit_code: u8) -> Self {
        Self { exit_code, ..Self::new(subject, FindingLevel::Problem, message) }
    }
}

pub(super) async fn run(config: &Config, arguments: &Arguments) -> Result<ExitCode, CliError> {
    let mut files = Line::new("configuration".to_owned(), FindingLevel::Ok, config.path.display().to_string());
    for warning in permissions::warnings(config) {
        files.find(FindingLevel::Warning, warning, 0);
    }
    let mut lines = vec![files];
    lines.push(match check_store(config).await {
        Ok(line) => line,
        Err(error) => Line::problem("store".to_owned(), error.to_string(), error.exit_code()),
    });
    // An unreadable store was reported above.
    let snapshot = read_status(config).await.unwrap_or_default();
    lines.extend(compare_hosts(config, &snapshot));
    let runtime = wiring::runtime(config)?;
    for target in config.targets.values() {
        let active = snapshot.targets.get(target.name.as_str()).and_then(|known| known.adapter_sha256.as_deref());
        lines.push(check_target(&runtime, target, active).await);
    }
    if arguments.json {
        show_json(&lines);
    } else {
        show(&lines);
    }
    Ok(ExitCode::from(lines.iter().map(|line| line.exit_code).find(|code| *code != 0).unwrap_or(0)))
}

async fn check_store(config: &Config) -> Result<Line, CliError> {
    let store = wiring::existing_store(config)?;
    let version = store.require_current().await?;
    let database = store.database();
    let message =
        format!("{} at {}, schema version {version}", database.dialect().name(), database.locator().location());
    let mut line = Line::new("store".to_owned(), FindingLevel::Ok, message);
    if let Some(trouble) = store.write_trouble().await {
        line.find(FindingLevel::Problem, trouble, 4);
    }
    if let Some(trouble) = clock_trouble(store.clock_state().await?) {
        line.find(FindingLevel::Warning, trouble, 0);
    }
    let types = aggregate_types(config);
    for notice in store.notices().await? {
        line.find(FindingLevel::Warning, describe(&notice, &types, None), 0);
    }
    Ok(line)
}

async fn read_status(config: &Config) -> Result<StatusSnapshot, CliError> {
    let store = wiring::existing_store(config)?;
    let snapshot = store.status(0).await;
    store.database().close().await;
    Ok(snapshot?)
}

/// The differences of this configuration from the running hosts, and from the targets that the store has enabled.
fn compare_hosts(config: &Config, snapshot: &StatusSnapshot) -> Option<Line> {
    let types = |target: &TargetConfig| target.aggregate_types.iter().map(|kind| kind.as_str().to_owned()).collect();
    let targets = config.enabled_targets().map(|target| (target.name.clone(), types(target))).collect();
    let mut hosts = snapshot.hosts.clone();
    hosts.push(RunningHost { id: "this configuration".to_owned(), targets: Some(targets) });
    let enabled = snapshot.targets.iter().filter(|(_, target)| target.enabled).map(|(name, _)| name.as_str());
    let found = differences(&hosts, enabled);
    if found.is_empty() {
        return None;
    }
    let finding = |difference: &Difference| Finding { level: FindingLevel::Warning, message: difference.to_string() };
    let message = "the hosts on this store have different targets".to_owned();
    let line = Line::new("hosts".to_owned(), FindingLevel::Warning, message);
    Some(Line { details: found.iter().map(finding).collect(), ..line })
}

/// Checks one target. `active` is the digest of the adapter that hosts use for it.
async fn check_target(runtime: &std::sync::Arc<Runtime>, config: &TargetConfig, active: Option<&str>) -> Line {
    let subject = format!("target {}", config.name);
    if !config.enabled {
        return Line::new(subject, FindingLevel::Ok, "disabled".to_owned());
    }
    let target = match wiring::target(config) {
        Ok(target) => target,
        Err(error) => return Line::problem(subject, error.to_string(), error.exit_code()),
    };
    let adapter = match runtime.load(&config.adapter, target.world()).await {
        Ok(adapter) => adapter,
        Err(error) => return Line::problem(subject, error.to_string(), 5),
    };
    let name = format!("{} {}", adapter.descriptor().name, adapter.descriptor().version);
    let checked = target.check(&adapter).await;
    // A database that did not respond is not queried again.
    let statements = if checked.is_ok() { target.exact_user().await } else { Vec::new() };
    target.close().await;
    let line = match checked {
        Ok(mut report) => {
            report.findings.extend(compare_adapter(&adapter, active));
            let worst = report.findings.iter().map(|finding| finding.level).max_by_key(|level| severity(*level));
            let level = worst.unwrap_or(FindingLevel::Ok);
            let exit_code = u8::from(level == FindingLevel::Problem);
            let message = format!("{name}: {}", report.summary);
            Line { details: report.findings, exit_code, ..Line::new(subject, level, message) }
        }
        Err(failure) => Line::problem(subject, format!("{name}: {}", failure.message), failure_exit_code(failure.kind)),
    };
    Line { statements, ..line }
}

/// Reports a file that is not the active adapter: it was rolled back, or will be loaded soon.
fn compare_adapter(adapter: &Adapter, active: Option<&str>) -> Option<Finding> {
    let active = active.filter(|active| *active != adapter.sha256())?;
    let message = format!(
        "the adapter's file (sha256:{}) is not the active one (sha256:{active}): it was rolled back, or no host has loaded it \
         yet; see `host plugin history`",
        adapter.sha256()
    );
    Some(Finding { level: FindingLevel::Warning, message })
}

fn severity(level: FindingLevel) -> u8 {
    match level {
        FindingLevel::Ok => 0,
        FindingLevel::Warning => 1,
        FindingLevel::Problem => 2,
    }
}

fn word(level: FindingLevel) -> &'static str {
    match level {
        FindingLevel::Ok => "ok",
        FindingLevel::Warning => "warning",
        FindingLevel::Problem => "problem",
    }
}

fn tag(level: FindingLevel) -> String {
    match level {
        FindingLevel::Ok => paint(AnsiColor::Green, "[OK]"),
        FindingLevel::Warning => paint(AnsiColor::Yellow, "[WARNING]"),
        FindingLevel::Problem => paint(AnsiColor::Red, "[PROBLEM]"),
    }
}

fn show(lines: &[Line]) {
    for line in lines {
        output::line(&format!("{} {}: {}", tag(line.level), line.subject, line.message));
        for finding in &line.details {
            output::line(&format!("   {} {}", tag(finding.level), finding.message));
        }
        if !line.statements.is_empty() {
            output::line("   statements that give the database user the rights of `allow` and no more:");
        }
        for statement in &line.statements {
            output::line(&format!("      {statement}"));
        }
    }
}

fn show_json(lines: &[Line]) {
    let checks: Vec<_> = lines
        .iter()
        .map(|line| {
            let findings: Vec<_> = line
                .details
                .iter()
                .map(|finding| json!({"level": word(finding.level), "message": finding.message}))
                .collect();
            let mut check = json!({
                "subject": line.subject, "level": word(line.level), "message": line.message, "findings": findings
            });
            if !line.statements.is_empty() {
                check["statements"] = json!(line.statements);
            }
            check
        })
        .collect();
    output::json(&json!({"checks": checks}));
}
