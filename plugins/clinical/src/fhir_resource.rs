//! A resource of FHIR R4 that is delivered unchanged, except for its references to our aggregates.
//!
//! A relative reference `Type/ID` names one of our aggregates: ID is its aggregate id. `refs` must contain it too, so
//! that the change waits for it. Absolute URLs, `urn:`, `#contained` and searches (`Type?...`) are not changed.

use serde_json::{Map, Value};

use crate::{Problem, Ref};

/// The prefix of our identifier systems. An adapter finds our records by these identifiers.
const OUR_SYSTEMS: &str = "urn:neuronova:";

/// The resource types that have an aggregate type of their own.
const TYPED: [(&str, &str); 7] = [
    ("Patient", "patient"),
    ("Encounter", "encounter"),
    ("Condition", "condition"),
    ("AllergyIntolerance", "allergy"),
    ("MedicationStatement", "medication"),
    ("Observation", "observation"),
    ("Appointment", "appointment"),
];

/// The aggregate type that a reference to this resource type means.
#[must_use]
pub fn aggregate_type_of(resource_type: &str) -> &'static str {
    TYPED.iter().find(|(name, _)| *name == resource_type).map_or("fhir-resource", |(_, aggregate_type)| aggregate_type)
}

/// The payload of a `fhir-resource` change.
#[derive(Clone, Debug, PartialEq)]
pub struct FhirResource {
    /// The resource type, for example `Immunization`.
    pub resource_type: String,
    /// The whole resource, including `resourceType`.
    pub resource: Map<String, Value>,
}

/// A relative reference in a resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalReference {
    /// The path of the reference, for example `performer[0].actor.reference`.
    pub path: String,
    /// The resource type in the reference.
    pub resource_type: String,
    /// The aggregate type in `refs`; `fhir-resource` for every resource without a type of its own.
    pub aggregate_type: &'static str,
    /// The aggregate id.
    pub aggregate_id: String,
}

impl FhirResource {
    pub(crate) fn of_checked(value: Value) -> Result<Self, Problem> {
        let resource_type = value["resourceType"].as_str().map(str::to_owned);
        match (resource_type, value) {
            (Some(resource_type), Value::Object(resource)) => Ok(Self { resource_type, resource }),
            _ => Err(Problem::new("payload", "must be a JSON object")),
        }
    }

    /// Every relative reference of the resource.
    #[must_use]
    pub fn references(&self) -> Vec<LocalReference> {
        let mut found = Vec::new();
        let mut resource = self.resource.clone();
        visit_object(&mut resource, "", &mut |path, text| {
            found.extend(local(path, text));
            None
        });
        found
    }

    /// Replaces each relative reference by the result of `remote_id`, for example the server's `Patient/17`. A
    /// reference without a result is not changed.
    #[must_use]
    pub fn with_references(&self, mut remote_id: impl FnMut(&LocalReference) -> Option<String>) -> Map<String, Value> {
        let mut resource = self.resource.clone();
        visit_object(&mut resource, "", &mut |path, text| {
            local(path, text).and_then(|reference| remote_id(&reference))
        });
        resource
    }

    pub(crate) fn problems(&self, refs: &[Ref<'_>]) -> Vec<Problem> {
        let mut problems = Vec::new();
        if self.resource_type == "Patient" {
            problems.push(Problem::new("resourceType", "must not be Patient, which is the aggregate type patient"));
        }
        let identifiers = self.resource.get("identifier").into_iter().flat_map(|identifier| match identifier {
            Value::Array(identifiers) => identifiers.as_slice(),
            other => std::slice::from_ref(other),
        });
        for (index, identifier) in identifiers.enumerate() {
            if identifier["system"].as_str().is_some_and(|system| system.starts_with(OUR_SYSTEMS)) {
                let path = format!("identifier[{index}].system");
                problems.push(Problem::new(
                    path,
                    format!("must not begin with {OUR_SYSTEMS}, which names our own records"),
                ));
            }
        }
        for reference in self.references() {
            let is_named = refs.iter().any(|named| {
                named.aggregate_type == reference.aggregate_type && named.aggregate_id == reference.aggregate_id
            });
            if !is_named {
                let message = format!("refs does not name it; add an entry of type {}", reference.aggregate_type);
                problems.push(Problem::new(reference.path, message));
            }
        }
        problems
    }
}

/// Calls `replace` with every text of a field `reference`, and replaces the text by the result.
fn visit(value: &mut Value, path: &str, replace: &mut impl FnMut(&str, &str) -> Option<String>) {
    match value {
        Value::Object(object) => visit_object(object, path, replace),
        Value::Array(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                visit(item, &format!("{path}[{index}]"), replace);
            }
        }
        _ => {}
    }
}

fn visit_object(object: &mut Map<String, Value>, path: &str, replace: &mut impl FnMut(&str, &str) -> Option<String>) {
    for (name, value) in object {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        if let (Value::String(text), "reference") = (&mut *value, name.as_str()) {
            if let Some(replacement) = replace(&path, text) {
                *text = replacement;
            }
        } else {
            visit(value, &path, replace);
        }
    }
}

/// Parses `Type/ID`; `None` for a text that is not a relative reference.
fn local(path: &str, text: &str) -> Option<LocalReference> {
    let (resource_type, rest) = text.split_once('/')?;
    let is_type = resource_type.starts_with(|first: char| first.is_ascii_uppercase())
        && resource_type.bytes().all(|byte| byte.is_ascii_alphabetic());
    let aggregate_id = rest.split_once("/_history/").map_or(rest, |(id, _)| id);
    (is_type && !aggregate_id.is_empty()).then(|| LocalReference {
        path: path.to_owned(),
        resource_type: resource_type.to_owned(),
        aggregate_type: aggregate_type_of(resource_type),
        aggregate_id: aggregate_id.to_owned(),
    })
}

#[cfg(test)]
#[path = "fhir_resource_tests.rs"]
mod tests;
