//! The entries for fuzz targets (`fuzz/`) into this layer. Nothing else may call them.

use super::registry::read_manifest;

/// An adapter in a registry's manifest.
#[derive(Debug)]
pub struct Named {
    /// The type of the layer.
    pub media_type: String,
    /// The maximum number of bytes to fetch.
    pub size: i64,
    /// The expected digest.
    pub digest: String,
    /// The text of a signature.
    pub signature: Option<String>,
}

/// Parses a manifest of a registry.
///
/// # Errors
/// Why it contains no adapter; `None` when the registry library refuses it.
pub fn manifest(bytes: &[u8]) -> Result<Named, Option<String>> {
    let manifest = serde_json::from_slice(bytes).map_err(|_| None::<String>)?;
    let (layer, signature) = read_manifest(manifest)?;
    Ok(Named { media_type: layer.media_type, size: layer.size, digest: layer.digest, signature })
}
