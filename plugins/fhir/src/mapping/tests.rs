//! The search by identifier.

use super::*;

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
