//! Which clinical records may not be written, given what the store holds: a record that refers to what was deleted or
//! merged, one that refers to the encounter of another patient, and an encounter that would leave such a record behind.
//!
//! An encounter of a merged patient counts as the survivor's, so that a merge does not end the work in it. It only
//! reads, and the number of statements does not depend on the number of records. `clinical.rs` has locked the records
//! and what they refer to.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::domain::clinical::{ClinicalRecord, ENCOUNTER, Problem};
use crate::domain::ids::AggregateKey;
use crate::domain::references::NamedReference;
use crate::store::{EncounterOfPatient, StoreError, StoreTransaction, StoredRecord};

/// How many records a message names.
const NAMED_MAX: usize = 3;

/// A record that may not be written, given what the store holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedRecord {
    pub key: AggregateKey,
    pub problem: Problem,
}

impl std::fmt::Display for RefusedRecord {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} {}: {}", self.key.aggregate_type, self.key.aggregate_id, self.problem)
    }
}

/// What happens to an encounter that moves to another patient while records of the earlier one refer to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moves {
    Refuse,
    /// It is written and logged: an import has the encounters of an export before the records that follow them.
    Log,
}

/// The records of one write.
pub(super) struct Writing<'a> {
    /// All of them by key, also those that stay as they are.
    given: HashMap<&'a AggregateKey, &'a ClinicalRecord>,
    /// Those that change the store.
    written: &'a [&'a ClinicalRecord],
    /// What the store has of them and of what they refer to.
    known: &'a HashMap<AggregateKey, StoredRecord>,
}

/// An encounter that is written for another patient than before.
struct Moved<'a> {
    record: &'a ClinicalRecord,
    from: &'a str,
    to: &'a str,
}

impl<'a> Writing<'a> {
    pub(super) fn new(
        records: &'a [ClinicalRecord],
        written: &'a [&'a ClinicalRecord],
        known: &'a HashMap<AggregateKey, StoredRecord>,
    ) -> Self {
        Self { given: records.iter().map(|record| (record.key(), record)).collect(), written, known }
    }

    /// The records that may not be written, each with its problem.
    ///
    /// # Errors
    /// When the store cannot be reached.
    pub(super) async fn refused(
        &self,
        transaction: &mut StoreTransaction,
        on_move: Moves,
    ) -> Result<Vec<RefusedRecord>, StoreError> {
        let referenced = self.written.iter().flat_map(|record| record.references());
        let deleted = transaction.deleted_among(referenced.map(|reference| reference.aggregate_id.as_str())).await?;
        let patients = self.patients();
        let merges = if patients.is_empty() { BTreeMap::new() } else { transaction.merges_from(&patients).await? };
        let mut refused = self.wrong_references(&deleted, &merges);
        let moved = self.moved(&merges);
        if !moved.is_empty() {
            let left_behind = self.left_behind(transaction, &moved, &merges).await?;
            refused.extend(judge(&moved, &left_behind, on_move));
        }
        Ok(refused)
    }

    /// The patients that the records, the encounters that they name and the earlier states of encounters refer to.
    fn patients(&self) -> Vec<&str> {
        let of_record = |record: &&'a ClinicalRecord| {
            let referenced = record.references().iter().filter(|reference| reference.key().is_patient());
            let encounters = record.encounters().map(NamedReference::key);
            let earlier = self.known.get(record.key()).filter(|_| is_encounter(record));
            referenced
                .map(|reference| reference.aggregate_id.as_str())
                .chain(encounters.filter_map(|key| self.patient_of(&key)))
                .chain(earlier.and_then(|stored| stored.patient_id.as_deref()))
                .collect::<Vec<_>>()
        };
        let all: HashSet<_> = self.written.iter().flat_map(of_record).collect();
        all.into_iter().collect()
    }

    /// The patient of a record as it will be: one that is not given stays as the store has it. `None` where nobody
    /// knows it, since it may then be anyone's.
    fn patient_of(&self, key: &AggregateKey) -> Option<&str> {
        match self.given.get(key) {
            Some(record) => record.patient_id(),
            None => self.known.get(key)?.patient_id.as_deref(),
        }
    }

    /// The references to what was deleted or merged, and to the encounters of other patients.
    fn wrong_references(
        &self,
        deleted: &HashSet<AggregateKey>,
        merges: &BTreeMap<String, String>,
    ) -> Vec<RefusedRecord> {
        let mut refused = Vec::new();
        for record in self.written {
            for reference in record.references() {
                let key = reference.key();
                if deleted.contains(&key) && !self.given.contains_key(&key) {
                    refused.push(refuse(record, &reference.name, "was deleted".to_owned()));
                }
                if key.is_patient() && merges.contains_key(&key.aggregate_id) {
                    let survivor = survivor_of(merges, &key.aggregate_id);
                    let message = format!("was merged into patient {survivor}; fix: refer to that one");
                    refused.push(refuse(record, &reference.name, message));
                }
            }
            for encounter in record.encounters() {
                let key = encounter.key();
                let both = record.patient_id().zip(self.patient_of(&key));
                if both.is_some_and(|(own, other)| survivor_of(merges, own) != survivor_of(merges, other)) {
                    refused.push(refuse(record, &encounter.name, "belongs to another patient".to_owned()));
                }
            }
        }
        refused
    }

    fn moved(&self, merges: &BTreeMap<String, String>) -> Vec<Moved<'a>> {
        let encounters = self.written.iter().filter(|record| is_encounter(record));
        let moved = encounters.filter_map(|record| {
            let (from, to) = (self.known.get(record.key())?.patient_id.as_deref()?, record.patient_id()?);
            (survivor_of(merges, from) != survivor_of(merges, to)).then_some(Moved { record, from, to })
        });
        moved.collect()
    }

    /// The records of the earlier patients, and of those that were merged with them, that refer to encounters that
    /// move, by the encounter's id. Records that change too are checked by themselves.
    async fn left_behind(
        &self,
        transaction: &mut StoreTransaction,
        moved: &[Moved<'_>],
        merges: &BTreeMap<String, String>,
    ) -> Result<BTreeMap<String, Vec<AggregateKey>>, StoreError> {
        let survivors: HashSet<_> = moved.iter().map(|one| survivor_of(merges, one.from)).collect();
        let survivors: Vec<_> = survivors.into_iter().collect();
        let before = transaction.merges_into(&survivors).await?;
        let mut searched = Vec::new();
        for one in moved {
            let survivor = survivor_of(merges, one.from);
            let into = before.keys().map(String::as_str).filter(|patient| survivor_of(&before, patient) == survivor);
            let encounter_id = one.record.key().aggregate_id.as_str();
            searched.extend(into.chain([survivor]).map(|patient_id| EncounterOfPatient { encounter_id, patient_id }));
        }
        let written: HashSet<_> = self.written.iter().map(|record| record.key()).collect();
        let mut left_behind: BTreeMap<String, Vec<AggregateKey>> = BTreeMap::new();
        for (encounter_id, key) in transaction.referring_records(&searched, written.len(), NAMED_MAX + 1).await? {
            if !written.contains(&key) {
                left_behind.entry(encounter_id).or_default().push(key);
            }
        }
        Ok(left_behind)
    }
}

/// Refuses or logs the encounters that leave records behind.
fn judge(moved: &[Moved<'_>], left_behind: &BTreeMap<String, Vec<AggregateKey>>, on_move: Moves) -> Vec<RefusedRecord> {
    let mut refused = Vec::new();
    for Moved { record, from, to } in moved {
        let encounter = record.key().aggregate_id.as_str();
        let Some(keys) = left_behind.get(encounter) else { continue };
        let records = named(keys);
        match on_move {
            Moves::Log => {
                tracing::warn!(encounter, from, to, records, "encounter moved to another patient without its records");
            }
            Moves::Refuse => {
                let subject = record.references().iter().find(|reference| reference.key().is_patient());
                let subject = subject.map_or("subject", |reference| &reference.name);
                let message = format!(
                    "cannot move from patient {from} to {to} without what refers to the encounter: {records}; fix: \
                     write these for {to} together with it"
                );
                refused.push(refuse(record, subject, message));
            }
        }
    }
    refused
}

fn is_encounter(record: &ClinicalRecord) -> bool {
    record.key().aggregate_type == ENCOUNTER
}

fn refuse(record: &ClinicalRecord, name: &str, message: String) -> RefusedRecord {
    RefusedRecord { key: record.key().clone(), problem: Problem { path: format!("refs.{name}"), message } }
}

/// The first of these records, and whether there are more.
fn named(keys: &[AggregateKey]) -> String {
    let name = |key: &AggregateKey| format!("{} {}", key.aggregate_type, key.aggregate_id);
    let names: Vec<_> = keys.iter().take(NAMED_MAX).map(name).collect();
    let more = if keys.len() > NAMED_MAX { " and others" } else { "" };
    format!("{}{more}", names.join(", "))
}

/// The patient who is left of this one, by these merges. They form no circle; of one that another program
/// wrote, any patient is returned.
fn survivor_of<'a>(merges: &'a BTreeMap<String, String>, patient_id: &'a str) -> &'a str {
    let mut last = patient_id;
    for _ in 0..merges.len() {
        match merges.get(last) {
            Some(survivor) => last = survivor,
            None => break,
        }
    }
    last
}
