//! The inputs of a call, and the resources that it used.

use std::sync::{Arc, Mutex, PoisonError};

use super::{AttemptRecorder, Limits, Repeatable, TapeUse, Transcript};
use crate::domain::change::RemoteEdit;

/// What stays the same for every call to a target.
#[derive(Clone, Debug, Default)]
pub struct CallContext {
    /// The target's name.
    pub target: String,
    /// `[targets.NAME.settings]` as one JSON object; `{}` when there is none. Never a secret.
    pub settings_json: String,
    /// `[targets.NAME.http] base_url` without a trailing slash.
    pub base_url: Option<String>,
    /// The limits of a call.
    pub limits: Limits,
    /// Receives a copy of the adapter's log lines.
    pub log_tap: Option<LogTap>,
    /// Records the operations at the target, in a dry run or a comparison.
    pub transcript: Option<Transcript>,
    /// Records the effects at the target, for the journal.
    pub recorder: Option<AttemptRecorder>,
    /// Records the answers of an HTTP target, or gives them again, in a comparison.
    pub tape: Option<TapeUse>,
    /// The clock and the random numbers, in a comparison.
    pub repeatable: Option<Repeatable>,
}

/// The context that an adapter receives with every `apply` and `observe`, next to their subjects.
#[derive(Clone, Copy, Debug)]
pub struct Given<'a> {
    /// What its last `check` returned.
    pub state: &'a [u8],
    /// The learned state that an `apply` since then returned.
    pub learned: &'a [u8],
    /// What to do with a record that was edited at the target.
    pub on_remote_edit: RemoteEdit,
}

/// Keeps the log lines of calls, for the conformance suite.
#[derive(Clone, Default)]
pub struct LogTap(Arc<Mutex<Vec<String>>>);

impl LogTap {
    /// The lines so far.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn record(&self, line: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(line.to_owned());
    }
}

/// Shows no line.
impl std::fmt::Debug for LogTap {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("LogTap(..)")
    }
}

/// The resources that a call used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Wall clock, milliseconds.
    pub elapsed_ms: u64,
    /// Time that the adapter computed, in steps of 10 milliseconds.
    pub cpu_ms: u64,
    /// Memory at the end, bytes (it never shrinks).
    pub memory_bytes: u64,
    /// Calls into the host.
    pub host_calls: u64,
    /// SQL statements that reached the database.
    pub statements: u64,
    /// HTTP requests that were sent.
    pub requests: u64,
    /// Log lines.
    pub log_lines: u64,
}
