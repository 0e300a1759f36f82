//! The host's log, by level.

use crate::bindings::database_target::neuronova::sync::logging::{Level, log};

/// For the adapter's author.
pub fn debug(message: &str) {
    log(Level::Debug, message);
}

/// For the operator who reads along.
pub fn info(message: &str) {
    log(Level::Info, message);
}

/// Something that the operator should look at.
pub fn warn(message: &str) {
    log(Level::Warn, message);
}

/// Something that the operator must look at.
pub fn error(message: &str) {
    log(Level::Error, message);
}
