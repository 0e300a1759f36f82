//! Sends again what only the outbox holds: the newest state of each aggregate that is not the host's own
//! (those are in `patient_cache` and `clinical_record`, see `resync.rs`), for one target.
//!
//! **No copy is made.** The change that brought the state is delivered again, under its own id: its delivery becomes
//! pending anew, or gets made. Ids order the states of an aggregate, and an application may have taken the next id long
//! ago and commit it only now, on MySQL and PostgreSQL alike. A copy would get a greater id and win over the newer
//! state, and no check before or after could prevent that. A change that keeps its id cannot win: every newer state has
//! a greater id, even one that commits later. If it is queued, the claim supersedes the older one (`newest.rs`); if it
//! was delivered meanwhile, `Store::load` sees that once the claim has committed and no host can overtake it any more
//! (`batch.rs`). So nothing has to be locked, and a scan that saw an old state does no harm.
//!
//! That rule is for states. Of a type with `order = "fifo"` every change counts and the newest is not the whole state,
//! so that callers must not send such a type again.
//!
//! Retention may delete a change between the scan and its delivery. The delivery then fails with that reason; retention
//! would have deleted the state anyway.

use std::collections::{BTreeMap, HashSet};

use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::counts::CountDelta;
use super::resend_decision::{Candidate, Decision};
use super::sql::{
    DoubtConfirmed, EnqueueAgain, Json, LinksOfType, OwnPatients, ResendCandidates, ResendDeliveries, ScanChanges,
};
use super::{RowReader, Store, StoreError, StoreTransaction};
use crate::database::{ErrorKind, rerun};
use crate::domain::clinical::TYPES;
use crate::domain::delivery::Status;
use crate::domain::ids::{AggregateKey, ChangeId, TargetName};

/// Changes that one step scans.
const SCAN_MAX: u32 = 1_000;

/// Which aggregates are sent again.
#[derive(Clone, Debug)]
pub enum ResendScope {
    /// All of these types.
    Types(Vec<String>),
    One(AggregateKey),
    /// These aggregates.
    These(HashSet<AggregateKey>),
}

/// The results of a resend, by newest state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ResendCounts {
    /// Pending for the target now.
    pub queued: u64,
    /// Not sent, because they will be delivered anyway: not routed yet, pending or in flight.
    pub waiting: u64,
    /// Not sent, because an operator dismissed them at this target.
    pub dismissed: u64,
    /// Not sent, because their outbox rows are invalid.
    pub invalid: u64,
    /// Deletes that were not sent, because the target never confirmed a state of the aggregate.
    pub deletes: u64,
    /// Aggregates whose newest state is no longer in the outbox.
    pub without_state: u64,
}

/// A scan of the outbox in steps, from the newest change to the oldest. It remembers 16 bytes of each aggregate that it
/// has seen, so that only the newest change of each counts.
#[derive(Debug)]
pub struct Resend {
    target: TargetName,
    scope: ResendScope,
    /// The next step scans before this id.
    before: i64,
    /// Changes from this id on were sent by an earlier run: they are only remembered as seen.
    queue_before: i64,
    /// Only states that were written or routed at this time or later are sent.
    changed_since: i64,
    met: HashSet<[u8; 16]>,
    /// Aggregates whose records no longer exist at the target: their links are deleted when they are sent.
    gone: HashSet<AggregateKey>,
    counts: ResendCounts,
}

#[derive(Serialize)]
struct Confirmed<'a> {
    #[serde(flatten)]
    key: &'a AggregateKey,
    outbox_id: ChangeId,
}

#[derive(Serialize)]
struct PatientId<'a> {
    patient_id: &'a str,
}

impl Resend {
    /// A resend of the scope's states. With `before` it resumes: that change and all newer ones were sent already.
    #[must_use]
    pub fn new(target: TargetName, scope: ResendScope, before: Option<ChangeId>) -> Self {
        let queue_before = before.map_or(i64::MAX, ChangeId::get);
        Self {
            target,
            scope,
            before: i64::MAX,
            queue_before,
            changed_since: i64::MIN,
            met: HashSet::new(),
            gone: HashSet::new(),
            counts: ResendCounts::default(),
        }
    }

    /// A resend for a repair: it sends these aggregates again, and deletes the links of those that no longer exist.
    #[must_use]
    pub fn repairing(target: TargetName, keys: HashSet<AggregateKey>, gone: HashSet<AggregateKey>) -> Self {
        Self { gone, ..Self::new(target, ResendScope::These(keys), None) }
    }

    /// The same, of those states alone that were written or routed at this time or later.
    #[must_use]
    pub fn changed_since(self, since: i64) -> Self {
        Self { changed_since: since, ..self }
    }

    #[must_use]
    pub fn counts(&self) -> ResendCounts {
        self.counts
    }

    /// Whether it has found a change of this aggregate.
    #[must_use]
    pub fn has_met(&self, key: &AggregateKey) -> bool {
        self.met.contains(&digest(key))
    }

    /// Whether this is the first change of an aggregate of the scope.
    fn meets(&mut self, key: &AggregateKey) -> bool {
        let is_meant = match &self.scope {
            ResendScope::Types(types) => types.contains(&key.aggregate_type),
            ResendScope::One(one) => one == key,
            ResendScope::These(keys) => keys.contains(key),
        };
        is_meant && self.met.insert(digest(key))
    }

    /// Whether nothing older can matter.
    fn is_over(&self) -> bool {
        match &self.scope {
            ResendScope::Types(_) => false,
            ResendScope::One(_) => !self.met.is_empty(),
            ResendScope::These(keys) => self.met.len() >= keys.len(),
        }
    }
}

fn digest(key: &AggregateKey) -> [u8; 16] {
    let mut hash = Sha256::new();
    // A target cannot name a type with a control character, so that the NUL ends the type.
    hash.update(key.aggregate_type.as_bytes());
    hash.update([0]);
    hash.update(key.aggregate_id.as_bytes());
    let mut first = [0; 16];
    first.copy_from_slice(&hash.finalize()[..16]);
    first
}

impl Store {
    /// One step of a resend: scans some changes and sends the newest of their aggregates again. Returns the lowest
    /// scanned id, or `None` at the end.
    ///
    /// # Errors
    /// When the store cannot be reached. Nothing of the step is then sent, and the resend must start again.
    pub async fn resend_step(&self, walk: &mut Resend) -> Result<Option<ChangeId>, StoreError> {
        if walk.is_over() {
            return Ok(None);
        }
        let operation = "scan the outbox";
        let rows = self.fetch_alone(operation, ScanChanges { before: walk.before, limit: SCAN_MAX }).await?.rows;
        let mut met = BTreeMap::new();
        let mut last = None;
        for row in rows {
            let mut reader = RowReader::new(operation, row);
            let (change_id, key) = (reader.change_id()?, reader.aggregate_key()?);
            let changed_at = reader.optional_integer()?.max(reader.optional_integer()?).unwrap_or(i64::MAX);
            last = Some(change_id);
            if walk.meets(&key) && change_id.get() < walk.queue_before && changed_at >= walk.changed_since {
                met.insert(change_id, key);
            }
        }
        let Some(last) = last else { return Ok(None) };
        let own = self.own_rows(met.values()).await?;
        met.retain(|_, key| !own.contains(key));
        if !met.is_empty() {
            let done = rerun("resend", || self.resend(&walk.target, &met, &walk.gone)).await?;
            walk.counts += done;
        }
        walk.before = last.get();
        Ok(Some(last))
    }

    /// Counts the aggregates of the scope's types that some target has and the outbox no longer holds. It is the last
    /// step of a resend.
    ///
    /// # Errors
    /// When the store cannot be reached.
    pub async fn count_without_state(&self, walk: &mut Resend) -> Result<(), StoreError> {
        let types = match &walk.scope {
            ResendScope::Types(types) => types.clone(),
            ResendScope::One(key) => {
                let is_gone = walk.met.is_empty() && self.knows(key).await?;
                walk.counts.without_state += u64::from(is_gone);
                return Ok(());
            }
            ResendScope::These(keys) => {
                let left = keys.len().saturating_sub(walk.met.len());
                walk.counts.without_state += u64::try_from(left).unwrap_or(u64::MAX);
                return Ok(());
            }
        };
        for target in self.target_names().await? {
            for aggregate_type in &types {
                let mut after = String::new();
                while let Some(last) = self.count_links(walk, &target, aggregate_type, &after).await? {
                    after = last;
                }
            }
        }
        Ok(())
    }

    async fn count_links(
        &self,
        walk: &mut Resend,
        target: &str,
        aggregate_type: &str,
        after: &str,
    ) -> Result<Option<String>, StoreError> {
        let operation = "look for aggregates without a state";
        let statement = LinksOfType { target, aggregate_type, after, limit: SCAN_MAX };
        let rows = self.fetch_alone(operation, statement).await?.rows;
        let ids: Vec<_> = rows.into_iter().map(|row| RowReader::new(operation, row).key()).collect::<Result<_, _>>()?;
        let key = |id: &String| AggregateKey { aggregate_type: aggregate_type.to_owned(), aggregate_id: id.clone() };
        let gone: Vec<_> = ids.iter().map(key).filter(|key| walk.meets(key)).collect();
        let own = self.own_rows(gone.iter()).await?;
        let gone = gone.iter().filter(|key| !own.contains(key)).count();
        walk.counts.without_state += u64::try_from(gone).unwrap_or(u64::MAX);
        Ok(ids.last().cloned())
    }

    /// The patients and clinical records among these that the host has a row of.
    ///
    /// # Errors
    /// When the store cannot be reached.
    pub async fn own_rows<'a>(
        &self,
        keys: impl Iterator<Item = &'a AggregateKey> + Clone,
    ) -> Result<HashSet<AggregateKey>, StoreError> {
        let mut own = HashSet::new();
        let patients = keys.clone().filter(|key| key.is_patient());
        let ids: Vec<_> = patients.map(|key| PatientId { patient_id: &key.aggregate_id }).collect();
        if !ids.is_empty() {
            let operation = "look for the host's own patients";
            for row in self.fetch_alone(operation, OwnPatients { batch: Json::of(&ids) }).await?.rows {
                own.insert(AggregateKey::patient(RowReader::new(operation, row).text()?));
            }
        }
        let records = keys.filter(|key| TYPES.contains(&key.aggregate_type.as_str()));
        let ids: Vec<_> = records.map(|key| key.aggregate_id.as_str()).collect();
        if !ids.is_empty() {
            own.extend(self.own_records(ids).await?);
        }
        Ok(own)
    }

    async fn resend(
        &self,
        target: &TargetName,
        newest: &BTreeMap<ChangeId, AggregateKey>,
        gone: &HashSet<AggregateKey>,
    ) -> Result<ResendCounts, StoreError> {
        let mut routes = self.routes().await?.list;
        routes.retain(|route| route.target == *target);
        let mut transaction = self.begin(&format!("send states to target `{target}` again")).await?;
        if !gone.is_empty() {
            transaction.lock_moves().await?;
        }
        let ids: Vec<_> = newest.keys().copied().collect();
        let candidates = transaction.resend_candidates(target.as_str(), &ids).await?;
        let mut decided = BTreeMap::<Decision, Vec<ChangeId>>::new();
        for candidate in &candidates {
            decided.entry(candidate.decide()).or_default().push(candidate.change_id);
        }
        let confirmed = |candidate: &&Candidate| {
            candidate.confirmed_id == Some(candidate.change_id) && matches!(candidate.decide(), Decision::Resend(_))
        };
        let confirmed: Vec<_> = candidates
            .iter()
            .filter(confirmed)
            .filter_map(|one| Some(Confirmed { key: newest.get(&one.change_id)?, outbox_id: one.change_id }))
            .collect();
        let counts = transaction.send_decided(target.as_str(), &decided, &confirmed).await?;
        transaction.note_deliveries(counts.queued);
        let sent = decided.iter().filter(|(decision, _)| matches!(decision, Decision::Enqueue | Decision::Resend(_)));
        let sent = sent.flat_map(|(_, ids)| ids).filter_map(|id| newest.get(id));
        let gone: Vec<_> = sent.filter(|key| gone.contains(key)).collect();
        transaction.forget_gone(target, &gone).await?;
        let mut dependents = BTreeMap::new();
        if let Some(queued) = decided.get(&Decision::Enqueue) {
            dependents = transaction.hold_queued(queued, &routes).await?;
        }
        transaction.commit().await?;
        self.wake_queued(&dependents).await;
        Ok(counts)
    }
}

impl StoreTransaction {
    async fn resend_candidates(&mut self, target: &str, ids: &[ChangeId]) -> Result<Vec<Candidate>, StoreError> {
        let rows = self.fetch(ResendCandidates { target, ids }).await?.rows;
        let operation = self.operation.clone();
        rows.into_iter().map(|row| Candidate::read(&operation, row)).collect()
    }

    async fn send_decided(
        &mut self,
        target: &str,
        decided: &BTreeMap<Decision, Vec<ChangeId>>,
        confirmed: &[Confirmed<'_>],
    ) -> Result<ResendCounts, StoreError> {
        let (mut counts, mut delta) = (ResendCounts::default(), CountDelta::default());
        for (decision, ids) in decided {
            let met = u64::try_from(ids.len()).unwrap_or(u64::MAX);
            match decision {
                Decision::Enqueue => {
                    let made = self.enqueue_again(target, ids).await?;
                    delta += CountDelta { made: i64::try_from(made).unwrap_or(i64::MAX), ..CountDelta::default() };
                    counts.queued += made;
                    // The missing ones were routed or queued by another host meanwhile.
                    counts.waiting += met.saturating_sub(made);
                }
                Decision::Resend(status) => {
                    let moved =
                        self.run(ResendDeliveries { target, status: status.as_str(), ids }).await?.rows_affected;
                    delta += CountDelta::resent(*status, moved);
                    counts.queued += moved;
                    counts.waiting += met.saturating_sub(moved);
                }
                Decision::Waiting => counts.waiting += met,
                Decision::Dismissed => counts.dismissed += met,
                Decision::Invalid => counts.invalid += met,
                Decision::DeleteOfNothing => counts.deletes += met,
                Decision::WithoutState => counts.without_state += met,
            }
        }
        if !confirmed.is_empty() {
            self.run(DoubtConfirmed { target, batch: Json::of(confirmed) }).await?;
        }
        self.add_counts(target, delta).await?;
        Ok(counts)
    }

    /// Sends the states of done deliveries again, each the newest that the target confirmed. Returns their number.
    pub(super) async fn resend_confirmed(
        &mut self,
        target: &str,
        deliveries: &BTreeMap<ChangeId, AggregateKey>,
    ) -> Result<u64, StoreError> {
        let ids = deliveries.keys().copied().collect();
        let confirmed: Vec<_> = deliveries.iter().map(|(id, key)| Confirmed { key, outbox_id: *id }).collect();
        let decided = BTreeMap::from([(Decision::Resend(Status::Done), ids)]);
        Ok(self.send_decided(target, &decided, &confirmed).await?.queued)
    }

    async fn enqueue_again(&mut self, target: &str, ids: &[ChangeId]) -> Result<u64, StoreError> {
        match self.run(EnqueueAgain { target, ids }).await {
            Ok(execution) => Ok(execution.rows_affected),
            // Another command has just queued the same change; the transaction is run again.
            Err(StoreError::Database { error, .. }) if error.kind == ErrorKind::DuplicateKey => Err(self.lost_race()),
            Err(error) => Err(error),
        }
    }
}

impl std::ops::AddAssign for ResendCounts {
    fn add_assign(&mut self, other: Self) {
        self.queued += other.queued;
        self.waiting += other.waiting;
        self.dismissed += other.dismissed;
        self.invalid += other.invalid;
        self.deletes += other.deletes;
        self.without_state += other.without_state;
    }
}
