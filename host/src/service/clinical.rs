//! Clinical records: each change of one is written together with its outbox row, in one transaction. Without a change
//! there is no row.
//!
//! A record may refer to what the store does not know: its delivery waits. It may not refer to what was deleted or
//! merged, nor to the encounter of another patient. What it refers to is locked before that is looked at, patients
//! first, so that none is deleted or merged before the record is committed. Read next: `refusals.rs` for what is
//! refused, and `domain/clinical.rs` for what makes a record valid.

use std::collections::{HashMap, HashSet};

use crate::database::rerun;
use crate::domain::change::Operation;
use crate::domain::clinical::ClinicalRecord;
use crate::domain::ids::AggregateKey;
use crate::domain::references::NamedReference;
use crate::store::{ImportProgress, NewChange, Store, StoreTransaction, StoredRecord};

use super::ServiceError;
use super::counts::{RecordChange, count};
use super::refusals::{Moves, Writing};

/// The aggregate type of resources that have no type of their own.
const PASSED_THROUGH: &str = "fhir-resource";
/// What the audit calls them together.
const RECORDS: &str = "clinical-record";

/// The only writer of clinical records.
#[derive(Clone)]
pub struct ClinicalService {
    store: Store,
    moves: Moves,
}

impl ClinicalService {
    #[must_use]
    pub fn new(store: Store) -> Self {
        Self { store, moves: Moves::Refuse }
    }

    /// A service for an export that comes file by file. An encounter that the export has moved to another patient is
    /// written before the records that refer to it, so the service only logs which of them are not moved yet.
    #[must_use]
    pub fn for_import(store: Store) -> Self {
        Self { store, moves: Moves::Log }
    }

    /// Writes these records, all or none of them, and queues those that changed. Returns the result of each, in the
    /// same order. No record may be given twice.
    ///
    /// # Errors
    /// When the store cannot be reached, or refuses a record; nothing is then written.
    pub async fn put(&self, records: &[ClinicalRecord]) -> Result<Vec<RecordChange>, ServiceError> {
        if records.is_empty() {
            return Ok(Vec::new());
        }
        rerun("put clinical records", || async {
            let mut transaction = self.store.begin("write clinical records").await?;
            let changes = write(&mut transaction, records, self.moves).await?;
            transaction.commit().await?;
            Ok(changes)
        })
        .await
    }

    /// As [`ClinicalService::put`], and advances an import from `progress` to `reached` in the same transaction.
    /// Returns the new progress; `None` when another process has advanced the import, and nothing was written.
    ///
    /// # Errors
    /// As [`ClinicalService::put`].
    pub async fn import(
        &self,
        import_id: &str,
        records: &[ClinicalRecord],
        progress: &ImportProgress,
        reached: &ImportProgress,
    ) -> Result<Option<ImportProgress>, ServiceError> {
        rerun("import clinical records", || async {
            let mut transaction = self.store.begin("import clinical records").await?;
            let mut reached = reached.clone();
            transaction.note_changes(RECORDS, 0);
            if !records.is_empty() {
                count(&mut reached, write(&mut transaction, records, self.moves).await?);
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

    /// Returns the result that [`ClinicalService::put`] would have, without writing.
    ///
    /// # Errors
    /// As [`ClinicalService::put`].
    pub async fn preview(&self, records: &[ClinicalRecord]) -> Result<Vec<RecordChange>, ServiceError> {
        if records.is_empty() {
            return Ok(Vec::new());
        }
        let mut transaction = self.store.begin_read("look for clinical records").await?;
        let changes = examine(&mut transaction, records, self.moves, false).await?;
        transaction.rollback().await?;
        Ok(changes)
    }

    /// How many of these records refer to a patient or to a record of a type of its own that the host does not have, as
    /// of now. Their deliveries wait. Among resources that are passed through no order is known.
    ///
    /// # Errors
    /// When the store cannot be reached.
    pub async fn waiting_among(&self, records: &[ClinicalRecord]) -> Result<u64, ServiceError> {
        let referred = |record: &ClinicalRecord| {
            let references = record.references().iter().map(NamedReference::key);
            references.filter(|key| key.aggregate_type != PASSED_THROUGH).collect::<Vec<_>>()
        };
        let keys: Vec<_> = records.iter().map(referred).collect();
        let all: HashSet<_> = keys.iter().flatten().collect();
        if all.is_empty() {
            return Ok(0);
        }
        let own = self.store.own_rows(all.iter().copied()).await?;
        Ok(keys.iter().filter(|keys| keys.iter().any(|key| !own.contains(key))).count() as u64)
    }

    /// Deletes a record, and queues the deletion with its last state. Returns `false` when there is no such record.
    ///
    /// # Errors
    /// When the store cannot be reached; nothing is then written.
    pub async fn delete(&self, key: &AggregateKey) -> Result<bool, ServiceError> {
        rerun("delete clinical record", || async {
            let mut transaction = self.store.begin("delete clinical record").await?;
            let Some(stored) = transaction.records_by_id([key.aggregate_id.as_str()], true).await?.remove(key) else {
                return Ok(false);
            };
            transaction.delete_record(key).await?;
            transaction.remember_deleted(key).await?;
            let payload = stored.payload.to_string();
            let change = NewChange {
                aggregate_type: &key.aggregate_type,
                aggregate_id: &key.aggregate_id,
                operation: Operation::Delete,
                payload: &payload,
                references: &stored.references,
            };
            transaction.append_changes(&[change]).await?;
            transaction.commit().await?;
            Ok(true)
        })
        .await
    }
}

/// What writing each of these records would do. `for_update` keeps what they refer to as it is until the transaction
/// ends.
async fn examine(
    transaction: &mut StoreTransaction,
    records: &[ClinicalRecord],
    moves: Moves,
    for_update: bool,
) -> Result<Vec<RecordChange>, ServiceError> {
    let all = records.iter().flat_map(ClinicalRecord::references);
    let (patients, others): (Vec<_>, Vec<_>) = all.partition(|reference| reference.key().is_patient());
    if for_update && !patients.is_empty() {
        transaction.hold_patients(patients.iter().map(|reference| reference.aggregate_id.as_str())).await?;
    }
    let others = others.into_iter().map(|reference| &reference.aggregate_id);
    let ids = records.iter().map(|record| &record.key().aggregate_id).chain(others).map(String::as_str);
    let known = transaction.records_by_id(ids, for_update).await?;
    let changes: Vec<_> = records.iter().map(|record| change(record, &known)).collect();
    let written = records.iter().zip(&changes).filter(|(_, change)| **change != RecordChange::Unchanged);
    let written: Vec<_> = written.map(|(record, _)| record).collect();
    if written.is_empty() {
        return Ok(changes);
    }
    let refused = Writing::new(records, &written, &known).refused(transaction, moves).await?;
    if refused.is_empty() { Ok(changes) } else { Err(ServiceError::Refused(refused)) }
}

/// Makes the store hold these records and queues what changed, within a transaction.
async fn write(
    transaction: &mut StoreTransaction,
    records: &[ClinicalRecord],
    moves: Moves,
) -> Result<Vec<RecordChange>, ServiceError> {
    let changes = examine(transaction, records, moves, true).await?;
    let written: Vec<_> =
        records.iter().zip(&changes).filter(|(_, change)| **change != RecordChange::Unchanged).collect();
    transaction.note_changes(RECORDS, written.len());
    if written.is_empty() {
        return Ok(changes);
    }
    let rows: Vec<_> = written.iter().map(|(record, _)| *record).collect();
    transaction.put_records(&rows).await?;
    let payloads: Vec<_> = rows.iter().map(|record| record.payload()).collect();
    let queued: Vec<_> = written
        .iter()
        .zip(&payloads)
        .map(|((record, change), payload)| NewChange {
            aggregate_type: &record.key().aggregate_type,
            aggregate_id: &record.key().aggregate_id,
            operation: if **change == RecordChange::Created { Operation::Create } else { Operation::Update },
            payload,
            references: record.references(),
        })
        .collect();
    transaction.append_changes(&queued).await?;
    Ok(changes)
}

fn change(record: &ClinicalRecord, known: &HashMap<AggregateKey, StoredRecord>) -> RecordChange {
    match known.get(record.key()) {
        None => RecordChange::Created,
        Some(stored) if record.is_state(&stored.payload, &stored.references) => RecordChange::Unchanged,
        Some(_) => RecordChange::Updated,
    }
}
