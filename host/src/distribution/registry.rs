//! Adapters in an OCI registry, in the standard layout of WebAssembly components: one layer of type `application/wasm`
//! under a manifest whose configuration is of type `application/vnd.wasm.config.v0+json`.
//!
//! The signature is an annotation of the manifest. A registry is not trusted: every response is compared with the
//! requested digest, and the signature covers the component itself.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use futures::TryStreamExt as _;
use oci_client::client::{ClientConfig, ClientProtocol, Config, ImageLayer};
use oci_client::errors::{DigestError, OciDistributionError, OciErrorCode};
use oci_client::manifest::{OciDescriptor, OciImageManifest, OciManifest};
use oci_client::{Client, Reference};
use serde_json::json;
use url::Url;

use super::error::{DistributionError, chain};
use super::registry_client::Authorities;
use super::source::is_loopback;
use super::transfer::{CONNECT_TIMEOUT, Fetched, READ_TIMEOUT, SIGNATURE_BYTES_MAX, install_crypto, too_large};
use super::{AdapterName, RegistryClient, bounded, digest};
use crate::plugin::{COMPONENT_BYTES_MAX, Inspection};

/// The media type of a component's bytes.
const LAYER_TYPE: &str = "application/wasm";
/// The media type of the manifest's configuration.
const CONFIG_TYPE: &str = "application/vnd.wasm.config.v0+json";
/// The media type of the manifest.
const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";
/// The annotation with the signature's file in base64, because manifests contain no line breaks.
const SIGNATURE_ANNOTATION: &str = "io.neuronova.sync.minisig";
/// The annotation with the file's name, which other tools show.
const TITLE_ANNOTATION: &str = "org.opencontainers.image.title";

/// Fetches a component and its signature.
pub(super) async fn pull(reference: &Reference, access: &RegistryClient) -> Result<Fetched, DistributionError> {
    let refuse = |reason: String| DistributionError::Fetch { from: format!("oci://{}", reference.whole()), reason };
    let client = client(reference, access).map_err(|error| refuse(explain(&error)))?;
    let authentication = access.authentication();
    let asked = bounded::small_answer(client.pull_manifest(reference, &authentication)).await.map_err(refuse)?;
    let (manifest, manifest_digest) = asked.map_err(|error| refuse(explain(&error)))?;
    let (layer, signature) = read_manifest(manifest).map_err(refuse)?;
    let bytes = pull_layer(&client, reference, &layer).await.map_err(refuse)?;
    Ok(Fetched { bytes, signature, manifest: Some(manifest_digest) })
}

/// The component's layer in a manifest, and the signature in its annotation.
pub(super) fn read_manifest(manifest: OciManifest) -> Result<(OciDescriptor, Option<String>), String> {
    let OciManifest::Image(manifest) = manifest else {
        return Err("it is an index of several artifacts: name one of them by its digest".to_owned());
    };
    let layer = component_layer(&manifest)?.clone();
    let mut annotations = manifest.annotations.unwrap_or_default();
    let signature = annotations.remove(SIGNATURE_ANNOTATION).map(|text| decode_signature(&text));
    Ok((layer, signature.transpose()?))
}

/// Pushes a component that was inspected before. Returns the digest of the manifest, by which this version can always
/// be fetched.
///
/// # Errors
/// [`DistributionError::Push`] with the cause.
pub async fn push(
    reference: &Reference,
    name: &AdapterName,
    bytes: Vec<u8>,
    inspection: &Inspection,
    signature: Option<String>,
    access: &RegistryClient,
) -> Result<String, DistributionError> {
    let refuse = |error: OciDistributionError| DistributionError::Push {
        to: format!("oci://{}", reference.whole()),
        reason: explain(&error),
    };
    let client = client(reference, access).map_err(refuse)?;
    let authentication = access.authentication();
    let mut annotations = BTreeMap::from([(TITLE_ANNOTATION.to_owned(), format!("{name}.wasm"))]);
    annotations.extend(signature.map(|text| (SIGNATURE_ANNOTATION.to_owned(), BASE64_STANDARD.encode(text))));
    let config = Config::new(config_json(&digest(&bytes), inspection), CONFIG_TYPE.to_owned(), None);
    let layers = [ImageLayer::new(bytes, LAYER_TYPE.to_owned(), None)];
    let mut manifest = OciImageManifest::build(&layers, &config, Some(annotations));
    manifest.media_type = Some(MANIFEST_TYPE.to_owned());
    client.push(reference, &layers, config, &authentication, Some(manifest)).await.map_err(refuse)?;
    client.fetch_manifest_digest(reference, &authentication).await.map_err(refuse)
}

/// The configuration of a component. The time in it is constant, so that the same file always has the same digest.
fn config_json(layer: &str, inspection: &Inspection) -> Vec<u8> {
    json!({
        "created": "1970-01-01T00:00:00Z",
        "author": null,
        "architecture": "wasm",
        "os": "wasip2",
        "layerDigests": [layer],
        "component": {"exports": inspection.exports, "imports": inspection.imports, "target": null},
    })
    .to_string()
    .into_bytes()
}

fn decode_signature(text: &str) -> Result<String, String> {
    let bytes = BASE64_STANDARD.decode(text).ok().filter(|bytes| bytes.len() as u64 <= SIGNATURE_BYTES_MAX);
    let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
    text.ok_or_else(|| "the signature in its manifest is not a valid one; push it again".to_owned())
}

fn component_layer(manifest: &OciImageManifest) -> Result<&OciDescriptor, String> {
    let [layer] = manifest.layers.as_slice() else {
        return Err(format!("it has {} layers, an adapter has one of type {LAYER_TYPE}", manifest.layers.len()));
    };
    if layer.media_type != LAYER_TYPE {
        let found = super::error::sanitized(&layer.media_type);
        return Err(format!("it is no adapter: its layer is of type {found}, expected {LAYER_TYPE}"));
    }
    match u64::try_from(layer.size) {
        Ok(size) if size <= COMPONENT_BYTES_MAX => Ok(layer),
        _ => Err(too_large()),
    }
}

/// Reads a layer, and stops at the size in the manifest even if more bytes follow.
async fn pull_layer(client: &Client, reference: &Reference, layer: &OciDescriptor) -> Result<Vec<u8>, String> {
    let size = usize::try_from(layer.size).map_err(|_| too_large())?;
    let asked = bounded::small_answer(client.pull_blob_stream(reference, layer)).await?;
    let mut stream = asked.map_err(|error| explain(&error))?;
    let mut bytes = Vec::new();
    loop {
        match stream.try_next().await {
            Ok(Some(chunk)) if bytes.len() + chunk.len() <= size => bytes.extend_from_slice(&chunk),
            Ok(Some(_)) => return Err(format!("it is larger than the {size} bytes that its manifest names")),
            Ok(None) => break,
            Err(error) => {
                let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<DigestError>());
                return Err(inner.map_or_else(|| chain(&error), tampered));
            }
        }
    }
    // The library has compared the digest too, but the host relies on this comparison.
    let found = digest(&bytes);
    if found == layer.digest {
        return Ok(bytes);
    }
    let expected = super::error::sanitized(&layer.digest);
    Err(tampered(&DigestError::VerificationError { expected, actual: found }))
}

/// Builds the library's client. Plain http is only used for this machine, and never with configured certificate
/// authorities.
fn client(reference: &Reference, access: &RegistryClient) -> Result<Client, OciDistributionError> {
    install_crypto();
    let is_here =
        || Url::parse(&format!("http://{}/", reference.resolve_registry())).is_ok_and(|url| is_loopback(&url));
    let is_plain = access.authorities.is_none() && is_here();
    Client::try_from(ClientConfig {
        protocol: if is_plain { ClientProtocol::Http } else { ClientProtocol::Https },
        connect_timeout: Some(CONNECT_TIMEOUT),
        read_timeout: Some(READ_TIMEOUT),
        user_agent: concat!("neuronova-sync/", env!("CARGO_PKG_VERSION")),
        tls_certs_only: access.authorities.as_ref().map(Authorities::for_registry).unwrap_or_default(),
        platform_resolver: None,
        ..ClientConfig::default()
    })
}

fn tampered(error: &DigestError) -> String {
    let words = chain(error);
    format!(
        "the registry does not hold what its own manifest names ({words}): it was damaged or tampered with there; push \
         it again"
    )
}

/// Explains a registry's error, with a fix if there is one.
fn explain(error: &OciDistributionError) -> String {
    use OciDistributionError as Error;
    let codes = match error {
        Error::DigestError(error) => return tampered(error),
        Error::RegistryError { envelope, .. } => envelope.errors.iter().map(|error| &error.code).collect(),
        _ => Vec::new(),
    };
    let is_missing = matches!(error, Error::ImageManifestNotFoundError(_) | Error::ServerError { code: 404, .. })
        || codes.iter().any(|code| matches!(code, OciErrorCode::ManifestUnknown | OciErrorCode::NameUnknown));
    let is_denied = matches!(
        error,
        Error::UnauthorizedError { .. } | Error::AuthenticationFailure(_) | Error::ServerError { code: 401 | 403, .. }
    ) || codes.iter().any(|code| matches!(code, OciErrorCode::Unauthorized | OciErrorCode::Denied));
    if is_denied {
        "the registry refuses this user, password or token; fix: add --user, with the password in \
         HOST_REGISTRY_PASSWORD or --password-file; or --token-file"
            .to_owned()
    } else if is_missing {
        "the registry has no such repository, tag or digest".to_owned()
    } else {
        chain(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(layers: &[(&str, i64)]) -> OciImageManifest {
        let layer = |(media_type, size): &(&str, i64)| OciDescriptor {
            media_type: (*media_type).to_owned(),
            size: *size,
            ..OciDescriptor::default()
        };
        OciImageManifest { layers: layers.iter().map(layer).collect(), ..OciImageManifest::default() }
    }

    #[test]
    fn only_a_manifest_with_one_component_layer_within_the_size_limit_is_accepted() {
        assert!(component_layer(&manifest(&[(LAYER_TYPE, 400_000)])).is_ok());
        for (layers, words) in [
            (&[][..], "0 layers"),
            (&[(LAYER_TYPE, 1), (LAYER_TYPE, 1)][..], "2 layers"),
            (&[("application/vnd.oci.image.layer.v1.tar+gzip", 1)], "expected application/wasm"),
            (&[(LAYER_TYPE, -1)], "larger than 256 MiB"),
            (&[(LAYER_TYPE, i64::MAX)], "larger than 256 MiB"),
        ] {
            let error = component_layer(&manifest(layers)).unwrap_err();
            assert!(error.contains(words), "{error}");
        }
    }
}
