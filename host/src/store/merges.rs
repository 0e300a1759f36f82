//! `patient_merge`: which of the application's patients are one with another, who survives. Only
//! `service::PatientService` writes it.
//!
//! The row of a merged patient in `patient_cache` stays as it was, so that the merge can be undone. What a target has
//! confirmed of a merge is in `sync_link`; see `resolve.rs`.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::sql::{DeleteMerge, InsertMerge, Json, MergesAmong, MergesInto, TouchPatient};
use super::{RowReader, Store, StoreError, StoreTransaction};
use crate::database::Value;
use crate::domain::ids::AggregateKey;
use crate::domain::references::{NamedReference, SURVIVOR};

/// A merge as it is recorded.
#[derive(Clone, Copy, Debug)]
pub struct NewMerge<'a> {
    /// The patient who is merged.
    pub patient_id: &'a str,
    /// The patient who stays.
    pub survivor_id: &'a str,
    /// Why, in the operator's words; no patient's data.
    pub reason: &'a str,
    pub merged_by: &'a str,
}

#[derive(Serialize)]
struct Id<'a> {
    patient_id: &'a str,
}

fn batch(patient_ids: &[&str]) -> Json {
    Json::of(&patient_ids.iter().map(|patient_id| Id { patient_id }).collect::<Vec<_>>())
}

/// The survivor of each merged patient, by id.
fn survivors(operation: &str, rows: Vec<Vec<Value>>) -> Result<BTreeMap<String, String>, StoreError> {
    let read = rows.into_iter().map(|row| {
        let mut reader = RowReader::new(operation, row);
        Ok((reader.key()?, reader.key()?))
    });
    read.collect()
}

/// What a merge of a patient refers to.
#[must_use]
pub fn survivor_reference(survivor_id: &str) -> NamedReference {
    let AggregateKey { aggregate_type, aggregate_id } = AggregateKey::patient(survivor_id);
    NamedReference { name: SURVIVOR.to_owned(), aggregate_type, aggregate_id }
}

impl Store {
    /// The survivors of those of these patients that were merged, by id.
    ///
    /// # Errors
    /// When the store cannot be reached.
    pub async fn merges_among(&self, patient_ids: &[&str]) -> Result<BTreeMap<String, String>, StoreError> {
        let operation = "read merges of patients";
        survivors(operation, self.fetch_alone(operation, MergesAmong { batch: batch(patient_ids) }).await?.rows)
    }
}

impl StoreTransaction {
    /// The survivors of those of these patients that were merged, by id. Read it after their rows were locked.
    ///
    /// # Errors
    /// The database's error.
    pub async fn merges_among(&mut self, patient_ids: &[&str]) -> Result<BTreeMap<String, String>, StoreError> {
        let rows = self.fetch(MergesAmong { batch: batch(patient_ids) }).await?.rows;
        survivors(&self.operation, rows)
    }

    /// As [`StoreTransaction::merges_among`], with the merges of the survivors as well.
    ///
    /// # Errors
    /// The database's error.
    pub async fn merges_from(&mut self, patient_ids: &[&str]) -> Result<BTreeMap<String, String>, StoreError> {
        let mut read: BTreeSet<String> = patient_ids.iter().map(|id| (*id).to_owned()).collect();
        let mut next: Vec<String> = read.iter().cloned().collect();
        let mut all = BTreeMap::new();
        while !next.is_empty() {
            let ids: Vec<_> = next.iter().map(String::as_str).collect();
            let found = self.merges_among(&ids).await?;
            next = found.values().filter(|id| read.insert((*id).clone())).cloned().collect();
            all.extend(found);
        }
        Ok(all)
    }

    /// The patients that were merged into one of these, directly or through others, with their survivors.
    ///
    /// # Errors
    /// The database's error.
    pub async fn merges_into(&mut self, patient_ids: &[&str]) -> Result<BTreeMap<String, String>, StoreError> {
        let mut all = BTreeMap::new();
        let mut next: Vec<String> = patient_ids.iter().map(|id| (*id).to_owned()).collect();
        while !next.is_empty() {
            let ids: Vec<_> = next.iter().map(String::as_str).collect();
            let rows = self.fetch(MergesInto { batch: batch(&ids) }).await?.rows;
            let found = survivors(&self.operation, rows)?;
            next = found.keys().filter(|id| !all.contains_key(*id)).cloned().collect();
            all.extend(found);
        }
        Ok(all)
    }

    /// # Errors
    /// The database's error.
    pub async fn insert_merge(&mut self, merge: &NewMerge<'_>) -> Result<(), StoreError> {
        let NewMerge { patient_id, survivor_id, reason, merged_by } = *merge;
        self.run(InsertMerge { patient_id, survivor_id, reason, merged_by }).await.map(drop)
    }

    /// Undoes a merge. The patient counts as changed, since nothing else is left of it.
    ///
    /// # Errors
    /// The database's error.
    pub async fn delete_merge(&mut self, patient_id: &str) -> Result<(), StoreError> {
        self.run(DeleteMerge { patient_id }).await?;
        self.run(TouchPatient { patient_id }).await.map(drop)
    }
}
