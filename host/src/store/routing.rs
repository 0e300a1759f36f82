//! Routing: every outbox row gets one delivery for each target that takes its type. Any host may do it, at any time; a row
//! is routed once.
//!
//! A target that asks is given what it can be given straight under a lease (`straight.rs`); everything else waits in line
//! to be claimed.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::Serialize;

use super::batch::{ClaimRequest, UnderLease};
use super::counts::Counted;
use super::readable::{Refused, Unrouted};
use super::sql::{Enqueue, Json};
use super::{Store, StoreError, StoreTransaction};
use crate::database::{ErrorKind, rerun};

/// Which target takes which type of aggregate.
#[derive(Clone, Debug, Serialize)]
pub struct Route {
    /// The target.
    pub target: String,
    /// The type.
    pub aggregate_type: String,
}

/// What is routed where, as the store says, and as of which revision.
#[derive(Clone, Debug, Default)]
pub struct Routes {
    /// Every target that is enabled, with each type that goes there.
    pub list: Vec<Route>,
    pub(super) revision: i64,
}

/// What routing did.
#[derive(Debug, Default)]
pub struct Routed {
    /// Changes that were routed.
    pub changes: usize,
    /// Whether some of their deliveries wait to be claimed.
    pub some_wait: bool,
    /// What is routed where has changed meanwhile: nothing was routed, and the routes are to be read again.
    pub routes_changed: bool,
    /// What each request was given, in their order, where there was something for it: to be read with [`Store::load`].
    pub taken: Vec<Option<UnderLease>>,
}

/// What one transaction did.
#[derive(Default)]
struct Done {
    changes: Vec<Unrouted>,
    /// Deliveries that were made for each target, as far as all of them were new.
    made: BTreeMap<String, i64>,
    /// Of these, so many failed at once because the change cannot be read.
    refused: BTreeMap<String, u64>,
    some_wait: bool,
    some_were_there: bool,
    routes_changed: bool,
    /// By the place of the request.
    taken: HashMap<usize, UnderLease>,
}

impl Store {
    /// Gives up to `limit` outbox rows that nobody has routed yet one delivery per target that takes them. A row that
    /// no target can ever take (it cannot be read, or names no operation) becomes a failed delivery, so that someone sees it. Gives the number of
    /// rows routed.
    ///
    /// # Errors
    /// When the store cannot be reached.
    pub async fn route(&self, routes: &[Route], limit: u32) -> Result<usize, StoreError> {
        Ok(self.route_to(routes, limit, &mut i64::MIN.clone(), &[]).await?.changes)
    }

    /// As [`Store::route`], putting what it can straight under leases for those who ask; several requests may be for one
    /// target.
    ///
    /// It looks only behind the id `after`, which moves on with what was routed: rows that were routed leave dead entries in
    /// the index, and they would be walked over again and again. A smaller id may become visible later than a larger one, so
    /// that whoever calls this begins anew now and then.
    ///
    /// # Errors
    /// When the store cannot be reached.
    pub async fn route_to(
        &self,
        routes: &[Route],
        limit: u32,
        after: &mut i64,
        asked: &[ClaimRequest],
    ) -> Result<Routed, StoreError> {
        self.route_all(routes, None, limit, after, asked).await
    }

    /// As [`Store::route_to`], along what the store says, and only while it still says so: a change that was committed after a
    /// target was registered is never routed without that target.
    ///
    /// # Errors
    /// When the store cannot be reached.
    pub async fn route_along(
        &self,
        routes: &Routes,
        limit: u32,
        after: &mut i64,
        asked: &[ClaimRequest],
    ) -> Result<Routed, StoreError> {
        self.route_all(&routes.list, Some(routes.revision), limit, after, asked).await
    }

    async fn route_all(
        &self,
        routes: &[Route],
        revision: Option<i64>,
        limit: u32,
        after: &mut i64,
        asked: &[ClaimRequest],
    ) -> Result<Routed, StoreError> {
        if !self.has_unrouted(*after).await? {
            return Ok(Routed { taken: vec![None; asked.len()], ..Routed::default() });
        }
        let mut done = rerun("route", || self.route_once(routes, revision, limit, *after, asked)).await?;
        for (target, changes) in &done.refused {
            self.refused.add(target, *changes);
        }
        *after = done.changes.last().map_or(*after, |last| last.id);
        let taken = (0..asked.len()).map(|place| done.taken.remove(&place)).collect();
        let Done { changes, some_wait, routes_changed, .. } = done;
        Ok(Routed { changes: changes.len(), some_wait, routes_changed, taken })
    }

    async fn route_once(
        &self,
        routes: &[Route],
        revision: Option<i64>,
        limit: u32,
        after: i64,
        asked: &[ClaimRequest],
    ) -> Result<Done, StoreError> {
        let mut transaction = self.begin("route changes").await?;
        let changes = transaction.unrouted(after, limit).await?;
        if changes.is_empty() {
            transaction.rollback().await?;
            return Ok(Done::default());
        }
        let mut done = Done { changes, ..Done::default() };
        let askers: BTreeSet<&str> = asked.iter().map(|request| request.target.as_str()).collect();
        let others: Vec<_> = routes.iter().filter(|route| !askers.contains(route.target.as_str())).cloned().collect();
        let none = BTreeSet::new();
        transaction.let_wait(&mut done, &others, &none).await?;
        for target in askers {
            let own: Vec<_> = routes.iter().filter(|route| route.target == target).cloned().collect();
            let ids = done.changes.iter().filter(|change| own.iter().any(|route| route.takes(change)));
            let ids: Vec<_> = ids.map(|change| change.id).collect();
            let requests: Vec<_> = asked.iter().enumerate().filter(|(_, request)| request.target == target).collect();
            let taken = transaction.take_straight(&ids, &requests).await?;
            let in_hand: BTreeSet<i64> = taken.iter().flat_map(|(_, taken)| taken.outbox_ids.iter().copied()).collect();
            transaction.let_wait(&mut done, &own, &in_hand).await?;
            *done.made.entry(target.to_owned()).or_default() += i64::try_from(in_hand.len()).unwrap_or(i64::MAX);
            done.taken.extend(taken);
        }
        transaction.refuse_unreadable(&mut done, routes).await?;
        let ids: Vec<_> = done.changes.iter().map(|change| change.id).collect();
        if transaction.mark_routed(&ids, revision).await? == 0 && revision.is_some() {
            transaction.rollback().await?;
            return Ok(Done { routes_changed: true, ..Done::default() });
        }
        let is_taken = |kind: &str| routes.iter().any(|route| route.aggregate_type == kind);
        transaction.notice(&done.changes, is_taken).await?;
        transaction.count_made(&done).await?;
        transaction.commit().await?;
        Ok(done)
    }
}

impl Route {
    /// Whether a target is given this change along it.
    fn takes(&self, change: &Unrouted) -> bool {
        change.refused.is_none() && change.aggregate_type.as_ref() == Some(&self.aggregate_type)
    }

    /// Whether the failed delivery of a change that cannot be read is this target's: of its type, or of a type that cannot be
    /// read either.
    fn answers_for(&self, change: &Unrouted) -> bool {
        change.aggregate_type.as_ref().is_none_or(|kind| *kind == self.aggregate_type)
    }
}

impl StoreTransaction {
    /// Makes failed deliveries of the changes that cannot be read: one statement, and none when there are no such.
    async fn refuse_unreadable(&mut self, done: &mut Done, routes: &[Route]) -> Result<(), StoreError> {
        let mut refused = BTreeMap::<(&str, i64), &Refused>::new();
        for change in &done.changes {
            let Some(why) = &change.refused else { continue };
            let targets = routes.iter().filter(|route| route.answers_for(change));
            refused.extend(targets.map(|route| ((route.target.as_str(), change.id), why)));
        }
        if refused.is_empty() {
            return Ok(());
        }
        for ((target, change_id), why) in &refused {
            tracing::warn!(target_name = %target, change_id, reason = %why.failure.message, "change refused");
            *done.made.entry((*target).to_owned()).or_default() += 1;
            *done.refused.entry((*target).to_owned()).or_default() += 1;
        }
        let rows: Vec<_> = refused.iter().map(|((target, _), why)| (*target, *why)).collect();
        let made = self.insert_refused(&rows).await?;
        done.some_were_there |= usize::try_from(made) != Ok(rows.len());
        Ok(())
    }

    /// Makes the deliveries of these routes that are to wait in line, but for the changes that are in hand already.
    async fn let_wait(&mut self, done: &mut Done, routes: &[Route], in_hand: &BTreeSet<i64>) -> Result<(), StoreError> {
        let waits = |change: &&Unrouted| change.refused.is_none() && !in_hand.contains(&change.id);
        let changes: Vec<_> = done.changes.iter().filter(waits).collect();
        let mut expected = 0;
        for route in routes {
            let rows = changes.iter().filter(|change| route.takes(change)).count();
            let rows = i64::try_from(rows).unwrap_or(i64::MAX);
            *done.made.entry(route.target.clone()).or_default() += rows;
            expected += rows;
        }
        if expected > 0 {
            let ids: Vec<_> = changes.iter().map(|change| change.id).collect();
            let made = self.make_pending(&ids, routes).await?;
            done.some_wait = true;
            done.some_were_there |= i64::try_from(made) != Ok(expected);
        }
        Ok(())
    }

    async fn make_pending(&mut self, ids: &[i64], routes: &[Route]) -> Result<u64, StoreError> {
        match self.run(Enqueue { batch: Json::of(routes), ids }).await {
            Ok(execution) => Ok(execution.rows_affected),
            // Another host at another node of a cluster has just routed the same: look again.
            Err(StoreError::Database { error, .. }) if error.kind == ErrorKind::DuplicateKey => Err(self.outrun()),
            Err(error) => Err(error),
        }
    }

    /// Counts the deliveries that were made. When fewer were than there are routes, some were there before: someone set
    /// `routed_at` back. Then the rows themselves are counted, however long that takes.
    async fn count_made(&mut self, done: &Done) -> Result<(), StoreError> {
        for (target, made) in &done.made {
            let made = if done.some_were_there { self.uncounted(target).await? } else { *made };
            self.count(target, Counted { made, ..Counted::default() }).await?;
        }
        Ok(())
    }
}
