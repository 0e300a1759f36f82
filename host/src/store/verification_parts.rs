//! The parts of a verification: first the links of each type, then, of each type that the target's adapter can list,
//! what the target has of ours. A part that lists is named by its type with a mark in front, which no type's name has.

use serde::Serialize;

use super::sql::CountNotInStore;
use super::{RowReader, StoreError, StoreTransaction};

/// Separates the parts of a stored verification. No type can contain it, because it is a control character.
pub(super) const SEPARATOR: char = '\n';
/// Precedes a type whose records are listed.
pub(super) const MARK: char = '@';
/// The states of findings.
pub(super) const NOT_IN_STORE: &str = "not-in-store";
pub(super) const CANNOT_LIST: &str = "cannot-list";

/// The most records of a type that are kept as findings.
pub const NOT_IN_STORE_MAX: u64 = 10_000;

/// What a verification found at a target that the store does not know.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct NotInStore {
    pub records: u64,
    /// Whether there may be more: of a type only so many are kept.
    pub is_least: bool,
    /// The types that the target or its adapter cannot list.
    pub not_listed: Vec<String>,
}

/// How far this process has come in the list of a type.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ListProgress {
    /// The adapter's own place.
    pub(super) place: Option<String>,
    pub(super) pages: u32,
    pub(super) found: u64,
    /// Records that the list had, known ones too.
    pub(super) seen: u64,
    /// Another process listed what is before.
    pub(super) is_resumed: bool,
}

/// The parts of a verification, in order.
pub(super) fn parts(types: &[String], listed: &[String]) -> Vec<String> {
    types.iter().cloned().chain(listed.iter().map(|kind| part(kind))).collect()
}

/// The part that lists a type.
pub(super) fn part(aggregate_type: &str) -> String {
    format!("{MARK}{aggregate_type}")
}

/// The types of a stored verification: those that are checked, and those that are listed.
pub(super) fn types_of(text: &str) -> (Vec<String>, Vec<String>) {
    let parts = text.split(SEPARATOR).filter(|part| !part.is_empty());
    let (listed, checked): (Vec<_>, Vec<_>) = parts.partition(|part| part.starts_with(MARK));
    let owned = |kinds: Vec<&str>| kinds.into_iter().map(|kind| kind.trim_start_matches(MARK).to_owned()).collect();
    (owned(checked), owned(listed))
}

impl StoreTransaction {
    /// What the last verification found of these types.
    pub(super) async fn count_not_in_store(
        &mut self,
        target: &str,
        listed: &[String],
    ) -> Result<NotInStore, StoreError> {
        let parts: Vec<_> = listed.iter().map(|kind| part(kind)).collect();
        let rows = self.fetch(CountNotInStore { target, types: &parts }).await?.rows;
        let mut found = NotInStore::default();
        for row in rows {
            let mut reader = RowReader::new(&self.operation, row);
            let (part, state, count) = (reader.text()?, reader.text()?, reader.integer()?);
            if state == CANNOT_LIST {
                found.not_listed.push(part.trim_start_matches(MARK).to_owned());
            } else {
                let count = u64::try_from(count).unwrap_or_default();
                found.records += count;
                found.is_least |= count >= NOT_IN_STORE_MAX;
            }
        }
        found.not_listed.sort_unstable();
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn parts_are_read_as_they_were_written() {
        let (types, listed) = (words(&["encounter", "patient"]), words(&["patient"]));
        let text = parts(&types, &listed).join(&SEPARATOR.to_string());
        assert_eq!(text, "encounter\npatient\n@patient");
        assert_eq!(types_of(&text), (types.clone(), listed));
        assert_eq!(types_of("encounter\npatient"), (types, Vec::new()));
        assert_eq!(types_of(""), (Vec::new(), Vec::new()));
    }
}
