//! Installs an adapter in the folder of targets: completely or not at all, in an order that is safe for a running host.
//!
//! First everything is written to temporary files in the same folders, and synced to the disk. Then three renames
//! follow: the signature, `adapters.lock`, and finally the component, because a host watches that file. A crash in
//! between leaves the new digest in the lock and the old component: the host refuses to load that, and its message
//! states the fix. Unfinished files are removed.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;

use tempfile::NamedTempFile;

use super::transfer::SIGNATURE_BYTES_MAX;
use super::{AdapterName, DistributionError, Lock, Pin, Source, digest, signature_path};

/// The adapter to install, and the place.
#[derive(Clone, Copy, Debug)]
pub struct InstallPlan<'a> {
    /// The adapters' folder; it is created if missing.
    pub directory: &'a Path,
    /// `adapters.lock`.
    pub lock_file: &'a Path,
    /// The file that installations lock, so that two at once do not overwrite each other's pins.
    pub guard: &'a Path,
    /// The adapter's name.
    pub name: &'a AdapterName,
    /// The adapter's source.
    pub source: &'a Source,
    /// The component.
    pub bytes: &'a [u8],
    /// Its signature.
    pub signature: Option<&'a str>,
    /// The digest of the registry's manifest.
    pub manifest: Option<&'a str>,
    /// Whether the source may return another file than the pinned one.
    pub update: bool,
}

/// Installs the adapter. The caller has verified its signature and its imports.
///
/// # Errors
/// [`DistributionError::Moved`] when the source returned another file than the pinned one; otherwise the system's
/// error.
pub fn install(plan: &InstallPlan<'_>) -> Result<(), DistributionError> {
    let InstallPlan { directory, lock_file, name, .. } = *plan;
    fs::create_dir_all(directory).map_err(DistributionError::file("make", directory))?;
    let _guard = one_at_a_time(plan.guard)?;
    let mut lock = Lock::read(lock_file)?;
    let found = digest(plan.bytes);
    expect_unmoved(&lock, plan, &found)?;
    lock.put(Pin {
        name: name.as_str().to_owned(),
        source: plan.source.to_string(),
        digest: found,
        manifest: plan.manifest.map(str::to_owned),
    });
    let file = name.file(directory);
    let signature_file = signature_path(&file);
    let lock_folder = lock_file.parent().unwrap_or(directory);
    remove_leftovers(directory);
    remove_leftovers(lock_folder);
    let component = written(directory, plan.bytes)?;
    let signature = plan.signature.map(|text| written(directory, text.as_bytes())).transpose()?;
    let new_lock = written(lock_folder, lock.text().as_bytes())?;
    keep_previous_signature(directory, name, &signature_file, plan.signature)?;
    match signature {
        Some(signature) => persist(signature, &signature_file)?,
        None => remove(&signature_file)?,
    }
    persist(new_lock, lock_file)?;
    persist(component, &file)?;
    for folder in [lock_folder, directory] {
        // A rename is durable after its folder is synced. Where a folder cannot be opened, the system ensures that.
        if let Ok(folder) = File::open(folder) {
            drop(folder.sync_all());
        }
    }
    Ok(())
}

/// Keeps the signature of the previous adapter. A host may roll back to that adapter, which the store keeps, and needs
/// the signature then.
fn keep_previous_signature(
    directory: &Path,
    name: &AdapterName,
    signature_file: &Path,
    new: Option<&str>,
) -> Result<(), DistributionError> {
    match crate::files::read(signature_file, SIGNATURE_BYTES_MAX) {
        Ok(old) if new.is_none_or(|new| new.as_bytes() != old) => {
            persist(written(directory, &old)?, &directory.join(format!("{name}.wasm.previous.minisig")))
        }
        _ => Ok(()),
    }
}

/// Checks that a pinned source returns the pinned file, unless `update` is set. Another source than the pinned one is a
/// deliberate change.
fn expect_unmoved(lock: &Lock, plan: &InstallPlan<'_>, found: &str) -> Result<(), DistributionError> {
    let source_text = plan.source.to_string();
    match lock.pin(plan.name.as_str()) {
        Some(pin) if pin.source == source_text && pin.digest != found && !plan.update => {
            Err(DistributionError::Moved {
                source_text,
                name: pin.name.clone(),
                pinned: pin.digest.clone(),
                found: found.to_owned(),
            })
        }
        _ => Ok(()),
    }
}

fn one_at_a_time(guard: &Path) -> Result<File, DistributionError> {
    if let Some(folder) = guard.parent() {
        fs::create_dir_all(folder).map_err(DistributionError::file("make", folder))?;
    }
    let file =
        File::options().create(true).append(true).open(guard).map_err(DistributionError::file("write", guard))?;
    file.lock().map_err(DistributionError::file("lock", guard))?;
    Ok(file)
}

/// The prefix of unfinished files.
const UNFINISHED: &str = ".installing-";

fn written(folder: &Path, bytes: &[u8]) -> Result<NamedTempFile, DistributionError> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(UNFINISHED);
    // The host may run as another user than the installer.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644));
    let mut file = builder.tempfile_in(folder).map_err(DistributionError::file("write to", folder))?;
    let done = file.write_all(bytes).and_then(|()| file.as_file().sync_all());
    done.map_err(DistributionError::file("write to", folder))?;
    Ok(file)
}

fn persist(file: NamedTempFile, path: &Path) -> Result<(), DistributionError> {
    file.persist(path).map(drop).map_err(|error| DistributionError::file("put in place", path)(error.error))
}

fn remove(path: &Path) -> Result<(), DistributionError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(DistributionError::file("remove", path)(error))
        }
        _ => Ok(()),
    }
}

/// Removes files of a killed installation. No other installation runs, because this process holds the guard.
fn remove_leftovers(directory: &Path) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(UNFINISHED) {
            // A remaining file is harmless.
            drop(fs::remove_file(entry.path()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Folder(tempfile::TempDir);

    impl Folder {
        fn install(
            &self,
            source: &str,
            bytes: &[u8],
            signature: Option<&str>,
            update: bool,
        ) -> Result<(), DistributionError> {
            let name = AdapterName::parse("a").unwrap();
            let source = Source::parse(source).unwrap();
            let root = self.0.path();
            let plan = InstallPlan {
                directory: &root.join("adapters"),
                lock_file: &root.join("adapters.lock"),
                guard: &root.join("cache").join("install.lock"),
                name: &name,
                source: &source,
                bytes,
                signature,
                manifest: None,
                update,
            };
            install(&plan)
        }

        fn read(&self, file: &str) -> Option<String> {
            fs::read_to_string(self.0.path().join(file)).ok()
        }

        fn files(&self) -> Vec<String> {
            let mut names: Vec<_> = fs::read_dir(self.0.path().join("adapters"))
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            names.sort();
            names
        }
    }

    #[test]
    fn an_installation_leaves_only_component_signature_and_pin() {
        let folder = Folder(tempfile::tempdir().unwrap());
        fs::create_dir(folder.0.path().join("adapters")).unwrap();
        fs::write(folder.0.path().join("adapters/.installing-x"), "half").unwrap();
        folder.install("oci://h.example/a:1", b"one", Some("signature"), false).unwrap();
        assert_eq!(folder.files(), ["a.wasm", "a.wasm.minisig"]);
        assert_eq!(folder.read("adapters/a.wasm").unwrap(), "one");
        let lock = Lock::read(&folder.0.path().join("adapters.lock")).unwrap();
        assert_eq!(lock.pin("a").unwrap().digest, digest(b"one"));
        folder.install("oci://h.example/a:2", b"two", None, false).unwrap();
        assert_eq!(folder.files(), ["a.wasm", "a.wasm.previous.minisig"], "no old signature stays next to a new file");
        assert_eq!(folder.read("adapters/a.wasm.previous.minisig").unwrap(), "signature");
    }

    #[test]
    fn a_moved_tag_is_installed_only_with_update() {
        let folder = Folder(tempfile::tempdir().unwrap());
        let source = "oci://h.example/a:1";
        folder.install(source, b"one", None, false).unwrap();
        folder.install(source, b"one", None, false).unwrap();
        let lock = folder.read("adapters.lock");
        let error = folder.install(source, b"two", None, false).unwrap_err().to_string();
        assert!(error.contains("oci://h.example/a:1 has moved") && error.contains("--update"), "{error}");
        assert_eq!(folder.read("adapters/a.wasm").unwrap(), "one");
        assert_eq!(folder.read("adapters.lock"), lock);
        folder.install(source, b"two", None, true).unwrap();
        assert_eq!(folder.read("adapters/a.wasm").unwrap(), "two");
    }
}
