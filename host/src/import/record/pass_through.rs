//! Reads any other FHIR resource into our `fhir-resource`: the resource unchanged, except for our ids in its
//! references.

use serde_json::{Map, Value, json};

use super::element::text;
use super::resource::Resource;
use super::{Context, reference};
use crate::import::identity;
use crate::import::kind::Kind;

/// The prefix of the identifier systems of our own records. The adapter writes these identifiers again.
const OUR_SYSTEMS: &str = "urn:neuronova:";

pub(super) fn fill(resource: &mut Resource<'_>) {
    // Only these two elements decide the id. The rest may be large, so it is not copied.
    let identity = json!({ "id": resource.elements["id"], "identifier": resource.elements["identifier"] });
    let mut elements = std::mem::replace(&mut resource.elements, identity);
    let mut found = Found { referred: Vec::new(), context: resource.context };
    if let Value::Object(object) = &mut elements {
        drop_own_identifiers(object, &identity::system(Kind::Other, resource.context.options));
        found.visit(object);
    }
    for (index, (aggregate_type, aggregate_id)) in found.referred.into_iter().enumerate() {
        resource.refer(&format!("reference_{}", index + 1), aggregate_type, aggregate_id);
    }
    if let Value::Object(object) = elements {
        resource.payload = object;
    }
}

fn drop_own_identifiers(object: &mut Map<String, Value>, ours: &str) {
    let is_ours = |identifier: &Value| {
        text(identifier, "system").is_some_and(|system| system == ours || system.starts_with(OUR_SYSTEMS))
    };
    match object.get_mut("identifier") {
        Some(Value::Array(identifiers)) => {
            identifiers.retain(|identifier| !is_ours(identifier));
            if identifiers.is_empty() {
                object.remove("identifier");
            }
        }
        Some(identifier) if is_ours(identifier) => drop(object.remove("identifier")),
        _ => {}
    }
}

/// The references found in a resource, each once.
struct Found<'a> {
    referred: Vec<(&'static str, String)>,
    context: &'a Context<'a>,
}

impl Found<'_> {
    fn visit(&mut self, object: &mut Map<String, Value>) {
        for (name, value) in object.iter_mut() {
            self.visit_value(name, value);
        }
    }

    fn visit_value(&mut self, name: &str, value: &mut Value) {
        match value {
            Value::Array(entries) => entries.iter_mut().for_each(|entry| self.visit_value(name, entry)),
            Value::Object(object) => {
                self.rewrite(name, object);
                self.visit(object);
            }
            _ => {}
        }
    }

    /// Replaces the id in a reference to a record that an import makes. Other references are unchanged.
    fn rewrite(&mut self, name: &str, object: &mut Map<String, Value>) {
        let Some(literal) = object.get("reference").and_then(Value::as_str) else { return };
        let of_element = object.get("type").and_then(Value::as_str);
        let of_element = of_element.and_then(|name| crate::import::resource_type::known(name.as_bytes()));
        // Without a type, only the element's name shows what it refers to.
        let expected = of_element.or(match name {
            "patient" | "subject" => Some("Patient"),
            "encounter" => Some("Encounter"),
            _ => None,
        });
        if literal.starts_with("urn:uuid:") && expected.is_none() {
            return;
        }
        let Ok(referred) = reference::of_text(literal, expected.unwrap_or("Basic"), self.context) else { return };
        let (kind, ours) = (referred.kind, referred.aggregate_id);
        if referred.resource_type == "MedicationRequest" {
            // The request becomes a MedicationStatement, which is not an order. So the reference keeps an identifier,
            // and no link.
            let system = identity::system(kind, self.context.options);
            object.remove("reference");
            object.insert("type".to_owned(), json!(referred.resource_type));
            object.insert("identifier".to_owned(), json!({ "system": system, "value": ours }));
            return;
        }
        object.insert("reference".to_owned(), json!(format!("{}/{ours}", referred.resource_type)));
        let entry = (kind.aggregate_type(), ours);
        if !self.referred.contains(&entry) {
            self.referred.push(entry);
        }
    }
}
