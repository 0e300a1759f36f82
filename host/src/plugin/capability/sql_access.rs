//! A database target's statements, judged once and remembered: an adapter runs the same few texts over and over.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use sha2::{Digest as _, Sha256};

use super::sql_guard::{self, Verb};
use super::sql_refusal::Verdict;
use crate::database::Dialect;
use crate::domain::grants::SqlGrants;

/// Verdicts in one generation; two generations are kept.
const VERDICTS_MAX: usize = 1_024;
/// The stack for parsing. It is address space, used as far as a statement is deep.
const STACK_BYTES: usize = 128 << 20;

type Key = ([u8; 32], Verb);

/// What a target's adapter may do in a transaction. Made once per target; calls share its memory of verdicts.
pub struct SqlAccess {
    dialect: Dialect,
    grants: Arc<SqlGrants>,
    verdicts: Mutex<Verdicts>,
}

impl SqlAccess {
    /// For one target.
    #[must_use]
    pub fn new(dialect: Dialect, grants: SqlGrants) -> Arc<Self> {
        Arc::new(Self { dialect, grants: Arc::new(grants), verdicts: Mutex::default() })
    }

    /// The family of SQL that is judged.
    #[must_use]
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// Whether a statement may run; the reason when not.
    pub(in crate::plugin) async fn permit(&self, sql: &str, verb: Verb) -> Verdict {
        let key = (Sha256::digest(sql.as_bytes()).into(), verb);
        if let Some(verdict) = self.verdicts().get(&key) {
            return verdict;
        }
        let verdict = self.judge(sql.to_owned(), verb).await;
        self.verdicts().put(key, verdict.clone());
        verdict
    }

    /// Parses on a thread of its own: we are on an adapter's small stack here, and a tree may be deep.
    async fn judge(&self, sql: String, verb: Verb) -> Verdict {
        let (dialect, grants) = (self.dialect, Arc::clone(&self.grants));
        let (say, said) = tokio::sync::oneshot::channel();
        std::thread::Builder::new()
            .name("sql-guard".to_owned())
            .stack_size(STACK_BYTES)
            // Nobody listens any more when the call was cut off.
            .spawn(move || drop(say.send(sql_guard::judge(dialect, &grants, &sql, verb))))
            .map_err(|error| format!("the statement could not be examined: {error}"))?;
        said.await.unwrap_or_else(|_| Err("the statement could not be examined".into()))
    }

    fn verdicts(&self) -> std::sync::MutexGuard<'_, Verdicts> {
        self.verdicts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Two generations: when the young one is full it becomes the old one, and what is asked for again is young again.
#[derive(Default)]
struct Verdicts {
    young: HashMap<Key, Verdict>,
    old: HashMap<Key, Verdict>,
}

impl Verdicts {
    fn get(&mut self, key: &Key) -> Option<Verdict> {
        if let Some(verdict) = self.young.get(key) {
            return Some(verdict.clone());
        }
        let verdict = self.old.remove(key)?;
        self.put(*key, verdict.clone());
        Some(verdict)
    }

    fn put(&mut self, key: Key, verdict: Verdict) {
        if self.young.len() >= VERDICTS_MAX {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, verdict);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts_are_bounded_and_keep_what_is_used() {
        let mut verdicts = Verdicts::default();
        let key = |number: usize| (Sha256::digest(number.to_le_bytes()).into(), Verb::Read);
        for number in 0..VERDICTS_MAX * 10 {
            verdicts.put(key(number), Ok(()));
            assert_eq!(verdicts.get(&key(0)), Some(Ok(())), "used all the time");
        }
        assert!(verdicts.young.len() + verdicts.old.len() <= 2 * VERDICTS_MAX);
        assert_eq!(verdicts.get(&key(1)), None);
    }

    #[tokio::test]
    async fn a_verdict_holds_for_its_verb_only() {
        let access = SqlAccess::new(Dialect::Sqlite, SqlGrants::everything());
        for _ in 0..2 {
            assert_eq!(access.permit("SELECT 1", Verb::Read).await, Ok(()));
            assert!(access.permit("SELECT 1", Verb::Write).await.is_err());
        }
    }
}
