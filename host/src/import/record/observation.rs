//! From a FHIR R4 Observation to our observation: vital signs and laboratory results.

use serde_json::{Map, Value, json};

use super::element::{self, Measured};
use super::resource::Resource;

const CATEGORY: &str = "http://terminology.hl7.org/CodeSystem/observation-category";
const INTERPRETATION: &str = "http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation";

/// Forms of a value that a payload cannot hold.
const NO_PLACE: [&str; 4] = ["valueRange", "valueRatio", "valueSampledData", "valuePeriod"];

pub(super) fn fill(resource: &mut Resource<'_>) {
    resource.put_text("status", "status");
    let words = ["vital-signs", "laboratory"];
    if element::codes(resource.entries("category"), CATEGORY).any(|code| words.contains(&code)) {
        resource.put_code("category", "category", CATEGORY, &words);
    } else {
        resource.reject("category", "is neither vital-signs nor laboratory: other observations are not imported");
    }
    resource.put_concept("code", "code");
    let of_period = resource.elements.get("effectivePeriod").and_then(|period| element::text(period, "start"));
    let moments = [resource.text("effectiveDateTime"), resource.text("effectiveInstant"), of_period];
    let effective = moments.into_iter().flatten().next().map(str::to_owned);
    resource.put("effective", effective);
    put_value(resource);
    put_components(resource);
    resource.put_code("interpretation", "interpretation", INTERPRETATION, &["H", "L", "N", "A", "HH", "LL", "AA"]);
    put_reference_range(resource);
    resource.put_note("note");
    let subject = resource.first("subject").cloned();
    resource.refer_to_patient(subject.as_ref());
    resource.refer_to_encounter("encounter");
}

fn put_value(resource: &mut Resource<'_>) {
    if NO_PLACE.iter().any(|form| resource.elements.get(*form).is_some()) {
        return resource.reject("value", "is of a form that cannot be kept: Range, Ratio, SampledData or Period");
    }
    match resource.elements.get("valueQuantity").map(element::quantity) {
        Some(Measured::Quantity(quantity)) => resource.put("value_quantity", Some(quantity)),
        Some(Measured::Text(text)) => resource.put("value_string", Some(text)),
        Some(Measured::Unreadable) => resource.reject("value_quantity", "has no number, or an unknown comparator"),
        None => {}
    }
    let concept = resource.elements.get("valueCodeableConcept").cloned();
    resource.put_read_concept("value_concept", concept.as_ref());
    for form in ["valueString", "valueInteger", "valueBoolean", "valueDateTime", "valueTime"] {
        let text = match resource.elements.get(form) {
            Some(Value::String(text)) => Some(text.trim().to_owned()),
            Some(value @ (Value::Number(_) | Value::Bool(_))) => Some(value.to_string()),
            _ => None,
        };
        resource.put("value_string", text);
    }
}

/// Sets the components. One without a number breaks a rule, so it is left out and reported.
fn put_components(resource: &mut Resource<'_>) {
    let component = |component: &Value| {
        let mut fields = Map::new();
        let code = component.get("code").and_then(|code| element::concept(code).value);
        fields.extend(code.map(|code| ("code".to_owned(), code)));
        if let Some(Measured::Quantity(quantity)) = component.get("valueQuantity").map(element::quantity) {
            fields.insert("value_quantity".to_owned(), quantity);
        }
        Value::Object(fields)
    };
    let components: Vec<_> = resource.entries("component").iter().map(component).collect();
    resource.put("component", (!components.is_empty()).then_some(components));
}

/// Sets the reference range, in the unit of the value.
fn put_reference_range(resource: &mut Resource<'_>) {
    let ranges = resource.entries("referenceRange");
    let range = match ranges {
        [] => return,
        [range] => range,
        _ => {
            return resource
                .leave_out("reference_range", "has several ranges, of which each is for some patients only");
        }
    };
    let measured = resource.elements.get("valueQuantity");
    let mut fields = Map::new();
    let mut is_whole = true;
    for limit in ["low", "high"] {
        let Some(quantity) = range.get(limit) else { continue };
        match element::number_in_unit_of(quantity, measured) {
            Some(number) => drop(fields.insert(limit.to_owned(), Value::Number(number.clone()))),
            None => is_whole = false,
        }
    }
    if let Some(text) = element::text(range, "text") {
        fields.insert("text".to_owned(), json!(text));
    }
    if is_whole {
        resource.put("reference_range", Some(fields));
    } else {
        resource.leave_out("reference_range", "has a limit that is not in the unit of the value");
    }
}
