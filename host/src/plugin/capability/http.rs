//! Outgoing HTTP: checks every request of an adapter against the target's allow-list, removes the headers that it may
//! not set, adds the credentials, renews the lease before a write, and counts requests and bytes.
//!
//! The guest sees errors of `wasi:http`. An exceeded limit is also recorded, so that the operator learns which one it
//! was.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, header};
use http_body::Body as _;
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use opentelemetry::Context;
use wasmtime_wasi_http::{Error, ForbiddenHeaderFilter, RequestOptions, WasiBody, WasiHttpHooks};

use super::http_access::HttpAccess;
use super::http_client::{AnswerBody, INTERIM_HEADS_MAX, SendError};
use super::http_coding::{ACCEPTED, Decoder};
use super::http_credentials::Authorization;
use super::http_errors::{translate, was_never_sent};
use super::http_fate::{RequestFates, Unanswered, may_be_a_gateways_word};
use super::http_fence::Fence;
use super::http_incoming::{Incoming, Seen, Ticket};
use super::http_list::Refusal;
use super::http_open::Open;
use crate::domain::headers::{is_closed_to_adapters, is_same};
use crate::plugin::auth_failure::AuthFailure;
use crate::plugin::limits::LimitExceeded;
use crate::plugin::meters::Meters;
use crate::plugin::span::RequestSpan;
use crate::plugin::tape::{Recording, TapeAnswer};
use crate::plugin::transcript::{Operation, OperationResult};
use crate::plugin::{CallContext, Limits, Tape, TapeUse};

/// The HTTP capability of one call; `none` for a call without one.
pub(in crate::plugin) struct HttpCapability {
    open: Option<Arc<Open>>,
}

impl HttpCapability {
    pub(in crate::plugin) fn none() -> Self {
        Self { open: None }
    }

    pub(in crate::plugin) fn open(
        access: Arc<HttpAccess>,
        (fence, fates): (Arc<dyn Fence>, RequestFates),
        context: &CallContext,
        meters: Arc<Meters>,
    ) -> Self {
        let (limits, transcript) = (context.limits.clone(), context.transcript.clone());
        let (recorder, tape, in_flight) = (context.recorder.clone(), context.tape.clone(), AtomicU64::new(0));
        let open = Open { access, fence, fates, limits, meters, transcript, recorder, tape, in_flight };
        Self { open: Some(Arc::new(open)) }
    }

    pub(in crate::plugin) fn is_open(&self) -> bool {
        self.open.is_some()
    }
}

type Answered = (Response<WasiBody>, Box<dyn Future<Output = Result<(), Error>> + Send>);

impl WasiHttpHooks for HttpCapability {
    fn forbidden_header_filter(&mut self) -> ForbiddenHeaderFilter {
        Arc::new(|name| is_closed_to_adapters(name.as_str()))
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
        // The guest's call is under way now, and no longer when this future is polled.
        let caller = Context::current();
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
            if let Some(exceeded) = self.exceeded_header_limit(&parts.headers) {
                let max = u32::try_from(self.limits.http_header_bytes_max).ok();
                return Err(self.limit_exceeded(exceeded, Error::HttpRequestHeaderSectionSize(max)));
            }
            let body = self.gather(body).await?;
            let mut headers = parts.headers;
            remove_where(&mut headers, |name| {
                is_closed_to_adapters(name) || is_same(name, "content-length") || is_same(name, "accept-encoding")
            });
            let wait = first_byte_timeout(options.as_ref(), self.access.timeout);
            let mut prepared = Prepared { method: parts.method, url, headers, body };
            let seen = self.record(&prepared)?;
            if let Some(TapeUse::Play(tape)) = &self.tape
                && let Some(played) = self.play(tape, &prepared, seen.as_ref())
            {
                return played;
            }
            let recording =
                self.tape.as_ref().and_then(|tape| tape.record(&prepared.method, &prepared.url, &prepared.body));
            let span = RequestSpan::begin(&caller, &prepared.method, &prepared.url);
            if let Some(traceparent) = span.traceparent() {
                prepared.headers.insert(HeaderName::from_static("traceparent"), traceparent);
            }
            let exchange = span.run(self.exchange(&prepared));
            let response = if let Ok(exchanged) = tokio::time::timeout(wait, exchange).await {
                exchanged
            } else {
                self.fates.record_timeout();
                Err(Error::HttpResponseTimeout)
            };
            span.end(response.as_ref().ok().map(|(response, _)| response.status()));
            if let Some(seen) = &seen {
                let response = response.as_ref().map(|(response, _)| response);
                seen.record(response, is_write(&prepared.method) && self.meters.lease_lost());
            }
            let status = response.as_ref().ok().map(|(response, _)| response.status());
            self.record_effect(&prepared.method, &prepared.url, status);
            let (response, unanswered) = response?;
            self.receive(response, prepared.headers.get(header::ACCEPT), unanswered, ticket, (seen, recording)).await
        })
    }

    /// Sends one request with the credentials, and once more with new ones when the target rejects a token. A request
    /// that may write stays in doubt until the body of the response is complete.
    async fn exchange(&self, prepared: &Prepared) -> Result<(Response<AnswerBody>, Option<Unanswered>), Error> {
        let mut renewed = false;
        loop {
            let authorization =
                self.access.authorizer.authorize().await.map_err(|failure| self.unauthorized(failure))?;
            let added = self.access.added_headers().await.map_err(|failure| self.unauthorized(failure))?;
            let unanswered = is_write(&prepared.method).then(|| self.fates.sending());
            // Last, so that as little time as possible passes between the renewal and the request.
            if unanswered.is_some() && !self.fence.renew().await {
                if let Some(unanswered) = unanswered {
                    unanswered.resolve();
                }
                self.meters.lose_lease();
                return Err(Error::HttpRequestDenied);
            }
            let generation = authorization.as_ref().map(|authorization| authorization.generation);
            self.meters.requests.add();
            let request = prepared.request(authorization, added)?;
            let response = match self.access.client.send(request, self.limits.http_header_bytes_max).await {
                Ok(response) => response,
                Err(error) => return Err(self.failed_to_answer(&error, unanswered)),
            };
            let refused = response.status() == http::StatusCode::UNAUTHORIZED
                && generation.is_some_and(|generation| self.access.authorizer.refused(generation));
            if !refused || renewed {
                return Ok((response, unanswered));
            }
            if let Some(unanswered) = unanswered {
                unanswered.resolve();
            }
            renewed = true;
        }
    }

    fn unauthorized(&self, failure: AuthFailure) -> Error {
        self.meters.record_unauthorized(failure);
        Error::InternalError(Some("the host has no credentials for the target".to_owned()))
    }

    /// There is no response: the request stays in doubt, unless it cannot have reached the server.
    fn failed_to_answer(&self, error: &SendError, unanswered: Option<Unanswered>) -> Error {
        if let Some(unanswered) = unanswered.filter(|_| was_never_sent(error)) {
            unanswered.resolve();
        }
        if error.is_timeout() {
            self.fates.record_timeout();
        }
        self.translate_head(error)
    }

    /// Reads the whole body, within its limit. The guest writes it after it has passed the request on.
    async fn gather(&self, body: WasiBody) -> Result<Bytes, Error> {
        let max = self.limits.http_request_bytes_max;
        match Limited::new(body, usize::try_from(max).unwrap_or(usize::MAX)).collect().await {
            Ok(collected) => Ok(collected.to_bytes()),
            Err(error) if error.is::<LengthLimitError>() => Err(self.limit_exceeded(
                LimitExceeded::new("http_request_bytes_max", max),
                Error::HttpRequestBodySize(Some(max)),
            )),
            // The guest aborted its own body.
            Err(_) => Err(Error::HttpProtocolError),
        }
    }

    /// Records the request in a dry run. Stops after the first withheld write, because the adapter's later requests
    /// depend on its response.
    fn record(&self, prepared: &Prepared) -> Result<Option<Seen>, Error> {
        let Some(transcript) = &self.transcript else { return Ok(None) };
        if self.meters.lease_lost() {
            return Err(Error::HttpRequestDenied);
        }
        Ok(Some(Seen { entry: transcript.begin(prepared.operation()), transcript: transcript.clone() }))
    }

    /// Answers a request from a tape; `None` for a reading one that the tape does not have, which is sent. A writing
    /// one is never sent.
    fn play(&self, tape: &Tape, prepared: &Prepared, seen: Option<&Seen>) -> Option<Result<Response<WasiBody>, Error>> {
        let may_write = is_write(&prepared.method);
        let answer = tape.answer(&prepared.method, &prepared.url, &prepared.body, may_write);
        let result = match &answer {
            Some(TapeAnswer { status, body, .. }) => {
                OperationResult::Response { status: status.as_u16(), body: body.to_vec() }
            }
            None if may_write => OperationResult::Withheld,
            None => return None,
        };
        if let Some(seen) = seen {
            seen.transcript.complete(seen.entry, result);
        }
        let Some(TapeAnswer { status, headers, body }) = answer else {
            self.meters.lose_lease();
            return Some(Err(Error::HttpRequestDenied));
        };
        let mut response = Response::new(whole(body));
        (*response.status_mut(), *response.headers_mut()) = (status, headers);
        Some(Ok(response))
    }

    async fn receive(
        self: Arc<Self>,
        mut response: Response<AnswerBody>,
        asked: Option<&HeaderValue>,
        mut unanswered: Option<Unanswered>,
        ticket: Ticket,
        (seen, recording): (Option<Seen>, Option<Recording>),
    ) -> Result<Response<WasiBody>, Error> {
        let status = response.status();
        if may_be_a_gateways_word(status, asked, response.headers().get(header::CONTENT_TYPE)) {
            // A dropped request stays in doubt.
            drop(unanswered.take());
        } else if status.is_client_error() || status.is_server_error() {
            // A server does not continue to work on a request that it refuses, regardless of the rest of the response.
            if let Some(unanswered) = unanswered.take() {
                unanswered.resolve();
            }
        }
        if let Some(exceeded) = self.exceeded_header_limit(response.headers()) {
            return Err(self.headers_exceeded(exceeded));
        }
        let max = self.limits.http_response_bytes_max;
        if response.body().size_hint().exact().is_some_and(|length| length > max) {
            return Err(self.limit_exceeded(
                LimitExceeded::new("http_response_bytes_max", max),
                Error::HttpResponseBodySize(Some(max)),
            ));
        }
        let decoder =
            Decoder::of(response.headers(), max).map_err(|coding| Error::HttpResponseContentCoding(Some(coding)))?;
        let incoming = |body| Incoming::new(body, (self, max), ticket, unanswered, seen);
        if decoder.is_none() && recording.is_none() {
            return Ok(response.map(|body| incoming(body).boxed_unsync()));
        }
        if decoder.is_some() {
            // Both describe the compressed bytes.
            response.headers_mut().remove(header::CONTENT_ENCODING);
            response.headers_mut().remove(header::CONTENT_LENGTH);
        }
        let (head, body) = response.into_parts();
        let body = match decoder {
            Some(decoder) => incoming(body).unpacked(decoder).await?,
            None => incoming(body).collect().await?.to_bytes(),
        };
        if let Some(recording) = recording {
            recording.complete(TapeAnswer { status, headers: head.headers.clone(), body: body.clone() });
        }
        Ok(Response::from_parts(head, whole(body)))
    }

    /// Whether there are too many headers, or too many bytes in them.
    fn exceeded_header_limit(&self, headers: &HeaderMap) -> Option<LimitExceeded> {
        let Limits { http_headers_max, http_header_bytes_max, .. } = self.limits;
        if headers.len() as u64 > http_headers_max {
            return Some(LimitExceeded::new("http_headers_max", http_headers_max));
        }
        let bytes: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
        (bytes as u64 > http_header_bytes_max)
            .then(|| LimitExceeded::new("http_header_bytes_max", http_header_bytes_max))
    }

    fn headers_exceeded(&self, exceeded: LimitExceeded) -> Error {
        let max = u32::try_from(self.limits.http_header_bytes_max).ok();
        self.limit_exceeded(exceeded, Error::HttpResponseHeaderSectionSize(max))
    }

    /// Interim heads have the same limits as the response.
    fn translate_head(&self, error: &SendError) -> Error {
        let Limits { http_headers_max, http_header_bytes_max, .. } = self.limits;
        self.headers_exceeded(match error {
            SendError::HeaderCount => LimitExceeded::new("http_headers_max", http_headers_max),
            SendError::HeadBytes => LimitExceeded::new("http_header_bytes_max", http_header_bytes_max),
            SendError::InterimHeads => LimitExceeded::new("interim_heads_max", INTERIM_HEADS_MAX),
            SendError::Timeout | SendError::Client(_) | SendError::Body(_) | SendError::Gone => {
                return translate(error);
            }
        })
    }
}

/// A request without the credentials.
struct Prepared {
    method: Method,
    url: url::Url,
    headers: HeaderMap,
    body: Bytes,
}

impl Prepared {
    /// Adds the host's headers; each replaces the guest's header of the same name.
    fn request(
        &self,
        authorization: Option<Authorization>,
        added: Vec<(HeaderName, HeaderValue)>,
    ) -> Result<Request<Full<Bytes>>, Error> {
        let mut headers = self.headers.clone();
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(ACCEPTED));
        for (name, value) in added {
            // `extend` would also keep the guest's value.
            remove_where(&mut headers, |own| is_same(own, name.as_str()));
            headers.insert(name, value);
        }
        if let Some(authorization) = authorization {
            headers.insert(header::AUTHORIZATION, authorization.header);
        }
        let request = Request::builder().method(self.method.clone()).uri(self.url.as_str());
        let mut request = request.body(Full::new(self.body.clone())).map_err(|_| Error::HttpRequestUriInvalid)?;
        *request.headers_mut() = headers;
        Ok(request)
    }

    fn operation(&self) -> Operation {
        let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        Operation::Request {
            method: self.method.to_string(),
            url: self.url.clone(),
            headers: self.headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect(),
            body: self.body.to_vec(),
        }
    }
}

fn remove_where(headers: &mut HeaderMap, is_out: impl Fn(&str) -> bool) {
    let out: Vec<HeaderName> = headers.keys().filter(|name| is_out(name.as_str())).cloned().collect();
    for name in out {
        headers.remove(name);
    }
}

/// A body that is there as a whole.
fn whole(body: Bytes) -> WasiBody {
    Full::new(body).map_err(|never| match never {}).boxed_unsync()
}

fn is_write(method: &Method) -> bool {
    !matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

/// The guest may wait for a shorter time than the operator allows, not for a longer one.
fn first_byte_timeout(options: Option<&RequestOptions>, longest: Duration) -> Duration {
    options.and_then(|options| options.first_byte_timeout).map_or(longest, |wish| wish.min(longest))
}
