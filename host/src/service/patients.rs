//! Patients: each change of one is written together with its outbox row, in one transaction. Without a change there is
//! no row.

use crate::database::rerun;
use crate::domain::change::Operation;
use crate::domain::ids::AggregateKey;
use crate::domain::patient::Patient;
use crate::store::{ImportProgress, NewChange, Store, StoreTransaction};

use super::ServiceError;
use super::counts::{PatientChange, count};

/// The aggregate type of a patient in the outbox.
const AGGREGATE_TYPE: &str = "patient";

/// The only writer of patients.
#[derive(Clone)]
pub struct PatientService {
    store: Store,
}

impl PatientService {
    #[must_use]
    pub fn new(store: Store) -> Self {
        Self { store }
    }

    /// Writes these patients, all or none of them, and queues those that changed. Returns the result of each, in the
    /// same order. No patient may be given twice.
    ///
    /// # Errors
    /// When the store cannot be reached; nothing is then written.
    pub async fn put(&self, patients: &[Patient]) -> Result<Vec<PatientChange>, ServiceError> {
        if patients.is_empty() {
            return Ok(Vec::new());
        }
        rerun("put patients", || async {
            let mut transaction = self.store.begin("write patients").await?;
            let changes = write(&mut transaction, patients).await?;
            transaction.commit().await?;
            Ok(changes)
        })
        .await
    }

    /// As [`PatientService::put`], and advances an import from `progress` to `reached` in the same transaction. Returns
    /// the new progress; `None` when another process has advanced the import, and nothing was written.
    ///
    /// # Errors
    /// When the store cannot be reached; nothing is then written.
    pub async fn import(
        &self,
        import_id: &str,
        patients: &[Patient],
        progress: &ImportProgress,
        reached: &ImportProgress,
    ) -> Result<Option<ImportProgress>, ServiceError> {
        rerun("import patients", || async {
            let mut transaction = self.store.begin("import patients").await?;
            let mut reached = reached.clone();
            if !patients.is_empty() {
                count(&mut reached, write(&mut transaction, patients).await?);
            }
            if !transaction.advance_import(import_id, progress.bytes_done, &reached).await? {
                transaction.rollback().await?;
                return Ok(None);
            }
            transaction.commit().await?;
            Ok(Some(reached))
        })
        .await
    }

    /// Returns the result that [`PatientService::put`] would have, without writing.
    ///
    /// # Errors
    /// When the store cannot be reached.
    pub async fn preview(&self, patients: &[Patient]) -> Result<Vec<PatientChange>, ServiceError> {
        if patients.is_empty() {
            return Ok(Vec::new());
        }
        let mut transaction = self.store.begin_read("look for patients").await?;
        let changes = changes(&mut transaction, patients, false).await?;
        transaction.rollback().await?;
        Ok(changes)
    }

    /// Deletes a patient, and queues the deletion with its last state. Returns `false` when there is no such patient.
    ///
    /// # Errors
    /// When the store cannot be reached; nothing is then written.
    pub async fn delete(&self, patient_id: &str) -> Result<bool, ServiceError> {
        rerun("delete patient", || async {
            let mut transaction = self.store.begin("delete patient").await?;
            let Some(stored) = transaction.patients_by_id(&[patient_id], true).await?.remove(patient_id) else {
                return Ok(false);
            };
            transaction.delete_patient(patient_id).await?;
            transaction.remember_deleted(&AggregateKey::patient(patient_id)).await?;
            let payload = stored.patient.payload();
            let change = NewChange {
                aggregate_type: AGGREGATE_TYPE,
                aggregate_id: patient_id,
                operation: Operation::Delete,
                payload: &payload,
                references: &[],
            };
            transaction.append_changes(&[change]).await?;
            transaction.commit().await?;
            Ok(true)
        })
        .await
    }
}

/// What writing each of these patients would do.
async fn changes(
    transaction: &mut StoreTransaction,
    patients: &[Patient],
    for_update: bool,
) -> Result<Vec<PatientChange>, ServiceError> {
    let ids: Vec<_> = patients.iter().map(|patient| patient.patient_id.as_str()).collect();
    let known = transaction.patients_by_id(&ids, for_update).await?;
    let change = |patient: &Patient| match known.get(patient.patient_id.as_str()) {
        None => PatientChange::Created,
        Some(stored) if stored.patient == *patient => PatientChange::Unchanged,
        Some(_) => PatientChange::Updated,
    };
    Ok(patients.iter().map(change).collect())
}

/// Makes the store hold these patients and queues what changed, within a transaction.
async fn write(transaction: &mut StoreTransaction, patients: &[Patient]) -> Result<Vec<PatientChange>, ServiceError> {
    let changes = changes(transaction, patients, true).await?;
    let written: Vec<_> = patients
        .iter()
        .zip(&changes)
        .filter(|(_, change)| **change != PatientChange::Unchanged)
        .map(|(patient, change)| (patient, *change, patient.payload()))
        .collect();
    if written.is_empty() {
        return Ok(changes);
    }
    let rows: Vec<_> = written.iter().map(|(patient, _, _)| *patient).collect();
    transaction.put_patients(&rows).await?;
    let queued: Vec<_> = written
        .iter()
        .map(|(patient, change, payload)| NewChange {
            aggregate_type: AGGREGATE_TYPE,
            aggregate_id: patient.patient_id.as_str(),
            operation: if *change == PatientChange::Created { Operation::Create } else { Operation::Update },
            payload,
            references: &[],
        })
        .collect();
    transaction.append_changes(&queued).await?;
    Ok(changes)
}
