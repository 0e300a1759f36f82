//! Remembers, by digest, which adapters crashed while they were loaded: a restarted host does not load them again.
//!
//! Beside the compiled adapters lie a file for each digest that is refused, with the reason, and a locked one for each
//! load under way. A file whose lock is free belongs to a process that ended during its load.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::domain::words::one_line;

/// An adapter is refused after this number of processes ended while they loaded it. A single one may have been killed
/// for another reason.
const DEATHS_MAX: usize = 5;
/// The maximum number of remembered digests; the oldest are removed first.
const REMEMBERED_MAX: usize = 64;
const REFUSED: &str = "refused";
const LOADING: &str = "loading";

/// The remembered crashes in one folder, for one engine.
pub(super) struct Crashes {
    directory: PathBuf,
    engine_digest: String,
}

impl Crashes {
    pub(super) fn new(directory: &Path, engine_digest: &str) -> Self {
        Self { directory: directory.to_owned(), engine_digest: engine_digest.to_owned() }
    }

    /// Why it must not be loaded, and what to do about that.
    pub(super) fn reason(&self, sha256: &str) -> Option<String> {
        let path = self.path(sha256, REFUSED);
        let reason = crate::files::read(&path, 4_096).ok()?;
        let reason = one_line(&String::from_utf8_lossy(&reason), 300);
        Some(format!("{reason}; it is not tried again: put another file in its place, or remove {}", path.display()))
    }

    /// Refuses it from now on.
    pub(super) fn remember(&self, sha256: &str, reason: &str) {
        if let Err(error) = fs::write(self.path(sha256, REFUSED), reason).and_then(|()| self.prune()) {
            tracing::warn!(directory = %self.directory.display(), %error, "cannot remember that an adapter crashed");
        }
    }

    /// Marks a load in progress, until the mark is dropped. Fails when too many processes ended during such a load.
    pub(super) fn begin(&self, sha256: &str) -> Result<Mark, String> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let dead = self.dead(sha256);
        if dead.len() >= DEATHS_MAX {
            let reason = format!("{} processes ended while they loaded it", dead.len());
            self.remember(sha256, &reason);
            remove(&dead);
            return Err(self.reason(sha256).unwrap_or(reason));
        }
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = self.path(sha256, &format!("{}-{number}.{LOADING}", std::process::id()));
        let file = File::create(&path).and_then(|mut file| {
            file.lock()?;
            file.write_all(b"an adapter is being loaded")?;
            Ok(file)
        });
        Ok(Mark { path, _file: file.ok(), dead })
    }

    /// Marks without a holder.
    fn dead(&self, sha256: &str) -> Vec<PathBuf> {
        let begins = format!("{sha256}-{}.", self.engine_digest);
        let is_dead = |path: &PathBuf| File::open(path).is_ok_and(|file| file.try_lock().is_ok());
        self.entries(LOADING)
            .into_iter()
            .filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&begins)))
            .filter(is_dead)
            .collect()
    }

    fn entries(&self, extension: &str) -> Vec<PathBuf> {
        let entries = fs::read_dir(&self.directory).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|is| is == extension)).collect()
    }

    fn prune(&self) -> std::io::Result<()> {
        let mut entries: Vec<_> = self
            .entries(REFUSED)
            .into_iter()
            .filter_map(|path| Some((fs::metadata(&path).ok()?.modified().ok()?, path)))
            .collect();
        entries.sort();
        let surplus = entries.len().saturating_sub(REMEMBERED_MAX);
        entries.iter().take(surplus).try_for_each(|(_, path)| fs::remove_file(path))
    }

    fn path(&self, sha256: &str, extension: &str) -> PathBuf {
        self.directory.join(format!("{sha256}-{}.{extension}", self.engine_digest))
    }
}

fn remove(marks: &[PathBuf]) {
    for path in marks {
        // Another process may have been quicker.
        drop(fs::remove_file(path));
    }
}

/// A load under way.
pub(super) struct Mark {
    path: PathBuf,
    _file: Option<File>,
    dead: Vec<PathBuf>,
}

impl Mark {
    /// The load finished, so that earlier deaths had other causes.
    pub(super) fn survived(self) {
        remove(&self.dead);
    }
}

impl Drop for Mark {
    fn drop(&mut self) {
        drop(fs::remove_file(&self.path));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crash_is_remembered_for_its_digest_and_engine() {
        let folder = tempfile::tempdir().unwrap();
        let crashes = Crashes::new(folder.path(), "e1");
        assert_eq!(crashes.reason("aa"), None);
        crashes.remember("aa", "compiling it crashes the compiler");
        assert!(crashes.reason("aa").unwrap().starts_with("compiling it crashes the compiler; it is not tried again"));
        assert_eq!(crashes.reason("bb"), None);
        assert_eq!(Crashes::new(folder.path(), "e2").reason("aa"), None, "another host may be able to");
    }

    #[test]
    fn processes_that_die_while_loading_are_counted_until_one_survives() {
        let folder = tempfile::tempdir().unwrap();
        let crashes = Crashes::new(folder.path(), "e");
        let die = |number: usize| fs::write(folder.path().join(format!("aa-e.9-{number}.loading")), "").unwrap();
        (1..DEATHS_MAX).for_each(die);
        let held = crashes.begin("aa").unwrap();
        let other = crashes.begin("aa").unwrap();
        drop(held);
        other.survived();
        assert_eq!(crashes.entries(LOADING), Vec::<PathBuf>::new());
        (0..DEATHS_MAX).for_each(die);
        assert!(crashes.begin("aa").err().unwrap().contains("5 processes ended while they loaded it"));
        assert!(crashes.reason("aa").is_some());
    }
}
