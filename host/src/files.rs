//! Reads whole files: regular ones only, up to a size.
//!
//! A pipe, a device or a folder is refused: opening one may block for ever, and reading one may never end. Files of
//! others must be read through this module.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read as _};
use std::path::Path;

/// Opens a regular file for reading without blocking.
///
/// # Errors
/// The system's error; [`ErrorKind::InvalidInput`] if it is not a regular file.
pub fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        let flags = rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOCTTY;
        options.custom_flags(flags.bits().cast_signed());
    }
    let file = options.open(path)?;
    // Checks the open file, which cannot be replaced any more.
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(io::Error::new(ErrorKind::InvalidInput, "is not a regular file"))
    }
}

/// Reads a regular file of at most `bytes_max`.
///
/// # Errors
/// As [`open`]; [`ErrorKind::FileTooLarge`] with the limit.
pub fn read(path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    let file = open(path)?;
    let length = file.metadata()?.len();
    if length > bytes_max {
        return Err(too_large(bytes_max));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or_default());
    file.take(bytes_max + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > bytes_max { Err(too_large(bytes_max)) } else { Ok(bytes) }
}

/// As [`read`], for UTF-8.
///
/// # Errors
/// As [`read`]; [`ErrorKind::InvalidData`] if it is not UTF-8.
pub fn read_text(path: &Path, bytes_max: u64) -> io::Result<String> {
    // The bytes may be a secret, so the error must not hold them.
    String::from_utf8(read(path, bytes_max)?).map_err(|_| io::Error::new(ErrorKind::InvalidData, "is not UTF-8"))
}

fn too_large(bytes_max: u64) -> io::Error {
    let limit = if bytes_max >= 1 << 20 { format!("{} MiB", bytes_max >> 20) } else { format!("{bytes_max} bytes") };
    io::Error::new(ErrorKind::FileTooLarge, format!("is larger than {limit}"))
}

/// The mode of a file or folder, if it is world-writable.
///
/// # Errors
/// The system's error.
#[cfg(unix)]
pub fn world_writable_mode(path: &Path) -> io::Result<Option<u32>> {
    use std::os::unix::fs::MetadataExt as _;
    let mode = std::fs::metadata(path)?.mode() & 0o777;
    Ok((mode & 0o002 != 0).then_some(mode))
}

/// Always `None`: this system has no such permissions.
///
/// # Errors
/// Never.
#[cfg(not(unix))]
pub fn world_writable_mode(_: &Path) -> io::Result<Option<u32>> {
    Ok(None)
}

/// Other users who may change a file or folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtherWriters {
    /// A fragment for messages.
    pub description: String,
    /// Whether it is a group, which may be intended.
    pub is_group: bool,
}

/// Finds other users who may change a file, or replace files of a folder. Root always may.
///
/// # Errors
/// The system's error.
#[cfg(unix)]
pub fn other_writers(path: &Path) -> io::Result<Option<OtherWriters>> {
    use std::os::unix::fs::MetadataExt as _;
    let metadata = std::fs::metadata(path)?;
    let (mode, owners) = (metadata.mode() & 0o7777, (metadata.uid(), metadata.gid()));
    Ok(writers_by_mode(mode, metadata.is_dir(), owners, rustix::process::geteuid().as_raw()))
}

/// The same by mode and owners (user and group), seen by the user `me`.
#[cfg(unix)]
fn writers_by_mode(mode: u32, is_dir: bool, (owner, group): (u32, u32), me: u32) -> Option<OtherWriters> {
    // In a sticky folder users change their own files only.
    let is_sticky = is_dir && mode & 0o1000 != 0;
    if owner != me && owner != 0 {
        Some(OtherWriters {
            description: format!("belongs to another user (uid {owner}, this process is uid {me})"),
            is_group: false,
        })
    } else if mode & 0o002 != 0 && !is_sticky {
        let description =
            format!("everybody on this machine may write to it (mode {:o}); fix: chmod o-w it", mode & 0o777);
        Some(OtherWriters { description, is_group: false })
    } else if mode & 0o020 != 0 && !is_sticky {
        let description = format!("its group may write to it (mode {:o}, gid {group})", mode & 0o777);
        Some(OtherWriters { description, is_group: true })
    } else {
        None
    }
}

/// Always `None`: this system has no such permissions.
///
/// # Errors
/// Never.
#[cfg(not(unix))]
pub fn other_writers(_: &Path) -> io::Result<Option<OtherWriters>> {
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_regular_files_up_to_their_size_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "12345").unwrap();
        assert_eq!(read(&file, 5).unwrap(), b"12345");
        assert_eq!(read(&file, 4).unwrap_err().to_string(), "is larger than 4 bytes");
        assert!(read(folder.path(), 5).is_err());
        assert_eq!(read(&folder.path().join("none"), 5).unwrap_err().kind(), ErrorKind::NotFound);
    }

    #[cfg(unix)]
    #[test]
    fn hostile_write_permission_of_a_group_or_another_owner_is_named() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "").unwrap();
        let at = |path: &Path, mode: u32| {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
            other_writers(path).unwrap().map(|writers| (writers.is_group, writers.description))
        };
        for mode in [0o600, 0o644, 0o755] {
            assert_eq!(at(&file, mode), None, "{mode:o}");
        }
        let (is_group, description) = at(&file, 0o664).unwrap();
        assert!(is_group && description.starts_with("its group may write to it (mode 664, gid "), "{description}");
        assert!(!at(&file, 0o666).unwrap().0);
        assert!(at(folder.path(), 0o770).unwrap().0);
        assert_eq!(at(folder.path(), 0o1777), None, "a sticky folder");
        // Only root can give a file away; the rule itself is tested below for every user.
        if std::os::unix::fs::chown(&file, Some(12_345), None).is_ok() {
            let (is_group, description) = at(&file, 0o644).unwrap();
            assert!(!is_group && description.starts_with("belongs to another user (uid 12345, "), "{description}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn hostile_owner_is_named_for_every_user_including_root() {
        let by = |mode: u32, owner: u32, me: u32| writers_by_mode(mode, false, (owner, 7), me);
        assert_eq!(by(0o644, 1_000, 1_000), None);
        assert_eq!(by(0o644, 0, 1_000), None, "root may in any case");
        for me in [0, 1_000] {
            let found = by(0o644, 1_001, me).unwrap();
            assert_eq!(found.description, format!("belongs to another user (uid 1001, this process is uid {me})"));
            assert!(!found.is_group);
        }
        assert_eq!(by(0o664, 1_000, 1_000).unwrap().description, "its group may write to it (mode 664, gid 7)");
    }

    #[cfg(unix)]
    #[test]
    fn hostile_pipes_devices_and_sparse_files_are_refused_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        for path in [pipe.as_path(), Path::new("/dev/zero"), Path::new("/dev/null")] {
            assert_eq!(read(path, 1 << 20).unwrap_err().to_string(), "is not a regular file", "{}", path.display());
        }
        let sparse = folder.path().join("sparse");
        File::create(&sparse).unwrap().set_len(3 << 30).unwrap();
        assert_eq!(read(&sparse, 1 << 20).unwrap_err().to_string(), "is larger than 1 MiB");
    }
}
