//! The common parts of fetching from the web and from a registry: limits of bytes and time, and the result.

use std::time::Duration;

use crate::plugin::COMPONENT_BYTES_MAX;

/// The largest accepted signature in bytes.
pub(super) const SIGNATURE_BYTES_MAX: u64 = 16 << 10;
/// The time limit for a whole download.
pub(super) const DOWNLOAD_TIMEOUT: Duration = Duration::from_secs(1_800);
/// The time limit for connecting to another machine.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest silence of another machine, and the time until its response begins, including interim responses (103).
pub(super) const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// The result of fetching from a source.
#[derive(Clone, Debug)]
pub struct Fetched {
    /// The component, not verified yet.
    pub bytes: Vec<u8>,
    /// The text of a signature, not verified yet.
    pub signature: Option<String>,
    /// The digest of the registry's manifest.
    pub manifest: Option<String>,
}

/// Installs the TLS provider. Only the first call has an effect; all callers in this process install the same one.
pub(super) fn install_crypto() {
    drop(rustls::crypto::ring::default_provider().install_default());
}

/// The message for a file above the limit.
pub(super) fn too_large() -> String {
    format!("it is larger than {} MiB, which no adapter is", COMPONENT_BYTES_MAX >> 20)
}
