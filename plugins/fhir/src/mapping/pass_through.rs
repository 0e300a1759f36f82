//! Passes a FHIR R4 resource through: adds our identifier, and inserts the server's ids into its references.

use adapter_sdk::clinical::{FhirResource, LocalReference, aggregate_type_of};
use adapter_sdk::{Failure, FailureKind, Reference};
use serde_json::{Map, Value, json};

use super::element::References;
use super::text;
use crate::kind::{Kind, Parts, Whole};
use crate::outcome::failure;
use crate::settings::Settings;

/// The whole resource is ours, except for the server's own metadata.
pub(crate) const PARTS: Parts =
    Parts { whole: Whole::AllBut(&["resourceType", "id", "meta", "text"]), entries: &[], kept: &[], retire: None };

/// Types of R4 with at most one identifier.
const ONE: [&str; 10] = [
    "AdverseEvent",
    "Bundle",
    "Composition",
    "ConceptMap",
    "MedicinalProductIngredient",
    "QuestionnaireResponse",
    "SpecimenDefinition",
    "SubstanceSpecification",
    "TestReport",
    "TestScript",
];

/// Types of R4 without identifiers.
#[rustfmt::skip]
const NONE: [&str; 28] = [
    "AuditEvent", "Binary", "CapabilityStatement", "CompartmentDefinition", "GraphDefinition", "ImplementationGuide",
    "Linkage", "MedicationKnowledge", "MedicinalProductContraindication", "MedicinalProductIndication",
    "MedicinalProductInteraction", "MedicinalProductManufactured", "MedicinalProductUndesirableEffect",
    "MessageHeader", "NamingSystem", "OperationDefinition", "OperationOutcome", "Parameters", "Provenance",
    "SearchParameter", "Subscription", "SubstanceNucleicAcid", "SubstancePolymer", "SubstanceProtein",
    "SubstanceReferenceInformation", "SubstanceSourceMaterial", "TerminologyCapabilities", "VerificationResult",
];

/// Whether records of this type can carry the identifier by which we find them.
pub(crate) fn has_identifier(resource_type: &str) -> bool {
    NONE.binary_search(&resource_type).is_err()
}

/// The wanted resource, without an id.
///
/// # Errors
/// `invalid` for identifiers that would make it another record of ours, and for references without a target.
pub(super) fn resource(
    kind: &Kind<'_>,
    id: &str,
    given: &FhirResource,
    references: References<'_>,
) -> Result<Map<String, Value>, Failure> {
    if let Some(lost) = given.references().iter().find(|local| target(local, references) == Target::Another) {
        return Err(invalid(format!(
            "{}: the record that refs names for it is of another type than the reference names",
            lost.path
        )));
    }
    let mut given = given.clone();
    by_identifier(&mut given.resource, references);
    let mut resource = given.with_references(|local| match target(local, references) {
        Target::Record(reference) => Some(reference),
        Target::NotTaken | Target::Another => None,
    });
    // The server assigns the id and the version.
    resource.remove("id");
    if let Some(meta) = resource.get_mut("meta").and_then(Value::as_object_mut) {
        meta.remove("versionId");
        meta.remove("lastUpdated");
        if meta.is_empty() {
            resource.remove("meta");
        }
    }
    identify(&mut resource, kind, id)?;
    Ok(resource)
}

/// Adds our identifier to the resource.
fn identify(resource: &mut Map<String, Value>, kind: &Kind<'_>, id: &str) -> Result<(), Failure> {
    let ours = json!({ "system": kind.system, "value": id });
    let theirs = match resource.get("identifier") {
        Some(Value::Array(identifiers)) => identifiers.clone(),
        Some(identifier) => vec![identifier.clone()],
        None => Vec::new(),
    };
    let base = &kind.settings.identifier_system;
    let is_of_ours = |identifier: &Value| {
        text(identifier, "system").is_some_and(|system| {
            system.strip_prefix(base.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        })
    };
    if let Some(place) = theirs.iter().position(is_of_ours) {
        return Err(invalid(format!(
            "identifier[{place}].system: is one of those by which this target finds our own records; remove it"
        )));
    }
    if !ONE.contains(&kind.resource_type.as_ref()) {
        resource.insert("identifier".to_owned(), Value::Array([vec![ours], theirs].concat()));
    } else if theirs.is_empty() {
        resource.insert("identifier".to_owned(), ours);
    } else {
        let name = &kind.resource_type;
        return Err(invalid(format!("identifier: {name} has room for one, and ours is needed to find it; remove it")));
    }
    Ok(())
}

/// The target of a local reference.
#[derive(Debug, PartialEq, Eq)]
enum Target {
    /// The server's `Type/ID`.
    Record(String),
    /// This target does not accept the aggregate.
    NotTaken,
    /// No entry of `refs` matches the reference.
    Another,
}

fn target(local: &LocalReference, references: References<'_>) -> Target {
    let is_meant =
        |entry: &&Reference| entry.aggregate_type == local.aggregate_type && entry.aggregate_id == local.aggregate_id;
    let Some(entry) = references.all.iter().find(is_meant) else { return Target::Another };
    let Some(id) = entry.remote_id.as_deref().filter(|id| !id.is_empty()) else { return Target::NotTaken };
    match id.split_once('/') {
        // The remote id of a resource that is passed through has type and id.
        Some((resource_type, _)) if resource_type == local.resource_type => Target::Record(id.to_owned()),
        Some(_) => Target::Another,
        None => Target::Record(format!("{}/{id}", local.resource_type)),
    }
}

/// Replaces references to aggregates that this target does not accept by their identifier. Unchanged, they would lead
/// to another record.
fn by_identifier(resource: &mut Map<String, Value>, references: References<'_>) {
    let is_missing = |entry: &&Reference| entry.remote_id.as_deref().is_none_or(str::is_empty);
    let missing: Vec<_> = references.all.iter().filter(is_missing).collect();
    if !missing.is_empty() {
        resource.values_mut().for_each(|value| replace(value, &missing, references.settings));
    }
}

fn replace(value: &mut Value, missing: &[&Reference], settings: &Settings) {
    match value {
        Value::Array(entries) => entries.iter_mut().for_each(|entry| replace(entry, missing, settings)),
        Value::Object(object) => {
            if let Some((resource_type, identifier)) = logical(object, missing, settings) {
                object.remove("reference");
                object.insert("type".to_owned(), json!(resource_type));
                object.insert("identifier".to_owned(), identifier);
            }
            object.values_mut().for_each(|entry| replace(entry, missing, settings));
        }
        _ => {}
    }
}

/// The type and identifier for a `Reference`, if it refers to one of the missing aggregates.
fn logical(object: &Map<String, Value>, missing: &[&Reference], settings: &Settings) -> Option<(String, Value)> {
    let (resource_type, rest) = object.get("reference")?.as_str()?.split_once('/')?;
    let id = rest.split_once("/_history/").map_or(rest, |(id, _)| id);
    let aggregate_type = aggregate_type_of(resource_type);
    let is_missing = missing.iter().any(|entry| entry.aggregate_type == aggregate_type && entry.aggregate_id == id);
    let identifier = json!({ "system": Kind::system_of(aggregate_type, settings), "value": id });
    is_missing.then(|| (resource_type.to_owned(), identifier))
}

fn invalid(message: String) -> Failure {
    failure(FailureKind::Invalid, message)
}
