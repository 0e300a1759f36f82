//! Creates signatures: Ed25519 keys in minisign's file format, without a password.
//!
//! Only the owner can read the secret key's file, from its first byte on. Keys with a password are for the program
//! minisign, whose signatures are accepted here.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use blake2::digest::consts::U32;
use blake2::{Blake2b, Blake2b512, Digest as _};
use ring::rand::{SecureRandom as _, SystemRandom};
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use zeroize::Zeroizing;

use super::DistributionError;

/// Ed25519: over the bytes themselves in a key's file, over their BLAKE2b-512 in a signature.
const ALGORITHM: &[u8; 2] = b"Ed";
const ALGORITHM_HASHED: &[u8; 2] = b"ED";
/// BLAKE2b-256, the checksum in a secret key's file.
const CHECKSUM_ALGORITHM: &[u8; 2] = b"B2";
/// Salt and cost parameters of the password; all zero without a password.
const PASSWORD_BYTES: usize = 32 + 8 + 8;
/// Key id, seed, public key.
const KEY_BYTES: usize = 8 + 32 + 32;
const SECRET_BYTES: usize = 2 + 2 + 2 + PASSWORD_BYTES + KEY_BYTES + 32;

/// A key for signing. Its secret half is wiped when dropped and never shown.
pub struct SigningKey {
    id: [u8; 8],
    seed: Zeroizing<[u8; 32]>,
    pair: Ed25519KeyPair,
}

/// The files of a new key.
#[derive(Clone, Debug)]
pub struct NewKey {
    /// The secret half, readable by its owner only.
    pub secret: PathBuf,
    /// The public half.
    pub public: PathBuf,
    /// The text for `[plugins] trusted_keys`.
    pub trusted_key: String,
}

/// The largest accepted key file in bytes.
const KEY_BYTES_MAX: u64 = 64 << 10;

impl SigningKey {
    /// Generates a key from the system's random numbers.
    ///
    /// # Errors
    /// When the system has no random numbers.
    pub fn generate() -> Result<Self, DistributionError> {
        let random = SystemRandom::new();
        let (mut id, mut seed) = ([0; 8], Zeroizing::new([0; 32]));
        let filled = random.fill(&mut id).and_then(|()| random.fill(seed.as_mut_slice()));
        let pair = Ed25519KeyPair::from_seed_unchecked(seed.as_slice());
        match (filled, pair) {
            (Ok(()), Ok(pair)) => Ok(Self { id, seed, pair }),
            _ => Err(DistributionError::Key {
                what: "a new key".to_owned(),
                reason: "the system gives no random numbers".to_owned(),
            }),
        }
    }

    /// Reads a secret key's file.
    ///
    /// # Errors
    /// When it cannot be read, is not a secret key, or has a password.
    pub fn read(path: &Path) -> Result<Self, DistributionError> {
        let text = crate::files::read_text(path, KEY_BYTES_MAX)
            .map(Zeroizing::new)
            .map_err(DistributionError::file("read", path))?;
        let refuse =
            |reason: &str| DistributionError::Key { what: path.display().to_string(), reason: reason.to_owned() };
        let no_key = || refuse("is no secret key of minisign: make one with `host plugin keygen`");
        let line = text.lines().nth(1).ok_or_else(no_key)?;
        let bytes = BASE64_STANDARD.decode(line.trim()).map(Zeroizing::new).map_err(|_| no_key())?;
        if bytes.len() != SECRET_BYTES || !bytes.starts_with(ALGORITHM) || &bytes[4..6] != CHECKSUM_ALGORITHM {
            return Err(no_key());
        }
        if bytes[2..4] != [0, 0] {
            return Err(refuse(
                "has a password: sign with `minisign -S -s KEY -m FILE`, which is accepted as well, or make a key without \
                 one with `host plugin keygen`",
            ));
        }
        let key = &bytes[6 + PASSWORD_BYTES..];
        let (key, checksum) = key.split_at(KEY_BYTES);
        if checksum != key_checksum(key) {
            return Err(refuse("is damaged: its checksum does not fit; take the copy that you have kept"));
        }
        let mut id = [0; 8];
        id.copy_from_slice(&key[..8]);
        let mut seed = Zeroizing::new([0; 32]);
        seed.copy_from_slice(&key[8..40]);
        let pair = Ed25519KeyPair::from_seed_and_public_key(seed.as_slice(), &key[40..]).map_err(|_| no_key())?;
        Ok(Self { id, seed, pair })
    }

    /// Writes both halves: `path` for its owner only, and `path` with the suffix `.pub`. Neither may exist.
    ///
    /// # Errors
    /// When a file exists or cannot be written.
    pub fn write(&self, path: &Path) -> Result<NewKey, DistributionError> {
        let mut public = path.as_os_str().to_owned();
        public.push(".pub");
        let public = PathBuf::from(public);
        if public.exists() {
            let exists = std::io::Error::from(std::io::ErrorKind::AlreadyExists);
            return Err(DistributionError::file("write", &public)(exists));
        }
        let mut options = fs::OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let secret = self.secret_text();
        let written = options.open(path).and_then(|mut file| {
            file.write_all(secret.as_bytes())?;
            file.sync_all()
        });
        written.map_err(DistributionError::file("write", path))?;
        let trusted_key = self.public_text();
        let text = format!("untrusted comment: minisign public key {}\n{trusted_key}\n", self.id_text());
        fs::write(&public, text).map_err(DistributionError::file("write", &public))?;
        Ok(NewKey { secret: path.to_owned(), public, trusted_key })
    }

    /// Signs bytes. The signature also covers a comment with `file` and the time, in seconds since 1970-01-01 UTC.
    #[must_use]
    pub fn sign(&self, bytes: &[u8], file: &str, seconds: u64) -> String {
        let comment = format!("timestamp:{seconds}\tfile:{}\thashed", super::error::sanitized(file));
        let signature = self.pair.sign(&Blake2b512::digest(bytes));
        let line = [ALGORITHM_HASHED.as_slice(), &self.id, signature.as_ref()].concat();
        let covered = [signature.as_ref(), comment.as_bytes()].concat();
        format!(
            "untrusted comment: signature by key {}\n{}\ntrusted comment: {comment}\n{}\n",
            self.id_text(),
            BASE64_STANDARD.encode(line),
            BASE64_STANDARD.encode(self.pair.sign(&covered))
        )
    }

    /// The public half, as written in `[plugins] trusted_keys`.
    #[must_use]
    pub fn public_text(&self) -> String {
        BASE64_STANDARD.encode([ALGORITHM.as_slice(), &self.id, self.pair.public_key().as_ref()].concat())
    }

    /// The key's id as minisign shows it.
    #[must_use]
    pub fn id_text(&self) -> String {
        format!("{:016X}", u64::from_le_bytes(self.id))
    }

    fn secret_text(&self) -> Zeroizing<String> {
        let key = Zeroizing::new([self.id.as_slice(), self.seed.as_slice(), self.pair.public_key().as_ref()].concat());
        let checksum = key_checksum(&key);
        let parts = [ALGORITHM.as_slice(), &[0, 0], CHECKSUM_ALGORITHM, &[0; PASSWORD_BYTES], &key, &checksum];
        let bytes = Zeroizing::new(parts.concat());
        let encoded = Zeroizing::new(BASE64_STANDARD.encode(bytes.as_slice()));
        Zeroizing::new(format!("untrusted comment: minisign secret key {}\n{}\n", self.id_text(), encoded.as_str()))
    }
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_tuple("SigningKey").field(&self.id_text()).finish()
    }
}

fn key_checksum(key: &[u8]) -> [u8; 32] {
    Blake2b::<U32>::new().chain_update(ALGORITHM).chain_update(key).finalize().into()
}

#[cfg(test)]
mod tests {
    use super::super::TrustedKeys;
    use super::*;

    #[test]
    fn a_new_key_signs_and_its_public_key_verifies() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("release.key");
        let new = SigningKey::generate().unwrap().write(&path).unwrap();
        let key = SigningKey::read(&path).unwrap();
        assert_eq!(key.public_text(), new.trusted_key);
        let signature = key.sign(b"component", "a.wasm", 1_700_000_000);
        let keys = TrustedKeys::parse(std::slice::from_ref(&new.trusted_key)).unwrap();
        let signed = keys.verify("a.wasm", b"component", &signature).unwrap();
        assert_eq!(signed.key_id, key.id_text());
        assert!(signed.comment.contains("1700000000") && signed.comment.contains("a.wasm"), "{}", signed.comment);
        assert!(keys.verify("a.wasm", b"Component", &signature).is_err());
    }

    #[cfg(unix)]
    #[test]
    fn the_secret_key_is_readable_by_its_owner_only_and_never_overwritten() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("release.key");
        let key = SigningKey::generate().unwrap();
        key.write(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let error = SigningKey::generate().unwrap().write(&path).unwrap_err().to_string();
        assert!(error.contains("cannot write"), "{error}");
        assert_eq!(SigningKey::read(&path).unwrap().public_text(), key.public_text());
        assert!(!format!("{key:?}").contains(&BASE64_STANDARD.encode(key.seed.as_slice())));
    }

    #[test]
    fn a_secret_key_that_is_invalid_or_has_a_password_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("release.key");
        SigningKey::generate().unwrap().write(&path).unwrap();
        let line = fs::read_to_string(&path).unwrap().lines().nth(1).unwrap().to_owned();
        let whole = BASE64_STANDARD.decode(line).unwrap();
        let changed = |index: usize| {
            let mut bytes = whole.clone();
            bytes[index] ^= 1;
            format!("untrusted comment: x\n{}\n", BASE64_STANDARD.encode(bytes))
        };
        for (text, words) in [
            (changed(2), "has a password"),
            (changed(100), "is damaged"),
            (changed(0), "is no secret key"),
            ("hello".to_owned(), "is no secret key"),
        ] {
            fs::write(&path, text).unwrap();
            let error = SigningKey::read(&path).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }
}
