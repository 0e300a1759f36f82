//! Reads credentials for a registry and its certificate authorities, for `install` and `push`. A secret comes from a
//! file or a variable, never from the command line, where every user of the machine could read it.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use crate::cli::error::CliError;
use crate::cli::wiring;
use crate::distribution::{Authorities, RegistryAuth, RegistryClient};
use crate::domain::secret::Secret;
use crate::files;

/// The variable with the password.
const PASSWORD_VARIABLE: &str = "HOST_REGISTRY_PASSWORD";
/// The largest accepted file of a password or token in bytes.
const SECRET_BYTES_MAX: u64 = 64 << 10;
/// The variable with the token.
const TOKEN_VARIABLE: &str = "HOST_REGISTRY_TOKEN";

#[derive(Debug, clap::Args)]
pub(super) struct RegistryAuthArguments {
    /// Log in as this user, with `HOST_REGISTRY_PASSWORD`
    #[arg(long, env = "HOST_REGISTRY_USER", hide_env_values = true)]
    user: Option<String>,
    /// Read the password from this file
    #[arg(long, value_name = "FILE", requires = "user")]
    password_file: Option<PathBuf>,
    /// Send the token in this file (or `HOST_REGISTRY_TOKEN`)
    #[arg(long, value_name = "FILE", conflicts_with = "password_file")]
    token_file: Option<PathBuf>,
    /// Trust these authorities (PEM), not the system's
    #[arg(long, value_name = "FILE", env = "HOST_REGISTRY_CA", hide_env_values = true)]
    ca: Option<PathBuf>,
}

impl RegistryAuthArguments {
    /// Reads the files. Without a user or token the access is anonymous.
    pub(super) fn read(&self) -> Result<RegistryClient, CliError> {
        let authorities = self.ca.as_deref().map(authorities).transpose()?;
        Ok(RegistryClient { auth: self.account()?, authorities })
    }

    fn account(&self) -> Result<Option<RegistryAuth>, CliError> {
        if let Some(path) = &self.token_file {
            return Ok(Some(RegistryAuth::Token(secret_in(path, "token")?)));
        }
        if let Some(user) = &self.user {
            let password = match &self.password_file {
                Some(path) => secret_in(path, "password")?,
                None => secret_of(PASSWORD_VARIABLE).ok_or_else(|| {
                    CliError::Usage(format!(
                        "--user needs a password; fix: set {PASSWORD_VARIABLE} or add --password-file"
                    ))
                })?,
            };
            return Ok(Some(RegistryAuth::User { user: user.clone(), password }));
        }
        Ok(secret_of(TOKEN_VARIABLE).map(RegistryAuth::Token))
    }
}

fn authorities(path: &Path) -> Result<Authorities, CliError> {
    let refuse = |reason: String| CliError::Usage(format!("--ca {}: {reason}", path.display()));
    let pem = files::read(path, wiring::CA_BYTES_MAX).map_err(|error| refuse(format!("cannot be read: {error}")))?;
    Authorities::read(&pem).map_err(refuse)
}

fn secret_in(path: &Path, kind: &str) -> Result<Secret, CliError> {
    let mut text = String::new();
    // A pipe is allowed, because the operator passes it to this command.
    std::fs::File::open(path)
        .and_then(|file| file.take(SECRET_BYTES_MAX).read_to_string(&mut text))
        .map_err(|error| CliError::Usage(format!("cannot read the {kind} in {}: {error}", path.display())))?;
    Ok(Secret::new(text.trim().to_owned()))
}

fn secret_of(variable: &str) -> Option<Secret> {
    std::env::var(variable).ok().filter(|text| !text.is_empty()).map(|text| Secret::new(text.trim().to_owned()))
}
