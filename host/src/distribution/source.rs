//! The source of an adapter as an operator writes it: a file, an https address, or an artifact in an OCI registry.
//!
//! Plain http is only accepted for this machine.

use std::path::{Path, PathBuf};

use oci_client::Reference;
use url::{Host, Url};

use super::DistributionError;
use crate::domain::words::is_unprintable;

/// The longest accepted source in bytes.
const SOURCE_BYTES_MAX: usize = 4_096;

/// The source of an adapter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A file of this machine.
    File(PathBuf),
    /// A URL; https, or http on loopback.
    Web(Url),
    /// An artifact of a registry, by tag or digest.
    Registry(Reference),
}

impl Source {
    /// Reads `FILE`, `https://...` or `oci://REGISTRY/REPOSITORY[:TAG][@sha256:DIGEST]`.
    ///
    /// # Errors
    /// The problem, and the right form.
    pub fn parse(text: &str) -> Result<Self, DistributionError> {
        let refuse = |reason: &str| DistributionError::Source { text: shown(text), reason: reason.to_owned() };
        // The text is written to adapters.lock and shown in messages.
        if text.len() > SOURCE_BYTES_MAX || text.chars().any(is_unprintable) {
            return Err(refuse("is no source: it is too long, or holds a character that cannot be shown"));
        }
        if let Some(reference) = text.strip_prefix("oci://") {
            return parse_reference(reference).map(Self::Registry).map_err(|reason| refuse(&reason));
        }
        let Some((scheme, _)) = text.split_once("://") else {
            let path = std::path::absolute(text).map_err(|_| refuse("is no path of a file"))?;
            return Ok(Self::File(path));
        };
        let url = Url::parse(text).map_err(|error| refuse(&format!("is no address: {error}")))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(DistributionError::Source {
                text: "the address".to_owned(),
                reason: "holds a user or a password; adapters.lock would show it to every reader".to_owned(),
            });
        }
        match scheme {
            "https" => Ok(Self::Web(url)),
            "http" if is_loopback(&url) => Ok(Self::Web(url)),
            "http" => Err(refuse("is plain http, which every machine on the way can change: use https")),
            _ => Err(refuse("begins with none of https:// and oci://, and is no file")),
        }
    }

    /// The default name of the adapter: the name of the file, or the last part of the repository.
    ///
    /// # Errors
    /// When it is not a valid file name.
    pub fn default_name(&self) -> Result<AdapterName, DistributionError> {
        let last = match self {
            Self::File(path) => path.file_name().map(|name| name.to_string_lossy().into_owned()),
            Self::Web(url) => url.path_segments().and_then(|mut parts| parts.next_back()).map(str::to_owned),
            Self::Registry(reference) => reference.repository().rsplit('/').next().map(str::to_owned),
        };
        let last = last.unwrap_or_default();
        AdapterName::parse(last.strip_suffix(".wasm").unwrap_or(&last))
    }
}

impl std::fmt::Display for Source {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path) => write!(formatter, "{}", path.display()),
            Self::Web(url) => write!(formatter, "{url}"),
            Self::Registry(reference) => write!(formatter, "oci://{}", reference.whole()),
        }
    }
}

/// The name of an adapter: its file in `[plugins] directory` is `NAME.wasm`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdapterName(String);

impl AdapterName {
    /// Accepts 1 to 64 characters of a-z, A-Z, 0-9, `-`, `_` and `.`, not beginning with a dot.
    ///
    /// # Errors
    /// For any other text.
    pub fn parse(text: &str) -> Result<Self, DistributionError> {
        let fits = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_' | '.');
        if (1..=64).contains(&text.len()) && text.chars().all(fits) && !text.starts_with('.') {
            return Ok(Self(text.to_owned()));
        }
        let reason = "is not a valid name of an adapter; fix: add --name with 1 to 64 of a-z, A-Z, 0-9, `-`, `_` and \
                      `.`";
        Err(DistributionError::Source {
            text: format!("`{}`", super::error::sanitized(text)),
            reason: reason.to_owned(),
        })
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name of the component's file.
    #[must_use]
    pub fn file(&self, directory: &Path) -> PathBuf {
        directory.join(format!("{}.wasm", self.0))
    }
}

impl std::fmt::Display for AdapterName {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// A source for a message, without the user and password that a URL may contain, even if it is malformed.
fn shown(text: &str) -> String {
    let is_digest = |start: &usize| text[start + "@sha256:".len()..].chars().all(|digit| digit.is_ascii_hexdigit());
    let (address, digest) = text.split_at(text.rfind("@sha256:").filter(is_digest).unwrap_or(text.len()));
    let hidden = match (address.split_once("://"), address.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, rest))) => {
            let is_scheme = scheme.len() <= 8 && scheme.chars().all(|letter| letter.is_ascii_lowercase());
            format!("{}...@{rest}{digest}", if is_scheme { format!("{scheme}://") } else { String::new() })
        }
        _ => text.to_owned(),
    };
    super::error::sanitized(&hidden)
}

/// Whether the URL names this machine by its text: a name that only resolves to loopback does not count.
pub(super) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

fn parse_reference(text: &str) -> Result<Reference, String> {
    const FORM: &str = "expected oci://REGISTRY/REPOSITORY:TAG, or ...@sha256:DIGEST";
    let (registry, _) = text.split_once('/').ok_or(FORM)?;
    // A registry without a dot or port would silently mean Docker Hub.
    if !(registry.contains('.') || registry.contains(':') || registry == "localhost") {
        return Err(format!("has no registry's host; {FORM}"));
    }
    let reference: Reference = text.parse().map_err(|error| format!("{error}; {FORM}"))?;
    if reference.digest().is_some_and(|digest| !digest.starts_with("sha256:")) {
        return Err(format!("only sha256 digests are taken; {FORM}"));
    }
    let name = text.split_once('/').map_or(text, |(_, name)| name);
    if !name.contains(':') && reference.digest().is_none() {
        return Err(format!("names neither a tag nor a digest; {FORM}"));
    }
    Ok(reference)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_of_source_is_recognised() {
        for (text, shown, name) in [
            ("/a/openemr.wasm", "/a/openemr.wasm", "openemr"),
            ("https://h/x/fhir.wasm?v=1", "https://h/x/fhir.wasm?v=1", "fhir"),
            ("http://127.0.0.1:8000/fhir.wasm", "http://127.0.0.1:8000/fhir.wasm", "fhir"),
            ("http://[::1]/fhir.wasm", "http://[::1]/fhir.wasm", "fhir"),
            ("oci://127.0.0.1:5000/adapters/openemr:1.0", "oci://127.0.0.1:5000/adapters/openemr:1.0", "openemr"),
            ("oci://ghcr.io/clinic/fhir:2", "oci://ghcr.io/clinic/fhir:2", "fhir"),
        ] {
            let source = Source::parse(text).unwrap();
            assert_eq!(source.to_string(), shown);
            assert_eq!(source.default_name().unwrap().as_str(), name);
        }
    }

    #[test]
    fn an_invalid_source_is_refused_with_the_expected_form() {
        for (text, words) in [
            ("http://example.org/fhir.wasm", "plain http"),
            ("http://localhost.example.org/fhir.wasm", "plain http"),
            ("ftp://example.org/fhir.wasm", "none of https:// and oci://"),
            ("https://user:secret@example.org/fhir.wasm", "holds a user"),
            ("oci://openemr:1.0", "expected oci://REGISTRY"),
            ("oci://library/openemr:1.0", "no registry's host"),
            ("oci://127.0.0.1:5000/openemr", "neither a tag nor a digest"),
            ("oci://127.0.0.1:5000/OpenEMR:1", "expected oci://REGISTRY"),
            ("oci://127.0.0.1:5000/openemr@sha256:12", "expected oci://REGISTRY"),
        ] {
            let error = Source::parse(text).unwrap_err().to_string();
            assert!(error.contains(words) && !error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn refusals_never_repeat_a_password() {
        for text in [
            "https://h:secret@\u{0}example.org/fhir.wasm",
            "https://u:secret@:bad/fhir.wasm",
            "http://u:secret@example.org/fhir.wasm",
            "ftp://u:secret@example.org/fhir.wasm",
            "oci://u:secret@library/openemr:1.0",
            "oci://u:secret@h.example/openemr",
            "oci://u:secret@h.example/openemr@sha256:12",
            "gopher:u://u:sec@secret@h",
            "http://h.example/a@sha256:0124/b:secret@h",
            "http23r:1:secret@9a/oci://h:secret@9a/",
        ] {
            let error = Source::parse(text).unwrap_err().to_string();
            assert!(!error.contains("secret"), "{error}");
        }
        let error = Source::parse("oci://h.example/openemr@sha256:12").unwrap_err().to_string();
        assert!(error.contains("oci://h.example/openemr@sha256:12"), "{error}");
    }

    #[test]
    fn a_source_that_the_lock_file_cannot_hold_is_refused() {
        for text in ["/a\u{1b}[2J.wasm", "oci://h.example/a:1\n", "https://h/\u{202e}", &"x".repeat(5_000)] {
            let error = Source::parse(text).unwrap_err().to_string();
            assert!(error.contains("is no source") && !error.chars().any(is_unprintable), "{error:?}");
        }
    }

    #[test]
    fn a_name_cannot_leave_the_directory() {
        for text in ["", "..", ".hidden", "a/b", "a\\b", "a b", &"x".repeat(65)] {
            assert!(AdapterName::parse(text).is_err(), "{text}");
        }
    }
}
