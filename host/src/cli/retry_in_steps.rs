//! `host retry` with `--limit`, `--rate` or `--ramp`: retries failed deliveries in steps, the oldest changes first.
//!
//! Each step is one transaction. A command that is ended between two steps leaves the others failed.

use std::process::ExitCode;
use std::time::Duration;

use super::error::CliError;
use super::{output, signals};
use crate::store::{DeliveryKey, RetryFilter, RetryProgress, Store};

/// Deliveries retried in one transaction, at most.
const STEP_MAX: u32 = 1_000;
/// How often `--ramp` looks whether a step has ended.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// How many deliveries are retried, and how fast.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::Args)]
pub(super) struct Pace {
    /// Retry at most this many, the oldest changes first
    #[arg(long, value_name = "N", conflicts_with = "skipped", value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,
    /// Retry this many each second, instead of all at once
    #[arg(long, value_name = "N", conflicts_with_all = ["skipped", "dry_run"], value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rate: Option<u32>,
    /// Retry 1, then 2, 4, ...; stop when most of a step fail
    #[arg(long, conflicts_with_all = ["skipped", "dry_run", "rate"])]
    ramp: bool,
}

impl Pace {
    pub(super) fn is_in_steps(&self) -> bool {
        self.limit.is_some() || self.rate.is_some() || self.ramp
    }

    /// How many of `count` deliveries would be retried.
    pub(super) fn limited(&self, count: u64) -> u64 {
        self.limit.map_or(count, |limit| count.min(limit.into()))
    }

    /// The size of the first step, and the pause after each.
    fn first_step(&self) -> (u32, Duration) {
        match self.rate {
            _ if self.ramp => (1, Duration::ZERO),
            // Ten steps a second at most, of which each has one delivery at least.
            Some(rate) => {
                let size = rate.div_ceil(10).min(STEP_MAX);
                (size, Duration::from_secs(1).mul_f64(f64::from(size) / f64::from(rate)))
            }
            None => (STEP_MAX, Duration::ZERO),
        }
    }
}

/// Retries in steps. Returns how many were retried, and the exit code.
pub(super) async fn run(store: &Store, filter: &RetryFilter, pace: Pace) -> Result<(u64, ExitCode), CliError> {
    let stop =
        signals::stop_token().map_err(|error| CliError::Failed(format!("cannot listen for signals: {error}")))?;
    let (mut size, pause) = pace.first_step();
    let mut left = u64::from(pace.limit.unwrap_or(u32::MAX));
    let mut retried = 0;
    // A delivery that fails again is not retried again by the same command.
    let mut last: Option<DeliveryKey> = None;
    while left > 0 && !stop.is_cancelled() {
        let limit = size.min(u32::try_from(left).unwrap_or(u32::MAX));
        let keys = store.retriable(filter, last.as_ref(), limit).await?;
        if keys.is_empty() {
            break;
        }
        last = keys.last().cloned();
        let count = store.retry_these(&keys).await?;
        retried += count;
        left -= count.min(left);
        if pace.ramp {
            tokio::select! {
                progress = ended(store, &keys) => {
                    let progress = progress?;
                    report(&progress, keys.len());
                    if progress.failed_again * 2 > u64::try_from(keys.len()).unwrap_or(u64::MAX) {
                        output::line("stopped: most of this step failed again; fix: see `host failed list`");
                        return Ok((retried, ExitCode::from(1)));
                    }
                }
                () = stop.cancelled() => {}
            }
            size = (size * 2).min(STEP_MAX);
        } else {
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = stop.cancelled() => {}
            }
        }
    }
    if stop.is_cancelled() {
        output::line("stopped: the others are still failed");
    }
    Ok((retried, ExitCode::SUCCESS))
}

/// Waits until each delivery of a step was attempted.
async fn ended(store: &Store, keys: &[DeliveryKey]) -> Result<RetryProgress, CliError> {
    let mut has_warned = false;
    loop {
        let progress = store.progress_of(keys).await?;
        if progress.open == 0 {
            return Ok(progress);
        }
        if !has_warned && store.running_hosts().await?.is_empty() {
            has_warned = true;
            output::line("   no host runs on this store: start `host run`, which delivers this step");
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn report(progress: &RetryProgress, count: usize) {
    let failed = match progress.failed_again {
        0 => String::new(),
        failed => format!(", {failed} failed again"),
    };
    output::line(&format!("   step of {count}: {} ended{failed}", progress.ended));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_kept_by_the_size_of_a_step_and_the_pause_after_it() {
        let pace = |rate| Pace { limit: None, rate: Some(rate), ramp: false }.first_step();
        assert_eq!(pace(1), (1, Duration::from_secs(1)));
        assert_eq!(pace(10), (1, Duration::from_millis(100)));
        assert_eq!(pace(100), (10, Duration::from_millis(100)));
        assert_eq!(pace(100_000), (STEP_MAX, Duration::from_millis(10)));
    }

    #[test]
    fn a_limit_bounds_what_is_retried() {
        let pace = Pace { limit: Some(3), rate: None, ramp: false };
        assert_eq!((pace.limited(2), pace.limited(3), pace.limited(4)), (2, 3, 3));
    }
}
