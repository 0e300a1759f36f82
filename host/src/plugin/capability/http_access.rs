//! An HTTP target: its allow-list, credentials and connections. Made once per target and shared by calls.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, HeaderValue, Method};

use super::http_client::{ClientOptions, HttpClient};
use super::http_credentials::{Authorizer, Credentials};
use super::http_list::{AllowList, Refusal};
use super::http_secret::{SecretValue, header};
use crate::domain::headers::check_added;
use crate::domain::limits::{HTTP_TIMEOUT_MS_DEFAULT, Limits};
use crate::plugin::PluginError;
use crate::plugin::auth_failure::AuthFailure;

/// The HTTP section of a target.
#[derive(Clone, Debug)]
pub struct HttpOptions {
    /// `http` or `https`, host, optional port, optional path: every URL under it may be requested.
    pub base_url: String,
    /// The methods that may be used.
    pub methods: Vec<String>,
    /// Whether the target may be on this machine or in a private network.
    pub allow_private: bool,
    /// How long one request may take, from connecting to the last byte.
    pub timeout: Duration,
    /// Certificate authorities in PEM, trusted instead of the system's.
    pub ca_pem: Option<Vec<u8>>,
    /// The credentials to add to every request.
    pub credentials: Credentials,
    /// Headers to add to every request, as secret as the credentials.
    pub headers: Vec<(String, SecretValue)>,
    /// The maximum number of headers of one response.
    pub headers_max: u64,
}

impl Default for HttpOptions {
    fn default() -> Self {
        Self {
            base_url: String::new(),
            methods: ["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"].map(str::to_owned).to_vec(),
            allow_private: false,
            timeout: Duration::from_millis(HTTP_TIMEOUT_MS_DEFAULT),
            ca_pem: None,
            credentials: Credentials::None,
            headers: Vec::new(),
            headers_max: Limits::default().http_headers_max,
        }
    }
}

/// A target's HTTP client with its allow-list. Made once per target; calls share its connections.
pub struct HttpAccess {
    pub(super) client: HttpClient,
    pub(super) authorizer: Authorizer,
    pub(super) timeout: Duration,
    pub(super) methods: Vec<Method>,
    list: AllowList,
    headers: Vec<(HeaderName, SecretValue)>,
    base_path: String,
}

impl HttpAccess {
    /// For one target.
    ///
    /// # Errors
    /// [`PluginError::Access`] when a URL, a certificate or the credentials are not understood.
    pub fn new(target: &str, options: &HttpOptions) -> Result<Arc<Self>, PluginError> {
        let refuse = |reason: String| PluginError::Access { target: target.to_owned(), reason };
        let urls = std::iter::once(options.base_url.as_str());
        let list = AllowList::new(urls, options.allow_private).map_err(refuse)?;
        let client = HttpClient::new(&ClientOptions {
            target,
            allow_private: options.allow_private,
            ca_pem: options.ca_pem.as_deref(),
            timeout: options.timeout,
            headers_max: usize::try_from(options.headers_max).unwrap_or(usize::MAX),
        })
        .map_err(refuse)?;
        let authorizer = Authorizer::new(&options.credentials, &client, options.allow_private).map_err(refuse)?;
        let methods = options
            .methods
            .iter()
            .map(|method| method.parse().map_err(|_| refuse(format!("`{method}` is no HTTP method"))))
            .collect::<Result<_, _>>()?;
        let headers = options
            .headers
            .iter()
            .map(|(name, value)| added_header(name, value).map_err(refuse))
            .collect::<Result<_, _>>()?;
        let base_path = url::Url::parse(&options.base_url).map(|url| url.path().to_owned()).unwrap_or_default();
        Ok(Arc::new(Self { client, authorizer, timeout: options.timeout, methods, list, headers, base_path }))
    }

    /// The current values of the headers that the operator adds to every request.
    pub(super) async fn added_headers(&self) -> Result<Vec<(HeaderName, HeaderValue)>, AuthFailure> {
        let mut headers = Vec::with_capacity(self.headers.len());
        for (name, value) in &self.headers {
            let text = value.read(&format!("header {name}")).await?;
            headers.push((name.clone(), header(text.expose())?));
        }
        Ok(headers)
    }

    /// When the certificate that the server showed last ends, milliseconds since 1970-01-01 UTC; `None` before a
    /// connection with TLS.
    #[must_use]
    pub fn certificate_ends_at(&self) -> Option<i64> {
        self.client.certificate_ends_at()
    }

    /// The path of `base_url`.
    pub(super) fn base_path(&self) -> &str {
        &self.base_path
    }

    /// The URL to send, if the request may go out.
    pub(super) fn check(&self, uri: &http::Uri) -> Result<url::Url, Refusal> {
        self.list.check(uri)
    }
}

fn added_header(name: &str, value: &SecretValue) -> Result<(HeaderName, SecretValue), String> {
    check_added(name).map_err(|reason| format!("the header `{name}` {reason}"))?;
    if let SecretValue::Fixed(secret) = value {
        header(secret.expose()).map_err(|failure| failure.message)?;
    }
    let parsed =
        HeaderName::from_bytes(name.as_bytes()).map_err(|_| format!("`{name}` is not the name of an HTTP header"))?;
    Ok((parsed, value.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_invalid_certificate_authority_is_refused() {
        for pem in ["", "hello"] {
            let options =
                HttpOptions { base_url: "https://h/".to_owned(), ca_pem: Some(pem.into()), ..HttpOptions::default() };
            let error = HttpAccess::new("fhir", &options).err().unwrap().to_string();
            assert!(error.contains("target `fhir`") && error.contains("PEM"), "{error}");
        }
    }
}
