//! What an adapter asked of its target in one call, and what it was answered, for one who looks on
//! (`host plugin dry-run`).
//!
//! It holds patients' data, so that it is never logged and shown only by whoever asked for it. Credentials never come in:
//! a request is written down before the host adds them.

use std::sync::{Arc, Mutex, PoisonError};

use crate::database::{DatabaseError, Execution, Rows, Value};

/// One question and its answer.
#[derive(Clone)]
pub struct Exchange {
    /// What the adapter asked.
    pub question: Question,
    /// `None` when the call was cut off before there was one.
    pub answer: Option<Answer>,
}

/// What an adapter asked of its target.
#[derive(Clone)]
pub enum Question {
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

/// What the adapter was answered.
#[derive(Clone)]
pub enum Answer {
    /// Rows of a query.
    Rows(Rows),
    /// What a statement changed.
    Changed(Execution),
    /// The lock was taken.
    Locked,
    /// The host or the target said no, in words without values.
    Refused(String),
    /// A response, whose body may have been cut off.
    Response {
        /// For example 200.
        status: u16,
        /// As far as the adapter read it.
        body: Vec<u8>,
    },
    /// It would have written, and was not sent.
    Withheld,
}

/// Written during one call, read after it. Cloning shares it.
#[derive(Clone, Default)]
pub struct Transcript(Arc<Mutex<Vec<Exchange>>>);

/// The place of a question whose answer is still to come.
#[derive(Clone, Copy)]
pub(super) struct Place(usize);

impl Transcript {
    /// What was written down so far.
    #[must_use]
    pub fn exchanges(&self) -> Vec<Exchange> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn ask(&self, question: Question) -> Place {
        let mut exchanges = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        exchanges.push(Exchange { question, answer: None });
        Place(exchanges.len() - 1)
    }

    pub(super) fn answer(&self, place: Place, answer: Answer) {
        self.with(place, |exchange| exchange.answer = Some(answer));
    }

    /// More of a response's body.
    pub(super) fn body(&self, place: Place, more: &[u8]) {
        self.with(place, |exchange| {
            if let Some(Answer::Response { body, .. }) = &mut exchange.answer {
                body.extend_from_slice(more);
            }
        });
    }

    fn with(&self, place: Place, change: impl FnOnce(&mut Exchange)) {
        if let Some(exchange) = self.0.lock().unwrap_or_else(PoisonError::into_inner).get_mut(place.0) {
            change(exchange);
        }
    }
}

/// Shows nothing of it.
impl std::fmt::Debug for Transcript {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Transcript(..)")
    }
}

impl From<&Result<Rows, DatabaseError>> for Answer {
    fn from(result: &Result<Rows, DatabaseError>) -> Self {
        result.as_ref().map_or_else(|error| Self::Refused(error.message.clone()), |rows| Self::Rows(rows.clone()))
    }
}

impl From<&Result<Execution, DatabaseError>> for Answer {
    fn from(result: &Result<Execution, DatabaseError>) -> Self {
        result.as_ref().map_or_else(|error| Self::Refused(error.message.clone()), |done| Self::Changed(*done))
    }
}

impl From<&Result<(), DatabaseError>> for Answer {
    fn from(result: &Result<(), DatabaseError>) -> Self {
        result.as_ref().map_or_else(|error| Self::Refused(error.message.clone()), |()| Self::Locked)
    }
}
