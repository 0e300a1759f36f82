//! `patient_cache`: the application's patients, with the ids that targets gave them. Only `service::PatientService`
//! writes the patients; `settle` writes the ids.
//!
//! The columns are the payload's fields (`PatientDraft::FIELDS`), so that a patient travels as its own JSON.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap, HashSet};

use serde::Serialize;

use super::bulk::rows_in_blocks;
use super::outbox::NewChange;
use super::sql::{
    ChangedPatients, DeletePatient, HoldPatients, Json, KnownPatients, ListPatients, LockPatientsById, PatientsById,
    PutPatientBlock, PutPatients,
};
use super::{RowReader, Store, StoreError, StoreTransaction, corrupt};
use crate::database::Value;
use crate::domain::patient::{Patient, PatientDraft};

/// A row of `patient_cache`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredPatient {
    pub patient: Patient,
    pub openemr_patient_id: Option<i64>,
    pub fhir_patient_id: Option<String>,
}

#[derive(Serialize)]
struct Id<'a> {
    patient_id: &'a str,
}

/// Each id once, in order, so that two transactions lock in the same order.
fn batch_of_ids<'a>(patient_ids: impl IntoIterator<Item = &'a str>) -> Json {
    let ids: BTreeSet<_> = patient_ids.into_iter().collect();
    Json::of(&ids.into_iter().map(|patient_id| Id { patient_id }).collect::<Vec<_>>())
}

impl Store {
    /// # Errors
    /// When the store cannot be reached or the row does not read as a patient.
    pub async fn patient(&self, patient_id: &str) -> Result<Option<StoredPatient>, StoreError> {
        let mut transaction = self.begin_read("read patient").await?;
        let found = transaction.patients_by_id(&[patient_id], false).await?;
        transaction.rollback().await?;
        Ok(found.into_values().next())
    }

    /// Up to `limit` patients after `after`, by id.
    ///
    /// # Errors
    /// When the store cannot be reached or a row does not read as a patient.
    pub async fn patients(&self, after: Option<&str>, limit: u32) -> Result<Vec<StoredPatient>, StoreError> {
        let mut transaction = self.begin_read("list patients").await?;
        let rows = transaction.fetch(ListPatients { after: after.unwrap_or(""), limit }).await?;
        transaction.rollback().await?;
        rows.rows.into_iter().map(stored).collect()
    }

    /// The ids of up to `limit` patients after `after`, by id, who were written or merged at this time or later.
    ///
    /// # Errors
    /// When the store cannot be reached.
    pub(super) async fn changed_patients(
        &self,
        after: Option<&str>,
        since: i64,
        limit: u32,
    ) -> Result<Vec<String>, StoreError> {
        let operation = "list changed patients";
        let statement = ChangedPatients { after: after.unwrap_or(""), since, limit };
        let rows = self.fetch_alone(operation, statement).await?.rows;
        rows.into_iter().map(|row| RowReader::new(operation, row).text()).collect()
    }

    /// Those of these patients that have a delivery to any target, or a link there.
    ///
    /// # Errors
    /// When the store cannot be reached.
    pub async fn known_patients(&self, patient_ids: &[&str]) -> Result<HashSet<String>, StoreError> {
        let operation = "look for patients at targets";
        let batch = batch_of_ids(patient_ids.iter().copied());
        let rows = self.fetch_alone(operation, KnownPatients { batch }).await?.rows;
        rows.into_iter().map(|row| RowReader::new(operation, row).text()).collect()
    }
}

impl StoreTransaction {
    /// The patients with these ids, by id. `for_update` keeps others from changing them until this transaction ends, so
    /// that the outbox rows of one patient get their ids in the order of its states.
    ///
    /// # Errors
    /// The database's error, or that a row is not a valid patient.
    pub async fn patients_by_id(
        &mut self,
        patient_ids: &[&str],
        for_update: bool,
    ) -> Result<HashMap<String, StoredPatient>, StoreError> {
        let batch = batch_of_ids(patient_ids.iter().copied());
        let rows = if for_update {
            self.fetch(LockPatientsById { batch }).await?
        } else {
            self.fetch(PatientsById { batch }).await?
        };
        rows.rows
            .into_iter()
            .map(|row| stored(row).map(|patient| (patient.patient.patient_id.as_str().to_owned(), patient)))
            .collect()
    }

    /// Keeps others from deleting or merging those of these patients that are there, until this transaction ends. Call
    /// it before any record is locked: a merge locks its patients first too.
    ///
    /// # Errors
    /// The database's error.
    pub async fn hold_patients<'a>(
        &mut self,
        patient_ids: impl IntoIterator<Item = &'a str>,
    ) -> Result<(), StoreError> {
        self.fetch(HoldPatients { batch: batch_of_ids(patient_ids) }).await.map(drop)
    }

    /// Inserts or updates patients; the ids of targets stay.
    ///
    /// # Errors
    /// The database's error.
    pub async fn put_patients(&mut self, patients: &[&Patient]) -> Result<(), StoreError> {
        let (blocks, patients) = patients.split_at(rows_in_blocks(self.dialect(), patients.len()));
        let texts =
            |patient: &&Patient| patient.field_texts().into_iter().map(|text| text.map(Cow::into_owned)).collect();
        self.insert_blocks(blocks.iter().map(texts).collect(), |rows| PutPatientBlock { rows }).await?;
        if patients.is_empty() {
            return Ok(());
        }
        self.run(PutPatients { batch: Json::of(patients) }).await.map(drop)
    }

    /// # Errors
    /// The database's error.
    pub async fn delete_patient(&mut self, patient_id: &str) -> Result<(), StoreError> {
        self.run(DeletePatient { patient_id }).await.map(drop)
    }

    /// Writes changes to the outbox, in the transaction that also writes the patients.
    ///
    /// # Errors
    /// The database's error.
    pub async fn append_changes(&mut self, changes: &[NewChange<'_>]) -> Result<(), StoreError> {
        self.append(changes).await.map(drop)
    }
}

/// A row of `patient_columns` (sql/people.sql).
fn stored(row: Vec<Value>) -> Result<StoredPatient, StoreError> {
    let operation = "read patient";
    let mut reader = RowReader::new(operation, row);
    let mut fields = serde_json::Map::new();
    for field in PatientDraft::FIELDS {
        if let Some(text) = reader.optional_text()? {
            fields.insert((*field).to_owned(), text.into());
        }
    }
    let patient = serde_json::from_value(serde_json::Value::Object(fields))
        .map_err(|_| corrupt(operation, "a row of patient_cache is not a valid patient"))?;
    Ok(StoredPatient {
        patient,
        openemr_patient_id: reader.optional_integer()?,
        fhir_patient_id: reader.optional_text()?,
    })
}
