//! `host plugin`: adapters, as files and as they are in force.

use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::json;

use super::error::CliError;
use super::{assemble, output};
use crate::config::{Config, Connection};
use crate::plugin::{Inspection, Runtime, World};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Verb {
    /// List the adapter of every target: its file, and what is in force
    List {
        /// One JSON object instead of text
        #[arg(long)]
        json: bool,
    },
    /// Show what a file is: its digest, world, imports and exports; needs no configuration
    Inspect(InspectArguments),
}

#[derive(Debug, clap::Args)]
pub(super) struct InspectArguments {
    /// The component's file
    file: PathBuf,
    /// One JSON object instead of text
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(config: &Config, verb: &Verb) -> Result<ExitCode, CliError> {
    match verb {
        Verb::List { json } => list(config, *json).await,
        Verb::Inspect(arguments) => inspect(arguments).await,
    }
}

async fn list(config: &Config, json: bool) -> Result<ExitCode, CliError> {
    let store = assemble::migrated_store(config).await?;
    let runtime = assemble::runtime(config)?;
    let status = store.status(0).await?;
    let mut objects = Vec::new();
    let mut broken = false;
    for target in config.targets.values() {
        let world = match target.connection {
            Connection::Database(_) => World::Database,
            Connection::Http(_) => World::Http,
        };
        let file = runtime.load(&target.adapter, world).await;
        let in_force = status.targets.get(target.name.as_str()).and_then(|status| status.adapter_sha256.clone());
        let (text, object) = match &file {
            Ok(adapter) => {
                let descriptor = adapter.descriptor();
                let standing = match &in_force {
                    Some(sha256) if sha256 == adapter.sha256() => "in force",
                    Some(_) => "another one is in force",
                    None => "not in force yet",
                };
                (
                    format!("{} {} sha256:{} ({standing})", descriptor.name, descriptor.version, adapter.sha256()),
                    json!({"name": descriptor.name, "version": descriptor.version, "sha256": adapter.sha256()}),
                )
            }
            Err(error) => {
                broken = true;
                (error.to_string(), json!({"error": error.to_string()}))
            }
        };
        objects.push(json!({
            "target": target.name.as_str(),
            "file": target.adapter.display().to_string(),
            "adapter": object,
            "in_force_sha256": in_force,
        }));
        if !json {
            output::line(&format!("{}: {} {text}", target.name, target.adapter.display()));
        }
    }
    if json {
        output::json(&json!({"adapters": objects}));
    }
    Ok(if broken { ExitCode::from(5) } else { ExitCode::SUCCESS })
}

/// Needs no configuration: a file is a file.
pub(super) async fn inspect(arguments: &InspectArguments) -> Result<ExitCode, CliError> {
    let inspection = Runtime::inspect(&arguments.file).await?;
    if arguments.json {
        output::json(&as_json(&inspection));
    } else {
        show(&arguments.file, &inspection);
    }
    Ok(ExitCode::SUCCESS)
}

fn show(file: &std::path::Path, inspection: &Inspection) {
    output::line(&format!("{}: {} bytes, sha256:{}", file.display(), inspection.size, inspection.sha256));
    output::line(&format!("world {} of neuronova:sync@{}", inspection.world, inspection.interface_version));
    for (title, names) in [("imports", &inspection.imports), ("exports", &inspection.exports)] {
        output::line(&format!("{title}:"));
        for name in names {
            output::line(&format!("   {name}"));
        }
    }
}

fn as_json(inspection: &Inspection) -> serde_json::Value {
    json!({
        "sha256": inspection.sha256,
        "bytes": inspection.size,
        "world": inspection.world.name(),
        "interface_version": inspection.interface_version,
        "imports": inspection.imports,
        "exports": inspection.exports,
    })
}
