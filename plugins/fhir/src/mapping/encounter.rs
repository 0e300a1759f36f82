//! Maps our encounter to a FHIR R4 Encounter.

use adapter_sdk::clinical::Encounter;
use serde_json::{Map, Value, json};

use super::element::{self, References, begin, concept, put};
use super::present;
use crate::kind::{Kind, Parts};

pub(super) const ACT_CODE: &str = "http://terminology.hl7.org/CodeSystem/v3-ActCode";

/// Our elements of an Encounter. A participant or location without a reference is a name that we wrote; those of others
/// refer to records.
pub(crate) const PARTS: Parts = element::parts(
    &["status", "class", "type", "subject", "reasonCode", "period"],
    &[
        ("identifier", element::is_our_identifier),
        ("participant", |_, entry| is_a_name(entry, "individual")),
        ("location", |_, entry| is_a_name(entry, "location")),
    ],
    element::retire_status,
);

fn is_a_name(entry: &Value, element: &str) -> bool {
    let refers = |reference: &Value| reference.get("reference").is_some() || reference.get("identifier").is_some();
    entry.get(element).is_some_and(|reference| !refers(reference) && reference.get("display").is_some())
}

pub(super) fn resource(
    kind: &Kind<'_>,
    id: &str,
    encounter: &Encounter,
    references: References<'_>,
) -> Map<String, Value> {
    let mut resource = begin(kind, id);
    put(&mut resource, "status", Some(json!(encounter.status)));
    put(&mut resource, "class", Some(class(&encounter.class)));
    put(&mut resource, "type", encounter.kind.as_ref().map(|kind| json!([concept(kind)])));
    put(&mut resource, "subject", references.named("subject"));
    let name = |element: &str, name: &Option<String>| {
        present(name.as_ref()).map(|name| json!([{ element: { "display": name } }]))
    };
    put(&mut resource, "participant", name("individual", &encounter.provider));
    let mut period = json!({ "start": encounter.period.start });
    if let Some(end) = &encounter.period.end {
        period["end"] = json!(end);
    }
    put(&mut resource, "period", Some(period));
    put(&mut resource, "reasonCode", encounter.reason_code.as_ref().map(|reason| json!([concept(reason)])));
    put(&mut resource, "location", name("location", &encounter.location));
    resource
}

fn class(code: &str) -> Value {
    let display = match code {
        "AMB" => "ambulatory",
        "EMER" => "emergency",
        "FLD" => "field",
        "HH" => "home health",
        "IMP" => "inpatient encounter",
        "ACUTE" => "inpatient acute",
        "NONAC" => "inpatient non-acute",
        "OBSENC" => "observation encounter",
        "PRENC" => "pre-admission",
        "SS" => "short stay",
        "VR" => "virtual",
        _ => return json!({ "system": ACT_CODE, "code": code }),
    };
    json!({ "system": ACT_CODE, "code": code, "display": display })
}
