//! When the certificates end that the servers of databases, of the webhook and of mail show.
//!
//! The host's own connections to them keep no certificate, or are made only when there is a message. So each server is
//! asked once an hour, in a task of its own. Here nothing is verified, which is the matter of those connections: what a
//! server answers gives the date of an alert and nothing else, and it is bounded in bytes and in time.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use futures::future::BoxFuture;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::domain::certificates::certificate_end;

/// What PostgreSQL is asked before TLS: the length of the request, and a code in place of the protocol's version.
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];
/// The longest reply of a mail server that is read.
const REPLY_BYTES_MAX: u64 = 16 << 10;
/// Not answered yet.
const UNKNOWN: i64 = 0;
/// What is not there does not end.
const NEVER: i64 = i64::MAX;

/// Milliseconds since 1970-01-01 UTC, or `None` when the server shows no certificate.
type Answer = Result<Option<i64>, String>;
type Ask = dyn Fn() -> BoxFuture<'static, Answer> + Send + Sync;

/// A server that is asked when its certificate ends. Clones share what it answered.
#[derive(Clone)]
pub struct AskedServer {
    ask: Arc<Ask>,
    ends_at: Arc<AtomicI64>,
}

/// How a connection begins before TLS does.
#[derive(Clone, Debug)]
pub enum BeforeTls {
    Nothing,
    /// PostgreSQL is asked whether it offers TLS.
    Postgres,
    /// A mail server is asked for TLS, under the name of this machine.
    StartTls(String),
}

impl AskedServer {
    /// A server that is asked by `ask`: for milliseconds since 1970-01-01 UTC, or `None` when it shows no certificate.
    #[must_use]
    pub fn new<Asking>(ask: impl Fn() -> Asking + Send + Sync + 'static) -> Self
    where
        Asking: Future<Output = Answer> + Send + 'static,
    {
        Self { ask: Arc::new(move || Box::pin(ask())), ends_at: Arc::new(AtomicI64::new(UNKNOWN)) }
    }

    /// A server that shows its certificate to every client that connects.
    #[must_use]
    pub fn at(host: &str, port: u16, before: &BeforeTls) -> Self {
        let (host, before) = (host.to_owned(), before.clone());
        Self::new(move || {
            let (host, before) = (host.clone(), before.clone());
            async move { shown_end(&host, port, &before).await.map_err(|error| error.to_string()) }
        })
    }

    /// As it answered last; `None` before its first answer.
    pub(super) fn ends_at(&self) -> Option<i64> {
        Some(self.ends_at.load(Ordering::Relaxed)).filter(|ends_at| *ends_at != UNKNOWN)
    }

    /// Asks once, for at most so long. Without an answer the one before stays: whether a server can be reached is the
    /// matter of other alerts.
    pub(super) async fn ask(&self, name: &str, longest: Duration) {
        let late = || Err(format!("no answer within {} s", longest.as_secs()));
        match tokio::time::timeout(longest, (self.ask)()).await.unwrap_or_else(|_| late()) {
            Ok(ends_at) => self.ends_at.store(ends_at.unwrap_or(NEVER), Ordering::Relaxed),
            Err(error) => tracing::debug!(error, "cannot see when {name} ends"),
        }
    }
}

/// When the certificate ends that a server shows; `None` when it offers no TLS.
async fn shown_end(host: &str, port: u16, before: &BeforeTls) -> io::Result<Option<i64>> {
    let mut stream = BufReader::new(TcpStream::connect((host, port)).await?);
    match before {
        BeforeTls::Nothing => {}
        BeforeTls::Postgres if postgres_offers_tls(&mut stream).await? => {}
        BeforeTls::Postgres => return Ok(None),
        BeforeTls::StartTls(machine) => start_tls(&mut stream, machine).await?,
    }
    let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
    let mut stream = TlsConnector::from(Arc::new(unverified_tls())).connect(name, stream).await?;
    let shown = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
    let ends_at = shown.and_then(|shown| certificate_end(shown));
    // The certificate is here, and the rest is courtesy: without it some servers log a lost connection.
    if matches!(before, BeforeTls::StartTls(_)) {
        drop(stream.write_all(b"QUIT\r\n").await);
    }
    drop(stream.shutdown().await);
    ends_at.map(Some).ok_or_else(|| io::Error::other("the certificate is not understood"))
}

async fn postgres_offers_tls(stream: &mut BufReader<TcpStream>) -> io::Result<bool> {
    stream.write_all(&SSL_REQUEST).await?;
    match stream.read_u8().await? {
        b'S' => Ok(true),
        b'N' => Ok(false),
        _ => Err(io::Error::other("the server does not answer as PostgreSQL does")),
    }
}

async fn start_tls(stream: &mut BufReader<TcpStream>, machine: &str) -> io::Result<()> {
    expect_reply(stream, b"220").await?;
    stream.write_all(format!("EHLO {machine}\r\n").as_bytes()).await?;
    expect_reply(stream, b"250").await?;
    stream.write_all(b"STARTTLS\r\n").await?;
    expect_reply(stream, b"220").await
}

/// Reads a reply of a mail server. Each of its lines but the last has a hyphen behind the code.
async fn expect_reply(stream: &mut BufReader<TcpStream>, code: &[u8]) -> io::Result<()> {
    let mut reply = stream.take(REPLY_BYTES_MAX);
    loop {
        let mut line = Vec::new();
        reply.read_until(b'\n', &mut line).await?;
        if !line.starts_with(code) || !line.ends_with(b"\n") {
            return Err(io::Error::other("the mail server offers no TLS"));
        }
        if line.get(code.len()) != Some(&b'-') {
            return Ok(());
        }
    }
}

/// TLS that accepts every certificate, to see when it ends. Nothing else may be sent over it.
pub(super) fn unverified_tls() -> ClientConfig {
    // The first provider stays; all callers in this process install the same one.
    drop(ring::default_provider().install_default());
    let builder = ClientConfig::builder().dangerous();
    builder.with_custom_certificate_verifier(Arc::new(AnyCertificate)).with_no_client_auth()
}

#[derive(Debug)]
struct AnyCertificate;

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        ring::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::PrivatePkcs8KeyDer;
    use tokio::net::TcpListener;

    use super::*;

    /// One step of a server.
    enum Step {
        Sends(&'static [u8]),
        Reads(&'static [u8]),
        /// Shows a certificate that ends in 2095, and then reads this and the end.
        Tls(&'static [u8]),
        /// Sends the same without an end.
        Repeats(&'static [u8]),
        Waits,
    }

    fn acceptor() -> tokio_rustls::TlsAcceptor {
        drop(ring::default_provider().install_default());
        let key = rcgen::KeyPair::generate().unwrap();
        let mut parameters = rcgen::CertificateParams::new(vec!["another.example".to_owned()]).unwrap();
        parameters.not_after = rcgen::date_time_ymd(2095, 1, 1);
        let certificate = parameters.self_signed(&key).unwrap();
        let private = PrivatePkcs8KeyDer::from(key.serialize_der()).into();
        let tls = rustls::ServerConfig::builder().with_no_client_auth();
        Arc::new(tls.with_single_cert(vec![certificate.der().clone()], private).unwrap()).into()
    }

    /// A server that takes these steps with one client. Its task fails where the client does something else.
    async fn server(steps: Vec<Step>) -> (u16, tokio::task::JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let serving = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            for step in steps {
                match step {
                    Step::Sends(bytes) => stream.write_all(bytes).await.unwrap(),
                    Step::Reads(expected) => {
                        let mut read = vec![0; expected.len()];
                        stream.read_exact(&mut read).await.unwrap();
                        assert_eq!(read, expected);
                    }
                    Step::Tls(expected) => {
                        let (mut tls, mut read) = (acceptor().accept(&mut stream).await.unwrap(), Vec::new());
                        tls.read_to_end(&mut read).await.unwrap();
                        assert_eq!(read, expected);
                    }
                    Step::Repeats(bytes) => while stream.write_all(bytes).await.is_ok() {},
                    Step::Waits => std::future::pending().await,
                }
            }
        });
        (port, serving)
    }

    const IN_2095: Option<i64> = Some(3_944_678_400_000);

    #[tokio::test]
    async fn each_kind_of_server_is_asked_in_its_own_way() {
        let smtp = BeforeTls::StartTls("vm".to_owned());
        let greets = || Step::Sends(b"220-mail.example\r\n220 ready\r\n");
        let offers = || Step::Sends(b"250-mail.example\r\n250-SIZE\r\n250 STARTTLS\r\n");
        for (before, steps, expected) in [
            (BeforeTls::Nothing, vec![Step::Tls(b"")], IN_2095),
            (BeforeTls::Postgres, vec![Step::Reads(&SSL_REQUEST), Step::Sends(b"S"), Step::Tls(b"")], IN_2095),
            (BeforeTls::Postgres, vec![Step::Reads(&SSL_REQUEST), Step::Sends(b"N")], Some(NEVER)),
            (
                smtp,
                vec![
                    greets(),
                    Step::Reads(b"EHLO vm\r\n"),
                    offers(),
                    Step::Reads(b"STARTTLS\r\n"),
                    Step::Sends(b"220 go on\r\n"),
                    Step::Tls(b"QUIT\r\n"),
                ],
                IN_2095,
            ),
        ] {
            let (port, serving) = server(steps).await;
            let asked = AskedServer::at("127.0.0.1", port, &before);
            assert_eq!(asked.ends_at(), None, "{before:?}: nothing was asked yet");
            asked.ask("the certificate", Duration::from_secs(20)).await;
            assert_eq!(asked.ends_at(), expected, "{before:?}");
            serving.await.unwrap();
        }
    }

    #[tokio::test]
    async fn a_server_that_answers_badly_too_much_or_never_is_unknown() {
        let smtp = || BeforeTls::StartTls("vm".to_owned());
        for (before, steps) in [
            (BeforeTls::Nothing, vec![Step::Sends(b"HTTP/1.1 400 Bad Request\r\n\r\n")]),
            (BeforeTls::Postgres, vec![Step::Reads(&SSL_REQUEST), Step::Sends(b"E")]),
            (smtp(), vec![Step::Sends(b"554 no\r\n")]),
            (smtp(), vec![Step::Sends(b"220 ready\r\n"), Step::Reads(b"EHLO vm\r\n"), Step::Sends(b"502 no\r\n")]),
            (smtp(), vec![Step::Repeats(b"220-and more\r\n")]),
            (smtp(), vec![Step::Repeats(b"220 and more ")]),
        ] {
            let (port, serving) = server(steps).await;
            let failed = shown_end("127.0.0.1", port, &before);
            let failed = tokio::time::timeout(Duration::from_secs(20), failed).await.expect("it does not go on");
            assert!(failed.is_err(), "{before:?}: {failed:?}");
            serving.await.unwrap();
        }
        let (port, _serving) = server(vec![Step::Waits]).await;
        let asked = AskedServer::at("127.0.0.1", port, &BeforeTls::Nothing);
        asked.ask("the certificate", Duration::from_millis(50)).await;
        assert_eq!(asked.ends_at(), None);
    }

    #[tokio::test]
    async fn without_an_answer_the_one_before_stays() {
        let answers = std::sync::Mutex::new(vec![Ok(None), Err("gone".to_owned()), Ok(Some(7))]);
        let asked = AskedServer::new(move || std::future::ready(answers.lock().unwrap().pop().unwrap()));
        for expected in [7, 7, NEVER] {
            asked.ask("the certificate", Duration::from_secs(1)).await;
            assert_eq!(asked.ends_at(), Some(expected));
        }
    }
}
