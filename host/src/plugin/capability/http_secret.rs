//! Secrets that requests carry, and the headers that are written with them. Neither is ever shown.

use std::io;
use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::HeaderValue;
use zeroize::Zeroizing;

use crate::domain::secret::Secret;
use crate::plugin::auth_failure::AuthFailure;

/// Where a secret comes from.
#[derive(Clone)]
pub enum SecretValue {
    /// It stays the same.
    Fixed(Secret),
    /// It is read each time, from a file.
    Reread(Arc<dyn Fn() -> io::Result<Secret> + Send + Sync>),
}

impl SecretValue {
    /// The secret as it is now; `what` names it in the failure.
    pub(super) async fn read(&self, what: &str) -> Result<Secret, AuthFailure> {
        let read = match self {
            Self::Fixed(secret) => return Ok(secret.clone()),
            Self::Reread(read) => Arc::clone(read),
        };
        let result =
            tokio::task::spawn_blocking(move || read()).await.unwrap_or_else(|error| Err(io::Error::other(error)));
        result.map_err(|error| AuthFailure::misconfigured(format!("the file of the {what} cannot be read: {error}")))
    }
}

impl From<Secret> for SecretValue {
    fn from(secret: Secret) -> Self {
        Self::Fixed(secret)
    }
}

/// Shows nothing.
impl std::fmt::Debug for SecretValue {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("SecretValue(***)")
    }
}

/// `Basic` and the encoded pair.
pub(super) fn basic_text(user: &str, password: &Secret) -> Zeroizing<String> {
    let pair = Zeroizing::new(format!("{user}:{}", password.expose()));
    let encoded = Zeroizing::new(BASE64_STANDARD.encode(pair.as_bytes()));
    Zeroizing::new(format!("Basic {}", *encoded))
}

/// A header that the client never shows.
pub(in crate::plugin) fn header(text: &str) -> Result<HeaderValue, AuthFailure> {
    let mut value = HeaderValue::from_str(text)
        .map_err(|_| AuthFailure::misconfigured("the credentials hold a character that a header cannot hold"))?;
    value.set_sensitive(true);
    Ok(value)
}
