//! Records what the calls of one batch do at the target, for the journal: templates and counts, never a value.
//!
//! It costs a lookup among few templates for each statement or request. `transcript.rs` keeps everything instead, for
//! one dry run.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::domain::attempt::AdapterIdentity;
use crate::domain::effects::{Effects, path_template};

/// What was recorded.
#[derive(Clone, Debug, Default)]
pub struct Recorded {
    /// The adapter of the last call.
    pub adapter: Option<AdapterIdentity>,
    /// The number of calls.
    pub calls: u64,
    /// The effects of all calls together.
    pub effects: Effects,
}

/// A record that the calls of one batch share. It can be read after a call was dropped halfway.
#[derive(Clone, Debug, Default)]
pub struct AttemptRecorder(Arc<Mutex<Recorded>>);

impl AttemptRecorder {
    /// What was recorded so far.
    #[must_use]
    pub fn recorded(&self) -> Recorded {
        self.lock().clone()
    }

    /// A call of this adapter begins.
    pub(super) fn begin_call(&self, adapter: AdapterIdentity) {
        let mut recorded = self.lock();
        recorded.calls += 1;
        recorded.adapter = Some(adapter);
    }

    /// Counts a statement; `rows` is `None` when it was refused.
    pub(super) fn statement(&self, template: &Arc<str>, rows: Option<u64>) {
        self.lock().effects.add_statement(template, rows);
    }

    /// Counts a request below `base_path`.
    pub(super) fn request(&self, base_path: &str, method: &str, url: &url::Url, status: Option<u16>) {
        let path = path_template(base_path, url.path(), url.query());
        self.lock().effects.add_request(method, &path, status);
    }

    fn lock(&self) -> MutexGuard<'_, Recorded> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
