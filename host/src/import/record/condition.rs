//! From a FHIR R4 Condition to our condition.

use super::element;
use super::resource::Resource;

const CLINICAL: &str = "http://terminology.hl7.org/CodeSystem/condition-clinical";
const VERIFICATION: &str = "http://terminology.hl7.org/CodeSystem/condition-ver-status";
const CATEGORY: &str = "http://terminology.hl7.org/CodeSystem/condition-category";
const SNOMED_CT: &str = "http://snomed.info/sct";

pub(super) fn fill(resource: &mut Resource<'_>) {
    resource.put_code("clinical_status", "clinicalStatus", CLINICAL, &[]);
    resource.put_code("verification_status", "verificationStatus", VERIFICATION, &[]);
    resource.put_code("category", "category", CATEGORY, &["problem-list-item", "encounter-diagnosis"]);
    let severity = severity(resource);
    if severity.is_none() && resource.first("severity").is_some() {
        resource.leave_out("severity", "has no code of SNOMED CT for mild, moderate or severe");
    }
    resource.put("severity", severity);
    resource.put_concept("code", "code");
    resource.put_partial_day("onset", "start");
    resource.put_partial_day("abatement", "end");
    resource.put_day("recorded_date", "recordedDate");
    resource.put_note("note");
    let subject = resource.first("subject").cloned();
    resource.refer_to_patient(subject.as_ref());
    resource.refer_to_encounter("encounter");
}

fn severity(resource: &Resource<'_>) -> Option<&'static str> {
    element::codes(resource.entries("severity"), SNOMED_CT).find_map(|code| match code {
        "255604002" => Some("mild"),
        "6736007" => Some("moderate"),
        "24484000" => Some("severe"),
        _ => None,
    })
}
