//! Verifies a target: asks its adapter what the target holds now, and compares that with what was delivered.
//!
//! It reads the store's links page by page and observes each page in one call, in which nothing can be written. Then it
//! lists what the target has of ours, where the adapter can, and looks for what the store does not know. It
//! takes no lease and changes nothing at the target. [`repair`] corrects records that differ. It only queues their
//! states: the workers deliver these as any other change, behind their fence and by the target's policy for edits.

use std::collections::HashSet;
use std::time::Duration;

use crate::domain::change::{Failure, FailureKind, OwnPage, OwnQuery, RemoteEdit, Subject};
use crate::domain::ids::{AggregateKey, TargetName};
use crate::domain::verification::Finding;
use crate::plugin::Adapter;
use crate::store::{FoundRecord, LinkedRecord, Resend, Store, StoreError, Verification, VerificationCounts};
use crate::target::{CallFailure, CheckedAdapter, Finish, Target, TargetKind};

/// Records that one call observes at a database: a number of statements that does not grow with them.
const DATABASE_PAGE: u32 = 500;
/// The same over HTTP, where each record is a request.
const HTTP_PAGE: u32 = 50;
/// Records of ours that one call lists.
const LIST_PAGE: u32 = 500;
/// Records that one repair sends again at once.
const REPAIR_CHUNK: u32 = 1_000;

/// The longest name of a type whose records are listed: the store puts a mark in front of it.
const TYPE_CHARS_MAX: usize = 64;

/// Why a verification cannot go on. It resumes where it stopped.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The target or its adapter failed.
    #[error("{}: {}", .0.kind.as_str(), .0.message)]
    Target(Failure),
    #[error("another host verifies the same target")]
    Overtaken,
}

/// A verification of one target by one adapter.
pub struct Verifier<'a> {
    pub store: &'a Store,
    pub target: &'a Target,
    pub adapter: &'a CheckedAdapter,
    /// Records a second at most.
    pub rate: Option<u32>,
}

/// The types of a target that its adapter observes, in order.
#[must_use]
pub fn observed_types(adapter: &Adapter, types: &[String]) -> Vec<String> {
    let is_observed = |kind: &&String| adapter.descriptor().support(kind).is_some_and(|support| support.observes);
    let mut observed: Vec<_> = types.iter().filter(is_observed).cloned().collect();
    observed.sort_unstable();
    observed.dedup();
    observed
}

/// Those of the types of a verification whose records of ours its adapter lists.
#[must_use]
pub fn listed_types(adapter: &Adapter, types: &[String]) -> Vec<String> {
    if adapter.lists() {
        types.iter().filter(|kind| kind.len() < TYPE_CHARS_MAX).cloned().collect()
    } else {
        Vec::new()
    }
}

impl Verifier<'_> {
    /// Checks the next page. Returns its number of records, and `None` when the verification has ended.
    ///
    /// # Errors
    /// See [`VerifyError`]. Nothing of the page is then written.
    pub async fn step(&self, verification: &mut Verification) -> Result<Option<u64>, VerifyError> {
        if verification.is_over() {
            self.store.finish_verification(verification).await?;
            return Ok(None);
        }
        if let Some(aggregate_type) = verification.listing().map(str::to_owned) {
            return self.list(verification, &aggregate_type).await.map(Some);
        }
        let page = self.store.verification_page(verification, self.page()).await?;
        let differing = self.differing(&page).await?;
        let records: Vec<_> = differing.iter().map(|(record, _)| *record).collect();
        let settled: HashSet<_> =
            self.store.settled_records(self.target.spec.name.as_str(), &records).await?.into_iter().collect();
        let mut counts = VerificationCounts { checked: count(page.len()), ..VerificationCounts::default() };
        let mut findings = Vec::new();
        for (record, finding) in differing {
            let key = record.key();
            if settled.contains(&key) {
                counts.add(finding);
                findings.push((key, finding));
            } else {
                counts.moved += 1;
            }
        }
        if self.store.put_verified_page(verification, &page, &findings, counts).await? {
            Ok(Some(counts.checked))
        } else {
            Err(VerifyError::Overtaken)
        }
    }

    /// Lists the next page of what the target has of ours. Returns its number of records. A type that the target or its
    /// adapter cannot list is passed over: what is known of the links stays as true.
    async fn list(&self, verification: &mut Verification, aggregate_type: &str) -> Result<u64, VerifyError> {
        let target = self.target.spec.name.as_str();
        let limit = self.rate.map_or(LIST_PAGE, |rate| LIST_PAGE.min(rate));
        let query = OwnQuery { aggregate_type, after: verification.place(), limit };
        let (page, _) = self.target.session(Finish::RollBack).list_own(self.adapter, &query).await;
        let (records, moved) = match page.map_err(CallFailure::into_failure) {
            Ok(page) => {
                let records = count(page.records.len());
                let unknown = self.store.not_in_store(target, aggregate_type, &page.records).await?;
                let page = OwnPage { records: unknown, ..page };
                (records, self.store.put_listed_page(verification, records, page).await?)
            }
            Err(failure) if ends_the_list(failure.kind) => {
                let reason = failure.message;
                tracing::warn!(target_name = %target, aggregate_type, %reason, "cannot list what the target has of ours");
                (0, self.store.put_not_listed(verification).await?)
            }
            Err(failure) => return Err(VerifyError::Target(failure)),
        };
        if moved { Ok(records) } else { Err(VerifyError::Overtaken) }
    }

    /// Records that one call observes; never more than one second's worth.
    fn page(&self) -> u32 {
        let page = match self.target.spec.kind {
            TargetKind::Database { .. } => DATABASE_PAGE,
            TargetKind::Http { .. } => HTTP_PAGE,
        };
        self.rate.map_or(page, |rate| page.min(rate))
    }

    /// The pause after a page with this number of records, which took this long.
    #[must_use]
    pub fn pause(&self, records: u64, took: Duration) -> Duration {
        let share = self.rate.map_or(0, |rate| records.saturating_mul(1_000_000) / u64::from(rate.max(1)));
        Duration::from_micros(share).saturating_sub(took)
    }

    /// The records of a page that are not as they were delivered, as far as one observation tells.
    async fn differing<'page>(
        &self,
        page: &'page [LinkedRecord],
    ) -> Result<Vec<(&'page LinkedRecord, Finding)>, VerifyError> {
        if page.is_empty() {
            return Ok(Vec::new());
        }
        let subjects: Vec<Subject> = page.iter().map(|record| record.subject.clone()).collect();
        let (found, _) = self.target.session(Finish::RollBack).observe(self.adapter, &subjects).await;
        let found = found.map_err(|failure| VerifyError::Target(failure.into_failure()))?;
        let compared = page.iter().zip(&found);
        Ok(compared.filter_map(|(record, found)| Some((record, Finding::of(&record.subject.link, found)?))).collect())
    }
}

/// Whether a failure is the list's own, so that the same call would fail again.
fn ends_the_list(kind: FailureKind) -> bool {
    !kind.is_target_wide() && !matches!(kind, FailureKind::Transient | FailureKind::Delayed)
}

/// What a repair did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Repaired {
    /// Records whose current state is queued.
    pub queued: u64,
    /// Records that were not queued: their state is no longer in the store, is open already, was refused, or was
    /// dismissed.
    pub left: u64,
}

/// Queues the current state of every record of these types that differs and can be put right. A record that is gone is
/// created again, unless the target holds edits for an operator: then its delivery becomes a conflict, as any edit.
///
/// # Errors
/// When the store cannot be reached. What was queued before stays queued.
pub async fn repair(
    store: &Store,
    target: &TargetName,
    types: &[String],
    on_remote_edit: RemoteEdit,
) -> Result<Repaired, StoreError> {
    let is_recreated = |found: &FoundRecord| found.finding == Finding::Gone && on_remote_edit == RemoteEdit::Overwrite;
    let mut repaired = Repaired::default();
    for aggregate_type in types {
        let mut after = String::new();
        loop {
            let page = store.verification_findings(target.as_str(), aggregate_type, &after, REPAIR_CHUNK).await?;
            let Some(last) = page.last() else { break };
            after.clone_from(&last.key.aggregate_id);
            let gone = page.iter().filter(|found| is_recreated(found)).map(|found| found.key.clone()).collect();
            let keys: Vec<_> =
                page.into_iter().filter(|found| found.finding.can_be_repaired()).map(|found| found.key).collect();
            let queued = send_again(store, target, &keys, gone).await?;
            repaired.queued += queued;
            repaired.left += count(keys.len()).saturating_sub(queued);
        }
    }
    Ok(repaired)
}

async fn send_again(
    store: &Store,
    target: &TargetName,
    keys: &[AggregateKey],
    gone: HashSet<AggregateKey>,
) -> Result<u64, StoreError> {
    let own = store.resync_own(target, keys, &gone).await?;
    let rest: HashSet<_> = keys.iter().filter(|key| !own.contains(*key)).cloned().collect();
    let mut walk = Resend::repairing(target.clone(), rest, gone);
    while store.resend_step(&mut walk).await?.is_some() {}
    Ok(count(own.len()) + walk.counts().queued)
}

fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}
