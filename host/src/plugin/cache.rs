//! Compiled adapters on disk, so that a start takes a millisecond instead of a second.
//!
//! Loading machine code means trusting it, so the host loads only what it wrote itself: in a directory of its own,
//! named by the digest of the component and of every engine setting that affects the code, with a checksum. The
//! checksum detects damage, not malice: whoever can write to this directory can run code as the host. An entry that
//! does not match is compiled again.

use std::fs;
use std::hash::{Hash as _, Hasher};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use tempfile::NamedTempFile;
use wasmtime::Engine;
use wasmtime::component::Component;

use super::PluginError;
use super::crashes::Crashes;
use super::structure::REASON_CHARS_MAX;
use crate::domain::hex::hex;
use crate::domain::words::one_line;
use crate::files;

/// The checksum before the code, bytes.
const CHECKSUM_BYTES: usize = 32;
/// Entries that are kept; the oldest are removed first.
const ENTRIES_MAX: usize = 64;
const EXTENSION: &str = "cwasm";
/// The largest entry that is read, bytes.
const ENTRY_BYTES_MAX: u64 = 2 << 30;
/// What unfinished entries begin with.
const UNFINISHED: &str = ".compiling-";
/// An unfinished entry of this age belongs to a process that is gone.
const LEFT_AFTER: Duration = Duration::from_secs(3_600);

/// The directory of compiled adapters.
pub(super) struct Cache {
    directory: PathBuf,
    engine_digest: String,
}

impl Cache {
    /// Makes the directory, readable by its owner only, and refuses one that others may write to.
    pub(super) fn open(directory: &Path, engine: &Engine) -> Result<Self, PluginError> {
        make_private(directory).map_err(|source| PluginError::Cache { path: directory.to_owned(), source })?;
        let mut digest = DigestHasher(Sha256::new());
        engine.precompile_compatibility_hash().hash(&mut digest);
        let engine_digest = hex(&digest.0.finalize()[..8]);
        let cache = Self { directory: directory.to_owned(), engine_digest };
        if let Err(error) = cache.remove_leftovers() {
            tracing::warn!(directory = %cache.directory.display(), %error, "leftovers cannot be removed");
        }
        Ok(cache)
    }

    /// Which adapters crashed while they were loaded here.
    pub(super) fn crashes(&self) -> Crashes {
        Crashes::new(&self.directory, &self.engine_digest)
    }

    /// The compiled component, if there is a valid one. A damaged one is logged and removed.
    pub(super) fn load(&self, engine: &Engine, sha256: &str) -> Option<Component> {
        let path = self.path(sha256);
        let bytes = files::read(&path, ENTRY_BYTES_MAX).ok()?;
        let component = component_of(engine, &bytes).ok();
        if component.is_none() {
            tracing::warn!(path = %path.display(), "compiled adapter is damaged, compiling it anew");
            if let Err(error) = fs::remove_file(&path) {
                tracing::warn!(path = %path.display(), %error, "damaged compiled adapter cannot be removed");
            }
        }
        component
    }

    /// A file to compile into, for its owner alone.
    pub(super) fn begin(&self) -> io::Result<NamedTempFile> {
        tempfile::Builder::new().prefix(UNFINISHED).tempfile_in(&self.directory)
    }

    /// Keeps what was compiled. The host works without it, so that a failure is only logged.
    pub(super) fn keep(&self, sha256: &str, file: NamedTempFile) {
        let kept =
            file.as_file().sync_all().and_then(|()| file.persist(self.path(sha256)).map_err(|error| error.error));
        if let Err(error) = kept.and_then(|_| self.prune()) {
            tracing::warn!(directory = %self.directory.display(), %error, "compiled adapter cannot be kept");
        }
    }

    /// As [`Cache::keep`], for what this process compiled itself.
    pub(super) fn store(&self, sha256: &str, component: &Component) {
        let written = component.serialize().map_err(io::Error::other).and_then(|code| {
            let mut file = self.begin()?;
            file.write_all(&Sha256::digest(&code))?;
            file.write_all(&code)?;
            Ok(file)
        });
        match written {
            Ok(file) => self.keep(sha256, file),
            Err(error) => {
                tracing::warn!(directory = %self.directory.display(), %error, "compiled adapter cannot be kept");
            }
        }
    }

    /// Removes what killed processes have left behind.
    fn remove_leftovers(&self) -> io::Result<()> {
        for entry in fs::read_dir(&self.directory)? {
            let entry = entry?;
            let is_old =
                || entry.metadata()?.modified()?.elapsed().map_err(io::Error::other).map(|age| age > LEFT_AFTER);
            if entry.file_name().to_string_lossy().starts_with(UNFINISHED) && is_old().unwrap_or(false) {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }

    /// Keeps the directory from growing with every new build.
    fn prune(&self) -> io::Result<()> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(&self.directory)? {
            let entry = entry?;
            if entry.path().extension().is_some_and(|extension| extension == EXTENSION) {
                entries.push((entry.metadata()?.modified()?, entry.path()));
            }
        }
        entries.sort();
        let surplus = entries.len().saturating_sub(ENTRIES_MAX);
        entries.iter().take(surplus).try_for_each(|(_, path)| fs::remove_file(path))
    }

    fn path(&self, sha256: &str) -> PathBuf {
        self.directory.join(format!("{sha256}-{}.{EXTENSION}", self.engine_digest))
    }
}

/// The component of machine code behind its checksum, if it is valid and for this engine.
///
/// # Errors
/// Why it cannot be loaded: damage, or more tables and the like than an instance may have.
pub(super) fn component_of(engine: &Engine, bytes: &[u8]) -> Result<Component, String> {
    let (checksum, code) = bytes.split_at_checked(CHECKSUM_BYTES).ok_or("its machine code is cut off")?;
    if Sha256::digest(code).as_slice() != checksum {
        return Err("its machine code is damaged".to_owned());
    }
    // SAFETY: the code was written by this program's own compiler into a file of its own, for this very engine, and is
    // what was written.
    #[allow(unsafe_code, reason = "wasmtime has no other way to load what it compiled")]
    unsafe { Component::deserialize(engine, code) }.map_err(|error| one_line(&format!("{error:#}"), REASON_CHARS_MAX))
}

#[cfg(unix)]
fn make_private(directory: &Path) -> io::Result<()> {
    use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
    fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    let metadata = fs::metadata(directory)?;
    let me = rustix::process::geteuid().as_raw();
    match open_to_others(metadata.permissions().mode(), metadata.uid(), me) {
        Some(reason) => Err(io::Error::new(io::ErrorKind::PermissionDenied, reason)),
        None => Ok(()),
    }
}

/// Why a directory of this mode and owner is not private to the user `me`. Root may do whatever it likes in any case.
#[cfg(unix)]
fn open_to_others(mode: u32, owner: u32, me: u32) -> Option<String> {
    if owner != me && owner != 0 {
        Some(format!("it belongs to another user (uid {owner}, this process is uid {me}); remove it, or chown it"))
    } else if mode & 0o022 != 0 {
        Some(format!("others may write to it (mode {:o}); chmod 700 it", mode & 0o777))
    } else {
        None
    }
}

#[cfg(not(unix))]
fn make_private(directory: &Path) -> io::Result<()> {
    fs::create_dir_all(directory)
}

/// Feeds what is hashed into SHA-256, which does not collide.
struct DigestHasher(Sha256);

impl Hasher for DigestHasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        let digest = self.0.clone().finalize();
        u64::from_le_bytes(std::array::from_fn(|index| digest[index]))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    const EMPTY: &[u8] = b"\0asm\x0d\0\x01\0";

    fn filled() -> (std::path::PathBuf, Engine, Cache) {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let directory = std::env::temp_dir().join(format!("host-cache-test-{}-{number}", std::process::id()));
        let engine = Engine::default();
        let cache = Cache::open(&directory, &engine).unwrap();
        cache.store("aa", &Component::from_binary(&engine, EMPTY).unwrap());
        (directory, engine, cache)
    }

    #[test]
    fn compiled_code_is_loaded_from_the_cache() {
        let (directory, engine, cache) = filled();
        assert!(cache.load(&engine, "aa").is_some());
        assert!(cache.load(&engine, "bb").is_none());
        fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn a_damaged_cache_entry_is_removed_and_not_loaded() {
        for damage in [|bytes: &mut Vec<u8>| *bytes.last_mut().unwrap() ^= 1, |bytes: &mut Vec<u8>| bytes.truncate(9)] {
            let (directory, engine, cache) = filled();
            let path = cache.path("aa");
            let mut bytes = fs::read(&path).unwrap();
            damage(&mut bytes);
            fs::write(&path, bytes).unwrap();
            assert!(cache.load(&engine, "aa").is_none());
            assert!(!path.exists());
            fs::remove_dir_all(directory).unwrap();
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_cache_directory_that_others_may_write_to_is_refused() {
        use std::os::unix::fs::PermissionsExt as _;
        let (directory, engine, _) = filled();
        assert_eq!(fs::metadata(&directory).unwrap().permissions().mode() & 0o777, 0o700);
        fs::set_permissions(&directory, fs::Permissions::from_mode(0o777)).unwrap();
        assert!(matches!(Cache::open(&directory, &engine), Err(PluginError::Cache { .. })));
        fs::set_permissions(&directory, fs::Permissions::from_mode(0o700)).unwrap();
        // Only root can give a folder away; the rule itself is tested below for every user.
        if std::os::unix::fs::chown(&directory, Some(12_345), None).is_ok() {
            let error = Cache::open(&directory, &engine).err().unwrap().to_string();
            assert!(error.contains("belongs to another user (uid 12345"), "{error}");
        }
        fs::remove_dir_all(directory).unwrap();
    }

    #[cfg(unix)]
    #[test]
    fn hostile_directory_of_another_owner_is_not_private_even_for_root() {
        for (mode, owner, me, words) in [
            (0o700, 1_000, 1_000, None),
            (0o755, 0, 1_000, None),
            (0o700, 1_001, 1_000, Some("belongs to another user (uid 1001, this process is uid 1000)")),
            (0o700, 1_000, 0, Some("belongs to another user (uid 1000, this process is uid 0)")),
            (0o720, 1_000, 1_000, Some("others may write to it (mode 720)")),
            (0o702, 0, 0, Some("others may write to it (mode 702)")),
        ] {
            let reason = open_to_others(mode, owner, me);
            assert_eq!(reason.is_some(), words.is_some(), "{mode:o} {owner} {me}");
            assert!(reason.unwrap_or_default().contains(words.unwrap_or_default()), "{mode:o} {owner} {me}");
        }
    }
}
