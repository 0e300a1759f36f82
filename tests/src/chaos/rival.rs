//! OpenEMR's own writer: it takes `MAX(pid) + 1` without a lock, inserts its chart, and begins again when another
//! had taken that number. It comes in bursts. No chart of its may be lost or changed by ours.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use anyhow::Result;
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

use super::faults::Faults;
use crate::session::Session;

/// How long one chart may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(8);

/// What it did.
#[derive(Default)]
pub(crate) struct Registered {
    charts: AtomicU64,
    retries: AtomicU64,
}

impl Registered {
    /// Charts that the database confirmed.
    pub(crate) fn charts(&self) -> u64 {
        self.charts.load(Ordering::Relaxed)
    }

    /// How often a number was taken already.
    pub(crate) fn retries(&self) -> u64 {
        self.retries.load(Ordering::Relaxed)
    }
}

/// Registers charts `W-1`, `W-2` and so on until the time of faults is over. A chart whose confirmation was lost is
/// tried again only when it is not there.
pub(crate) async fn run(url: &str, registered: &Registered, faults: &Faults, seed: u64) {
    let mut dice = StdRng::seed_from_u64(seed);
    let mut session = None;
    let mut number = 1_u64;
    while !faults.are_over() {
        let burst = dice.random_range(1..12);
        for _ in 0..burst {
            let outcome = tokio::time::timeout(ANSWER_WITHIN, register(url, &mut session, number, registered)).await;
            if !matches!(outcome, Ok(Ok(()))) {
                session = None;
                tokio::time::sleep(Duration::from_millis(100)).await;
                break;
            }
            registered.charts.store(number, Ordering::Relaxed);
            number += 1;
        }
        tokio::time::sleep(Duration::from_millis(dice.random_range(50..600))).await;
    }
}

async fn register(url: &str, session: &mut Option<Session>, number: u64, registered: &Registered) -> Result<()> {
    let session = match session {
        Some(session) => session,
        None => session.insert(Session::open(url).await?),
    };
    let there = session.rows(&format!("SELECT pid FROM patient_data WHERE pubpid = 'W-{number}'")).await?;
    if !there.is_empty() {
        return Ok(());
    }
    loop {
        let highest = session.rows("SELECT COALESCE(MAX(pid), 0) + 1 FROM patient_data").await?;
        let pid = highest.first().and_then(|row| row.first().cloned().flatten()).unwrap_or_else(|| "1".to_owned());
        // As long as a user needs to press a button twice, others may take the number.
        tokio::time::sleep(Duration::from_millis(2)).await;
        let sql = format!(
            "INSERT INTO patient_data (uuid, pid, pubpid, fname, lname, DOB, sex, phone_biz, date, regdate) \
             VALUES (UNHEX(MD5('W-{number}')), {pid}, 'W-{number}', 'Walk', 'In', '1970-01-01', 'Female', \
             '{number}', NOW(), NOW())"
        );
        match session.execute(&sql).await {
            Ok(_) => return Ok(()),
            Err(error) if is_duplicate(&error) => registered.retries.fetch_add(1, Ordering::Relaxed),
            Err(error) => return Err(error),
        };
    }
}

fn is_duplicate(error: &anyhow::Error) -> bool {
    matches!(
        error.downcast_ref::<sqlx::Error>(),
        Some(sqlx::Error::Database(error)) if error.is_unique_violation()
    )
}
