//! Which of the due deliveries are delivered and which are moot: the rule "newest state wins", pure.

use std::collections::HashSet;

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
    /// Whether the aggregate has older deliveries, in whatever status.
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

#[cfg(test)]
mod tests {
    use super::*;

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
