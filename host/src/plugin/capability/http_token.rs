//! Access tokens that the host fetches itself: OAuth 2.0 client credentials, by secret or by a signed assertion (SMART
//! Backend Services).
//!
//! A token is fetched when it is first needed, kept until shortly before it runs out, and fetched once however many
//! calls wait for it: by a task of its own, so that a call that is cut off takes nothing from the others. It never
//! leaves the host but in the header of a request to its target. Read next: `http_assertion.rs`.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::FutureExt as _;
use futures::future::{BoxFuture, Shared};
use http::{Request, Response, header};
use http_body_util::{BodyExt as _, Full};
use serde::Deserialize;
use url::Url;
use zeroize::Zeroizing;

use super::http_assertion::SigningKey;
use super::http_client::{AnswerBody, HttpClient, SendError};
use super::http_coding::{ACCEPTED, CodingError, Decoder};
use super::http_list::AllowList;
use super::http_secret::{SecretValue, basic_text, header as header_value};
use crate::domain::secret::Secret;
use crate::domain::words::one_line;
use crate::plugin::auth_failure::AuthFailure;

/// Bytes of a token endpoint's answer.
const ANSWER_BYTES_MAX: usize = 64 << 10;
/// Bytes of the headers of its answer.
const HEADER_BYTES_MAX: u64 = 64 << 10;
/// How long a token is valid when the endpoint does not say.
const LIFE_DEFAULT: Duration = Duration::from_secs(300);
/// A token is renewed so long before its end, or after three quarters of a short life.
const RENEW_BEFORE: Duration = Duration::from_secs(60);

/// What the assertion is, to the endpoint.
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// How the host asks for tokens.
#[derive(Clone, Debug)]
pub struct GrantOptions {
    /// The token endpoint.
    pub token_url: String,
    /// The host's client id there.
    pub client_id: String,
    /// What it wants to do, in the words of the target; none leaves it to the endpoint.
    pub scope: Option<String>,
    /// For whom the token is to be, where the endpoint asks for it.
    pub audience: Option<String>,
    /// The resource that the token is to open (RFC 8707), where the endpoint asks for it.
    pub resource: Option<String>,
    /// How the host authenticates there.
    pub proof: ClientProof,
}

/// How the host authenticates at the token endpoint.
#[derive(Clone, Debug)]
pub enum ClientProof {
    /// A secret that both know, in the header (`client_secret_basic`).
    Secret(SecretValue),
    /// A secret that both know, in the body (`client_secret_post`).
    SecretInBody(SecretValue),
    /// A private key (PEM, PKCS #8) whose public half the endpoint knows by this id: `private_key_jwt`, RS384 or ES384.
    Key {
        /// The key.
        pem: SecretValue,
        /// `kid`
        key_id: String,
    },
}

/// A token with the time until which it is used.
pub(super) struct Token {
    pub(super) secret: Secret,
    pub(super) generation: u64,
    good_until: Instant,
}

type Fetched = Result<Arc<Token>, AuthFailure>;
type Fetching = Shared<BoxFuture<'static, Fetched>>;

/// The token of one target.
pub(super) struct TokenSource {
    options: GrantOptions,
    client: HttpClient,
    url: Url,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    token: Option<Arc<Token>>,
    fetching: Option<Fetching>,
    generations: u64,
}

impl TokenSource {
    pub(super) fn new(options: GrantOptions, client: HttpClient, allow_private: bool) -> Result<Arc<Self>, String> {
        let list = AllowList::new([options.token_url.as_str()], allow_private)?;
        let uri = options.token_url.parse().map_err(|_| "token_url is not a URL".to_owned())?;
        let url = list.check(&uri).map_err(|_| "token_url is an address that may not be dialled".to_owned())?;
        Ok(Arc::new(Self { options, client, url, state: Mutex::default() }))
    }

    /// The token, fetched when there is no valid one.
    pub(super) async fn token(self: &Arc<Self>) -> Fetched {
        self.kept_or_fetching().await
    }

    fn kept_or_fetching(self: &Arc<Self>) -> BoxFuture<'static, Fetched> {
        let mut state = self.state();
        if let Some(token) = state.token.as_ref().filter(|token| token.good_until > Instant::now()) {
            let token = Arc::clone(token);
            return Box::pin(std::future::ready(Ok(token)));
        }
        if let Some(fetching) = &state.fetching {
            return Box::pin(fetching.clone());
        }
        state.generations += 1;
        let (source, generation) = (Arc::clone(self), state.generations);
        let task = tokio::spawn(async move {
            let fetched = source.fetch(generation).await.map(Arc::new);
            let mut state = source.state();
            state.fetching = None;
            state.token = fetched.as_ref().ok().cloned();
            fetched
        });
        let fetching: BoxFuture<'static, Fetched> = Box::pin(async move {
            task.await.unwrap_or_else(|_| Err(AuthFailure::unavailable("fetching a token was aborted")))
        });
        let fetching = fetching.shared();
        state.fetching = Some(fetching.clone());
        Box::pin(fetching)
    }

    /// Gives up a token that the target did not accept, unless it was replaced already.
    pub(super) fn forget(&self, generation: u64) {
        let mut state = self.state();
        if state.token.as_ref().is_some_and(|token| token.generation == generation) {
            state.token = None;
        }
    }

    async fn fetch(&self, generation: u64) -> Result<Token, AuthFailure> {
        let asked = Instant::now();
        let request = self.request().await?;
        let response = self.client.send(request, HEADER_BYTES_MAX).await.map_err(|error| {
            let what = match error {
                SendError::InterimHeads | SendError::HeadBytes | SendError::HeaderCount => "answers without end",
                error if error.is_timeout() => "did not answer in time",
                _ => "cannot be reached",
            };
            AuthFailure::unavailable(format!("{} {what}", self.endpoint()))
        })?;
        let status = response.status();
        let body = read_body(response)
            .await
            .map_err(|what| AuthFailure::unavailable(format!("{} {what}", self.endpoint())))?;
        if status.is_server_error() || status == http::StatusCode::TOO_MANY_REQUESTS {
            return Err(AuthFailure::unavailable(format!("{} answered {status}", self.endpoint())));
        }
        if !status.is_success() {
            return Err(AuthFailure::misconfigured(format!("{} answered {status}{}", self.endpoint(), reason(&body))));
        }
        let answer: TokenResponse = serde_json::from_slice(&body)
            .map_err(|_| AuthFailure::misconfigured(format!("{} answered with no token", self.endpoint())))?;
        let secret = Secret::new(answer.access_token);
        let is_bearer = answer.token_type.is_none_or(|kind| kind.eq_ignore_ascii_case("bearer"));
        if !is_bearer || secret.expose().is_empty() {
            return Err(AuthFailure::misconfigured(format!("{} answered with no bearer token", self.endpoint())));
        }
        if answer.scope.as_deref().is_some_and(only_reads) {
            return Err(AuthFailure::misconfigured(format!(
                "{} granted scopes that only read; let this client write, for example system/Patient.crus",
                self.endpoint()
            )));
        }
        let life = seconds(answer.expires_in.as_ref())
            .map_or(LIFE_DEFAULT, Duration::from_secs)
            .min(Duration::from_secs(86_400));
        Ok(Token { secret, generation, good_until: asked + life.saturating_sub(RENEW_BEFORE.min(life / 4)) })
    }

    async fn request(&self) -> Result<Request<Full<Bytes>>, AuthFailure> {
        let mut form = vec![("grant_type", Zeroizing::new("client_credentials".to_owned()))];
        let GrantOptions { scope, audience, resource, .. } = &self.options;
        for (name, value) in [("scope", scope), ("audience", audience), ("resource", resource)] {
            form.extend(value.iter().map(|value| (name, Zeroizing::new(value.clone()))));
        }
        let request = Request::post(self.url.as_str())
            .header(header::ACCEPT, "application/json")
            .header(header::ACCEPT_ENCODING, ACCEPTED);
        let request = match &self.options.proof {
            ClientProof::Secret(secret) => {
                let secret = secret.read("client secret").await?;
                // Both are encoded as in a form before they are put together (RFC 6749, 2.3.1).
                let encode = |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
                let text = basic_text(&encode(&self.options.client_id), &Secret::new(encode(secret.expose())));
                request.header(header::AUTHORIZATION, header_value(&text)?)
            }
            ClientProof::SecretInBody(secret) => {
                let secret = secret.read("client secret").await?;
                form.push(("client_id", Zeroizing::new(self.options.client_id.clone())));
                form.push(("client_secret", Zeroizing::new(secret.expose().to_owned())));
                request
            }
            ClientProof::Key { pem, key_id } => {
                let key = SigningKey::read(&pem.read("private key").await?)
                    .map_err(|reason| AuthFailure::misconfigured(format!("the private key {reason}")))?;
                let assertion = key
                    .assertion(key_id, &self.options.client_id, self.url.as_str())
                    .map_err(AuthFailure::misconfigured)?;
                form.push(("client_assertion_type", Zeroizing::new(ASSERTION_TYPE.to_owned())));
                form.push(("client_assertion", assertion));
                request
            }
        };
        let pairs = form.iter().map(|(name, value)| (*name, value.as_str()));
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
        request
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Full::from(body))
            .map_err(|_| AuthFailure::misconfigured("token_url is not a URL"))
    }

    /// For people; the URL holds no secret, but its query might.
    fn endpoint(&self) -> String {
        format!("the token endpoint {}{}", self.url.origin().ascii_serialization(), self.url.path())
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Deserialize)]
struct TokenResponse {
    access_token: String,
    /// Required by the standard, left out by some; what is there must be right.
    #[serde(default)]
    token_type: Option<String>,
    /// A number by the standard; some write it as text.
    #[serde(default)]
    expires_in: Option<serde_json::Value>,
    /// What was granted, where that is not just what was asked for.
    #[serde(default)]
    scope: Option<String>,
}

/// Whether there are scopes of SMART's form (`system/Patient.read`, `system/*.rs`) and none of them lets the client
/// create or update anything. Scopes of other forms say nothing here.
fn only_reads(scope: &str) -> bool {
    let mut permissions = scope.split_ascii_whitespace().filter_map(|one| {
        let (context, rest) = one.split_once('/')?;
        let (_, permission) = rest.split_once('.')?;
        let is_smart = matches!(context, "system" | "user" | "patient");
        is_smart.then(|| permission.split('?').next().unwrap_or_default())
    });
    let writes = |permission: &str| match permission {
        "write" | "*" => true,
        letters => letters.contains(['c', 'u']) && letters.chars().all(|letter| "cruds".contains(letter)),
    };
    let Some(first) = permissions.next() else { return false };
    !writes(first) && !permissions.any(writes)
}

/// Whole seconds, in whatever form; `None` for what says nothing. A float that is too large becomes the largest number.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "not below zero, and saturating")]
fn seconds(value: Option<&serde_json::Value>) -> Option<u64> {
    let number = match value? {
        serde_json::Value::String(text) => text.trim().parse::<f64>().ok()?,
        value => value.as_f64()?,
    };
    (number >= 0.0).then_some(number as u64)
}

#[derive(Deserialize)]
struct Refusal {
    error: String,
}

/// The endpoint's error code, where it is a plain word.
fn reason(body: &[u8]) -> String {
    let word = serde_json::from_slice::<Refusal>(body).map(|refusal| refusal.error).unwrap_or_default();
    let plain = word.len() <= 64 && word.chars().all(|c| c.is_ascii_lowercase() || c == '_');
    if plain && !word.is_empty() { format!(": {}", one_line(&word, 64)) } else { String::new() }
}

async fn read_body(mut response: Response<AnswerBody>) -> Result<Zeroizing<Vec<u8>>, &'static str> {
    const TOO_LARGE: &str = "answered with far more than a token";
    let broken = |error: CodingError| match error {
        CodingError::TooLarge => TOO_LARGE,
        CodingError::Broken => "answered with something that cannot be unpacked",
    };
    let mut decoder = Decoder::of(response.headers(), ANSWER_BYTES_MAX as u64)
        .map_err(|_| "answered in a coding that is not known")?;
    let mut body = Zeroizing::new(Vec::with_capacity(4096));
    while let Some(frame) = response.frame().await {
        let Ok(chunk) = frame.map_err(|_| "cut its response off")?.into_data() else { continue };
        let chunk = match &mut decoder {
            Some(decoder) => decoder.push(&chunk).map_err(broken)?,
            None => chunk,
        };
        if body.len() + chunk.len() > ANSWER_BYTES_MAX {
            return Err(TOO_LARGE);
        }
        body.extend_from_slice(&chunk);
    }
    if let Some(decoder) = &mut decoder {
        body.extend_from_slice(&decoder.finish().map_err(broken)?);
    }
    Ok(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_standard_error_code_of_a_token_endpoint_is_repeated() {
        assert_eq!(reason(br#"{"error":"invalid_client","error_description":"Kim"}"#), ": invalid_client");
        assert_eq!(reason(br#"{"error":"hunter2 is wrong"}"#), "");
        assert_eq!(reason(b"<html>"), "");
    }

    #[test]
    fn a_token_lifetime_is_read_as_number_or_text() {
        let read = |text: &str| seconds(serde_json::from_str::<TokenResponse>(text).unwrap().expires_in.as_ref());
        for (written, expected) in [
            (r#"{"access_token":"t","expires_in":3600}"#, Some(3_600)),
            (r#"{"access_token":"t","expires_in":"3600"}"#, Some(3_600)),
            (r#"{"access_token":"t","expires_in":3599.5}"#, Some(3_599)),
            (r#"{"access_token":"t","expires_in":"soon"}"#, None),
            (r#"{"access_token":"t","expires_in":-1}"#, None),
            (r#"{"access_token":"t","expires_in":null}"#, None),
            (r#"{"access_token":"t"}"#, None),
        ] {
            assert_eq!(read(written), expected, "{written}");
        }
    }

    #[test]
    fn read_only_scopes_are_recognised() {
        for (scope, expected) in [
            ("system/Patient.read", true),
            ("system/Patient.rs", true),
            ("system/*.rs?x=c system/Patient.read", true),
            ("system/Patient.rs system/Patient.write", false),
            ("system/Patient.crus", false),
            ("system/*.*", false),
            ("", false),
            ("openid fhirUser", false),
            ("https://www.example.org/auth/cloud-healthcare.read", false),
        ] {
            assert_eq!(only_reads(scope), expected, "{scope}");
        }
    }

    #[test]
    fn debug_output_of_token_options_hides_secrets() {
        let options = GrantOptions {
            token_url: "https://h/token".to_owned(),
            client_id: "host".to_owned(),
            scope: None,
            audience: None,
            resource: None,
            proof: ClientProof::Secret(Secret::new("hunter2").into()),
        };
        assert!(!format!("{options:?}").contains("hunter2"));
    }
}
