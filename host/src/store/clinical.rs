//! `clinical_record`: the application's clinical records, and `deleted_record`: the keys of deleted patients and
//! records. Only `service::ClinicalService` writes the records.

use std::collections::{HashMap, HashSet};

use serde::Serialize;

use super::bulk::padded_rows;
use super::sql::{
    DeleteRecord, DeletedAmong, Json, ListRecords, LockRecordsById, LockRecordsOfPatients, OwnRecords, PutRecords,
    RecordsById, ReferringRecords, RememberDeleted, TextRows,
};
use super::{RowReader, Store, StoreError, StoreTransaction, corrupt};
use crate::database::{Dialect, Value};
use crate::domain::clinical::{ClinicalRecord, ENCOUNTER};
use crate::domain::ids::AggregateKey;
use crate::domain::references::{self, NamedReference};

/// Rows in one statement, as for other wide rows.
const ROWS_MAX: usize = super::bulk::BLOCK_ROWS;

/// A row of `clinical_record`. It was valid when it was written; a newer version may have other rules.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredRecord {
    pub key: AggregateKey,
    /// The patient that it refers to.
    pub patient_id: Option<String>,
    pub payload: serde_json::Value,
    pub references: Vec<NamedReference>,
}

/// An encounter, and a patient whose records may refer to it.
#[derive(Clone, Copy, Debug)]
pub struct EncounterOfPatient<'a> {
    pub encounter_id: &'a str,
    pub patient_id: &'a str,
}

#[derive(Serialize)]
struct Id<'a> {
    aggregate_id: &'a str,
}

#[derive(Serialize)]
struct ReferringRow<'a> {
    patient_id: &'a str,
    encounter_id: &'a str,
    part: String,
}

impl Store {
    /// # Errors
    /// When the store cannot be reached or the row does not read as a record.
    pub async fn clinical_record(&self, key: &AggregateKey) -> Result<Option<StoredRecord>, StoreError> {
        let mut transaction = self.begin_read("read clinical record").await?;
        let found = transaction.records_by_id([key.aggregate_id.as_str()], false).await?.remove(key);
        transaction.rollback().await?;
        Ok(found)
    }

    /// Up to `limit` keys of records after `after`, by id and type; with `since` of those that were written since.
    ///
    /// # Errors
    /// When the store cannot be reached or a row does not read as a record.
    pub(super) async fn record_keys(
        &self,
        after: Option<&AggregateKey>,
        since: Option<i64>,
        limit: u32,
    ) -> Result<Vec<AggregateKey>, StoreError> {
        let (after_id, after_type) = after.map_or(("", ""), |key| (&key.aggregate_id, &key.aggregate_type));
        let operation = "list clinical records";
        let rows = self.fetch_alone(operation, ListRecords { after_id, after_type, since, limit }).await?;
        rows.rows.into_iter().map(|row| RowReader::new(operation, row).aggregate_key()).collect()
    }

    /// The records with these ids that the host has, of whatever type.
    ///
    /// # Errors
    /// When the store cannot be reached.
    pub(super) async fn own_records<'a>(
        &self,
        ids: impl IntoIterator<Item = &'a str>,
    ) -> Result<HashSet<AggregateKey>, StoreError> {
        let operation = "look for the host's own clinical records";
        let rows = self.fetch_alone(operation, OwnRecords { batch: batch_of_ids(ids) }).await?;
        rows.rows.into_iter().map(|row| RowReader::new(operation, row).aggregate_key()).collect()
    }
}

impl StoreTransaction {
    /// The records with these ids, of whatever type, by key. `for_update` keeps others from changing them until this
    /// transaction ends, so that the outbox rows of one record get their ids in the order of its states.
    ///
    /// # Errors
    /// The database's error, or that a row is not a record.
    pub async fn records_by_id<'a>(
        &mut self,
        ids: impl IntoIterator<Item = &'a str>,
        for_update: bool,
    ) -> Result<HashMap<AggregateKey, StoredRecord>, StoreError> {
        let batch = batch_of_ids(ids);
        let rows = if for_update {
            self.fetch(LockRecordsById { batch }).await?
        } else {
            self.fetch(RecordsById { batch }).await?
        };
        rows.rows.into_iter().map(|row| stored(row).map(|record| (record.key.clone(), record))).collect()
    }

    /// The records of these patients, by id and type. Others cannot change them until this transaction ends.
    ///
    /// # Errors
    /// The database's error, or that a row is not a record.
    pub async fn records_of_patients(&mut self, patient_ids: &[&str]) -> Result<Vec<StoredRecord>, StoreError> {
        let rows = self.fetch(LockRecordsOfPatients { batch: batch_of_ids(patient_ids.iter().copied()) }).await?;
        rows.rows.into_iter().map(stored).collect()
    }

    /// The keys of records that refer to these encounters, each with the encounter's id. As many are read as are needed
    /// to show `shown` of them when the caller leaves `left_out` records out.
    ///
    /// # Errors
    /// The database's error.
    pub async fn referring_records(
        &mut self,
        searched: &[EncounterOfPatient<'_>],
        left_out: usize,
        shown: usize,
    ) -> Result<Vec<(String, AggregateKey)>, StoreError> {
        let rows = searched.iter().map(|one| {
            let EncounterOfPatient { encounter_id, patient_id } = *one;
            let key = AggregateKey { aggregate_type: ENCOUNTER.to_owned(), aggregate_id: encounter_id.to_owned() };
            ReferringRow { patient_id, encounter_id, part: references::part_of_column(&key) }
        });
        let batch = Json::of(&rows.collect::<Vec<_>>());
        let limit = u32::try_from(left_out * references::REFERENCES_MAX + shown).unwrap_or(u32::MAX);
        let rows = self.fetch(ReferringRecords { batch, limit }).await?.rows;
        let read = rows.into_iter().map(|row| {
            let mut reader = RowReader::new("read what refers to encounters", row);
            Ok((reader.key()?, reader.aggregate_key()?))
        });
        read.collect()
    }

    /// Inserts or updates records: at most one statement for each thousand of them.
    ///
    /// # Errors
    /// The database's error.
    pub async fn put_records(&mut self, records: &[&ClinicalRecord]) -> Result<(), StoreError> {
        let row = |record: &&ClinicalRecord| {
            vec![
                Some(record.key().aggregate_type.clone()),
                Some(record.key().aggregate_id.clone()),
                record.patient_id().map(str::to_owned),
                Some(record.payload()),
                references::to_column(record.references()),
            ]
        };
        let rows_max = if self.dialect() == Dialect::Postgres { records.len().max(1) } else { ROWS_MAX };
        for records in records.chunks(rows_max) {
            let rows = padded_rows(self.dialect(), records.iter().map(row).collect());
            self.run(PutRecords { rows: TextRows(rows) }).await?;
        }
        Ok(())
    }

    /// # Errors
    /// The database's error.
    pub async fn delete_record(&mut self, key: &AggregateKey) -> Result<(), StoreError> {
        let AggregateKey { aggregate_type, aggregate_id } = key;
        self.run(DeleteRecord { aggregate_type, aggregate_id }).await.map(drop)
    }

    /// Remembers that a patient or a record was deleted, in the transaction that deletes it.
    ///
    /// # Errors
    /// The database's error.
    pub async fn remember_deleted(&mut self, key: &AggregateKey) -> Result<(), StoreError> {
        let AggregateKey { aggregate_type, aggregate_id } = key;
        self.run(RememberDeleted { aggregate_type, aggregate_id }).await.map(drop)
    }

    /// The keys, among the patients and records of any type with these ids, that were deleted and not written again
    /// since.
    ///
    /// # Errors
    /// The database's error.
    pub async fn deleted_among<'a>(
        &mut self,
        ids: impl IntoIterator<Item = &'a str>,
    ) -> Result<HashSet<AggregateKey>, StoreError> {
        let rows = self.fetch(DeletedAmong { batch: batch_of_ids(ids) }).await?;
        rows.rows.into_iter().map(|row| RowReader::new("read deleted records", row).aggregate_key()).collect()
    }
}

/// Each id once, in order, so that two transactions lock in the same order.
fn batch_of_ids<'a>(ids: impl IntoIterator<Item = &'a str>) -> Json {
    let mut ids: Vec<_> = ids.into_iter().collect();
    ids.sort_unstable();
    ids.dedup();
    let ids: Vec<_> = ids.into_iter().map(|aggregate_id| Id { aggregate_id }).collect();
    Json::of(&ids)
}

/// A row of `record_columns` (sql/clinical.sql).
fn stored(row: Vec<Value>) -> Result<StoredRecord, StoreError> {
    let operation = "read clinical record";
    let mut reader = RowReader::new(operation, row);
    let key = reader.aggregate_key()?;
    let patient_id = reader.optional_text()?;
    let payload = serde_json::from_str(&reader.text()?)
        .map_err(|_| corrupt(operation, "a payload of clinical_record is not JSON"))?;
    let references = reader.optional_text()?.map(|refs| references::parse(&refs, None)).transpose();
    let references = references.map_err(|fault| corrupt(operation, format!("refs of clinical_record: {fault}")))?;
    Ok(StoredRecord { key, patient_id, payload, references: references.unwrap_or_default() })
}
