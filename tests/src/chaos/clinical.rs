//! What the application does with clinical records and merges, next to its patients: a new patient comes with
//! encounters, vital signs and conditions in one transaction, whose rows in the outbox are in any order; records are
//! added, changed, removed and made again; removed patients come back with records; patients are merged into others,
//! also into survivors of merges, and unmerged.
//!
//! Whatever a transaction does, it locks the rows of its patients first, so that versions and outbox rows of one
//! aggregate have the same order. It never breaks a rule of `docs/outbox.md`: who has records or is part of a merge is
//! not removed, nor is an encounter that records refer to; only a new state undoes a merge. So every change must
//! arrive.

use anyhow::{Context as _, Result};
use rand::{RngExt as _, rngs::StdRng, seq::SliceRandom as _};
use serde_json::{Value, json};

use super::writer::{Patient, Unsent, Written, insert_patient, lock_patient};
use crate::session::Session;

/// The application's tables of records and merges.
pub(crate) const TABLES: [&str; 2] = [
    "CREATE TABLE chaos_record (record_id VARCHAR(64) NOT NULL PRIMARY KEY, record_type VARCHAR(64) NOT NULL, \
     patient_id VARCHAR(64) NOT NULL, encounter_id VARCHAR(64), version BIGINT NOT NULL, is_removed BIGINT NOT NULL)",
    "CREATE TABLE chaos_merge (patient_id VARCHAR(64) NOT NULL PRIMARY KEY, survivor_id VARCHAR(64) NOT NULL)",
];

pub(super) const ENCOUNTER: &str = "encounter";
const OBSERVATION: &str = "observation";
const CONDITION: &str = "condition";

/// The types that a target takes.
pub(crate) const TYPES: [&str; 4] = ["patient", ENCOUNTER, OBSERVATION, CONDITION];

/// What the application is about to do with a patient.
pub(super) enum Intent {
    /// Create one, as a rule with records.
    Register(String),
    Change {
        patient_id: String,
        removes: bool,
    },
    AddRecords(String),
    ChangeRecord(String),
    /// Merge one into another; one that is merged is unmerged.
    Merge {
        patient_id: String,
        survivor_id: String,
    },
}

/// Chooses it by the dice.
pub(super) fn choose(written: &Written, dice: &mut StdRng) -> Intent {
    if let Some(patient_id) = written.new_patient(dice) {
        return Intent::Register(patient_id);
    }
    let patient_id = written.choose_patient(dice);
    match dice.random_range(0..100) {
        0..25 => Intent::Change { patient_id, removes: dice.random_bool(0.2) },
        25..45 => Intent::AddRecords(patient_id),
        45..85 => Intent::ChangeRecord(patient_id),
        _ => Intent::Merge { patient_id, survivor_id: written.choose_patient(dice) },
    }
}

/// Does it within a transaction that was begun, but for the rows of the outbox.
pub(super) async fn write(
    session: &mut Session,
    intent: &Intent,
    written: &Written,
    dice: &mut StdRng,
) -> Result<Unsent> {
    Ok(match intent {
        Intent::Register(patient_id) => {
            let mut unsent = insert_patient(session, patient_id, dice).await?;
            if dice.random_bool(0.7) {
                add_records(session, patient_id, &mut unsent, written, dice).await?;
            }
            unsent.outbox.shuffle(dice);
            unsent
        }
        Intent::Change { patient_id, removes } => change(session, patient_id, *removes, dice).await?,
        Intent::AddRecords(patient_id) => {
            let Some(patient) = lock_patient(session, patient_id).await? else { return Ok(Unsent::default()) };
            // Who comes back is written before what refers to them.
            let mut unsent =
                if patient.is_removed { patient.change(session, false, dice).await? } else { Unsent::default() };
            add_records(session, patient_id, &mut unsent, written, dice).await?;
            unsent
        }
        Intent::ChangeRecord(patient_id) => change_record(session, patient_id, dice).await?,
        Intent::Merge { patient_id, survivor_id } => merge_or_unmerge(session, patient_id, survivor_id, dice).await?,
    })
}

async fn count(session: &mut Session, what: &str) -> Result<i64> {
    let rows = session.rows(&format!("SELECT COUNT(*) FROM {what}")).await?;
    let count = rows.first().and_then(|row| row.first()?.as_deref());
    count.context("count rows")?.parse().context("read a count")
}

async fn is_merged(session: &mut Session, patient_id: &str) -> Result<bool> {
    Ok(count(session, &format!("chaos_merge WHERE patient_id = '{patient_id}'")).await? > 0)
}

async fn change(session: &mut Session, patient_id: &str, removes: bool, dice: &mut StdRng) -> Result<Unsent> {
    let Some(patient) = lock_patient(session, patient_id).await? else { return Ok(Unsent::default()) };
    if is_merged(session, patient_id).await? {
        return Ok(Unsent::default());
    }
    let merged = format!("chaos_merge WHERE survivor_id = '{patient_id}'");
    let records = format!("chaos_record WHERE patient_id = '{patient_id}'");
    let removes = removes && count(session, &merged).await? + count(session, &records).await? == 0;
    patient.change(session, removes, dice).await
}

/// Merges a patient into another unless one of both is merged; unmerges one that is.
async fn merge_or_unmerge(
    session: &mut Session,
    patient_id: &str,
    survivor_id: &str,
    dice: &mut StdRng,
) -> Result<Unsent> {
    // In the same order in every transaction.
    let mut patients: Vec<Patient> = Vec::new();
    for id in [patient_id.min(survivor_id), patient_id.max(survivor_id)] {
        patients.extend(lock_patient(session, id).await?);
    }
    if patient_id == survivor_id || patients.len() != 2 || patients.iter().any(|patient| patient.is_removed) {
        return Ok(Unsent::default());
    }
    let Some(patient) = patients.into_iter().find(|patient| patient.id == patient_id) else {
        return Ok(Unsent::default());
    };
    if is_merged(session, patient_id).await? {
        session.execute(&format!("DELETE FROM chaos_merge WHERE patient_id = '{patient_id}'")).await?;
        return patient.change(session, false, dice).await;
    }
    if is_merged(session, survivor_id).await? {
        return Ok(Unsent::default());
    }
    session.execute(&format!("INSERT INTO chaos_merge VALUES ('{patient_id}', '{survivor_id}')")).await?;
    let version = patient.version + 1;
    Patient { version, ..patient }.write_row(session).await?;
    session
        .execute(&format!("UPDATE patient_cache SET phone_work = '{version}' WHERE patient_id = '{patient_id}'"))
        .await?;
    let payload = json!({ "phone_work": version.to_string() });
    let refs = json!([{ "name": "survivor", "type": "patient", "id": survivor_id }]);
    let row = outbox("patient", patient_id, "merge", &payload, &refs);
    Ok(Unsent { versions: vec![(patient_id.to_owned(), version)], outbox: vec![row] })
}

/// A clinical record as the application has it.
struct Record {
    id: String,
    aggregate_type: String,
    patient_id: String,
    encounter_id: Option<String>,
    version: i64,
}

/// Adds some records to a patient, in an encounter that is new or was there.
async fn add_records(
    session: &mut Session,
    patient_id: &str,
    unsent: &mut Unsent,
    written: &Written,
    dice: &mut StdRng,
) -> Result<()> {
    let sql = format!(
        "SELECT record_id FROM chaos_record WHERE patient_id = '{patient_id}' AND record_type = '{ENCOUNTER}' \
         AND is_removed = 0 ORDER BY record_id"
    );
    let known: Vec<String> = session.rows(&sql).await?.into_iter().filter_map(|mut row| row.pop()?).collect();
    let of = |aggregate_type: &str, prefix: &str, encounter_id: Option<&String>| Record {
        id: format!("{prefix}-{:06}", written.next_record()),
        aggregate_type: aggregate_type.to_owned(),
        patient_id: patient_id.to_owned(),
        encounter_id: encounter_id.cloned(),
        version: 1,
    };
    let mut records = Vec::new();
    let encounter_id = if known.is_empty() || dice.random_bool(0.5) {
        let encounter = of(ENCOUNTER, "E", None);
        let id = encounter.id.clone();
        records.push(encounter);
        id
    } else {
        known[dice.random_range(0..known.len())].clone()
    };
    for _ in 0..dice.random_range(1..4) {
        let (aggregate_type, prefix) = if dice.random_bool(0.5) { (OBSERVATION, "O") } else { (CONDITION, "K") };
        records.push(of(aggregate_type, prefix, Some(&encounter_id)));
    }
    records.shuffle(dice);
    for record in records {
        record.insert(session).await?;
        unsent.versions.push((record.id.clone(), record.version));
        unsent.outbox.push(record.outbox("create"));
    }
    Ok(())
}

/// Changes or removes one of a patient's records, or makes one again that was removed.
async fn change_record(session: &mut Session, patient_id: &str, dice: &mut StdRng) -> Result<Unsent> {
    if lock_patient(session, patient_id).await?.is_none() {
        return Ok(Unsent::default());
    }
    let sql = format!(
        "SELECT record_id, record_type, version, is_removed, encounter_id FROM chaos_record \
         WHERE patient_id = '{patient_id}' ORDER BY record_id"
    );
    let mut rows = session.rows(&sql).await?;
    if rows.is_empty() {
        return Ok(Unsent::default());
    }
    let row = rows.swap_remove(dice.random_range(0..rows.len()));
    let [Some(id), Some(aggregate_type), Some(version), Some(was_removed), encounter_id] =
        <[_; 5]>::try_from(row).ok().context("a row of five columns")?
    else {
        return Ok(Unsent::default());
    };
    let was_removed = was_removed == "1";
    let referring = count(session, &format!("chaos_record WHERE encounter_id = '{id}'")).await?;
    let removes = dice.random_bool(0.1) && !was_removed && referring == 0;
    let version = version.parse::<i64>().context("read a version")? + 1;
    let record = Record { id, aggregate_type, patient_id: patient_id.to_owned(), encounter_id, version };
    record.update(session, removes).await?;
    let operation = match (removes, was_removed) {
        (true, _) => "delete",
        (false, true) => "create",
        (false, false) => "update",
    };
    Ok(Unsent { versions: vec![(record.id.clone(), version)], outbox: vec![record.outbox(operation)] })
}

/// The statement that inserts an encounter of a patient into the outbox.
pub(super) fn encounter_of(encounter_id: &str, patient_id: &str) -> String {
    let (id, aggregate_type) = (encounter_id.to_owned(), ENCOUNTER.to_owned());
    let encounter = Record { id, aggregate_type, patient_id: patient_id.to_owned(), encounter_id: None, version: 1 };
    encounter.outbox("create")
}

impl Record {
    async fn insert(&self, session: &mut Session) -> Result<()> {
        let encounter = self.encounter_id.as_ref().map_or_else(|| "NULL".to_owned(), |id| format!("'{id}'"));
        let Self { id, aggregate_type, patient_id, version, .. } = self;
        let sql = format!(
            "INSERT INTO chaos_record VALUES ('{id}', '{aggregate_type}', '{patient_id}', {encounter}, {version}, 0)"
        );
        session.execute(&sql).await.map(drop)
    }

    async fn update(&self, session: &mut Session, removes: bool) -> Result<()> {
        let sql = format!(
            "UPDATE chaos_record SET version = {}, is_removed = {} WHERE record_id = '{}'",
            self.version,
            i64::from(removes),
            self.id
        );
        session.execute(&sql).await.map(drop)
    }

    fn outbox(&self, operation: &str) -> String {
        let mut refs = vec![json!({ "name": "subject", "type": "patient", "id": self.patient_id })];
        let encounter = self.encounter_id.as_ref();
        refs.extend(encounter.map(|id| json!({ "name": "encounter", "type": ENCOUNTER, "id": id })));
        outbox(&self.aggregate_type, &self.id, operation, &self.payload(), &Value::from(refs))
    }

    /// The state. Both targets store the label, by which the record and its version are known there.
    fn payload(&self) -> Value {
        let (label, version) = (format!("{}/{}", self.id, self.version), self.version.to_string());
        match self.aggregate_type.as_str() {
            ENCOUNTER => json!({
                "status": "in-progress", "class": "AMB", "period": { "start": "2025-03-01T09:30:00+09:00" },
                "reason_code": { "display": label }, "version": version,
            }),
            OBSERVATION => json!({
                "status": "final", "category": "vital-signs", "effective": "2025-03-01T09:35:00+09:00",
                "code": { "system": "http://loinc.org", "code": "8867-4", "display": "Heart rate" },
                "value_quantity": { "value": 60 + self.version % 60, "unit": "/min" },
                "note": label, "version": version,
            }),
            _ => json!({
                "clinical_status": "active", "code": { "display": "Asthma" }, "note": label, "version": version,
            }),
        }
    }
}

fn outbox(aggregate_type: &str, id: &str, operation: &str, payload: &Value, refs: &Value) -> String {
    format!(
        "INSERT INTO sync_outbox (aggregate_type, aggregate_id, operation, payload, refs) \
         VALUES ('{aggregate_type}', '{id}', '{operation}', '{payload}', '{refs}')"
    )
}
