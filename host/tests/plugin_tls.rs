//! TLS of an HTTP target: a private certificate authority of the operator's, and what is refused without it.

#![allow(clippy::unwrap_used, reason = "a test that fails shows what it found")]

mod support;

use std::sync::Arc;

use host::plugin::{CallContext, HttpAccess, HttpOptions, World};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use support::{adapter, runtime};

/// A certificate authority in memory.
struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    /// A server on loopback with a certificate for this name; it answers everything with `hello`.
    async fn serve(&self, name: &str) -> u16 {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, &self.issuer).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], PrivateKeyDer::Pkcs8(key.serialize_der().into()))
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let Ok(mut stream) = acceptor.accept(stream).await else { continue };
                let mut head = [0; 4096];
                if stream.read(&mut head).await.is_ok_and(|count| count > 0) {
                    drop(stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello").await);
                }
                drop(stream.shutdown().await);
            }
        });
        port
    }
}

/// What a component reads from `https://localhost:PORT/fhir/metadata`.
async fn get(port: u16, ca_pem: Option<&str>) -> Result<String, String> {
    let options = HttpOptions {
        base_url: format!("https://localhost:{port}/fhir"),
        allow_private: true,
        ca_pem: ca_pem.map(|pem| pem.as_bytes().to_vec()),
        ..HttpOptions::default()
    };
    let adapter = runtime().load(&adapter("testing-http-probe"), World::Http).await.unwrap();
    let settings = serde_json::json!({
        "method": "GET", "scheme": "https", "authority": format!("localhost:{port}"), "path": "/fhir/metadata",
    });
    let context = CallContext { target: "t".to_owned(), settings_json: settings.to_string(), ..CallContext::default() };
    let call = adapter.check_http(&context, &HttpAccess::new("t", &options).unwrap()).await;
    call.result.unwrap().map(|report| report.summary).map_err(|failure| failure.message)
}

#[tokio::test]
async fn a_private_certificate_authority_is_trusted_only_where_configured() {
    let authority = Authority::new();
    let port = authority.serve("localhost").await;
    assert!(get(port, Some(&authority.pem)).await.unwrap().contains("hello"));
}

#[tokio::test]
async fn hostile_server_with_another_certificate_is_refused() {
    let (authority, other) = (Authority::new(), Authority::new());
    let port = authority.serve("localhost").await;
    for ca in [None, Some(other.pem.as_str())] {
        assert_eq!(get(port, ca).await.unwrap_err(), "ErrorCode::TlsCertificateError");
    }
    let elsewhere = authority.serve("fhir.example").await;
    assert_eq!(get(elsewhere, Some(&authority.pem)).await.unwrap_err(), "ErrorCode::TlsCertificateError");
}
