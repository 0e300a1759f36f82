//! Finds which operations of two runs are for the same. Pure functions.
//!
//! Operations with the same template are aligned in order, as many as possible. What is left between two of them is
//! paired in order where it is of the same kind (a verb and a table).

/// More comparisons than this are not made: two such long runs are aligned from their beginnings.
const COMPARISONS_MAX: usize = 4_000_000;

/// An operation of the old run, of the new one, or of both, by its index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pair {
    Both(usize, usize),
    Old(usize),
    New(usize),
}

impl Pair {
    pub(super) fn indexes(self) -> (Option<usize>, Option<usize>) {
        match self {
            Self::Both(old, new) => (Some(old), Some(new)),
            Self::Old(old) => (Some(old), None),
            Self::New(new) => (None, Some(new)),
        }
    }
}

/// Every operation of both runs once, in order.
pub(super) fn align<T, K: PartialEq>(
    old: &[T],
    new: &[T],
    template: impl Fn(&T) -> &str,
    kind: impl Fn(&T) -> K,
) -> Vec<Pair> {
    let mut pairs = Vec::new();
    let (mut from_old, mut from_new) = (0, 0);
    let end = (old.len(), new.len());
    for (to_old, to_new) in anchors(old, new, &template).into_iter().chain([end]) {
        let mut next = from_new;
        for (index, item) in old.iter().enumerate().take(to_old).skip(from_old) {
            match (next..to_new).find(|candidate| kind(&new[*candidate]) == kind(item)) {
                Some(found) => {
                    pairs.extend((next..found).map(Pair::New));
                    pairs.push(Pair::Both(index, found));
                    next = found + 1;
                }
                None => pairs.push(Pair::Old(index)),
            }
        }
        pairs.extend((next..to_new).map(Pair::New));
        if (to_old, to_new) != end {
            pairs.push(Pair::Both(to_old, to_new));
        }
        (from_old, from_new) = (to_old + 1, to_new + 1);
    }
    pairs
}

/// A longest common subsequence of the templates.
fn anchors<T>(old: &[T], new: &[T], template: &impl Fn(&T) -> &str) -> Vec<(usize, usize)> {
    let is_same = |one: usize, other: usize| template(&old[one]) == template(&new[other]);
    if old.len().saturating_mul(new.len()) > COMPARISONS_MAX {
        return (0..old.len().min(new.len()))
            .take_while(|index| is_same(*index, *index))
            .map(|index| (index, index))
            .collect();
    }
    // The length of the longest one behind each pair of places.
    let width = new.len() + 1;
    let mut lengths = vec![0_u32; (old.len() + 1) * width];
    for one in (0..old.len()).rev() {
        for other in (0..new.len()).rev() {
            lengths[one * width + other] = if is_same(one, other) {
                lengths[(one + 1) * width + other + 1] + 1
            } else {
                lengths[(one + 1) * width + other].max(lengths[one * width + other + 1])
            };
        }
    }
    let (mut one, mut other, mut found) = (0, 0, Vec::new());
    while one < old.len() && other < new.len() {
        if is_same(one, other) {
            found.push((one, other));
            (one, other) = (one + 1, other + 1);
        } else if lengths[(one + 1) * width + other] >= lengths[one * width + other + 1] {
            one += 1;
        } else {
            other += 1;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each operation is a kind and a template of it.
    fn aligned(old: &[&str], new: &[&str]) -> Vec<Pair> {
        align(old, new, |text| text, |text| text.chars().next())
    }

    #[test]
    fn what_is_for_the_same_is_paired_and_the_rest_is_left_over() {
        use Pair::{Both, New, Old};
        for (old, new, expected) in [
            (&["a1", "b1"][..], &["a1", "b1"][..], &[Both(0, 0), Both(1, 1)][..]),
            (&["a1"], &["a1", "b1"], &[Both(0, 0), New(1)]),
            (&["b1", "a1"], &["a1"], &[Old(0), Both(1, 0)]),
            (&["a1", "b1", "c1"], &["a1", "b2", "c1"], &[Both(0, 0), Both(1, 1), Both(2, 2)]),
            (&["a1", "b1"], &["c1", "b2"], &[Old(0), New(0), Both(1, 1)]),
            (&[], &["a1"], &[New(0)]),
            (&["a1"], &["b1"], &[Old(0), New(0)]),
        ] {
            assert_eq!(aligned(old, new), expected, "{old:?} {new:?}");
        }
    }

    #[test]
    fn every_operation_is_there_once_also_in_very_long_runs() {
        let old: Vec<String> = (0..3_000).map(|number| format!("a{}", number % 7)).collect();
        let new: Vec<String> = (0..2_999).map(|number| format!("a{}", number % 5)).collect();
        let pairs = align(&old, &new, String::as_str, |text| text.chars().next());
        let (mut left, mut right): (Vec<_>, Vec<_>) = (Vec::new(), Vec::new());
        for pair in pairs {
            let (one, other) = pair.indexes();
            left.extend(one);
            right.extend(other);
        }
        assert_eq!(left, (0..old.len()).collect::<Vec<_>>());
        assert_eq!(right, (0..new.len()).collect::<Vec<_>>());
    }
}
