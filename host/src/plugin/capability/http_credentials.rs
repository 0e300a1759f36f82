//! The credentials that the host adds to a target's requests. An adapter never sees them.
//!
//! Secrets in files are read whenever they are needed, so that they can be renewed while the host runs. Nothing here is
//! ever shown: not in `Debug`, an error or a log. Read next: `http_token.rs`, for tokens that the host fetches.

use std::sync::Arc;

use http::HeaderValue;
use zeroize::Zeroizing;

use super::http_client::HttpClient;
use super::http_secret::{SecretValue, basic_text, header};
use super::http_token::{GrantOptions, TokenSource};
use crate::domain::secret::Secret;
use crate::plugin::auth_failure::AuthFailure;

/// What the host adds to every request; the adapter never sees it.
#[derive(Clone, Debug, Default)]
pub enum Credentials {
    /// Nothing.
    #[default]
    None,
    /// `Authorization: Bearer ...`
    Bearer(SecretValue),
    /// `Authorization: Basic ...`, of user and password.
    Basic(String, SecretValue),
    /// A bearer token that the host fetches by OAuth 2.0 client credentials and renews.
    Grant(GrantOptions),
}

/// The header of one request, and which token it holds.
pub(super) struct Authorization {
    pub(super) header: HeaderValue,
    pub(super) generation: u64,
}

/// Gives every request of a target its header.
pub(super) enum Authorizer {
    None,
    Bearer(SecretValue),
    Basic(String, SecretValue),
    Token(Arc<TokenSource>),
}

impl Authorizer {
    /// For a target whose requests go through this client.
    pub(super) fn new(credentials: &Credentials, client: &HttpClient, allow_private: bool) -> Result<Self, String> {
        Ok(match credentials {
            Credentials::None => Self::None,
            Credentials::Bearer(token) => {
                refuse_unfit(token)?;
                Self::Bearer(token.clone())
            }
            Credentials::Basic(user, _) if user.contains(':') => {
                return Err("a user's name cannot hold a colon".to_owned());
            }
            Credentials::Basic(user, password) => Self::Basic(user.clone(), password.clone()),
            Credentials::Grant(options) => {
                Self::Token(TokenSource::new(options.clone(), client.clone(), allow_private)?)
            }
        })
    }

    /// The header for the next request.
    pub(super) async fn authorize(&self) -> Result<Option<Authorization>, AuthFailure> {
        let fixed = |header| Ok(Some(Authorization { header, generation: 0 }));
        match self {
            Self::None => Ok(None),
            Self::Bearer(token) => fixed(bearer(&token.read("token").await?)?),
            Self::Basic(user, password) => fixed(basic(user, &password.read("password").await?)?),
            Self::Token(source) => {
                let token = source.token().await?;
                Ok(Some(Authorization { header: bearer(&token.secret)?, generation: token.generation }))
            }
        }
    }

    /// The target did not accept this token; `true` when another try with a new one makes sense.
    pub(super) fn refused(&self, generation: u64) -> bool {
        match self {
            Self::Token(source) => {
                source.forget(generation);
                true
            }
            Self::None | Self::Bearer(_) | Self::Basic(..) => false,
        }
    }
}

fn refuse_unfit(token: &SecretValue) -> Result<(), String> {
    match token {
        SecretValue::Fixed(secret) => bearer(secret).map(drop).map_err(|failure| failure.message),
        SecretValue::Reread(_) => Ok(()),
    }
}

fn bearer(token: &Secret) -> Result<HeaderValue, AuthFailure> {
    header(&Zeroizing::new(format!("Bearer {}", token.expose())))
}

fn basic(user: &str, password: &Secret) -> Result<HeaderValue, AuthFailure> {
    header(&basic_text(user, password))
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;
    use crate::domain::change::FailureKind;

    fn secret(text: &str) -> SecretValue {
        Secret::new(text).into()
    }

    async fn shown(credentials: Credentials) -> Result<String, String> {
        let authorizer = Authorizer::new(&credentials, &HttpClient::of_tests(), false)?;
        let authorization = authorizer.authorize().await.map_err(|failure| failure.message)?.expect("a header");
        assert!(!format!("{:?}", authorization.header).contains("hunter2"));
        Ok(authorization.header.to_str().expect("text").to_owned())
    }

    #[tokio::test]
    async fn authorization_headers_are_well_formed_and_never_shown() {
        drop(rustls::crypto::ring::default_provider().install_default());
        let basic = Credentials::Basic("user".to_owned(), secret("hunter2"));
        assert!(!format!("{basic:?}").contains("hunter2"));
        assert_eq!(shown(basic).await.unwrap(), "Basic dXNlcjpodW50ZXIy");
        assert_eq!(shown(Credentials::Bearer(secret("hunter2"))).await.unwrap(), "Bearer hunter2");
    }

    #[tokio::test]
    async fn credentials_that_are_invalid_in_a_header_are_refused_without_being_shown() {
        drop(rustls::crypto::ring::default_provider().install_default());
        let error = shown(Credentials::Bearer(secret("hunter2\r\nX: y"))).await.unwrap_err();
        assert!(error.contains("header") && !error.contains("hunter2"), "{error}");
        assert!(shown(Credentials::Basic("a:b".to_owned(), secret("x"))).await.unwrap_err().contains("colon"));
    }

    #[tokio::test]
    async fn a_secret_file_is_read_for_every_request() {
        drop(rustls::crypto::ring::default_provider().install_default());
        let count = Arc::new(std::sync::atomic::AtomicU32::new(0));
        let asked = Arc::clone(&count);
        let read = move || match asked.fetch_add(1, std::sync::atomic::Ordering::Relaxed) {
            2 => Err(io::Error::new(io::ErrorKind::NotFound, "gone")),
            number => Ok(Secret::new(format!("token-{number}"))),
        };
        let credentials = Credentials::Bearer(SecretValue::Reread(Arc::new(read)));
        let authorizer = Authorizer::new(&credentials, &HttpClient::of_tests(), false).unwrap();
        for expected in ["Bearer token-0", "Bearer token-1"] {
            assert_eq!(authorizer.authorize().await.unwrap().unwrap().header, expected);
        }
        let failure = authorizer.authorize().await.err().unwrap();
        assert_eq!(failure.kind, FailureKind::Misconfigured);
        assert_eq!(failure.message, "the file of the token cannot be read: gone");
    }
}
