//! What waiting deliveries lack, by the rule by which `resolve.rs` and `circles.rs` let them wait. `waiting.rs` names
//! it, and `dependencies.rs` wakes what lacks nothing.
//!
//! A dependency is lacking without a link, but not only then: it may have been deleted at the target while a newer
//! change of it is on its way, or a merge would close a circle which a change on its way may undo. It only reads.

use std::collections::{BTreeMap, BTreeSet};

use super::dependencies::CHUNK;
use super::resolve::{Links, Record};
use super::{Store, StoreError, StoreTransaction};
use crate::domain::ids::{AggregateKey, ChangeId};

/// One dependency that a delivery lacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Lack {
    /// What has to come to the target, or to change there.
    pub(super) key: AggregateKey,
    /// Whether the target had it, and it was deleted there.
    pub(super) was_deleted: bool,
}

/// What a delivery of `own` lacks of a dependency. `open` has what is on its way of all that the links lead to.
fn lack(own: &AggregateKey, key: &AggregateKey, links: &Links, open: &BTreeSet<AggregateKey>) -> Option<Lack> {
    let mut chain = links.chain(key);
    match links.record_of(key) {
        Record::Lacking => chain.pop().map(|key| Lack { key, was_deleted: false }),
        Record::Deleted => {
            chain.into_iter().rev().find(|one| open.contains(one)).map(|key| Lack { key, was_deleted: true })
        }
        Record::Of(..) if chain.contains(own) => {
            let other = chain.into_iter().find(|one| one != own && open.contains(one));
            other.map(|key| Lack { key, was_deleted: false })
        }
        Record::Of(..) => None,
    }
}

impl Store {
    /// Those of these deliveries that lack nothing. Without a statement where there are none.
    pub(super) async fn lacking_nothing(
        &self,
        target: &str,
        deliveries: &BTreeMap<ChangeId, AggregateKey>,
    ) -> Result<Vec<ChangeId>, StoreError> {
        if deliveries.is_empty() {
            return Ok(Vec::new());
        }
        let mut transaction = self.begin_read(&format!("look what deliveries of target `{target}` lack")).await?;
        let lacks = transaction.lacks(target, deliveries).await?;
        transaction.rollback().await?;
        Ok(deliveries.keys().filter(|id| !lacks.contains_key(id)).copied().collect())
    }
}

impl StoreTransaction {
    /// What each of these deliveries lacks; those that lack nothing are left out.
    pub(super) async fn lacks(
        &mut self,
        target: &str,
        deliveries: &BTreeMap<ChangeId, AggregateKey>,
    ) -> Result<BTreeMap<ChangeId, Vec<Lack>>, StoreError> {
        let mut lacks = BTreeMap::<_, Vec<_>>::new();
        let ids: Vec<_> = deliveries.keys().copied().collect();
        for ids in ids.chunks(usize::try_from(CHUNK).unwrap_or(usize::MAX)) {
            let (depends, links) = self.links_of_dependencies(target, ids).await?;
            let depends = depends.iter().filter_map(|(id, key)| Some((*id, deliveries.get(id)?, key)));
            let depends: Vec<_> = depends.collect();
            let may_change = |(_, own, key): &&(ChangeId, &AggregateKey, &AggregateKey)| match links.record_of(key) {
                Record::Lacking => false,
                Record::Deleted => true,
                Record::Of(..) => links.chain(key).contains(own),
            };
            let chains = depends.iter().filter(may_change).flat_map(|(_, _, key)| links.chain(key));
            let open = self.open_among(target, &chains.collect()).await?;
            for (id, own, key) in depends {
                if let Some(lack) = lack(own, key, &links, &open) {
                    lacks.entry(id).or_default().push(lack);
                }
            }
        }
        Ok(lacks)
    }
}
