//! Maps our allergy to a FHIR R4 `AllergyIntolerance`.

use adapter_sdk::clinical::{Allergy, Reaction};
use serde_json::{Map, Value, json};

use super::element::{self, ENTERED_IN_ERROR, References, begin, coded, concept, put};
use crate::kind::{Kind, Parts};

pub(super) const CLINICAL: &str = "http://terminology.hl7.org/CodeSystem/allergyintolerance-clinical";
pub(super) const VERIFICATION: &str = "http://terminology.hl7.org/CodeSystem/allergyintolerance-verification";

/// Our elements of an `AllergyIntolerance`.
pub(crate) const PARTS: Parts = element::parts(
    &[
        "clinicalStatus",
        "verificationStatus",
        "type",
        "category",
        "criticality",
        "code",
        "patient",
        "encounter",
        "onset[x]",
        "recordedDate",
        "reaction",
    ],
    &[("identifier", element::is_our_identifier), ("note", element::is_our_note)],
    retire,
);

/// Marks a record as entered in error. It must then have no clinical status (ait-2).
fn retire(record: &mut Map<String, Value>) {
    element::retire_verification(record, VERIFICATION);
}

pub(super) fn resource(kind: &Kind<'_>, id: &str, allergy: &Allergy, references: References<'_>) -> Map<String, Value> {
    let mut resource = begin(kind, id);
    put(&mut resource, "clinicalStatus", Some(coded(CLINICAL, &allergy.clinical_status)));
    let status = allergy.verification_status.as_ref();
    put(&mut resource, "verificationStatus", status.map(|status| coded(VERIFICATION, status)));
    put(&mut resource, "type", allergy.kind.as_ref().map(|kind| json!(kind)));
    put(&mut resource, "category", allergy.category.as_ref().map(|category| json!([category])));
    put(&mut resource, "criticality", allergy.criticality.as_ref().map(|criticality| json!(criticality)));
    put(&mut resource, "code", Some(concept(&allergy.code)));
    put(&mut resource, "patient", references.named("subject"));
    put(&mut resource, "encounter", references.named("encounter"));
    put(&mut resource, "onsetDateTime", allergy.onset.as_ref().map(|date| json!(date)));
    put(&mut resource, "recordedDate", allergy.recorded_date.as_ref().map(|date| json!(date)));
    put(&mut resource, "note", element::note(allergy.note.as_ref()));
    super::insert_list(&mut resource, "reaction", allergy.reaction.iter().map(reaction).collect());
    if allergy.verification_status.as_deref() == Some(ENTERED_IN_ERROR) {
        retire(&mut resource);
    }
    resource
}

fn reaction(reaction: &Reaction) -> Value {
    let mut value = json!({ "manifestation": [concept(&reaction.manifestation)] });
    if let Some(severity) = &reaction.severity {
        value["severity"] = json!(severity);
    }
    value
}
