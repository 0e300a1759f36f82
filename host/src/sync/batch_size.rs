//! The size of a target's next batch: as many deliveries as it takes in about half a second, within its limit.
//!
//! A database takes hundreds in that time, and soon reaches the limit. A slow server gets few at a time, so that a call
//! stays far below its deadline, the host stops soon, and little is sent again after a crash. A batch with a request
//! that timed out, or that was sent and never answered, makes the next ones much smaller, down to one delivery. From
//! then on the size grows slowly. The store keeps such a size, so that a host that starts begins with it.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A batch that takes longer makes the next one smaller.
const SLOW: Duration = Duration::from_secs(1);
/// The time that the next one should then take.
const WANTED: Duration = Duration::from_millis(500);
/// A full batch that takes less makes the next one larger.
const QUICK: Duration = Duration::from_millis(250);
/// The size before the first measurement.
const FIRST: u32 = 100;
/// A missing response divides the size by this: from 100 to 1 in four steps.
const UNANSWERED_DIVISOR: u32 = 4;
/// After a missing answer a quick batch adds this part of the size instead of doubling it.
const SLOW_GROWTH_DIVISOR: u32 = 8;

/// Shared by the claimer and the workers of a target.
#[derive(Debug)]
pub(super) struct BatchSize {
    state: Mutex<State>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct State {
    size: u32,
    max: u32,
    /// A request once got no response here: the size grows slowly.
    is_careful: bool,
}

impl BatchSize {
    pub(super) fn new(max: u32) -> Self {
        Self { state: Mutex::new(State { size: FIRST.min(max), max, is_careful: false }) }
    }

    pub(super) fn get(&self) -> u32 {
        self.lock().size
    }

    /// Sets the limit, which a reload may have changed. Up to a raised one the size grows as it always does.
    pub(super) fn limit_to(&self, max: u32) {
        let mut state = self.lock();
        *state = State { size: state.size.min(max), max, ..*state };
    }

    /// Adapts the size after a batch whose requests were answered.
    pub(super) fn observe(&self, deliveries: usize, elapsed: Duration) {
        let mut state = self.lock();
        *state = state.after(u32::try_from(deliveries).unwrap_or(u32::MAX), elapsed);
    }

    /// Reduces the size after a batch with an unanswered request.
    pub(super) fn unanswered(&self, deliveries: usize) {
        let mut state = self.lock();
        *state = state.after_unanswered(u32::try_from(deliveries).unwrap_or(u32::MAX));
    }

    /// Begins with what hosts have remembered of the target.
    pub(super) fn begin_with(&self, remembered: u32) {
        let mut state = self.lock();
        *state = State { size: remembered.clamp(1, state.max), is_careful: true, ..*state };
    }

    /// The size to store for other hosts, while a missing response keeps it small.
    pub(super) fn to_remember(&self) -> Option<u32> {
        let state = self.lock();
        state.is_careful.then_some(state.size)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn after(self, deliveries: u32, elapsed: Duration) -> Self {
        let max = self.max;
        if elapsed > SLOW {
            let fitting = u128::from(deliveries) * WANTED.as_millis() / elapsed.as_millis();
            let size = self.size.min(u32::try_from(fitting).unwrap_or(max)).max(1);
            return Self { size, ..self };
        }
        let is_full = deliveries >= self.size;
        if !is_full || elapsed >= QUICK {
            return self;
        }
        let more = if self.is_careful { (self.size / SLOW_GROWTH_DIVISOR).max(1) } else { self.size };
        let size = self.size.saturating_add(more).min(max);
        // A quick full batch shows that the slow time is over.
        Self { size, max, is_careful: self.is_careful && size < max }
    }

    fn after_unanswered(self, deliveries: u32) -> Self {
        Self { size: self.size.min(deliveries / UNANSWERED_DIVISOR).max(1), is_careful: true, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_quick_target_gets_larger_batches_and_a_slow_one_smaller() {
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
            let state = State { size, max: 500, is_careful: false };
            assert_eq!(state.after(deliveries, Duration::from_millis(elapsed_ms)).size, expected, "{what}");
        }
    }

    #[test]
    fn timeouts_shrink_batches_to_one_and_growth_from_there_is_slow() {
        let size = BatchSize::new(1_000);
        let mut seen = Vec::new();
        for _ in 0..5 {
            size.unanswered(size.get() as usize);
            seen.push(size.get());
        }
        assert_eq!(seen, [25, 6, 1, 1, 1]);
        let quick = |size: &BatchSize| size.observe(size.get() as usize, Duration::from_millis(20));
        for _ in 0..9 {
            quick(&size);
        }
        assert_eq!(size.get(), 10, "one more with each quick batch");
        quick(&size);
        assert_eq!(size.get(), 11);
        // A batch that was claimed before the first timeout makes the size no smaller.
        size.unanswered(100);
        assert_eq!(size.get(), 11);
    }

    #[test]
    fn a_host_starts_with_the_remembered_size_until_full_batches_are_quick_again() {
        let size = BatchSize::new(16);
        assert_eq!(size.to_remember(), None, "nothing was slow");
        size.begin_with(7);
        assert_eq!((size.get(), size.to_remember()), (7, Some(7)));
        for _ in 0..9 {
            size.observe(size.get() as usize, Duration::from_millis(20));
        }
        assert_eq!((size.get(), size.to_remember()), (16, None));
        // A limit that was lowered since, and a number that makes no sense.
        for (remembered, expected) in [(400, 16), (0, 1)] {
            size.begin_with(remembered);
            assert_eq!(size.get(), expected);
        }
    }

    #[test]
    fn a_reloaded_limit_counts_for_the_next_batch() {
        let size = BatchSize::new(1_000);
        size.limit_to(7);
        assert_eq!(size.get(), 7);
        size.observe(7, Duration::from_millis(20));
        assert_eq!(size.get(), 7, "it does not grow beyond the limit");
        size.limit_to(1_000);
        assert_eq!(size.get(), 7);
        size.observe(7, Duration::from_millis(20));
        assert_eq!(size.get(), 14, "it grows again");
    }

    proptest! {
        #[test]
        fn a_batch_size_is_between_one_and_the_limit(
            max in 1_u32..1_000,
            batches in prop::collection::vec((1_usize..1_000, 0_u64..100_000, any::<bool>()), 0..50)
        ) {
            let size = BatchSize::new(max);
            for (deliveries, elapsed_ms, timed_out) in batches {
                if timed_out {
                    size.unanswered(deliveries);
                } else {
                    size.observe(deliveries, Duration::from_millis(elapsed_ms));
                }
                prop_assert!((1..=max).contains(&size.get()));
            }
        }
    }
}
