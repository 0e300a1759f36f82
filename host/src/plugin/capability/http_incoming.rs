//! The response to a request as the guest reads it: decompressed, counted while it arrives, and recorded in a dry run.
//!
//! When it is complete, the request is no longer in flight, nor in doubt.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::Response;
use http_body::{Body, Frame, SizeHint};
use wasmtime_wasi_http::Error;

use super::http_client::AnswerBody;
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

/// A response's body.
pub(super) struct Incoming {
    body: AnswerBody,
    decoder: Option<Decoder>,
    /// Whether the body was read to its end. Some of it may not be decompressed yet.
    is_at_end: bool,
    open: Arc<Open>,
    left: u64,
    ticket: Option<Ticket>,
    /// Until the answer to a request that may write is complete.
    unanswered: Option<Unanswered>,
    seen: Option<Seen>,
}

impl Incoming {
    /// A body of at most `bytes_max` decompressed bytes.
    pub(super) fn new(
        body: AnswerBody,
        decoder: Option<Decoder>,
        (open, bytes_max): (Arc<Open>, u64),
        ticket: Ticket,
        unanswered: Option<Unanswered>,
        seen: Option<Seen>,
    ) -> Self {
        let mut incoming =
            Self { body, decoder, is_at_end: false, open, left: bytes_max, ticket: Some(ticket), unanswered, seen };
        // A guest may never read an empty body.
        if incoming.body.is_end_stream() {
            incoming.is_at_end = true;
            incoming.answered();
        }
        incoming
    }

    /// The server has responded, even if this host rejects the response: the request is no longer in flight, nor in
    /// doubt.
    fn answered(&mut self) {
        self.ticket = None;
        if let Some(unanswered) = self.unanswered.take() {
            unanswered.resolve();
        }
    }

    /// Converts a frame for the guest.
    fn take(&mut self, frame: Frame<Bytes>) -> Result<Frame<Bytes>, Error> {
        let packed = match frame.into_data() {
            Ok(packed) => packed,
            Err(trailers) => return Ok(trailers),
        };
        match self.decoder.as_mut().map(|decoder| decoder.push(&packed)) {
            None => self.count(packed),
            Some(unpacked) => self.count_unpacked(unpacked),
        }
    }

    fn count_unpacked(&mut self, unpacked: Result<Bytes, CodingError>) -> Result<Frame<Bytes>, Error> {
        match unpacked {
            Ok(data) => self.count(data),
            Err(CodingError::TooLarge) => Err(self.too_large()),
            Err(CodingError::Broken) => {
                self.answered();
                Err(Error::HttpResponseContentCoding(Some("the answer cannot be unpacked".to_owned())))
            }
        }
    }

    fn count(&mut self, data: Bytes) -> Result<Frame<Bytes>, Error> {
        match self.left.checked_sub(data.len() as u64) {
            Some(left) => self.left = left,
            None => return Err(self.too_large()),
        }
        if let Some(seen) = &self.seen {
            seen.transcript.body(seen.entry, &data);
        }
        Ok(Frame::data(data))
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
        while !self.is_at_end {
            let frame = match ready!(Pin::new(&mut self.body).poll_frame(context)) {
                None => {
                    self.is_at_end = true;
                    self.answered();
                    let Some(rest) = self.decoder.as_mut().map(Decoder::finish) else { break };
                    self.count_unpacked(rest)
                }
                Some(Err(error)) => {
                    if error.is_timeout() {
                        self.open.fates.record_timeout();
                    }
                    Err(translate(&error))
                }
                Some(Ok(frame)) => self.take(frame),
            };
            if self.body.is_end_stream() {
                self.answered();
            }
            // A part without decompressed bytes is not passed to the guest.
            if !frame.as_ref().is_ok_and(|frame| frame.data_ref().is_some_and(Bytes::is_empty)) {
                return Poll::Ready(Some(frame));
            }
        }
        Poll::Ready(None)
    }

    fn is_end_stream(&self) -> bool {
        // Decompressed bytes may remain after the last compressed part.
        if self.decoder.is_some() { self.is_at_end } else { self.body.is_end_stream() }
    }

    fn size_hint(&self) -> SizeHint {
        if self.decoder.is_some() { SizeHint::default() } else { self.body.size_hint() }
    }
}
