//! `host import`: writes patients and clinical records of another system's export to the store, and queues the changed
//! ones.
//!
//! The plan decides which kinds of resources are read from which file, and in what order (`import/plan.rs`). Each part
//! is imported separately (`import_part.rs`), so that a killed run can resume in any part.

use std::process::ExitCode;
use std::time::Instant;

use super::error::CliError;
use super::import_arguments::{Arguments, options, rejects_paths};
use super::import_part;
use super::import_report::Report;
use super::trail::AuditTrail;
use crate::config::Config;
use crate::domain::audit::AuditSubject;
use crate::import::{Options, Plan};

pub(super) async fn run(config: &Config, trail: &AuditTrail, arguments: &Arguments) -> Result<ExitCode, CliError> {
    let mut options = options(arguments)?;
    if arguments.dry_run {
        trail.about(AuditSubject::default().with_detail("dry run"));
    }
    let store = trail.writable_store(config).await?;
    let plan = plan(arguments, &options).await?;
    let rejects = rejects_paths(arguments, &plan.parts)?;
    options.fhir.base_url = options.fhir.base_url.or_else(|| plan.base_url.clone());
    let started = Instant::now();
    let mut done = Vec::with_capacity(plan.parts.len());
    for (part, rejects) in plan.parts.iter().zip(rejects) {
        let options = Options {
            kind: part.kind,
            rejects_unreadable: part.rejects_unreadable,
            ids: plan.ids.clone(),
            ..options.clone()
        };
        done.push(import_part::run(&store, part, options, rejects, arguments).await?);
    }
    let report = Report::new(config, &plan, done, started.elapsed());
    report.print(arguments);
    Ok(if report.is_whole() { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

/// Plans on a separate thread, because planning reads every file.
async fn plan(arguments: &Arguments, options: &Options) -> Result<Plan, CliError> {
    let (files, options) = (arguments.files.clone(), options.clone());
    let planned = tokio::task::spawn_blocking(move || Plan::new(&files, &options)).await;
    planned.map_err(|_| CliError::Failed("the reader of the files stopped".to_owned()))?.map_err(CliError::from)
}
