//! The progress bar of `host import`, and its summary.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anstyle::AnsiColor;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use super::import_arguments::Arguments;
use super::output::{json as print_json, line, paint};
use crate::store::ImportProgress;

/// How often the log reports the progress where there is no terminal for a bar.
const LOG_EVERY: Duration = Duration::from_secs(30);

/// The bar: bytes of the file, patients a second, time left.
pub(super) struct Bar {
    drawn: ProgressBar,
    read: Arc<AtomicU64>,
    started: Instant,
    first: Option<u64>,
    logged: Instant,
}

impl Bar {
    pub(super) fn new(size: Option<u64>, read: Arc<AtomicU64>) -> Self {
        let (bar, template) = match size {
            Some(size) => (ProgressBar::new(size), "   {bar:40} {bytes}/{total_bytes} {msg}, {eta} left"),
            None => (ProgressBar::no_length(), "   {spinner} {bytes} {msg}"),
        };
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        let now = Instant::now();
        Self { drawn: bar.with_style(style), read, started: now, first: None, logged: now }
    }

    pub(super) fn show(&mut self, progress: &ImportProgress) {
        let taken = progress.created + progress.updated + progress.unchanged;
        let first = *self.first.get_or_insert_with(|| {
            // Skipping what an earlier run imported is fast, and would distort the time left.
            self.drawn.set_position(self.read.load(Ordering::Relaxed));
            self.drawn.reset_eta();
            taken
        });
        let rate = per_second(taken - first, self.started.elapsed());
        self.drawn.set_position(self.read.load(Ordering::Relaxed));
        self.drawn.set_message(format!("{taken} patients, {rate}/s"));
        if self.drawn.is_hidden() && self.logged.elapsed() >= LOG_EVERY {
            self.logged = Instant::now();
            tracing::info!(lines = progress.lines_done, patients = taken, per_second = rate, "imported so far");
        }
    }

    pub(super) fn clear(&self) {
        self.drawn.finish_and_clear();
    }
}

/// The summary of an import.
pub(super) struct Report {
    /// Progress before this run.
    pub(super) before: ImportProgress,
    /// Progress after this run. Counts are of all runs together.
    pub(super) progress: ImportProgress,
    pub(super) rejects: PathBuf,
    pub(super) elapsed: Duration,
    pub(super) targets: Vec<String>,
}

impl Report {
    pub(super) fn print(&self, arguments: &Arguments) {
        if arguments.json {
            return print_json(&self.as_json(arguments));
        }
        for text in self.lines(arguments) {
            line(&text);
        }
    }

    /// How many patients this run imported.
    fn patients(&self) -> u64 {
        let all = |progress: &ImportProgress| progress.created + progress.updated + progress.unchanged;
        all(&self.progress) - all(&self.before)
    }

    fn lines(&self, arguments: &Arguments) -> Vec<String> {
        let (before, progress) = (&self.before, &self.progress);
        let ok = paint(AnsiColor::Green, "[OK]");
        let mut lines = vec![format!("[IMPORT] {}", arguments.file.display())];
        let is_skipped = before.lines_done > 0 && before.bytes_done == progress.bytes_done;
        if is_skipped {
            lines.push(format!(
                "   {} an earlier run imported the whole file; --again imports it again",
                paint(AnsiColor::Yellow, "[SKIP]")
            ));
        } else {
            if before.lines_done > 0 {
                lines.push(format!("   [INFO] {} lines were imported by an earlier run", before.lines_done));
            }
            let (patients, seconds) = (self.patients(), self.elapsed.as_secs_f64());
            lines.push(format!("   {ok} {patients} patients in {seconds:.1} s ({}/s)", self.rate()));
        }
        let (created, updated, unchanged) = (progress.created, progress.updated, progress.unchanged);
        let would = if arguments.dry_run { "would be " } else { "" };
        lines.push(format!("   Patients: {created} {would}created, {updated} {would}updated, {unchanged} unchanged"));
        if progress.repeated > 0 {
            lines.push(format!(
                "   [INFO] {} records were replaced by a later one of the same patient",
                progress.repeated
            ));
        }
        if progress.rejected > 0 {
            let word = paint(AnsiColor::Red, "[REJECTED]");
            let rejects = self.rejects.display();
            lines.push(format!("   {word} {} records were rejected: see {rejects}", progress.rejected));
        }
        if progress.incomplete > 0 {
            let word = paint(AnsiColor::Yellow, "[LEFT OUT]");
            let rejects = self.rejects.display();
            lines.push(format!(
                "   {word} {} patients were imported without some fields: see {rejects}",
                progress.incomplete
            ));
        }
        if arguments.dry_run {
            lines.push("   [INFO] nothing was written (--dry-run)".to_owned());
        } else if is_skipped {
            // That run queued the patients; they may be delivered by now.
        } else if self.targets.is_empty() {
            lines.push(format!("   [INFO] {} patients queued; no target is enabled yet", created + updated));
        } else {
            lines.extend(
                self.targets
                    .iter()
                    .map(|target| format!("   [INFO] {} patients queued for {target} sync", created + updated)),
            );
        }
        lines
    }

    fn as_json(&self, arguments: &Arguments) -> serde_json::Value {
        let progress = &self.progress;
        json!({
            "file": arguments.file.to_string_lossy(),
            "dry_run": arguments.dry_run,
            "lines": progress.lines_done,
            "lines_before": self.before.lines_done,
            "created": progress.created,
            "updated": progress.updated,
            "unchanged": progress.unchanged,
            "repeated": progress.repeated,
            "rejected": progress.rejected,
            "incomplete": progress.incomplete,
            "rejects": (progress.rejected + progress.incomplete > 0).then(|| self.rejects.to_string_lossy()),
            "elapsed_ms": u64::try_from(self.elapsed.as_millis()).unwrap_or(u64::MAX),
            "per_second": self.rate(),
        })
    }

    fn rate(&self) -> u64 {
        per_second(self.patients(), self.elapsed)
    }
}

fn per_second(count: u64, elapsed: Duration) -> u64 {
    let millis = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX).max(1);
    count.saturating_mul(1_000) / millis
}
