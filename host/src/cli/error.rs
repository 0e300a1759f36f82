//! Errors of commands and their exit codes: 1 failure, 2 usage, 3 configuration, 4 database, 5 plugin.

use crate::config::ConfigError;
use crate::distribution::DistributionError;
use crate::domain::audit::AuditOutcome;
use crate::domain::change::FailureKind;
use crate::import::ImportError;
use crate::plugin::PluginError;
use crate::seed_file::SeedFileError;
use crate::service::ServiceError;
use crate::store::{MigrationError, StoreError};

#[derive(Debug, thiserror::Error)]
pub(super) enum CliError {
    #[error("{0}")]
    Failed(String),
    #[error("{0}")]
    Usage(String),
    #[error("{0}")]
    Config(String),
    #[error("{0}")]
    Database(String),
    #[error("{0}")]
    Plugin(String),
}

impl CliError {
    pub(super) fn exit_code(&self) -> u8 {
        match self {
            Self::Failed(_) => 1,
            Self::Usage(_) => 2,
            Self::Config(_) => 3,
            Self::Database(_) => 4,
            Self::Plugin(_) => 5,
        }
    }

    /// The word for it in the audit. The message stays out: an event has no more than ids and counts.
    pub(super) fn audit_outcome(&self) -> AuditOutcome {
        match self {
            Self::Failed(_) => AuditOutcome::Failed,
            Self::Usage(_) => AuditOutcome::Usage,
            Self::Config(_) => AuditOutcome::Configuration,
            Self::Database(_) => AuditOutcome::Database,
            Self::Plugin(_) => AuditOutcome::Adapter,
        }
    }
}

/// The exit code for a failure of a target or its adapter.
pub(super) fn failure_exit_code(kind: FailureKind) -> u8 {
    match kind {
        FailureKind::Adapter => 5,
        FailureKind::Unavailable | FailureKind::Misconfigured => 4,
        _ => 1,
    }
}

impl CliError {
    /// The error for a failure of a target or its adapter, with the exit code of [`failure_exit_code`].
    pub(super) fn of_failure(kind: FailureKind, message: String) -> Self {
        match failure_exit_code(kind) {
            5 => Self::Plugin(message),
            4 => Self::Database(message),
            _ => Self::Failed(message),
        }
    }
}

impl From<ConfigError> for CliError {
    fn from(error: ConfigError) -> Self {
        Self::Config(error.to_string())
    }
}

impl From<ImportError> for CliError {
    fn from(error: ImportError) -> Self {
        Self::Config(error.to_string())
    }
}

impl From<SeedFileError> for CliError {
    fn from(error: SeedFileError) -> Self {
        Self::Config(error.to_string())
    }
}

impl From<StoreError> for CliError {
    fn from(error: StoreError) -> Self {
        Self::Database(error.to_string())
    }
}

impl From<MigrationError> for CliError {
    fn from(error: MigrationError) -> Self {
        Self::Database(error.to_string())
    }
}

impl From<ServiceError> for CliError {
    fn from(error: ServiceError) -> Self {
        match error {
            ServiceError::Store(error) => error.into(),
            ServiceError::Password { .. } | ServiceError::Refused(_) => Self::Failed(error.to_string()),
        }
    }
}

impl From<PluginError> for CliError {
    fn from(error: PluginError) -> Self {
        Self::Plugin(error.to_string())
    }
}

impl From<DistributionError> for CliError {
    fn from(error: DistributionError) -> Self {
        match error {
            DistributionError::Source { .. } => Self::Usage(error.to_string()),
            _ => Self::Plugin(error.to_string()),
        }
    }
}
