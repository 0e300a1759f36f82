//! Reads a change: what kind of record it is about, and how that record should be.
//!
//! Owns the way from an aggregate's type to its mapping. It judges the payload, and knows nothing of what a server
//! holds. Read next: `mapping`.

use adapter_sdk::{Change, Failure, FailureKind, Operation, patient};
use serde_json::Value;

use crate::kind::Kind;
use crate::mapping;
use crate::outcome::failure;
use crate::settings::Settings;

/// A record as a change wants it.
pub(crate) struct Wanted<'a> {
    pub(crate) kind: Kind<'a>,
    /// `None` for a delete that carries no state.
    pub(crate) resource: Option<Value>,
}

/// Reads a change.
///
/// # Errors
/// `unsupported` and `invalid`, with nothing of the payload.
pub(crate) fn read<'a>(settings: &'a Settings, change: &'a Change) -> Result<Wanted<'a>, Failure> {
    if change.aggregate_type != "patient" {
        return Err(failure(FailureKind::Unsupported, "only aggregates of type patient can be delivered"));
    }
    if change.aggregate_id.is_empty() || change.aggregate_id.chars().any(char::is_control) {
        return Err(failure(FailureKind::Invalid, "aggregate_id is empty or holds control characters"));
    }
    let kind = Kind::patient(settings);
    let deletes = change.operation == Operation::Delete;
    if deletes && is_empty_object(&change.payload) {
        return Ok(Wanted { kind, resource: None });
    }
    let patient = patient::read(change)?;
    Ok(Wanted { kind, resource: Some(mapping::patient::resource(&patient, !deletes, settings)) })
}

fn is_empty_object(payload: &str) -> bool {
    serde_json::from_str::<Value>(payload)
        .is_ok_and(|payload| payload.as_object().is_some_and(serde_json::Map::is_empty))
}
