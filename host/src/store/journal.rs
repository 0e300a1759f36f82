//! The journal: one row of `sync_attempt` for each attempt of a batch, written in the transaction that settles it.
//!
//! The statements and requests of an attempt are nearly always the same few lists. So `sync_effects` has each list
//! once, and a row of the journal has only its counts. A host writes a list when it has not written it for half a day;
//! retention deletes a list only two days after the last attempt that may have it. Nothing here holds a value of a
//! payload, and no step of the protocol reads it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use sha2::{Digest as _, Sha256};

use super::sql::{
    DeleteAttempts, DeleteEffects, KnowsAttempt, LastAttempts, OldAttempts, PutAttempt, PutEffects, ReadAttempts,
    RecentAttempts,
};
use super::{Lease, PurgeCursor, Purged, RowReader, Store, StoreError, StoreTransaction};
use crate::database::{Value, rerun};
use crate::domain::attempt::{AdapterIdentity, Attempt, Cause, Outcomes};
use crate::domain::delivery::Status;
use crate::domain::effects::Effects;
use crate::domain::hex::hex;
use crate::domain::ids::{ChangeId, LeaseId};

/// How long a list of templates counts as written.
const WRITTEN_FOR: Duration = Duration::from_hours(12);
/// How much longer than attempts their templates are kept.
const EFFECTS_EXTRA_MS: i64 = 2 * 86_400_000;
/// Lists that one process remembers.
const LISTS_MAX: usize = 1_024;
/// The attempts that worked from which a rate is computed.
const RECENT_MAX: u32 = 50;

/// The lists of templates that this process has written, and when.
#[derive(Clone, Debug, Default)]
pub(super) struct WrittenEffects(Arc<Mutex<BTreeMap<String, SystemTime>>>);

impl WrittenEffects {
    fn has(&self, sha256: &str) -> bool {
        let is_recent = |at: &SystemTime| at.elapsed().is_ok_and(|age| age < WRITTEN_FOR);
        self.lock().get(sha256).is_some_and(is_recent)
    }

    fn add(&self, sha256: String) {
        let mut written = self.lock();
        if written.len() >= LISTS_MAX {
            written.clear();
        }
        written.insert(sha256, SystemTime::now());
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, SystemTime>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A list of templates that a transaction has written. It counts as written once the transaction is committed.
pub(super) struct NewEffects(Option<String>);

/// An attempt as the journal has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedAttempt {
    pub lease_id: LeaseId,
    pub target: String,
    /// The id of the host that made it.
    pub host: String,
    /// Milliseconds since 1970-01-01 UTC.
    pub started_at: i64,
    pub attempt: Attempt,
}

/// One of the last attempts at a target, without its effects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastAttempt {
    pub lease_id: LeaseId,
    /// Milliseconds since 1970-01-01 UTC.
    pub started_at: i64,
    pub elapsed_ms: i64,
    pub calls: i64,
    pub changes: i64,
    pub outcomes: Outcomes,
    pub adapter_sha256: Option<String>,
    pub interface_version: Option<String>,
    pub cause: Option<Cause>,
}

/// How quickly a target took changes lately.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// While anything was delivered at all.
    pub changes_per_second: f64,
}

/// What the last attempts at a target did, as far as they worked.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct RecentWork {
    /// `None` when the journal has no attempt that worked.
    pub(super) rate: Option<Rate>,
    /// How long ago the target confirmed a change, in milliseconds.
    pub(super) last_delivery_ms: Option<i64>,
}

impl Rate {
    /// How long so many changes take, in milliseconds.
    #[must_use]
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "an estimate; `as` saturates")]
    pub fn millis_for(self, changes: i64) -> i64 {
        (changes as f64 * 1_000.0 / self.changes_per_second) as i64
    }
}

impl Store {
    /// The last attempts at a target, the newest first.
    ///
    /// # Errors
    /// When the store cannot be reached.
    pub async fn last_attempts(&self, target: &str, limit: u32) -> Result<Vec<LastAttempt>, StoreError> {
        let operation = "read the last attempts";
        let rows = self.fetch_alone(operation, LastAttempts { target, limit }).await?.rows;
        let read = rows.into_iter().map(|row| {
            let mut reader = RowReader::new(operation, row);
            Ok(LastAttempt {
                lease_id: LeaseId::new(reader.integer()?),
                started_at: reader.integer()?,
                elapsed_ms: reader.integer()?,
                calls: reader.integer()?,
                changes: reader.integer()?,
                // Another version may have written a form that this one cannot read.
                outcomes: serde_json::from_str(&reader.text()?).unwrap_or_default(),
                adapter_sha256: reader.optional_text()?,
                interface_version: reader.optional_text()?,
                cause: match (reader.optional_text()?, reader.optional_text()?) {
                    (Some(kind), message) => Some(Cause { kind, message: message.unwrap_or_default() }),
                    (None, _) => None,
                },
            })
        });
        read.collect()
    }

    /// Records an attempt that was not settled, unless the journal has it already.
    ///
    /// # Errors
    /// When the store cannot be reached.
    pub async fn record_unsettled(&self, lease: &Lease, attempt: &Attempt) -> Result<(), StoreError> {
        let mut transaction = self.begin(&format!("record an attempt at target `{}`", lease.target)).await?;
        // A settlement whose commit was not answered looks like a lost lease, and has written its row.
        if transaction.number(KnowsAttempt { lease_id: lease.id }).await?.is_some() {
            return transaction.rollback().await;
        }
        let new = transaction.put_attempt(lease, attempt, &self.written_effects).await?;
        transaction.commit().await?;
        self.remember_effects(new);
        Ok(())
    }

    /// Remembers what a committed transaction has written.
    pub(super) fn remember_effects(&self, new: NewEffects) {
        if let NewEffects(Some(sha256)) = new {
            self.written_effects.add(sha256);
        }
    }

    /// Deletes attempts older than `age_ms`, one step of them.
    ///
    /// # Errors
    /// When the store cannot be reached.
    pub async fn purge_journal(&self, age_ms: i64, cursor: PurgeCursor) -> Result<Purged, StoreError> {
        rerun("purge the journal", || async {
            let mut transaction = self.begin("purge the journal").await?;
            let cutoff = transaction.purge_cutoff(age_ms).await?;
            let (old, next) = transaction.chunk(OldAttempts { after: cursor.after_id, cutoff }).await?;
            let mut deleted = 0;
            if !old.is_empty() {
                let ids: Vec<_> = old.iter().map(|old| old.id).collect();
                deleted = transaction.run(DeleteAttempts { ids: &ids }).await?.rows_affected;
            }
            if next.is_none() {
                transaction.run(DeleteEffects { cutoff: cutoff.saturating_sub(EFFECTS_EXTRA_MS) }).await?;
            }
            transaction.commit().await?;
            Ok(Purged { deleted, next })
        })
        .await
    }

    /// How quickly a target took changes in its last attempts; `None` when the journal has none that worked.
    ///
    /// # Errors
    /// When the store cannot be reached.
    pub async fn rate(&self, target: &str) -> Result<Option<Rate>, StoreError> {
        let mut transaction = self.begin_read("read the last attempts").await?;
        let rate = transaction.recent_work(target).await?.rate;
        transaction.rollback().await?;
        Ok(rate)
    }

    /// The attempts under these leases that the journal still has.
    ///
    /// # Errors
    /// When the store cannot be reached, or holds values that this version does not understand.
    pub async fn attempts(&self, leases: &[LeaseId]) -> Result<Vec<RecordedAttempt>, StoreError> {
        let mut transaction = self.begin_read("read attempts").await?;
        let attempts = transaction.attempts(leases).await?;
        transaction.rollback().await?;
        Ok(attempts)
    }
}

impl StoreTransaction {
    /// Writes the row of an attempt, and its templates when they are new.
    pub(super) async fn put_attempt(
        &mut self,
        lease: &Lease,
        attempt: &Attempt,
        written: &WrittenEffects,
    ) -> Result<NewEffects, StoreError> {
        let (mut new, mut sha256, mut counts) = (NewEffects(None), None, None);
        if !attempt.effects.is_empty() {
            let effects = attempt.effects.stored_templates();
            let digest = hex(&Sha256::digest(effects.as_bytes()));
            if !written.has(&digest) {
                self.run(PutEffects { sha256: &digest, effects: &effects }).await?;
                new = NewEffects(Some(digest.clone()));
            }
            (sha256, counts) = (Some(digest), Some(attempt.effects.stored_counts()));
        }
        let outcomes = serde_json::to_string(&attempt.outcomes).expect("invariant: words and numbers are JSON");
        let adapter = attempt.adapter.as_ref();
        let cause = attempt.cause.as_ref();
        self.run(PutAttempt {
            lease_id: lease.id,
            target: lease.target.as_str(),
            host: &lease.owner,
            adapter_name: adapter.map(|adapter| adapter.name.as_str()),
            adapter_version: adapter.map(|adapter| adapter.version.as_str()),
            adapter_sha256: adapter.map(|adapter| adapter.sha256.as_str()),
            interface_version: adapter.map(|adapter| adapter.interface_version.as_str()),
            elapsed_ms: signed(attempt.elapsed_ms),
            calls: signed(attempt.calls),
            changes: signed(attempt.changes),
            outcomes: &outcomes,
            effects_sha256: sha256.as_deref(),
            effect_counts: counts.as_deref(),
            cause_kind: cause.map(|cause| cause.kind.as_str()),
            cause: cause.map(|cause| cause.message.as_str()),
        })
        .await?;
        Ok(new)
    }

    pub(super) async fn attempts(&mut self, leases: &[LeaseId]) -> Result<Vec<RecordedAttempt>, StoreError> {
        if leases.is_empty() {
            return Ok(Vec::new());
        }
        // Lists of ids are of one type, whatever they name.
        let ids: Vec<_> = leases.iter().map(|lease| ChangeId::new(lease.get())).collect();
        let rows = self.fetch(ReadAttempts { ids: &ids }).await?;
        rows.rows.into_iter().map(|row| recorded(&self.operation, row)).collect()
    }

    /// What the last attempts at a target did. Every estimate of how long its queue takes comes from here.
    pub(super) async fn recent_work(&mut self, target: &str) -> Result<RecentWork, StoreError> {
        let rows = self.fetch(RecentAttempts { target, limit: RECENT_MAX }).await?;
        let (mut worked, mut last_delivery_ms) = (Vec::new(), None);
        for row in rows.rows {
            let mut reader = RowReader::new(&self.operation, row);
            let (started_at, elapsed_ms, changes) = (reader.integer()?, reader.integer()?, reader.integer()?);
            worked.push((started_at, started_at.saturating_add(elapsed_ms.max(1)), changes.max(0)));
            let (outcomes, age_ms) = (outcomes(&reader.text()?), reader.integer()?.max(0));
            if outcomes.get(Status::Done.as_str()).is_some_and(|count| *count > 0) {
                last_delivery_ms = Some(last_delivery_ms.map_or(age_ms, |least: i64| least.min(age_ms)));
            }
        }
        Ok(RecentWork { rate: rate_of(worked), last_delivery_ms })
    }
}

/// Reads the counts of outcomes. Another version may have written a form that this one cannot read.
fn outcomes(text: &str) -> Outcomes {
    serde_json::from_str(text).unwrap_or_default()
}

/// Changes by the time in which at least one attempt was under way: several workers overlap, and idle time is none.
#[allow(clippy::cast_precision_loss, reason = "an estimate")]
fn rate_of(mut attempts: Vec<(i64, i64, i64)>) -> Option<Rate> {
    attempts.sort_unstable();
    let changes: i64 = attempts.iter().map(|(_, _, changes)| changes).sum();
    let (mut busy_ms, mut reached) = (0, i64::MIN);
    for (from, to, _) in attempts {
        busy_ms += (to - from.max(reached)).max(0);
        reached = reached.max(to);
    }
    (changes > 0 && busy_ms > 0).then(|| Rate { changes_per_second: changes as f64 * 1_000.0 / busy_ms as f64 })
}

fn recorded(operation: &str, row: Vec<Value>) -> Result<RecordedAttempt, StoreError> {
    let mut reader = RowReader::new(operation, row);
    let lease_id = LeaseId::new(reader.integer()?);
    let (target, host) = (reader.text()?, reader.text()?);
    let name = reader.optional_text()?;
    let (version, sha256, interface) = (reader.optional_text()?, reader.optional_text()?, reader.optional_text()?);
    let adapter = name.map(|name| AdapterIdentity {
        name,
        version: version.unwrap_or_default(),
        sha256: sha256.unwrap_or_default(),
        interface_version: interface.unwrap_or_default(),
    });
    let started_at = reader.integer()?;
    let [elapsed_ms, calls, changes] = [reader.integer()?, reader.integer()?, reader.integer()?].map(unsigned);
    let outcomes = outcomes(&reader.text()?);
    let (counts, templates) = (reader.optional_text()?, reader.optional_text()?);
    let effects = templates.zip(counts).and_then(|(templates, counts)| Effects::from_stored(&templates, &counts));
    let (kind, message) = (reader.optional_text()?, reader.optional_text()?);
    let cause = kind.map(|kind| Cause { kind, message: message.unwrap_or_default() });
    let effects = effects.unwrap_or_default();
    let attempt = Attempt { adapter, elapsed_ms, calls, changes, outcomes, effects, cause };
    Ok(RecordedAttempt { lease_id, target, host, started_at, attempt })
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_counts_overlapping_attempts_once_and_no_idle_time() {
        let rate = |attempts: &[(i64, i64, i64)]| rate_of(attempts.to_vec()).map(|rate| rate.changes_per_second);
        assert_eq!(rate(&[]), None);
        assert_eq!(rate(&[(0, 100, 0)]), None, "nothing was delivered");
        assert_eq!(rate(&[(0, 1_000, 50), (500, 1_500, 100)]), Some(100.0), "two workers, 1.5 seconds");
        assert_eq!(rate(&[(100_000, 100_500, 100), (0, 500, 100)]), Some(200.0), "a long pause between them");
        assert_eq!(rate(&[(0, 1_000, 10), (200, 300, 10)]), Some(20.0), "one within another");
    }

    #[test]
    fn few_lists_are_remembered() {
        let written = WrittenEffects::default();
        for number in 0..=LISTS_MAX {
            written.add(number.to_string());
        }
        assert!(written.has(&LISTS_MAX.to_string()) && !written.has("0"));
        assert!(written.lock().len() <= LISTS_MAX);
    }
}
