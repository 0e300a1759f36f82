//! What fetching over the web and from a registry share: limits of bytes and time, and what a source gives.

use std::time::Duration;

use crate::plugin::COMPONENT_BYTES_MAX;

/// The largest signature that is accepted, bytes.
pub(super) const SIGNATURE_BYTES_MAX: u64 = 16 << 10;
/// How long a download may take as a whole.
pub(super) const DOWNLOAD_TIMEOUT: Duration = Duration::from_secs(1_800);
/// How long another machine may take to accept a connection.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long another machine may be silent, and how long until it begins to respond, interim heads (103) or not.
pub(super) const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// What was fetched from a source.
#[derive(Clone, Debug)]
pub struct Fetched {
    /// The component, not verified yet.
    pub bytes: Vec<u8>,
    /// The text of a signature, not verified yet.
    pub signature: Option<String>,
    /// The digest of the registry's manifest.
    pub manifest: Option<String>,
}

/// The first provider stays; all callers in this process install the same one.
pub(super) fn install_crypto() {
    drop(rustls::crypto::ring::default_provider().install_default());
}

/// The message for a file above the limit.
pub(super) fn too_large() -> String {
    format!("it is larger than {} MiB, which no adapter is", COMPONENT_BYTES_MAX >> 20)
}
