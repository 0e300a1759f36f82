//! The reporter: one line in the log for each target that delivered something, at most one in ten seconds.
//!
//! So an operator can see from the log that deliveries went through, and that logging works.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::tally::{Tally, TargetTally};

/// How often at most a target is reported.
const EVERY: Duration = Duration::from_secs(10);

/// Runs until `stop`, and then reports the rest.
pub(super) async fn run(targets: Vec<(String, Arc<Tally>)>, stop: CancellationToken) {
    run_every(EVERY, targets, stop).await;
}

async fn run_every(every: Duration, targets: Vec<(String, Arc<Tally>)>, stop: CancellationToken) {
    let mut reported = vec![TargetTally::default(); targets.len()];
    loop {
        let stopping = tokio::select! {
            () = stop.cancelled() => true,
            () = tokio::time::sleep(every) => false,
        };
        for ((name, tally), reported) in targets.iter().zip(&mut reported) {
            let now = tally.read();
            if let Some(TargetTally { delivered, deferred, failed, skipped, .. }) = now.since(reported) {
                tracing::info!(target_name = %name, delivered, deferred, failed, skipped, "delivered");
            }
            *reported = now;
        }
        if stopping {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Debug;
    use std::sync::Mutex;
    use std::time::Instant;

    use tracing::field::{Field, Visit};
    use tracing::{Event, Subscriber};
    use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};

    use super::*;
    use crate::domain::delivery::{Settlement, Status};
    use crate::domain::ids::{AggregateKey, ChangeId};

    fn failed() -> Settlement {
        Settlement {
            change_id: ChangeId::new(1),
            key: AggregateKey::patient("P-1"),
            status: Status::Failed,
            attempts: 1,
            pause_ms: 0,
            failure: None,
            skipped: None,
            receipt: None,
            merged_into: None,
            is_moved: false,
            sent: Vec::new(),
        }
    }

    /// Keeps the target and the number of each line, and when it was written.
    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<(String, u64, Instant)>>>);

    #[derive(Default)]
    struct Line {
        target: String,
        failed: u64,
    }

    impl Visit for Line {
        fn record_u64(&mut self, field: &Field, value: u64) {
            if field.name() == "failed" {
                self.failed = value;
            }
        }

        fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
            if field.name() == "target_name" {
                self.target = format!("{value:?}");
            }
        }
    }

    impl<S: Subscriber> Layer<S> for Lines {
        fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
            let mut line = Line::default();
            event.record(&mut line);
            self.0.lock().unwrap().push((line.target, line.failed, Instant::now()));
        }
    }

    #[tokio::test]
    async fn a_busy_target_logs_one_line_per_interval_and_an_idle_one_none() {
        assert_eq!(EVERY, Duration::from_secs(10));
        let every = Duration::from_millis(200);
        let lines = Lines::default();
        let _guard = tracing::subscriber::set_default(tracing_subscriber::registry().with(lines.clone()));
        let (busy, idle, stop) = (Arc::new(Tally::default()), Arc::new(Tally::default()), CancellationToken::new());
        let targets = vec![("busy".to_owned(), busy.clone()), ("idle".to_owned(), idle.clone())];
        let deliver = async {
            for _ in 0..100 {
                busy.settled(&[failed()]);
                idle.deferred(1);
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            stop.cancel();
        };
        tokio::join!(run_every(every, targets, stop.clone()), deliver);
        let lines = lines.0.lock().unwrap().clone();
        assert!(lines.iter().all(|(target, ..)| target == "busy"), "{lines:?}");
        assert_eq!(lines.iter().map(|(_, failed, _)| failed).sum::<u64>(), 100, "nothing is counted twice or left out");
        // The last one is written at the stop.
        let regular = &lines[..lines.len() - 1];
        assert!(regular.len() >= 3, "{lines:?}");
        assert!(regular.windows(2).all(|pair| pair[1].2 - pair[0].2 >= every), "{lines:?}");
    }
}
