//! How many deliveries the next batch of a target has: as many as it takes in about half a second, within its limit.
//!
//! A database takes hundreds in that time, and the limit is soon met. A slow server is given few at a time: a call stays
//! well within its deadline, a stop is not long in coming, and little is sent again after a crash.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// A batch that takes longer makes the next one smaller.
const SLOW: Duration = Duration::from_secs(1);
/// What the next one is then to take.
const WANTED: Duration = Duration::from_millis(500);
/// A full batch that takes less makes the next one larger.
const QUICK: Duration = Duration::from_millis(250);
/// What a target that nobody has measured yet is given.
const FIRST: u32 = 100;

/// Shared by those who claim and those who deliver.
#[derive(Debug)]
pub(super) struct BatchSize {
    max: u32,
    size: AtomicU32,
}

impl BatchSize {
    pub(super) fn new(max: u32) -> Self {
        Self { max, size: AtomicU32::new(FIRST.min(max)) }
    }

    pub(super) fn get(&self) -> u32 {
        self.size.load(Ordering::Relaxed)
    }

    /// So many deliveries took so long.
    pub(super) fn learn(&self, deliveries: usize, elapsed: Duration) {
        let deliveries = u32::try_from(deliveries).unwrap_or(u32::MAX);
        self.size.store(next(self.get(), deliveries, elapsed, self.max), Ordering::Relaxed);
    }
}

fn next(size: u32, deliveries: u32, elapsed: Duration, max: u32) -> u32 {
    if elapsed > SLOW {
        let fitting = u128::from(deliveries) * WANTED.as_millis() / elapsed.as_millis();
        return size.min(u32::try_from(fitting).unwrap_or(max)).max(1);
    }
    let is_full = deliveries >= size;
    if is_full && elapsed < QUICK { size.saturating_mul(2).min(max) } else { size }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_quick_target_is_given_more_and_a_slow_one_less() {
        let cases = [
            ("full and quick", 100, 100, 20, 200),
            ("full and quick, at the limit", 400, 400, 20, 500),
            ("quick, but there was no more to deliver", 100, 30, 20, 100),
            ("neither quick nor slow", 100, 100, 600, 100),
            ("slow", 100, 100, 5_000, 10),
            ("slow, a few only", 100, 10, 2_000, 2),
            ("very slow", 100, 1, 20_000, 1),
        ];
        for (what, size, deliveries, elapsed_ms, expected) in cases {
            assert_eq!(next(size, deliveries, Duration::from_millis(elapsed_ms), 500), expected, "{what}");
        }
    }

    proptest! {
        #[test]
        fn it_is_never_nothing_and_never_over_the_limit(
            max in 1_u32..1_000, batches in prop::collection::vec((1_usize..1_000, 0_u64..100_000), 0..50)
        ) {
            let size = BatchSize::new(max);
            for (deliveries, elapsed_ms) in batches {
                size.learn(deliveries, Duration::from_millis(elapsed_ms));
                prop_assert!((1..=max).contains(&size.get()));
            }
        }
    }
}
