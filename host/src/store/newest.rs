//! The rule "newest state wins": which due deliveries are delivered, and which are superseded. Pure functions.

use std::collections::{HashMap, HashSet};

use serde::Serialize;

use crate::domain::ids::{AggregateKey, ChangeId};

/// A due delivery, with the other deliveries of its aggregate to the same target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Candidate {
    pub(super) change_id: ChangeId,
    pub(super) key: AggregateKey,
    /// The newest delivery of the aggregate, in whatever status.
    pub(super) newest_id: ChangeId,
    /// The newest change of the aggregate that the target confirmed.
    pub(super) delivered_id: Option<ChangeId>,
    /// Whether the aggregate has older deliveries after the confirmed one, in whatever status. Those before it are
    /// finished.
    pub(super) has_older: bool,
}

/// What a claim does with its candidates.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Selection {
    pub(super) deliver: Vec<ChangeId>,
    /// Aggregates, each with the id below which every pending or failed delivery is superseded.
    pub(super) supersede: Vec<Supersede>,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Supersede {
    #[serde(flatten)]
    pub(super) key: AggregateKey,
    pub(super) before_id: ChangeId,
}

/// Selects the newest change of each aggregate, unless the target has confirmed a newer one. Of a fifo aggregate it
/// selects the candidate as it is, because the query has already picked the head.
pub(super) fn select_newest(candidates: Vec<Candidate>, is_fifo: impl Fn(&str) -> bool) -> Selection {
    let mut selection = Selection::default();
    let mut seen = HashSet::new();
    for candidate in candidates {
        if is_fifo(&candidate.key.aggregate_type) {
            if seen.insert(candidate.key) {
                selection.deliver.push(candidate.change_id);
            }
            continue;
        }
        let confirmed = candidate.delivered_id.is_some_and(|delivered| delivered > candidate.change_id);
        let is_superseded = candidate.newest_id > candidate.change_id || confirmed;
        if !is_superseded {
            selection.deliver.push(candidate.change_id);
        }
        if (is_superseded || candidate.has_older) && seen.insert(candidate.key.clone()) {
            let before_id = candidate.delivered_id.map_or(candidate.newest_id, |id| id.max(candidate.newest_id));
            selection.supersede.push(Supersede { key: candidate.key, before_id });
        }
    }
    selection
}

/// A change without a delivery to the target, with the deliveries of its aggregate there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct DirectCandidate {
    pub(super) change_id: ChangeId,
    pub(super) key: AggregateKey,
    /// The newest delivery of the aggregate, in whatever status.
    pub(super) newest_id: Option<ChangeId>,
    /// The newest change of the aggregate that the target confirmed.
    pub(super) delivered_id: Option<ChangeId>,
    /// Whether the aggregate is in flight at the target.
    pub(super) is_in_flight: bool,
}

/// Selects the changes that may be dispatched directly. Such a change is the only new one of its aggregate, it is newer
/// than what the target confirmed, and no other delivery of the aggregate is open. So it is the newest and the head at
/// once.
pub(super) fn eligible_for_direct(candidates: &[DirectCandidate]) -> Vec<ChangeId> {
    let mut times = HashMap::<&AggregateKey, usize>::new();
    for one in candidates {
        *times.entry(&one.key).or_default() += 1;
    }
    candidates
        .iter()
        .filter(|one| {
            // An `Option` orders `None`, nothing confirmed, before every id.
            !one.is_in_flight
                && times[&one.key] == 1
                && Some(one.change_id) > one.delivered_id
                && one.newest_id <= one.delivered_id
        })
        .map(|one| one.change_id)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(ids: &[i64]) -> Vec<ChangeId> {
        ids.iter().copied().map(ChangeId::new).collect()
    }

    fn direct_candidate(change_id: i64, patient_id: &str) -> DirectCandidate {
        DirectCandidate {
            change_id: ChangeId::new(change_id),
            key: AggregateKey::patient(patient_id),
            newest_id: None,
            delivered_id: None,
            is_in_flight: false,
        }
    }

    #[test]
    fn only_the_sole_open_change_of_an_aggregate_is_dispatched_directly() {
        let confirmed = |newest: Option<i64>, delivered: Option<i64>| DirectCandidate {
            newest_id: newest.map(ChangeId::new),
            delivered_id: delivered.map(ChangeId::new),
            ..direct_candidate(7, "P")
        };
        let cases = [
            ("new", vec![direct_candidate(7, "P")], vec![7]),
            ("two of different ones", vec![direct_candidate(7, "P"), direct_candidate(8, "Q")], vec![7, 8]),
            (
                "two of the same",
                vec![direct_candidate(7, "P"), direct_candidate(8, "P"), direct_candidate(9, "Q")],
                vec![9],
            ),
            ("all before is confirmed", vec![confirmed(Some(5), Some(5))], vec![7]),
            ("one before is open", vec![confirmed(Some(6), Some(5))], vec![]),
            ("none before is confirmed", vec![confirmed(Some(6), None)], vec![]),
            ("a newer one is confirmed", vec![confirmed(Some(9), Some(9))], vec![]),
            ("confirmed, and its deliveries are purged", vec![confirmed(None, Some(5))], vec![7]),
            ("in flight", vec![DirectCandidate { is_in_flight: true, ..direct_candidate(7, "P") }], vec![]),
            ("a blank at the end", vec![direct_candidate(7, "P"), direct_candidate(8, "P ")], vec![7, 8]),
            ("small and large", vec![direct_candidate(7, "P"), direct_candidate(8, "p")], vec![7, 8]),
            ("one sign or two", vec![direct_candidate(7, "\u{c9}"), direct_candidate(8, "E\u{301}")], vec![7, 8]),
        ];
        for (case, candidates, expected) in cases {
            assert_eq!(eligible_for_direct(&candidates), ids(&expected), "{case}");
        }
    }

    fn candidate(change_id: i64, newest_id: i64, delivered_id: Option<i64>) -> Candidate {
        Candidate {
            change_id: ChangeId::new(change_id),
            key: AggregateKey::patient("P"),
            newest_id: ChangeId::new(newest_id),
            delivered_id: delivered_id.map(ChangeId::new),
            has_older: false,
        }
    }

    fn supersede(before_id: i64) -> Vec<Supersede> {
        vec![Supersede { key: AggregateKey::patient("P"), before_id: ChangeId::new(before_id) }]
    }

    #[test]
    fn the_newest_change_is_delivered_and_older_ones_are_superseded() {
        let selection =
            select_newest(vec![candidate(1, 3, None), candidate(2, 3, None), candidate(3, 3, None)], |_| false);
        assert_eq!(selection, Selection { deliver: ids(&[3]), supersede: supersede(3) });
    }

    #[test]
    fn nothing_older_than_the_confirmed_state_is_delivered() {
        let selection = select_newest(vec![candidate(4, 4, Some(9))], |_| false);
        assert_eq!(selection, Selection { deliver: vec![], supersede: supersede(9) });
    }

    #[test]
    fn a_change_behind_a_newer_one_that_backs_off_is_superseded() {
        // The newer one is not among the candidates: it backs off after a failure.
        let selection = select_newest(vec![candidate(1, 2, None)], |_| false);
        assert_eq!(selection, Selection { deliver: vec![], supersede: supersede(2) });
    }

    #[test]
    fn fifo_delivers_one_per_aggregate_and_supersedes_nothing() {
        let selection = select_newest(vec![candidate(1, 3, None), candidate(2, 3, None)], |_| true);
        assert_eq!(selection, Selection { deliver: ids(&[1]), supersede: vec![] });
    }
}
