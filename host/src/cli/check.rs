//! `host check`: configuration, store, and every target with its adapter, one line each.

use std::process::ExitCode;

use anstyle::AnsiColor;
use serde_json::json;

use super::error::{CliError, failure_exit_code};
use super::output::paint;
use super::status::{aggregate_types, clock_trouble, describe};
use super::{assemble, output};
use crate::config::{Config, TargetConfig};
use crate::domain::change::{Finding, FindingLevel};
use crate::plugin::Runtime;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// One JSON object instead of text
    #[arg(long)]
    json: bool,
}

/// What was looked at, and how it stands.
struct Line {
    subject: String,
    level: FindingLevel,
    message: String,
    details: Vec<Finding>,
    /// The exit code, where it does not work.
    exit_code: u8,
}

impl Line {
    fn new(subject: String, level: FindingLevel, message: String) -> Self {
        Self { subject, level, message, details: Vec::new(), exit_code: 0 }
    }

    /// One more finding; the worst decides how the line stands.
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
    let mut lines = vec![Line::new("configuration".to_owned(), FindingLevel::Ok, config.path.display().to_string())];
    lines.push(match check_store(config).await {
        Ok(line) => line,
        Err(error) => Line::problem("store".to_owned(), error.to_string(), error.exit_code()),
    });
    let runtime = assemble::runtime(config)?;
    for target in config.targets.values() {
        lines.push(check_target(&runtime, target).await);
    }
    if arguments.json {
        show_json(&lines);
    } else {
        show(&lines);
    }
    Ok(ExitCode::from(lines.iter().map(|line| line.exit_code).find(|code| *code != 0).unwrap_or(0)))
}

async fn check_store(config: &Config) -> Result<Line, CliError> {
    let store = assemble::existing_store(config)?;
    let version = store.require_current().await?;
    let database = store.database();
    let message = format!("{} at {}, schema version {version}", database.dialect().name(), database.locator().place());
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

async fn check_target(runtime: &std::sync::Arc<Runtime>, config: &TargetConfig) -> Line {
    let subject = format!("target {}", config.name);
    if !config.enabled {
        return Line::new(subject, FindingLevel::Ok, "disabled".to_owned());
    }
    let target = match assemble::target(config) {
        Ok(target) => target,
        Err(error) => return Line::problem(subject, error.to_string(), error.exit_code()),
    };
    let adapter = match runtime.load(&config.adapter, target.world()).await {
        Ok(adapter) => adapter,
        Err(error) => return Line::problem(subject, error.to_string(), 5),
    };
    let name = format!("{} {}", adapter.descriptor().name, adapter.descriptor().version);
    let checked = target.check(&adapter).await;
    target.close().await;
    match checked {
        Ok(report) => {
            let worst = report.findings.iter().map(|finding| finding.level).max_by_key(|level| severity(*level));
            let level = worst.unwrap_or(FindingLevel::Ok);
            let exit_code = u8::from(level == FindingLevel::Problem);
            let message = format!("{name}: {}", report.summary);
            Line { details: report.findings, exit_code, ..Line::new(subject, level, message) }
        }
        Err(failure) => Line::problem(subject, format!("{name}: {}", failure.message), failure_exit_code(failure.kind)),
    }
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
            json!({"subject": line.subject, "level": word(line.level), "message": line.message, "findings": findings})
        })
        .collect();
    output::json(&json!({"checks": checks}));
}
