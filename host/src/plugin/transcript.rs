//! Records the operations of an adapter at its target in one call, with their results, for `host plugin dry-run`.
//!
//! It holds patients' data: it is never logged, and shown only by the command that asked for it. It never holds
//! credentials: a request is recorded before the host adds them.

use std::sync::{Arc, Mutex, PoisonError};

use crate::database::{DatabaseError, Execution, Rows, Value};

/// One operation and its result.
#[derive(Clone)]
pub struct TranscriptEntry {
    /// What the adapter requested.
    pub operation: Operation,
    /// `None` when the call was cut off before.
    pub result: Option<OperationResult>,
}

/// An operation at a target.
#[derive(Clone)]
pub enum Operation {
    /// A statement, with parameters written `?`.
    Statement {
        /// As the adapter wrote it.
        sql: String,
        /// The same on one line, without texts and long numbers.
        shape: String,
        /// In their order.
        parameters: Vec<Value>,
    },
    /// A lock by name.
    Lock(String),
    /// An HTTP request, without what the host adds.
    Request {
        /// For example `PUT`.
        method: String,
        /// The whole address.
        url: url::Url,
        /// Names in lower case, with what can be read of the values.
        headers: Vec<(String, String)>,
        /// As it goes out.
        body: Vec<u8>,
    },
}

/// The result of an operation, as the adapter received it.
#[derive(Clone)]
pub enum OperationResult {
    /// Rows of a query.
    Rows(Rows),
    /// What a statement changed.
    Changed(Execution),
    /// The lock was taken.
    Locked,
    /// The host or the target refused it; the reason holds no value.
    Refused(String),
    /// A response, whose body may have been cut off.
    Response {
        /// For example 200.
        status: u16,
        /// As far as the adapter read it.
        body: Vec<u8>,
    },
    /// The request would have written, and was not sent.
    Withheld,
}

/// Written during one call, read after it. Cloning shares it.
#[derive(Clone, Default)]
pub struct Transcript(Arc<Mutex<Vec<TranscriptEntry>>>);

/// The index of an operation whose result is still to come.
#[derive(Clone, Copy)]
pub(super) struct EntryIndex(usize);

impl Transcript {
    /// What was recorded so far.
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

    /// More of a response's body.
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

/// Shows nothing of it.
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
