//! Which settled changes went out with the id of a record that is no longer the one: what they refer to was merged, or
//! became another record, while they were in flight.
//!
//! They are sent again. The settlement itself looks, in its transaction, so that a host that dies right after it leaves
//! nothing behind; and whoever has committed looks once more (`dependencies.rs`), since two settlements next to each
//! other do not see each other.

use std::collections::{BTreeMap, BTreeSet};

use super::resolve::{Links, Record, refers};
use super::sql::{Json, LinksOfKeys};
use super::{Store, StoreError, StoreTransaction};
use crate::domain::change::{Change, Reference};
use crate::domain::delivery::Settlement;
use crate::domain::ids::{AggregateKey, ChangeId};

impl Store {
    /// Which of these settled changes went out with an id that another record stands for by now, since what they refer
    /// to was merged or became another record meanwhile. Of merges see [`StoreTransaction::outdated_among`].
    pub(super) async fn outdated(
        &self,
        target: &str,
        changes: &[&Change],
    ) -> Result<BTreeMap<ChangeId, AggregateKey>, StoreError> {
        let operation = format!("read links at target `{target}`");
        let referring: Vec<_> = changes.iter().copied().filter(|change| refers(change)).collect();
        let mut outdated = BTreeMap::new();
        if referring.is_empty() {
            return Ok(outdated);
        }
        let ids: Vec<_> = referring.iter().map(|change| change.change_id).collect();
        let (depends, links) = self.links_of_dependencies(&operation, target, &ids).await?;
        for change in referring {
            let of_dependencies = |reference: &&Reference| depends.contains(&(change.change_id, reference.key()));
            if change.references.iter().filter(of_dependencies).any(|sent| is_outdated(&links, sent)) {
                outdated.insert(change.change_id, change.key.clone());
            }
        }
        Ok(outdated)
    }
}

/// Whether another record than the one whose id was sent stands for the aggregate now.
fn is_outdated(links: &Links, sent: &Reference) -> bool {
    match links.record_of(&sent.key()) {
        Record::Of(_, remote_id) => sent.remote_id.as_ref() != Some(&remote_id),
        Record::Deleted | Record::Lacking => false,
    }
}

impl StoreTransaction {
    /// As [`Store::outdated`], of settlements that were just written, by what their changes went out with. Without
    /// references it runs no statement.
    pub(super) async fn outdated_among(
        &mut self,
        target: &str,
        settlements: &[Settlement],
    ) -> Result<BTreeMap<ChangeId, AggregateKey>, StoreError> {
        let confirmed: Vec<_> = settlements.iter().filter(|one| one.receipt.is_some()).collect();
        let keys: BTreeSet<_> = confirmed.iter().flat_map(|one| &one.sent).map(Reference::key).collect();
        if keys.is_empty() {
            return Ok(BTreeMap::new());
        }
        let mut links = Links::default();
        let rows = self.fetch(LinksOfKeys { target, batch: Json::of(&Vec::from_iter(&keys)) }).await?.rows;
        links.put(rows, &self.operation)?;
        self.read_chains(target, &mut links).await?;
        let outdated = confirmed.into_iter().filter(|one| one.sent.iter().any(|sent| is_outdated(&links, sent)));
        Ok(outdated.map(|one| (one.change_id, one.key.clone())).collect())
    }
}
