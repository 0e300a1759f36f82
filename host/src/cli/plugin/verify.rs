//! `host plugin verify`: verifies a file's signature by a trusted key, and its pin.

use std::path::PathBuf;
use std::process::ExitCode;

use crate::cli::error::CliError;
use crate::cli::output;
use crate::cli::wiring;
use crate::config::Config;
use crate::distribution::{self, DistributionError, RegistryClient, Source, TrustedKeys, signature_path};

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Arguments {
    /// The component's file
    file: PathBuf,
    /// Read the signature from this file
    #[arg(long, value_name = "FILE")]
    signature: Option<PathBuf>,
    /// Trust this public key (56 characters or .pub file)
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
}

impl Arguments {
    /// With `--key` the command reads neither configuration nor pins.
    pub(super) fn needs_configuration(&self) -> bool {
        self.key.is_none()
    }
}

pub(super) async fn run(config: Option<&Config>, arguments: &Arguments) -> Result<ExitCode, CliError> {
    let keys = match (&arguments.key, config) {
        (Some(key), _) => vec![public_key(key)?],
        (None, Some(config)) => config.plugins.trusted_keys.clone(),
        (None, None) => Vec::new(),
    };
    if keys.is_empty() {
        return Err(CliError::Usage(
            "no key is trusted; fix: add --key, or [plugins] trusted_keys to the configuration".to_owned(),
        ));
    }
    let name = arguments.file.display().to_string();
    let source = Source::parse(&name).and_then(|source| match source {
        Source::File(_) => Ok(source),
        _ => Err(DistributionError::Source {
            text: name.clone(),
            reason: "is not a file; `host plugin install` verifies on its own".to_owned(),
        }),
    })?;
    let fetched = distribution::fetch(&source, arguments.signature.as_deref(), &RegistryClient::default()).await?;
    let expected = signature_path(&arguments.file);
    let signature = fetched
        .signature
        .ok_or_else(|| CliError::Plugin(format!("{name} has no signature; fix: put it at {}", expected.display())))?;
    let signed = TrustedKeys::parse(&keys)?.verify(&name, &fetched.bytes, &signature)?;
    if let (Some(config), Source::File(path)) = (config, &source) {
        wiring::trust(config)?.check_pin(path, &fetched.bytes)?;
    }
    output::line(&format!(
        "{name}: {}, signed by key {}: {}",
        distribution::digest(&fetched.bytes),
        signed.key_id,
        signed.comment
    ));
    Ok(ExitCode::SUCCESS)
}

/// The given key, or the second line of the named file.
fn public_key(text: &str) -> Result<String, CliError> {
    if text.len() == 56 && !text.contains('.') {
        return Ok(text.to_owned());
    }
    let file = crate::files::read_text(std::path::Path::new(text), 64 << 10).map_err(|error| {
        CliError::Usage(format!("--key {text}: not a key of 56 characters, and not a readable file: {error}"))
    })?;
    Ok(file.lines().nth(1).unwrap_or_default().trim().to_owned())
}
