//! Fetches an adapter into memory, with the signature next to it. Nothing is written.
//!
//! Everything that another machine sends is limited in bytes and time. Plain http is only allowed to this machine, even
//! after redirects.

use std::path::{Path, PathBuf};

use reqwest::redirect::Policy;
use url::Url;

use super::error::{DistributionError, chain};
use super::registry;
use super::registry_client::RegistryClient;
use super::signature::signature_path;
use super::source::{Source, is_loopback};
use super::transfer::{
    CONNECT_TIMEOUT, DOWNLOAD_TIMEOUT, Fetched, READ_TIMEOUT, SIGNATURE_BYTES_MAX, install_crypto, too_large,
};
use super::trust::read_signature;
use crate::plugin::{COMPONENT_BYTES_MAX, PluginError, read_component};

/// The maximum number of redirects.
const REDIRECTS_MAX: usize = 5;

/// Fetches an adapter and its signature, from `signature` if given, otherwise from the file next to the adapter.
///
/// # Errors
/// [`DistributionError::Fetch`] with the cause; [`DistributionError::File`] for files of this machine.
pub async fn fetch(
    source: &Source,
    signature: Option<&Path>,
    access: &RegistryClient,
) -> Result<Fetched, DistributionError> {
    let late = |_| DistributionError::Fetch {
        from: source.to_string(),
        reason: format!("it took longer than {} minutes; try again", DOWNLOAD_TIMEOUT.as_secs() / 60),
    };
    let mut fetched = match source {
        Source::File(path) => fetch_file(path).await?,
        Source::Web(url) => tokio::time::timeout(DOWNLOAD_TIMEOUT, fetch_web(url, access)).await.map_err(late)??,
        Source::Registry(reference) => {
            tokio::time::timeout(DOWNLOAD_TIMEOUT, registry::pull(reference, access)).await.map_err(late)??
        }
    };
    if let Some(path) = signature {
        fetched.signature = Some(read_signature(path)?.ok_or_else(|| {
            let missing = std::io::Error::from(std::io::ErrorKind::NotFound);
            DistributionError::file("read", path)(missing)
        })?);
    }
    Ok(fetched)
}

async fn fetch_file(path: &PathBuf) -> Result<Fetched, DistributionError> {
    let bytes = match read_component(path).await {
        Ok(bytes) => bytes,
        Err(PluginError::Unreadable { source, .. }) => return Err(DistributionError::file("read", path)(source)),
        Err(error) => {
            return Err(DistributionError::Fetch { from: path.display().to_string(), reason: error.to_string() });
        }
    };
    Ok(Fetched { bytes, signature: read_signature(&signature_path(path))?, manifest: None })
}

async fn fetch_web(url: &Url, access: &RegistryClient) -> Result<Fetched, DistributionError> {
    let refuse = |reason: String| DistributionError::Fetch { from: url.to_string(), reason };
    let client = web_client(is_loopback(url), access).map_err(|error| refuse(chain(&error.without_url())))?;
    let bytes = match get(&client, url, COMPONENT_BYTES_MAX).await.map_err(refuse)? {
        Answer::Body(bytes) => bytes,
        Answer::Status(status) => return Err(refuse(format!("the server answers {status}"))),
    };
    let mut signature_url = url.clone();
    signature_url.set_path(&format!("{}.minisig", url.path()));
    let signature = match get(&client, &signature_url, SIGNATURE_BYTES_MAX).await.map_err(refuse)? {
        Answer::Body(text) => Some(String::from_utf8_lossy(&text).into_owned()),
        Answer::Status(_) => None,
    };
    Ok(Fetched { bytes, signature, manifest: None })
}

fn web_client(from_loopback: bool, access: &RegistryClient) -> reqwest::Result<reqwest::Client> {
    install_crypto();
    let policy = Policy::custom(move |attempt| {
        let may_be_plain = from_loopback && is_loopback(attempt.url());
        if attempt.previous().len() > REDIRECTS_MAX {
            attempt.error("it redirects again and again")
        } else if attempt.url().scheme() == "https" || may_be_plain {
            attempt.follow()
        } else {
            attempt.error("it redirects to plain http, which every machine on the way can change")
        }
    });
    let mut builder = reqwest::Client::builder()
        .user_agent(concat!("neuronova-sync/", env!("CARGO_PKG_VERSION")))
        .redirect(policy)
        .referer(false)
        .connect_timeout(CONNECT_TIMEOUT)
        .read_timeout(READ_TIMEOUT);
    if let Some(authorities) = &access.authorities {
        builder = builder.tls_certs_only(authorities.for_web()?);
    }
    builder.build()
}

enum Answer {
    Body(Vec<u8>),
    Status(http::StatusCode),
}

async fn get(client: &reqwest::Client, url: &Url, bytes_max: u64) -> Result<Answer, String> {
    let broken = |error: reqwest::Error| chain(&error.without_url());
    let mut response = client.get(url.clone()).send().await.map_err(broken)?;
    if !response.status().is_success() {
        return Ok(Answer::Status(response.status()));
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(broken)? {
        if body.len() as u64 + chunk.len() as u64 > bytes_max {
            return Err(too_large());
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Answer::Body(body))
}
