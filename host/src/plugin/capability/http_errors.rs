//! Translates the HTTP client's errors into those of `wasi:http`. Only the kind is passed on, never the client's own
//! text.

use wasmtime_wasi_http::Error;

use super::http_address::AddressRefused;
use super::http_client::{SendError, causes};

/// Translates the error of a failed request. Only the kind is passed on: the client's text may contain the URL.
pub(super) fn translate(error: &SendError) -> Error {
    if let Some(kind) = causes(error).find_map(kind_of_cause) {
        return kind;
    }
    if error.is_timeout() {
        return Error::HttpResponseTimeout;
    }
    if error.is_connect() {
        // Refused, unreachable and timed out are handled above: only name resolution is left.
        return Error::DnsError { rcode: None, info_code: None };
    }
    Error::HttpProtocolError
}

fn kind_of_cause(cause: &(dyn std::error::Error + 'static)) -> Option<Error> {
    if cause.is::<AddressRefused>() {
        return Some(Error::DestinationIpProhibited);
    }
    let io = cause.downcast_ref::<std::io::Error>();
    if let Some(tls) = cause.downcast_ref().or_else(|| io.and_then(tls_error)) {
        return Some(match tls {
            rustls::Error::InvalidCertificate(_) => Error::TlsCertificateError,
            _ => Error::TlsProtocolError,
        });
    }
    match io?.kind() {
        std::io::ErrorKind::ConnectionRefused => Some(Error::ConnectionRefused),
        std::io::ErrorKind::TimedOut => Some(Error::ConnectionTimeout),
        std::io::ErrorKind::ConnectionReset
        | std::io::ErrorKind::ConnectionAborted
        | std::io::ErrorKind::BrokenPipe
        | std::io::ErrorKind::UnexpectedEof => Some(Error::ConnectionTerminated),
        std::io::ErrorKind::NetworkUnreachable | std::io::ErrorKind::HostUnreachable => {
            Some(Error::DestinationIpUnroutable)
        }
        _ => None,
    }
}

/// Whether the request cannot have reached the server: there was no connection to send it on.
pub(super) fn was_never_sent(error: &SendError) -> bool {
    // A connection of the pool may have ended before anything was written to it.
    let is_unsent = |cause: &(dyn std::error::Error + 'static)| {
        cause.is::<AddressRefused>() || cause.downcast_ref().is_some_and(hyper::Error::is_canceled)
    };
    error.is_connect() || causes(error).any(is_unsent)
}

/// TLS errors are wrapped in one or several of these, whose `source` skips the wrapped error.
fn tls_error(io: &std::io::Error) -> Option<&rustls::Error> {
    let inner = io.get_ref()?;
    inner.downcast_ref().or_else(|| inner.downcast_ref().and_then(tls_error))
}
