//! Identifies our records at a server: by their identifier, and by an id of ours where clients may choose ids.
//!
//! Pure. It never queries the server; `delivery::first` does. The same identifier always gives the same id, so two
//! simultaneous first deliveries meet on one record. The id is a UUID (version 8 of RFC 9562: computed by a rule of our
//! own) whose first character is a letter. So it fits FHIR's grammar, servers that accept only UUIDs, and those that
//! refuse ids of digits alone. It never contains the identifier itself, because servers write ids into their access
//! logs.

use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// Separates these ids from other hashes of the same text. Changing it would create every record again.
const NAMESPACE: &str = "neuronova-sync";

/// The id of the record with this identifier.
pub(crate) fn derived_id(aggregate_type: &str, system: &str, value: &str) -> String {
    // No part can contain a line feed, so different parts give different texts.
    let digest = Sha256::digest(format!("{NAMESPACE}/{aggregate_type}\n{system}\n{value}").as_bytes());
    let mut bytes: [u8; 16] = digest[..16].try_into().expect("invariant: SHA-256 has 32 bytes");
    bytes[0] = (0xa0 + 0x10 * ((bytes[0] >> 4) % 6)) | (bytes[0] & 0x0f);
    bytes[6] = 0x80 | (bytes[6] & 0x0f);
    bytes[8] = 0x80 | (bytes[8] & 0x3f);
    let hex = format!("{:032x}", u128::from_be_bytes(bytes));
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

/// How a record in a search result relates to the searched identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Carries {
    /// It carries exactly this identifier.
    Exactly,
    /// It carries it in another case: another record of ours, returned by a server that ignores case.
    InAnotherCase,
    /// It does not carry it.
    Not,
}

/// Whether a record carries an identifier.
pub(crate) fn carries(record: &Value, system: &str, value: &str) -> Carries {
    let values = || values_of(record, system);
    if values().any(|known| known == value) {
        return Carries::Exactly;
    }
    let folded = value.trim().to_lowercase();
    if values().any(|known| known.trim().to_lowercase() == folded) { Carries::InAnotherCase } else { Carries::Not }
}

/// The values of a record's identifiers of the system.
pub(crate) fn values_of<'a>(record: &'a Value, system: &'a str) -> impl Iterator<Item = &'a str> {
    identifiers(record)
        .iter()
        .filter(move |identifier| identifier.get("system").and_then(Value::as_str) == Some(system))
        .filter_map(|identifier| identifier.get("value").and_then(Value::as_str))
}

/// Whether a record carries any identifier of the system.
pub(crate) fn carries_any(record: &Value, system: &str) -> bool {
    identifiers(record).iter().any(|identifier| {
        let has_value = identifier.get("value").and_then(Value::as_str).is_some_and(|value| !value.is_empty());
        has_value && identifier.get("system").and_then(Value::as_str) == Some(system)
    })
}

/// The identifiers of a record. In some types of FHIR the element is a single value instead of a list.
fn identifiers(record: &Value) -> &[Value] {
    match record.get("identifier") {
        Some(Value::Array(identifiers)) => identifiers,
        Some(identifier) => std::slice::from_ref(identifier),
        None => &[],
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use serde_json::json;

    use super::*;

    #[test]
    fn our_identifier_is_compared_byte_by_byte() {
        let patient = json!({ "identifier": [{ "system": "urn:other", "value": "x-1" }, { "value": "x-1" },
            { "system": SYSTEM, "value": "AB-1" }, { "system": SYSTEM }] });
        for (value, expected) in [
            ("AB-1", Carries::Exactly),
            ("ab-1", Carries::InAnotherCase),
            ("AB-1 ", Carries::InAnotherCase),
            ("x-1", Carries::Not),
        ] {
            assert_eq!(carries(&patient, SYSTEM, value), expected, "{value}");
        }
        assert_eq!(carries(&json!({}), SYSTEM, "AB-1"), Carries::Not);
    }

    const SYSTEM: &str = "urn:neuronova:patient-id";

    #[test]
    fn a_derived_id_never_changes() {
        // A different value here means that every patient would be created a second time.
        assert_eq!(derived_id("patient", SYSTEM, "P-2025-001"), "b9ecd379-d875-8b55-8497-41ef5b695f83");
    }

    #[test]
    fn every_derived_id_is_valid_on_all_known_servers() {
        let mut seen = HashSet::new();
        for number in 0..2_000 {
            let id = derived_id("patient", SYSTEM, &format!("P-{number}"));
            assert_eq!(id.len(), 36, "FHIR allows 64 characters");
            assert!(id.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte) || byte == b'-'));
            assert!(id.starts_with(|first: char| first.is_ascii_alphabetic()), "{id}");
            assert_eq!(&id[14..15], "8", "{id}");
            assert!(matches!(&id[19..20], "8" | "9" | "a" | "b"), "{id}");
            assert!(seen.insert(id));
        }
    }

    #[test]
    fn type_system_and_case_each_change_the_derived_id() {
        let ids: HashSet<String> = [
            ("patient", SYSTEM, "AB-1"),
            ("patient", SYSTEM, "ab-1"),
            ("encounter", SYSTEM, "AB-1"),
            ("patient", "urn:other", "AB-1"),
            ("patient", "urn:neuronova:patient-id\nAB", "-1"),
        ]
        .into_iter()
        .map(|(aggregate_type, system, value)| derived_id(aggregate_type, system, value))
        .collect();
        assert_eq!(ids.len(), 5);
    }

    #[test]
    fn an_identifier_that_is_not_a_list_is_recognised() {
        let one = json!({ "identifier": { "system": SYSTEM, "value": "AB-1" } });
        assert_eq!(carries(&one, SYSTEM, "AB-1"), Carries::Exactly);
        assert!(carries_any(&one, SYSTEM) && !carries_any(&one, "urn:other"));
    }
}
