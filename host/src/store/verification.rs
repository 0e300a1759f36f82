//! The progress and the findings of a verification: whether a target still holds what was delivered.
//!
//! A verification reads the links of a target page by page, type after type and by id. Its progress is in
//! `sync_verification`, so that any host can resume one that was killed. Each page is written in one transaction,
//! together with what was found. This file never calls a target: `sync/verifier.rs` does.
//!
//! A record may be delivered while it is observed. So a record that differs counts only if its link is unchanged since
//! before the observation and nothing of it is in flight. Otherwise it has `moved`, and the next verification checks
//! it.
//!
//! Behind the links come the parts that list what the target has of ours (`verification_parts.rs`, `listing.rs`), where
//! its adapter can.

use serde::Serialize;

use super::sql::{
    AdvanceVerification, BeginVerification, DeleteVerification, FinishVerification, ForgetFindings, Json, LinksSettled,
    LinksToVerify, ListFindings, NewestChange, PutFindings, ReadVerifications,
};
use super::verification_parts::{self, ListProgress, NotInStore, SEPARATOR};
use super::{RowReader, Store, StoreError, StoreTransaction, corrupt};
use crate::database::rerun;
use crate::domain::change::{Link, Subject};
use crate::domain::ids::{AggregateKey, ChangeId};
use crate::domain::verification::Finding;

const CURRENT: &str = "current";
const LAST: &str = "last";

/// The number of records checked, and of those that differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct VerificationCounts {
    pub checked: u64,
    pub edited: u64,
    pub gone: u64,
    pub several: u64,
    pub not_ours: u64,
    pub unknown: u64,
    /// Delivered while they were observed, so that they were not judged.
    pub moved: u64,
}

impl VerificationCounts {
    /// How many records equal what was delivered.
    #[must_use]
    pub fn equal(&self) -> u64 {
        let others = self.edited + self.gone + self.several + self.not_ours + self.unknown + self.moved;
        self.checked.saturating_sub(others)
    }

    /// How many records were judged and are not as they were delivered.
    #[must_use]
    pub fn differing(&self) -> u64 {
        self.checked.saturating_sub(self.equal() + self.moved)
    }

    /// Counts one record that differs.
    pub fn add(&mut self, finding: Finding) {
        *match finding {
            Finding::Edited => &mut self.edited,
            Finding::Gone => &mut self.gone,
            Finding::Several => &mut self.several,
            Finding::NotOurs => &mut self.not_ours,
            Finding::Unknown => &mut self.unknown,
        } += 1;
    }
}

impl std::ops::AddAssign for VerificationCounts {
    fn add_assign(&mut self, more: Self) {
        self.checked += more.checked;
        self.edited += more.edited;
        self.gone += more.gone;
        self.several += more.several;
        self.not_ours += more.not_ours;
        self.unknown += more.unknown;
        self.moved += more.moved;
    }
}

/// A verification of one target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verification {
    pub target: String,
    /// The types to check, in order.
    pub types: Vec<String>,
    /// The types whose records of ours the target's adapter lists afterwards, in order.
    pub listed: Vec<String>,
    /// Milliseconds since 1970-01-01 UTC, as all times here.
    pub started_at: i64,
    pub finished_at: Option<i64>,
    /// The newest change when it began: later ones may or may not have been seen.
    pub through: ChangeId,
    pub counts: VerificationCounts,
    /// What was found at the target that the store does not know; `None` where nothing is listed, and while it is under
    /// way.
    pub not_in_store: Option<NotInStore>,
    /// The next page begins after this id of this type.
    pub(super) next: AggregateKey,
    pub(super) progress: ListProgress,
}

impl Verification {
    /// A whole verification with these counts.
    #[cfg(test)]
    pub(crate) fn ended(target: &str, through: ChangeId, counts: VerificationCounts) -> Self {
        let next = AggregateKey::patient("");
        let (target, types) = (target.to_owned(), Vec::new());
        let (listed, progress) = (Vec::new(), ListProgress::default());
        Self {
            target,
            types,
            listed,
            started_at: 0,
            finished_at: Some(0),
            through,
            counts,
            not_in_store: None,
            next,
            progress,
        }
    }
}

/// The last whole verification of a target, and the one under way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verifications {
    pub last: Option<Verification>,
    pub current: Option<Verification>,
}

/// A record that a target has, as the last delivery left it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkedRecord {
    pub subject: Subject,
    pub delivered: ChangeId,
}

impl LinkedRecord {
    #[must_use]
    pub fn key(&self) -> AggregateKey {
        AggregateKey {
            aggregate_type: self.subject.aggregate_type.clone(),
            aggregate_id: self.subject.aggregate_id.clone(),
        }
    }
}

/// A record that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundRecord {
    pub key: AggregateKey,
    pub finding: Finding,
    pub found_at: i64,
}

#[derive(Serialize)]
struct SettledKey<'a> {
    #[serde(flatten)]
    key: AggregateKey,
    remote_id: &'a str,
    delivered_outbox_id: ChangeId,
}

#[derive(Serialize)]
struct FindingRow<'a> {
    #[serde(flatten)]
    key: &'a AggregateKey,
    state: &'static str,
}

impl Store {
    /// The last finished and the running verification of a target.
    ///
    /// # Errors
    /// When the store cannot be reached.
    pub async fn verifications(&self, target: &str) -> Result<Verifications, StoreError> {
        let mut transaction = self.begin_read(&format!("read the verification of target `{target}`")).await?;
        let found = transaction.verifications(target).await?;
        transaction.rollback().await?;
        Ok(found)
    }

    /// Resumes the running verification of these types, or begins a new one. Returns whether it resumed.
    ///
    /// # Errors
    /// When the store cannot be reached.
    pub async fn begin_verification(
        &self,
        target: &str,
        types: &[String],
        listed: &[String],
    ) -> Result<(Verification, bool), StoreError> {
        if let Some(current) = self.verifications(target).await?.current
            && current.types == types
            && current.listed == listed
        {
            return Ok((current, true));
        }
        let parts = verification_parts::parts(types, listed);
        let all = parts.join(&SEPARATOR.to_string());
        rerun("begin a verification", || async {
            let mut transaction = self.begin(&format!("begin a verification of target `{target}`")).await?;
            let through = transaction.number(NewestChange {}).await?.unwrap_or_default();
            let next_type = parts.first().map_or("", String::as_str);
            transaction.run(DeleteVerification { target, run: CURRENT }).await?;
            transaction.run(BeginVerification { target, types: &all, through, next_type }).await?;
            transaction.commit().await
        })
        .await?;
        let begun = self.verifications(target).await?.current;
        begun.map(|begun| (begun, false)).ok_or_else(|| corrupt("begin a verification", "no verification"))
    }

    /// The next records to check; empty at the end of a type.
    ///
    /// # Errors
    /// When the store cannot be reached.
    pub async fn verification_page(
        &self,
        verification: &Verification,
        limit: u32,
    ) -> Result<Vec<LinkedRecord>, StoreError> {
        let AggregateKey { aggregate_type, aggregate_id: after } = &verification.next;
        let operation = format!("read what target `{}` has", verification.target);
        let statement = LinksToVerify { target: &verification.target, aggregate_type, after, limit };
        let rows = self.fetch_alone(&operation, statement).await?.rows;
        let read = |row| {
            let mut reader = RowReader::new(&operation, row);
            let aggregate_id = reader.key()?;
            let link = Link {
                remote_id: reader.text()?,
                remote_version: reader.optional_text()?,
                fingerprint: reader.optional_text()?,
            };
            let subject = Subject { aggregate_type: aggregate_type.clone(), aggregate_id, link };
            Ok(LinkedRecord { subject, delivered: reader.change_id()? })
        };
        rows.into_iter().map(read).collect()
    }

    /// Those of these records that are not in flight and were not delivered to since they were read.
    ///
    /// # Errors
    /// When the store cannot be reached.
    pub async fn settled_records(
        &self,
        target: &str,
        records: &[&LinkedRecord],
    ) -> Result<Vec<AggregateKey>, StoreError> {
        if records.is_empty() {
            return Ok(Vec::new());
        }
        let operation = format!("look for changed links of target `{target}`");
        let rows: Vec<_> = records
            .iter()
            .map(|record| SettledKey {
                key: record.key(),
                remote_id: &record.subject.link.remote_id,
                delivered_outbox_id: record.delivered,
            })
            .collect();
        let rows = self.fetch_alone(&operation, LinksSettled { target, batch: Json::of(&rows) }).await?.rows;
        rows.into_iter().map(|row| RowReader::new(&operation, row).aggregate_key()).collect()
    }

    /// Writes the findings of one page, and advances the verification past it. An empty page advances it to the next
    /// type. Returns `false` and writes nothing when another host has advanced it meanwhile.
    ///
    /// # Errors
    /// When the store cannot be reached; nothing is then written.
    pub async fn put_verified_page(
        &self,
        verification: &mut Verification,
        page: &[LinkedRecord],
        findings: &[(AggregateKey, Finding)],
        counts: VerificationCounts,
    ) -> Result<bool, StoreError> {
        let findings: Vec<_> = findings.iter().map(|(key, found)| (key.clone(), found.as_str())).collect();
        let next = page.last().map_or_else(|| verification.next_part(), LinkedRecord::key);
        self.advance(verification, next, &findings, counts).await
    }

    /// Writes findings, and moves a verification. Returns `false` and writes nothing when another host has moved it.
    pub(super) async fn advance(
        &self,
        verification: &mut Verification,
        next: AggregateKey,
        findings: &[(AggregateKey, &'static str)],
        counts: VerificationCounts,
    ) -> Result<bool, StoreError> {
        let from = verification.clone();
        let moved = rerun("write a verified page", || async {
            let mut transaction = self.begin(&format!("write what target `{}` was found to hold", from.target)).await?;
            let moved = transaction.advance_verification(&from, &next, counts).await?;
            if moved && !findings.is_empty() {
                let rows: Vec<_> = findings.iter().map(|(key, state)| FindingRow { key, state }).collect();
                transaction.run(PutFindings { target: &from.target, batch: Json::of(&rows) }).await?;
            }
            transaction.commit().await.map(|()| moved)
        })
        .await?;
        if moved {
            verification.next = next;
            verification.counts += counts;
        }
        Ok(moved)
    }

    /// Ends a verification: it becomes the last one, and findings that it did not confirm are deleted.
    ///
    /// # Errors
    /// When the store cannot be reached; nothing is then written.
    pub async fn finish_verification(&self, verification: &Verification) -> Result<(), StoreError> {
        let target = verification.target.as_str();
        rerun("end a verification", || async {
            let mut transaction = self.begin(&format!("end the verification of target `{target}`")).await?;
            for aggregate_type in &verification_parts::parts(&verification.types, &verification.listed) {
                let before = verification.started_at;
                transaction.run(ForgetFindings { target, aggregate_type, before }).await?;
            }
            transaction.run(DeleteVerification { target, run: LAST }).await?;
            transaction.run(FinishVerification { target }).await?;
            transaction.commit().await
        })
        .await
    }

    /// The records of one type that differ, behind `after` by id.
    ///
    /// # Errors
    /// When the store cannot be reached.
    pub async fn verification_findings(
        &self,
        target: &str,
        aggregate_type: &str,
        after: &str,
        limit: u32,
    ) -> Result<Vec<FoundRecord>, StoreError> {
        let operation = format!("list what differs at target `{target}`");
        let rows = self.fetch_alone(&operation, ListFindings { target, aggregate_type, after, limit }).await?.rows;
        let read = |row| {
            let mut reader = RowReader::new(&operation, row);
            let (key, state, found_at) = (reader.aggregate_key()?, reader.text()?, reader.integer()?);
            let finding = Finding::from_word(&state).ok_or_else(|| corrupt(&operation, format!("`{state}`")))?;
            Ok(FoundRecord { key, finding, found_at })
        };
        rows.into_iter().map(read).collect()
    }
}

impl Verification {
    /// Whether every type was checked.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.next.aggregate_type.is_empty()
    }

    /// The beginning of the part after the current one; without a type after the last.
    pub(super) fn next_part(&self) -> AggregateKey {
        let parts = verification_parts::parts(&self.types, &self.listed);
        let next = parts.iter().skip_while(|part| **part != self.next.aggregate_type).nth(1);
        AggregateKey { aggregate_type: next.cloned().unwrap_or_default(), aggregate_id: String::new() }
    }
}

impl StoreTransaction {
    pub(super) async fn verifications(&mut self, target: &str) -> Result<Verifications, StoreError> {
        let rows = self.fetch(ReadVerifications { target }).await?.rows;
        let mut found = Verifications::default();
        for row in rows {
            let mut reader = RowReader::new(&self.operation, row);
            match reader.text()?.as_str() {
                CURRENT => found.current = Some(read_verification(target, reader)?),
                LAST => found.last = Some(read_verification(target, reader)?),
                other => return Err(corrupt(&self.operation, format!("a verification that is `{other}`"))),
            }
        }
        if let Some(last) = found.last.as_mut().filter(|last| !last.listed.is_empty()) {
            last.not_in_store = Some(self.count_not_in_store(target, &last.listed).await?);
        }
        Ok(found)
    }

    async fn advance_verification(
        &mut self,
        from: &Verification,
        next: &AggregateKey,
        counts: VerificationCounts,
    ) -> Result<bool, StoreError> {
        let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        let done = self
            .run(AdvanceVerification {
                target: &from.target,
                from_type: &from.next.aggregate_type,
                from_id: &from.next.aggregate_id,
                next_type: &next.aggregate_type,
                after_id: &next.aggregate_id,
                checked: number(counts.checked),
                edited: number(counts.edited),
                gone: number(counts.gone),
                several: number(counts.several),
                not_ours: number(counts.not_ours),
                unknown: number(counts.unknown),
                moved: number(counts.moved),
            })
            .await?;
        Ok(done.rows_affected == 1)
    }
}

fn read_verification(target: &str, mut reader: RowReader<'_>) -> Result<Verification, StoreError> {
    let (types, listed) = verification_parts::types_of(&reader.text()?);
    let (started_at, finished_at, through) = (reader.integer()?, reader.optional_integer()?, reader.change_id()?);
    let next = AggregateKey { aggregate_type: reader.text()?, aggregate_id: reader.text()? };
    let mut count = || reader.integer().map(|count| u64::try_from(count).unwrap_or_default());
    let counts = VerificationCounts {
        checked: count()?,
        edited: count()?,
        gone: count()?,
        several: count()?,
        not_ours: count()?,
        unknown: count()?,
        moved: count()?,
    };
    Ok(Verification {
        target: target.to_owned(),
        types,
        listed,
        started_at,
        finished_at,
        through,
        counts,
        not_in_store: None,
        next,
        progress: ListProgress::default(),
    })
}
