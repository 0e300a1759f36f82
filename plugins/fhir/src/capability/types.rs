//! The declarations of a statement about each resource type.
//!
//! Patient is required: a missing feature of it is a problem. A clinical type that the server does not store, or only
//! reads, is a warning, and its changes are skipped.

use adapter_sdk::{Finding, FindingLevel};
use serde_json::Value;

use super::{Abilities, PATIENT, Versioning, finding, has, list};
use crate::kind::TYPED;

/// The interactions without which changes fail.
const NEEDED: [&str; 4] = ["read", "search-type", "create", "update"];

/// One resource type of a statement.
pub(super) struct Listed {
    pub(super) name: String,
    pub(super) abilities: Abilities,
    /// Whether it lists its interactions.
    says: bool,
    /// Whether it can be searched by identifier.
    finds: bool,
}

pub(super) fn read(resources: &[Value]) -> Vec<Listed> {
    resources.iter().filter_map(read_one).collect()
}

fn read_one(resource: &Value) -> Option<Listed> {
    let name = resource.get("type").and_then(Value::as_str)?.to_owned();
    let flag = |element: &str| resource.get(element).and_then(Value::as_bool).unwrap_or(false);
    let interactions = list(resource, "interaction");
    let listed = |code: &str| has(interactions, "code", code);
    // A statement that lists no interaction has omitted the list.
    let says = NEEDED.iter().any(|code| listed(code));
    let missing = NEEDED.into_iter().filter(|code| says && !listed(code)).map(str::to_owned);
    let abilities = Abilities {
        update_create: flag("updateCreate"),
        conditional_create: flag("conditionalCreate"),
        versioning: match resource.get("versioning").and_then(Value::as_str) {
            Some("versioned-update") => Versioning::VersionedUpdate,
            Some("versioned") => Versioning::Versioned,
            _ => Versioning::NoVersion,
        },
        history: listed("history-instance"),
        deletes: !says || listed("delete"),
        missing: missing.collect(),
    };
    Some(Listed { name, abilities, says, finds: has(list(resource, "searchParam"), "name", "identifier") })
}

/// The findings about types for an operator.
pub(super) fn found(listed: &[Listed]) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Some(patient) = listed.iter().find(|listed| listed.name == PATIENT) {
        findings.extend(patient_found(patient));
    }
    let clinical = TYPED.into_iter().filter(|(_, name, _)| *name != PATIENT);
    let mut taken = Vec::new();
    for (aggregate_type, name, _) in clinical {
        let told = |message: String| finding(FindingLevel::Warning, message);
        match listed.iter().find(|listed| listed.name == name) {
            None => {
                findings
                    .push(told(format!("the server keeps no {name}: changes of type {aggregate_type} are skipped")));
            }
            Some(listed) if !listed.abilities.missing.is_empty() => {
                let missing = listed.abilities.missing.join(", ");
                let then = format!("changes of type {aggregate_type} are skipped");
                findings.push(told(format!("{name} has no interaction {missing}: {then}")));
            }
            Some(listed) if listed.says && !listed.finds => findings.push(told(format!(
                "the server does not name identifier among the search parameters of {name}; without it nothing is found"
            ))),
            Some(_) => taken.push(name),
        }
    }
    if !taken.is_empty() {
        findings.push(finding(FindingLevel::Ok, format!("clinical records: {}", taken.join(", "))));
    }
    findings
}

fn patient_found(patient: &Listed) -> Vec<Finding> {
    let mut findings: Vec<Finding> = match patient.abilities.missing.as_slice() {
        _ if !patient.says => {
            vec![finding(FindingLevel::Warning, "the server does not declare what it supports for Patient")]
        }
        [] => vec![finding(FindingLevel::Ok, "Patient can be read, searched, created and updated")],
        missing => missing
            .iter()
            .map(|code| finding(FindingLevel::Problem, format!("Patient has no interaction {code}: changes will fail")))
            .collect(),
    };
    if !patient.finds {
        findings.push(finding(
            FindingLevel::Warning,
            "the server does not name identifier among the search parameters of Patient; without it nothing is found",
        ));
    }
    findings
}
