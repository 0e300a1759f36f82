//! The circuit breaker of one target: while it is open nothing is sent there, and one probe decides when that ends.
//!
//! It is closed, then open after a target-wide failure, then half-open while one `check` runs. Where a delivery found
//! the failure it stays half-open until a delivery has worked: a check writes nothing. The pause doubles with every
//! failure up to a cap, with jitter, and shrinks back only when a delivery has worked: a target that answers `check`
//! but refuses every delivery is not hammered.

use std::time::Duration;

use crate::domain::delivery::BreakerPolicy;

/// Counts the failures of a target since the last successful delivery.
#[derive(Clone, Debug, Default)]
pub(super) struct Breaker {
    failures: u32,
}

impl Breaker {
    /// Counts a failure. Returns the pause after it. `jitter` in `0.0..1.0` spreads hosts apart. The target's own
    /// Retry-After is a lower bound.
    pub(super) fn failed(&mut self, policy: &BreakerPolicy, retry_after_ms: Option<u64>, jitter: f64) -> Duration {
        let doublings = self.failures.min(32);
        self.failures = self.failures.saturating_add(1);
        let longest = policy.open_ms.saturating_mul(1 << doublings).min(policy.cap_ms);
        // Equal jitter: at least half, so that a probe never follows at once.
        #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let spread = (longest as f64 / 2.0 * jitter.clamp(0.0, 1.0)) as u64;
        let pause_ms = (longest / 2 + spread).max(retry_after_ms.unwrap_or(0).min(MAX_RETRY_AFTER_MS));
        Duration::from_millis(pause_ms)
    }

    /// A delivery worked.
    pub(super) fn succeeded(&mut self) {
        self.failures = 0;
    }
}

/// A target that requests a longer pause is still probed after an hour.
const MAX_RETRY_AFTER_MS: u64 = 3_600_000;

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: BreakerPolicy = BreakerPolicy { open_ms: 1_000, cap_ms: 8_000 };

    #[test]
    fn the_breakers_pause_doubles_up_to_its_cap() {
        let mut breaker = Breaker::default();
        let pauses: Vec<_> = (0..6).map(|_| breaker.failed(&POLICY, None, 1.0).as_millis()).collect();
        assert_eq!(pauses, [1_000, 2_000, 4_000, 8_000, 8_000, 8_000]);
    }

    #[test]
    fn jitter_takes_at_most_half() {
        assert_eq!(Breaker::default().failed(&POLICY, None, 0.0).as_millis(), 500);
    }

    #[test]
    fn the_targets_retry_after_is_a_lower_bound() {
        assert_eq!(Breaker::default().failed(&POLICY, Some(30_000), 0.0).as_millis(), 30_000);
        assert_eq!(Breaker::default().failed(&POLICY, Some(u64::MAX), 0.0).as_millis(), 3_600_000);
    }

    #[test]
    fn a_policy_that_was_reloaded_counts_from_the_next_failure_on() {
        let mut breaker = Breaker::default();
        breaker.failed(&POLICY, None, 1.0);
        let longer = BreakerPolicy { open_ms: 3_000, cap_ms: 60_000 };
        assert_eq!(breaker.failed(&longer, None, 1.0).as_millis(), 6_000, "the failures before are still counted");
    }

    #[test]
    fn a_successful_delivery_resets_the_breaker() {
        let mut breaker = Breaker::default();
        breaker.failed(&POLICY, None, 1.0);
        breaker.failed(&POLICY, None, 1.0);
        breaker.succeeded();
        assert_eq!(breaker.failed(&POLICY, None, 1.0).as_millis(), 1_000);
    }
}
