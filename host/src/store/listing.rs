//! The parts of a verification that list what a target has of ours and the store does not know.
//!
//! They are parts of the same verification, behind those of the links: each is the type with a mark in front, which no
//! type's name has. So it is resumed, ends and forgets its findings like them. Its progress is the place in the
//! adapter's list; a place that does not fit into the column is kept by this process alone, and whoever resumes lists
//! the type from its beginning.
//!
//! A record is known when its aggregate has this very remote id here, or has a change on its way there: the list was
//! read before the store, so that nothing that was delivered meanwhile counts. Nothing is repaired: only an operator
//! can know whose such a record is. This file never calls a target: `sync/verifier.rs` does.

use std::collections::HashSet;

use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::sql::{Json, LinksToVerify, ListFindings, RecordsInStore};
use super::verification::{Verification, VerificationCounts};
use super::verification_parts::{CANNOT_LIST, ListProgress, MARK, NOT_IN_STORE, NOT_IN_STORE_MAX, part};
use super::{RowReader, Store, StoreError};
use crate::domain::change::{OwnPage, OwnRecord};
use crate::domain::hex::hex;
use crate::domain::ids::AggregateKey;

/// Precedes the digest of a place that does not fit into the column.
const DIGEST: char = '#';
/// The width of the columns for ids, in characters.
const ID_CHARS_MAX: usize = 255;
/// The most characters of each id that a finding keeps.
const SHOWN_CHARS_MAX: usize = 127;
/// Separates the target's id from ours in the key of a finding. No id has a control character.
const BETWEEN: char = '\t';
/// The most pages that the list of a type may have.
const PAGES_MAX: u32 = 200_000;

/// A record at a target that the store does not know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnlinkedRecord {
    pub aggregate_type: String,
    pub aggregate_id: String,
    pub remote_id: String,
    pub found_at: i64,
}

#[derive(Serialize)]
struct RecordRow<'a> {
    aggregate_type: &'a str,
    aggregate_id: &'a str,
    remote_id: &'a str,
}

/// A place as it is stored.
fn stored_place(place: &str) -> String {
    if place.chars().count() <= ID_CHARS_MAX && !place.starts_with(DIGEST) {
        return place.to_owned();
    }
    format!("{DIGEST}{}", hex(&Sha256::digest(place)))
}

/// The key of a finding.
fn finding_key(aggregate_type: &str, record: &OwnRecord) -> AggregateKey {
    let aggregate_id = format!("{}{BETWEEN}{}", cut(&record.remote_id), cut(&record.aggregate_id));
    AggregateKey { aggregate_type: part(aggregate_type), aggregate_id }
}

/// The key of the finding that the current type cannot be listed.
fn not_listed(verification: &Verification) -> AggregateKey {
    AggregateKey { aggregate_type: verification.next.aggregate_type.clone(), aggregate_id: String::new() }
}

fn cut(id: &str) -> String {
    let mut characters = id.chars();
    let shown: String = characters.by_ref().take(SHOWN_CHARS_MAX - 1).collect();
    if characters.next().is_some() { format!("{shown}…") } else { shown }
}

impl Verification {
    /// The type whose records are listed now.
    #[must_use]
    pub fn listing(&self) -> Option<&str> {
        self.next.aggregate_type.strip_prefix(MARK)
    }

    /// Where the next page of the list begins.
    #[must_use]
    pub fn place(&self) -> Option<&str> {
        let stored = &self.next.aggregate_id;
        self.progress.place.as_deref().or_else(|| (!stored.is_empty() && !stored.starts_with(DIGEST)).then_some(stored))
    }
}

impl Store {
    /// Those of these records at a target that the store does not know.
    ///
    /// # Errors
    /// When the store cannot be reached.
    pub async fn not_in_store(
        &self,
        target: &str,
        aggregate_type: &str,
        records: &[OwnRecord],
    ) -> Result<Vec<OwnRecord>, StoreError> {
        if records.is_empty() {
            return Ok(Vec::new());
        }
        let operation = format!("look for what target `{target}` has of ours");
        let rows = records.iter().map(|OwnRecord { aggregate_id, remote_id }| RecordRow {
            aggregate_type,
            aggregate_id,
            remote_id,
        });
        let batch = Json::of(&rows.collect::<Vec<_>>());
        let rows = self.fetch_alone(&operation, RecordsInStore { target, batch }).await?.rows;
        let mut known = HashSet::new();
        for row in rows {
            let mut reader = RowReader::new(&operation, row);
            known.insert((reader.key()?, reader.text()?));
        }
        let is_known = |record: &&OwnRecord| known.contains(&(record.aggregate_id.clone(), record.remote_id.clone()));
        Ok(records.iter().filter(|record| !is_known(record)).cloned().collect())
    }

    /// Writes what one page of a list has that the store does not know, and advances the verification past it; to the
    /// next part at the end of the list, and where the list is too long. `listed` is how many records the page had
    /// before they were compared: a list without any of those that the store knows is none. Returns `false` and writes
    /// nothing when another host has advanced the verification meanwhile.
    ///
    /// # Errors
    /// When the store cannot be reached; nothing is then written.
    pub async fn put_listed_page(
        &self,
        verification: &mut Verification,
        listed: u64,
        page: OwnPage,
    ) -> Result<bool, StoreError> {
        let aggregate_type = verification.listing().unwrap_or_default().to_owned();
        let before = &verification.progress;
        let is_resumed = before.is_resumed || (before.pages == 0 && verification.place().is_some());
        let (pages, seen) = (before.pages + 1, before.seen + listed);
        let left = usize::try_from(NOT_IN_STORE_MAX.saturating_sub(before.found)).unwrap_or(usize::MAX);
        let kept = page.records.iter().take(left);
        let mut findings: Vec<_> = kept.map(|record| (finding_key(&aggregate_type, record), NOT_IN_STORE)).collect();
        let found = before.found + u64::try_from(findings.len()).unwrap_or(u64::MAX);
        let is_endless = pages >= PAGES_MAX && page.next.is_some();
        let is_empty = seen == 0 && !is_resumed && page.next.is_none();
        if is_endless || (is_empty && self.has_links(&verification.target, &aggregate_type).await?) {
            findings.push((not_listed(verification), CANNOT_LIST));
        }
        let goes_on = !is_endless && found < NOT_IN_STORE_MAX;
        let progress = ListProgress { place: page.next.filter(|_| goes_on), pages, found, seen, is_resumed };
        self.move_on(verification, findings, progress).await
    }

    async fn has_links(&self, target: &str, aggregate_type: &str) -> Result<bool, StoreError> {
        let operation = format!("read what target `{target}` has");
        let statement = LinksToVerify { target, aggregate_type, after: "", limit: 1 };
        Ok(!self.fetch_alone(&operation, statement).await?.rows.is_empty())
    }

    /// Records that the target or its adapter cannot list the current type, and advances to the next part.
    ///
    /// # Errors
    /// When the store cannot be reached; nothing is then written.
    pub async fn put_not_listed(&self, verification: &mut Verification) -> Result<bool, StoreError> {
        let findings = vec![(not_listed(verification), CANNOT_LIST)];
        self.move_on(verification, findings, ListProgress::default()).await
    }

    async fn move_on(
        &self,
        verification: &mut Verification,
        findings: Vec<(AggregateKey, &'static str)>,
        progress: ListProgress,
    ) -> Result<bool, StoreError> {
        let (next, progress) = match &progress.place {
            Some(place) => {
                let aggregate_type = verification.next.aggregate_type.clone();
                (AggregateKey { aggregate_type, aggregate_id: stored_place(place) }, progress)
            }
            None => (verification.next_part(), ListProgress::default()),
        };
        let moved = self.advance(verification, next, &findings, VerificationCounts::default()).await?;
        if moved {
            verification.progress = progress;
        }
        Ok(moved)
    }

    /// The records of one type at a target that the store does not know, by the target's ids; at most `limit`.
    ///
    /// # Errors
    /// When the store cannot be reached.
    pub async fn unlinked_records(
        &self,
        target: &str,
        aggregate_type: &str,
        limit: u32,
    ) -> Result<Vec<UnlinkedRecord>, StoreError> {
        let operation = format!("list what target `{target}` has of ours");
        let part = part(aggregate_type);
        // The finding that the type cannot be listed has no id.
        let statement = ListFindings { target, aggregate_type: &part, after: "", limit };
        let rows = self.fetch_alone(&operation, statement).await?.rows;
        let read = |row| {
            let mut reader = RowReader::new(&operation, row);
            let (key, _, found_at) = (reader.aggregate_key()?, reader.text()?, reader.integer()?);
            let (remote_id, aggregate_id) = key.aggregate_id.split_once(BETWEEN).unwrap_or((&key.aggregate_id, ""));
            Ok(UnlinkedRecord {
                aggregate_type: aggregate_type.to_owned(),
                aggregate_id: aggregate_id.to_owned(),
                remote_id: remote_id.to_owned(),
                found_at,
            })
        };
        rows.into_iter().map(read).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_places_and_ids_fit_into_their_columns() {
        let long = "é".repeat(ID_CHARS_MAX + 1);
        assert_eq!(stored_place("7"), "7");
        for place in [long.as_str(), "#7"] {
            let stored = stored_place(place);
            assert!(stored.starts_with('#') && stored.len() == 65, "{stored}");
        }
        let record = |id: &str| OwnRecord { aggregate_id: id.to_owned(), remote_id: id.to_owned() };
        assert_eq!(finding_key("patient", &record("7")).aggregate_id, "7\t7");
        assert_eq!(finding_key("patient", &record("7")).aggregate_type, "@patient");
        assert_eq!(finding_key("patient", &record(&long)).aggregate_id.chars().count(), ID_CHARS_MAX);
    }
}
