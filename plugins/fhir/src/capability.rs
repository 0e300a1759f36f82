//! What the server says that it can do, read from its `CapabilityStatement`.
//!
//! Owns the check: the request, the findings for people, and the state that the host hands to every `apply`. A server
//! that says nothing of a feature is taken not to have it, since every feature has a slower way round. What can be
//! tried without leaving a trace is tried in `proof`. Read next: `delivery`, which chooses the way.

mod proof;

use adapter_sdk::http::{Method, Request};
use adapter_sdk::{Failure, FailureKind, Finding, FindingLevel, Report};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::exchange::{Outside, content_type, with_headers};
use crate::outcome::{self, Whole, failure};
use crate::settings::Settings;

pub(crate) use proof::probe_query;

/// What a delivery needs to know of the server.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a feature of its own in the statement")]
pub(crate) struct Capabilities {
    /// `PUT Patient/ID` creates a record under an id of ours.
    pub(crate) update_create: bool,
    /// `POST Patient` with `If-None-Exist`.
    pub(crate) conditional_create: bool,
    /// Bundles of independent requests.
    pub(crate) batch: bool,
    /// What its versions are worth.
    pub(crate) versioning: Versioning,
    /// `GET Patient/ID/_history`.
    pub(crate) history: bool,
    /// Which server it is. Another one, or a newer release, may do what this one was seen to refuse.
    pub(crate) server: String,
}

/// FHIR's `versioning` of a resource type.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Versioning {
    /// There are no version ids, or nothing is known of them.
    #[default]
    NoVersion,
    /// There are version ids; that `If-Match` is honoured is not promised.
    Versioned,
    /// `If-Match` is honoured.
    VersionedUpdate,
}

impl Capabilities {
    /// The state that an earlier check left; `None` for an empty one or one of another version of this adapter.
    pub(crate) fn from_state(state: &[u8]) -> Option<Self> {
        serde_json::from_slice(state).ok()
    }

    fn to_state(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("invariant: plain fields are always JSON")
    }
}

/// Asks the server what it can do.
///
/// # Errors
/// `misconfigured` when it is not a FHIR R4 server with patients, or refuses our credentials; `unavailable` and
/// `throttled` when nothing can be said now.
pub(crate) fn check(outside: &dyn Outside, settings: &Settings) -> Result<Report, Failure> {
    let statement = fetch(outside)?;
    let mut read = read(&statement)?;
    read.findings.push(proof::search(outside, settings)?);
    read.findings.extend(proof::versions(outside, settings, &mut read.capabilities));
    read.findings.extend(ways_found(&read.capabilities, settings));
    Ok(Report { summary: read.summary, findings: read.findings, state: read.capabilities.to_state() })
}

/// The capabilities alone, for an `apply` that was given no state.
///
/// # Errors
/// As [`check`].
pub(crate) fn discover(outside: &dyn Outside, settings: &Settings) -> Result<Capabilities, Failure> {
    check(outside, settings).map(|report| Capabilities::from_state(&report.state).unwrap_or_default())
}

fn fetch(outside: &dyn Outside) -> Result<Value, Failure> {
    const WHAT: &str = "GET metadata";
    let request = with_headers(Request::new(Method::Get, "metadata"), false);
    let response = outside.send(&request).map_err(|error| match error {
        adapter_sdk::http::Error::Refused(_) => failure(FailureKind::Misconfigured, format!("{WHAT}: {error}")),
        error => outcome::of_error(WHAT, &error),
    })?;
    if response.status != 200 {
        // An OperationOutcome changes nothing here: where there is no CapabilityStatement there is nothing to deliver
        // to.
        return Err(match outcome::of_response(WHAT, &response, false) {
            Whole::Target(failure) | Whole::Odd(failure) | Whole::Unanswered(failure) | Whole::Slow(failure) => failure,
            Whole::Answer => {
                failure(FailureKind::Misconfigured, format!("{WHAT} answered {}: check base_url", response.status))
            }
        });
    }
    let body: Option<Value> = serde_json::from_slice(&response.body).ok();
    match body.as_ref().and_then(|body| body.get("resourceType")).and_then(Value::as_str) {
        Some("CapabilityStatement") => Ok(body.unwrap_or_default()),
        Some(other) => Err(not_fhir(&format!("a resource of type {}", word(other)))),
        None => Err(not_fhir(&content_type(&response))),
    }
}

fn not_fhir(found: &str) -> Failure {
    failure(
        FailureKind::Misconfigured,
        format!("GET metadata was answered with {found} and not with a CapabilityStatement: check base_url"),
    )
}

/// Something a server calls itself, short and in one line.
fn word(text: &str) -> String {
    text.chars().filter(|character| !character.is_control()).take(60).collect()
}

/// What a statement says.
struct Read {
    summary: String,
    capabilities: Capabilities,
    findings: Vec<Finding>,
}

fn read(statement: &Value) -> Result<Read, Failure> {
    let text = |pointer: &str| statement.pointer(pointer).and_then(Value::as_str).map(word);
    let version = text("/fhirVersion").unwrap_or_else(|| "an unnamed version".to_owned());
    if !version.starts_with("4.0") && !version.starts_with("4.3") {
        return Err(failure(
            FailureKind::Misconfigured,
            format!("the server speaks FHIR {version}, and this adapter speaks R4 (4.0)"),
        ));
    }
    let list = |value: &Value, element: &str| value.get(element).and_then(Value::as_array).cloned().unwrap_or_default();
    let has = |entries: &[Value], element: &str, wanted: &str| {
        entries.iter().any(|entry| entry.get(element).and_then(Value::as_str) == Some(wanted))
    };
    let rest = list(statement, "rest");
    let server = rest.iter().find(|rest| rest.get("mode").and_then(Value::as_str) != Some("client"));
    let patient = server.and_then(|server| {
        list(server, "resource").into_iter().find(|entry| entry.get("type").and_then(Value::as_str) == Some("Patient"))
    });
    let (Some(server), Some(patient)) = (server, patient) else {
        return Err(failure(FailureKind::Misconfigured, "the server keeps no Patient resources"));
    };

    let name = text("/software/name").or_else(|| text("/name")).unwrap_or_else(|| "FHIR server".to_owned());
    let release = text("/software/version").map(|release| format!(" {release}")).unwrap_or_default();
    let server_name = format!("{name}{release}, FHIR {version}");

    let flag = |element: &str| patient.get(element).and_then(Value::as_bool).unwrap_or(false);
    let system = list(server, "interaction");
    let interactions = list(&patient, "interaction");
    let capabilities = Capabilities {
        update_create: flag("updateCreate"),
        conditional_create: flag("conditionalCreate"),
        // Widespread servers name only `transaction` and take batches at the same place.
        batch: has(&system, "code", "batch") || has(&system, "code", "transaction"),
        versioning: match patient.get("versioning").and_then(Value::as_str) {
            Some("versioned-update") => Versioning::VersionedUpdate,
            Some("versioned") => Versioning::Versioned,
            _ => Versioning::NoVersion,
        },
        history: has(&interactions, "code", "history-instance"),
        server: server_name,
    };
    let mut findings = interactions_found(&|code| has(&interactions, "code", code));
    if version.starts_with("4.3") {
        findings.push(finding(FindingLevel::Warning, format!("FHIR {version} (R4B): Patient is the same as in R4")));
    }
    if !has(&list(&patient, "searchParam"), "name", "identifier") {
        findings.push(finding(
            FindingLevel::Warning,
            "the server does not name identifier among the search parameters of Patient; without it nothing is found",
        ));
    }

    Ok(Read { summary: capabilities.server.clone(), capabilities, findings })
}

/// Interactions without which changes fail. A statement that lists none at all has left them out.
fn interactions_found(listed: &dyn Fn(&str) -> bool) -> Vec<Finding> {
    let needed = ["read", "search-type", "create", "update"];
    if !needed.iter().any(|code| listed(code)) {
        return vec![finding(FindingLevel::Warning, "the server does not say what can be done with Patient")];
    }
    let missing: Vec<&str> = needed.into_iter().filter(|code| !listed(code)).collect();
    match missing.as_slice() {
        [] => vec![finding(FindingLevel::Ok, "Patient can be read, searched, created and updated")],
        missing => missing
            .iter()
            .map(|code| finding(FindingLevel::Problem, format!("Patient has no interaction {code}: changes will fail")))
            .collect(),
    }
}

fn ways_found(capabilities: &Capabilities, settings: &Settings) -> Vec<Finding> {
    let choose = |good: bool, ok: &str, warning: &str| {
        if good { finding(FindingLevel::Ok, ok) } else { finding(FindingLevel::Warning, warning) }
    };
    let creates = match (capabilities.update_create && settings.client_ids, capabilities.conditional_create) {
        (true, _) => finding(FindingLevel::Ok, "update creates: patients get ids of ours, so that none is made twice"),
        (false, true) => finding(
            FindingLevel::Ok,
            "conditional create: what was aborted while the server worked on it waits for in_doubt_ms, and is searched for",
        ),
        (false, false) => finding(
            FindingLevel::Warning,
            "neither update-create nor conditional create: a search comes before every create, and nothing but the \
             hosts' own order and in_doubt_ms prevents doubles",
        ),
    };
    let versions = match capabilities.versioning {
        Versioning::VersionedUpdate if settings.read_first => {
            finding(FindingLevel::Ok, "version-aware updates; records are read first, as the settings say")
        }
        Versioning::VersionedUpdate => finding(FindingLevel::Ok, "version-aware updates"),
        Versioning::Versioned => finding(
            FindingLevel::Ok,
            "version ids; that If-Match is honoured is not promised, so every record is read before it is written",
        ),
        Versioning::NoVersion => finding(
            FindingLevel::Warning,
            "no versions: every record is read before it is written, and an edit in that moment is not noticed",
        ),
    };
    let batches = if settings.batch {
        choose(capabilities.batch, "batch Bundles", "no batch Bundles: one request for every change")
    } else {
        finding(FindingLevel::Ok, "one request for every change, as the settings say")
    };
    vec![creates, versions, batches]
}

fn finding(level: FindingLevel, message: impl Into<String>) -> Finding {
    Finding { level, message: message.into() }
}

#[cfg(test)]
mod tests;
