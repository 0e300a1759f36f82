//! Registries that need credentials: behind a private certificate authority, and with tokens, which the real
//! registry checks and a small endpoint here gives.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use serde_json::json;
use tests::host::Host;
use tests::servers::Registry;

use crate::support::{assert_refused, host, installed, registry};

fn push(host: &Host, tag: &str, more: &[&str]) -> tests::host::Output {
    host.run(&[&["plugin", "push", "release.wasm", tag], more].concat())
}

#[test]
fn a_registry_with_a_private_authority_is_trusted_only_where_configured() {
    if registry().is_none() {
        return;
    }
    let mut params = CertificateParams::new(Vec::new()).expect("authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().expect("key");
    let authority = params.self_signed(&key).expect("sign").pem();
    let issuer = Issuer::new(params, key);
    let key = KeyPair::generate().expect("key");
    let certificate = CertificateParams::new(vec!["127.0.0.1".to_owned()]).expect("name");
    let certificate = certificate.signed_by(&key, &issuer).expect("sign").pem();
    let tls = ", tls: {certificate: server.pem, key: server.key}";
    let files = [("server.pem", certificate.as_str()), ("server.key", &key.serialize_pem())];
    let registry = Registry::start_with(tls, "", &files).expect("registry");
    let host = host("");
    fs::write(host.folder().join("ca.pem"), authority).expect("write");
    fs::write(host.folder().join("other.pem"), other_authority()).expect("write");
    let tag = registry.address("openemr:1");
    let _ = push(&host, &tag, &["--ca", "ca.pem"]).expect_success();
    assert_refused(&push(&host, &tag, &["--ca", "other.pem"]), 5, &["certificate"]);
    assert_refused(&push(&host, &tag, &["--ca", "release.wasm"]), 2, &["--ca release.wasm: holds no certificate"]);
    let host = host.with_variable("HOST_REGISTRY_CA", "ca.pem");
    let _ = host.run(&["plugin", "install", &tag]).expect_success();
    assert!(installed(&host).is_file());
}

fn other_authority() -> String {
    let key = KeyPair::generate().expect("key");
    CertificateParams::new(Vec::new()).expect("authority").self_signed(&key).expect("sign").pem()
}

/// Gives tokens to the user `releaser` with the password `letmein`.
struct Tokens {
    key: EcdsaKeyPair,
    certificate: String,
}

impl Tokens {
    /// The endpoint's address, and the certificate of its key in PEM.
    fn start() -> (String, String, Arc<Self>) {
        let key = KeyPair::generate().expect("key");
        let certificate = CertificateParams::new(Vec::new()).expect("name").self_signed(&key).expect("sign");
        let signing =
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &key.serialize_der(), &SystemRandom::new());
        let tokens =
            Self { key: signing.expect("key"), certificate: BASE64_STANDARD.encode(certificate.der().as_ref()) };
        let listener = TcpListener::bind("127.0.0.1:0").expect("listen");
        let realm = format!("http://{}/token", listener.local_addr().expect("address"));
        let tokens = Arc::new(tokens);
        let shared = Arc::clone(&tokens);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                shared.answer(stream.expect("connection")).expect("answer");
            }
        });
        (realm, certificate.pem(), tokens)
    }

    fn answer(&self, mut stream: TcpStream) -> std::io::Result<()> {
        let mut head = String::new();
        let mut reader = BufReader::new(stream.try_clone()?);
        while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head)? > 0 {}
        let known = BASE64_STANDARD.encode("releaser:letmein");
        let (status, body) = if head.contains(&known) && head.starts_with("GET /token?") {
            ("200 OK", json!({"token": self.token(&["pull", "push"])}).to_string())
        } else {
            ("401 Unauthorized", "{}".to_owned())
        };
        let length = body.len();
        write!(
            stream,
            "HTTP/1.1 {status}\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
        )
    }

    /// What the registry takes for a while, for the repository `openemr`.
    fn token(&self, actions: &[&str]) -> String {
        let now_s = SystemTime::now().duration_since(UNIX_EPOCH).expect("clock").as_secs();
        let head = json!({"typ": "JWT", "alg": "ES256", "x5c": [self.certificate]});
        let claims = json!({
            "iss": "tests", "sub": "releaser", "aud": "registry", "jti": "1", "iat": now_s, "nbf": now_s - 5, "exp": now_s + 300,
            "access": [{"type": "repository", "name": "openemr", "actions": actions}],
        });
        let part = |value: &serde_json::Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
        let text = format!("{}.{}", part(&head), part(&claims));
        let signature = self.key.sign(&SystemRandom::new(), text.as_bytes()).expect("sign");
        format!("{text}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature.as_ref()))
    }
}

#[test]
fn a_registry_accepts_tokens_of_its_endpoint_and_configured_ones() {
    if registry().is_none() {
        return;
    }
    let (realm, certificate, tokens) = Tokens::start();
    let settings = format!(
        "auth: {{token: {{realm: \"{realm}\", service: registry, issuer: tests, rootcertbundle: tokens.pem}}}}\n"
    );
    let registry = Registry::start_with("", &settings, &[("tokens.pem", &certificate)]).expect("registry");
    let host = host("");
    let tag = registry.address("openemr:1");
    let words = ["refuses this user, password or token", "--token-file"];
    let write = |name: &str, text: &str| fs::write(host.folder().join(name), text).expect("write");
    write("password", "letmein\n");
    write("wrong", "guess");
    write("token", &tokens.token(&["pull", "push"]));
    write("reader", &tokens.token(&["pull"]));

    assert_refused(&push(&host, &tag, &[]), 5, &words);
    let refused = push(&host, &tag, &["--user", "releaser", "--password-file", "wrong"]);
    assert_refused(&refused, 5, &words);
    assert!(!refused.stderr.contains("guess"), "{}", refused.stderr);
    // The registry asks for a token, and the endpoint gives it for user and password.
    let _ = push(&host, &tag, &["--user", "releaser", "--password-file", "password"]).expect_success();

    assert_refused(&push(&host, &tag, &["--token-file", "reader"]), 5, &words);
    assert_refused(&push(&host, &tag, &["--token-file", "wrong"]), 5, &words);
    let _ = push(&host, &tag, &["--token-file", "token"]).expect_success();
    let reader = tokens.token(&["pull"]);
    let host = host.with_variable("HOST_REGISTRY_TOKEN", &reader);
    let output = host.run(&["plugin", "install", &tag]).expect_success();
    assert!(!output.stdout.contains(&reader) && !output.stderr.contains(&reader));
}
