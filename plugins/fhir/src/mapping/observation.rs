//! Maps our observation to a FHIR R4 Observation.

use adapter_sdk::clinical::{Component, Observation, ReferenceRange};
use serde_json::{Map, Value, json};

use super::element::{self, References, begin, coded, concept, put, quantity};
use super::present;
use crate::kind::{Kind, Parts};

const CATEGORY: &str = "http://terminology.hl7.org/CodeSystem/observation-category";
const INTERPRETATION: &str = "http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation";
const ABSENT: &str = "http://terminology.hl7.org/CodeSystem/data-absent-reason";

/// Our elements of an Observation.
pub(crate) const PARTS: Parts = element::parts(
    &[
        "status",
        "code",
        "subject",
        "encounter",
        "effective[x]",
        "value[x]",
        "dataAbsentReason",
        "interpretation",
        "referenceRange",
        "component",
    ],
    &[
        ("identifier", element::is_our_identifier),
        ("category", |_, entry| element::coding_system(entry) == Some(CATEGORY)),
        ("note", element::is_our_note),
    ],
    element::retire_status,
);

pub(super) fn resource(
    kind: &Kind<'_>,
    id: &str,
    observation: &Observation,
    references: References<'_>,
) -> Map<String, Value> {
    let mut resource = begin(kind, id);
    put(&mut resource, "status", Some(json!(observation.status)));
    put(&mut resource, "category", Some(json!([coded(CATEGORY, &observation.category)])));
    put(&mut resource, "code", Some(concept(&observation.code)));
    put(&mut resource, "subject", references.named("subject"));
    put(&mut resource, "encounter", references.named("encounter"));
    put(&mut resource, "effectiveDateTime", Some(json!(observation.effective)));
    put(&mut resource, "valueQuantity", observation.value_quantity.as_ref().map(quantity));
    put(&mut resource, "valueCodeableConcept", observation.value_concept.as_ref().map(concept));
    put(&mut resource, "valueString", present(observation.value_string.as_ref()).map(|text| json!(text)));
    put(&mut resource, "dataAbsentReason", absent(observation).map(|reason| coded(ABSENT, reason)));
    let interpretation = observation.interpretation.as_ref();
    put(&mut resource, "interpretation", interpretation.map(|code| json!([coded(INTERPRETATION, code)])));
    put(&mut resource, "note", element::note(observation.note.as_ref()));
    let range = observation.reference_range.as_ref();
    put(&mut resource, "referenceRange", range.map(|range| json!([reference_range(range, observation)])));
    super::insert_list(&mut resource, "component", observation.component.iter().map(component).collect());
    resource
}

/// The reason for an absent value, by the status: profiles of vital signs require a value or a reason.
fn absent(observation: &Observation) -> Option<&'static str> {
    let has_value = observation.value_quantity.is_some()
        || observation.value_concept.is_some()
        || observation.value_string.is_some()
        || !observation.component.is_empty();
    match observation.status.as_str() {
        _ if has_value => None,
        "cancelled" => Some("not-performed"),
        "entered-in-error" => Some("error"),
        _ => Some("temp-unknown"),
    }
}

/// The reference range, in the unit of the value if it has one.
fn reference_range(range: &ReferenceRange, observation: &Observation) -> Value {
    let mut value = Map::new();
    for (element, limit) in [("low", &range.low), ("high", &range.high)] {
        let limit = limit.as_ref().map(|limit| match &observation.value_quantity {
            Some(measured) => {
                let mut quantity = quantity(measured);
                quantity["value"] = json!(limit);
                quantity
            }
            None => json!({ "value": limit }),
        });
        put(&mut value, element, limit);
    }
    put(&mut value, "text", present(range.text.as_ref()).map(|text| json!(text)));
    Value::Object(value)
}

fn component(component: &Component) -> Value {
    json!({ "code": concept(&component.code), "valueQuantity": quantity(&component.value_quantity) })
}
