//! Measures the duration of one call without the time that it waits for its transaction to begin. Other transactions
//! cause that wait, and the database layer limits it. Computing and statements always count.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The longest interval between two checks of a waiting call.
const LOOK: Duration = Duration::from_millis(10);

/// The time that a call has waited so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Waits(Arc<Mutex<(Duration, Option<Instant>)>>);

impl Waits {
    pub(super) fn begin(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).1 = Some(Instant::now());
    }

    pub(super) fn end(&self) {
        let mut waits = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(since) = waits.1.take() {
            waits.0 += since.elapsed();
        }
    }

    /// The total wait, including the current one.
    fn total(&self) -> Duration {
        let (ended, present) = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        ended + present.map_or(Duration::ZERO, |since| since.elapsed())
    }

    /// The call's result; `None` when the call took longer than `limit`, not counting its wait.
    pub(super) async fn within<T>(&self, limit: Duration, call: impl Future<Output = T>) -> Option<T> {
        let began = Instant::now();
        let mut call = std::pin::pin!(call);
        loop {
            let left = (limit + self.total()).saturating_sub(began.elapsed());
            if left.is_zero() {
                return None;
            }
            if let Ok(answer) = tokio::time::timeout(left.max(LOOK), &mut call).await {
                return Some(answer);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_host_waits_are_excluded_from_the_call_time() {
        let limit = Duration::from_millis(80);
        let waits = Waits::default();
        let waiting = async {
            waits.begin();
            tokio::time::sleep(limit * 3).await;
            waits.end();
        };
        assert_eq!(waits.within(limit, waiting).await, Some(()));
        let waits = Waits::default();
        let computing = async {
            waits.begin();
            waits.end();
            tokio::time::sleep(limit * 30).await;
        };
        assert_eq!(waits.within(limit, computing).await, None);
    }
}
