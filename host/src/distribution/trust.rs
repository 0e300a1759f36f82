//! Decides at every load whether an adapter may be loaded, by the pin in `adapters.lock` and the signature of a trusted
//! key.
//! The rules: a file in the lock must have its digest; an existing signature must be valid if any key is trusted; with
//! `require_signature` a signature must exist. Both files are read at each check, so that a running host follows an
//! installation. The checked bytes are in memory, and the same ones are compiled afterwards.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::signature::{Signed, TrustedKeys, signature_path};
use super::{DistributionError, Lock, digest};
use crate::files;
use crate::plugin::Admission;

/// The largest accepted signature file in bytes.
const SIGNATURE_BYTES_MAX: u64 = 16 * 1024;

/// The rules of `[plugins]` and `adapters.lock`.
#[derive(Clone, Debug)]
pub struct Trust {
    lock_file: PathBuf,
    directory: PathBuf,
    keys: TrustedKeys,
    require_signature: bool,
}

impl Trust {
    /// Builds the rules from the lock's path, the adapters' folder and the trusted keys.
    ///
    /// # Errors
    /// When a key is not valid.
    pub fn new(
        lock_file: &Path,
        directory: &Path,
        trusted_keys: &[String],
        require_signature: bool,
    ) -> Result<Self, DistributionError> {
        let keys = TrustedKeys::parse(trusted_keys)?;
        Ok(Self { lock_file: lock_file.to_owned(), directory: directory.to_owned(), keys, require_signature })
    }

    /// Whether any key is trusted.
    #[must_use]
    pub fn has_keys(&self) -> bool {
        !self.keys.is_empty()
    }

    /// Checks the bytes of a file against its pin and the signature next to it.
    ///
    /// # Errors
    /// Why it must not be loaded.
    pub fn check_file(&self, path: &Path, bytes: &[u8]) -> Result<Option<Signed>, DistributionError> {
        self.check_pin(path, bytes)?;
        let signature_file = signature_path(path);
        self.check_signature(
            &path.display().to_string(),
            bytes,
            read_signature(&signature_file)?.as_deref(),
            &signature_file,
        )
    }

    /// Checks bytes against their signature, if any. `signature_file` is the expected path of the signature.
    ///
    /// # Errors
    /// Why they must not be loaded.
    pub fn check_signature(
        &self,
        what: &str,
        bytes: &[u8],
        signature: Option<&str>,
        signature_file: &Path,
    ) -> Result<Option<Signed>, DistributionError> {
        match signature {
            Some(text) if self.has_keys() => self.keys.verify(what, bytes, text).map(Some),
            None if self.require_signature => Err(DistributionError::Unsigned {
                what: what.to_owned(),
                expected: signature_file.display().to_string(),
            }),
            Some(_) | None => Ok(None),
        }
    }

    /// Checks that the bytes of a file are the pinned ones.
    ///
    /// # Errors
    /// [`DistributionError::NotPinned`], or why the lock cannot be read.
    pub fn check_pin(&self, path: &Path, bytes: &[u8]) -> Result<(), DistributionError> {
        let Some(name) = self.name_of(path) else { return Ok(()) };
        let lock = Lock::read(&self.lock_file)?;
        let Some(pin) = lock.pin(&name) else { return Ok(()) };
        let found = digest(bytes);
        if pin.digest == found {
            return Ok(());
        }
        Err(DistributionError::NotPinned {
            what: path.display().to_string(),
            name,
            source_text: pin.source.clone(),
            pinned: pin.digest.clone(),
            found,
        })
    }

    fn has_pin(&self, path: &Path) -> Result<bool, DistributionError> {
        let Some(name) = self.name_of(path) else { return Ok(false) };
        Ok(Lock::read(&self.lock_file)?.pin(&name).is_some())
    }

    /// The file's name in the lock. Only files in the adapters' folder have one, in any spelling of the path.
    fn name_of(&self, path: &Path) -> Option<String> {
        let folder = path.parent()?;
        let real = |folder: &Path| folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
        if real(folder) != real(&self.directory) {
            return None;
        }
        path.file_name()?.to_str()?.strip_suffix(".wasm").map(str::to_owned)
    }

    /// Searches the adapters' folder for a signature of these bytes. Its file name does not matter.
    fn signature_of_any_file(&self, bytes: &[u8]) -> Option<Signed> {
        let entries = fs::read_dir(&self.directory).ok()?;
        let signatures = entries.flatten().map(|entry| entry.path());
        let mut signatures = signatures.filter(|path| path.extension().is_some_and(|extension| extension == "minisig"));
        signatures.find_map(|path| {
            let text = read_signature(&path).ok().flatten()?;
            self.keys.verify("", bytes, &text).ok()
        })
    }
}

/// Refuses a file in a world-writable folder, unless a pin or a signature protects it.
fn refuse_open(path: &Path) -> Result<(), String> {
    for path in std::iter::once(path).chain(path.parent().filter(|folder| !folder.as_os_str().is_empty())) {
        if let Ok(Some(mode)) = files::world_writable_mode(path) {
            return Err(format!(
                "the adapter is refused: everybody on this machine may write to {} (mode {mode:o}); fix: chmod o-w it, or \
                 pin the adapter with `host plugin install`",
                path.display()
            ));
        }
    }
    Ok(())
}

impl Admission for Trust {
    fn admit_file(&self, path: &Path, bytes: &[u8]) -> Result<(), String> {
        let signed = self.check_file(path, bytes).map_err(|error| error.to_string())?;
        let is_pinned = || self.has_pin(path).map_err(|error| error.to_string());
        if signed.is_some() || is_pinned()? { Ok(()) } else { refuse_open(path) }
    }

    fn admit_kept(&self, name: &str, bytes: &[u8]) -> Result<(), String> {
        if !self.require_signature || self.signature_of_any_file(bytes).is_some() {
            return Ok(());
        }
        let expected = format!("NAME.wasm.minisig in {}", self.directory.display());
        Err(DistributionError::Unsigned { what: name.to_owned(), expected }.to_string())
    }
}

/// The signature's text, if the file exists.
pub(super) fn read_signature(path: &Path) -> Result<Option<String>, DistributionError> {
    match files::read(path, SIGNATURE_BYTES_MAX) {
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) if error.kind() == ErrorKind::FileTooLarge => {
            let reason = "is too large for a signature; put the right one in its place".to_owned();
            Err(DistributionError::Signature { what: path.display().to_string(), reason })
        }
        Err(error) => Err(DistributionError::file("read", path)(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Pin, SigningKey};
    use super::*;

    struct Folder {
        folder: tempfile::TempDir,
        key: SigningKey,
    }

    impl Folder {
        fn new() -> Self {
            Self { folder: tempfile::tempdir().unwrap(), key: SigningKey::generate().unwrap() }
        }

        fn file(&self) -> PathBuf {
            self.folder.path().join("a.wasm")
        }

        fn trust(&self, keys: &[String], require_signature: bool) -> Trust {
            let directory = self.folder.path();
            Trust::new(&directory.join("adapters.lock"), directory, keys, require_signature).unwrap()
        }

        fn pin(&self, bytes: &[u8]) {
            let mut lock = Lock::read(Path::new("/nowhere/adapters.lock")).unwrap();
            let source = "oci://h.example/a:1".to_owned();
            lock.put(Pin { name: "a".to_owned(), source, digest: digest(bytes), manifest: None });
            fs::write(self.folder.path().join("adapters.lock"), lock.text()).unwrap();
        }

        fn sign(&self, bytes: &[u8]) {
            fs::write(signature_path(&self.file()), self.key.sign(bytes, "a.wasm", 1)).unwrap();
        }
    }

    fn refusal(result: Result<Option<Signed>, DistributionError>) -> String {
        result.unwrap_err().to_string()
    }

    #[test]
    fn a_pinned_file_must_match_its_pin_and_other_files_need_none() {
        let folder = Folder::new();
        let trust = folder.trust(&[], false);
        assert_eq!(trust.check_file(&folder.file(), b"any").unwrap(), None);
        folder.pin(b"good");
        assert!(trust.check_file(&folder.file(), b"good").is_ok());
        let error = refusal(trust.check_file(&folder.file(), b"evil"));
        assert!(error.contains("is not the file that adapters.lock pins"), "{error}");
        assert!(error.contains("host plugin install --name a oci://h.example/a:1"), "{error}");
        let around = folder.folder.path().join(".").join("a.wasm");
        assert!(trust.check_file(&around, b"evil").is_err(), "the path may be written otherwise");
        assert!(trust.check_file(Path::new("/elsewhere/a.wasm"), b"evil").is_ok());
        fs::write(folder.folder.path().join("adapters.lock"), "half a fi").unwrap();
        assert!(refusal(trust.check_file(&folder.file(), b"good")).contains("adapters.lock"));
    }

    #[test]
    fn signatures_are_verified_once_a_key_is_trusted_and_needed_when_required() {
        let folder = Folder::new();
        let keys = [folder.key.public_text()];
        let file = folder.file();
        assert!(folder.trust(&keys, false).check_file(&file, b"good").unwrap().is_none());
        let error = refusal(folder.trust(&keys, true).check_file(&file, b"good"));
        assert!(error.contains("has no signature") && error.contains("a.wasm.minisig"), "{error}");
        folder.sign(b"good");
        for required in [false, true] {
            let signed = folder.trust(&keys, required).check_file(&file, b"good").unwrap().unwrap();
            assert_eq!(signed.key_id, folder.key.id_text());
            let error = refusal(folder.trust(&keys, required).check_file(&file, b"evil"));
            assert!(error.contains("is not what key"), "{error}");
        }
        let others = [SigningKey::generate().unwrap().public_text()];
        let error = refusal(folder.trust(&others, false).check_file(&file, b"good"));
        assert!(error.contains("trusted_keys does not name"), "{error}");
        assert!(
            folder.trust(&[], false).check_file(&file, b"evil").is_ok(),
            "no key is trusted, no signature is required"
        );
    }

    #[test]
    fn an_adapter_from_the_store_needs_a_signature_in_the_folder_when_required() {
        let folder = Folder::new();
        let keys = [folder.key.public_text()];
        assert!(folder.trust(&keys, false).admit_kept("kept", b"good").is_ok());
        let trust = folder.trust(&keys, true);
        assert!(trust.admit_kept("kept", b"good").unwrap_err().contains("kept has no signature"));
        folder.sign(b"good");
        assert!(trust.admit_kept("kept", b"good").is_ok());
        assert!(trust.admit_kept("kept", b"evil").is_err());
    }

    #[cfg(unix)]
    #[test]
    fn hostile_world_writable_folder_needs_a_pin_or_a_signature() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = Folder::new();
        let (file, keys) = (folder.file(), [folder.key.public_text()]);
        fs::write(&file, b"good").unwrap();
        let mode = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        let admit = |keys: &[String]| folder.trust(keys, false).admit_file(&file, b"good");
        assert_eq!(admit(&[]), Ok(()));
        for (path, open, closed) in [(file.as_path(), 0o666, 0o644), (folder.folder.path(), 0o777, 0o755)] {
            mode(path, open);
            let error = admit(&[]).unwrap_err();
            assert!(error.contains("everybody on this machine may write to") && error.contains("chmod o-w"), "{error}");
            mode(path, closed);
        }
        mode(folder.folder.path(), 0o777);
        folder.sign(b"good");
        assert_eq!(admit(&keys), Ok(()), "no other key could have signed it");
        folder.pin(b"good");
        assert_eq!(admit(&[]), Ok(()), "no other file would be loaded");
    }

    #[test]
    fn an_oversized_signature_file_is_not_read() {
        let folder = Folder::new();
        let file = fs::File::create(signature_path(&folder.file())).unwrap();
        file.set_len(1 << 30).unwrap();
        let keys = [folder.key.public_text()];
        assert!(refusal(folder.trust(&keys, false).check_file(&folder.file(), b"good")).contains("too large"));
    }
}
