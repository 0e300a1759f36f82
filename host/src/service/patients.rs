//! Patients: each change of one is written together with its outbox row, in one transaction. Without a change there is
//! no row.

use std::collections::BTreeMap;

use crate::database::rerun;
use crate::domain::change::Operation;
use crate::domain::clinical::Problem;
use crate::domain::ids::AggregateKey;
use crate::domain::patient::Patient;
use crate::store::{ImportProgress, NewChange, Store, StoreTransaction};

use super::ServiceError;
use super::counts::{PatientChange, count};
use super::refusals::RefusedRecord;

/// The aggregate type of a patient in the outbox.
pub(super) const AGGREGATE_TYPE: &str = "patient";

/// The only writer of patients.
#[derive(Clone)]
pub struct PatientService {
    pub(super) store: Store,
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
    /// When the store cannot be reached, or one of them was merged and has another state; nothing is then written.
    pub async fn put(&self, patients: &[Patient]) -> Result<Vec<PatientChange>, ServiceError> {
        if patients.is_empty() {
            return Ok(Vec::new());
        }
        rerun("put patients", || async {
            let mut transaction = self.store.begin("write patients").await?;
            let Written { changes, merged } = write(&mut transaction, patients).await?;
            if let Some((patient_id, survivor)) = merged.first_key_value() {
                return Err(refused(patient_id, merged_message(patient_id, survivor)));
            }
            transaction.commit().await?;
            Ok(changes)
        })
        .await
    }

    /// As [`PatientService::put`], and advances an import from `progress` to `reached` in the same transaction. A
    /// merged patient is left out, counted as rejected and named in the log. Returns the new progress; `None` when
    /// another process has advanced the import, and nothing was written.
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
            transaction.note_changes(AGGREGATE_TYPE, 0);
            if !patients.is_empty() {
                let Written { changes, merged } = write(&mut transaction, patients).await?;
                count(&mut reached, changes);
                for (patient_id, survivor) in merged {
                    tracing::warn!(patient_id, survivor, "patient not imported: merged into another");
                }
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
        let Written { changes, .. } = changes(&mut transaction, patients, false).await?;
        transaction.rollback().await?;
        Ok(changes)
    }

    /// Deletes a patient, and queues the deletion with its last state. Returns `false` when there is no such patient.
    ///
    /// # Errors
    /// When the store cannot be reached, or the patient takes part in a merge; nothing is then written.
    pub async fn delete(&self, patient_id: &str) -> Result<bool, ServiceError> {
        rerun("delete patient", || async {
            let mut transaction = self.store.begin("delete patient").await?;
            let Some(stored) = transaction.patients_by_id(&[patient_id], true).await?.remove(patient_id) else {
                return Ok(false);
            };
            if let Some(survivor) = transaction.merges_among(&[patient_id]).await?.get(patient_id) {
                return Err(refused(patient_id, merged_message(patient_id, survivor)));
            }
            if let Some((other, _)) = transaction.merges_into(&[patient_id]).await?.first_key_value() {
                let fix = format!("undo that merge first with `host patient unmerge {other}`");
                return Err(refused(patient_id, format!("patient {other} was merged into this one; fix: {fix}")));
            }
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

/// What became of each patient, and the survivors of those that are merged and were to be changed.
struct Written {
    changes: Vec<PatientChange>,
    merged: BTreeMap<String, String>,
}

/// What writing each of these patients would do.
async fn changes(
    transaction: &mut StoreTransaction,
    patients: &[Patient],
    for_update: bool,
) -> Result<Written, ServiceError> {
    let ids: Vec<_> = patients.iter().map(|patient| patient.patient_id.as_str()).collect();
    let known = transaction.patients_by_id(&ids, for_update).await?;
    let change = |patient: &Patient| match known.get(patient.patient_id.as_str()) {
        None => PatientChange::Created,
        Some(stored) if stored.patient == *patient => PatientChange::Unchanged,
        Some(_) => PatientChange::Updated,
    };
    let mut changes: Vec<_> = patients.iter().map(change).collect();
    let updated = ids.iter().zip(&changes).filter(|(_, change)| **change == PatientChange::Updated);
    let updated: Vec<_> = updated.map(|(id, _)| *id).collect();
    let mut merged = BTreeMap::new();
    if !updated.is_empty() {
        merged = transaction.merges_among(&updated).await?;
    }
    for (id, change) in ids.iter().zip(&mut changes).filter(|(id, _)| merged.contains_key(**id)) {
        debug_assert_eq!(*change, PatientChange::Updated, "{id}");
        *change = PatientChange::Merged;
    }
    Ok(Written { changes, merged })
}

/// Makes the store hold these patients and queues what changed, within a transaction.
async fn write(transaction: &mut StoreTransaction, patients: &[Patient]) -> Result<Written, ServiceError> {
    let changed = changes(transaction, patients, true).await?;
    let written: Vec<_> = patients
        .iter()
        .zip(&changed.changes)
        .filter(|(_, change)| matches!(change, PatientChange::Created | PatientChange::Updated))
        .map(|(patient, change)| (patient, *change, patient.payload()))
        .collect();
    transaction.note_changes(AGGREGATE_TYPE, written.len());
    if written.is_empty() {
        return Ok(changed);
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
    Ok(changed)
}

/// The refusal of a change of a patient.
pub(super) fn refused(patient_id: &str, message: String) -> ServiceError {
    let problem = Problem { path: "merge".to_owned(), message };
    ServiceError::Refused(vec![RefusedRecord { key: AggregateKey::patient(patient_id), problem }])
}

/// Why a merged patient is not written.
fn merged_message(patient_id: &str, survivor: &str) -> String {
    format!(
        "was merged into patient {survivor}; fix: write that one, or undo the merge with `host patient unmerge \
         {patient_id}`"
    )
}
