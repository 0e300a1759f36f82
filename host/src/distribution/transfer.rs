//! What fetching over the web and from a registry share: limits of bytes and time, and what a source gives.

use std::time::Duration;

use crate::plugin::COMPONENT_BYTES_MAX;

/// The largest signature that is taken, bytes.
pub(super) const SIGNATURE_BYTES_MAX: u64 = 16 << 10;
/// How long a download may take as a whole.
pub(super) const DOWNLOAD_TIMEOUT: Duration = Duration::from_secs(1_800);
/// How long another machine may take to accept a connection.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long another machine may be silent, and how long it may take until it begins to answer, interim heads (103) or not.
pub(super) const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// What a source gave.
#[derive(Clone, Debug)]
pub struct Fetched {
    /// The component, as far as anybody has looked.
    pub bytes: Vec<u8>,
    /// The text of a signature, not looked at yet.
    pub signature: Option<String>,
    /// The digest of the registry's manifest.
    pub manifest: Option<String>,
}

/// The first one stays; whoever came before us chose the same.
pub(super) fn install_crypto() {
    drop(rustls::crypto::ring::default_provider().install_default());
}

/// Whatever it is, it is no adapter.
pub(super) fn too_large() -> String {
    format!("it is larger than {} MiB, which no adapter is", COMPONENT_BYTES_MAX >> 20)
}
