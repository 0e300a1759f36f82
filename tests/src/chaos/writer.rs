//! The application next to the hosts: it creates, changes, removes and re-registers patients, each change with its row
//! in the outbox, in one transaction and by the rules of `docs/outbox.md`.
//!
//! Every state carries a version, counted per patient under the lock of the application's own row, in the field
//! `phone_work`. By it every later check knows which state is newer. What the store confirmed is remembered: it must be
//! there in the end, whatever was killed meanwhile.

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

use super::faults::Faults;
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
    known: Mutex<Vec<String>>,
    /// The newest version of each patient that the store confirmed.
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

    /// The newest version of each patient that the store confirmed.
    pub(crate) fn acknowledged(&self) -> BTreeMap<String, i64> {
        lock(&self.acknowledged).clone()
    }

    fn choose(&self, dice: &mut StdRng) -> Intent {
        let known = lock(&self.known);
        if known.len() < 3 || dice.random_bool(0.08) {
            return Intent::Create(format!("C-{:06}", self.created.fetch_add(1, Ordering::Relaxed) + 1));
        }
        // The latest patients change most, so that changes of one patient meet.
        let latest = known.len().saturating_sub(25);
        let place = if dice.random_bool(0.7) {
            dice.random_range(latest..known.len())
        } else {
            dice.random_range(0..known.len())
        };
        Intent::Change { patient_id: known[place].clone(), removes: dice.random_bool(0.03) }
    }
}

enum Intent {
    Create(String),
    Change { patient_id: String, removes: bool },
}

/// Writes about `rate` changes a second until the time of faults is over.
pub(crate) async fn run(url: &str, written: &Written, faults: &Faults, rate: f64, seed: u64) {
    let mut dice = StdRng::seed_from_u64(seed);
    let mut session = None;
    let mut ticks = tokio::time::interval(Duration::from_secs_f64(1.0 / rate));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while !faults.are_over() {
        ticks.tick().await;
        let intent = written.choose(&mut dice);
        let patient_id = match &intent {
            Intent::Create(patient_id) | Intent::Change { patient_id, .. } => patient_id.clone(),
        };
        let is_new = matches!(intent, Intent::Create(_));
        let outcome = tokio::time::timeout(ANSWER_WITHIN, write(url, &mut session, &intent, &mut dice)).await;
        match outcome {
            Ok(Ok(Some(version))) => {
                written.changes.fetch_add(1, Ordering::Relaxed);
                let mut acknowledged = lock(&written.acknowledged);
                let newest = acknowledged.entry(patient_id.clone()).or_default();
                *newest = version.max(*newest);
            }
            Ok(Ok(None)) => {}
            Ok(Err(_)) | Err(_) => {
                // Whether it was committed is not known. The connection may be in the middle of something.
                written.unknown.fetch_add(1, Ordering::Relaxed);
                session = None;
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
        if is_new {
            lock(&written.known).push(patient_id);
        }
    }
}

/// One change as one transaction; gives the version that it committed, none when there is no such patient.
async fn write(url: &str, session: &mut Option<Session>, intent: &Intent, dice: &mut StdRng) -> Result<Option<i64>> {
    let session = match session {
        Some(session) => session,
        None => session.insert(open(url).await?),
    };
    session.execute(session.begin()).await?;
    let (patient_id, version, operation) = match intent {
        Intent::Create(patient_id) => {
            session.execute(&format!("INSERT INTO chaos_patient VALUES ('{patient_id}', 1, 0)")).await?;
            (patient_id, 1, "create")
        }
        Intent::Change { patient_id, removes } => {
            let lock = session.for_update();
            let sql = format!("SELECT version, is_removed FROM chaos_patient WHERE patient_id = '{patient_id}'{lock}");
            let rows = session.rows(&sql).await?;
            let Some([Some(version), Some(is_removed)]) = rows.first().map(Vec::as_slice) else {
                session.execute("ROLLBACK").await?;
                return Ok(None);
            };
            let version = version.parse::<i64>().context("read a version")? + 1;
            let was_removed = is_removed == "1";
            let removes = *removes && !was_removed;
            let sql = format!(
                "UPDATE chaos_patient SET version = {version}, is_removed = {} WHERE patient_id = '{patient_id}'",
                i64::from(removes)
            );
            session.execute(&sql).await?;
            (
                patient_id,
                version,
                if removes {
                    "delete"
                } else if was_removed {
                    "create"
                } else {
                    "update"
                },
            )
        }
    };
    let city = ["Seoul", "Busan", "Daegu"][dice.random_range(0..3)];
    for sql in [cache(patient_id, version, operation, city)?, outbox(patient_id, version, operation, city)] {
        session.execute(&sql).await?;
    }
    session.execute("COMMIT").await?;
    Ok(Some(version))
}

async fn open(url: &str) -> Result<Session> {
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

fn outbox(patient_id: &str, version: i64, operation: &str, city: &str) -> String {
    let payload = serde_json::json!({
        "patient_id": patient_id, "family_name": "Chaos", "given_name": "Patient", "birth_date": "1980-01-31",
        "gender": "other", "city": city, "phone_work": version.to_string(),
    });
    format!(
        "INSERT INTO sync_outbox (aggregate_type, aggregate_id, operation, payload) \
         VALUES ('patient', '{patient_id}', '{operation}', '{payload}')"
    )
}
