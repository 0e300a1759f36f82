//! `host retry` with `--limit`, `--rate` or `--ramp`: retries failed deliveries in steps, the oldest changes first.
//!
//! Each step is one transaction. A command that ends between two steps leaves the others failed, and reports where the
//! same command goes on.

use std::process::ExitCode;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::error::CliError;
use super::{output, signals};
use crate::domain::ids::ChangeId;
use crate::store::{DeliveryKey, RetryFilter, RetryProgress, Store};

/// Deliveries retried in one transaction, at most.
const STEP_MAX: u32 = 1_000;
/// How often `--ramp` looks whether a step has ended.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// How long a step of `--ramp` takes before the command reports what it waits for.
const REPORT_AFTER: Duration = Duration::from_secs(10);

/// How many deliveries are retried, and how fast.
#[derive(Clone, Debug, Default, PartialEq, Eq, clap::Args)]
pub(super) struct Pace {
    /// Retry at most this many, the oldest changes first
    #[arg(long, value_name = "N", conflicts_with = "skipped", value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,
    /// Retry at most this many each second
    #[arg(long, value_name = "N", conflicts_with_all = ["skipped", "dry_run"],
        value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rate: Option<u32>,
    /// Retry 1, then 2, 4, ...; stop when most of a step fail
    #[arg(long, conflicts_with_all = ["skipped", "dry_run", "rate"])]
    ramp: bool,
    /// Begin with this change, to resume a retry in steps
    #[arg(long, value_name = "NUMBER", conflicts_with_all = ["skipped", "dry_run", "change"])]
    from: Option<i64>,
}

impl Pace {
    pub(super) fn is_in_steps(&self) -> bool {
        *self != Self::default()
    }

    /// How many of `count` deliveries would be retried.
    pub(super) fn limited(&self, count: u64) -> u64 {
        self.limit.map_or(count, |limit| count.min(limit.into()))
    }

    /// What the audit records of it.
    pub(super) fn detail(&self) -> Option<String> {
        let parts = [
            self.limit.map(|limit| format!("limit {limit}")),
            self.rate.map(|rate| format!("rate {rate}")),
            self.ramp.then(|| "ramp".to_owned()),
            self.from.map(|change_id| format!("from change {change_id}")),
        ];
        let detail = parts.into_iter().flatten().collect::<Vec<_>>().join(", ");
        (!detail.is_empty()).then_some(detail)
    }

    /// The size of the first step, and the time from one step to the next.
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

/// How far the command came.
#[derive(Default)]
struct Reached {
    retried: u64,
    last: Option<DeliveryKey>,
}

/// Why the command retried no more.
enum End {
    /// None is left.
    Complete,
    /// `--limit` is reached.
    Limit,
    /// Most deliveries of a step failed again.
    Failing,
    /// A signal came.
    Stopped,
}

/// Retries in steps. Returns how many were retried, and the exit code.
pub(super) async fn run(store: &Store, filter: &RetryFilter, pace: &Pace) -> Result<(u64, ExitCode), CliError> {
    let stop = signals::stop_token().map_err(|error| CliError::Failed(error.to_string()))?;
    let last = pace.from.map(|change_id| DeliveryKey::before_all_of(ChangeId::new(change_id)));
    let mut reached = Reached { retried: 0, last };
    let end = retry_steps(store, filter, pace, &stop, &mut reached).await;
    let code = match &end {
        Ok(End::Complete) => ExitCode::SUCCESS,
        Ok(End::Limit) => {
            if !store.retriable(filter, reached.last.as_ref(), 1).await?.is_empty() {
                output::line(&format!("more are failed; {}", reached.resume()));
            }
            ExitCode::SUCCESS
        }
        Ok(End::Failing) => {
            output::line("stopped: most of this step failed again; fix: see `host failed list`");
            ExitCode::from(1)
        }
        Ok(End::Stopped) | Err(_) => {
            output::line(&format!("stopped after {}; {}", reached.retried, reached.resume()));
            ExitCode::from(1)
        }
    };
    end?;
    Ok((reached.retried, code))
}

impl Reached {
    /// How an operator goes on. The change itself is named, since it may have deliveries to several targets.
    fn resume(&self) -> String {
        match &self.last {
            Some(key) => format!("to go on, run the same command with --from {}", key.outbox_id),
            None => "to go on, run the same command".to_owned(),
        }
    }
}

async fn retry_steps(
    store: &Store,
    filter: &RetryFilter,
    pace: &Pace,
    stop: &CancellationToken,
    reached: &mut Reached,
) -> Result<End, CliError> {
    let (mut size, pause) = pace.first_step();
    loop {
        if stop.is_cancelled() {
            return Ok(End::Stopped);
        }
        let left = pace.limit.map_or(u64::MAX, |limit| u64::from(limit).saturating_sub(reached.retried));
        if left == 0 {
            return Ok(End::Limit);
        }
        let next_at = Instant::now() + pause;
        // What fails again is not retried again by the same command: each step is behind the last one.
        let limit = size.min(u32::try_from(left).unwrap_or(size));
        let keys = store.retriable(filter, reached.last.as_ref(), limit).await?;
        if keys.is_empty() {
            return Ok(End::Complete);
        }
        reached.retried += store.retry_these(&keys).await?;
        reached.last = keys.last().cloned();
        let waited = async {
            if pace.ramp {
                return ended(store, &keys).await.map(Some);
            }
            tokio::time::sleep_until(next_at).await;
            Ok(None)
        };
        let progress = tokio::select! {
            progress = waited => progress?,
            () = stop.cancelled() => continue,
        };
        if let Some(progress) = progress {
            report(&progress, keys.len());
            if progress.failed_again * 2 > u64::try_from(keys.len()).unwrap_or(u64::MAX) {
                return Ok(End::Failing);
            }
            size = (size * 2).min(STEP_MAX);
        }
    }
}

/// Waits until each delivery of a step was attempted.
async fn ended(store: &Store, keys: &[DeliveryKey]) -> Result<RetryProgress, CliError> {
    let begun = Instant::now();
    let (mut has_named_host, mut has_named_rest) = (false, false);
    loop {
        let progress = store.progress_of(keys).await?;
        if progress.open == 0 {
            return Ok(progress);
        }
        if !has_named_host && store.running_hosts().await?.is_empty() {
            has_named_host = true;
            output::line("   no host runs on this store; fix: start `host run`, which delivers this step");
        } else if !has_named_rest && begun.elapsed() >= REPORT_AFTER {
            has_named_rest = true;
            output::line(&format!(
                "   step of {}: {} have not been attempted yet; see `host status`",
                keys.len(),
                progress.open
            ));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn report(progress: &RetryProgress, count: usize) {
    let others = [(progress.failed_again, "failed again"), (progress.waiting, "wait for what they refer to")];
    let others = others.into_iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!(", {count} {what}"));
    output::line(&format!("   step of {count}: {} ended{}", progress.ended, others.collect::<String>()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_kept_by_the_size_of_a_step_and_the_pause_after_it() {
        let pace = |rate| Pace { rate: Some(rate), ..Pace::default() }.first_step();
        assert_eq!(pace(1), (1, Duration::from_secs(1)));
        assert_eq!(pace(10), (1, Duration::from_millis(100)));
        assert_eq!(pace(100), (10, Duration::from_millis(100)));
        assert_eq!(pace(100_000), (STEP_MAX, Duration::from_millis(10)));
    }

    #[test]
    fn a_limit_bounds_what_is_retried() {
        let pace = Pace { limit: Some(3), ..Pace::default() };
        assert_eq!((pace.limited(2), pace.limited(3), pace.limited(4)), (2, 3, 3));
        assert!(pace.is_in_steps() && !Pace::default().is_in_steps());
    }

    #[test]
    fn the_audit_records_the_pace() {
        let pace = Pace { limit: Some(3), ramp: true, from: Some(7), ..Pace::default() };
        assert_eq!(pace.detail().as_deref(), Some("limit 3, ramp, from change 7"));
        assert_eq!(Pace::default().detail(), None);
    }
}
