//! `host plugin push`: pushes an adapter and its signature file to an OCI registry.

use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::json;

use super::registry_auth::RegistryAuthArguments;
use crate::cli::error::CliError;
use crate::cli::output;
use crate::distribution::{self, Source};
use crate::plugin::Runtime;

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Arguments {
    /// The component's file
    file: PathBuf,
    /// The reference, `oci://REGISTRY/REPOSITORY:TAG`
    to: String,
    #[command(flatten)]
    registry_auth: RegistryAuthArguments,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Needs no configuration, because a machine that releases adapters has none.
pub(super) async fn run(arguments: &Arguments) -> Result<ExitCode, CliError> {
    let usage = || CliError::Usage(format!("{}: push to oci://REGISTRY/REPOSITORY:TAG", arguments.to));
    let Source::Registry(reference) = Source::parse(&arguments.to)? else { return Err(usage()) };
    if reference.digest().is_some() {
        return Err(usage());
    }
    let registry = arguments.registry_auth.read()?;
    let source = Source::File(arguments.file.clone());
    let name = source.default_name()?;
    let fetched = distribution::fetch(&source, None, &registry).await?;
    let (inspection, bytes) = Runtime::inspect_bytes(&source.to_string(), fetched.bytes).await?;
    let is_signed = fetched.signature.is_some();
    let digest = distribution::push(&reference, &name, bytes, &inspection, fetched.signature, &registry).await?;
    let by_digest = format!("oci://{}/{}@{digest}", reference.registry(), reference.repository());
    if arguments.json {
        output::json(&json!({
            "reference": arguments.to,
            "manifest": digest,
            "sha256": inspection.sha256,
            "by_digest": by_digest,
            "signed": is_signed,
        }));
    } else {
        let signature = if is_signed { "with its signature" } else { "without a signature" };
        output::line(&format!("pushed {} {signature}", arguments.to));
        output::line(&format!("to install exactly this adapter: {by_digest}"));
    }
    Ok(ExitCode::SUCCESS)
}
