//! What the fuzz targets (`fuzz/`) attack of this layer. Nothing else may call it.

use super::registry::read_manifest;

/// An adapter as a registry's manifest describes it.
#[derive(Debug)]
pub struct Named {
    /// The type of the layer.
    pub media_type: String,
    /// The bytes that are fetched, at most.
    pub size: i64,
    /// The digest that they must have.
    pub digest: String,
    /// The text of a signature.
    pub signature: Option<String>,
}

/// Reads a manifest as it comes from a registry.
///
/// # Errors
/// Why it names no adapter; `None` when the client's own reading refuses it.
pub fn manifest(bytes: &[u8]) -> Result<Named, Option<String>> {
    let manifest = serde_json::from_slice(bytes).map_err(|_| None::<String>)?;
    let (layer, signature) = read_manifest(manifest)?;
    Ok(Named { media_type: layer.media_type, size: layer.size, digest: layer.digest, signature })
}
