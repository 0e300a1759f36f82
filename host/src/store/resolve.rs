//! Which record at a target stands for an aggregate that a change refers to.
//!
//! That is the aggregate's own record, unless the target has confirmed a merge of it (`sync_link.merged_into`): then it
//! is the survivor's, who may be merged on. A survivor that leads back to the merged aggregate closes a circle, in
//! which no record stands for anything: see `circles.rs`. `dependencies.rs` decides who waits; this file only reads.
//! Read next: `batch.rs`, which calls it.

use std::collections::{BTreeMap, BTreeSet};

use super::readable::Refused;
use super::sql::{Json, LinksOfKeys, ReadReferences};
use super::{Lease, RowReader, Store, StoreError, StoreTransaction};
use crate::database::Value;
use crate::domain::change::{Change, Operation, Reference};
use crate::domain::delivery::Delivery;
use crate::domain::ids::{AggregateKey, ChangeId};

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

/// What changes depend on, each with its change.
pub(super) type Depends = BTreeSet<(ChangeId, AggregateKey)>;

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

pub(super) fn of_same_type(key: &AggregateKey, aggregate_id: &str) -> AggregateKey {
    AggregateKey { aggregate_type: key.aggregate_type.clone(), aggregate_id: aggregate_id.to_owned() }
}

impl Links {
    pub(super) fn survivor(&self, key: &AggregateKey) -> Option<AggregateKey> {
        let linked = self.0.get(key)?.as_ref()?;
        linked.merged_into.as_deref().map(|id| of_same_type(key, id))
    }

    /// The survivors that were not read yet.
    fn unread(&self) -> BTreeSet<AggregateKey> {
        self.0.keys().filter_map(|key| self.survivor(key)).filter(|key| !self.0.contains_key(key)).collect()
    }

    /// The aggregate and those that it was merged into, one after the other, each once.
    pub(super) fn chain(&self, start: &AggregateKey) -> Vec<AggregateKey> {
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

    pub(super) fn merge(&mut self, key: &AggregateKey, survivor_id: &str) {
        let linked = Linked { remote_id: String::new(), merged_into: Some(survivor_id.to_owned()) };
        self.0.insert(key.clone(), Some(linked));
    }

    pub(super) fn undo_merge(&mut self, key: &AggregateKey) {
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

    /// The aggregates of these links.
    pub(super) fn keys(&self) -> impl Iterator<Item = &AggregateKey> {
        self.0.keys()
    }

    /// Reads rows of `read_references`. Returns what each change depends on.
    fn put_references(&mut self, rows: Vec<Vec<Value>>, operation: &str) -> Result<Depends, StoreError> {
        let mut depends = Depends::new();
        for row in rows {
            let mut reader = RowReader::new(operation, row);
            let (id, key) = (reader.change_id()?, reader.aggregate_key()?);
            self.0.insert(key.clone(), linked(&mut reader)?);
            depends.insert((id, key));
        }
        Ok(depends)
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
        lease: &Lease,
        deliveries: &mut [Delivery],
    ) -> Result<Unresolved, StoreError> {
        let target = lease.target.as_str();
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
            self.resolve_survivors(operation, lease, deliveries, &links, &mut unresolved).await?;
        }
        Ok(unresolved)
    }

    /// What these changes depend on, and the links of all of it.
    pub(super) async fn links_of_dependencies(
        &self,
        operation: &str,
        target: &str,
        ids: &[ChangeId],
    ) -> Result<(Depends, Links), StoreError> {
        let mut links = Links::default();
        let rows = self.fetch_alone(operation, ReadReferences { target, ids }).await?.rows;
        let depends = links.put_references(rows, operation)?;
        self.read_survivors(operation, target, &mut links).await?;
        Ok((depends, links))
    }

    /// The links of these aggregates, and of all that they were merged into.
    pub(super) async fn links_of(
        &self,
        operation: &str,
        target: &str,
        keys: &BTreeSet<AggregateKey>,
    ) -> Result<Links, StoreError> {
        let mut links = Links::default();
        let batch = Json::of(&Vec::from_iter(keys));
        links.put(self.fetch_alone(operation, LinksOfKeys { target, batch }).await?.rows, operation)?;
        self.read_survivors(operation, target, &mut links).await?;
        Ok(links)
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
        let keys: BTreeSet<_> = change.references.iter().chain(&change.survivor).map(Reference::key).collect();
        if keys.is_empty() {
            return Ok(());
        }
        let operation = format!("read links at target `{target}`");
        let links = self.links_of(&operation, target, &keys).await?;
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
    /// What these changes depend on, and the links of all of it.
    pub(super) async fn links_of_dependencies(
        &mut self,
        target: &str,
        ids: &[ChangeId],
    ) -> Result<(Depends, Links), StoreError> {
        let mut links = Links::default();
        let rows = self.fetch(ReadReferences { target, ids }).await?.rows;
        let depends = links.put_references(rows, &self.operation)?;
        self.read_chains(target, &mut links).await?;
        Ok((depends, links))
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
