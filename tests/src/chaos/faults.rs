//! Owns the record of what was broken: counted by kind for the summary, and line by line for whoever replays a run.

use std::{
    collections::BTreeMap,
    fs::File,
    io::Write as _,
    path::Path,
    sync::Mutex,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};

use crate::mutex::lock;

/// Faults and calm follow each other: nothing is broken in the last part of each cycle, so that work gets done.
const STORM: Duration = Duration::from_secs(16);
const CALM: Duration = Duration::from_secs(4);

/// What was broken so far, and for how long it goes on.
pub(crate) struct Faults {
    began: Instant,
    duration: Duration,
    counts: Mutex<BTreeMap<String, u64>>,
    journal: Mutex<File>,
}

impl Faults {
    /// Begins now; the journal is a new file.
    pub(crate) fn begin(duration: Duration, journal: &Path) -> Result<Self> {
        let file = File::create(journal).with_context(|| format!("make {}", journal.display()))?;
        Ok(Self { began: Instant::now(), duration, counts: Mutex::default(), journal: Mutex::new(file) })
    }

    /// Counts one fault of this kind at this part.
    pub(crate) fn note(&self, kind: &str, part: &str) {
        *lock(&self.counts).entry(kind.to_owned()).or_default() += 1;
        self.remark(&format!("{kind}: {part}"));
    }

    /// Writes something into the journal that is no fault.
    pub(crate) fn remark(&self, text: &str) {
        // The journal helps people; a run does not fail for it.
        let _written = writeln!(lock(&self.journal), "{:>8} ms  {text}", self.began.elapsed().as_millis());
    }

    /// Waits so long, in small steps; false once the time of faults is over.
    pub(crate) fn pause(&self, pause: Duration) -> bool {
        let until = Instant::now() + pause;
        while !self.are_over() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return true;
            }
            std::thread::sleep(left.min(Duration::from_millis(50)));
        }
        false
    }

    /// As [`Self::pause`], and then until the next time when something may be broken.
    pub(crate) fn pause_and_calm(&self, pause: Duration) -> bool {
        let mut goes_on = self.pause(pause);
        while goes_on && self.is_calm() {
            goes_on = self.pause(Duration::from_millis(50));
        }
        goes_on
    }

    /// Whether the time of faults is over.
    pub(crate) fn are_over(&self) -> bool {
        self.began.elapsed() >= self.duration || crate::servers::process::is_interrupted()
    }

    fn is_calm(&self) -> bool {
        self.began.elapsed().as_millis() % (STORM + CALM).as_millis() >= STORM.as_millis()
    }

    /// Each kind with its number.
    pub(crate) fn counts(&self) -> BTreeMap<String, u64> {
        lock(&self.counts).clone()
    }
}
