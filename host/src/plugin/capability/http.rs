//! Outgoing HTTP: every request of an adapter is compared with the target's allow-list, stripped of what it may not set,
//! given the credentials, fenced if it may write, and counted in number and bytes.
//!
//! The guest sees errors of `wasi:http`. A limit that was met is also noted, so that the operator reads which one it was.

use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use http::{HeaderMap, HeaderName, Method, Request, Response, header};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use wasmtime_wasi_http::{Error, ForbiddenHeaderFilter, RequestOptions, WasiBody, WasiHttpHooks};

use super::http_access::HttpAccess;
use super::http_credentials::Authorization;
use super::http_errors::{translate, was_never_sent};
use super::http_fate::{RequestFates, Unanswered};
use super::http_fence::Fence;
use super::http_list::Refusal;
use crate::plugin::limits::Breach;
use crate::plugin::state::Meters;
use crate::plugin::transcript::{Answer, Place, Question};
use crate::plugin::{CallContext, Limits, Transcript};

/// What a guest may neither set nor read: the connection's own headers, and everything that authenticates.
static FORBIDDEN: LazyLock<[HeaderName; 18]> = LazyLock::new(|| {
    [
        header::HOST,
        header::CONNECTION,
        header::UPGRADE,
        header::TE,
        header::TRAILER,
        header::TRANSFER_ENCODING,
        header::EXPECT,
        header::FORWARDED,
        header::AUTHORIZATION,
        header::COOKIE,
        header::SET_COOKIE,
        header::PROXY_AUTHENTICATE,
        header::PROXY_AUTHORIZATION,
        HeaderName::from_static("proxy-authentication-info"),
        HeaderName::from_static("proxy-connection"),
        HeaderName::from_static("keep-alive"),
        HeaderName::from_static("http2-settings"),
        HeaderName::from_static("x-forwarded-for"),
    ]
});

/// The way out for the HTTP requests of one call; closed for a call that was given none.
pub(in crate::plugin) struct HttpDoor {
    open: Option<Arc<Open>>,
}

struct Open {
    access: Arc<HttpAccess>,
    fence: Arc<dyn Fence>,
    fates: RequestFates,
    limits: Limits,
    meters: Arc<Meters>,
    transcript: Option<Transcript>,
    in_flight: AtomicU64,
}

impl HttpDoor {
    pub(in crate::plugin) fn closed() -> Self {
        Self { open: None }
    }

    pub(in crate::plugin) fn open(
        access: Arc<HttpAccess>,
        (fence, fates): (Arc<dyn Fence>, RequestFates),
        context: &CallContext,
        meters: Arc<Meters>,
    ) -> Self {
        let (limits, transcript) = (context.limits.clone(), context.transcript.clone());
        let in_flight = AtomicU64::new(0);
        Self { open: Some(Arc::new(Open { access, fence, fates, limits, meters, transcript, in_flight })) }
    }

    pub(in crate::plugin) fn is_open(&self) -> bool {
        self.open.is_some()
    }
}

type Answered = (Response<WasiBody>, Box<dyn Future<Output = Result<(), Error>> + Send>);

impl WasiHttpHooks for HttpDoor {
    fn forbidden_header_filter(&mut self) -> ForbiddenHeaderFilter {
        Arc::new(|name| FORBIDDEN.contains(name))
    }

    fn set_host_header(&mut self) -> bool {
        // The client sets it, from the URL that was checked.
        false
    }

    fn send_request(
        &mut self,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
        _: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<dyn Future<Output = Result<Answered, Error>> + Send> {
        match &self.open {
            None => Box::new(std::future::ready(Err(Error::HttpRequestDenied))),
            Some(open) => {
                let sending = Arc::clone(open).send(request, options);
                Box::new(async move {
                    let response = sending.await?;
                    let nothing: Box<dyn Future<Output = Result<(), Error>> + Send> =
                        Box::new(std::future::ready(Ok(())));
                    Ok((response, nothing))
                })
            }
        }
    }
}

impl Open {
    fn send(
        self: Arc<Self>,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
    ) -> BoxFuture<'static, Result<Response<WasiBody>, Error>> {
        Box::pin(async move {
            let url = self.access.check(request.uri()).map_err(|refusal| match refusal {
                Refusal::Malformed => Error::HttpRequestUriInvalid,
                Refusal::NotListed => Error::HttpRequestDenied,
                Refusal::Address => Error::DestinationIpProhibited,
            })?;
            if !self.access.methods.contains(request.method()) {
                return Err(Error::HttpRequestMethodInvalid);
            }
            let ticket = Ticket::take(&self)?;
            let (parts, body) = request.into_parts();
            if let Some(breach) = self.headers_breach(&parts.headers) {
                let max = u32::try_from(self.limits.http_header_bytes_max).ok();
                return Err(self.over(breach, Error::HttpRequestHeaderSectionSize(max)));
            }
            let body = self.gather(body).await?;
            let mut headers = parts.headers;
            for name in FORBIDDEN.iter().chain([&header::CONTENT_LENGTH]) {
                headers.remove(name);
            }
            let wait = first_byte_timeout(options.as_ref(), self.access.timeout);
            let prepared = Prepared { method: parts.method, url, headers, body };
            let seen = self.watch(&prepared)?;
            let response = match tokio::time::timeout(wait, self.exchange(&prepared)).await {
                Ok(exchanged) => exchanged,
                Err(_) => {
                    self.fates.note_timeout();
                    Err(Error::HttpResponseTimeout)
                }
            };
            if let Some(seen) = &seen {
                let response = response.as_ref().map(|(response, _)| response);
                seen.note(response, is_write(&prepared.method) && self.meters.lease_lost());
            }
            let (response, unanswered) = response?;
            self.receive(response, unanswered, ticket, seen)
        })
    }

    /// One request with the credentials; once more with new ones when the target does not accept a token. What may write comes
    /// with its doubt, until the body of the answer is there too.
    async fn exchange(&self, prepared: &Prepared) -> Result<(reqwest::Response, Option<Unanswered>), Error> {
        let mut renewed = false;
        loop {
            let authorization = self.access.authorizer.authorize().await.map_err(|failure| {
                self.meters.note_unauthorized(failure);
                Error::InternalError(Some("the host has no credentials for the target".to_owned()))
            })?;
            let unanswered = is_write(&prepared.method).then(|| self.fates.sending());
            // Asked last, so that as little time as possible lies between the answer and the request.
            if unanswered.is_some() && !self.fence.renew().await {
                unanswered.map(Unanswered::resolve);
                self.meters.lose_lease();
                return Err(Error::HttpRequestDenied);
            }
            let generation = authorization.as_ref().map(|authorization| authorization.generation);
            self.meters.requests.add();
            let request = prepared.request(&self.access.client, authorization);
            let response = match request.send().await {
                Ok(response) => response,
                Err(error) => return Err(self.failed_to_answer(&error, unanswered)),
            };
            let refused = response.status() == http::StatusCode::UNAUTHORIZED
                && generation.is_some_and(|generation| self.access.authorizer.refused(generation));
            if !refused || renewed {
                return Ok((response, unanswered));
            }
            unanswered.map(Unanswered::resolve);
            renewed = true;
        }
    }

    /// There is no answer: the request stays in doubt, unless it cannot have reached the server.
    fn failed_to_answer(&self, error: &reqwest::Error, unanswered: Option<Unanswered>) -> Error {
        if was_never_sent(error) {
            unanswered.map(Unanswered::resolve);
        }
        if error.is_timeout() {
            self.fates.note_timeout();
        }
        self.translate_head(error)
    }

    /// The whole body, within its limit. The guest writes it after it has handed the request over.
    async fn gather(&self, body: WasiBody) -> Result<Bytes, Error> {
        let max = self.limits.http_request_bytes_max;
        match Limited::new(body, usize::try_from(max).unwrap_or(usize::MAX)).collect().await {
            Ok(collected) => Ok(collected.to_bytes()),
            Err(error) if error.is::<LengthLimitError>() => {
                Err(self.over(Breach::new("http_request_bytes_max", max), Error::HttpRequestBodySize(Some(max))))
            }
            // The guest broke off its own body.
            Err(_) => Err(Error::HttpProtocolError),
        }
    }

    /// Writes the request down where somebody looks on. He is told of nothing after a write that was withheld: from there
    /// on the adapter does what it would not have done.
    fn watch(&self, prepared: &Prepared) -> Result<Option<Seen>, Error> {
        let Some(transcript) = &self.transcript else { return Ok(None) };
        if self.meters.lease_lost() {
            return Err(Error::HttpRequestDenied);
        }
        Ok(Some(Seen { place: transcript.ask(prepared.question()), transcript: transcript.clone() }))
    }

    fn receive(
        self: Arc<Self>,
        response: reqwest::Response,
        mut unanswered: Option<Unanswered>,
        ticket: Ticket,
        seen: Option<Seen>,
    ) -> Result<Response<WasiBody>, Error> {
        let status = response.status();
        if is_a_gateways_word(status) {
            // Dropped, it stays in doubt.
            drop(unanswered.take());
        } else if status.is_client_error() || status.is_server_error() {
            // The server does not go on working on what it refuses, whatever the rest of the answer says.
            unanswered.take().map(Unanswered::resolve);
        }
        if let Some(breach) = self.headers_breach(response.headers()) {
            return Err(self.headers_over(breach));
        }
        let max = self.limits.http_response_bytes_max;
        if response.content_length().is_some_and(|length| length > max) {
            return Err(self.over(Breach::new("http_response_bytes_max", max), Error::HttpResponseBodySize(Some(max))));
        }
        let response: Response<reqwest::Body> = response.into();
        Ok(response.map(|body| {
            let mut incoming = Incoming { body, open: self, left: max, ticket: Some(ticket), unanswered, seen };
            // A guest may never look for a body that there is not.
            if incoming.body.is_end_stream() {
                incoming.end();
            }
            incoming.boxed_unsync()
        }))
    }

    /// Whether there are too many headers, or too many bytes in them.
    fn headers_breach(&self, headers: &HeaderMap) -> Option<Breach> {
        let Limits { http_headers_max, http_header_bytes_max, .. } = self.limits;
        if headers.len() as u64 > http_headers_max {
            return Some(Breach::new("http_headers_max", http_headers_max));
        }
        let bytes: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
        (bytes as u64 > http_header_bytes_max).then(|| Breach::new("http_header_bytes_max", http_header_bytes_max))
    }

    fn headers_over(&self, breach: Breach) -> Error {
        let max = u32::try_from(self.limits.http_header_bytes_max).ok();
        self.over(breach, Error::HttpResponseHeaderSectionSize(max))
    }

    /// The client gives up on a head that is larger than any limit of ours can be.
    fn translate_head(&self, error: &reqwest::Error) -> Error {
        let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
        while let Some(inner) = cause {
            if inner.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_parse_too_large) {
                return self.headers_over(Breach::new("http_header_bytes_max", self.limits.http_header_bytes_max));
            }
            cause = inner.source();
        }
        translate(error)
    }

    fn over(&self, breach: Breach, error: Error) -> Error {
        self.meters.note(breach);
        error
    }
}

/// A request as it goes out, but for the credentials.
struct Prepared {
    method: Method,
    url: url::Url,
    headers: HeaderMap,
    body: Bytes,
}

impl Prepared {
    fn request(&self, client: &reqwest::Client, authorization: Option<Authorization>) -> reqwest::RequestBuilder {
        let mut headers = self.headers.clone();
        if let Some(authorization) = authorization {
            headers.insert(header::AUTHORIZATION, authorization.header);
        }
        let request = client.request(self.method.clone(), self.url.clone()).headers(headers);
        if self.body.is_empty() && !is_write(&self.method) { request } else { request.body(self.body.clone()) }
    }

    fn question(&self) -> Question {
        let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        Question::Request {
            method: self.method.to_string(),
            url: self.url.clone(),
            headers: self.headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect(),
            body: self.body.to_vec(),
        }
    }
}

/// A request in the transcript of a call.
struct Seen {
    transcript: Transcript,
    place: Place,
}

impl Seen {
    fn note(&self, response: Result<&reqwest::Response, &Error>, withheld: bool) {
        let answer = match response {
            Ok(response) => Answer::Response { status: response.status().as_u16(), body: Vec::new() },
            Err(_) if withheld => Answer::Withheld,
            Err(error) => Answer::Refused(format!("{error:?}")),
        };
        self.transcript.answer(self.place, answer);
    }
}

fn is_write(method: &Method) -> bool {
    !matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

/// A gateway says that it got no answer in time, or lost the connection: the server behind it may go on.
fn is_a_gateways_word(status: http::StatusCode) -> bool {
    matches!(status, http::StatusCode::BAD_GATEWAY | http::StatusCode::GATEWAY_TIMEOUT)
}

/// The guest may be less patient than the operator, not more.
fn first_byte_timeout(options: Option<&RequestOptions>, longest: Duration) -> Duration {
    options.and_then(|options| options.first_byte_timeout).map_or(longest, |wish| wish.min(longest))
}

/// One of the requests in flight, until its answer was read or given up.
struct Ticket(Arc<Open>);

impl Ticket {
    fn take(open: &Arc<Open>) -> Result<Self, Error> {
        let ticket = Self(Arc::clone(open));
        let max = open.limits.http_requests_in_flight_max;
        if open.in_flight.fetch_add(1, Ordering::AcqRel) >= max {
            return Err(open.over(Breach::new("http_requests_in_flight_max", max), Error::ConnectionLimitReached));
        }
        Ok(ticket)
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::AcqRel);
    }
}

/// A response's body, counted as it comes in.
struct Incoming {
    body: reqwest::Body,
    open: Arc<Open>,
    left: u64,
    ticket: Option<Ticket>,
    /// Until the answer to a request that may write is complete.
    unanswered: Option<Unanswered>,
    seen: Option<Seen>,
}

impl Incoming {
    /// The answer is complete: the request is no longer in flight, nor in doubt.
    fn end(&mut self) {
        self.ticket = None;
        self.unanswered.take().map(Unanswered::resolve);
    }
}

impl Body for Incoming {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let frame = match ready!(Pin::new(&mut self.body).poll_frame(context)) {
            None => {
                self.end();
                return Poll::Ready(None);
            }
            Some(Err(error)) => {
                if error.is_timeout() {
                    self.open.fates.note_timeout();
                }
                return Poll::Ready(Some(Err(translate(&error))));
            }
            Some(Ok(frame)) => frame,
        };
        let length = frame.data_ref().map_or(0, |data| data.len() as u64);
        let Some(left) = self.left.checked_sub(length) else {
            // The server has answered; it is this host that does not read on.
            self.end();
            let max = self.open.limits.http_response_bytes_max;
            let error =
                self.open.over(Breach::new("http_response_bytes_max", max), Error::HttpResponseBodySize(Some(max)));
            return Poll::Ready(Some(Err(error)));
        };
        self.left = left;
        if let (Some(seen), Some(data)) = (&self.seen, frame.data_ref()) {
            seen.transcript.body(seen.place, data);
        }
        if self.body.is_end_stream() {
            self.end();
        }
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
