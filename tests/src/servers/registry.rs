//! Owns a private OCI registry: Debian's `docker-registry` (CNCF Distribution), its blobs in a folder that a test may
//! spoil.

use std::{
    fs,
    io::{Read as _, Write as _},
    path::PathBuf,
};

use anyhow::{Context as _, Result};
use tempfile::TempDir;

use super::{
    process::{Launch, Process, StopSignal, connect, free_port},
    provision::{Need, find_program, provide},
};

/// A private registry, gone when dropped.
pub struct Registry {
    // Dropped in this order: the process before its files.
    _process: Process,
    directory: TempDir,
    port: u16,
}

impl Registry {
    /// What it needs of the system.
    pub const NEED: Need = Need {
        name: "OCI registry",
        packages: &["docker-registry"],
        advice: "install the CNCF Distribution registry as `docker-registry` or `registry` on the PATH \
                 (Debian, Ubuntu: apt-get install docker-registry; elsewhere: github.com/distribution/distribution)",
        is_met: || program().is_some(),
    };

    /// Starts an empty registry that lets every client read and write.
    ///
    /// # Errors
    /// When it is missing and cannot be installed, or does not come up; with the end of its log.
    pub fn start() -> Result<Self> {
        Self::start_with("", "", &[])
    }

    /// Starts an empty registry for the user `releaser` with the password `letmein` alone.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_with_password() -> Result<Self> {
        Self::start_with("", "auth: {htpasswd: {realm: tests, path: users}}\n", &[("users", USERS)])
    }

    /// Starts an empty registry with more in its settings: inside of `http: {...}`, and below. `files` are written
    /// next to them.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_with(http: &str, more: &str, files: &[(&str, &str)]) -> Result<Self> {
        provide(&[Self::NEED])?;
        let program = program().context("find the registry after providing it")?;
        let directory = tempfile::Builder::new().prefix("neuronova-registry-").tempdir()?;
        let port = free_port()?;
        let root = directory.path().join("data");
        let settings = format!(
            "version: 0.1\nlog: {{level: warn}}\nstorage:\n  filesystem: {{rootdirectory: {:?}}}\n\
             http: {{addr: \"127.0.0.1:{port}\"{http}}}\n{more}",
            root.display()
        );
        fs::write(directory.path().join("settings.yml"), settings)?;
        for (name, text) in files {
            fs::write(directory.path().join(name), text)?;
        }
        let launch = Launch {
            name: Self::NEED.name,
            program,
            arguments: ["serve", "settings.yml"].map(Into::into).to_vec(),
            directory: directory.path().to_path_buf(),
            log: directory.path().join("log"),
            run_as: None,
            stop_signal: StopSignal::Terminate,
        };
        let process = Process::start(launch, move || answers(port))?;
        Ok(Self { _process: process, directory, port })
    }

    /// An address in it, as `oci://127.0.0.1:PORT/REPOSITORY`.
    #[must_use]
    pub fn address(&self, repository: &str) -> String {
        format!("oci://127.0.0.1:{}/{repository}", self.port)
    }

    /// The file in which it keeps the blob of this digest, `sha256:...`.
    #[must_use]
    pub fn blob(&self, digest: &str) -> PathBuf {
        let digits = digest.trim_start_matches("sha256:");
        let blobs = self.directory.path().join("data/docker/registry/v2/blobs/sha256");
        blobs.join(&digits[..2]).join(digits).join("data")
    }
}

/// The user `releaser` with the password `letmein`, as bcrypt writes it.
const USERS: &str = "releaser:$2y$05$abcdefghijklmnopqrstuuKwWV7ESJpzKzf9FQg57dBvMuv92X9HS\n";

fn program() -> Option<PathBuf> {
    ["docker-registry", "registry"].into_iter().find_map(|name| find_program(name, &[]))
}

/// 400 is its answer in the clear where it speaks TLS.
fn answers(port: u16) -> bool {
    let mut answer = [0; 12];
    connect(port).is_ok_and(|mut stream| {
        stream.write_all(b"GET /v2/ HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n").is_ok()
            && stream.read_exact(&mut answer).is_ok()
    }) && [" 200", " 401", " 400"].iter().any(|status| answer.ends_with(status.as_bytes()))
}
