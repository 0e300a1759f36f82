//! From a FHIR R4 `AllergyIntolerance` to our allergy.

use serde_json::{Value, json};

use super::element;
use super::resource::Resource;

const CLINICAL: &str = "http://terminology.hl7.org/CodeSystem/allergyintolerance-clinical";
const VERIFICATION: &str = "http://terminology.hl7.org/CodeSystem/allergyintolerance-verification";

pub(super) fn fill(resource: &mut Resource<'_>) {
    resource.put_code("clinical_status", "clinicalStatus", CLINICAL, &[]);
    resource.put_code("verification_status", "verificationStatus", VERIFICATION, &[]);
    resource.put_text("type", "type");
    let category = resource.first("category").cloned();
    resource.put("category", category);
    resource.put_text("criticality", "criticality");
    resource.put_concept("code", "code");
    resource.put_partial_day("onset", "start");
    resource.put_day("recorded_date", "recordedDate");
    put_reactions(resource);
    resource.put_note("note");
    let patient = resource.first("patient").cloned();
    resource.refer_to_patient(patient.as_ref());
    resource.refer_to_encounter("encounter");
}

/// Makes a reaction of each manifestation.
fn put_reactions(resource: &mut Resource<'_>) {
    let mut reactions: Vec<Value> = Vec::new();
    for reaction in resource.entries("reaction") {
        for manifestation in element::entries(reaction.get("manifestation")) {
            let mut fields = json!({});
            if let Some(manifestation) = element::concept(manifestation).value {
                fields["manifestation"] = manifestation;
            }
            if let Some(severity) = element::text(reaction, "severity") {
                fields["severity"] = json!(severity);
            }
            reactions.push(fields);
        }
    }
    resource.put("reaction", (!reactions.is_empty()).then_some(reactions));
}
