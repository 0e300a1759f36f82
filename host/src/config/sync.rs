//! `[sync]` and `[retention]`: intervals, leases, retries and retention.

use super::section_reader::SectionReader;
use crate::domain::delivery::{BreakerPolicy, RetryPolicy};

/// One hour in milliseconds.
const HOUR_MS: u64 = 3_600_000;

/// `[sync]`: polling, leases, retries and breakers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyncConfig {
    /// How often an idle host polls the store.
    pub poll_interval_ms: u64,
    /// The length of a lease, unless it is renewed.
    pub lease_ms: u64,
    /// How long a stopping host waits for running calls.
    pub drain_timeout_ms: u64,
    /// How often a healthy target is checked again.
    pub recheck_interval_ms: u64,
    /// Whether each attempt is recorded in the journal.
    pub journal: bool,
    /// Whether a new adapter is activated only if it writes what the active one writes.
    pub compare_effects: bool,
    /// `[sync.retry]`: retries of a change after a transient failure.
    pub retry: RetryPolicy,
    /// `[sync.breaker]`: a target that is down.
    pub breaker: BreakerPolicy,
}

/// `[retention]`: how long finished deliveries and the journal are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetentionConfig {
    /// How many days done and superseded deliveries are kept.
    pub done_days: u32,
    /// How many days the journal's attempts are kept.
    pub journal_days: u32,
}

/// Reads the section; also gives `batch`, the default for every target's `limits.batch`.
pub(super) fn read_sync(mut sync: SectionReader<'_>) -> (SyncConfig, u32) {
    let config = SyncConfig {
        poll_interval_ms: sync.integer("poll_interval_ms", 10..=60_000, 200),
        lease_ms: sync.integer("lease_ms", 1_000..=HOUR_MS, 30_000),
        drain_timeout_ms: sync.integer("drain_timeout_ms", 0..=HOUR_MS, 30_000),
        recheck_interval_ms: sync.integer("recheck_interval_ms", 1_000..=24 * HOUR_MS, 300_000),
        journal: sync.boolean("journal", true),
        compare_effects: sync.boolean("compare_effects", true),
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
    let config = RetentionConfig {
        done_days: retention.count("done_days", 1..=36_500, 30),
        journal_days: retention.count("journal_days", 1..=36_500, 30),
    };
    retention.finish(&[]);
    config
}
