//! Owns Python environments under `target/`: made once for a set of pinned packages, shared by every test, made anew
//! when the set or the folder is another one.

use std::{
    fs::{self, File},
    path::PathBuf,
    process::Command,
};

use anyhow::{Context as _, Result};

use super::{process::run_to_end, provision::find_program};
use crate::environment::target_directory;

/// Debian's packages that bring Python.
pub(crate) const PACKAGES: &[&str] = &["python3", "python3-venv"];
/// What to install elsewhere.
pub(crate) const ADVICE: &str = "install Python 3.11 or newer with its venv module on the PATH, and let pip reach a package \
                                 index (Debian, Ubuntu: apt-get install python3-venv; macOS: brew install python; \
                                 Windows: winget install Python.Python.3.12)";

/// One environment.
#[derive(Debug, Clone, Copy)]
pub struct PythonEnvironment {
    /// Its folder under `target/`.
    pub folder: &'static str,
    /// Requirements as pip reads them, one a line, all pinned.
    pub requirements: &'static str,
}

impl PythonEnvironment {
    /// Makes it, where it is not there yet.
    ///
    /// # Errors
    /// When there is no Python that can make environments, or a package cannot be installed.
    pub fn provision(&self) -> Result<()> {
        if self.is_complete() {
            return Ok(());
        }
        let folder = self.path();
        fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
        // Two tests that start together must not both install into it.
        let lock = File::create(folder.join("lock"))?;
        lock.lock().with_context(|| format!("wait for another installation into {}", folder.display()))?;
        if self.is_complete() {
            return Ok(());
        }
        let python = python().context("find Python after providing it")?;
        let environment = folder.join("environment");
        let requirements = folder.join("requirements.txt");
        fs::write(&requirements, self.requirements)?;
        eprintln!("installing {}", environment.display());
        run_to_end(Command::new(python).args(["-m", "venv", "--clear"]).arg(&environment), None)
            .with_context(|| format!("make the Python environment {}", environment.display()))?;
        run_to_end(
            Command::new(self.program("python"))
                .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"])
                .arg(&requirements),
            None,
        )
        .with_context(|| format!("install {}", requirements.display()))?;
        // Last, so that an installation cut short is made anew.
        fs::write(folder.join("installed"), self.installed())?;
        Ok(())
    }

    /// Whether nothing has to be installed.
    pub(crate) fn is_complete(&self) -> bool {
        let marker = fs::read_to_string(self.path().join("installed"));
        marker.is_ok_and(|text| text == self.installed()) && self.program("python").is_file()
    }

    /// A program of it.
    #[must_use]
    pub fn program(&self, name: &str) -> PathBuf {
        let (folder, suffix) = if cfg!(windows) { ("Scripts", ".exe") } else { ("bin", "") };
        self.path().join("environment").join(folder).join(format!("{name}{suffix}"))
    }

    fn path(&self) -> PathBuf {
        target_directory().join(self.folder)
    }

    /// What the marker of a complete one has: what is in it, and where, since an environment knows its own path.
    fn installed(&self) -> String {
        format!("{}\nin {}", self.requirements, self.path().display())
    }
}

/// A Python that can make environments. On Windows `python3` is often a shop window of the store: it must run.
pub(crate) fn python() -> Option<PathBuf> {
    ["python3", "python", "py"].into_iter().filter_map(|name| find_program(name, &[])).find(|program| {
        let mut command = Command::new(program);
        command.args(["-c", "import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))"]);
        run_to_end(&mut command, None).is_ok()
    })
}
