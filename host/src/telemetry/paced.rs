//! A value that is read at most once in a while, however often it is asked for: a scrape must not cost the store more
//! because several programs scrape.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How old a value may be before it is read again.
const AGE_MAX: Duration = Duration::from_secs(5);
/// How long one reading may take.
const LIMIT: Duration = Duration::from_secs(3);

/// The last reading of something that may fail.
#[derive(Debug)]
pub(super) struct Paced<T> {
    age_max: Duration,
    limit: Duration,
    latest: Mutex<Option<(Instant, Result<T, String>)>>,
    /// Held during a reading; whoever waits for it gets that reading.
    reading: tokio::sync::Mutex<()>,
}

impl<T> Default for Paced<T> {
    fn default() -> Self {
        Self { age_max: AGE_MAX, limit: LIMIT, latest: Mutex::new(None), reading: tokio::sync::Mutex::new(()) }
    }
}

impl<T: Clone> Paced<T> {
    /// The value, read now if the last reading is too old. The error is the reason why it could not be read.
    pub(super) async fn get(&self, read: impl Future<Output = Result<T, String>>) -> Result<T, String> {
        let _one_at_a_time = self.reading.lock().await;
        if let Some(fresh) = self.latest_within(self.age_max) {
            return fresh;
        }
        let late = || Err(format!("the store did not answer within {} s", self.limit.as_secs()));
        let read = tokio::time::timeout(self.limit, read).await.unwrap_or_else(|_| late());
        *self.latest.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), read.clone()));
        read
    }

    /// The last reading, if it succeeded.
    pub(super) fn latest(&self) -> Option<T> {
        self.latest_within(Duration::MAX)?.ok()
    }

    fn latest_within(&self, age_max: Duration) -> Option<Result<T, String>> {
        let latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        latest.as_ref().filter(|(at, _)| at.elapsed() < age_max).map(|(_, read)| read.clone())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    fn paced(age_max: Duration, limit: Duration) -> Paced<u32> {
        Paced { age_max, limit, ..Paced::default() }
    }

    #[tokio::test]
    async fn a_value_is_read_once_in_a_while_however_often_it_is_asked_for() {
        let reads = AtomicU32::new(0);
        let read = || async {
            tokio::task::yield_now().await;
            Ok(reads.fetch_add(1, Ordering::Relaxed) + 1)
        };
        let kept = paced(Duration::from_secs(3_600), LIMIT);
        let (one, other) = tokio::join!(kept.get(read()), kept.get(read()));
        assert_eq!((one, other), (Ok(1), Ok(1)), "the second one waited for the first one's reading");
        assert_eq!(kept.get(read()).await, Ok(1));
        let outdated = paced(Duration::ZERO, LIMIT);
        assert_eq!((outdated.get(read()).await, outdated.get(read()).await), (Ok(2), Ok(3)));
    }

    #[tokio::test]
    async fn a_reading_that_takes_too_long_is_an_error_and_not_the_old_value() {
        let paced = paced(Duration::ZERO, Duration::from_millis(20));
        assert_eq!(paced.get(async { Ok(1) }).await, Ok(1));
        let late = paced.get(std::future::pending()).await;
        assert_eq!(late, Err("the store did not answer within 0 s".to_owned()));
        assert_eq!(paced.latest(), None);
    }
}
