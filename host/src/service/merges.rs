//! Merges of patients and their undoing: each is written together with its outbox rows, in one transaction that holds
//! the rows of both patients.
//!
//! The merged patient's row and what refers to it stay as they are: each target finds the survivor's record in their
//! place (`store/resolve.rs`), and its own again after the undoing. Their records are queued once more all the same,
//! since retention may have deleted what the outbox held of them. Read next: `patients.rs`.

use std::collections::{BTreeMap, HashMap};

use super::ServiceError;
use super::patients::{AGGREGATE_TYPE, PatientService, refused};
use crate::database::rerun;
use crate::domain::change::Operation;
use crate::store::{NewChange, NewMerge, StoreTransaction, StoredPatient, StoredRecord, survivor_reference};

/// What a merge or its undoing queued in addition to the patient.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MergeCounts {
    /// Patients that had been merged into this one.
    pub merged_before: usize,
    /// Clinical records of all of them.
    pub records: usize,
}

impl PatientService {
    /// Merges a patient into another, who stays, and queues that with everything that refers to the merged one.
    ///
    /// # Errors
    /// When the store cannot be reached, or the merge is refused; nothing is then written.
    pub async fn merge(&self, merge: &NewMerge<'_>) -> Result<MergeCounts, ServiceError> {
        rerun("merge patients", || async {
            let mut transaction = self.store.begin("merge patients").await?;
            let ids = [merge.patient_id, merge.survivor_id];
            let known = transaction.patients_by_id(&ids, true).await?;
            let merges = transaction.merges_among(&ids).await?;
            if let Some(message) = refusal(merge, &known, &merges) {
                return Err(refused(merge.patient_id, message));
            }
            transaction.insert_merge(merge).await?;
            let survivor = [survivor_reference(merge.survivor_id)];
            let own = NewChange {
                aggregate_type: AGGREGATE_TYPE,
                aggregate_id: merge.patient_id,
                operation: Operation::Merge,
                payload: "{}",
                references: &survivor,
            };
            let counts = queue(&mut transaction, own).await?;
            transaction.commit().await?;
            Ok(counts)
        })
        .await
    }

    /// Undoes the merge of a patient, and queues the state before it with everything that refers to the patient.
    /// Returns the id of the one who survived, or `None` when the patient was not merged.
    ///
    /// # Errors
    /// When the store cannot be reached; nothing is then written.
    pub async fn unmerge(&self, patient_id: &str) -> Result<Option<(String, MergeCounts)>, ServiceError> {
        rerun("undo merge of patients", || async {
            let mut transaction = self.store.begin("undo merge of patients").await?;
            let stored = transaction.patients_by_id(&[patient_id], true).await?.remove(patient_id);
            let survivor = transaction.merges_among(&[patient_id]).await?.remove(patient_id);
            let Some((stored, survivor)) = stored.zip(survivor) else { return Ok(None) };
            transaction.delete_merge(patient_id).await?;
            transaction.note_other(&survivor);
            let payload = stored.patient.payload();
            let own = NewChange {
                aggregate_type: AGGREGATE_TYPE,
                aggregate_id: patient_id,
                operation: Operation::Update,
                payload: &payload,
                references: &[],
            };
            let counts = queue(&mut transaction, own).await?;
            transaction.commit().await?;
            Ok(Some((survivor, counts)))
        })
        .await
    }
}

/// Queues the change of a patient, the merges of those that were merged into it, and the records of all of them.
async fn queue(transaction: &mut StoreTransaction, own: NewChange<'_>) -> Result<MergeCounts, ServiceError> {
    let before = transaction.merges_into(&[own.aggregate_id]).await?;
    let patients: Vec<_> = before.keys().map(String::as_str).chain([own.aggregate_id]).collect();
    let records = transaction.records_of_patients(&patients).await?;
    let payloads: Vec<_> = records.iter().map(|record| record.payload.to_string()).collect();
    let survivors: Vec<_> = before.values().map(|survivor| [survivor_reference(survivor)]).collect();
    let merges = before.keys().zip(&survivors).map(|(patient_id, references)| NewChange {
        aggregate_type: AGGREGATE_TYPE,
        aggregate_id: patient_id,
        operation: Operation::Merge,
        payload: "{}",
        references,
    });
    let updates = records.iter().zip(&payloads).map(|(record, payload)| update(record, payload));
    let counts = MergeCounts { merged_before: before.len(), records: records.len() };
    let changes: Vec<_> = std::iter::once(own).chain(merges).chain(updates).collect();
    transaction.append_changes(&changes).await?;
    Ok(counts)
}

fn update<'a>(record: &'a StoredRecord, payload: &'a str) -> NewChange<'a> {
    NewChange {
        aggregate_type: &record.key.aggregate_type,
        aggregate_id: &record.key.aggregate_id,
        operation: Operation::Update,
        payload,
        references: &record.references,
    }
}

/// Why these two cannot be merged. Since neither may be merged already, no circle can come of it.
fn refusal(
    merge: &NewMerge<'_>,
    known: &HashMap<String, StoredPatient>,
    merges: &BTreeMap<String, String>,
) -> Option<String> {
    let NewMerge { patient_id, survivor_id, .. } = *merge;
    if patient_id == survivor_id {
        return Some("cannot be merged into itself; fix: name the patient who stays".to_owned());
    }
    if let Some(id) = [patient_id, survivor_id].into_iter().find(|id| !known.contains_key(*id)) {
        return Some(format!("cannot be merged: the store has no patient {id}"));
    }
    if let Some(survivor) = merges.get(patient_id) {
        let fix = format!("undo that merge first with `host patient unmerge {patient_id}`");
        return Some(format!("was merged into patient {survivor} already; fix: {fix}"));
    }
    let other = merges.get(survivor_id)?;
    let fix = if other == patient_id {
        format!("undo that merge first with `host patient unmerge {survivor_id}`")
    } else {
        format!("merge into patient {other}")
    };
    Some(format!("cannot be merged into patient {survivor_id}, who was merged into patient {other}; fix: {fix}"))
}
