//! Lists the deliveries that wait for a dependency, and the state of that dependency. It only reads: `dependencies.rs`
//! decides which deliveries wait, `lacking.rs` for what.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::lacking::Lack;
use super::sql::{CountWaiting, Json, ListWaiting, NewestOfKeys};
use super::{RowReader, Store, StoreError, StoreTransaction};
use crate::domain::delivery::Status;
use crate::domain::ids::{AggregateKey, ChangeId};
use crate::domain::words::one_line;

/// The maximum length of a followed chain of waiting deliveries.
const CHAIN_MAX: usize = 16;

/// A delivery that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WaitingDelivery {
    pub change_id: ChangeId,
    pub key: AggregateKey,
    /// How long it has been queued, in milliseconds.
    pub age_ms: i64,
    /// The dependencies that its target does not have yet.
    pub lacks: Vec<Lacking>,
}

/// A dependency that the target does not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lacking {
    pub key: AggregateKey,
    pub reason: LackingReason,
    /// Whether the target had it and it was deleted there, so that the delivery waits for it to be made again.
    pub was_deleted: bool,
}

/// Why a target does not have an aggregate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LackingReason {
    /// It has no delivery.
    NotWritten,
    /// Its newest delivery has this status.
    Delivery(Status),
    /// Its newest delivery waits for a dependency itself.
    Waits,
    /// It waits for itself, through this cycle of aggregates.
    Circle(Vec<AggregateKey>),
}

impl fmt::Display for Lacking {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let why = match &self.reason {
            LackingReason::NotWritten => "not written yet".to_owned(),
            LackingReason::Delivery(Status::Pending | Status::Processing) => "not delivered yet".to_owned(),
            LackingReason::Delivery(Status::Failed) => "failed: see `host failed list`".to_owned(),
            LackingReason::Delivery(Status::Skipped) => "skipped by the target".to_owned(),
            LackingReason::Delivery(Status::Dismissed) => "dismissed: see `host failed list --dismissed`".to_owned(),
            LackingReason::Delivery(Status::Done | Status::Superseded) => "without an id at the target".to_owned(),
            LackingReason::Waits => "waits too".to_owned(),
            LackingReason::Circle(keys) => {
                let way: Vec<_> = keys.iter().skip(1).chain(keys.first()).map(name).collect();
                format!("in a circle: it waits for {}", way.join(", which waits for "))
            }
        };
        let again = if self.was_deleted { "deleted at the target and written again: " } else { "" };
        write!(formatter, "{} ({again}{why})", name(&self.key))
    }
}

fn name(key: &AggregateKey) -> String {
    one_line(&format!("{} {}", key.aggregate_type, key.aggregate_id), usize::MAX)
}

/// The state of an aggregate at a target.
struct Known {
    status: Status,
    /// The dependencies that its newest delivery waits for.
    lacks: Option<Vec<AggregateKey>>,
}

impl Store {
    /// The deliveries of a target that wait, oldest change first and behind `after`; at most `limit`.
    ///
    /// # Errors
    /// When the store cannot be reached.
    pub async fn waiting(
        &self,
        target: &str,
        after: Option<ChangeId>,
        limit: u32,
    ) -> Result<Vec<WaitingDelivery>, StoreError> {
        let mut transaction = self.begin_read(&format!("read what waits at target `{target}`")).await?;
        let listed = transaction.list_waiting(target, after, limit).await?;
        let keys = listed.iter().map(|one| (one.change_id, one.key.clone())).collect();
        let mut lacks = transaction.named_lacks(target, &keys).await?;
        transaction.rollback().await?;
        // One that lacks nothing any more is about to be woken.
        let with_lacks =
            |delivery: WaitingDelivery| Some(WaitingDelivery { lacks: lacks.remove(&delivery.change_id)?, ..delivery });
        Ok(listed.into_iter().filter_map(with_lacks).collect())
    }
}

/// Why a target does not have this aggregate. A change that is dispatched directly is in `open` only.
fn reason(key: &AggregateKey, known: &BTreeMap<AggregateKey, Known>, open: &BTreeSet<AggregateKey>) -> LackingReason {
    match known.get(key) {
        Some(Known { lacks: Some(_), .. }) => circle(key, known).map_or(LackingReason::Waits, LackingReason::Circle),
        Some(Known { status: Status::Pending, .. }) => LackingReason::Delivery(Status::Pending),
        _ if open.contains(key) => LackingReason::Delivery(Status::Processing),
        Some(Known { status, .. }) => LackingReason::Delivery(*status),
        None => LackingReason::NotWritten,
    }
}

/// The cycle from this aggregate back to itself, if there is one.
fn circle(start: &AggregateKey, known: &BTreeMap<AggregateKey, Known>) -> Option<Vec<AggregateKey>> {
    let mut seen = BTreeSet::from([start]);
    let mut ways = vec![vec![start]];
    while let Some(way) = ways.pop() {
        let end = way.last().and_then(|key| known.get(*key)).and_then(|known| known.lacks.as_ref());
        for next in end.into_iter().flatten() {
            if next == start {
                return Some(way.into_iter().cloned().collect());
            }
            if seen.insert(next) {
                ways.push([&way[..], &[next]].concat());
            }
        }
    }
    None
}

impl StoreTransaction {
    /// The number of deliveries of a target that wait for a dependency.
    pub(super) async fn count_waiting(&mut self, target: &str) -> Result<u64, StoreError> {
        let count = self.number(CountWaiting { target }).await?.unwrap_or_default();
        Ok(u64::try_from(count).unwrap_or_default())
    }

    async fn list_waiting(
        &mut self,
        target: &str,
        after: Option<ChangeId>,
        limit: u32,
    ) -> Result<Vec<WaitingDelivery>, StoreError> {
        let after = after.map_or(i64::MIN, ChangeId::get);
        let rows = self.fetch(ListWaiting { target, after, limit }).await?.rows;
        let read = |row| {
            let mut reader = RowReader::new(&self.operation, row);
            let (change_id, key, age_ms) = (reader.change_id()?, reader.aggregate_key()?, reader.integer()?);
            Ok(WaitingDelivery { change_id, key, age_ms, lacks: Vec::new() })
        };
        rows.into_iter().map(read).collect()
    }

    /// What these deliveries lack, with the reasons; those that lack nothing any more are left out.
    pub(super) async fn named_lacks(
        &mut self,
        target: &str,
        deliveries: &BTreeMap<ChangeId, AggregateKey>,
    ) -> Result<BTreeMap<ChangeId, Vec<Lacking>>, StoreError> {
        let lacks = self.lacks(target, deliveries).await?;
        let lacking: BTreeSet<_> = lacks.values().flatten().map(|lack| lack.key.clone()).collect();
        let known = self.known(target, &lacking).await?;
        let open = self.open_among(target, &lacking).await?;
        let named = |Lack { key, was_deleted }| Lacking { reason: reason(&key, &known, &open), key, was_deleted };
        Ok(lacks.into_iter().map(|(id, lacks)| (id, lacks.into_iter().map(named).collect())).collect())
    }

    /// The state of these aggregates, and of all that they wait for, directly or indirectly.
    async fn known(
        &mut self,
        target: &str,
        lacking: &BTreeSet<AggregateKey>,
    ) -> Result<BTreeMap<AggregateKey, Known>, StoreError> {
        let mut known = BTreeMap::new();
        let mut next = lacking.clone();
        for _ in 0..CHAIN_MAX {
            next.retain(|key| !known.contains_key(key));
            if next.is_empty() {
                break;
            }
            let newest = self.newest_of(target, &next).await?;
            let waiting = newest.iter().filter_map(|(key, _, waiting)| Some(((*waiting)?, key.clone())));
            let mut missing = self.lacks(target, &waiting.collect()).await?;
            next.clear();
            for (key, status, waiting) in newest {
                let lacks = waiting.map(|id| missing.remove(&id).unwrap_or_default());
                let lacks = lacks.map(|lacks| lacks.into_iter().map(|lack| lack.key).collect::<Vec<_>>());
                next.extend(lacks.iter().flatten().cloned());
                known.insert(key, Known { status, lacks });
            }
        }
        Ok(known)
    }

    /// The newest delivery of each aggregate: its status, and its change if it waits for something.
    async fn newest_of(
        &mut self,
        target: &str,
        keys: &BTreeSet<AggregateKey>,
    ) -> Result<Vec<(AggregateKey, Status, Option<ChangeId>)>, StoreError> {
        let batch = Json::of(&Vec::from_iter(keys));
        let rows = self.fetch(NewestOfKeys { target, batch }).await?;
        let operation = self.operation.clone();
        let read = rows.rows.into_iter().map(|row| {
            let mut reader = RowReader::new(&operation, row);
            let (key, change_id, word) = (reader.aggregate_key()?, reader.change_id()?, reader.text()?);
            let status = Status::from_word(&word)
                .ok_or_else(|| super::corrupt(&operation, format!("the status of {change_id}")))?;
            Ok((key, status, (reader.integer()? == 1).then_some(change_id)))
        });
        read.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(id: &str) -> AggregateKey {
        AggregateKey { aggregate_type: "condition".to_owned(), aggregate_id: id.to_owned() }
    }

    fn known(pairs: &[(&str, Status, Option<&[&str]>)]) -> BTreeMap<AggregateKey, Known> {
        let of = |(id, status, lacks): &(&str, Status, Option<&[&str]>)| {
            let lacks = lacks.map(|ids| ids.iter().map(|id| key(id)).collect());
            (key(id), Known { status: *status, lacks })
        };
        pairs.iter().map(of).collect()
    }

    #[test]
    fn each_reason_why_a_dependency_is_missing_is_distinguished() {
        let known = known(&[
            ("failed", Status::Failed, None),
            ("a", Status::Pending, Some(&["b", "failed"])),
            ("b", Status::Pending, Some(&["c"])),
            ("c", Status::Pending, Some(&["failed", "a"])),
            ("outside", Status::Pending, Some(&["a"])),
            ("self", Status::Pending, Some(&["self"])),
            ("deleted", Status::Done, None),
        ]);
        let open = BTreeSet::from([key("direct"), key("deleted")]);
        let cases = [
            ("unknown", LackingReason::NotWritten),
            ("direct", LackingReason::Delivery(Status::Processing)),
            ("deleted", LackingReason::Delivery(Status::Processing)),
            ("failed", LackingReason::Delivery(Status::Failed)),
            ("a", LackingReason::Circle(vec![key("a"), key("b"), key("c")])),
            ("outside", LackingReason::Waits),
            ("self", LackingReason::Circle(vec![key("self")])),
        ];
        for (id, expected) in cases {
            assert_eq!(reason(&key(id), &known, &open), expected, "{id}");
        }
    }
}
