//! Messages as JSON to a web server, signed so that it can refuse what others send or send again.

use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue};
use jiff::Timestamp;

use super::message::Message;
use super::secret::{SecretReader, read_secret};
use super::server_certificates::{AskedServer, unverified_tls};
use crate::domain::hex::hex;
use crate::plugin::HttpPoster;

const TIMESTAMP: &str = "neuronova-timestamp";
const SIGNATURE: &str = "neuronova-signature";

/// A web server that takes messages.
#[derive(Clone)]
pub struct Webhook {
    poster: HttpPoster,
    secret: SecretReader,
    /// Its scheme, host and port.
    place: String,
    timeout: Duration,
}

impl Webhook {
    #[must_use]
    pub fn new(poster: HttpPoster, secret: SecretReader, place: String, timeout: Duration) -> Self {
        Self { poster, secret, place, timeout }
    }

    pub(super) fn place(&self) -> &str {
        &self.place
    }

    pub(super) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// The server as it is asked for its certificate; `None` without TLS.
    pub(super) fn asked(&self) -> Option<AskedServer> {
        let poster = self.poster.clone();
        poster.is_https().then(|| {
            AskedServer::new(move || {
                let poster = poster.clone();
                async move { poster.certificate_ends_at(unverified_tls()).await.map(Some) }
            })
        })
    }

    pub(super) async fn send(&self, message: &Message) -> Result<String, String> {
        let secret = read_secret(&self.secret).await?;
        let body = message.json().to_string();
        let headers = signed(&body, Timestamp::now().as_second(), secret.expose())?;
        let status = self.poster.post(headers, Bytes::from(body)).await?;
        if status.is_success() { Ok(status.to_string()) } else { Err(format!("the server answered {status}")) }
    }
}

/// The headers of a body. The time is signed too, so that a receiver can refuse old messages.
fn signed(body: &str, seconds: i64, secret: &str) -> Result<HeaderMap, String> {
    let value = |text: String| HeaderValue::try_from(text).map_err(|error| error.to_string());
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(TIMESTAMP, value(seconds.to_string())?);
    headers.insert(SIGNATURE, value(format!("v1={}", signature(body, seconds, secret)))?);
    Ok(headers)
}

/// HMAC-SHA256 of the time, a dot and the body, in hexadecimal.
fn signature(body: &str, seconds: i64, secret: &str) -> String {
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret.as_bytes());
    hex(ring::hmac::sign(&key, format!("{seconds}.{body}").as_bytes()).as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_that_of_time_and_body() {
        // printf '%s' '1700000000.{"a":1}' | openssl dgst -sha256 -hmac 'a secret'
        let expected = "b4c5d5c08194254de18b80695176335ee482a5907fb5e68f7bd993b1b00b018d";
        assert_eq!(signature("{\"a\":1}", 1_700_000_000, "a secret"), expected);
        let headers = signed("{\"a\":1}", 1_700_000_000, "a secret").unwrap();
        assert_eq!(headers[TIMESTAMP], "1700000000");
        assert_eq!(headers[SIGNATURE], format!("v1={expected}"));
        for (body, seconds, secret) in [("{}", 1_700_000_000, "a secret"), ("{\"a\":1}", 1_700_000_001, "a secret")] {
            assert_ne!(signature(body, seconds, secret), expected);
        }
        assert_ne!(signature("{\"a\":1}", 1_700_000_000, "another secret"), expected);
    }
}
