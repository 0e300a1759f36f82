//! From a FHIR R4 `MedicationStatement` or `MedicationRequest` to our medication.

use serde_json::{Value, json};

use super::element;
use super::reference;
use super::resource::Resource;

pub(super) fn fill(resource: &mut Resource<'_>) {
    let is_request = resource.resource_type == "MedicationRequest";
    if is_request {
        fill_request(resource);
    } else {
        fill_statement(resource);
    }
    put_medication(resource);
    resource.put_concept("reason_code", "reasonCode");
    resource.put_note("note");
    let subject = resource.first("subject").cloned();
    resource.refer_to_patient(subject.as_ref());
    // A statement's `context` may also be an episode of care, which is not an encounter.
    resource.refer_to_encounter(if is_request { "encounter" } else { "context" });
}

fn fill_statement(resource: &mut Resource<'_>) {
    resource.put_text("status", "status");
    put_effective(resource);
    resource.put_day("date_asserted", "dateAsserted");
    put_dosage(resource, "dosage");
}

/// Maps a request to the fields of a statement.
fn fill_request(resource: &mut Resource<'_>) {
    if resource.elements.get("doNotPerform").is_some_and(|value| *value == json!(true)) {
        resource.reject("doNotPerform", "is true: an order not to give a medication cannot be kept");
    }
    let is_order = !matches!(resource.text("intent"), Some("proposal" | "plan" | "option"));
    let status = match resource.text("status") {
        Some("active") if !is_order => Some("intended"),
        Some("draft") => Some("intended"),
        Some("cancelled") => Some("not-taken"),
        status => status,
    };
    let status = status.map(str::to_owned);
    resource.put("status", status);
    resource.put_day("date_asserted", "authoredOn");
    put_dosage(resource, "dosageInstruction");
}

/// Sets the medication: its concept, the code of a Medication in the resource or in the files, or else the display name
/// of a reference.
fn put_medication(resource: &mut Resource<'_>) {
    if let Some(concept) = resource.elements.get("medicationCodeableConcept").cloned() {
        return resource.put_read_concept("medication", Some(&concept));
    }
    let Some(reference) = resource.first("medicationReference").cloned() else { return };
    let contained = element::text(&reference, "reference").and_then(|text| text.strip_prefix('#'));
    let is_it = |entry: &&Value| contained.is_some() && element::text(entry, "id") == contained;
    let code = resource.entries("contained").iter().find(is_it).and_then(|medication| medication.get("code"));
    let concept = code
        .cloned()
        .or_else(|| reference::code_of_medication(&reference, resource.context))
        .or_else(|| element::text(&reference, "display").map(|display| json!({ "text": display })));
    match concept {
        Some(concept) => resource.put_read_concept("medication", Some(&concept)),
        None => resource.reject("medication", "refers to a Medication that is not in the files, without its name"),
    }
}

fn put_effective(resource: &mut Resource<'_>) {
    let period = resource.elements.get("effectivePeriod").map(element::period);
    let moment = resource.text("effectiveDateTime").map(|moment| json!({ "start": moment }));
    let period = period.filter(|period| !period.is_empty()).map(Value::Object);
    resource.put("effective", period.or(moment));
}

/// Sets the texts of all instructions, and the first route that is present.
fn put_dosage(resource: &mut Resource<'_>, element: &str) {
    let dosages = resource.entries(element);
    let text = element::joined(dosages.iter().filter_map(|dosage| element::text(dosage, "text")), "; ");
    let route = dosages.iter().find_map(|dosage| dosage.get("route")).cloned();
    resource.put("dosage", text);
    resource.put_read_concept("route", route.as_ref());
}
