//! The schemas in `schemas/` at the repository's root, parsed once.

use std::sync::LazyLock;

use serde_json::Value;

/// The aggregate types whose payloads this crate knows.
pub const TYPES: [&str; 7] =
    ["encounter", "condition", "allergy", "medication", "observation", "appointment", "fhir-resource"];

/// The reference names with a defined meaning. Each has the aggregate type that it must refer to, the aggregate types
/// that may use it, and whether they must.
pub const REFERENCE_NAMES: [(&str, &str, &[&str], bool); 2] = [
    ("subject", "patient", &["encounter", "condition", "allergy", "medication", "observation", "appointment"], true),
    ("encounter", "encounter", &["condition", "allergy", "medication", "observation", "appointment"], false),
];

/// The schemas' texts, in the order of [`TYPES`].
const TEXTS: [&str; 7] = [
    include_str!("../../../schemas/encounter.schema.json"),
    include_str!("../../../schemas/condition.schema.json"),
    include_str!("../../../schemas/allergy.schema.json"),
    include_str!("../../../schemas/medication.schema.json"),
    include_str!("../../../schemas/observation.schema.json"),
    include_str!("../../../schemas/appointment.schema.json"),
    include_str!("../../../schemas/fhir-resource.schema.json"),
];

static SCHEMAS: LazyLock<[Value; 7]> = LazyLock::new(|| {
    TEXTS.map(|text| serde_json::from_str(text).expect("invariant: the crate's own schemas are JSON, as a test checks"))
});

/// The JSON Schema (2020-12) of an aggregate type's payload; `None` for a type that this crate does not know.
#[must_use]
pub fn schema(aggregate_type: &str) -> Option<&'static Value> {
    let index = TYPES.iter().position(|known| *known == aggregate_type)?;
    SCHEMAS.get(index)
}

/// The id of that schema, as an adapter's descriptor names it.
#[must_use]
pub fn schema_id(aggregate_type: &str) -> Option<&'static str> {
    schema(aggregate_type)?["$id"].as_str()
}
