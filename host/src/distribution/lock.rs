//! `adapters.lock`, next to `host.toml`: the digest of each adapter when it was installed, and its source.
//!
//! Only `host plugin install` writes it; every load reads it. Keep it in version control with `host.toml`, so that
//! every host of a hospital runs exactly the same adapters.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::error::sanitized;
use super::{AdapterName, DistributionError};
use crate::domain::words::is_unprintable;
use crate::spanned_toml;

/// The comment at the beginning of the file.
const HEADER: &str = "# Which file each adapter is. Written by `host plugin install`; every host reads it before it \
                      loads an adapter.\n# Keep it together with host.toml.\n\n";
/// The only version of the format.
const VERSION: u32 = 1;

/// The pins, sorted by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lock {
    version: u32,
    #[serde(default, rename = "adapter")]
    pins: Vec<Pin>,
}

/// The pin of one adapter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pin {
    /// Its name: the file is `NAME.wasm` in `[plugins] directory`.
    pub name: String,
    /// The source of the file.
    pub source: String,
    /// The file's digest, `sha256:` and 64 hexadecimal digits.
    pub digest: String,
    /// The digest of the registry's manifest, for a registry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest: Option<String>,
}

/// The largest accepted file in bytes.
const BYTES_MAX: u64 = 4 << 20;
/// The longest accepted source in bytes.
const SOURCE_BYTES_MAX: usize = 16 << 10;

impl Lock {
    /// Reads the file. A missing file has no pins.
    ///
    /// # Errors
    /// When it cannot be read or is damaged. An unreadable lock must not count as one without pins.
    pub fn read(path: &Path) -> Result<Self, DistributionError> {
        let text = match crate::files::read_text(path, BYTES_MAX) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Self { version: VERSION, pins: Vec::new() });
            }
            Err(error) => return Err(DistributionError::file("read", path)(error)),
        };
        let refuse = |reason: String| DistributionError::Lock { path: path.to_owned(), reason: sanitized(&reason) };
        let lock: Self = spanned_toml::from_str(&text)
            .map_err(|error| refuse(format!("line {}: {}", error.line(&text), error.message)))?;
        if lock.version != VERSION {
            return Err(refuse(format!("it is of version {}, this host reads {VERSION}", lock.version)));
        }
        for (index, pin) in lock.pins.iter().enumerate() {
            if AdapterName::parse(&pin.name).is_err() {
                return Err(refuse(format!("the name of adapter {} is not a valid one", index + 1)));
            }
            // Messages show these texts when an adapter is not the pinned one.
            let is_plain = |text: &String| {
                !text.trim().is_empty() && text.len() <= SOURCE_BYTES_MAX && !text.chars().any(is_unprintable)
            };
            if !is_plain(&pin.source) || !pin.manifest.as_ref().is_none_or(is_plain) {
                return Err(refuse(format!(
                    "the source or manifest of `{}` is empty, too long or not printable",
                    pin.name
                )));
            }
            let digits = pin.digest.strip_prefix("sha256:").unwrap_or_default();
            let is_digest =
                digits.len() == 64 && digits.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
            if !is_digest {
                return Err(refuse(format!("`{}` has no digest of the form sha256: and 64 digits", pin.name)));
            }
            if lock.pins[..index].iter().any(|other| other.name == pin.name) {
                return Err(refuse(format!("`{}` is in it twice", pin.name)));
            }
        }
        Ok(lock)
    }

    /// The pin of an adapter.
    #[must_use]
    pub fn pin(&self, name: &str) -> Option<&Pin> {
        self.pins.iter().find(|pin| pin.name == name)
    }

    /// Every pin.
    #[must_use]
    pub fn pins(&self) -> &[Pin] {
        &self.pins
    }

    /// Pins an adapter, and replaces its earlier pin.
    pub fn put(&mut self, pin: Pin) {
        self.pins.retain(|other| other.name != pin.name);
        self.pins.push(pin);
        self.pins.sort_by(|left, right| left.name.cmp(&right.name));
    }

    /// The file's text.
    ///
    /// # Panics
    /// Never: texts and lists of texts can always be serialised.
    #[must_use]
    pub fn text(&self) -> String {
        let body = toml::to_string(self).expect("invariant: a lock can be written as TOML");
        format!("{HEADER}{body}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pin(name: &str, digit: &str) -> Pin {
        let digest = format!("sha256:{}", digit.repeat(64));
        Pin { name: name.to_owned(), source: "/a.wasm".to_owned(), digest, manifest: None }
    }

    fn read(text: &str) -> Result<Lock, DistributionError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("adapters.lock");
        std::fs::write(&path, text).unwrap();
        Lock::read(&path)
    }

    #[test]
    fn a_lock_file_round_trips_and_a_new_pin_replaces_the_old_one() {
        let mut lock = Lock::read(Path::new("/nowhere/adapters.lock")).unwrap();
        assert!(lock.pins().is_empty());
        for one in [pin("openemr", "1"), pin("fhir", "2"), pin("openemr", "3")] {
            lock.put(one);
        }
        let again = read(&lock.text()).unwrap();
        assert_eq!(again, lock);
        assert_eq!(again.pins(), [pin("fhir", "2"), pin("openemr", "3")]);
    }

    #[test]
    fn a_damaged_lock_is_refused_with_its_line() {
        let good = read("version = 1\n").unwrap();
        assert!(good.pins().is_empty());
        let digest = pin("a", "1").digest;
        let entry = |name: &str, digest: &str| {
            format!("[[adapter]]\nname = \"{name}\"\nsource = \"/a\"\ndigest = \"{digest}\"\n")
        };
        for (text, words) in [
            ("version = 2\n".to_owned(), "version 2"),
            ("version = 1\ncolour = 3\n".to_owned(), "line 2: unknown field `colour`"),
            (format!("version = 1\n{}", entry("a", "sha256:12")), "`a` has no digest"),
            (format!("version = 1\n{}{}", entry("a", &digest), entry("a", &digest)), "twice"),
            ("version = ".to_owned(), "line 1"),
            (format!("version = 1\n{}", entry("../a\\u001b[2J", &digest)), "the name of adapter 1"),
            (format!("version = 1\n{}manifest = \"\\u202e\"\n", entry("a", &digest)), "the source or manifest of `a`"),
            (format!("version = 1\n\"\\u001b\\u202e{}\" = 1\n", "x".repeat(2_000)), "unknown field"),
        ] {
            let error = read(&text).unwrap_err().to_string();
            assert!(error.len() < 1_000 && !error.chars().any(is_unprintable), "{error:?}");
            assert!(error.contains(words) && error.contains("restore the last valid one"), "{error}");
        }
    }
}
