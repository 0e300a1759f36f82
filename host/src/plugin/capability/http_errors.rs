//! What the HTTP client's errors are in the words of `wasi:http`. Only the kind is passed on, never the client's own words.

use wasmtime_wasi_http::Error;

use super::http_address::AddressRefused;

/// What a failed request means. Only the kind is passed on: the client's words may hold the URL.
pub(super) fn translate(error: &reqwest::Error) -> Error {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(inner) = cause {
        if inner.is::<AddressRefused>() {
            return Error::DestinationIpProhibited;
        }
        if let Some(tls) = inner.downcast_ref::<rustls::Error>() {
            return match tls {
                rustls::Error::InvalidCertificate(_) => Error::TlsCertificateError,
                _ => Error::TlsProtocolError,
            };
        }
        if let Some(io) = inner.downcast_ref::<std::io::Error>() {
            if let Some(tls) = tls_error(io) {
                return match tls {
                    rustls::Error::InvalidCertificate(_) => Error::TlsCertificateError,
                    _ => Error::TlsProtocolError,
                };
            }
            match io.kind() {
                std::io::ErrorKind::ConnectionRefused => return Error::ConnectionRefused,
                std::io::ErrorKind::TimedOut => return Error::ConnectionTimeout,
                std::io::ErrorKind::ConnectionReset
                | std::io::ErrorKind::ConnectionAborted
                | std::io::ErrorKind::BrokenPipe
                | std::io::ErrorKind::UnexpectedEof => return Error::ConnectionTerminated,
                std::io::ErrorKind::NetworkUnreachable | std::io::ErrorKind::HostUnreachable => {
                    return Error::DestinationIpUnroutable;
                }
                _ => {}
            }
        }
        cause = inner.source();
    }
    if error.is_timeout() {
        return if error.is_connect() { Error::ConnectionTimeout } else { Error::HttpResponseTimeout };
    }
    if error.is_connect() {
        // Refused, unreachable and timed out were told apart above: what is left is the name.
        return Error::DnsError { rcode: None, info_code: None };
    }
    Error::HttpProtocolError
}

/// Whether the request cannot have reached the server: there was no connection to send it on.
pub(super) fn was_never_sent(error: &reqwest::Error) -> bool {
    if error.is_connect() || error.is_builder() {
        return true;
    }
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(inner) = cause {
        // A connection of the pool had ended before anything was written to it.
        if inner.is::<AddressRefused>() || inner.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_canceled) {
            return true;
        }
        cause = inner.source();
    }
    false
}

/// TLS errors come wrapped in one of these, or in several, whose `source` skips what they hold.
fn tls_error(io: &std::io::Error) -> Option<&rustls::Error> {
    let inner = io.get_ref()?;
    inner.downcast_ref().or_else(|| inner.downcast_ref().and_then(tls_error))
}
