//! `sync_notice`: what operators should know about changes that were not refused.
//!
//! A type that no target takes is ignored permanently, and a time in another unit makes ages wrong. Neither is the
//! failure of a delivery, so each is counted here when it is routed. This must never keep a change from being routed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use serde::Serialize;

use super::readable::Unrouted;
use super::sql::{AddNotices, Json, ListNotices, PurgeNotices};
use super::{RowReader, Store, StoreError, StoreTransaction};
use crate::domain::ids::ChangeId;
use crate::domain::words::named;
use crate::vocabulary;

vocabulary! {
    /// The kind of a notice, as in `sync_notice.kind`.
    pub enum NoticeKind {
        /// No target takes changes of this type.
        NotTaken = "not-taken",
        /// `created_at` is not in milliseconds.
        TimeUnit = "time-unit",
    }
}

/// What was found in some changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Notice {
    pub kind: NoticeKind,
    /// The type that no target takes; the unit that the times seem to have.
    pub subject: String,
    pub changes: i64,
    /// The id of the last one's outbox row.
    pub last_change_id: ChangeId,
    /// When that one was routed, milliseconds since 1970-01-01 UTC.
    pub last_at: i64,
}

/// Subjects are as long as a type may be.
const SUBJECT_CHARACTERS_MAX: usize = 64;
/// The number of notices that are kept.
pub(super) const NOTICES_MAX: i64 = 50;
/// The number of different notices that one process logs.
const LOGGED_MAX: usize = 100;

#[derive(Serialize)]
struct Row {
    kind: &'static str,
    subject: String,
    changes: i64,
    last_change_id: ChangeId,
}

impl Store {
    /// The notices, latest first.
    ///
    /// # Errors
    /// When the store cannot be reached.
    pub async fn notices(&self) -> Result<Vec<Notice>, StoreError> {
        let operation = "read notices";
        let rows = self.fetch_alone(operation, ListNotices {}).await?;
        let mut notices = Vec::new();
        for row in rows.rows {
            let mut reader = RowReader::new(operation, row);
            // A newer host may have written another kind.
            let Some(kind) = NoticeKind::from_word(&reader.key()?) else { continue };
            notices.push(Notice {
                kind,
                subject: reader.key()?,
                changes: reader.integer()?,
                last_change_id: reader.change_id()?,
                last_at: reader.integer()?,
            });
        }
        Ok(notices)
    }

    /// Deletes notices without a new change for `age_ms`.
    ///
    /// # Errors
    /// When the store cannot be reached.
    pub async fn purge_notices(&self, age_ms: i64) -> Result<u64, StoreError> {
        let mut transaction = self.begin("purge notices").await?;
        let cutoff = transaction.purge_cutoff(age_ms).await?;
        let deleted = transaction.run(PurgeNotices { cutoff }).await?.rows_affected;
        transaction.commit().await?;
        Ok(deleted)
    }
}

impl StoreTransaction {
    /// Counts the notices of changes that are being routed: one statement, or none.
    pub(super) async fn notice(
        &mut self,
        changes: &[Unrouted],
        is_taken: impl Fn(&str) -> bool,
    ) -> Result<(), StoreError> {
        let rows = rows(changes, is_taken);
        if rows.is_empty() {
            return Ok(());
        }
        for row in rows.iter().filter(|row| is_logged_first(row.kind, &row.subject)) {
            tracing::warn!(
                kind = row.kind,
                subject = %named(&row.subject),
                count = row.changes,
                last_change_id = row.last_change_id.get(),
                "changes to look at: see `host status`"
            );
        }
        self.run(AddNotices { batch: Json::of(&rows) }).await.map(drop)
    }
}

/// Sorted by their keys, so that two hosts never deadlock.
fn rows(changes: &[Unrouted], is_taken: impl Fn(&str) -> bool) -> Vec<Row> {
    let mut counted = BTreeMap::<(NoticeKind, String), (i64, ChangeId)>::new();
    let mut count = |kind, subject: &str, id: ChangeId| {
        let subject = subject.chars().filter(|character| *character != '\0').take(SUBJECT_CHARACTERS_MAX).collect();
        let (changes, last) = counted.entry((kind, subject)).or_insert((0, id));
        (*changes, *last) = (*changes + 1, (*last).max(id));
    };
    for change in changes {
        if let Some(kind) = change.aggregate_type.as_deref().filter(|kind| !is_taken(kind)) {
            count(NoticeKind::NotTaken, kind, change.id);
        }
        if let Some(unit) = change.time_unit {
            count(NoticeKind::TimeUnit, unit, change.id);
        }
    }
    counted
        .into_iter()
        .map(|((kind, subject), (changes, last_change_id))| Row {
            kind: kind.as_str(),
            subject,
            changes,
            last_change_id,
        })
        .collect()
}

/// Whether this process has not logged it yet. An application that writes a wrong unit does so in every row.
fn is_logged_first(kind: &'static str, subject: &str) -> bool {
    static LOGGED: Mutex<BTreeSet<(&str, String)>> = Mutex::new(BTreeSet::new());
    let mut logged = LOGGED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    logged.len() < LOGGED_MAX && logged.insert((kind, subject.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_counted_byte_by_byte_and_times_by_unit() {
        let change = |id, kind: &str, time_unit| Unrouted {
            id: ChangeId::new(id),
            aggregate_type: Some(kind.to_owned()),
            waits_for: Vec::new(),
            refused: None,
            time_unit,
        };
        let changes = [
            change(1, "patient", None),
            change(2, "Patient", None),
            change(3, "patient ", Some("seconds")),
            change(4, "Patient", None),
            Unrouted { aggregate_type: None, ..change(5, "", None) },
        ];
        let rows = rows(&changes, |kind| kind == "patient");
        let found: Vec<_> =
            rows.iter().map(|row| (row.kind, row.subject.as_str(), row.changes, row.last_change_id.get())).collect();
        let expected =
            [("not-taken", "Patient", 2, 4), ("not-taken", "patient ", 1, 3), ("time-unit", "seconds", 1, 3)];
        assert_eq!(found, expected);
    }
}
