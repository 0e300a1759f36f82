//! The host's log, by level.

use crate::bindings::database_target::neuronova::sync::logging::{Level, log};

/// Logs a line for the adapter's author.
pub fn debug(message: &str) {
    log(Level::Debug, message);
}

/// For the operator who reads along.
pub fn info(message: &str) {
    log(Level::Info, message);
}

/// Logs a line that the operator should notice.
pub fn warn(message: &str) {
    log(Level::Warn, message);
}

/// Logs a line that the operator must act on.
pub fn error(message: &str) {
    log(Level::Error, message);
}
