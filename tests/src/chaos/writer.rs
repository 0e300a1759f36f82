//! The application next to the hosts: it creates, changes, removes and re-registers patients, each change with its row
//! in the outbox, in one transaction and by the rules of `docs/outbox.md`. With clinical records it also does what
//! `clinical.rs` has.
//!
//! Every state carries a version, counted per aggregate under the lock of the patient's own row, of a patient in the
//! field `phone_work`. By it every later check knows which state is newer. What the store confirmed is remembered: it
//! must be there in the end, whatever was killed meanwhile.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, Result};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

use super::{clinical, faults::Faults};
use crate::mutex::lock;
use crate::session::Session;

/// The application's own table.
pub(crate) const TABLES: &str = "CREATE TABLE chaos_patient (patient_id VARCHAR(64) NOT NULL PRIMARY KEY, \
                                 version BIGINT NOT NULL, is_removed BIGINT NOT NULL)";

/// How long one transaction may take before its outcome counts as unknown.
const ANSWER_WITHIN: Duration = Duration::from_secs(8);

/// What all writers share.
#[derive(Default)]
pub(crate) struct Written {
    created: AtomicU64,
    records: AtomicU64,
    known: Mutex<Vec<String>>,
    /// The newest version of each aggregate that the store confirmed.
    acknowledged: Mutex<BTreeMap<String, i64>>,
    changes: AtomicU64,
    unknown: AtomicU64,
}

impl Written {
    /// Changes that the store confirmed.
    pub(crate) fn changes(&self) -> u64 {
        self.changes.load(Ordering::Relaxed)
    }

    /// Changes whose confirmation was lost, or that were refused.
    pub(crate) fn unknown(&self) -> u64 {
        self.unknown.load(Ordering::Relaxed)
    }

    /// The newest version of each aggregate that the store confirmed.
    pub(crate) fn acknowledged(&self) -> BTreeMap<String, i64> {
        lock(&self.acknowledged).clone()
    }

    /// A number that no clinical record has yet.
    pub(super) fn next_record(&self) -> u64 {
        self.records.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// The id of a new patient, now and then and as long as there are few.
    pub(super) fn new_patient(&self, dice: &mut StdRng) -> Option<String> {
        let is_new = lock(&self.known).len() < 3 || dice.random_bool(0.08);
        is_new.then(|| format!("C-{:06}", self.created.fetch_add(1, Ordering::Relaxed) + 1))
    }

    /// One of the patients. The latest change most, so that changes of one patient meet.
    pub(super) fn choose_patient(&self, dice: &mut StdRng) -> String {
        let known = lock(&self.known);
        let latest = known.len().saturating_sub(25);
        let place = if dice.random_bool(0.7) {
            dice.random_range(latest..known.len())
        } else {
            dice.random_range(0..known.len())
        };
        known[place].clone()
    }

    fn choose(&self, dice: &mut StdRng) -> Intent {
        match self.new_patient(dice) {
            Some(patient_id) => Intent::Create(patient_id),
            None => Intent::Change { patient_id: self.choose_patient(dice), removes: dice.random_bool(0.03) },
        }
    }

    fn confirm(&self, versions: Vec<(String, i64)>) {
        self.changes.fetch_add(versions.len() as u64, Ordering::Relaxed);
        let mut acknowledged = lock(&self.acknowledged);
        for (id, version) in versions {
            let newest = acknowledged.entry(id).or_default();
            *newest = version.max(*newest);
        }
    }
}

enum Intent {
    Create(String),
    Change { patient_id: String, removes: bool },
    Clinical(clinical::Intent),
}

impl Intent {
    /// The patient whom it creates.
    fn new_patient(&self) -> Option<&String> {
        match self {
            Self::Create(patient_id) | Self::Clinical(clinical::Intent::Register(patient_id)) => Some(patient_id),
            Self::Change { .. } | Self::Clinical(_) => None,
        }
    }
}

/// What the application has written into its own tables, and what of the outbox belongs to that. Nothing when there was
/// nothing to change.
#[derive(Default)]
pub(super) struct Unsent {
    /// The version of each changed aggregate.
    pub(super) versions: Vec<(String, i64)>,
    /// The statements that insert rows into the outbox, last of all.
    pub(super) outbox: Vec<String>,
}

/// Writes about `rate` changes a second until the time of faults is over.
pub(crate) async fn run(url: &str, written: &Written, faults: &Faults, rate: f64, seed: u64, is_clinical: bool) {
    let mut dice = StdRng::seed_from_u64(seed);
    let mut session = None;
    let mut ticks = tokio::time::interval(Duration::from_secs_f64(1.0 / rate));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while !faults.are_over() {
        ticks.tick().await;
        let intent = if is_clinical {
            Intent::Clinical(clinical::choose(written, &mut dice))
        } else {
            written.choose(&mut dice)
        };
        let writing = write(url, &mut session, &intent, written, &mut dice);
        if let Ok(Ok(versions)) = tokio::time::timeout(ANSWER_WITHIN, writing).await {
            written.confirm(versions);
        } else {
            // Whether it was committed is not known. The connection may be in the middle of something.
            written.unknown.fetch_add(1, Ordering::Relaxed);
            session = None;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        if let Some(patient_id) = intent.new_patient() {
            lock(&written.known).push(patient_id.clone());
        }
    }
}

/// Does one thing as one transaction; gives the versions that it committed.
async fn write(
    url: &str,
    session: &mut Option<Session>,
    intent: &Intent,
    written: &Written,
    dice: &mut StdRng,
) -> Result<Vec<(String, i64)>> {
    let session = match session {
        Some(session) => session,
        None => session.insert(open(url).await?),
    };
    session.execute(session.begin()).await?;
    let unsent = match intent {
        Intent::Create(patient_id) => insert_patient(session, patient_id, dice).await?,
        Intent::Change { patient_id, removes } => {
            if let Some(patient) = lock_patient(session, patient_id).await? {
                patient.change(session, *removes, dice).await?
            } else {
                Unsent::default()
            }
        }
        Intent::Clinical(intent) => clinical::write(session, intent, written, dice).await?,
    };
    if unsent.versions.is_empty() {
        session.execute("ROLLBACK").await?;
        return Ok(Vec::new());
    }
    for sql in &unsent.outbox {
        session.execute(sql).await?;
    }
    session.execute("COMMIT").await?;
    Ok(unsent.versions)
}

/// A patient whose row is locked.
pub(super) struct Patient {
    pub(super) id: String,
    pub(super) version: i64,
    pub(super) is_removed: bool,
}

/// Locks a patient's row; `None` when there is no such patient.
pub(super) async fn lock_patient(session: &mut Session, patient_id: &str) -> Result<Option<Patient>> {
    let lock = session.for_update();
    let sql = format!("SELECT version, is_removed FROM chaos_patient WHERE patient_id = '{patient_id}'{lock}");
    let rows = session.rows(&sql).await?;
    let Some([Some(version), Some(is_removed)]) = rows.first().map(Vec::as_slice) else { return Ok(None) };
    let version = version.parse().context("read a version")?;
    Ok(Some(Patient { id: patient_id.to_owned(), version, is_removed: is_removed == "1" }))
}

/// Creates a patient.
pub(super) async fn insert_patient(session: &mut Session, patient_id: &str, dice: &mut StdRng) -> Result<Unsent> {
    session.execute(&format!("INSERT INTO chaos_patient VALUES ('{patient_id}', 1, 0)")).await?;
    let patient = Patient { id: patient_id.to_owned(), version: 1, is_removed: false };
    patient.write_state(session, "create", dice).await
}

impl Patient {
    /// Changes or removes the patient, who comes back with the next change.
    pub(super) async fn change(self, session: &mut Session, removes: bool, dice: &mut StdRng) -> Result<Unsent> {
        let was_removed = self.is_removed;
        let next = Self { version: self.version + 1, is_removed: removes && !was_removed, ..self };
        next.write_row(session).await?;
        let operation = match (next.is_removed, was_removed) {
            (true, _) => "delete",
            (false, true) => "create",
            (false, false) => "update",
        };
        next.write_state(session, operation, dice).await
    }

    /// Writes the application's own row.
    pub(super) async fn write_row(&self, session: &mut Session) -> Result<()> {
        let sql = format!(
            "UPDATE chaos_patient SET version = {}, is_removed = {} WHERE patient_id = '{}'",
            self.version,
            i64::from(self.is_removed),
            self.id
        );
        session.execute(&sql).await.map(drop)
    }

    async fn write_state(&self, session: &mut Session, operation: &str, dice: &mut StdRng) -> Result<Unsent> {
        let city = ["Seoul", "Busan", "Daegu"][dice.random_range(0..3)];
        let Self { id, version, .. } = self;
        session.execute(&cache(id, *version, operation, city)?).await?;
        Ok(Unsent { versions: vec![(id.clone(), *version)], outbox: vec![outbox(id, *version, operation, city)] })
    }
}

/// Opens a session that waits for SQLite's lock.
pub(super) async fn open(url: &str) -> Result<Session> {
    let mut session = Session::open(url).await?;
    if matches!(session, Session::Sqlite(_)) {
        session.execute("PRAGMA busy_timeout = 5000").await?;
    }
    Ok(session)
}

/// The patient as the host's own service keeps it, so that ids are written back next to it.
fn cache(patient_id: &str, version: i64, operation: &str, city: &str) -> Result<String> {
    let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).context("read the clock")?.as_millis();
    Ok(match operation {
        "create" => format!(
            "INSERT INTO patient_cache (patient_id, family_name, given_name, birth_date, gender, city, phone_work, \
             created_at, updated_at) VALUES ('{patient_id}', 'Chaos', 'Patient', '1980-01-31', 'other', '{city}', \
             '{version}', {now_ms}, {now_ms})"
        ),
        "delete" => format!("DELETE FROM patient_cache WHERE patient_id = '{patient_id}'"),
        _ => format!(
            "UPDATE patient_cache SET city = '{city}', phone_work = '{version}', updated_at = {now_ms} \
             WHERE patient_id = '{patient_id}'"
        ),
    })
}

/// The statement that inserts a state of a patient into the outbox.
pub(super) fn outbox(patient_id: &str, version: i64, operation: &str, city: &str) -> String {
    let payload = serde_json::json!({
        "patient_id": patient_id, "family_name": "Chaos", "given_name": "Patient", "birth_date": "1980-01-31",
        "gender": "other", "city": city, "phone_work": version.to_string(),
    });
    format!(
        "INSERT INTO sync_outbox (aggregate_type, aggregate_id, operation, payload) \
         VALUES ('patient', '{patient_id}', '{operation}', '{payload}')"
    )
}
