//! The server's declared features, read from its `CapabilityStatement`.
//!
//! Owns the check: the request, the findings for people, and the state that the host hands to every `apply`. A feature
//! that the server does not declare is assumed to be missing, because every feature has a slower alternative. `proof`
//! tests features that can be tested without a change at the server. Read next: `delivery`, which chooses the way.

mod proof;
mod types;

use std::collections::BTreeMap;

use adapter_sdk::http::{Method, Request};
use adapter_sdk::{Failure, FailureKind, Finding, FindingLevel, Report};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::exchange::{Outside, with_headers};
use crate::kind::Kind;
use crate::mapping;
use crate::outcome::{self, Asked, Whole, failure};
use crate::settings::Settings;

pub(crate) use proof::probe_query;

/// The resource type that every target must support.
pub(crate) const PATIENT: &str = "Patient";

/// The server's features that a delivery needs.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
pub(crate) struct Capabilities {
    /// Bundles of independent requests.
    pub(crate) batch: bool,
    /// The server's identity. Another server, or a newer release, may support what this one refused.
    pub(crate) server: String,
    /// The resource types that it stores.
    pub(crate) types: BTreeMap<String, Abilities>,
}

/// What the server does with one resource type.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a feature of its own in the statement")]
pub(crate) struct Abilities {
    /// Whether `PUT TYPE/ID` creates a record under an id of ours.
    pub(crate) update_create: bool,
    /// Whether it supports `POST TYPE` with `If-None-Exist`.
    pub(crate) conditional_create: bool,
    /// How far its version ids can be relied on.
    pub(crate) versioning: Versioning,
    /// Whether it supports `GET TYPE/ID/_history`.
    pub(crate) history: bool,
    /// Whether it supports `DELETE TYPE/ID`.
    pub(crate) deletes: bool,
    /// Interactions that a delivery needs and the server does not declare.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) missing: Vec<String>,
}

/// FHIR's `versioning` of a resource type.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Versioning {
    /// There are no version ids, or it is unknown whether there are.
    #[default]
    NoVersion,
    /// There are version ids, but no promise that `If-Match` is honoured.
    Versioned,
    /// `If-Match` is honoured.
    VersionedUpdate,
}

impl Capabilities {
    /// What the server does with a resource type; `None` for one that it does not store.
    pub(crate) fn of(&self, resource_type: &str) -> Option<&Abilities> {
        self.types.get(resource_type)
    }

    /// What the server does with a kind of record that it accepts.
    ///
    /// # Errors
    /// Why it does not accept that kind, for an operator. Patients are always accepted: a server without them is not a
    /// target.
    pub(crate) fn taking(&self, kind: &Kind<'_>) -> Result<&Abilities, String> {
        let name = &kind.resource_type;
        if !mapping::pass_through::has_identifier(name) {
            return Err(format!("{name} has no identifier in FHIR R4, so its records could not be found again"));
        }
        match self.of(name) {
            None => Err(format!("the server keeps no {name}")),
            Some(abilities) if kind.is_patient() || abilities.missing.is_empty() => Ok(abilities),
            Some(abilities) => Err(format!("the server's {name} has no interaction {}", abilities.missing.join(", "))),
        }
    }

    /// Reads the state that a check returned; `None` for an empty one or one of another version of this adapter.
    pub(crate) fn from_state(state: &[u8]) -> Option<Self> {
        serde_json::from_slice(state).ok()
    }

    fn to_state(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("invariant: plain fields are always JSON")
    }
}

/// Queries the server's features.
///
/// # Errors
/// `misconfigured` when it is not a FHIR R4 server with patients, or refuses our credentials; `unavailable` and
/// `throttled` when that cannot be determined now.
pub(crate) fn check(outside: &dyn Outside, settings: &Settings) -> Result<Report, Failure> {
    let statement = fetch(outside)?;
    let mut read = read(&statement)?;
    read.findings.push(proof::search(outside, settings)?);
    read.findings.extend(proof::versions(outside, settings, &mut read.capabilities));
    read.findings.extend(ways_found(&read.capabilities, settings));
    Ok(Report { summary: read.summary, findings: read.findings, state: read.capabilities.to_state() })
}

/// The capabilities without a report, for an `apply` without a state.
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
        // An OperationOutcome makes no difference: without a CapabilityStatement nothing can be delivered.
        let asked = Asked { what: WHAT, base_url: outside.base_url(), path: &request.path };
        return Err(match outcome::of_response(&asked, &response, false) {
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
        None => Err(not_fhir(&outcome::unlike_json(&response))),
    }
}

fn not_fhir(found: &str) -> Failure {
    failure(
        FailureKind::Misconfigured,
        format!("GET metadata was not answered with a CapabilityStatement: check base_url; the answer was {found}"),
    )
}

/// A name that the server reports for itself, shortened and on one line.
fn word(text: &str) -> String {
    text.chars().filter(|character| !character.is_control()).take(60).collect()
}

/// The parts of a statement that are used.
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
    let rest = list(statement, "rest");
    let Some(server) = rest.iter().find(|rest| rest.get("mode").and_then(Value::as_str) != Some("client")) else {
        return Err(no_patients());
    };
    let listed = types::read(list(server, "resource"));
    if !listed.iter().any(|listed| listed.name == PATIENT) {
        return Err(no_patients());
    }
    let name = text("/software/name").or_else(|| text("/name")).unwrap_or_else(|| "FHIR server".to_owned());
    let release = text("/software/version").map(|release| format!(" {release}")).unwrap_or_default();
    let system = list(server, "interaction");
    let mut findings = types::found(&listed);
    if version.starts_with("4.3") {
        findings.push(finding(
            FindingLevel::Warning,
            format!("FHIR {version} (R4B): Patient and the clinical types are the same as in R4"),
        ));
    }
    let capabilities = Capabilities {
        // Widespread servers declare only `transaction` and accept batches at the same URL.
        batch: has(system, "code", "batch") || has(system, "code", "transaction"),
        server: format!("{name}{release}, FHIR {version}"),
        types: listed.into_iter().map(|listed| (listed.name, listed.abilities)).collect(),
    };
    Ok(Read { summary: capabilities.server.clone(), capabilities, findings })
}

fn no_patients() -> Failure {
    failure(FailureKind::Misconfigured, "the server keeps no Patient resources")
}

fn list<'a>(value: &'a Value, element: &str) -> &'a [Value] {
    value.get(element).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn has(entries: &[Value], element: &str, wanted: &str) -> bool {
    entries.iter().any(|entry| entry.get(element).and_then(Value::as_str) == Some(wanted))
}

/// Reports how records will be created and updated, by the example of Patient.
fn ways_found(capabilities: &Capabilities, settings: &Settings) -> Vec<Finding> {
    let patient = capabilities.of(PATIENT).cloned().unwrap_or_default();
    let choose = |good: bool, ok: &str, warning: &str| {
        if good { finding(FindingLevel::Ok, ok) } else { finding(FindingLevel::Warning, warning) }
    };
    let creates = match (patient.update_create && settings.client_ids, patient.conditional_create) {
        (true, _) => finding(FindingLevel::Ok, "update creates: patients get our ids, so that none is created twice"),
        (false, true) => finding(
            FindingLevel::Ok,
            "conditional create: what was aborted while the server worked on it waits for in_doubt_ms, and is searched \
             for",
        ),
        (false, false) => finding(
            FindingLevel::Warning,
            "neither update-create nor conditional create: a search comes before every create, and nothing but the \
             hosts' own order and in_doubt_ms prevents doubles",
        ),
    };
    let versions = match patient.versioning {
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
