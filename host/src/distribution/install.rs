//! Installs an adapter where targets look for it: completely or not at all, in an order that a running host can follow.
//!
//! Everything is first written to files of other names in the same folders, and synced to the disk. Then follow three
//! renames: the signature, `adapters.lock`, and the component last, since a host watches that file. A crash in between
//! leaves a lock that names the new file next to the old one: the host refuses to load that, and its message states the
//! fix. Unfinished files are removed.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;

use tempfile::NamedTempFile;

use super::transfer::SIGNATURE_BYTES_MAX;
use super::{AdapterName, DistributionError, Lock, Pin, Source, digest, signature_path};

/// What to install, and where.
#[derive(Clone, Copy, Debug)]
pub struct InstallPlan<'a> {
    /// The adapters' folder; it is made when it is not there.
    pub directory: &'a Path,
    /// `adapters.lock`.
    pub lock_file: &'a Path,
    /// A file that installations lock, so that two at once do not lose each other's pins.
    pub guard: &'a Path,
    /// Its name.
    pub name: &'a AdapterName,
    /// Where it came from.
    pub source: &'a Source,
    /// The component.
    pub bytes: &'a [u8],
    /// Its signature.
    pub signature: Option<&'a str>,
    /// The digest of the registry's manifest.
    pub manifest: Option<&'a str>,
    /// Whether a source may give another file than the one that it is pinned to.
    pub update: bool,
}

/// Installs it. The caller has verified its signature and its imports.
///
/// # Errors
/// [`DistributionError::Moved`] when the source gives another file than the pinned one; the system's error.
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
        // A rename lasts once its folder is on the disk; where folders cannot be opened, the system sees to it.
        if let Ok(folder) = File::open(folder) {
            drop(folder.sync_all());
        }
    }
    Ok(())
}

/// A host may have to go back to the adapter before, which the store keeps, and must find its signature then.
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

/// A source that is pinned gives what it gave, unless a change is asked for. Another source is a change that was asked
/// for.
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

/// What our unfinished files begin with.
const UNFINISHED: &str = ".installing-";

fn written(folder: &Path, bytes: &[u8]) -> Result<NamedTempFile, DistributionError> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(UNFINISHED);
    // The host may run as another user than the one who installs.
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

/// Files of an installation that was killed while it wrote. No other installation runs: this process holds the guard.
fn remove_leftovers(directory: &Path) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(UNFINISHED) {
            // One that stays does no harm.
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
