//! Limits small responses of registries: a token, a manifest, the headers of a layer.
//! The registry library reads such a response completely, whatever its length, and skips interim responses (103)
//! without a limit. So its time is limited, and on Linux also the memory growth of this process, which does nothing
//! else meanwhile. A request that exceeds a limit is dropped.

use std::time::Duration;

/// The time for all requests together, including that of a token before a manifest.
const TIME_MAX: Duration = Duration::from_secs(30);
/// The allowed memory growth in bytes. A manifest has some kilobytes, so more growth shows that the response is
/// endless.
const GROWTH_BYTES_MAX: u64 = 128 << 20;
/// The interval between two measurements of the process's memory.
const LOOK: Duration = Duration::from_millis(20);

/// The result of `asking`, or the limit that it exceeded.
pub(super) async fn small_answer<T>(asking: impl Future<Output = T>) -> Result<T, String> {
    within(asking, TIME_MAX, GROWTH_BYTES_MAX).await
}

async fn within<T>(asking: impl Future<Output = T>, time_max: Duration, growth_bytes_max: u64) -> Result<T, String> {
    let began = resident_bytes();
    let outgrown = async {
        while resident_bytes().saturating_sub(began) <= growth_bytes_max {
            tokio::time::sleep(LOOK).await;
        }
    };
    tokio::select! {
        answer = asking => Ok(answer),
        () = outgrown => Err("its answer has no end: a manifest has some kilobytes".to_owned()),
        () = tokio::time::sleep(time_max) => Err(format!("it did not answer within {} s", time_max.as_secs())),
    }
}

/// The memory of this process in bytes; 0 if the system does not report it.
#[cfg(target_os = "linux")]
fn resident_bytes() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: u64 = text.split(' ').nth(1).and_then(|word| word.parse().ok()).unwrap_or_default();
    pages * rustix::param::page_size() as u64
}

#[cfg(not(target_os = "linux"))]
fn resident_bytes() -> u64 {
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_slow_transfer_is_aborted() {
        assert_eq!(small_answer(std::future::ready(1)).await, Ok(1));
        let error = within(std::future::pending::<()>(), Duration::from_millis(30), u64::MAX).await.unwrap_err();
        assert!(error.starts_with("it did not answer within"), "{error}");
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn an_oversized_transfer_is_aborted() {
        let growing = async {
            let mut kept = Vec::new();
            loop {
                kept.push(vec![1_u8; 1 << 20]);
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        let error = within::<()>(growing, Duration::from_secs(30), 8 << 20).await.unwrap_err();
        assert!(error.contains("has no end"), "{error}");
    }
}
