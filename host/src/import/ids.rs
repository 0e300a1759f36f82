//! Our ids of resources whose own id differs, so that references lead to the right record in any order of files. For a
//! Medication it keeps the code, because a prescription may refer to it instead of repeating it.
//!
//! All of them are kept in memory, at about 50 bytes each and at most [`IDS_MAX`]. A resource that keeps its own id
//! needs no entry.

use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::fhir_options::FhirOptions;
use super::fhir_types::{Entries, Identifier};
use super::kind::Kind;
use super::{identity, resource_type};
use crate::domain::hex::hex;
use crate::domain::patient::Day;

/// The maximum number of ids and codes.
pub(super) const IDS_MAX: usize = 4_000_000;
/// The maximum total length of their texts in bytes.
const TEXT_BYTES_MAX: usize = 256 << 20;

/// The key under which a Medication's code is stored, in the place of a resource type.
pub(super) const CODE_OF_MEDICATION: &str = "Medication code";

/// Our ids, by resource type and resource id.
#[derive(Debug, Default)]
pub struct Ids {
    entries: Vec<Entry>,
    texts: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    /// A digest of type and id.
    key: u128,
    start: usize,
    length: usize,
}

/// The result of looking up a resource's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found<'a> {
    /// The record has this id.
    Id(&'a str),
    /// Two resources have this type and id, and become different records.
    Several,
    /// The record keeps the resource's own id, or the resource is not in the files.
    Own,
}

/// The elements of a resource that decide its id.
#[derive(Deserialize)]
struct Identified {
    id: Option<String>,
    #[serde(default)]
    identifier: Entries<Identifier>,
}

/// The elements of a Medication that a prescription needs.
#[derive(Deserialize)]
struct Medication {
    id: Option<String>,
    code: Option<Value>,
}

impl Ids {
    /// Stores our id of the resource on this line if it differs from its own. A line that cannot be read is ignored
    /// here, and the import reports it. `false` when there are too many ids.
    pub(super) fn add_line(&mut self, line: &[u8], options: &FhirOptions, today: Day) -> bool {
        let Ok(name) = resource_type::of_line(line) else { return true };
        if name == "Medication" && !self.add_medication(line) {
            return false;
        }
        let Some(kind) = Kind::of(name, options.other_types) else { return true };
        // Only resources that are passed through refer to other kinds.
        if !options.other_types && !matches!(kind, Kind::Patient | Kind::Encounter) {
            return true;
        }
        let Ok(resource) = serde_json::from_slice::<Identified>(line) else { return true };
        let Some(id) = resource.id else { return true };
        let identifiers = &resource.identifier.read;
        let ours = identity::aggregate_id(name, kind, identifiers, Some(id.clone()), options, today);
        match ours {
            Ok(ours) if ours != identity::own_id(name, kind, id.clone()) => self.add(name, &id, &ours),
            _ => true,
        }
    }

    fn add_medication(&mut self, line: &[u8]) -> bool {
        match serde_json::from_slice(line) {
            Ok(Medication { id: Some(id), code: Some(code) }) => self.add(CODE_OF_MEDICATION, &id, &code.to_string()),
            _ => true,
        }
    }

    fn add(&mut self, resource_type: &str, id: &str, ours: &str) -> bool {
        if self.entries.len() >= IDS_MAX || self.texts.len() + ours.len() > TEXT_BYTES_MAX {
            return false;
        }
        self.entries.push(Entry { key: key(resource_type, id), start: self.texts.len(), length: ours.len() });
        self.texts.push_str(ours);
        true
    }

    /// Sorts the ids, so that they can be searched.
    pub(super) fn sort(&mut self) {
        self.entries.sort_unstable();
        let texts = &self.texts;
        self.entries.dedup_by(|a, b| a.key == b.key && text(texts, *a) == text(texts, *b));
    }

    pub(super) fn find(&self, resource_type: &str, id: &str) -> Found<'_> {
        let key = key(resource_type, id);
        let first = self.entries.partition_point(|entry| entry.key < key);
        match self.entries.get(first..).unwrap_or_default() {
            [entry, next, ..] if entry.key == key && next.key == key => Found::Several,
            [entry, ..] if entry.key == key => Found::Id(text(&self.texts, *entry)),
            _ => Found::Own,
        }
    }

    /// A digest of all ids. With other ids the same file becomes other records, so an import must not be resumed.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let mut digest = Sha256::new();
        let mut entries: Vec<_> = self.entries.iter().map(|entry| (entry.key, text(&self.texts, *entry))).collect();
        entries.sort_unstable();
        for (key, text) in entries {
            digest.update(key.to_be_bytes());
            digest.update(text);
            digest.update([0]);
        }
        hex(&digest.finalize())
    }
}

fn text(texts: &str, entry: Entry) -> &str {
    &texts[entry.start..entry.start + entry.length]
}

fn key(resource_type: &str, id: &str) -> u128 {
    let digest = Sha256::new().chain_update(resource_type).chain_update("/").chain_update(id).finalize();
    digest.iter().take(16).fold(0, |key, byte| (key << 8) | u128::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(lines: &[&str]) -> Ids {
        let options = FhirOptions { identifier_system: Some("urn:mrn".to_owned()), ..FhirOptions::default() };
        let mut ids = Ids::default();
        for line in lines {
            assert!(ids.add_line(line.as_bytes(), &options, Day::read("2026-01-01").unwrap()));
        }
        ids.sort();
        ids
    }

    #[test]
    fn an_id_of_ours_is_found_by_type_and_id() {
        let patient = r#"{"resourceType":"Patient","id":"1","identifier":[{"system":"urn:mrn","value":"P-1"}]}"#;
        let encounter =
            r#"{"resourceType":"Encounter","id":"1","identifier":[{"system":"urn:mrn/encounter","value":"E-1"}]}"#;
        let own = r#"{"resourceType":"Patient","id":"P-7","identifier":[{"system":"urn:mrn","value":"P-7"}]}"#;
        let known = ids(&[patient, encounter, own, "{", patient]);
        assert_eq!(known.find("Patient", "1"), Found::Id("P-1"));
        assert_eq!(known.find("Encounter", "1"), Found::Id("E-1"));
        assert_eq!(known.find("Condition", "1"), Found::Own);
        assert_eq!(known.find("Patient", "P-7"), Found::Own);
        assert_eq!(known.entries.len(), 2, "what keeps its own id takes no memory");
        let other = r#"{"resourceType":"Patient","id":"1","identifier":[{"system":"urn:mrn","value":"P-2"}]}"#;
        assert_eq!(ids(&[patient, encounter, other]).find("Patient", "1"), Found::Several);
        assert_eq!(ids(&[encounter, patient]).fingerprint(), known.fingerprint(), "whatever the order");
        assert_ne!(ids(&[patient]).fingerprint(), known.fingerprint());
    }
}
