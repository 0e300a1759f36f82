//! Posts the host's own messages to one address, with the client, the checks of addresses and the certificates that
//! HTTP targets have. No adapter uses it.

use std::error::Error;
use std::time::Duration;

use bytes::Bytes;
use http::uri::Scheme;
use http::{HeaderMap, Request, StatusCode, Uri};
use http_body_util::Full;
use tower_service::Service as _;

use super::http_client::{ClientOptions, HttpClient, causes};
use super::http_connect::Connector;
use super::http_list::AllowList;
use crate::domain::limits::Limits;
use crate::domain::secret::Secret;

/// An address that takes messages.
#[derive(Clone)]
pub struct HttpPoster {
    client: HttpClient,
    uri: Uri,
    allow_private: bool,
    timeout: Duration,
    header_bytes_max: u64,
}

impl HttpPoster {
    /// Prepares connections and connects nothing yet. `name` is for its threads.
    ///
    /// # Errors
    /// When the URL may not be requested, or the certificates are not understood.
    pub fn new(
        name: &str,
        url: &Secret,
        allow_private: bool,
        timeout: Duration,
        ca_pem: Option<&[u8]>,
    ) -> Result<Self, String> {
        let uri: Uri = url.expose().parse().map_err(|_| "it is not a URL".to_owned())?;
        let base = url.expose().split(['?', '#']).next().unwrap_or_default();
        let list = AllowList::new([base], allow_private)?;
        list.check(&uri).map_err(|_| "its address may not be dialled; allow_private permits private networks")?;
        let limits = Limits::default();
        let headers_max = usize::try_from(limits.http_headers_max).unwrap_or(usize::MAX);
        let client = HttpClient::new(&ClientOptions { target: name, allow_private, ca_pem, timeout, headers_max })?;
        Ok(Self { client, uri, allow_private, timeout, header_bytes_max: limits.http_header_bytes_max })
    }

    /// Posts a body, and returns the status of the answer. What else the server answers is not read.
    ///
    /// # Errors
    /// Why there is no answer, without the address: it may hold a secret.
    pub async fn post(&self, headers: HeaderMap, body: Bytes) -> Result<StatusCode, String> {
        let mut request = Request::post(self.uri.clone())
            .body(Full::new(body))
            .map_err(|error| format!("the request cannot be made: {error}"))?;
        request.headers_mut().extend(headers);
        match self.client.send(request, self.header_bytes_max).await {
            Ok(answer) => Ok(answer.status()),
            Err(error) => Err(joined(&error)),
        }
    }

    /// Whether messages are sent over TLS.
    #[must_use]
    pub fn is_https(&self) -> bool {
        self.uri.scheme() == Some(&Scheme::HTTPS)
    }

    /// When the certificate ends that the HTTPS server shows now, milliseconds since 1970-01-01 UTC. It connects by
    /// `tls` to where a message may go, and sends no request.
    ///
    /// # Errors
    /// As [`HttpPoster::post`].
    pub async fn certificate_ends_at(&self, tls: rustls::ClientConfig) -> Result<i64, String> {
        let mut connector = Connector::new(tls, self.allow_private, self.timeout);
        drop(connector.call(self.uri.clone()).await.map_err(|error| joined(&*error))?);
        connector.certificate().get().ok_or_else(|| "the certificate is not understood".to_owned())
    }
}

fn joined(error: &(dyn Error + 'static)) -> String {
    causes(error).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

#[cfg(test)]
mod tests {
    use super::super::http_client::tls;
    use super::*;

    fn poster(url: &str, allow_private: bool) -> Result<HttpPoster, String> {
        HttpPoster::new("t", &Secret::new(url.to_owned()), allow_private, Duration::from_secs(1), None)
    }

    #[tokio::test]
    async fn private_addresses_need_permission() {
        let error = poster("http://127.0.0.1:1/hook", false).err().unwrap();
        assert!(error.contains("allow_private"), "{error}");
        assert!(poster("https://192.168.1.1/hook?token=s", true).is_ok());
    }

    #[tokio::test]
    async fn no_error_shows_the_address() {
        let error = poster("http://127.0.0.1:1/hook?token=SECRET", true).unwrap();
        let error = error.post(HeaderMap::new(), Bytes::new()).await.err().unwrap();
        assert!(!error.contains("SECRET") && !error.is_empty(), "{error}");
    }

    /// A web server with TLS that answers one request. Returns its port and certificate (PEM).
    async fn tls_server() -> (u16, String) {
        use rustls::pki_types::PrivatePkcs8KeyDer;
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        drop(rustls::crypto::ring::default_provider().install_default());
        let key = rcgen::KeyPair::generate().unwrap();
        let mut parameters = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        parameters.not_after = rcgen::date_time_ymd(2095, 1, 1);
        let certificate = parameters.self_signed(&key).unwrap();
        let private = PrivatePkcs8KeyDer::from(key.serialize_der()).into();
        let tls = rustls::ServerConfig::builder().with_no_client_auth();
        let tls = tls.with_single_cert(vec![certificate.der().clone()], private).unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let mut stream = tokio_rustls::TlsAcceptor::from(std::sync::Arc::new(tls)).accept(stream).await.unwrap();
            let mut request = [0; 1_024];
            let read = stream.read(&mut request).await.unwrap();
            assert!(request[..read].starts_with(b"POST /hook HTTP/1.1\r\n"));
            stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
            stream.flush().await.unwrap();
        });
        (port, certificate.pem())
    }

    #[tokio::test]
    async fn a_certificate_is_looked_at_only_where_a_message_may_go() {
        for allow_private in [false, true] {
            let poster = poster("https://localhost:1/hook", allow_private).unwrap();
            let error = poster.certificate_ends_at(tls(None).unwrap()).await.unwrap_err();
            assert_eq!(!error.contains("may not be dialled"), allow_private, "{error}");
        }
    }

    #[tokio::test]
    async fn a_server_of_the_named_authority_is_trusted_and_the_end_of_its_certificate_is_known() {
        let (port, authority) = tls_server().await;
        let url = Secret::new(format!("https://localhost:{port}/hook"));
        let poster = HttpPoster::new("t", &url, true, Duration::from_secs(9), Some(authority.as_bytes())).unwrap();
        assert_eq!(poster.client.certificate_ends_at(), None, "nothing is connected yet");
        let status = poster.post(HeaderMap::new(), Bytes::from_static(b"{}")).await;
        assert_eq!(status, Ok(StatusCode::NO_CONTENT));
        assert_eq!(poster.client.certificate_ends_at(), Some(3_944_678_400_000), "2095-01-01");
    }
}
