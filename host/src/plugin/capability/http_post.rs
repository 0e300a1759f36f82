//! Posts the host's own messages to one address, with the client, the checks of addresses and the certificates that
//! HTTP targets have. No adapter uses it.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode, Uri};
use http_body_util::Full;

use super::http_client::{ClientOptions, HttpClient, causes};
use super::http_list::AllowList;
use crate::domain::limits::Limits;
use crate::domain::secret::Secret;

/// An address that takes messages.
#[derive(Clone)]
pub struct HttpPoster {
    client: HttpClient,
    uri: Uri,
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
        Ok(Self { client, uri, header_bytes_max: limits.http_header_bytes_max })
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
            Err(error) => Err(causes(&error).map(ToString::to_string).collect::<Vec<_>>().join(": ")),
        }
    }
}

#[cfg(test)]
mod tests {
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
}
