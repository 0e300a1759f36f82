//! Tests of the server that change nothing there: whether it permits searches, and whether it keeps versions.
//!
//! It sends only reads. The host denies every request of a check that could write, including a Bundle of reads, because
//! it cannot know how a server treats it. So only the first delivery shows whether the credentials may write and
//! whether `If-Match` is honoured: `exchange` and `delivery` detect both.

use adapter_sdk::http::{self, Method, Request, Response};
use adapter_sdk::{Failure, FailureKind, Finding, FindingLevel};
use serde_json::Value;

use super::{Capabilities, PATIENT, Versioning, finding};
use crate::answer::{Answer, version_of};
use crate::exchange::{Outside, with_headers};
use crate::mapping;
use crate::outcome::{self, Asked, Whole, failure};
use crate::settings::Settings;

const WHAT: &str = "GET Patient?identifier=";
/// No patient has this identifier. A search for it tests searching and shows no record.
const NOBODY: &str = "neuronova-check";

/// A search without a match.
pub(crate) fn probe_query(system: &str) -> String {
    format!("Patient?{}&_count=0", mapping::identifier_query(system, NOBODY))
}

/// Whether we may search Patient by identifier, which needs the credentials where `/metadata` does not.
///
/// # Errors
/// `misconfigured` when the server refuses the search or does not support it; otherwise as for any request.
pub(super) fn search(outside: &dyn Outside, settings: &Settings) -> Result<Finding, Failure> {
    let query = probe_query(&settings.identifier_system);
    let mut response = get(outside, &query)?;
    if response.status == 400 {
        // Some servers do not accept a count of 0.
        response = get(outside, query.trim_end_matches("&_count=0"))?;
    }
    let body: Value = serde_json::from_slice(&response.body).unwrap_or_default();
    let is = |name: &str| body.get("resourceType").and_then(Value::as_str) == Some(name);
    let misconfigured = |message: String| Err(failure(FailureKind::Misconfigured, message));
    match response.status {
        200 if is("Bundle") => {}
        200 => {
            let found = outcome::unlike_json(&response);
            return misconfigured(format!(
                "{WHAT} was not answered with a Bundle: check base_url; the answer was {found}"
            ));
        }
        status @ (401 | 403) => {
            return misconfigured(format!(
                "{WHAT} answered {status}: the credentials are wrong, or they may not search Patient"
            ));
        }
        status => {
            let asked = Asked { what: WHAT, base_url: outside.base_url(), path: &query };
            return match outcome::of_response(&asked, &response, is("OperationOutcome")) {
                Whole::Target(failure) | Whole::Odd(failure) | Whole::Unanswered(failure) | Whole::Slow(failure) => {
                    Err(failure)
                }
                Whole::Answer => {
                    misconfigured(format!("{WHAT} answered {status}: without that search nothing is found"))
                }
            };
        }
    }
    let total = body.get("total").and_then(Value::as_u64).unwrap_or(0);
    let patients = body.get("entry").and_then(Value::as_array).is_some_and(|entries| {
        entries.iter().any(|entry| entry.pointer("/resource/resourceType").and_then(Value::as_str) == Some("Patient"))
    });
    if total > 0 || patients {
        return misconfigured(format!(
            "{WHAT} finds Patients for an identifier that no patient has: the server does not search by identifier"
        ));
    }
    Ok(finding(FindingLevel::Ok, "Patient is searched by identifier; that we may write shows at the first delivery"))
}

/// Checks the declared versions against one of our records. Removes, for every type, the features that the record does
/// not have.
pub(super) fn versions(outside: &dyn Outside, settings: &Settings, capabilities: &mut Capabilities) -> Option<Finding> {
    let promised = capabilities.of(PATIENT)?.clone();
    if promised.versioning == Versioning::NoVersion {
        return None;
    }
    let untried = || Some(finding(FindingLevel::Ok, "no record of ours is there yet to try the versions on"));
    let Some(id) = any_of_ours(outside, settings) else { return untried() };
    let record = format!("{PATIENT}/{}", mapping::percent_encode(&id));
    let Some(answer) = read(outside, &record) else { return untried() };
    if answer.status != 200 || answer.resource_of(PATIENT).is_none() {
        return untried();
    }
    let Some(version) = answer.version(PATIENT) else {
        for abilities in capabilities.types.values_mut() {
            abilities.versioning = Versioning::NoVersion;
        }
        let message = "the server promises versions, and the record of ours that was tried has none";
        return Some(finding(FindingLevel::Warning, message));
    };
    let has_history = promised.history && {
        let history = read(outside, &format!("{record}/_history?_count=1"));
        let newest = |answer: &Answer| answer.found(PATIENT).and_then(|entries| version_of(entries.first()?));
        // Another author may have written in between, so any version is accepted.
        history.is_some_and(|history| newest(&history).is_some())
    };
    for abilities in capabilities.types.values_mut().filter(|_| promised.history && !has_history) {
        abilities.history = false;
    }
    if promised.versioning != Versioning::VersionedUpdate {
        return None;
    }
    let is_number = version.parse::<u64>().is_ok();
    Some(match (is_number, has_history) {
        (_, true) => finding(FindingLevel::Ok, "an update that ignores If-Match is noticed in the record's history"),
        (true, false) => finding(FindingLevel::Ok, "an update that ignores If-Match is noticed by its version number"),
        (false, false) => finding(
            FindingLevel::Warning,
            "whether If-Match is honoured would not be noticed: versions are not numbers, and records have no history; \
             every record is read before it is written",
        ),
    })
}

fn read(outside: &dyn Outside, path: &str) -> Option<Answer> {
    let response = get(outside, path).ok()?;
    let body = serde_json::from_slice(&response.body).ok();
    Some(Answer::from_response(&response, body))
}

/// The id of some record with an identifier of our system.
fn any_of_ours(outside: &dyn Outside, settings: &Settings) -> Option<String> {
    let system = &settings.identifier_system;
    let response = get(outside, &format!("Patient?{}&_count=1", mapping::identifier_query(system, ""))).ok()?;
    let body: Value = serde_json::from_slice(&response.body).ok()?;
    let patient = body.pointer("/entry/0/resource")?;
    let is_ours = patient.get("identifier").and_then(Value::as_array).is_some_and(|identifiers| {
        identifiers.iter().any(|identifier| identifier.get("system").and_then(Value::as_str) == Some(system))
    });
    let id = patient.get("id").and_then(Value::as_str)?;
    is_ours.then(|| id.to_owned())
}

fn get(outside: &dyn Outside, path: &str) -> Result<Response, Failure> {
    let request = with_headers(Request::new(Method::Get, path), false);
    outside.send(&request).map_err(|error| match error {
        http::Error::Refused(_) => failure(FailureKind::Misconfigured, format!("{WHAT}: {error}")),
        error => outcome::of_error(WHAT, &error),
    })
}
