//! `host plugin install`: downloads and verifies an adapter, then installs and pins it.

use std::path::PathBuf;
use std::process::ExitCode;

use anstyle::AnsiColor;
use serde_json::json;

use super::registry_auth::RegistryAuthArguments;
use crate::cli::error::CliError;
use crate::cli::output::{self, paint};
use crate::cli::trail::AuditTrail;
use crate::cli::wiring;
use crate::config::{Config, Connection};
use crate::distribution::{self, AdapterName, Fetched, InstallPlan, Signed, Source, signature_path};
use crate::domain::audit::AuditSubject;
use crate::plugin::{Inspection, Runtime, World};

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Arguments {
    /// A file, https:// address or oci:// reference
    source: String,
    /// Install as NAME.wasm instead of the source's name
    #[arg(long)]
    name: Option<String>,
    /// Read the signature from this file
    #[arg(long, value_name = "FILE")]
    signature: Option<PathBuf>,
    /// Replace the pin when the source has changed
    #[arg(long)]
    update: bool,
    #[command(flatten)]
    registry_auth: RegistryAuthArguments,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(config: &Config, trail: &AuditTrail, arguments: &Arguments) -> Result<ExitCode, CliError> {
    let source = Source::parse(&arguments.source)?;
    let name = match &arguments.name {
        Some(name) => AdapterName::parse(name)?,
        None => source.default_name()?,
    };
    let trust = wiring::trust(config)?;
    trail.about(AuditSubject::default().with_detail(name.as_str()));
    let registry = arguments.registry_auth.read()?;
    let fetched = distribution::fetch(&source, arguments.signature.as_deref(), &registry).await?;
    let Fetched { bytes, signature, manifest } = fetched;
    let (label, file) = (source.to_string(), name.file(&config.plugins.directory));
    let signed = trust.check_signature(&label, &bytes, signature.as_deref(), &signature_path(&file))?;
    let (inspection, bytes) = Runtime::inspect_bytes(&label, bytes).await?;
    trail.about(AuditSubject::default().with_detail(&format!("{name}, sha256:{}", inspection.sha256)));
    expect_worlds(config, &file, &label, &inspection)?;
    // Without a cache, because the host may run as another user than the installer.
    let runtime = Runtime::new(&wiring::runtime_options(config, None))?;
    runtime.try_to_compile(&label, &inspection, bytes.clone()).await?;
    distribution::install(&InstallPlan {
        directory: &config.plugins.directory,
        lock_file: &config.lock_file(),
        guard: &config.plugins.cache.join("install.lock"),
        name: &name,
        source: &source,
        bytes: &bytes,
        signature: signature.as_deref(),
        manifest: manifest.as_deref(),
        update: arguments.update,
    })?;
    trail.done_if_there(config).await?;
    if arguments.json {
        output::json(&json!({
            "name": name.as_str(),
            "source": label,
            "file": file.display().to_string(),
            "sha256": inspection.sha256,
            "manifest": manifest,
            "signed_by": signed.map(|signed| signed.key_id),
        }));
    } else {
        show(&label, &inspection, signed.as_ref(), signature.is_some());
        if let Some(other) = signed.as_ref().and_then(|signed| signed_as_another(signed, &name)) {
            output::line(&format!("{} it is signed under the name {other}, not {name}.wasm", warning()));
        }
        output::line(&format!("{} {} is installed and pinned in adapters.lock", ok(), file.display()));
    }
    Ok(ExitCode::SUCCESS)
}

/// Refuses an adapter of the wrong world before it is installed.
fn expect_worlds(
    config: &Config,
    file: &std::path::Path,
    label: &str,
    inspection: &Inspection,
) -> Result<(), CliError> {
    for target in config.targets.values().filter(|target| target.adapter == file) {
        let world = match target.connection {
            Connection::Database(_) => World::Database,
            Connection::Http(_) => World::Http,
        };
        inspection.expect(label, world)?;
    }
    Ok(())
}

fn show(label: &str, inspection: &Inspection, signed: Option<&Signed>, has_signature: bool) {
    output::line(&format!("{} {label}: {} bytes, sha256:{}", ok(), inspection.size, inspection.sha256));
    let warning = warning();
    output::line(&match signed {
        Some(signed) => format!("{} signed by key {}: {}", ok(), signed.key_id, signed.comment),
        None if has_signature => {
            format!("{warning} its signature was not checked: [plugins] trusted_keys names no key")
        }
        None => format!("{warning} it has no signature"),
    });
}

/// The file name in the signed comment, if it is not this adapter's: a registry may have sent another adapter by the
/// same author.
fn signed_as_another<'a>(signed: &'a Signed, name: &AdapterName) -> Option<&'a str> {
    let file = signed.comment.split_whitespace().find_map(|word| word.strip_prefix("file:"))?;
    (file.strip_suffix(".wasm") != Some(name.as_str())).then_some(file)
}

fn warning() -> String {
    paint(AnsiColor::Yellow, "[WARNING]")
}

fn ok() -> String {
    paint(AnsiColor::Green, "[OK]")
}
