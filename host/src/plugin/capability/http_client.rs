//! The HTTP client of one target, on a thread and runtime of its own: its server cannot block timers, routing, signals
//! or the other targets.
//!
//! HTTP/1.1 only. Bounds what a server may send before its final response: the number and bytes of interim heads and of
//! headers, and the time. Read next: `http_connect.rs`.

use std::error::Error as StdError;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, header};
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::client::legacy::connect::{CaptureConnection, capture_connection};
use hyper_util::client::legacy::{Client, Error as ClientError};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls_platform_verifier::BuilderVerifierExt as _;
use tokio::runtime::Runtime;
use tokio::time::{Instant, Sleep, sleep_until, timeout_at};
use tokio_util::task::AbortOnDropHandle;

use super::http_connect::{CertificateEnd, ConnectionWatch, Connector, Stopped};

/// Interim heads (1xx) before one answer. Servers send one or two.
pub(super) const INTERIM_HEADS_MAX: u64 = 16;
/// The buffer for an incomplete response head; larger than the largest head that a target may allow.
const HEAD_BUFFER_BYTES: usize = 192 << 10;
/// How long an idle connection is kept.
const IDLE_TIMEOUT: Duration = Duration::from_mins(1);
/// Threads on which names are resolved, which the system does while the caller waits.
const RESOLVING_THREADS: usize = 4;

/// The options of a client.
pub(super) struct ClientOptions<'a> {
    /// For the names of its threads.
    pub(super) target: &'a str,
    pub(super) allow_private: bool,
    pub(super) ca_pem: Option<&'a [u8]>,
    /// From connecting to the last byte of an answer.
    pub(super) timeout: Duration,
    /// Headers of one answer.
    pub(super) headers_max: usize,
}

/// Why a response is missing or incomplete.
#[derive(Debug, thiserror::Error)]
pub(super) enum SendError {
    #[error("the answer took too long")]
    Timeout,
    #[error("more than {INTERIM_HEADS_MAX} interim heads came before the answer")]
    InterimHeads,
    #[error("the head of the answer has too many bytes")]
    HeadBytes,
    #[error("the head of the answer has too many headers")]
    HeaderCount,
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error(transparent)]
    Body(#[from] hyper::Error),
    #[error("the client's runtime is gone")]
    Gone,
}

impl SendError {
    /// There was no connection to send the request on.
    pub(super) fn is_connect(&self) -> bool {
        matches!(self, Self::Client(error) if error.is_connect())
    }

    /// Connecting, the answer or a part of it took too long.
    pub(super) fn is_timeout(&self) -> bool {
        let timed_out = |io: &io::Error| io.kind() == io::ErrorKind::TimedOut;
        matches!(self, Self::Timeout)
            || causes(self).any(|cause| cause.downcast_ref::<io::Error>().is_some_and(timed_out))
    }
}

/// An error and its sources.
pub(super) fn causes<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |error| (**error).source())
}

/// Sends requests, and keeps connections for the next ones. Cloning shares it.
#[derive(Clone)]
pub(super) struct HttpClient(Arc<Inner>);

struct Inner {
    client: Client<Connector, Full<Bytes>>,
    /// `Some` until the client is dropped.
    runtime: Option<Runtime>,
    timeout: Duration,
    certificate: CertificateEnd,
}

impl Drop for Inner {
    fn drop(&mut self) {
        // Dropping a runtime directly would wait for its threads.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl HttpClient {
    /// Creates the client of one target.
    ///
    /// # Errors
    /// The problem of the certificates, or that the system cannot start a thread.
    pub(super) fn new(options: &ClientOptions<'_>) -> Result<Self, String> {
        // Shorter than the whole timeout, so that an unreachable server is recognised as one: its request was never
        // sent.
        let connect_timeout = options.timeout.mul_f64(0.9).min(Duration::from_secs(10));
        let connector = Connector::new(tls(options.ca_pem)?, options.allow_private, connect_timeout);
        let certificate = connector.certificate().clone();
        let client = Client::builder(TokioExecutor::new())
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_timer(TokioTimer::new())
            .http1_max_headers(options.headers_max)
            .http1_max_buf_size(HEAD_BUFFER_BYTES)
            .build(connector);
        // Last, since a runtime cannot be dropped where others run.
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .max_blocking_threads(RESOLVING_THREADS)
            .thread_name(format!("http-{}", options.target))
            .enable_all()
            .build()
            .map_err(|error| format!("the HTTP client gets no thread: {error}"))?;
        Ok(Self(Arc::new(Inner { client, runtime: Some(runtime), timeout: options.timeout, certificate })))
    }

    #[cfg(test)]
    pub(super) fn of_tests() -> Self {
        let timeout = Duration::from_secs(5);
        Self::new(&ClientOptions { target: "t", allow_private: true, ca_pem: None, timeout, headers_max: 100 }).unwrap()
    }

    /// When the certificate that the server showed last ends; see [`CertificateEnd::get`].
    pub(super) fn certificate_ends_at(&self) -> Option<i64> {
        self.0.certificate.get()
    }

    /// Sends a request and waits for the head of its answer, in which `header_bytes_max` are allowed, interim heads
    /// included. Dropping the future cancels the request, if it was not sent yet.
    pub(super) async fn send(
        &self,
        mut request: Request<Full<Bytes>>,
        header_bytes_max: u64,
    ) -> Result<Response<AnswerBody>, SendError> {
        let deadline = Instant::now() + self.0.timeout;
        complete(&mut request);
        let interim = Arc::new(Interim { heads: AtomicU64::new(0), bytes: AtomicU64::new(0), header_bytes_max });
        let connection = capture_connection(&mut request);
        let (counted, line) = (Arc::clone(&interim), connection.clone());
        hyper::ext::on_informational(&mut request, move |head| {
            if counted.count(head.headers()) {
                watch_of(&line).stop();
            }
        });
        let runtime = self.0.runtime.as_ref().ok_or(SendError::Gone)?;
        let exchange = AbortOnDropHandle::new(runtime.spawn(self.0.client.request(request)));
        let answered =
            timeout_at(deadline, exchange).await.map_err(|_| SendError::Timeout)?.map_err(|_| SendError::Gone)?;
        match answered {
            Ok(response) => {
                Ok(response.map(|incoming| AnswerBody { incoming, deadline: Box::pin(sleep_until(deadline)) }))
            }
            Err(error) => Err(interim.explain(error, &connection)),
        }
    }
}

/// The interim heads before the response to one request.
struct Interim {
    heads: AtomicU64,
    bytes: AtomicU64,
    header_bytes_max: u64,
}

impl Interim {
    /// Counts one; `true` when it exceeds the limit.
    fn count(&self, headers: &HeaderMap) -> bool {
        let bytes: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
        self.bytes.fetch_add(bytes as u64, Ordering::AcqRel);
        self.heads.fetch_add(1, Ordering::AcqRel);
        self.has_too_many_heads() || self.has_too_many_bytes()
    }

    fn has_too_many_heads(&self) -> bool {
        self.heads.load(Ordering::Acquire) > INTERIM_HEADS_MAX
    }

    fn has_too_many_bytes(&self) -> bool {
        self.bytes.load(Ordering::Acquire) > self.header_bytes_max
    }

    /// The parser has one error for every exceeded size.
    fn explain(&self, error: ClientError, connection: &CaptureConnection) -> SendError {
        let too_large = |cause: &hyper::Error| cause.is_parse_too_large();
        if causes(&error).any(is_stopped) {
            if self.has_too_many_heads() { SendError::InterimHeads } else { SendError::HeadBytes }
        } else if causes(&error).any(|cause| cause.downcast_ref().is_some_and(too_large)) {
            let has_too_many_bytes = watch_of(connection).read_bytes() > self.header_bytes_max;
            if has_too_many_bytes { SendError::HeadBytes } else { SendError::HeaderCount }
        } else {
            SendError::Client(error)
        }
    }
}

fn is_stopped(cause: &(dyn StdError + 'static)) -> bool {
    cause
        .downcast_ref::<io::Error>()
        .and_then(io::Error::get_ref)
        .is_some_and(<dyn StdError + Send + Sync>::is::<Stopped>)
}

/// The connection that a request was sent on.
fn watch_of(connection: &CaptureConnection) -> ConnectionWatch {
    let mut extras = http::Extensions::new();
    if let Some(connected) = connection.connection_metadata().as_ref() {
        connected.get_extras(&mut extras);
    }
    extras.remove().unwrap_or_default()
}

/// Adds what every request has.
fn complete(request: &mut Request<Full<Bytes>>) {
    let length = request.body().size_hint().exact().unwrap_or_default();
    let has_body = length > 0 || !matches!(request.method().as_str(), "GET" | "HEAD" | "OPTIONS");
    let headers = request.headers_mut();
    if has_body {
        headers.insert(header::CONTENT_LENGTH, length.into());
    }
    headers.entry(header::ACCEPT).or_insert(HeaderValue::from_static("*/*"));
    headers
        .entry(header::USER_AGENT)
        .or_insert(HeaderValue::from_static(concat!("neuronova-sync/", env!("CARGO_PKG_VERSION"))));
}

/// Verified against the operator's authorities where they are named, else the system's.
pub(super) fn tls(ca_pem: Option<&[u8]>) -> Result<rustls::ClientConfig, String> {
    // The first provider stays; all callers in this process install the same one.
    drop(rustls::crypto::ring::default_provider().install_default());
    let builder = rustls::ClientConfig::builder();
    let Some(pem) = ca_pem else {
        let builder = builder
            .with_platform_verifier()
            .map_err(|error| format!("the system's certificate authorities cannot be used: {error}"))?;
        return Ok(builder.with_no_client_auth());
    };
    let none = "the certificate authority is not a PEM file of certificates";
    let mut authorities = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        authorities.add(certificate.map_err(|_| none.to_owned())?).map_err(|_| none.to_owned())?;
    }
    if authorities.is_empty() {
        return Err("the certificate authority's PEM file holds no certificate".to_owned());
    }
    Ok(builder.with_root_certificates(authorities).with_no_client_auth())
}

/// The body of an answer, until the time of its request is over.
pub(super) struct AnswerBody {
    incoming: Incoming,
    deadline: Pin<Box<Sleep>>,
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = SendError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, SendError>>> {
        if self.deadline.as_mut().poll(context).is_ready() {
            return Poll::Ready(Some(Err(SendError::Timeout)));
        }
        Pin::new(&mut self.incoming).poll_frame(context).map_err(SendError::Body)
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}
