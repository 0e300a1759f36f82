//! `host plugin keygen`: creates a key for signing adapters, in minisign's format, without a password.

use std::path::PathBuf;
use std::process::ExitCode;

use crate::cli::error::CliError;
use crate::cli::output;
use crate::distribution::SigningKey;

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Arguments {
    /// The secret key's file; the public key goes to FILE.pub
    file: PathBuf,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, CliError> {
    let key = SigningKey::generate()?.write(&arguments.file)?;
    output::line(&format!(
        "secret key: {} (keep it where adapters are released, and nowhere else)",
        key.secret.display()
    ));
    output::line(&format!("public key: {}", key.public.display()));
    output::line("add to host.toml where it is trusted:");
    output::line("   [plugins]");
    output::line(&format!("   trusted_keys = [\"{}\"]", key.trusted_key));
    Ok(ExitCode::SUCCESS)
}
