//! Reads a change: the kind of its record, and the wanted state.
//!
//! Maps an aggregate's type to its mapping. It validates the payload, and knows nothing of the server's records. Read
//! next: `mapping`.

use adapter_sdk::{Change, Failure, FailureKind, Operation, Outcome, Receipt, clinical, patient};
use serde_json::Value;

use crate::kind::{Kind, PASS_THROUGH};
use crate::mapping::{self, element::References};
use crate::outcome::failure;
use crate::settings::Settings;

/// The wanted state of a record.
pub(crate) struct Wanted<'a> {
    pub(crate) kind: Kind<'a>,
    /// `None` for a merge, and for a delete that writes no state.
    pub(crate) resource: Option<Value>,
    /// For a merge, the link to the survivor's record.
    pub(crate) survivor: Option<Value>,
}

/// Reads a change that is to be delivered.
///
/// # Errors
/// The outcome of a change that needs no request: its failure, or the confirmation of a delete of a resource that never
/// came here, since neither its payload nor a link contains its type.
pub(crate) fn begin<'a>(settings: &'a Settings, change: &'a Change) -> Result<Wanted<'a>, Outcome> {
    if never_came(change) {
        return Err(Outcome::Applied(Receipt { remote_id: String::new(), remote_version: None, fingerprint: None }));
    }
    read(settings, change).map_err(Outcome::Failed)
}

/// Reads a change.
///
/// # Errors
/// `unsupported` and `invalid`, without any text of the payload.
pub(crate) fn read<'a>(settings: &'a Settings, change: &'a Change) -> Result<Wanted<'a>, Failure> {
    let kind = match Kind::of(&change.aggregate_type, settings) {
        Some(kind) => Some(kind),
        None if change.aggregate_type == PASS_THROUGH => None,
        None => {
            return Err(failure(FailureKind::Unsupported, "only patients and clinical records can be delivered"));
        }
    };
    if change.aggregate_id.is_empty() || change.aggregate_id.chars().any(char::is_control) {
        return Err(invalid("aggregate_id is empty or holds control characters"));
    }
    match kind {
        Some(kind) if kind.is_patient() => read_patient(kind, settings, change),
        Some(kind) => read_clinical(kind, settings, change),
        None => read_clinical(pass_through(settings, change)?, settings, change),
    }
}

fn read_patient<'a>(kind: Kind<'a>, settings: &'a Settings, change: &Change) -> Result<Wanted<'a>, Failure> {
    let deletes = change.operation == Operation::Delete;
    if deletes && is_empty_object(&change.payload) {
        return Ok(Wanted { kind, resource: None, survivor: None });
    }
    if change.operation == Operation::Merge {
        let (patient_id, id) = survivor(change)?;
        let survivor = Some(mapping::patient::replaced_by(&kind, patient_id, id));
        return Ok(Wanted { kind, resource: None, survivor });
    }
    let patient = patient::read(change)?;
    let resource = Some(mapping::patient::resource(&patient, !deletes, settings));
    Ok(Wanted { kind, resource, survivor: None })
}

/// The survivor's aggregate id and its id at the server.
fn survivor(change: &Change) -> Result<(&str, &str), Failure> {
    let survivor = change.survivor.as_ref();
    let ids = survivor.and_then(|survivor| Some((survivor.aggregate_id.as_str(), survivor.remote_id.as_deref()?)));
    ids.ok_or_else(|| invalid("the patient who stays has no record at this server; fix: deliver that one first"))
}

/// Reads a change of a clinical type. A delete marks the record as entered in error and writes nothing of the payload.
fn read_clinical<'a>(kind: Kind<'a>, settings: &'a Settings, change: &'a Change) -> Result<Wanted<'a>, Failure> {
    if change.operation == Operation::Delete {
        return Ok(Wanted { kind, resource: None, survivor: None });
    }
    let record = clinical::read(change)?;
    let references = References { all: &change.references, settings };
    let resource = mapping::clinical(&kind, &change.aggregate_id, &record, references)?;
    Ok(Wanted { kind, resource: Some(resource), survivor: None })
}

/// Whether it deletes a resource that is passed through and was never delivered here, of whatever type it was.
fn never_came(change: &Change) -> bool {
    let is_delete = change.aggregate_type == PASS_THROUGH && change.operation == Operation::Delete;
    let payload = || serde_json::from_str::<serde_json::Map<String, Value>>(&change.payload);
    is_delete && change.link.is_none() && payload().is_ok_and(|payload| !payload.contains_key("resourceType"))
}

/// The kind of a resource that is passed through. Both the payload and the link contain its resource type.
fn pass_through<'a>(settings: &'a Settings, change: &Change) -> Result<Kind<'a>, Failure> {
    let payload: Value = serde_json::from_str(&change.payload).map_err(|_| invalid("payload must be a JSON object"))?;
    let given = payload.get("resourceType").and_then(Value::as_str);
    let linked = change.link.as_ref().and_then(|link| link.remote_id.split_once('/')).map(|(name, _)| name);
    let resource_type = match (given, linked) {
        (Some(given), Some(linked)) if given != linked => {
            return Err(invalid(
                "resourceType: the record at the target is of another type; delete this aggregate, and create another",
            ));
        }
        (Some(name), _) | (None, Some(name)) => name,
        (None, None) => {
            return Err(invalid("resourceType: is missing; without it the record at the target cannot be found"));
        }
    };
    let is_name = resource_type.starts_with(|first: char| first.is_ascii_uppercase())
        && resource_type.bytes().all(|byte| byte.is_ascii_alphabetic());
    if !is_name || resource_type == "Patient" {
        return Err(invalid("resourceType: must be the name of a FHIR resource type, and not Patient"));
    }
    Ok(Kind::passed_through(resource_type.to_owned(), settings))
}

fn invalid(message: &str) -> Failure {
    failure(FailureKind::Invalid, message)
}

fn is_empty_object(payload: &str) -> bool {
    serde_json::from_str::<Value>(payload)
        .is_ok_and(|payload| payload.as_object().is_some_and(serde_json::Map::is_empty))
}
