//! `host plugin sign`: writes the signature of a file to `FILE.minisig`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::cli::error::CliError;
use crate::cli::output;
use crate::distribution::{DistributionError, SigningKey, signature_path};

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Arguments {
    /// The component's file
    file: PathBuf,
    /// Sign with this secret key
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, CliError> {
    let key = SigningKey::read(&arguments.key)?;
    let failed = |verb, path: &PathBuf| {
        let path = path.clone();
        move |source| DistributionError::File { verb, path, source }
    };
    let bytes = crate::files::read(&arguments.file, crate::plugin::COMPONENT_BYTES_MAX)
        .map_err(failed("read", &arguments.file))?;
    let name = arguments.file.file_name().unwrap_or_default().to_string_lossy();
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let signature_file = signature_path(&arguments.file);
    std::fs::write(&signature_file, key.sign(&bytes, &name, seconds)).map_err(failed("write", &signature_file))?;
    output::line(&format!("signed by key {}: {}", key.id_text(), signature_file.display()));
    Ok(ExitCode::SUCCESS)
}
