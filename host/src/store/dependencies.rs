//! Dependencies: a delivery waits until its target has a link of everything that it refers to.
//!
//! `sync_dependency` names what a delivery refers to, as far as its target takes the type. A delivery that lacks one is
//! pending and never due ([`WAITING`](super::in_flight::WAITING)). Whoever has made a link wakes what waited for it, in
//! a step after the settlement: two settlements next to each other would each miss the other's link. For the same
//! reason the router looks once more after its commit. Whatever order they commit in, the later one sees both. A host
//! that dies in between leaves a delivery waiting for nothing, and [`Store::wake_ready`] finds it.
//!
//! Without references nothing of this runs: no statement of the drain knows this table. A delivery must never reach its
//! adapter before its references are linked; `batch.rs` checks that once more when the batch is read, and makes a
//! delivery wait again. What it lacks then may have a link: something that was deleted and is made again, or a merge
//! that may be undone. So whoever wakes by looking at links looks at that too (`lacking.rs`), and no delivery is woken
//! in vain for ever. Of an aggregate that waits more than once only the newest delivery goes on waiting
//! (`waits_once.rs`).
//!
//! When another record stands for an aggregate than before (a relink, a merge, its undoing), what refers to it is sent
//! again, in the transaction that moves the record. A dependent that was in flight meanwhile is sent again by its own
//! settlement (`outdated.rs`). Both look once more after their commits ([`Store::resend_after_settling`]): in a cluster
//! that is written to through several nodes, the lock that keeps them apart holds on its own node only.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;

use super::counts::CountDelta;
use super::readable::{self, Unrouted};
use super::request::ClaimRequest;
use super::routing::Route;
use super::sql::{
    ConfirmedDependents, DeleteDependencies, ForgetDependencies, HoldDependents, InsertDependencies, Json, NextWaiting,
    OpenAmong, ReadRouted, ReadyAmong, ReadyDependents, WaitAgain, Wake,
};
use super::waits_once::Held;
use super::{Lease, RowReader, Store, StoreError, StoreTransaction};
use crate::database::rerun;
use crate::domain::change::Change;
use crate::domain::delivery::Settlement;
use crate::domain::ids::{AggregateKey, ChangeId, TargetName};

/// The most deliveries that one step wakes.
pub(super) const CHUNK: i64 = 1_000;

/// The targets at which deliveries may wait for something, as far as this process knows.
#[derive(Clone, Debug, Default)]
pub(super) struct TargetsWithDependents(Arc<Mutex<BTreeSet<String>>>);

impl TargetsWithDependents {
    fn add(&self, target: &str) {
        let mut targets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !targets.contains(target) {
            targets.insert(target.to_owned());
        }
    }

    fn remove(&self, target: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(target);
    }

    fn has(&self, target: &str) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(target)
    }
}

/// Where the next look for deliveries that wait for nothing begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WaitingCursor {
    after_id: i64,
    /// Whether something waited since the last look from the beginning.
    some_wait: bool,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
struct DependencyRow<'a> {
    target: &'a TargetName,
    outbox_id: ChangeId,
    referenced_type: &'a str,
    referenced_id: &'a str,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
struct DependentRow<'a> {
    target: &'a TargetName,
    outbox_id: ChangeId,
}

/// What these changes depend on at the targets that take them. Of two targets, one may take a type and the other not.
fn dependencies<'a>(changes: &'a [Unrouted], routes: &'a [Route]) -> BTreeSet<DependencyRow<'a>> {
    let takes = |target: &TargetName, kind: &str| {
        routes.iter().any(|route| route.target == *target && route.aggregate_type == kind)
    };
    let mut rows = BTreeSet::new();
    for change in changes.iter().filter(|change| !change.waits_for.is_empty()) {
        for route in routes.iter().filter(|route| route.takes(change)) {
            let known = change.waits_for.iter().filter(|one| takes(&route.target, &one.aggregate_type));
            rows.extend(known.map(|one| DependencyRow {
                target: &route.target,
                outbox_id: change.id,
                referenced_type: &one.aggregate_type,
                referenced_id: &one.aggregate_id,
            }));
        }
    }
    rows
}

impl Store {
    /// Makes deliveries due that waited for one of these aggregates, which now have a link, and for nothing else.
    /// Returns their number. Without a statement where nothing waits.
    ///
    /// # Errors
    /// When the store cannot be reached; [`Store::wake_ready`] finds them later.
    pub async fn wake_dependents(&self, target: &str, linked: &[AggregateKey]) -> Result<u64, StoreError> {
        if linked.is_empty() || !self.dependents.has(target) {
            return Ok(0);
        }
        let operation = format!("look for deliveries of target `{target}` that wait for nothing");
        let mut woken = 0;
        loop {
            let rows = self.fetch_alone(&operation, ReadyDependents { target, batch: Json::of(linked) }).await?.rows;
            let ids = rows.into_iter().map(|row| RowReader::new(&operation, row).change_id());
            let ids: Vec<_> = ids.collect::<Result<_, _>>()?;
            woken += self.wake_waiting(target, &ids).await?;
            if i64::try_from(ids.len()) != Ok(CHUNK) {
                return Ok(woken);
            }
        }
    }

    /// Makes deliveries of a target due that wait for nothing any more, among the next that wait. Returns their number.
    /// One statement where nothing waits.
    ///
    /// # Errors
    /// When the store cannot be reached.
    pub async fn wake_ready(&self, target: &str, cursor: &mut WaitingCursor) -> Result<u64, StoreError> {
        let operation = format!("look for waiting deliveries of target `{target}`");
        let rows = self.fetch_alone(&operation, NextWaiting { target, after: cursor.after_id }).await?.rows;
        let is_full = i64::try_from(rows.len()) == Ok(CHUNK);
        let mut linked = BTreeMap::new();
        let mut last = cursor.after_id;
        cursor.some_wait |= !rows.is_empty();
        for row in rows {
            let mut reader = RowReader::new(&operation, row);
            let (id, key, missing) = (reader.change_id()?, reader.aggregate_key()?, reader.integer()?);
            last = id.get();
            if missing == 0 {
                linked.insert(id, key);
            }
        }
        if cursor.some_wait {
            self.dependents.add(target);
        }
        if is_full {
            cursor.after_id = last;
        } else {
            if !cursor.some_wait {
                self.dependents.remove(target);
            }
            *cursor = WaitingCursor::default();
        }
        let ready = self.lacking_nothing(target, &linked).await?;
        self.wake_waiting(target, &ready).await
    }

    /// As [`Store::wake_ready`], of all that wait at a target.
    ///
    /// # Errors
    /// When the store cannot be reached.
    pub async fn wake_all_ready(&self, target: &str) -> Result<u64, StoreError> {
        let mut cursor = WaitingCursor::default();
        let mut woken = 0;
        loop {
            woken += self.wake_ready(target, &mut cursor).await?;
            if cursor == WaitingCursor::default() {
                return Ok(woken);
            }
        }
    }

    /// After a settlement: sends again what refers to the aggregates for which another record stands now, and what of
    /// this batch itself went out with an id for which another record stands by now. The settlement has done the same;
    /// two of them on different nodes of a cluster do not see each other. Returns the number of deliveries that were
    /// queued.
    ///
    /// # Errors
    /// When the store cannot be reached. What the settlement itself sent again stays queued.
    pub async fn resend_after_settling(
        &self,
        target: &TargetName,
        settled: &[Settlement],
        changes: &[&Change],
    ) -> Result<u64, StoreError> {
        let moved: Vec<_> = settled.iter().filter(|one| one.is_moved).map(|one| &one.key).collect();
        let outdated = self.outdated(target.as_str(), changes).await?;
        if moved.is_empty() && outdated.is_empty() {
            return Ok(0);
        }
        rerun("send dependents again", || async {
            let mut transaction = self.begin(&format!("send dependents to target `{target}` again")).await?;
            let mut resent = 0;
            if !moved.is_empty() {
                resent += transaction.resend_dependents(target, &moved).await?;
            }
            // A merge is always among the moved ones.
            let mut outdated = outdated.clone();
            outdated.extend(transaction.outdated_among(target.as_str(), settled).await?);
            if !outdated.is_empty() {
                resent += transaction.resend_referring(target, &outdated).await?;
            }
            transaction.commit().await?;
            Ok(resent)
        })
        .await
    }

    async fn wake_waiting(&self, target: &str, ids: &[ChangeId]) -> Result<u64, StoreError> {
        if ids.is_empty() {
            return Ok(0);
        }
        rerun("wake dependents", || async {
            let mut transaction = self.begin(&format!("wake deliveries of target `{target}`")).await?;
            let woken = transaction.run(Wake { target, ids }).await?.rows_affected;
            transaction.commit().await?;
            Ok(woken)
        })
        .await
    }

    /// Wakes those of the deliveries that were just queued whose links were made meanwhile. Every host does so by
    /// itself, so that the audit records nothing of it.
    pub(super) async fn wake_queued(&self, queued: &BTreeMap<TargetName, Vec<ChangeId>>) {
        for (target_name, ids) in queued {
            let target = target_name.as_str();
            self.dependents.add(target);
            // The rescuer finds what is missed.
            if let Err(error) = self.unaudited().wake_among(target, ids).await {
                tracing::debug!(%target_name, %error, "cannot search again for waiting deliveries");
            }
        }
    }

    async fn wake_among(&self, target: &str, ids: &[ChangeId]) -> Result<u64, StoreError> {
        let operation = format!("look for deliveries of target `{target}` that wait for nothing");
        let rows = self.fetch_alone(&operation, ReadyAmong { target, ids }).await?.rows;
        let ready = rows.into_iter().map(|row| RowReader::new(&operation, row).change_id());
        self.wake_waiting(target, &ready.collect::<Result<Vec<_>, _>>()?).await
    }

    /// Which of these aggregates have a change on its way to the target.
    pub(super) async fn open_among(
        &self,
        operation: &str,
        target: &str,
        keys: &BTreeSet<&AggregateKey>,
    ) -> Result<BTreeSet<AggregateKey>, StoreError> {
        if keys.is_empty() {
            return Ok(BTreeSet::new());
        }
        let statement = OpenAmong { target, batch: Json::of(&Vec::from_iter(keys)) };
        let rows = self.fetch_alone(operation, statement).await?.rows;
        rows.into_iter().map(|row| RowReader::new(operation, row).aggregate_key()).collect()
    }

    /// Which of these changes have to wait. Each comes with what it refers to and was deleted at the target: while a
    /// newer change of that is on its way, the target may soon have it again.
    pub(super) async fn expecting(
        &self,
        operation: &str,
        target: &str,
        deleted: &[(ChangeId, Vec<AggregateKey>)],
    ) -> Result<BTreeSet<ChangeId>, StoreError> {
        let keys = deleted.iter().flat_map(|(_, keys)| keys).collect();
        let open = self.open_among(operation, target, &keys).await?;
        let expects = |(_, keys): &&(ChangeId, Vec<AggregateKey>)| keys.iter().any(|key| open.contains(key));
        Ok(deleted.iter().filter(expects).map(|(id, _)| *id).collect())
    }

    /// Makes claimed deliveries wait again, or supersedes them where a newer one is there; the others stay under the
    /// lease. Returns `false` when it was lost before.
    pub(super) async fn wait_again(
        &self,
        lease: &Lease,
        ids: &[ChangeId],
        request: &ClaimRequest,
    ) -> Result<bool, StoreError> {
        let target = lease.target.as_str();
        self.dependents.add(target);
        rerun("wait again", || async {
            let mut transaction = self.begin(&format!("let deliveries of target `{target}` wait")).await?;
            if !transaction.hold_lease(lease).await? {
                transaction.rollback().await?;
                return Ok(false);
            }
            transaction.end_in_flight_of(lease, ids).await?;
            transaction.run(WaitAgain { target, lease_id: lease.id, ids }).await?;
            let superseded = transaction.supersede_waiting(target, ids, |kind| request.is_fifo(kind)).await?;
            transaction.add_counts(target, CountDelta::superseded(superseded)).await?;
            transaction.commit().await?;
            Ok(true)
        })
        .await
    }
}

impl StoreTransaction {
    /// Records what the queued deliveries of these changes depend on, and makes those wait that lack something.
    pub(super) async fn hold_dependents(&mut self, changes: &[Unrouted], routes: &[Route]) -> Result<Held, StoreError> {
        let rows = dependencies(changes, routes);
        let mut held = Held::default();
        if rows.is_empty() {
            return Ok(held);
        }
        let dependents: BTreeSet<_> =
            rows.iter().map(|row| DependentRow { target: row.target, outbox_id: row.outbox_id }).collect();
        self.run(InsertDependencies { batch: Json::of(&Vec::from_iter(&rows)) }).await?;
        let waiting = self.run(HoldDependents { batch: Json::of(&Vec::from_iter(&dependents)) }).await?.rows_affected;
        held.some_wait = waiting > 0;
        for dependent in dependents {
            held.queued.entry(dependent.target.clone()).or_default().push(dependent.outbox_id);
        }
        Ok(held)
    }

    /// Forgets dependencies on types that a target no longer takes, so that nothing waits for them.
    pub(super) async fn forget_dependencies(&mut self, target: &str, types: &[String]) -> Result<(), StoreError> {
        self.run(ForgetDependencies { target, types }).await.map(drop)
    }

    /// Which of these aggregates have a change on its way to the target.
    pub(super) async fn open_among(
        &mut self,
        target: &str,
        keys: &BTreeSet<AggregateKey>,
    ) -> Result<BTreeSet<AggregateKey>, StoreError> {
        if keys.is_empty() {
            return Ok(BTreeSet::new());
        }
        let rows = self.fetch(OpenAmong { target, batch: Json::of(&Vec::from_iter(keys)) }).await?.rows;
        rows.into_iter().map(|row| RowReader::new(&self.operation, row).aggregate_key()).collect()
    }

    /// As [`Self::hold_dependents`], of states that were queued for one target without the router. What waited there
    /// for the same aggregates is superseded: callers must not queue a type with `order = "fifo"` in this way. Returns
    /// the deliveries that depend on something, whether they wait or not.
    pub(super) async fn hold_queued(
        &mut self,
        ids: &[ChangeId],
        routes: &[Route],
    ) -> Result<BTreeMap<TargetName, Vec<ChangeId>>, StoreError> {
        let rows = self.fetch(ReadRouted { ids }).await?.rows;
        let changes: Vec<_> = rows.into_iter().map(readable::unrouted).collect();
        let Held { queued, some_wait } = self.hold_dependents(&changes, routes).await?;
        if some_wait {
            for (target, ids) in &queued {
                let superseded = self.supersede_waiting(target.as_str(), ids, |_| false).await?;
                self.add_counts(target.as_str(), CountDelta::superseded(superseded)).await?;
            }
        }
        Ok(queued)
    }

    /// Sends again what refers to one of these aggregates, whose records at the target are others now: of each
    /// dependent the state that the target confirmed last. One whose state retention has deleted keeps the old id.
    pub(super) async fn resend_dependents(
        &mut self,
        target: &TargetName,
        moved: &[&AggregateKey],
    ) -> Result<u64, StoreError> {
        let rows = self.fetch(ConfirmedDependents { target: target.as_str(), batch: Json::of(moved) }).await?.rows;
        let mut dependents = BTreeMap::new();
        for row in rows {
            let mut reader = RowReader::new(&self.operation, row);
            dependents.insert(reader.change_id()?, reader.aggregate_key()?);
        }
        if dependents.is_empty() {
            return Ok(0);
        }
        self.resend_referring(target, &dependents).await
    }

    /// Sends confirmed states again that refer to something.
    pub(super) async fn resend_referring(
        &mut self,
        target: &TargetName,
        dependents: &BTreeMap<ChangeId, AggregateKey>,
    ) -> Result<u64, StoreError> {
        let resent = self.resend_confirmed(target.as_str(), dependents).await?;
        let rows: Vec<_> = dependents.keys().map(|id| DependentRow { target, outbox_id: *id }).collect();
        self.run(HoldDependents { batch: Json::of(&rows) }).await?;
        Ok(resent)
    }

    pub(super) async fn delete_dependencies(&mut self, target: &str, ids: &[ChangeId]) -> Result<(), StoreError> {
        self.run(DeleteDependencies { target, ids }).await.map(drop)
    }
}
