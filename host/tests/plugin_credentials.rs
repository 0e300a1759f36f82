//! Tokens that the host fetches: against a token endpoint that verifies what it is sent, with a component that tells
//! everything it can get at.

#![allow(clippy::unwrap_used, reason = "a test that fails shows what it found")]

mod support;

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use futures::future::BoxFuture;
use host::domain::change::{Failure, FailureKind};
use host::plugin::{
    Adapter, CallContext, CallError, ClientProof, Credentials, Fence, GrantOptions, HttpAccess, HttpOptions, Limits,
    RequestFates, Secret, SecretValue, World,
};
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P384_SHA384_FIXED, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, RSA_PKCS1_2048_8192_SHA384,
    RsaKeyPair, UnparsedPublicKey,
};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use support::{adapter, changes, given, runtime};

/// What the server was asked and what it is to say.
#[derive(Default)]
struct Server {
    port: u16,
    /// Bodies and authorization of token requests.
    grants: Mutex<Vec<(String, String)>>,
    /// Authorization of the other requests.
    requests: Mutex<Vec<String>>,
    /// Tokens up to this number are no longer accepted.
    revoked: AtomicU32,
    /// Seconds that a token is valid.
    life_s: u32,
    /// Instead of a token.
    refusal: Option<&'static str>,
    /// Instead of a token's whole answer; `TOKEN` stands for the token.
    answer: Option<&'static str>,
    audience: Option<&'static str>,
    resource: Option<&'static str>,
}

impl Server {
    async fn start(mut self) -> Arc<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        self.port = listener.local_addr().unwrap().port();
        let server = Arc::new(self);
        let serving = Arc::clone(&server);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&serving)));
            }
        });
        server
    }

    fn token_url(&self) -> String {
        format!("http://127.0.0.1:{}/token", self.port)
    }

    fn answer(&self, path: &str, authorization: String, body: String) -> String {
        let (status, text) = if path == "/token" {
            let mut grants = self.grants.lock().unwrap();
            grants.push((authorization, body));
            if let Some(refusal) = self.refusal {
                ("401 Unauthorized", refusal.to_owned())
            } else {
                let token = format!("token-hunter2-{}", grants.len());
                let life = self.life_s;
                if let Some(answer) = self.answer {
                    let text = answer.replace("TOKEN", &token);
                    return format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{text}", text.len());
                }
                ("200 OK", format!(r#"{{"access_token":"{token}","token_type":"Bearer","expires_in":{life}}}"#))
            }
        } else {
            let number = authorization.rsplit('-').next().and_then(|number| number.parse::<u32>().ok());
            self.requests.lock().unwrap().push(authorization);
            let good = number.is_some_and(|number| number > self.revoked.load(Ordering::SeqCst));
            (if good { "200 OK" } else { "401 Unauthorized" }, "hello".to_owned())
        };
        format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nX-Server: s\r\n\r\n{text}", text.len())
    }
}

async fn serve(mut stream: TcpStream, server: Arc<Server>) {
    let mut buffer = Vec::new();
    loop {
        let end = loop {
            if let Some(at) = buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            if stream.read_buf(&mut buffer).await.unwrap_or(0) == 0 {
                return;
            }
        };
        let head = String::from_utf8_lossy(&buffer[..end]).into_owned();
        let header = |name: &str| {
            let found =
                head.lines().find_map(|line| line.split_once(": ").filter(|(key, _)| key.eq_ignore_ascii_case(name)));
            found.map(|(_, value)| value.to_owned()).unwrap_or_default()
        };
        let length: usize = header("content-length").parse().unwrap_or(0);
        while buffer.len() < end + length {
            if stream.read_buf(&mut buffer).await.unwrap_or(0) == 0 {
                return;
            }
        }
        let body = String::from_utf8_lossy(&buffer[end..end + length]).into_owned();
        buffer.drain(..end + length);
        let answer = server.answer(head.split(' ').nth(1).unwrap_or_default(), header("authorization"), body);
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

struct Held;

impl Fence for Held {
    fn renew(&self) -> BoxFuture<'_, bool> {
        Box::pin(std::future::ready(true))
    }
}

struct Bench {
    adapter: Arc<Adapter>,
    server: Arc<Server>,
    access: Arc<HttpAccess>,
}

impl Bench {
    async fn new(server: Server, proof: ClientProof) -> Self {
        let server = server.start().await;
        let grant = GrantOptions {
            token_url: server.token_url(),
            client_id: "the host".to_owned(),
            scope: Some("system/Patient.rs".to_owned()),
            audience: server.audience.map(str::to_owned),
            resource: server.resource.map(str::to_owned),
            proof,
        };
        let options = HttpOptions {
            base_url: format!("http://127.0.0.1:{}/fhir", server.port),
            allow_private: true,
            timeout: Duration::from_secs(20),
            credentials: Credentials::Grant(grant),
            ..HttpOptions::default()
        };
        assert!(!format!("{options:?}").contains("hunter2"));
        let access = HttpAccess::new("t", &options).unwrap();
        let adapter = runtime().load(&adapter("testing-http-probe"), World::Http).await.unwrap();
        Self { adapter, server, access }
    }

    /// What the component tells: the answer with every header, its settings, its environment.
    async fn call(&self) -> Result<Failure, CallError> {
        let settings = serde_json::json!({
            "method": "PUT", "authority": format!("127.0.0.1:{}", self.server.port), "path": "/fhir/Patient/1",
            "body_bytes": 100, "tell": true,
        });
        let context = CallContext {
            target: "t".to_owned(),
            settings_json: settings.to_string(),
            base_url: Some("http://127.0.0.1/fhir".to_owned()),
            limits: Limits { deadline_ms: 60_000, ..Limits::default() },
            ..CallContext::default()
        };
        let call = self
            .adapter
            .apply_http(
                &context,
                &self.access,
                (Arc::new(Held) as Arc<dyn Fence>, &RequestFates::default()),
                given(b""),
                &changes(1),
            )
            .await;
        call.result.map(|answer| answer.unwrap_err())
    }

    fn grants(&self) -> Vec<(String, String)> {
        self.server.grants.lock().unwrap().clone()
    }

    fn requests(&self) -> Vec<String> {
        self.server.requests.lock().unwrap().clone()
    }
}

fn by_secret() -> ClientProof {
    ClientProof::Secret(Secret::new("secret-hunter2/&").into())
}

fn long_life() -> Server {
    Server { life_s: 3600, ..Server::default() }
}

#[tokio::test]
async fn hostile_server_that_echoes_everything_reveals_no_secret() {
    let bench = Bench::new(long_life(), by_secret()).await;
    let told = bench.call().await.unwrap().message;
    assert!(told.contains("200") && told.contains("x-server: s") && told.contains("\"method\""), "{told}");
    assert!(!told.contains("hunter2") && !told.to_lowercase().contains("authorization"), "{told}");
    assert_eq!(bench.requests(), ["Bearer token-hunter2-1"], "while the target got it");
    let inspected = format!("{:?}", bench.adapter.inspection());
    assert!(!inspected.contains("hunter2"));
}

#[tokio::test]
async fn concurrent_calls_share_one_token_request() {
    let bench = Bench::new(long_life(), by_secret()).await;
    for told in futures::future::join_all((0..8).map(|_| bench.call())).await {
        assert!(told.unwrap().message.contains("200"));
    }
    bench.call().await.unwrap();
    let grants = bench.grants();
    assert_eq!(grants.len(), 1);
    assert_eq!(grants[0].1, "grant_type=client_credentials&scope=system%2FPatient.rs");
    // "the+host" and the secret, each encoded as in a form.
    assert_eq!(
        grants[0].0,
        format!("Basic {}", base64::prelude::BASE64_STANDARD.encode("the+host:secret-hunter2%2F%26"))
    );
    assert_eq!(bench.requests().len(), 9);
}

#[tokio::test]
async fn a_secret_is_sent_in_the_body_where_the_endpoint_wants_it_there() {
    let proof = ClientProof::SecretInBody(Secret::new("secret-hunter2/&").into());
    let bench =
        Bench::new(Server { audience: Some("https://api"), resource: Some("https://api/fhir"), ..long_life() }, proof)
            .await;
    let told = bench.call().await.unwrap().message;
    assert!(told.contains("200") && !told.contains("hunter2"), "{told}");
    let (authorization, body) = bench.grants().remove(0);
    assert_eq!(authorization, "");
    let form = "scope=system%2FPatient.rs&audience=https%3A%2F%2Fapi&resource=https%3A%2F%2Fapi%2Ffhir\
                &client_id=the+host&client_secret=secret-hunter2%2F%26";
    assert_eq!(body, format!("grant_type=client_credentials&{form}"));
}

#[tokio::test]
async fn a_token_without_type_and_with_its_lifetime_as_text_is_accepted() {
    for (answer, grants) in [
        (r#"{"access_token":"TOKEN","expires_in":"3600"}"#, 1),
        (r#"{"access_token":"TOKEN"}"#, 1),
        (r#"{"access_token":"TOKEN","expires_in":"0"}"#, 2),
    ] {
        let bench = Bench::new(Server { answer: Some(answer), ..long_life() }, by_secret()).await;
        for _ in 0..2 {
            assert!(bench.call().await.unwrap().message.contains("200"), "{answer}");
        }
        assert_eq!(bench.grants().len(), grants, "{answer}");
    }
    let answer = Some(r#"{"access_token":"TOKEN","token_type":"mac"}"#);
    let bench = Bench::new(Server { answer, ..long_life() }, by_secret()).await;
    assert!(bench.call().await.unwrap().message.contains("answered with no bearer token"));
}

#[tokio::test]
async fn an_expired_token_is_fetched_again() {
    let bench = Bench::new(Server::default(), by_secret()).await;
    for _ in 0..3 {
        assert!(bench.call().await.unwrap().message.contains("200"));
    }
    assert_eq!(bench.requests(), ["Bearer token-hunter2-1", "Bearer token-hunter2-2", "Bearer token-hunter2-3"]);
}

#[tokio::test]
async fn a_rejected_token_is_renewed_once() {
    let bench = Bench::new(long_life(), by_secret()).await;
    assert!(bench.call().await.unwrap().message.contains("200"));
    bench.server.revoked.store(1, Ordering::SeqCst);
    assert!(bench.call().await.unwrap().message.contains("200"), "the adapter noticed nothing");
    assert_eq!(bench.grants().len(), 2);
    assert_eq!(bench.requests().len(), 3);

    bench.server.revoked.store(u32::MAX, Ordering::SeqCst);
    assert!(bench.call().await.unwrap().message.contains("401"), "one renewal and no more");
    assert_eq!(bench.grants().len(), 3);
    assert_eq!(bench.requests().len(), 5);
}

#[tokio::test]
async fn a_refusing_token_endpoint_is_a_target_failure_reported_without_secrets() {
    let refusal = Some(r#"{"error":"invalid_client","error_description":"secret-hunter2 is wrong"}"#);
    let bench = Bench::new(Server { refusal, ..long_life() }, by_secret()).await;
    let failure = bench.call().await.unwrap();
    assert_eq!(failure.kind, FailureKind::Misconfigured);
    let words = format!("the token endpoint {} answered 401 Unauthorized: invalid_client", bench.server.token_url());
    assert_eq!(failure.message, words);
    assert_eq!(bench.requests().len(), 0, "nothing went out without credentials");
}

#[tokio::test]
async fn a_changed_secret_file_is_used_for_the_next_token() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("secret");
    std::fs::write(&file, "first-hunter2").unwrap();
    let path = file.clone();
    let read = move || std::fs::read_to_string(&path).map(Secret::new);
    let bench = Bench::new(Server::default(), ClientProof::Secret(SecretValue::Reread(Arc::new(read)))).await;
    bench.call().await.unwrap();
    std::fs::write(&file, "second-hunter2").unwrap();
    bench.call().await.unwrap();
    let sent = |text: &str| format!("Basic {}", base64::prelude::BASE64_STANDARD.encode(text));
    let seen: Vec<_> = bench.grants().into_iter().map(|(authorization, _)| authorization).collect();
    assert_eq!(seen, [sent("the+host:first-hunter2"), sent("the+host:second-hunter2")]);
    std::fs::remove_file(&file).unwrap();
    let failure = bench.call().await.unwrap();
    assert_eq!(failure.kind, FailureKind::Misconfigured);
    assert!(failure.message.starts_with("the file of the client secret cannot be read"), "{}", failure.message);
}

/// Verifies an assertion as a token endpoint does, and gives its head and claims.
fn verified(body: &str, key: &UnparsedPublicKey<Vec<u8>>) -> (serde_json::Value, serde_json::Value) {
    let form: std::collections::HashMap<String, String> =
        url::form_urlencoded::parse(body.as_bytes()).into_owned().collect();
    assert_eq!(form["client_assertion_type"], "urn:ietf:params:oauth:client-assertion-type:jwt-bearer");
    assert_eq!(form["grant_type"], "client_credentials");
    let assertion = &form["client_assertion"];
    let (signed, signature) = assertion.rsplit_once('.').unwrap();
    let decode = |text: &str| BASE64_URL_SAFE_NO_PAD.decode(text).unwrap();
    key.verify(signed.as_bytes(), &decode(signature)).expect("the signature is right");
    let (head, claims) = signed.split_once('.').unwrap();
    let json = |text: &str| serde_json::from_slice(&decode(text)).unwrap();
    (json(head), json(claims))
}

async fn check_assertions(pem: String, algorithm: &str, key: UnparsedPublicKey<Vec<u8>>) {
    let proof = ClientProof::Key { pem: Secret::new(pem).into(), key_id: "key-1".to_owned() };
    let bench = Bench::new(Server::default(), proof).await;
    for _ in 0..2 {
        assert!(bench.call().await.unwrap().message.contains("200"));
    }
    let mut ids = std::collections::HashSet::new();
    for (authorization, body) in bench.grants() {
        assert_eq!(authorization, "");
        let (head, claims) = verified(&body, &key);
        assert_eq!(head, serde_json::json!({ "alg": algorithm, "kid": "key-1", "typ": "JWT" }));
        assert_eq!((&claims["iss"], &claims["sub"]), (&"the host".into(), &"the host".into()));
        assert_eq!(claims["aud"], bench.server.token_url());
        let life = claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap();
        assert!((1..=300).contains(&life), "at most five minutes, not {life} s");
        ids.insert(claims["jti"].to_string());
    }
    assert_eq!(ids.len(), 2, "each assertion is valid once");
}

#[tokio::test]
async fn smart_backend_services_sign_with_rsa() {
    let pem = include_str!("fixtures/rsa_for_tests.pem");
    let der = PrivateKeyDer::from_pem_slice(pem.as_bytes()).unwrap();
    let public = RsaKeyPair::from_pkcs8(der.secret_der()).unwrap().public().as_ref().to_vec();
    check_assertions(pem.to_owned(), "RS384", UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA384, public)).await;
}

#[tokio::test]
async fn smart_backend_services_sign_with_p384() {
    let random = SystemRandom::new();
    let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P384_SHA384_FIXED_SIGNING, &random).unwrap();
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P384_SHA384_FIXED_SIGNING, document.as_ref(), &random).unwrap();
    let text = base64::prelude::BASE64_STANDARD.encode(document.as_ref());
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{text}\n-----END PRIVATE KEY-----\n");
    let public = pair.public_key().as_ref().to_vec();
    check_assertions(pem, "ES384", UnparsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, public)).await;
}
