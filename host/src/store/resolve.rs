//! Which record at a target stands for an aggregate that a change refers to.
//!
//! That is the aggregate's own record, unless the target has confirmed a merge of it (`sync_link.merged_into`): then it
//! is the survivor's, who may be merged on. A survivor that leads back to the merged aggregate closes a circle, in
//! which no record stands for anything. Such a merge is refused before its call, and once more when it is settled,
//! under a lock, since two merges may be in flight at the same time. `dependencies.rs` decides who waits; this file
//! only reads, but for that lock. Read next: `batch.rs`, which calls it.

use std::collections::{BTreeMap, BTreeSet};

use super::readable::Refused;
use super::sql::{Json, LinksOfKeys, LockMerges, ReadReferences};
use super::{RowReader, Store, StoreError, StoreTransaction};
use crate::database::Value;
use crate::domain::change::{Change, Failure, FailureKind, Operation, Reference};
use crate::domain::delivery::{Delivery, Event, Settlement, Status, next_status};
use crate::domain::ids::{AggregateKey, ChangeId};

/// How long a merge waits that closed a circle with another which was settled meanwhile.
const CIRCLE_PAUSE_MS: u64 = 1_000;

/// What a target has confirmed of an aggregate.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Linked {
    /// Empty when it has no record of its own there.
    remote_id: String,
    /// The id of the aggregate that it was merged into.
    merged_into: Option<String>,
}

/// Links of a target, as far as they were read; `None` where it has none.
#[derive(Clone, Debug, Default)]
pub(super) struct Links(BTreeMap<AggregateKey, Option<Linked>>);

/// What stands for an aggregate at a target.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Record {
    /// This aggregate's own record.
    Of(AggregateKey, String),
    /// It was deleted there, or never came there before it was deleted.
    Deleted,
    /// The target has not confirmed it yet.
    Lacking,
}

/// What became of resolving the references of a batch.
#[derive(Default)]
pub(super) struct Unresolved {
    /// Changes that must wait again.
    pub(super) waiting: BTreeSet<ChangeId>,
    /// Merges that can never be delivered.
    pub(super) refused: Vec<Refused>,
}

fn of_same_type(key: &AggregateKey, aggregate_id: &str) -> AggregateKey {
    AggregateKey { aggregate_type: key.aggregate_type.clone(), aggregate_id: aggregate_id.to_owned() }
}

impl Links {
    fn survivor(&self, key: &AggregateKey) -> Option<AggregateKey> {
        let linked = self.0.get(key)?.as_ref()?;
        linked.merged_into.as_deref().map(|id| of_same_type(key, id))
    }

    /// The survivors that were not read yet.
    fn unread(&self) -> BTreeSet<AggregateKey> {
        self.0.keys().filter_map(|key| self.survivor(key)).filter(|key| !self.0.contains_key(key)).collect()
    }

    /// The aggregate and those that it was merged into, one after the other, each once.
    fn chain(&self, start: &AggregateKey) -> Vec<AggregateKey> {
        let mut chain = vec![start.clone()];
        while let Some(next) = chain.last().and_then(|last| self.survivor(last)).filter(|next| !chain.contains(next)) {
            chain.push(next);
        }
        chain
    }

    pub(super) fn record_of(&self, key: &AggregateKey) -> Record {
        let last = self.chain(key).pop().unwrap_or_else(|| key.clone());
        match self.0.get(&last).and_then(Option::as_ref) {
            // The survivor is one of the chain again.
            Some(Linked { merged_into: Some(_), .. }) | None => Record::Lacking,
            Some(Linked { remote_id, .. }) if remote_id.is_empty() => Record::Deleted,
            Some(Linked { remote_id, .. }) => Record::Of(last, remote_id.clone()),
        }
    }

    fn merge(&mut self, key: &AggregateKey, survivor_id: &str) {
        let linked = Linked { remote_id: String::new(), merged_into: Some(survivor_id.to_owned()) };
        self.0.insert(key.clone(), Some(linked));
    }

    fn undo_merge(&mut self, key: &AggregateKey) {
        if let Some(Some(linked)) = self.0.get_mut(key) {
            linked.merged_into = None;
        }
    }

    pub(super) fn put(&mut self, rows: Vec<Vec<Value>>, operation: &str) -> Result<(), StoreError> {
        for row in rows {
            let mut reader = RowReader::new(operation, row);
            let key = reader.aggregate_key()?;
            self.0.insert(key, linked(&mut reader)?);
        }
        Ok(())
    }
}

/// The columns `remote_id` and `merged_into`.
fn linked(reader: &mut RowReader<'_>) -> Result<Option<Linked>, StoreError> {
    let (remote_id, merged_into) = (reader.optional_text()?, reader.optional_text()?);
    Ok(remote_id.map(|remote_id| Linked { remote_id, merged_into }))
}

impl Store {
    /// Gives each reference of these changes the target's id, and each survivor of a merge. The deliveries must be in
    /// the order of their changes. Without references it runs no statement.
    pub(super) async fn resolve_references(
        &self,
        operation: &str,
        target: &str,
        deliveries: &mut [Delivery],
    ) -> Result<Unresolved, StoreError> {
        let mut unresolved = Unresolved::default();
        let ids: Vec<_> =
            deliveries.iter().map(|one| &one.change).filter(|one| refers(one)).map(|one| one.change_id).collect();
        if ids.is_empty() {
            return Ok(unresolved);
        }
        let (depends, links) = self.links_of_dependencies(operation, target, &ids).await?;
        let mut gone = Vec::new();
        for change in deliveries.iter_mut().map(|delivery| &mut delivery.change) {
            let id = change.change_id;
            for reference in &mut change.references {
                // Of a type that the target does not take there is no dependency.
                let record = depends.contains(&(id, reference.key())).then(|| links.record_of(&reference.key()));
                match record {
                    Some(Record::Lacking) => drop(unresolved.waiting.insert(id)),
                    Some(Record::Of(_, remote_id)) => reference.remote_id = Some(remote_id),
                    Some(Record::Deleted) => {
                        reference.remote_id = None;
                        gone.push((id, links.chain(&reference.key())));
                    }
                    None => reference.remote_id = None,
                }
            }
        }
        unresolved.waiting.extend(self.expecting(operation, target, &gone).await?);
        if deliveries.iter().any(|delivery| delivery.change.survivor.is_some()) {
            self.resolve_survivors(operation, target, deliveries, links, &mut unresolved).await?;
        }
        Ok(unresolved)
    }

    /// Gives each merge the record that stands for its survivor, after the changes before it.
    async fn resolve_survivors(
        &self,
        operation: &str,
        target: &str,
        deliveries: &mut [Delivery],
        mut links: Links,
        unresolved: &mut Unresolved,
    ) -> Result<(), StoreError> {
        for delivery in deliveries.iter().filter(|delivery| delivery.survivor_id.is_none()) {
            links.undo_merge(&delivery.change.key);
        }
        for delivery in deliveries {
            let Delivery { change, survivor_id: Some(survivor_id), .. } = delivery else { continue };
            let survivor = of_same_type(&change.key, survivor_id);
            let chain = links.chain(&survivor);
            if chain.contains(&change.key) {
                // What is on its way may undo one of these merges.
                let others = chain.iter().filter(|key| **key != change.key).collect();
                if self.open_among(operation, target, &others).await?.is_empty() {
                    unresolved.refused.push(circle(change, &chain));
                } else {
                    unresolved.waiting.insert(change.change_id);
                }
                continue;
            }
            match links.record_of(&survivor) {
                Record::Lacking => drop(unresolved.waiting.insert(change.change_id)),
                Record::Deleted if !self.open_among(operation, target, &chain.iter().collect()).await?.is_empty() => {
                    unresolved.waiting.insert(change.change_id);
                }
                Record::Deleted => unresolved.refused.push(deleted(change, &survivor)),
                Record::Of(key, remote_id) => {
                    if let Some(reference) = &mut change.survivor {
                        reference.aggregate_id = key.aggregate_id;
                        reference.remote_id = Some(remote_id);
                    }
                    links.merge(&change.key, survivor_id);
                }
            }
        }
        Ok(())
    }

    /// What these changes depend on, each with its change, and the links of all of it.
    pub(super) async fn links_of_dependencies(
        &self,
        operation: &str,
        target: &str,
        ids: &[ChangeId],
    ) -> Result<(BTreeSet<(ChangeId, AggregateKey)>, Links), StoreError> {
        let (mut depends, mut links) = (BTreeSet::new(), Links::default());
        for row in self.fetch_alone(operation, ReadReferences { target, ids }).await?.rows {
            let mut reader = RowReader::new(operation, row);
            let (id, key) = (reader.change_id()?, reader.aggregate_key()?);
            links.0.insert(key.clone(), linked(&mut reader)?);
            depends.insert((id, key));
        }
        self.read_survivors(operation, target, &mut links).await?;
        Ok((depends, links))
    }

    /// Reads what the aggregates of these links were merged into, a statement for each step of the longest chain.
    async fn read_survivors(&self, operation: &str, target: &str, links: &mut Links) -> Result<(), StoreError> {
        loop {
            let unread = links.unread();
            if unread.is_empty() {
                return Ok(());
            }
            let batch = Json::of(&Vec::from_iter(&unread));
            let rows = self.fetch_alone(operation, LinksOfKeys { target, batch }).await?.rows;
            links.0.extend(unread.into_iter().map(|key| (key, None)));
            links.put(rows, operation)?;
        }
    }

    /// Gives each reference of a change the target's id, whether it is routed or not. For dry runs.
    pub(super) async fn show_references(&self, target: &str, change: &mut Change) -> Result<(), StoreError> {
        let keys: Vec<_> = change.references.iter().chain(&change.survivor).map(Reference::key).collect();
        if keys.is_empty() {
            return Ok(());
        }
        let operation = format!("read links at target `{target}`");
        let mut links = Links::default();
        let rows = self.fetch_alone(&operation, LinksOfKeys { target, batch: Json::of(&keys) }).await?.rows;
        links.put(rows, &operation)?;
        self.read_survivors(&operation, target, &mut links).await?;
        for reference in &mut change.references {
            reference.remote_id = match links.record_of(&reference.key()) {
                Record::Of(_, remote_id) => Some(remote_id),
                Record::Deleted | Record::Lacking => None,
            };
        }
        if let Some(survivor) = &mut change.survivor
            && let Record::Of(key, remote_id) = links.record_of(&survivor.key())
        {
            (survivor.aggregate_id, survivor.remote_id) = (key.aggregate_id, Some(remote_id));
        }
        Ok(())
    }
}

impl StoreTransaction {
    /// The settlements as they may be written: a confirmed merge that would close a circle with one that was settled
    /// while it was in flight is delivered later instead, and then judged anew. Without merges it runs no statement.
    pub(super) async fn without_circles(
        &mut self,
        target: &str,
        settlements: &[Settlement],
    ) -> Result<Option<Vec<Settlement>>, StoreError> {
        if settlements.iter().all(|one| one.merged_into.is_none()) {
            return Ok(None);
        }
        self.run(LockMerges { target }).await?;
        let mut links = Links::default();
        let mut written = settlements.to_vec();
        for settlement in &written {
            if let Some(id) = &settlement.merged_into {
                links.merge(&settlement.key, id);
            }
        }
        let merged: BTreeSet<_> = links.0.keys().cloned().collect();
        self.read_chains(target, &mut links).await?;
        for settlement in written.iter().filter(|one| one.receipt.is_some() && one.merged_into.is_none()) {
            links.undo_merge(&settlement.key);
        }
        for settlement in written.iter_mut().filter(|one| merged.contains(&one.key)) {
            let chain = links.chain(&settlement.key);
            let closes = chain.last().and_then(|last| links.survivor(last)).is_some();
            if closes {
                links.undo_merge(&settlement.key);
                postpone(settlement);
            }
        }
        Ok(Some(written))
    }

    pub(super) async fn read_chains(&mut self, target: &str, links: &mut Links) -> Result<(), StoreError> {
        loop {
            let unread = links.unread();
            if unread.is_empty() {
                return Ok(());
            }
            let rows = self.fetch(LinksOfKeys { target, batch: Json::of(&Vec::from_iter(&unread)) }).await?.rows;
            links.0.extend(unread.into_iter().map(|key| (key, None)));
            links.put(rows, &self.operation)?;
        }
    }
}

pub(super) fn refers(change: &Change) -> bool {
    !change.references.is_empty() || change.operation == Operation::Merge
}

/// # Panics
/// Never: a leased delivery may be deferred.
fn postpone(settlement: &mut Settlement) {
    settlement.status = next_status(Status::Processing, Event::Defer).expect("invariant: a leased delivery may wait");
    settlement.pause_ms = CIRCLE_PAUSE_MS;
    let message = "merged in a circle with another merge that was delivered at the same time";
    settlement.failure = Some(Failure::new(FailureKind::Delayed, message));
    (settlement.receipt, settlement.merged_into, settlement.is_moved) = (None, None, false);
}

fn refusal(change: &Change, message: &str) -> Refused {
    let message = format!("outbox row {}: {message}", change.change_id);
    Refused {
        change_id: change.change_id,
        key: change.key.clone(),
        failure: Failure::new(FailureKind::Invalid, message),
    }
}

fn named(key: &AggregateKey) -> String {
    format!("{} {}", key.aggregate_type, key.aggregate_id)
}

fn circle(change: &Change, chain: &[AggregateKey]) -> Refused {
    let way: Vec<_> = chain.iter().take_while(|key| **key != change.key).map(named).collect();
    let (survivor, own) = (way.first().cloned().unwrap_or_default(), named(&change.key));
    let message = format!(
        "{own} cannot be merged into {survivor}: the target has merged {} into {own}; fix: undo that merge by an \
         update of {}, then write this one again",
        way.join(" into "),
        way.last().cloned().unwrap_or_default()
    );
    refusal(change, &message)
}

fn deleted(change: &Change, survivor: &AggregateKey) -> Refused {
    let (own, survivor) = (named(&change.key), named(survivor));
    let message = format!(
        "{own} cannot be merged into {survivor}: that was deleted at the target; fix: merge it into another, or undo \
         the merge by an update of {own}"
    );
    refusal(change, &message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(id: &str) -> AggregateKey {
        AggregateKey::patient(id)
    }

    /// A record's id, and what it was merged into.
    type Given<'a> = (&'a str, Option<&'a str>);

    fn links(of: &[(&str, Option<Given<'_>>)]) -> Links {
        let linked = |(remote_id, merged_into): Given<'_>| Linked {
            remote_id: remote_id.to_owned(),
            merged_into: merged_into.map(str::to_owned),
        };
        Links(of.iter().map(|(id, link)| (key(id), link.map(linked))).collect())
    }

    #[test]
    fn the_record_of_the_last_survivor_stands_for_all_that_were_merged_into_it() {
        let links = links(&[
            ("a", Some(("1", Some("b")))),
            ("b", Some(("", Some("c")))),
            ("c", Some(("3", None))),
            ("gone", Some(("", None))),
            ("into-gone", Some(("5", Some("gone")))),
            ("absent", None),
            ("into-absent", Some(("6", Some("absent")))),
            ("x", Some(("7", Some("y")))),
            ("y", Some(("8", Some("x")))),
        ]);
        let of = |id: &str| Record::Of(key("c"), id.to_owned());
        let cases = [
            ("a", of("3")),
            ("b", of("3")),
            ("c", of("3")),
            ("gone", Record::Deleted),
            ("into-gone", Record::Deleted),
            ("absent", Record::Lacking),
            ("into-absent", Record::Lacking),
            ("unread", Record::Lacking),
            ("x", Record::Lacking),
        ];
        for (id, expected) in cases {
            assert_eq!(links.record_of(&key(id)), expected, "{id}");
        }
        assert_eq!(links.chain(&key("a")), [key("a"), key("b"), key("c")]);
        assert_eq!(links.chain(&key("x")), [key("x"), key("y")]);
    }

    #[test]
    fn survivors_are_read_until_none_is_merged_on() {
        let mut links = links(&[("a", Some(("1", Some("b"))))]);
        assert_eq!(Vec::from_iter(links.unread()), [key("b")]);
        links.merge(&key("b"), "c");
        assert_eq!(Vec::from_iter(links.unread()), [key("c")]);
        links.undo_merge(&key("b"));
        assert!(links.unread().is_empty());
    }
}
