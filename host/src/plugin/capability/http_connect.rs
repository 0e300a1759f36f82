//! Connections to a target: checks the dialled address, limits the time to connect, and can stop a connection.
//!
//! A connection counts its bytes, and stops reading on request, because the parser above it accepts endless interim
//! heads.

use std::error::Error;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tower_service::Service;

use super::http_address::CheckedResolver;
use crate::domain::certificates::certificate_end;

/// The connection was ordered to stop.
#[derive(Debug, thiserror::Error)]
#[error("nothing more is read from this connection")]
pub(super) struct Stopped;

/// A request's handle of the connection that it was sent on.
#[derive(Clone, Debug, Default)]
pub(super) struct ConnectionWatch(Arc<Watched>);

#[derive(Debug, Default)]
struct Watched {
    is_stopped: AtomicBool,
    read_bytes: AtomicU64,
}

impl ConnectionWatch {
    /// Nothing more is read.
    pub(super) fn stop(&self) {
        self.0.is_stopped.store(true, Ordering::Release);
    }

    /// Bytes read since the last write: the response so far.
    pub(super) fn read_bytes(&self) -> u64 {
        self.0.read_bytes.load(Ordering::Acquire)
    }
}

/// When the certificate that the server showed last ends. Clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct CertificateEnd(Arc<AtomicI64>);

impl CertificateEnd {
    /// Milliseconds since 1970-01-01 UTC; `None` before a connection with TLS.
    pub(super) fn get(&self) -> Option<i64> {
        Some(self.0.load(Ordering::Relaxed)).filter(|ends_at| *ends_at != 0)
    }

    fn note<T>(&self, stream: &MaybeHttpsStream<T>) {
        if let MaybeHttpsStream::Https(stream) = stream
            && let Some(certificate) = stream.inner().get_ref().1.peer_certificates().and_then(<[_]>::first)
            && let Some(ends_at) = certificate_end(certificate)
        {
            self.0.store(ends_at, Ordering::Relaxed);
        }
    }
}

/// Dials allowed addresses, within a time limit that includes TLS.
#[derive(Clone)]
pub(super) struct Connector {
    inner: HttpsConnector<HttpConnector<CheckedResolver>>,
    timeout: Duration,
    certificate: CertificateEnd,
}

impl Connector {
    pub(super) fn new(tls: rustls::ClientConfig, allow_private: bool, timeout: Duration) -> Self {
        let mut http = HttpConnector::new_with_resolver(CheckedResolver { allow_private });
        http.enforce_http(false);
        http.set_nodelay(true);
        let inner =
            HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().wrap_connector(http);
        Self { inner, timeout, certificate: CertificateEnd::default() }
    }

    pub(super) fn certificate(&self) -> &CertificateEnd {
        &self.certificate
    }
}

impl Service<Uri> for Connector {
    type Response = TokioIo<Stream>;
    type Error = Box<dyn Error + Send + Sync>;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let (connecting, timeout, certificate) = (self.inner.call(uri), self.timeout, self.certificate.clone());
        Box::pin(async move {
            match tokio::time::timeout(timeout, connecting).await {
                Ok(connected) => {
                    let connected = connected?;
                    certificate.note(&connected);
                    Ok(TokioIo::new(Stream { inner: TokioIo::new(connected), watch: ConnectionWatch::default() }))
                }
                Err(_) => Err(io::Error::from(io::ErrorKind::TimedOut).into()),
            }
        })
    }
}

/// A connection.
pub(super) struct Stream {
    inner: TokioIo<MaybeHttpsStream<TokioIo<TcpStream>>>,
    watch: ConnectionWatch,
}

impl Stream {
    fn note_written(&self, written: &Poll<io::Result<usize>>) {
        if matches!(written, Poll::Ready(Ok(1..))) {
            self.watch.0.read_bytes.store(0, Ordering::Release);
        }
    }
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        self.inner.connected().extra(self.watch.clone())
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.watch.0.is_stopped.load(Ordering::Acquire) {
            return Poll::Ready(Err(io::Error::other(Stopped)));
        }
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.inner).poll_read(context, buffer);
        self.watch.0.read_bytes.fetch_add((buffer.filled().len() - before) as u64, Ordering::AcqRel);
        read
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write(context, bytes);
        self.note_written(&written);
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write_vectored(context, parts);
        self.note_written(&written);
        written
    }
}
