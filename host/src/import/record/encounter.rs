//! From a FHIR R4 Encounter to our encounter.

use serde_json::{Value, json};

use super::element;
use super::resource::Resource;

const ACT_CODE: &str = "http://terminology.hl7.org/CodeSystem/v3-ActCode";

pub(super) fn fill(resource: &mut Resource<'_>) {
    resource.put_text("status", "status");
    // R4 has a Coding here instead of a CodeableConcept.
    let class = resource.first("class").cloned().map(|class| json!({ "coding": [class] }));
    let code = class.as_ref().and_then(|class| element::codes(std::slice::from_ref(class), ACT_CODE).next());
    resource.put("class", code);
    resource.put_concept("type", "type");
    resource.put_concept("reason_code", "reasonCode");
    let period = resource.elements.get("period").map(element::period);
    resource.put("period", period);
    let provider = name_in(resource, "participant", "individual");
    resource.put("provider", provider);
    let location = name_in(resource, "location", "location");
    resource.put("location", location);
    let subject = resource.first("subject").cloned();
    resource.refer_to_patient(subject.as_ref());
}

/// The first display name in the references of a list.
fn name_in(resource: &Resource<'_>, list: &str, reference: &str) -> Option<String> {
    let mut references = resource.entries(list).iter().filter_map(|entry| entry.get(reference));
    references.find_map(|reference: &Value| element::text(reference, "display")).map(str::to_owned)
}
