//! Decides which parts of a batch are halved, and when that ends. Pure.
//!
//! Splitting goes on only while some part succeeds: an adapter or target that fails every call is not called a thousand
//! times. On the way to the first single change at most log2(n) parts are split, so that every batch judges at least
//! one change by itself. A change is never blamed for a part that holds others.

/// The next step after a part failed as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Each half is tried by itself.
    Halve,
    /// It is a single change, and the failure is its own.
    Settle,
    /// Too many parts failed in a row; the rest is delayed.
    Stop,
    /// Nothing of the batch gets through to the target.
    TargetFailed,
}

/// Counts how often parts were split in a row.
pub(super) struct Splits {
    halvings: usize,
    in_a_row: usize,
    contended_in_a_row: usize,
    anything_worked: bool,
}

impl Splits {
    pub(super) fn new(changes: usize) -> Self {
        let halvings = changes.max(1).ilog2() as usize + 1;
        Self { halvings, in_a_row: 0, contended_in_a_row: 0, anything_worked: false }
    }

    pub(super) fn worked(&mut self) {
        self.in_a_row = 0;
        self.contended_in_a_row = 0;
        self.anything_worked = true;
    }

    pub(super) fn after_failure(&mut self, deliveries: usize) -> Next {
        self.contended_in_a_row = 0;
        if deliveries == 1 {
            return Next::Settle;
        }
        self.in_a_row += 1;
        if self.in_a_row <= 4 * self.halvings { Next::Halve } else { Next::Stop }
    }

    /// One change that is locked is found by as many parts in a row as there are halvings, and its sibling works.
    pub(super) fn after_contention(&mut self, deliveries: usize) -> Next {
        self.contended_in_a_row += 1;
        let much = self.contended_in_a_row > self.halvings + 1;
        match (deliveries, much, self.anything_worked) {
            (_, true, false) => Next::TargetFailed,
            (_, true, true) => Next::Stop,
            (1, false, _) => Next::Settle,
            (_, false, _) => Next::Halve,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    /// What a batch of `size` comes to when a call fails as a whole as soon as it holds one of these changes: calls,
    /// changes that were delivered, changes that were judged by themselves, and how it ended.
    fn split(
        size: usize,
        bad: &[usize],
        next: impl Fn(&mut Splits, usize) -> Next,
    ) -> (usize, usize, usize, Option<Next>) {
        let mut splits = Splits::new(size);
        let (mut calls, mut delivered, mut settled) = (0, 0, 0);
        let mut parts = VecDeque::new();
        parts.push_back(0..size);
        while let Some(part) = parts.pop_front() {
            calls += 1;
            if !bad.iter().any(|one| part.contains(one)) {
                splits.worked();
                delivered += part.len();
                continue;
            }
            match next(&mut splits, part.len()) {
                Next::Halve => {
                    let middle = part.start + part.len() / 2;
                    parts.push_front(middle..part.end);
                    parts.push_front(part.start..middle);
                }
                Next::Settle => settled += 1,
                end => return (calls, delivered, settled, Some(end)),
            }
        }
        (calls, delivered, settled, None)
    }

    #[test]
    fn one_bad_change_of_500_is_found_at_any_position() {
        for bad in [0, 1, 249, 250, 498, 499] {
            let (calls, delivered, settled, end) = split(500, &[bad], Splits::after_failure);
            assert_eq!((delivered, settled, end), (499, 1, None), "{bad}");
            assert!(calls <= 2 * 10, "{calls}");
            let locked = split(500, &[bad], Splits::after_contention);
            assert_eq!((locked.1, locked.2, locked.3), (499, 1, None), "{bad}");
        }
    }

    #[test]
    fn many_bad_changes_are_found_and_none_is_blamed_for_another() {
        let scattered: Vec<usize> = (0..500).step_by(25).collect();
        assert_eq!(split(500, &scattered, Splits::after_failure).1, 480);
        // So many in a row that splitting stops: what was judged was judged by itself, and at least one was.
        let row: Vec<usize> = (0..400).collect();
        let (calls, delivered, settled, end) = split(500, &row, Splits::after_failure);
        assert_eq!((delivered, end), (0, Some(Next::Stop)));
        assert!(settled >= 1 && calls < 100, "{settled} of {calls}");
    }

    #[test]
    fn a_target_where_every_row_is_locked_fails_after_a_few_calls() {
        let all: Vec<usize> = (0..500).collect();
        let (calls, .., end) = split(500, &all, Splits::after_contention);
        assert_eq!(end, Some(Next::TargetFailed));
        assert!(calls <= 11, "{calls}");
        assert_eq!(Splits::new(1).after_contention(1), Next::Settle);
    }
}
