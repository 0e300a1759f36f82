//! Owns a private PostgreSQL server: a data folder of its own, `postgres` without a password, loopback only.
//!
//! PostgreSQL refuses to run as root: there it runs as the system's user `postgres`, who owns the data folder.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result};
use tempfile::TempDir;

use super::{
    process::{Launch, Process, RunAs, StopSignal, free_port, give_to, run_to_end, unprivileged_user},
    provision::{Need, find_programs, provide, version_of, versioned_folders},
};

/// A private PostgreSQL server, gone when dropped.
pub struct Postgres {
    // Dropped in this order: the process before its files.
    process: Process,
    _directory: TempDir,
    port: u16,
    version: String,
}

struct Programs {
    server: PathBuf,
    initialize: PathBuf,
    is_ready: PathBuf,
}

impl Postgres {
    /// What it needs of the system.
    pub const NEED: Need = Need {
        name: "PostgreSQL",
        packages: &["postgresql"],
        advice: "install PostgreSQL 14 or newer with `postgres`, `initdb` and `pg_isready` on the PATH \
                 (Debian, Ubuntu: apt-get install postgresql; Fedora: dnf install postgresql-server; \
                 macOS: brew install postgresql@16; Windows: the installer from postgresql.org)",
        is_met: || programs().is_some(),
    };

    /// Makes a data folder and starts a server over it.
    ///
    /// # Errors
    /// When its programs are missing and cannot be installed, or it does not come up; with the end of its log.
    pub fn start() -> Result<Self> {
        Self::start_with(None)
    }

    /// As [`Self::start`], with TLS by this certificate and its key (PEM).
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_with_tls(certificate: &str, key: &str) -> Result<Self> {
        Self::start_with(Some((certificate, key)))
    }

    fn start_with(tls: Option<(&str, &str)>) -> Result<Self> {
        provide(&[Self::NEED])?;
        let programs = programs().context("find PostgreSQL after providing it")?;
        let user = unprivileged_user("postgres");
        let directory = tempfile::Builder::new().prefix("neuronova-postgres-").tempdir()?;
        give_to(directory.path(), user)?;
        let data = directory.path().join("data");
        let mut initialize = Command::new(&programs.initialize);
        initialize
            .args(["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync", "--pgdata"])
            .arg(&data)
            .current_dir(directory.path());
        run_to_end(&mut initialize, user).context("make the data folder of PostgreSQL")?;

        let port = free_port()?;
        let mut arguments = vec!["-D".into(), data.into_os_string(), "-p".into(), port.to_string().into()];
        for setting in [
            "listen_addresses=127.0.0.1",
            "unix_socket_directories=",
            "max_connections=300",
            "shared_buffers=128MB",
            "timezone=UTC",
        ] {
            arguments.extend(["-c".into(), setting.into()]);
        }
        if let Some((certificate, key)) = tls {
            arguments.extend(["-c".into(), "ssl=on".into()]);
            for (setting, name, text) in [("ssl_cert_file", "tls.crt", certificate), ("ssl_key_file", "tls.key", key)] {
                let file = directory.path().join(name);
                write_for(user, &file, text)?;
                arguments.extend(["-c".into(), format!("{setting}={}", file.display()).into()]);
            }
        }
        let launch = Launch {
            name: Self::NEED.name,
            program: programs.server.clone(),
            arguments,
            directory: directory.path().to_path_buf(),
            log: directory.path().join("log"),
            run_as: user,
            stop_signal: StopSignal::Interrupt,
        };
        let is_ready = programs.is_ready;
        let process = Process::start(launch, move || takes_sessions(&is_ready, port))?;
        Ok(Self { process, _directory: directory, port, version: version_of(&programs.server)? })
    }

    /// Its address without a database: `postgres://postgres@127.0.0.1:PORT`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}", self.port)
    }

    /// Its port on 127.0.0.1, the same after [`Self::start_again`].
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its version, as `15.20`.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Ends it at once; its sessions see that within a moment.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Ends it in order, ending its sessions.
    pub fn stop(&mut self) {
        self.process.stop();
    }

    /// Starts it again over the same data, on the same port.
    ///
    /// # Errors
    /// When it does not come up; with the end of its log.
    pub fn start_again(&mut self) -> Result<()> {
        self.process.start_again()
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // A killed postmaster leaves sessions and a shared memory segment behind; a stopped one leaves nothing.
        self.process.stop();
    }
}

/// Writes a file that no other user may read, as PostgreSQL wants its key.
fn write_for(user: Option<RunAs>, file: &Path, text: &str) -> Result<()> {
    fs::write(file, text)?;
    #[cfg(unix)]
    fs::set_permissions(file, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
    give_to(file, user)
}

fn programs() -> Option<Programs> {
    let mut folders = versioned_folders(Path::new("/usr/lib/postgresql"), "bin");
    folders.extend(versioned_folders(Path::new(r"C:\Program Files\PostgreSQL"), "bin"));
    // All three of one installation: what lies on the PATH may be a link to one of them, or a wrapper around several.
    find_programs("postgres", &folders).find_map(|found| {
        let server = found.canonicalize().ok()?;
        let sibling = |name: &str| {
            let program = server.with_file_name(format!("{name}{}", std::env::consts::EXE_SUFFIX));
            program.is_file().then_some(program)
        };
        let (initialize, is_ready) = (sibling("initdb")?, sibling("pg_isready")?);
        Some(Programs { server, initialize, is_ready })
    })
}

fn takes_sessions(is_ready: &Path, port: u16) -> bool {
    Command::new(is_ready)
        .args(["--quiet", "--host=127.0.0.1", "--port", &port.to_string()])
        .stdin(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}
