//! The progress bar of `host import`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::import::Kind;
use crate::store::ImportProgress;

/// How often the log shows the progress without a terminal.
const LOG_EVERY: Duration = Duration::from_secs(30);

/// The bar: bytes of the file, patients or records per second, remaining time.
pub(super) struct Bar {
    drawn: ProgressBar,
    kind: Kind,
    read: Arc<AtomicU64>,
    started: Instant,
    first: Option<u64>,
    logged: Instant,
}

impl Bar {
    pub(super) fn new(kind: Kind, size: Option<u64>, read: Arc<AtomicU64>) -> Self {
        let (bar, template) = match size {
            Some(size) => (ProgressBar::new(size), "   {bar:40} {bytes}/{total_bytes} {msg}, {eta} left"),
            None => (ProgressBar::no_length(), "   {spinner} {bytes} {msg}"),
        };
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        let now = Instant::now();
        Self { drawn: bar.with_style(style), kind, read, started: now, first: None, logged: now }
    }

    pub(super) fn show(&mut self, progress: &ImportProgress) {
        let done = progress.created + progress.updated + progress.unchanged;
        let first = *self.first.get_or_insert_with(|| {
            // Skipping the records of an earlier run is fast, and would distort the remaining time.
            self.drawn.set_position(self.read.load(Ordering::Relaxed));
            self.drawn.reset_eta();
            done
        });
        let rate = per_second(done - first, self.started.elapsed());
        let kind = self.kind.plural();
        self.drawn.set_position(self.read.load(Ordering::Relaxed));
        self.drawn.set_message(format!("{done} {kind}, {rate}/s"));
        if self.drawn.is_hidden() && self.logged.elapsed() >= LOG_EVERY {
            self.logged = Instant::now();
            tracing::info!(lines = progress.lines_done, kind, done, per_second = rate, "imported so far");
        }
    }

    pub(super) fn clear(&self) {
        self.drawn.finish_and_clear();
    }
}

pub(super) fn per_second(count: u64, elapsed: Duration) -> u64 {
    let millis = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX).max(1);
    count.saturating_mul(1_000) / millis
}
