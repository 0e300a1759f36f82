//! The operator's settings for this target.

use serde::de::DeserializeOwned;

use crate::bindings::database_target::neuronova::sync::settings;
use crate::{Failure, FailureKind};

pub use settings::{base_url, target_name};

/// Reads `[targets.NAME.settings]` into the adapter's own type, which should refuse unknown fields.
///
/// # Errors
/// `misconfigured`, with the section and the problem.
pub fn read<T: DeserializeOwned>() -> Result<T, Failure> {
    serde_json::from_str(&settings::document()).map_err(|error| Failure {
        kind: FailureKind::Misconfigured,
        message: format!("[targets.{}.settings]: {error}", target_name()),
        retry_after_ms: None,
    })
}
