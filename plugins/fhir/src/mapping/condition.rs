//! Maps our condition to a FHIR R4 Condition.

use adapter_sdk::clinical::Condition;
use adapter_sdk::{Failure, FailureKind};
use serde_json::{Map, Value, json};

use super::element::{self, ENTERED_IN_ERROR, References, begin, coded, concept, put, severity};
use crate::kind::{Kind, Parts};
use crate::outcome::failure;

pub(super) const CLINICAL: &str = "http://terminology.hl7.org/CodeSystem/condition-clinical";
pub(super) const VERIFICATION: &str = "http://terminology.hl7.org/CodeSystem/condition-ver-status";
pub(super) const CATEGORY: &str = "http://terminology.hl7.org/CodeSystem/condition-category";

/// Our elements of a Condition.
pub(crate) const PARTS: Parts = element::parts(
    &[
        "clinicalStatus",
        "verificationStatus",
        "severity",
        "code",
        "subject",
        "encounter",
        "onset[x]",
        "abatement[x]",
        "recordedDate",
    ],
    &[
        ("identifier", element::is_our_identifier),
        ("category", |_, entry| element::coding_system(entry) == Some(CATEGORY)),
        ("note", element::is_our_note),
    ],
    retire,
);

/// Marks a record as entered in error. It must then have no clinical status and no abatement (con-4, con-5).
fn retire(record: &mut Map<String, Value>) {
    element::retire_verification(record, VERIFICATION);
    record.retain(|element, _| !element.starts_with("abatement"));
}

pub(super) fn resource(
    kind: &Kind<'_>,
    id: &str,
    condition: &Condition,
    references: References<'_>,
) -> Result<Map<String, Value>, Failure> {
    let is_over = matches!(condition.clinical_status.as_str(), "inactive" | "remission" | "resolved");
    let is_error = condition.verification_status.as_deref() == Some(ENTERED_IN_ERROR);
    if condition.abatement.is_some() && !is_over && !is_error {
        return Err(failure(
            FailureKind::Invalid,
            "abatement: FHIR takes one only with a clinical_status of inactive, remission or resolved (con-4)",
        ));
    }
    let mut resource = begin(kind, id);
    put(&mut resource, "clinicalStatus", Some(coded(CLINICAL, &condition.clinical_status)));
    let status = condition.verification_status.as_ref();
    put(&mut resource, "verificationStatus", status.map(|status| coded(VERIFICATION, status)));
    put(&mut resource, "category", condition.category.as_ref().map(|category| json!([coded(CATEGORY, category)])));
    put(&mut resource, "severity", condition.severity.as_deref().and_then(severity));
    put(&mut resource, "code", Some(concept(&condition.code)));
    put(&mut resource, "subject", references.named("subject"));
    put(&mut resource, "encounter", references.named("encounter"));
    for (element, date) in [
        ("onsetDateTime", &condition.onset),
        ("abatementDateTime", &condition.abatement),
        ("recordedDate", &condition.recorded_date),
    ] {
        put(&mut resource, element, date.as_ref().map(|date| json!(date)));
    }
    put(&mut resource, "note", element::note(condition.note.as_ref()));
    if is_error {
        retire(&mut resource);
    }
    Ok(resource)
}
