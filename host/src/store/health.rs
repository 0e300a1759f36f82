//! Checks whether the store can be written, without leaving anything in it.
//!
//! A full disk or a read-only store shows only when something is written, and hosts that meet it cannot record it in
//! the store. So `host check` and `host status` call this. It must never leave a row, or hold SQLite's write lock.

use std::io::{ErrorKind, Write as _};
use std::path::Path;

use super::sql::TryWrite;
use super::{Store, StoreError, failed};
use crate::database::Locator;

/// How much must be free next to an SQLite file; with less the disk counts as full.
const FREE_BYTES: usize = 1 << 20;

impl Store {
    /// Why the store cannot be written by this process; `None` when it can.
    pub async fn write_trouble(&self) -> Option<String> {
        if let Locator::Sqlite(path) = self.database.locator() {
            let path = path.clone();
            let checked = tokio::task::spawn_blocking(move || file_trouble(&path)).await;
            return checked.unwrap_or_else(|_| Some("the check of its file failed".to_owned()));
        }
        self.write_and_undo().await.unwrap_or_else(|error| Some(error.to_string()))
    }

    async fn write_and_undo(&self) -> Result<Option<String>, StoreError> {
        let operation = "try to write the store";
        let mut transaction = self.begin(operation).await?;
        // Some servers report the reason beforehand.
        let obstacle = transaction.inner.write_obstacle().await.map_err(|error| failed(operation, error))?;
        if let Some(obstacle) = obstacle {
            return Ok(Some(obstacle.to_owned()));
        }
        let id = format!("check-{}", uuid::Uuid::now_v7().simple());
        transaction.run(TryWrite { id: &id }).await?;
        transaction.rollback().await?;
        Ok(None)
    }
}

/// SQLite writes the file and two more next to it: the file must be writable, and the folder must take another one.
fn file_trouble(path: &Path) -> Option<String> {
    if let Err(error) = std::fs::OpenOptions::new().append(true).open(path) {
        return Some(format!("{} cannot be written: {}", path.display(), reason(&error)));
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    match fill(&folder.join(format!(".host-space-{}", std::process::id())), FREE_BYTES) {
        Ok(()) => None,
        Err(error) if matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded) => {
            Some(format!("the disk is full: less than {} KiB are free in {}", FREE_BYTES >> 10, folder.display()))
        }
        Err(error) => Some(format!("{} cannot be written: {}", folder.display(), reason(&error))),
    }
}

/// Writes so many bytes into a new file and removes it.
fn fill(probe: &Path, bytes: usize) -> std::io::Result<()> {
    let written = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .open(probe)
        .and_then(|mut file| file.write_all(&vec![0; bytes]).and_then(|()| file.flush()));
    let removed = std::fs::remove_file(probe);
    written.and(removed)
}

fn reason(error: &std::io::Error) -> String {
    match error.kind() {
        ErrorKind::ReadOnlyFilesystem => "its file system is read-only".to_owned(),
        ErrorKind::PermissionDenied => "permission denied".to_owned(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_writable_file_is_healthy_and_left_unchanged() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("host.db");
        std::fs::write(&file, b"x").unwrap();
        assert_eq!(file_trouble(&file), None);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        assert_eq!(std::fs::read(&file).unwrap(), b"x");
    }

    #[test]
    fn a_missing_file_or_a_directory_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("none").join("host.db");
        let trouble = file_trouble(&missing).unwrap();
        assert!(trouble.contains("host.db cannot be written"), "{trouble}");
        assert!(file_trouble(folder.path()).is_some());
    }

    /// `/dev/full` is a disk that is full.
    #[cfg(target_os = "linux")]
    #[test]
    fn a_full_disk_is_recognised_by_its_error() {
        let error = std::fs::OpenOptions::new().append(true).open("/dev/full").unwrap().write_all(b"x").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::StorageFull);
    }
}
