//! The search by identifier, and the resource of each type.

mod passed_through;
mod typed;

use adapter_sdk::{Change, Failure};
use serde_json::json;

use super::*;
use crate::settings::Settings;
use crate::testing::of_type;
use crate::wanted;

const SUBJECT: (&str, &str, &str, Option<&str>) = ("subject", "patient", "P-1", Some("17"));
const ENCOUNTER: (&str, &str, &str, Option<&str>) = ("encounter", "encounter", "E-1", Some("e9"));

/// The resource for a change of this type, id and references.
fn written(change: &Change) -> Result<Value, Failure> {
    wanted::read(&Settings::default(), change).map(|wanted| wanted.resource.unwrap())
}

fn typed(aggregate_type: &str, payload: &Value) -> Value {
    let references = if aggregate_type == "encounter" { &[SUBJECT][..] } else { &[SUBJECT, ENCOUNTER] };
    written(&of_type(aggregate_type, "X-1", payload, references)).unwrap()
}

#[test]
fn the_search_is_escaped_once_and_encoded_once() {
    for (value, expected) in [
        ("P-2025-001", "identifier=urn%3Aneuronova%3Apatient-id%7CP-2025-001"),
        ("a b+c&d", "identifier=urn%3Aneuronova%3Apatient-id%7Ca%20b%2Bc%26d"),
        ("a,b|c", "identifier=urn%3Aneuronova%3Apatient-id%7Ca%5C%2Cb%5C%7Cc"),
        ("김", "identifier=urn%3Aneuronova%3Apatient-id%7C%EA%B9%80"),
        ("50%", "identifier=urn%3Aneuronova%3Apatient-id%7C50%25"),
    ] {
        assert_eq!(identifier_query("urn:neuronova:patient-id", value), expected);
    }
}
