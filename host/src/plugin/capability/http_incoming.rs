//! The response to a request as the guest reads it: decompressed, counted while it arrives, and recorded in a dry run.
//!
//! When it is complete, the request is no longer in flight, nor in doubt. A packed body is unpacked to its end before
//! the guest gets the response: a few packed bytes would otherwise exceed the guest's memory before they exceed the
//! limit of a response, and wasmtime loses the code of an error that comes with a body.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http::Response;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use wasmtime_wasi_http::Error;

use super::http_client::{AnswerBody, SendError};
use super::http_coding::{CodingError, Decoder};
use super::http_errors::translate;
use super::http_fate::Unanswered;
use super::http_open::Open;
use crate::plugin::Transcript;
use crate::plugin::limits::LimitExceeded;
use crate::plugin::transcript::{EntryIndex, OperationResult};

/// A request in the transcript of a call.
pub(super) struct Seen {
    pub(super) transcript: Transcript,
    pub(super) entry: EntryIndex,
}

impl Seen {
    pub(super) fn record(&self, response: Result<&Response<AnswerBody>, &Error>, withheld: bool) {
        let answer = match response {
            Ok(response) => OperationResult::Response { status: response.status().as_u16(), body: Vec::new() },
            Err(_) if withheld => OperationResult::Withheld,
            Err(error) => OperationResult::Refused(format!("{error:?}")),
        };
        self.transcript.complete(self.entry, answer);
    }
}

/// One of the requests in flight, until its response was read or abandoned.
pub(super) struct Ticket(Arc<Open>);

impl Ticket {
    pub(super) fn take(open: &Arc<Open>) -> Result<Self, Error> {
        let ticket = Self(Arc::clone(open));
        let max = open.limits.http_requests_in_flight_max;
        if open.in_flight.fetch_add(1, Ordering::AcqRel) >= max {
            return Err(open.limit_exceeded(
                LimitExceeded::new("http_requests_in_flight_max", max),
                Error::ConnectionLimitReached,
            ));
        }
        Ok(ticket)
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::AcqRel);
    }
}

/// A response's body that is not packed.
pub(super) struct Incoming {
    body: AnswerBody,
    open: Arc<Open>,
    left: u64,
    ticket: Option<Ticket>,
    /// Until the answer to a request that may write is complete.
    unanswered: Option<Unanswered>,
    seen: Option<Seen>,
}

impl Incoming {
    /// A body of at most `bytes_max`.
    pub(super) fn new(
        body: AnswerBody,
        (open, bytes_max): (Arc<Open>, u64),
        ticket: Ticket,
        unanswered: Option<Unanswered>,
        seen: Option<Seen>,
    ) -> Self {
        let mut incoming = Self { body, open, left: bytes_max, ticket: Some(ticket), unanswered, seen };
        // A guest may never look for a body that there is not.
        if incoming.body.is_end_stream() {
            incoming.answered();
        }
        incoming
    }

    /// Reads a packed body to its end.
    ///
    /// # Errors
    /// It decompresses to more than its limit, cannot be decompressed, or breaks off.
    pub(super) async fn unpacked(mut self, mut decoder: Decoder) -> Result<Bytes, Error> {
        let mut all = BytesMut::new();
        loop {
            let frame = self.body.frame().await;
            let part = match &frame {
                None => decoder.finish(),
                Some(Ok(frame)) => frame.data_ref().map_or(Ok(Bytes::new()), |packed| decoder.push(packed)),
                Some(Err(error)) => return Err(self.broke(error)),
            };
            match part {
                Ok(part) => all.extend_from_slice(&part),
                Err(CodingError::TooLarge) => return Err(self.too_large()),
                Err(CodingError::Broken) => {
                    self.answered();
                    return Err(Error::HttpResponseContentCoding(None));
                }
            }
            if frame.is_none() {
                break;
            }
        }
        self.answered();
        let all = all.freeze();
        self.count(&all)?;
        Ok(all)
    }

    /// The server has answered, whatever this host makes of it: the request is no longer in flight, nor in doubt.
    fn answered(&mut self) {
        self.ticket = None;
        if let Some(unanswered) = self.unanswered.take() {
            unanswered.resolve();
        }
    }

    /// Counts a part of the body, and records it.
    fn count(&mut self, data: &Bytes) -> Result<(), Error> {
        match self.left.checked_sub(data.len() as u64) {
            Some(left) => self.left = left,
            None => return Err(self.too_large()),
        }
        if let Some(seen) = &self.seen {
            seen.transcript.body(seen.entry, data);
        }
        Ok(())
    }

    /// The rest of the body does not come.
    fn broke(&self, error: &SendError) -> Error {
        if error.is_timeout() {
            self.open.fates.record_timeout();
        }
        translate(error)
    }

    /// The server has responded; this host stops reading.
    fn too_large(&mut self) -> Error {
        self.answered();
        let max = self.open.limits.http_response_bytes_max;
        self.open
            .limit_exceeded(LimitExceeded::new("http_response_bytes_max", max), Error::HttpResponseBodySize(Some(max)))
    }
}

impl Body for Incoming {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let frame = match ready!(Pin::new(&mut self.body).poll_frame(context)) {
            None => {
                self.answered();
                return Poll::Ready(None);
            }
            Some(Err(error)) => Err(self.broke(&error)),
            Some(Ok(frame)) => match frame.data_ref().map(|data| self.count(data)) {
                Some(Err(error)) => Err(error),
                Some(Ok(())) | None => Ok(frame),
            },
        };
        if self.body.is_end_stream() {
            self.answered();
        }
        Poll::Ready(Some(frame))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
