//! Records the operations of an adapter at its target, with their results, for `host plugin dry-run` and for the
//! comparison of two adapters (`host/src/target/compare.rs`).
//!
//! A transcript holds patients' data: it is never logged, and only the command that requested it shows it. A comparison
//! keeps nothing of it. It never holds credentials, because a request is recorded before the host adds them.

use std::sync::{Arc, Mutex, PoisonError};

use crate::database::{DatabaseError, Execution, Rows, Value};

/// One operation and its result.
#[derive(Clone)]
pub struct TranscriptEntry {
    /// What the adapter requested.
    pub operation: Operation,
    /// `None` when the call was aborted before the result.
    pub result: Option<OperationResult>,
}

/// An operation at a target.
#[derive(Clone)]
pub enum Operation {
    /// A statement, with `?` for each parameter.
    Statement {
        /// As the adapter wrote it.
        sql: String,
        /// The statement on one line, without texts and long numbers.
        shape: String,
        /// The parameters in order.
        parameters: Vec<Value>,
    },
    /// A named lock.
    Lock(String),
    /// An HTTP request, without the headers that the host adds.
    Request {
        /// For example `PUT`.
        method: String,
        /// The complete URL.
        url: url::Url,
        /// Names in lower case, and the readable part of the values.
        headers: Vec<(String, String)>,
        /// The body as it is sent.
        body: Vec<u8>,
    },
}

/// The result of an operation, as the adapter received it.
#[derive(Clone)]
pub enum OperationResult {
    /// Rows of a query.
    Rows(Rows),
    /// The number of rows that a statement changed.
    Changed(Execution),
    /// The lock was acquired.
    Locked,
    /// The host or the target refused the operation; the reason holds no value.
    Refused(String),
    /// A response. The adapter may not have read the whole body.
    Response {
        /// For example 200.
        status: u16,
        /// The part of the body that the adapter read.
        body: Vec<u8>,
    },
    /// The request could have written, so it was not sent.
    Withheld,
}

/// A transcript is written during one call and read after it. Clones share their entries.
#[derive(Clone, Default)]
pub struct Transcript(Arc<Mutex<Vec<TranscriptEntry>>>);

/// The index of an operation whose result is not known yet.
#[derive(Clone, Copy)]
pub(super) struct EntryIndex(usize);

impl Transcript {
    /// The entries recorded so far.
    #[must_use]
    pub fn entries(&self) -> Vec<TranscriptEntry> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn begin(&self, operation: Operation) -> EntryIndex {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        entries.push(TranscriptEntry { operation, result: None });
        EntryIndex(entries.len() - 1)
    }

    pub(super) fn complete(&self, index: EntryIndex, result: OperationResult) {
        self.update(index, |entry| entry.result = Some(result));
    }

    /// Appends a part of a response's body.
    pub(super) fn body(&self, index: EntryIndex, more: &[u8]) {
        self.update(index, |entry| {
            if let Some(OperationResult::Response { body, .. }) = &mut entry.result {
                body.extend_from_slice(more);
            }
        });
    }

    fn update(&self, index: EntryIndex, change: impl FnOnce(&mut TranscriptEntry)) {
        if let Some(entry) = self.0.lock().unwrap_or_else(PoisonError::into_inner).get_mut(index.0) {
            change(entry);
        }
    }
}

/// `Debug` shows nothing of the content.
impl std::fmt::Debug for Transcript {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Transcript(..)")
    }
}

impl From<&Result<Rows, DatabaseError>> for OperationResult {
    fn from(result: &Result<Rows, DatabaseError>) -> Self {
        result.as_ref().map_or_else(|error| Self::Refused(error.message.clone()), |rows| Self::Rows(rows.clone()))
    }
}

impl From<&Result<Execution, DatabaseError>> for OperationResult {
    fn from(result: &Result<Execution, DatabaseError>) -> Self {
        result.as_ref().map_or_else(|error| Self::Refused(error.message.clone()), |done| Self::Changed(*done))
    }
}

impl From<&Result<(), DatabaseError>> for OperationResult {
    fn from(result: &Result<(), DatabaseError>) -> Self {
        result.as_ref().map_or_else(|error| Self::Refused(error.message.clone()), |()| Self::Locked)
    }
}
