//! A database target's statements, checked once and cached: an adapter runs the same few texts again and again.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use sha2::{Digest as _, Sha256};
use tokio::sync::Semaphore;

use super::sql_guard::{self, Permit, Verb, Wanted};
use super::sql_refusal::Verdict;
use crate::database::Dialect;
use crate::domain::grants::SqlGrants;

/// Verdicts in one generation; two generations are kept.
const VERDICTS_MAX: usize = 1_024;
/// Bytes of the texts in one generation.
const VERDICT_BYTES_MAX: usize = 8 << 20;
/// Bytes of one verdict in addition to its text, approximately.
const VERDICT_BYTES: usize = 256;
/// Tables whose columns are remembered.
const TABLES_MAX: usize = 256;

type Key = ([u8; 32], Verb);
/// A schema, where one was written, and a table's name.
pub(super) type TableKey = (Option<String>, String);

/// The SQL that a target's adapter may run. Created once per target; calls share its cache of verdicts.
pub struct SqlAccess {
    dialect: Dialect,
    grants: Arc<SqlGrants>,
    verdicts: Mutex<Verdicts>,
    /// Columns by table, as PostgreSQL's catalogue had them.
    columns: Mutex<HashMap<TableKey, Arc<BTreeSet<String>>>>,
    /// One statement is checked at a time, so that an adapter cannot occupy more than one thread.
    judging: Arc<Semaphore>,
}

impl SqlAccess {
    /// For one target.
    #[must_use]
    pub fn new(dialect: Dialect, grants: SqlGrants) -> Arc<Self> {
        Arc::new(Self {
            dialect,
            grants: Arc::new(grants),
            verdicts: Mutex::default(),
            columns: Mutex::default(),
            judging: Arc::new(Semaphore::new(1)),
        })
    }

    /// The family of SQL that is judged.
    #[must_use]
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// What the operator granted.
    #[must_use]
    pub fn grants(&self) -> &SqlGrants {
        &self.grants
    }

    /// Whether the adapter was granted nothing that writes.
    #[must_use]
    pub fn only_reads(&self) -> bool {
        self.grants.only_read()
    }

    /// The statement to run, or why it is refused.
    pub(in crate::plugin) async fn permit(&self, sql: &str, verb: Verb) -> Verdict<Arc<Permit>> {
        let began = Instant::now();
        let verdict = self.verdict(sql, verb).await;
        // The bench adds these up.
        tracing::debug!(microseconds = began.elapsed().as_micros(), "a statement was checked");
        verdict
    }

    async fn verdict(&self, sql: &str, verb: Verb) -> Verdict<Arc<Permit>> {
        let key = (Sha256::digest(sql.as_bytes()).into(), verb);
        if let Some(verdict) = lock(&self.verdicts).get(&key) {
            return verdict;
        }
        let verdict = self.judge(sql.to_owned(), verb).await.map(Arc::new);
        lock(&self.verdicts).put(key, verdict.clone());
        verdict
    }

    /// Checks on a thread for blocking work: the caller is on an adapter's small stack, and other tasks wait for its
    /// thread.
    async fn judge(&self, sql: String, verb: Verb) -> Verdict<Permit> {
        let (dialect, grants) = (self.dialect, Arc::clone(&self.grants));
        let turn = Arc::clone(&self.judging).acquire_owned().await.expect("invariant: it is never closed");
        tokio::task::spawn_blocking(move || {
            let verdict = sql_guard::judge(dialect, &grants, &sql, verb);
            // Held to the end, also when the call was cut off meanwhile.
            drop(turn);
            verdict
        })
        .await
        .unwrap_or_else(|_| Err("the statement could not be examined".into()))
    }

    /// The tables that are known to have a column.
    pub(super) fn tables_with(&self, wanted: &Wanted) -> Vec<TableKey> {
        let known = lock(&self.columns);
        let has = |table: &&TableKey| known.get(*table).is_some_and(|columns| columns.contains(&wanted.column));
        wanted.tables.iter().filter(has).cloned().collect()
    }

    /// Forgets all columns, since a table has changed.
    pub(super) fn forget_columns(&self) {
        lock(&self.columns).clear();
    }

    /// Caches a table's columns.
    pub(super) fn learn_columns(&self, table: &TableKey, columns: BTreeSet<String>) {
        let mut known = lock(&self.columns);
        if known.len() >= TABLES_MAX {
            known.clear();
        }
        known.insert(table.clone(), Arc::new(columns));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A cache of two generations: a full young generation becomes the old one, and an entry that is used again becomes
/// young.
#[derive(Default)]
struct Verdicts {
    young: HashMap<Key, Verdict<Arc<Permit>>>,
    young_bytes: usize,
    old: HashMap<Key, Verdict<Arc<Permit>>>,
}

impl Verdicts {
    fn get(&mut self, key: &Key) -> Option<Verdict<Arc<Permit>>> {
        if let Some(verdict) = self.young.get(key) {
            return Some(verdict.clone());
        }
        let verdict = self.old.remove(key)?;
        self.put(*key, verdict.clone());
        Some(verdict)
    }

    fn put(&mut self, key: Key, verdict: Verdict<Arc<Permit>>) {
        let bytes = VERDICT_BYTES + verdict.as_ref().map_or(0, |permit| permit.sql.len() + permit.template.len());
        if self.young.len() >= VERDICTS_MAX || self.young_bytes + bytes > VERDICT_BYTES_MAX {
            self.old = std::mem::take(&mut self.young);
            self.young_bytes = 0;
        }
        self.young_bytes += bytes;
        self.young.insert(key, verdict);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn permit(sql: String) -> Arc<Permit> {
        Arc::new(Permit { sql, template: "".into(), wanted: Vec::new(), writes: false })
    }

    fn key(number: usize) -> Key {
        (Sha256::digest(number.to_le_bytes()).into(), Verb::Read)
    }

    #[test]
    fn cached_verdicts_are_bounded_in_number_and_evict_the_least_used() {
        let mut verdicts = Verdicts::default();
        for number in 0..VERDICTS_MAX * 10 {
            verdicts.put(key(number), Ok(permit(String::new())));
            assert!(verdicts.get(&key(0)).is_some(), "used all the time");
        }
        assert!(verdicts.young.len() + verdicts.old.len() <= 2 * VERDICTS_MAX);
        assert_eq!(verdicts.get(&key(1)), None);
    }

    #[test]
    fn cached_verdicts_are_bounded_in_bytes() {
        let mut verdicts = Verdicts::default();
        for number in 0..100 {
            verdicts.put(key(number), Ok(permit("x".repeat(1 << 20))));
        }
        let kept = verdicts.young.len() + verdicts.old.len();
        assert!(kept <= 2 * (VERDICT_BYTES_MAX >> 20), "{kept} MiB");
    }

    /// One thread checks the statements of a target, for any number of running calls.
    #[tokio::test]
    async fn statements_of_one_target_are_checked_one_at_a_time() {
        let access = SqlAccess::new(Dialect::Sqlite, SqlGrants::everything());
        let turn = access.judging.clone().try_acquire_owned().expect("nothing is judged yet");
        let mut second = std::pin::pin!(access.permit("SELECT 1", Verb::Read));
        assert!(futures::poll!(&mut second).is_pending());
        assert_eq!(access.judging.available_permits(), 0);
        drop(turn);
        assert!(second.await.is_ok());
        assert_eq!(access.judging.available_permits(), 1, "its turn is over");
    }

    #[tokio::test]
    async fn a_cached_verdict_applies_to_its_verb_only() {
        let access = SqlAccess::new(Dialect::Sqlite, SqlGrants::everything());
        for _ in 0..2 {
            assert_eq!(
                access.permit("SELECT 1", Verb::Read).await.map(|permit| permit.sql.clone()),
                Ok("SELECT 1".into())
            );
            assert!(access.permit("SELECT 1", Verb::Write).await.is_err());
        }
    }
}
