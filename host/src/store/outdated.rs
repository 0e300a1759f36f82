//! Which settled changes went out with the id of a record that is no longer the one: what they refer to was merged, or
//! became another record, while they were in flight. They are sent again.
//!
//! Whoever moves a record (a merge, its undoing, a relink) sends what refers to it again, and a settlement sends again
//! what of its own went out with an older id; both in their own transaction. Next to each other they would not see each
//! other. So a move holds a lock alone, settlements of what refers to something hold it together, and whichever gets it
//! later sees what the other has committed: a host that dies after its commit leaves nothing behind. The lock comes
//! before any row that the other may need.

use std::collections::{BTreeMap, BTreeSet};

use super::resolve::{Links, Record, refers};
use super::sql::{Json, LinksOfKeys, LockMoves, ShareMoves};
use super::{Store, StoreError, StoreTransaction};
use crate::domain::change::{Change, Reference};
use crate::domain::delivery::Settlement;
use crate::domain::ids::{AggregateKey, ChangeId};

impl Store {
    /// As [`StoreTransaction::outdated_among`], after the commit, of everything but merges.
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

/// Whether another record than the one whose id was sent stands for the aggregate now, or none: its link was forgotten,
/// and the change waits until it has a new one.
fn is_outdated(links: &Links, sent: &Reference) -> bool {
    match links.record_of(&sent.key()) {
        Record::Of(_, remote_id) => sent.remote_id.as_ref() != Some(&remote_id),
        Record::Lacking => true,
        Record::Deleted => false,
    }
}

/// Whether this settlement moves a record.
fn moves(settlement: &Settlement) -> bool {
    settlement.is_moved || settlement.merged_into.is_some()
}

/// Whether it confirms something that went out with the id of another record.
fn went_out_with_ids(settlement: &Settlement) -> bool {
    settlement.receipt.is_some() && !settlement.sent.is_empty()
}

impl StoreTransaction {
    /// Keeps this settlement and moves of records from missing each other. Without references it runs no statement.
    pub(super) async fn meet_moves(&mut self, settlements: &[Settlement]) -> Result<(), StoreError> {
        if settlements.iter().any(moves) {
            return self.lock_moves().await;
        }
        if settlements.iter().any(went_out_with_ids) {
            self.fetch(ShareMoves {}).await?;
        }
        Ok(())
    }

    /// Lets this transaction alone move records until it ends. Call it before anything is locked or written.
    pub(super) async fn lock_moves(&mut self) -> Result<(), StoreError> {
        self.fetch(LockMoves {}).await.map(drop)
    }

    /// Which of these settled changes went out with an id that no longer stands for what they refer to. Without
    /// references it runs no statement.
    pub(super) async fn outdated_among(
        &mut self,
        target: &str,
        settlements: &[Settlement],
    ) -> Result<BTreeMap<ChangeId, AggregateKey>, StoreError> {
        let confirmed: Vec<_> = settlements.iter().filter(|one| went_out_with_ids(one)).collect();
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
