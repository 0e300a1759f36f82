//! Which of the due deliveries are delivered and which are moot: the rule "newest state wins", pure.

use std::collections::{HashMap, HashSet};

use serde::Serialize;

/// A due delivery with what is known of its siblings at the same target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Candidate {
    pub(super) outbox_id: i64,
    pub(super) aggregate_type: String,
    pub(super) aggregate_id: String,
    /// The newest delivery of the aggregate, in whatever status.
    pub(super) newest_id: i64,
    /// The newest change of the aggregate that the target confirmed.
    pub(super) delivered_id: Option<i64>,
    /// Whether the aggregate has older deliveries behind the confirmed one, in whatever status. Those before it are finished.
    pub(super) has_older: bool,
}

/// What becomes of the candidates.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Sorted {
    pub(super) deliver: Vec<i64>,
    /// Aggregates with the id below which every pending delivery is moot.
    pub(super) retire: Vec<Retire>,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Retire {
    pub(super) aggregate_type: String,
    pub(super) aggregate_id: String,
    pub(super) before_id: i64,
}

/// Newest state wins: of an aggregate only its newest change is delivered, and none that is older than what the target
/// has confirmed. A fifo aggregate delivers what it is given: the query has already picked the head.
pub(super) fn sort_out(candidates: Vec<Candidate>, is_fifo: impl Fn(&str) -> bool) -> Sorted {
    let mut sorted = Sorted::default();
    let mut seen = HashSet::new();
    for candidate in candidates {
        let key = (candidate.aggregate_type.clone(), candidate.aggregate_id.clone());
        if is_fifo(&candidate.aggregate_type) {
            if seen.insert(key) {
                sorted.deliver.push(candidate.outbox_id);
            }
            continue;
        }
        let confirmed = candidate.delivered_id.is_some_and(|delivered| delivered > candidate.outbox_id);
        let is_moot = candidate.newest_id > candidate.outbox_id || confirmed;
        if !is_moot {
            sorted.deliver.push(candidate.outbox_id);
        }
        if (is_moot || candidate.has_older) && seen.insert(key) {
            let before_id = candidate.newest_id.max(candidate.delivered_id.unwrap_or(0));
            sorted.retire.push(Retire {
                aggregate_type: candidate.aggregate_type,
                aggregate_id: candidate.aggregate_id,
                before_id,
            });
        }
    }
    sorted
}

/// A change that has no delivery at the target yet, with what is known of its siblings there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fresh {
    pub(super) outbox_id: i64,
    pub(super) aggregate_type: String,
    pub(super) aggregate_id: String,
    /// The newest delivery of the aggregate, in whatever status.
    pub(super) newest_id: Option<i64>,
    /// The newest change of the aggregate that the target confirmed.
    pub(super) delivered_id: Option<i64>,
    /// Whether the aggregate is in work.
    pub(super) is_in_work: bool,
}

/// What may go to the target at once: a change that is the only one of its aggregate, newer than what was confirmed, with
/// nothing else of the aggregate open. Then it is the newest as well as the head, whatever the order of its type is.
pub(super) fn alone(fresh: &[Fresh]) -> Vec<i64> {
    let mut times = HashMap::<(&str, &str), usize>::new();
    for one in fresh {
        *times.entry((&one.aggregate_type, &one.aggregate_id)).or_default() += 1;
    }
    fresh
        .iter()
        .filter(|one| {
            let delivered_id = one.delivered_id.unwrap_or(i64::MIN);
            !one.is_in_work
                && times[&(one.aggregate_type.as_str(), one.aggregate_id.as_str())] == 1
                && one.outbox_id > delivered_id
                && one.newest_id.is_none_or(|newest| newest <= delivered_id)
        })
        .map(|one| one.outbox_id)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fresh(outbox_id: i64, aggregate_id: &str) -> Fresh {
        Fresh {
            outbox_id,
            aggregate_type: "patient".into(),
            aggregate_id: aggregate_id.into(),
            newest_id: None,
            delivered_id: None,
            is_in_work: false,
        }
    }

    #[test]
    fn only_what_is_alone_of_its_aggregate_goes_straight_to_the_target() {
        let confirmed = |newest_id, delivered_id| Fresh { newest_id, delivered_id, ..fresh(7, "P") };
        let cases = [
            ("new", vec![fresh(7, "P")], vec![7]),
            ("two of different ones", vec![fresh(7, "P"), fresh(8, "Q")], vec![7, 8]),
            ("two of the same", vec![fresh(7, "P"), fresh(8, "P"), fresh(9, "Q")], vec![9]),
            ("all before is confirmed", vec![confirmed(Some(5), Some(5))], vec![7]),
            ("one before is open", vec![confirmed(Some(6), Some(5))], vec![]),
            ("none before is confirmed", vec![confirmed(Some(6), None)], vec![]),
            ("a newer one is confirmed", vec![confirmed(Some(9), Some(9))], vec![]),
            ("confirmed, and its deliveries are purged", vec![confirmed(None, Some(5))], vec![7]),
            ("in work", vec![Fresh { is_in_work: true, ..fresh(7, "P") }], vec![]),
            ("a blank at the end", vec![fresh(7, "P"), fresh(8, "P ")], vec![7, 8]),
            ("small and large", vec![fresh(7, "P"), fresh(8, "p")], vec![7, 8]),
            ("one sign or two", vec![fresh(7, "\u{c9}"), fresh(8, "E\u{301}")], vec![7, 8]),
        ];
        for (what, fresh, expected) in cases {
            assert_eq!(alone(&fresh), expected, "{what}");
        }
    }

    fn candidate(outbox_id: i64, newest_id: i64, delivered_id: Option<i64>) -> Candidate {
        Candidate {
            outbox_id,
            aggregate_type: "patient".into(),
            aggregate_id: "P".into(),
            newest_id,
            delivered_id,
            has_older: false,
        }
    }

    fn retire(before_id: i64) -> Vec<Retire> {
        vec![Retire { aggregate_type: "patient".into(), aggregate_id: "P".into(), before_id }]
    }

    #[test]
    fn the_newest_change_is_delivered_and_older_ones_are_moot() {
        let sorted = sort_out(vec![candidate(1, 3, None), candidate(2, 3, None), candidate(3, 3, None)], |_| false);
        assert_eq!(sorted, Sorted { deliver: vec![3], retire: retire(3) });
    }

    #[test]
    fn nothing_older_than_the_confirmed_state_is_delivered() {
        let sorted = sort_out(vec![candidate(4, 4, Some(9))], |_| false);
        assert_eq!(sorted, Sorted { deliver: vec![], retire: retire(9) });
    }

    #[test]
    fn a_change_that_only_waits_for_a_newer_one_is_moot_too() {
        // The newer one is not among the candidates: it backs off after a failure.
        let sorted = sort_out(vec![candidate(1, 2, None)], |_| false);
        assert_eq!(sorted, Sorted { deliver: vec![], retire: retire(2) });
    }

    #[test]
    fn fifo_delivers_one_per_aggregate_and_retires_nothing() {
        let sorted = sort_out(vec![candidate(1, 3, None), candidate(2, 3, None)], |_| true);
        assert_eq!(sorted, Sorted { deliver: vec![1], retire: vec![] });
    }
}
