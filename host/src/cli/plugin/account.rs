//! The user at a registry, as `install` and `push` take it. The password comes from a file or a variable, never from the
//! command line, where every user of the machine could read it.

use std::path::PathBuf;

use crate::cli::error::CliError;
use crate::domain::secret::Secret;
use crate::supply::Account;

/// The variable with the password.
const PASSWORD_VARIABLE: &str = "HOST_REGISTRY_PASSWORD";

#[derive(Debug, clap::Args)]
pub(super) struct AccountArguments {
    /// The user at the registry; the password is in `HOST_REGISTRY_PASSWORD` unless --password-file is given
    #[arg(long, env = "HOST_REGISTRY_USER")]
    user: Option<String>,
    /// A file with the password or token
    #[arg(long, value_name = "FILE", requires = "user")]
    password_file: Option<PathBuf>,
}

impl AccountArguments {
    /// Nobody, where no user is named.
    pub(super) fn read(&self) -> Result<Option<Account>, CliError> {
        let Some(user) = &self.user else { return Ok(None) };
        let password = match &self.password_file {
            Some(path) => std::fs::read_to_string(path)
                .map_err(|error| CliError::Usage(format!("cannot read the password in {}: {error}", path.display())))?,
            None => std::env::var(PASSWORD_VARIABLE).map_err(|_| {
                CliError::Usage(format!("--user needs a password: set {PASSWORD_VARIABLE}, or say --password-file"))
            })?,
        };
        Ok(Some(Account { user: user.clone(), password: Secret::new(password.trim().to_owned()) }))
    }
}
