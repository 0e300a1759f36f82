//! An HTTP target: its allow-list, credentials and connections. Made once per target and shared by calls.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, header};
use reqwest::redirect::Policy;
use zeroize::Zeroizing;

use super::http_address::CheckedResolver;
use super::http_list::{AllowList, Refusal};
use crate::plugin::PluginError;

/// A secret in memory: wiped when dropped, never shown.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes it over.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }
}

/// Shows nothing.
impl std::fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Secret(..)")
    }
}

/// What the host adds to every request; the adapter never sees it.
#[derive(Clone, Debug, Default)]
pub enum Credentials {
    /// Nothing.
    #[default]
    None,
    /// `Authorization: Bearer ...`
    Bearer(Secret),
    /// `Authorization: Basic ...`, of user and password.
    Basic(String, Secret),
}

impl Credentials {
    /// The header's value; an error when it cannot stand in one.
    fn header(&self, client: &reqwest::Client) -> Result<Option<HeaderValue>, String> {
        // The request is never sent: it is the one who knows how these headers are written.
        let request = client.get("http://localhost/");
        let request = match self {
            Self::None => return Ok(None),
            Self::Bearer(secret) => request.bearer_auth(secret.0.as_str()),
            Self::Basic(user, _) if user.contains(':') => return Err("a user's name cannot hold a colon".to_owned()),
            Self::Basic(user, secret) => request.basic_auth(user, Some(secret.0.as_str())),
        };
        let request =
            request.build().map_err(|_| "the credentials hold a character that cannot stand in a header".to_owned())?;
        Ok(request.headers().get(header::AUTHORIZATION).cloned())
    }
}

/// The HTTP section of a target.
#[derive(Clone, Debug)]
pub struct HttpOptions {
    /// `http` or `https`, host, optional port, optional path: everything under it may be asked for.
    pub base_url: String,
    /// Further URLs under which everything may be asked for.
    pub also_allow: Vec<String>,
    /// Whether the target may be on this machine or in a private network.
    pub allow_private: bool,
    /// How long one request may take, from connecting to the last byte.
    pub timeout: Duration,
    /// Certificate authorities in PEM, trusted instead of the system's.
    pub ca_pem: Option<Vec<u8>>,
    /// What to add to every request.
    pub credentials: Credentials,
}

impl Default for HttpOptions {
    fn default() -> Self {
        Self {
            base_url: String::new(),
            also_allow: Vec::new(),
            allow_private: false,
            timeout: Duration::from_secs(30),
            ca_pem: None,
            credentials: Credentials::None,
        }
    }
}

/// A target's HTTP client with its allow-list. Made once per target; calls share its connections.
pub struct HttpAccess {
    pub(super) client: reqwest::Client,
    pub(super) authorization: Option<HeaderValue>,
    pub(super) timeout: Duration,
    list: AllowList,
}

impl HttpAccess {
    /// For one target.
    ///
    /// # Errors
    /// [`PluginError::Access`] when a URL, a certificate or the credentials are not understood.
    pub fn new(target: &str, options: &HttpOptions) -> Result<Arc<Self>, PluginError> {
        let refuse = |reason: String| PluginError::Access { target: target.to_owned(), reason };
        let urls = std::iter::once(&options.base_url).chain(&options.also_allow).map(String::as_str);
        let list = AllowList::new(urls, options.allow_private).map_err(refuse)?;
        let client = client(options).map_err(refuse)?;
        let authorization = options.credentials.header(&client).map_err(refuse)?;
        Ok(Arc::new(Self { client, authorization, timeout: options.timeout, list }))
    }

    /// The URL to send, if the request may go out.
    pub(super) fn check(&self, uri: &http::Uri) -> Result<url::Url, Refusal> {
        self.list.check(uri)
    }
}

fn client(options: &HttpOptions) -> Result<reqwest::Client, String> {
    // The first one stays; whoever came before us chose the same.
    drop(rustls::crypto::ring::default_provider().install_default());
    let mut builder = reqwest::Client::builder()
        .user_agent(concat!("neuronova-sync/", env!("CARGO_PKG_VERSION")))
        .redirect(Policy::none())
        .referer(false)
        .no_proxy()
        .timeout(options.timeout)
        .connect_timeout(options.timeout.min(Duration::from_secs(10)))
        .pool_idle_timeout(Duration::from_mins(1))
        .tcp_nodelay(true)
        .dns_resolver(CheckedResolver { allow_private: options.allow_private });
    if let Some(pem) = &options.ca_pem {
        let certificates = reqwest::Certificate::from_pem_bundle(pem)
            .map_err(|_| "the certificate authority is not a PEM file of certificates".to_owned())?;
        if certificates.is_empty() {
            return Err("the certificate authority's PEM file holds no certificate".to_owned());
        }
        builder = builder.tls_certs_only(certificates);
    }
    builder.build().map_err(|error| format!("the HTTP client could not be made: {}", error.without_url()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_never_shown() {
        let options = HttpOptions {
            base_url: "https://h/".to_owned(),
            credentials: Credentials::Basic("user".to_owned(), Secret::new("hunter2")),
            ..HttpOptions::default()
        };
        assert!(!format!("{options:?}").contains("hunter2"));
        let client = client(&options).unwrap();
        let header = options.credentials.header(&client).unwrap().unwrap();
        assert_eq!(header.to_str().unwrap(), "Basic dXNlcjpodW50ZXIy");
        assert!(!format!("{header:?}").contains("dXNlcjp"));
        let broken = Credentials::Bearer(Secret::new("hunter2\r\nX: y"));
        assert!(!broken.header(&client).unwrap_err().contains("hunter2"));
    }

    #[tokio::test]
    async fn a_certificate_authority_that_is_none_is_refused() {
        for pem in ["", "hello"] {
            let options =
                HttpOptions { base_url: "https://h/".to_owned(), ca_pem: Some(pem.into()), ..HttpOptions::default() };
            let error = HttpAccess::new("fhir", &options).err().unwrap().to_string();
            assert!(error.contains("target `fhir`") && error.contains("PEM"), "{error}");
        }
    }
}
