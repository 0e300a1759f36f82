//! Routing: every outbox row gets one delivery for each target that takes its type. Any host may route, at any time; a
//! row is routed once.
//!
//! Changes that a claimer requested are dispatched directly under a lease where that is allowed (`direct.rs`); every
//! other change is queued. A row that cannot be read becomes a failed delivery, so that an operator sees it.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use tokio::time::Instant;

use super::batch::ClaimedIds;
use super::counts::CountDelta;
use super::readable::{Refused, Unrouted};
use super::request::{DirectRequest, RequestId};
use super::scan::ScanCursor;
use super::sql::{Enqueue, Json};
use super::waits_once::Held;
use super::{Store, StoreError, StoreTransaction};
use crate::database::{ErrorKind, rerun};
use crate::domain::ids::{ChangeId, TargetName};

/// A target and a type that it takes.
#[derive(Clone, Debug, Serialize)]
pub struct Route {
    pub target: TargetName,
    pub aggregate_type: String,
}

/// The routes to every enabled target, as of one revision of the store.
#[derive(Clone, Debug, Default)]
pub struct Routes {
    pub list: Vec<Route>,
    pub(super) revision: i64,
    pub(super) orders: Orders,
}

/// Which types are delivered in order, at the targets of which the router knows it. Another host may have a target that
/// this one does not, with an order of its own.
#[derive(Clone, Debug, Default)]
pub(super) struct Orders {
    targets: BTreeSet<TargetName>,
    fifo_types: Vec<String>,
}

/// The result of routing.
#[derive(Debug, Default)]
pub struct Routed {
    /// Changes that were routed.
    pub changes: usize,
    /// Whether some of their deliveries were queued.
    pub some_queued: bool,
    /// The routes changed meanwhile: nothing was routed, and the caller must read them again.
    pub routes_changed: bool,
    /// The changes dispatched directly to each request that got some; [`Store::load`] reads them.
    pub claimed: BTreeMap<RequestId, ClaimedIds>,
}

/// The result of one transaction.
#[derive(Default)]
struct RoutedOnce {
    changes: Vec<Unrouted>,
    /// The number of deliveries made for each target, if all of them were new.
    made: BTreeMap<TargetName, i64>,
    /// Of these, those that failed at once because the change cannot be read.
    refused: BTreeMap<TargetName, u64>,
    some_queued: bool,
    some_existed: bool,
    routes_changed: bool,
    claimed: BTreeMap<RequestId, ClaimedIds>,
    held: Held,
    /// Deliveries that waited and were superseded by newer ones that wait.
    superseded: BTreeMap<TargetName, u64>,
}

impl Routes {
    /// The same routes for a router that has these targets, where every change of these types is delivered in order. At
    /// other targets it supersedes nothing.
    #[must_use]
    pub fn in_order(self, targets: BTreeSet<TargetName>, fifo_types: Vec<String>) -> Self {
        Self { orders: Orders { targets, fifo_types }, ..self }
    }
}

impl Store {
    /// Routes up to `limit` changes that the cursor reaches, and dispatches them directly to the requests where that is
    /// allowed. Several requests may be for one target. Nothing is routed when the store no longer has these routes. So
    /// a change that was committed after a target was registered is never routed without that target.
    ///
    /// # Errors
    /// When the store cannot be reached.
    pub async fn route(
        &self,
        routes: &Routes,
        limit: u32,
        cursor: &mut ScanCursor,
        requests: &[DirectRequest],
    ) -> Result<Routed, StoreError> {
        let begun = Instant::now();
        let after = cursor.begin(begun);
        if !self.has_unrouted(after).await? {
            cursor.end(begun, Instant::now(), None);
            if cursor.rewind() {
                return Box::pin(self.route(routes, limit, cursor, requests)).await;
            }
            return Ok(Routed::default());
        }
        let step = rerun("route", || self.route_once(routes, limit, after, requests)).await?;
        for (target, changes) in &step.refused {
            self.refused.add(target, *changes);
        }
        self.wake_queued(&step.held.queued).await;
        cursor.end(begun, Instant::now(), step.changes.last().map(|last| last.id.get()));
        let RoutedOnce { changes, some_queued, routes_changed, claimed, .. } = step;
        Ok(Routed { changes: changes.len(), some_queued, routes_changed, claimed })
    }

    async fn route_once(
        &self,
        Routes { list: routes, revision, orders }: &Routes,
        limit: u32,
        after: i64,
        requests: &[DirectRequest],
    ) -> Result<RoutedOnce, StoreError> {
        let mut transaction = self.begin("route changes").await?;
        let changes = transaction.unrouted(after, limit).await?;
        if changes.is_empty() {
            transaction.rollback().await?;
            return Ok(RoutedOnce::default());
        }
        let mut step = RoutedOnce { changes, ..RoutedOnce::default() };
        let requesting: BTreeSet<&TargetName> = requests.iter().map(|request| &request.claim.target).collect();
        let others = routes.iter().filter(|route| !requesting.contains(&route.target)).cloned();
        transaction.enqueue(&mut step, &others.collect::<Vec<_>>(), &BTreeSet::new()).await?;
        for target in requesting {
            transaction.dispatch(&mut step, routes, target, requests).await?;
        }
        transaction.refuse_unreadable(&mut step, routes).await?;
        step.held = transaction.hold_dependents(&step.changes, routes).await?;
        transaction.supersede_held(&mut step, orders).await?;
        let ids: Vec<_> = step.changes.iter().map(|change| change.id).collect();
        if transaction.mark_routed(&ids, *revision).await? == 0 {
            transaction.rollback().await?;
            return Ok(RoutedOnce { routes_changed: true, ..RoutedOnce::default() });
        }
        let is_taken = |kind: &str| routes.iter().any(|route| route.aggregate_type == kind);
        transaction.notice(&step.changes, is_taken).await?;
        transaction.count_made(&step).await?;
        transaction.commit().await?;
        Ok(step)
    }
}

impl Route {
    /// Whether a readable change takes this route.
    pub(super) fn takes(&self, change: &Unrouted) -> bool {
        change.refused.is_none() && change.aggregate_type.as_ref() == Some(&self.aggregate_type)
    }

    /// Whether the failed delivery of an unreadable change belongs to this target: the type is the route's, or is
    /// unreadable too.
    fn answers_for(&self, change: &Unrouted) -> bool {
        change.aggregate_type.as_ref().is_none_or(|kind| *kind == self.aggregate_type)
    }
}

impl StoreTransaction {
    /// Dispatches changes directly to the requests for one target, and queues the others that it takes. A change with
    /// an unlinked dependency is queued.
    async fn dispatch(
        &mut self,
        step: &mut RoutedOnce,
        routes: &[Route],
        target: &TargetName,
        requests: &[DirectRequest],
    ) -> Result<(), StoreError> {
        let own: Vec<_> = routes.iter().filter(|route| route.target == *target).cloned().collect();
        let is_independent = |change: &&Unrouted| change.waits_for.is_empty();
        let ids = step.changes.iter().filter(|change| own.iter().any(|route| route.takes(change)));
        let ids = ids.filter(is_independent);
        let ids: Vec<_> = ids.map(|change| change.id).collect();
        let requests: Vec<_> = requests.iter().filter(|request| request.claim.target == *target).collect();
        let claimed = self.dispatch_direct(&ids, &requests).await?;
        let direct: BTreeSet<ChangeId> =
            claimed.iter().flat_map(|(_, claimed)| claimed.change_ids.iter().copied()).collect();
        self.enqueue(step, &own, &direct).await?;
        *step.made.entry(target.clone()).or_default() += i64::try_from(direct.len()).unwrap_or(i64::MAX);
        step.claimed.extend(claimed);
        Ok(())
    }

    /// Inserts failed deliveries of the unreadable changes: one statement, or none.
    async fn refuse_unreadable(&mut self, step: &mut RoutedOnce, routes: &[Route]) -> Result<(), StoreError> {
        let mut refused = BTreeMap::<(&TargetName, ChangeId), &Refused>::new();
        for change in &step.changes {
            let Some(why) = &change.refused else { continue };
            let targets = routes.iter().filter(|route| route.answers_for(change));
            refused.extend(targets.map(|route| ((&route.target, change.id), why)));
        }
        if refused.is_empty() {
            return Ok(());
        }
        for ((target, change_id), why) in &refused {
            tracing::warn!(target_name = %target, change_id = change_id.get(), reason = %why.failure.message, "change refused");
            *step.made.entry((*target).clone()).or_default() += 1;
            *step.refused.entry((*target).clone()).or_default() += 1;
        }
        let rows: Vec<_> = refused.iter().map(|((target, _), why)| (*target, *why)).collect();
        let made = self.insert_refused(&rows).await?;
        step.some_existed |= usize::try_from(made) != Ok(rows.len());
        Ok(())
    }

    /// Queues the deliveries of these routes, except for changes that were dispatched directly.
    async fn enqueue(
        &mut self,
        step: &mut RoutedOnce,
        routes: &[Route],
        direct: &BTreeSet<ChangeId>,
    ) -> Result<(), StoreError> {
        let is_queued = |change: &&Unrouted| change.refused.is_none() && !direct.contains(&change.id);
        let changes: Vec<_> = step.changes.iter().filter(is_queued).collect();
        let mut expected = 0;
        for route in routes {
            let rows = changes.iter().filter(|change| route.takes(change)).count();
            let rows = i64::try_from(rows).unwrap_or(i64::MAX);
            *step.made.entry(route.target.clone()).or_default() += rows;
            expected += rows;
        }
        if expected > 0 {
            let ids: Vec<_> = changes.iter().map(|change| change.id).collect();
            let made = self.insert_pending(&ids, routes).await?;
            step.some_queued = true;
            step.some_existed |= i64::try_from(made) != Ok(expected);
        }
        Ok(())
    }

    async fn insert_pending(&mut self, ids: &[ChangeId], routes: &[Route]) -> Result<u64, StoreError> {
        match self.run(Enqueue { batch: Json::of(routes), ids }).await {
            Ok(execution) => Ok(execution.rows_affected),
            // A host at another node of a cluster has just routed the same change; the transaction is run again.
            Err(StoreError::Database { error, .. }) if error.kind == ErrorKind::DuplicateKey => Err(self.lost_race()),
            Err(error) => Err(error),
        }
    }

    /// Supersedes what waited for the same aggregates as what waits now.
    async fn supersede_held(&mut self, step: &mut RoutedOnce, orders: &Orders) -> Result<(), StoreError> {
        if !step.held.some_wait {
            return Ok(());
        }
        let known = step.held.queued.iter().filter(|(target, _)| orders.targets.contains(*target));
        for (target, ids) in known {
            let is_fifo = |kind: &str| orders.fifo_types.iter().any(|fifo| fifo == kind);
            let superseded = self.supersede_waiting(target.as_str(), ids, is_fifo).await?;
            step.superseded.insert(target.clone(), superseded);
        }
        Ok(())
    }

    /// Adds the deliveries that were made and superseded to the counts. When fewer were made than expected, some
    /// existed before, because an operator reset `routed_at`. Then the rows themselves are counted, however long that
    /// takes.
    async fn count_made(&mut self, step: &RoutedOnce) -> Result<(), StoreError> {
        for (target, made) in &step.made {
            let made = if step.some_existed { self.uncounted(target.as_str()).await? } else { *made };
            let superseded = step.superseded.get(target).copied().unwrap_or_default();
            let delta = CountDelta { made, ..CountDelta::superseded(superseded) };
            self.add_counts(target.as_str(), delta).await?;
        }
        Ok(())
    }
}
