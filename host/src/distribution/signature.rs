//! Detached Ed25519 signatures in minisign's format, and the trusted keys.
//!
//! A signature proves who released exactly these bytes. Nothing in it is used before it is verified.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use minisign_verify::{Error, PublicKey, Signature};

use super::DistributionError;
use super::error::sanitized;

/// The path of a file's signature: the file's path with the suffix `.minisig`.
#[must_use]
pub fn signature_path(file: &Path) -> PathBuf {
    let mut name = OsString::from(file);
    name.push(".minisig");
    name.into()
}

/// A verified signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// The id of the key: 16 hexadecimal digits, as minisign shows it.
    pub key_id: String,
    /// The comment that the signature covers.
    pub comment: String,
}

/// The public keys of `[plugins] trusted_keys`.
#[derive(Clone, Debug, Default)]
pub struct TrustedKeys(Vec<PublicKey>);

impl TrustedKeys {
    /// Reads keys as minisign prints them: 56 characters that begin with `RW`.
    ///
    /// # Errors
    /// The first text that is not a key.
    pub fn parse(texts: &[String]) -> Result<Self, DistributionError> {
        let key = |text: &String| {
            PublicKey::from_base64(text.trim()).map_err(|_| DistributionError::Key {
                what: format!("`{}`", sanitized(text)),
                reason: "is no public key: it is the second line of a .pub file, 56 characters that begin with `RW`"
                    .to_owned(),
            })
        };
        texts.iter().map(key).collect::<Result<_, _>>().map(Self)
    }

    /// Whether no key is trusted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Verifies the signature; `what` is the file's name for messages.
    ///
    /// # Errors
    /// [`DistributionError::Signature`]
    pub fn verify(&self, what: &str, bytes: &[u8], text: &str) -> Result<Signed, DistributionError> {
        let refuse = |reason: String| DistributionError::Signature { what: what.to_owned(), reason };
        let signature = Signature::decode(text)
            .map_err(|_| refuse("its signature is no signature of minisign; fetch it again".to_owned()))?;
        let key_id = key_id(text).unwrap_or_default();
        for key in &self.0 {
            match key.verify(bytes, &signature, false) {
                Ok(()) => return Ok(Signed { key_id, comment: sanitized(signature.trusted_comment()) }),
                Err(Error::UnexpectedKeyId) => {}
                Err(Error::UnsupportedLegacyMode) => {
                    return Err(refuse("its signature is of minisign's old kind; sign it anew".to_owned()));
                }
                Err(_) => {
                    return Err(refuse(format!(
                        "its content is not what key {key_id} signed: the file or its signature was changed; fetch it again \
                         from its maker"
                    )));
                }
            }
        }
        Err(refuse(format!(
            "it is signed by key {key_id}, which [plugins] trusted_keys does not name; add that key if its owner is to be \
             trusted"
        )))
    }
}

/// The id of the key in a signature or in a public key's file. Both have it at the same position.
fn key_id(text: &str) -> Option<String> {
    let bytes = BASE64_STANDARD.decode(text.lines().nth(1)?.trim()).ok()?;
    let id: [u8; 8] = bytes.get(2..10)?.try_into().ok()?;
    Some(format!("{:016X}", u64::from_le_bytes(id)))
}

#[cfg(test)]
mod tests {
    use super::*;

    // Created by minisign 0.11 for the text `hello
    // `.
    const PUBLIC: &str = "RWTAf/flMuLqffzF+CPFB5RwUjI1mHHcod4mCWcUU/2DRYwQv+VvN+Au";
    const SIGNATURE: &str = "untrusted comment: signature from minisign secret key\n\
        RUTAf/flMuLqfZPbHqQ808timuYYSQkf5vOJfPpaWYWt8rcOXgooRx6qhpmwovZ+IF8Mixsdwf3tZ/W+WQ/1jOCVZxMtl5RUSw4=\n\
        trusted comment: timestamp:1795489087\tfile:hello\thashed\n\
        NiOq3MfVRKk10dQe080EuJiv+/YTuZk81S3+fFYJOARBzyVGXSe1hihLvTg3xnyLzDLYEvrDPlP6LDwy9HlXDw==\n";

    fn trusted(keys: &[&str]) -> TrustedKeys {
        TrustedKeys::parse(&keys.iter().map(|key| (*key).to_owned()).collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn a_signature_made_by_minisign_verifies() {
        let signed = trusted(&[PUBLIC]).verify("a.wasm", b"hello\n", SIGNATURE).unwrap();
        assert_eq!(signed.key_id, "7DEAE232E5F77FC0");
        assert_eq!(signed.comment, "timestamp:1795489087 file:hello hashed");
    }

    #[test]
    fn each_kind_of_invalid_signature_has_its_own_message() {
        let other = super::super::SigningKey::generate().unwrap();
        let keys = trusted(&[PUBLIC]);
        let comment = SIGNATURE.replace("hello", "hallo");
        for (keys, bytes, signature, words) in [
            (&keys, &b"hello!\n"[..], SIGNATURE, "is not what key"),
            (&keys, b"hello\n", &comment, "is not what key"),
            (&keys, b"hello\n", "", "no signature of minisign"),
            (&keys, b"hello\n", &SIGNATURE.replace("trusted", "other"), "no signature of minisign"),
            (&trusted(&[&other.public_text()]), b"hello\n", SIGNATURE, "trusted_keys does not name"),
            (&TrustedKeys::default(), b"hello\n", SIGNATURE, "trusted_keys does not name"),
        ] {
            let error = keys.verify("a.wasm", bytes, signature).unwrap_err().to_string();
            assert!(error.contains(words) && error.starts_with("a.wasm is refused"), "{error}");
        }
    }

    #[test]
    fn an_invalid_key_is_named() {
        for text in ["", "RWQ", "not a key"] {
            let error = TrustedKeys::parse(&[text.to_owned()]).unwrap_err().to_string();
            assert!(error.contains("is no public key"), "{error}");
        }
    }
}
