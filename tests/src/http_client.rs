//! The HTTP client of the bench and of chaos: no proxy of the environment, no pauses of the network's own.

use anyhow::{Context as _, Result};

/// A client.
pub(crate) fn client() -> Result<reqwest::Client> {
    // The first one stays; whoever came before us chose the same.
    drop(rustls::crypto::ring::default_provider().install_default());
    reqwest::Client::builder().no_proxy().tcp_nodelay(true).build().context("make an HTTP client")
}
