//! `host plugin inspect`: describes a component from its bytes. It compiles and runs nothing.

use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::json;

use crate::cli::error::CliError;
use crate::cli::output;
use crate::plugin::{Inspection, Runtime};

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Arguments {
    /// The component's file
    file: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub(in crate::cli) async fn run(arguments: &Arguments) -> Result<ExitCode, CliError> {
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
    output::line(&format!("world {} of neuronova:sync@{}", inspection.world, inspection.interface_version()));
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
        "interface_version": inspection.interface_version(),
        "imports": inspection.imports,
        "exports": inspection.exports,
    })
}
