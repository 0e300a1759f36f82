//! Owns a private mail server: Python's `aiosmtpd`, which keeps what it gets in a folder.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use tempfile::TempDir;

use super::{
    process::{Launch, Process, StopSignal, connect, free_port},
    provision::{Need, provide},
    python::{self, PythonEnvironment},
};

const ENVIRONMENT: PythonEnvironment = PythonEnvironment { folder: "mail-server", requirements: "aiosmtpd==1.4.6\n" };

/// What it does: STARTTLS is required, then a login; each mail becomes a file.
const PROGRAM: &str = include_str!("mail.py");

/// A private mail server, gone when dropped.
pub struct MailServer {
    // Dropped in this order: the process before its files.
    _process: Process,
    directory: TempDir,
    port: u16,
}

impl MailServer {
    /// What it needs of the system.
    pub const NEED: Need = Need {
        name: "aiosmtpd",
        packages: python::PACKAGES,
        advice: python::ADVICE,
        is_met: || ENVIRONMENT.is_complete() || python::python().is_some(),
    };

    /// Starts one with this certificate and key (PEM), which accepts one user with this password.
    ///
    /// # Errors
    /// When it is missing and cannot be installed, or does not come up; with the end of its log.
    pub fn start(certificate: &str, key: &str, user: &str, password: &str) -> Result<Self> {
        provide(&[Self::NEED])?;
        ENVIRONMENT.provision()?;
        let directory = tempfile::Builder::new().prefix("neuronova-mail-").tempdir()?;
        for (name, text) in [("server.py", PROGRAM), ("certificate.pem", certificate), ("key.pem", key)] {
            fs::write(directory.path().join(name), text)?;
        }
        fs::create_dir(directory.path().join("mails"))?;
        let port = free_port()?;
        let launch = Launch {
            name: Self::NEED.name,
            program: ENVIRONMENT.program("python"),
            arguments: ["server.py", &port.to_string(), user, password].map(Into::into).to_vec(),
            directory: directory.path().to_path_buf(),
            log: directory.path().join("log"),
            run_as: None,
            stop_signal: StopSignal::Terminate,
        };
        let process = Process::start(launch, move || connect(port).is_ok())?;
        Ok(Self { _process: process, directory, port })
    }

    /// Its port on loopback.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What it got so far, in the order of arrival, each as it came.
    ///
    /// # Errors
    /// When its folder cannot be read.
    pub fn mails(&self) -> Result<Vec<String>> {
        let mut files: Vec<_> = list(&self.directory.path().join("mails"))?;
        files.sort();
        let read = |file: &PathBuf| fs::read_to_string(file).with_context(|| format!("read {}", file.display()));
        files.iter().map(read).collect()
    }
}

fn list(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder)?.collect::<Result<Vec<_>, _>>()?;
    Ok(entries.into_iter().map(|entry| entry.path()).filter(|path| path.extension().is_some()).collect())
}
