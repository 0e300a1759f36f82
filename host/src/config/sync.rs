//! `[sync]` and `[retention]`: the pace of the engine.

use super::section_reader::SectionReader;
use crate::domain::delivery::{BreakerPolicy, RetryPolicy};

/// One hour in milliseconds.
const HOUR_MS: u64 = 3_600_000;

/// `[sync]`: how the host finds work, holds it and gives it up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyncConfig {
    /// How long the host waits, with nothing to do, before it looks for work that nothing announced.
    pub poll_interval_ms: u64,
    /// How long a claimed batch is the host's own, unless renewed.
    pub lease_ms: u64,
    /// How long a stopping host waits for the calls under way.
    pub drain_timeout_ms: u64,
    /// How often a target that is well is checked again.
    pub recheck_interval_ms: u64,
    /// `[sync.retry]`: one change that failed for a reason that may pass.
    pub retry: RetryPolicy,
    /// `[sync.breaker]`: a target that is down.
    pub breaker: BreakerPolicy,
}

/// `[retention]`: how long finished work is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetentionConfig {
    /// Days for which deliveries that are done or superseded are kept.
    pub done_days: u32,
}

/// Reads the section; also gives `batch`, the default for every target's `limits.batch`.
pub(super) fn read_sync(mut sync: SectionReader<'_>) -> (SyncConfig, u32) {
    let config = SyncConfig {
        poll_interval_ms: sync.integer("poll_interval_ms", 10..=60_000, 200),
        lease_ms: sync.integer("lease_ms", 1_000..=HOUR_MS, 30_000),
        drain_timeout_ms: sync.integer("drain_timeout_ms", 0..=HOUR_MS, 30_000),
        recheck_interval_ms: sync.integer("recheck_interval_ms", 1_000..=24 * HOUR_MS, 300_000),
        retry: read_retry(sync.section("retry")),
        breaker: read_breaker(sync.section("breaker")),
    };
    let batch = sync.count("batch", 1..=1000, 1_000);
    sync.finish(&[]);
    (config, batch)
}

fn read_retry(mut retry: SectionReader<'_>) -> RetryPolicy {
    let RetryPolicy { attempts_max, base_ms, cap_ms } = RetryPolicy::default();
    let policy = RetryPolicy {
        attempts_max: retry.count("attempts_max", 1..=1000, attempts_max),
        base_ms: retry.integer("base_ms", 1..=HOUR_MS, base_ms),
        cap_ms: retry.integer("cap_ms", 1..=24 * HOUR_MS, cap_ms),
    };
    if policy.cap_ms < policy.base_ms {
        retry.note_key("cap_ms", format!("must be at least base_ms ({})", policy.base_ms));
    }
    retry.finish(&[]);
    policy
}

fn read_breaker(mut breaker: SectionReader<'_>) -> BreakerPolicy {
    let BreakerPolicy { open_ms, cap_ms } = BreakerPolicy::default();
    let policy = BreakerPolicy {
        open_ms: breaker.integer("open_ms", 1..=HOUR_MS, open_ms),
        cap_ms: breaker.integer("cap_ms", 1..=24 * HOUR_MS, cap_ms),
    };
    if policy.cap_ms < policy.open_ms {
        breaker.note_key("cap_ms", format!("must be at least open_ms ({})", policy.open_ms));
    }
    breaker.finish(&[]);
    policy
}

pub(super) fn read_retention(mut retention: SectionReader<'_>) -> RetentionConfig {
    let config = RetentionConfig { done_days: retention.count("done_days", 1..=36_500, 30) };
    retention.finish(&[]);
    config
}
