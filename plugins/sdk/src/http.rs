//! A blocking HTTP client for adapters of the world `http-target`.
//!
//! It handles the details of `wasi:http`: building the request, writing the body as fast as the host accepts it,
//! waiting, and reading the whole response. It never follows a redirect, never adds a credential (the host does) and
//! never retries. Read next: `wit/0.2.0/http.wit`, then `plugins/fhir/src/exchange.rs` for a use of it.

use std::fmt;

use crate::bindings::http_target::wasi::http::outgoing_handler;
use crate::bindings::http_target::wasi::http::types::{
    ErrorCode, Fields, FutureIncomingResponse, IncomingBody, IncomingResponse, Method as WireMethod, OutgoingBody,
    OutgoingRequest, RequestOptions, Scheme, http_error_code,
};
use crate::bindings::http_target::wasi::io::streams::{OutputStream, StreamError};
use crate::{Failure, FailureKind, settings};

/// The bytes requested in one read of a response's body.
const READ_BYTES: u64 = 64 * 1024;

/// The maximum length of a coding's name in messages, in characters.
const CODING_CHARS_MAX: usize = 40;

/// The method of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Method {
    Get,
    Post,
    Put,
    Patch,
    Delete,
}

/// A request, relative to the client's base URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// Path and query below the base URL, percent-encoded and without a leading slash, for example
    /// `Patient?identifier=a%7Cb`. Empty for the base URL itself; `/` for the base URL with a trailing slash.
    pub path: String,
    /// Names in any case, and values. The host refuses `Host`, hop-by-hop and credential headers.
    pub headers: Vec<(String, String)>,
    /// The body; an empty one is not sent.
    pub body: Vec<u8>,
}

impl Request {
    /// A request without headers or body.
    #[must_use]
    pub fn new(method: Method, path: impl Into<String>) -> Self {
        Self { method, path: path.into(), headers: Vec::new(), body: Vec::new() }
    }

    /// Adds a header.
    #[must_use]
    pub fn with_header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// Sets the body.
    #[must_use]
    pub fn with_body(mut self, body: Vec<u8>) -> Self {
        self.body = body;
        self
    }
}

/// A complete response of any status. Only a request without a complete response is an [`Error`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Response {
    /// The status code, for example 200.
    pub status: u16,
    /// Names in lower case; values that are not UTF-8 are left out.
    pub headers: Vec<(String, String)>,
    /// The body's bytes.
    pub body: Vec<u8>,
}

impl Response {
    /// The first value of a header, by its name in any case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The waiting time in `Retry-After`, in milliseconds.
    ///
    /// A date is compared with the response's own `Date`, so a wrong clock of the host does not matter.
    #[must_use]
    pub fn retry_after_ms(&self) -> Option<u64> {
        let value = self.header("retry-after")?.trim();
        if let Ok(seconds) = value.parse::<u64>() {
            return Some(seconds.saturating_mul(1000));
        }
        let until_s = http_date_s(value)?;
        let now_s = http_date_s(self.header("date")?)?;
        Some(u64::try_from(until_s.saturating_sub(now_s)).unwrap_or(0).saturating_mul(1000))
    }
}

/// Why a response is missing or unreadable. The target may still have carried the request out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// No response within the time limit.
    Timeout,
    /// The host did not send the request: it is not on the allow-list, the lease was lost, or a limit was exceeded.
    Refused(String),
    /// No connection could be established: name, address, port or TLS.
    ConnectionFailed(String),
    /// The connection was aborted, or the data was not HTTP.
    Broken(String),
    /// The response has a content coding that the host does not support. The text is the name, or several.
    UnknownCoding(String),
    /// The body of the response does not match its `Content-Encoding`.
    Damaged,
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Timeout => formatter.write_str("no answer within the time limit"),
            Self::Refused(reason) => write!(formatter, "the host refused the request: {reason}"),
            Self::ConnectionFailed(reason) => write!(formatter, "connection failed: {reason}"),
            Self::Broken(reason) => write!(formatter, "connection broke: {reason}"),
            Self::UnknownCoding(coding) => write!(
                formatter,
                "the answer is packed as `{coding}`, and the host asks for gzip or deflate, once; fix: set the server, \
                 or the proxy before it, to one of them or to no packing"
            ),
            Self::Damaged => formatter.write_str(
                "the answer cannot be unpacked: it is damaged, or its Content-Encoding is wrong; fix: correct the \
                 compression at the server or at the proxy before it",
            ),
        }
    }
}

impl std::error::Error for Error {}

/// The base URL of the requests, and their time limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    secure: bool,
    authority: String,
    /// Without a trailing slash: empty, or with a leading slash.
    base_path: String,
    timeout_ms: Option<u64>,
}

impl Client {
    /// A client for the target's `base_url`.
    ///
    /// # Errors
    /// `misconfigured` when the base URL is missing or invalid.
    pub fn from_settings() -> Result<Self, Failure> {
        settings::base_url().as_deref().and_then(Self::new).ok_or_else(|| Failure {
            kind: FailureKind::Misconfigured,
            message: format!("[targets.{}.http] base_url is not an http or https URL", settings::target_name()),
            retry_after_ms: None,
        })
    }

    /// A client for a base URL of the form `https://host:port/path`; `None` for anything else.
    #[must_use]
    pub fn new(base_url: &str) -> Option<Self> {
        let (scheme, rest) = base_url.split_once("://")?;
        let secure = match scheme.to_ascii_lowercase().as_str() {
            "http" => false,
            "https" => true,
            _ => return None,
        };
        let (authority, path) = rest.find('/').map_or((rest, ""), |slash| rest.split_at(slash));
        if authority.is_empty() || authority.contains(['@', '?', '#', ' ']) || path.contains(['?', '#', ' ']) {
            return None;
        }
        Some(Self {
            secure,
            authority: authority.to_owned(),
            base_path: path.trim_end_matches('/').to_owned(),
            timeout_ms: None,
        })
    }

    /// Sets a limit on connecting, on the first byte and between bytes, each in milliseconds. It can only shorten the
    /// operator's `[targets.NAME.http] timeout_ms`, which applies alone by default.
    #[must_use]
    pub fn with_timeout_ms(mut self, timeout_ms: u64) -> Self {
        self.timeout_ms = Some(timeout_ms);
        self
    }

    fn path_with_query(&self, path: &str) -> String {
        match (self.base_path.as_str(), path) {
            ("", path) => format!("/{}", path.trim_start_matches('/')),
            (base, "") => base.to_owned(),
            (base, "/") => format!("{base}/"),
            // A query of the base URL itself, as some servers' links to the next page are.
            (base, path) if path.starts_with('?') => format!("{base}{path}"),
            (base, path) => format!("{base}/{path}"),
        }
    }

    /// Sends one request and waits for the complete response.
    ///
    /// # Errors
    /// See [`Error`]: the response is missing or incomplete.
    pub fn send(&self, request: &Request) -> Result<Response, Error> {
        let outgoing = self.outgoing(request)?;
        // The body is taken before `handle` consumes the request, and written afterwards: nothing reads it before that.
        let body = outgoing.body().map_err(|()| refused("the request has no body to write to"))?;
        let future = outgoing_handler::handle(outgoing, self.options()).map_err(|code| error_of(&code))?;
        let written = write_body(body, &request.body);
        // A server may respond before it has read everything (413, 401). Its response is more useful than the write
        // error.
        match await_response(&future) {
            Ok(response) => read_response(&response),
            Err(error) => Err(written.err().unwrap_or(error)),
        }
    }

    fn outgoing(&self, request: &Request) -> Result<OutgoingRequest, Error> {
        let mut entries: Vec<(String, Vec<u8>)> =
            request.headers.iter().map(|(name, value)| (name.clone(), value.clone().into_bytes())).collect();
        if !request.body.is_empty() {
            entries.push(("content-length".to_owned(), request.body.len().to_string().into_bytes()));
        }
        let fields = Fields::from_list(&entries).map_err(|_| refused("a header may not be set"))?;
        let outgoing = OutgoingRequest::new(fields);
        let method = match request.method {
            Method::Get => WireMethod::Get,
            Method::Post => WireMethod::Post,
            Method::Put => WireMethod::Put,
            Method::Patch => WireMethod::Patch,
            Method::Delete => WireMethod::Delete,
        };
        let scheme = if self.secure { Scheme::Https } else { Scheme::Http };
        outgoing.set_method(&method).map_err(|()| refused("method"))?;
        outgoing.set_scheme(Some(&scheme)).map_err(|()| refused("scheme"))?;
        outgoing.set_authority(Some(&self.authority)).map_err(|()| refused("host and port"))?;
        outgoing.set_path_with_query(Some(&self.path_with_query(&request.path))).map_err(|()| refused("path"))?;
        Ok(outgoing)
    }

    fn options(&self) -> Option<RequestOptions> {
        let limit_ns = self.timeout_ms?.saturating_mul(1_000_000);
        let options = RequestOptions::new();
        // A host that does not support one of these limits returns an error; then only its own limits apply.
        let _ = options.set_connect_timeout(Some(limit_ns));
        let _ = options.set_first_byte_timeout(Some(limit_ns));
        let _ = options.set_between_bytes_timeout(Some(limit_ns));
        Some(options)
    }
}

fn refused(what: &str) -> Error {
    Error::Refused(what.to_owned())
}

fn write_body(body: OutgoingBody, bytes: &[u8]) -> Result<(), Error> {
    if !bytes.is_empty() {
        let stream = body.write().map_err(|()| Error::Broken("the request's body is taken".to_owned()))?;
        write_all(&stream, bytes).map_err(|error| stream_error(&error))?;
        // The stream is a child of the body and must be dropped first, at the end of this block.
    }
    OutgoingBody::finish(body, None).map_err(|code| error_of(&code))
}

/// Writes in portions that the host is ready to accept.
fn write_all(stream: &OutputStream, mut bytes: &[u8]) -> Result<(), StreamError> {
    while !bytes.is_empty() {
        let permit = usize::try_from(stream.check_write()?).unwrap_or(usize::MAX).min(bytes.len());
        if permit == 0 {
            stream.subscribe().block();
            continue;
        }
        let (now, later) = bytes.split_at(permit);
        stream.write(now)?;
        bytes = later;
    }
    stream.blocking_flush()
}

fn await_response(future: &FutureIncomingResponse) -> Result<IncomingResponse, Error> {
    loop {
        match future.get() {
            Some(Ok(Ok(response))) => return Ok(response),
            Some(Ok(Err(code))) => return Err(error_of(&code)),
            Some(Err(())) => return Err(Error::Broken("the answer was taken before".to_owned())),
            None => future.subscribe().block(),
        }
    }
}

fn read_response(response: &IncomingResponse) -> Result<Response, Error> {
    let status = response.status();
    let headers = response
        .headers()
        .entries()
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_ascii_lowercase(), String::from_utf8(value).ok()?)))
        .collect();
    let incoming = response.consume().map_err(|()| Error::Broken("the answer's body is taken".to_owned()))?;
    let body = read_body(&incoming)?;
    Ok(Response { status, headers, body })
}

fn read_body(incoming: &IncomingBody) -> Result<Vec<u8>, Error> {
    let stream = incoming.stream().map_err(|()| Error::Broken("the answer's body is taken".to_owned()))?;
    let mut body = Vec::new();
    loop {
        match stream.blocking_read(READ_BYTES) {
            Ok(bytes) => body.extend_from_slice(&bytes),
            Err(StreamError::Closed) => return Ok(body),
            Err(error) => return Err(stream_error(&error)),
        }
    }
}

fn stream_error(error: &StreamError) -> Error {
    match error {
        StreamError::Closed => Error::Broken("closed early".to_owned()),
        StreamError::LastOperationFailed(cause) => match http_error_code(cause) {
            Some(code) => error_of(&code),
            None => Error::Broken("the stream failed".to_owned()),
        },
    }
}

/// The names of codings in a header. The server chose them, so they are limited to valid characters and a short length.
fn token_of(codings: &str) -> String {
    let is_plain = |character: &char| character.is_ascii_alphanumeric() || "-_.+*, ".contains(*character);
    codings.chars().filter(is_plain).take(CODING_CHARS_MAX).collect()
}

/// Maps the interface's error codes to errors. A code's own text may be anything, so it is not used.
fn error_of(code: &ErrorCode) -> Error {
    let connection = |reason: &str| Error::ConnectionFailed(reason.to_owned());
    let broken = |reason: &str| Error::Broken(reason.to_owned());
    match code {
        ErrorCode::DnsTimeout
        | ErrorCode::ConnectionTimeout
        | ErrorCode::ConnectionReadTimeout
        | ErrorCode::ConnectionWriteTimeout
        | ErrorCode::HttpResponseTimeout => Error::Timeout,
        ErrorCode::DnsError(_) => connection("the host's name does not resolve"),
        ErrorCode::DestinationNotFound => connection("destination not found"),
        ErrorCode::DestinationUnavailable | ErrorCode::DestinationIpUnroutable => connection("destination unreachable"),
        ErrorCode::ConnectionRefused => connection("connection refused"),
        ErrorCode::ConnectionLimitReached => connection("too many connections"),
        ErrorCode::TlsProtocolError | ErrorCode::TlsAlertReceived(_) => connection("TLS handshake failed"),
        ErrorCode::TlsCertificateError => connection("TLS certificate not trusted"),
        ErrorCode::DestinationIpProhibited => refused("the address is not allowed"),
        ErrorCode::HttpRequestDenied => refused("not allowed, or the lease was lost"),
        ErrorCode::HttpRequestLengthRequired => refused("length required"),
        ErrorCode::HttpRequestBodySize(_) => refused("request body over the limit"),
        ErrorCode::HttpRequestMethodInvalid => refused("method"),
        ErrorCode::HttpRequestUriInvalid => refused("invalid URI"),
        ErrorCode::HttpRequestUriTooLong => refused("URI too long"),
        ErrorCode::HttpRequestHeaderSectionSize(_)
        | ErrorCode::HttpRequestHeaderSize(_)
        | ErrorCode::HttpRequestTrailerSectionSize(_)
        | ErrorCode::HttpRequestTrailerSize(_) => refused("request headers over the limit"),
        ErrorCode::HttpResponseBodySize(_) => refused("response body over the limit"),
        ErrorCode::HttpResponseHeaderSectionSize(_)
        | ErrorCode::HttpResponseHeaderSize(_)
        | ErrorCode::HttpResponseTrailerSectionSize(_)
        | ErrorCode::HttpResponseTrailerSize(_) => refused("response headers over the limit"),
        ErrorCode::ConfigurationError => refused("the host's HTTP configuration"),
        ErrorCode::ConnectionTerminated => broken("terminated by the other side"),
        ErrorCode::HttpResponseIncomplete => broken("the answer is incomplete"),
        ErrorCode::HttpResponseTransferCoding(_) => broken("the answer's transfer coding is unknown"),
        ErrorCode::HttpResponseContentCoding(Some(coding)) => Error::UnknownCoding(token_of(coding)),
        ErrorCode::HttpResponseContentCoding(None) => Error::Damaged,
        ErrorCode::HttpUpgradeFailed | ErrorCode::HttpProtocolError => broken("not HTTP"),
        ErrorCode::LoopDetected => broken("a proxy sends in circles"),
        ErrorCode::InternalError(_) => broken("an error inside the host's HTTP client"),
    }
}

/// Seconds since 1970 of an HTTP date in the required form: `Sun, 06 Nov 1994 08:49:37 GMT`.
fn http_date_s(text: &str) -> Option<i64> {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let (_, rest) = text.trim().split_once(", ")?;
    let parts: Vec<&str> = rest.split(' ').collect();
    let [day, month, year, time, "GMT"] = parts[..] else { return None };
    let month = i64::try_from(MONTHS.iter().position(|name| *name == month)?).ok()? + 1;
    let (day, year): (i64, i64) = (day.parse().ok()?, year.parse().ok()?);
    let clock: Vec<i64> = time.split(':').map(|part| part.parse().ok()).collect::<Option<_>>()?;
    let [hours, minutes, seconds] = clock[..] else { return None };
    if !(1..=31).contains(&day) || !(1970..=9999).contains(&year) {
        return None;
    }
    // Converts a civil date to days. Years begin in March here, so that the leap day is the last day.
    let march_year = if month <= 2 { year - 1 } else { year };
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = 365 * march_year + march_year / 4 - march_year / 100 + march_year / 400 + day_of_year - 719_468;
    Some(days * 86_400 + hours * 3600 + minutes * 60 + seconds)
}

#[cfg(test)]
mod tests;
