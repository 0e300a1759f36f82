//! Owns a private MariaDB server: a data folder of its own, root without a password, loopback only, durable commits.

use std::{
    fs,
    io::Read as _,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};
use tempfile::TempDir;

use super::{
    process::{Launch, Process, RunAs, StopSignal, connect, free_port, is_root, run_to_end},
    provision::{Need, find_program, provide, version_of, versioned_folders},
};

/// A private MariaDB server, gone when dropped.
pub struct MariaDb {
    // Dropped in this order: the process before its files.
    process: Process,
    _directory: TempDir,
    port: u16,
    version: String,
}

struct Programs {
    server: PathBuf,
    install: PathBuf,
}

impl MariaDb {
    /// What it needs of the system.
    pub const NEED: Need = Need {
        name: "MariaDB",
        packages: &["mariadb-server"],
        advice: "install MariaDB Server 10.6 or newer with `mariadbd` and `mariadb-install-db` on the PATH \
                 (Debian, Ubuntu: apt-get install mariadb-server; Fedora: dnf install mariadb-server; \
                 macOS: brew install mariadb; Windows: the MSI from mariadb.org)",
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
        let directory = tempfile::Builder::new().prefix("neuronova-mariadb-").tempdir()?;
        make_data(directory.path(), None)?;
        let port = free_port()?;
        let mut launch = launch(directory.path(), port, None)?;
        if let Some((certificate, key)) = tls {
            for (option, name, text) in [("ssl-cert", "server.crt", certificate), ("ssl-key", "server.key", key)] {
                let file = directory.path().join(name);
                fs::write(&file, text)?;
                launch.arguments.push(format!("--{option}={}", file.display()).into());
            }
        }
        let process = Process::start(launch, move || greets(port))?;
        let version = version_of(&find_programs()?.server)?;
        Ok(Self { process, _directory: directory, port, version })
    }

    /// Its address without a database: `mysql://root@127.0.0.1:PORT`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("mysql://root@127.0.0.1:{}", self.port)
    }

    /// Its port on 127.0.0.1, the same after [`Self::start_again`].
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its version, as `10.11.19`.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Its process, while it runs.
    #[must_use]
    pub fn process_id(&self) -> Option<u32> {
        self.process.id()
    }

    /// Ends it at once.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Ends it in order.
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

/// Makes an empty data folder in `directory`, as another user where one is given.
pub(super) fn make_data(directory: &Path, user: Option<RunAs>) -> Result<()> {
    let data = directory.join("data");
    let mut install = Command::new(find_programs()?.install);
    if !cfg!(windows) {
        install.args(["--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db"]);
        install.args((is_root() && user.is_none()).then_some("--user=root"));
    }
    // A folder of its own for temporary files: a server that starts clears away what it takes for leftovers of an
    // earlier one.
    install.arg(format!("--tmpdir={}", directory.display()));
    install.arg(format!("--datadir={}", data.display())).current_dir(directory);
    run_to_end(&mut install, user).context("make the data folder of MariaDB")
}

/// How a server over the data in `directory` is started.
pub(super) fn launch(directory: &Path, port: u16, user: Option<RunAs>) -> Result<Launch> {
    let mut arguments = vec![
        "--no-defaults".to_owned(),
        format!("--datadir={}", directory.join("data").display()),
        format!("--tmpdir={}", directory.display()),
        format!("--port={port}"),
        format!("--socket={}", directory.join("socket").display()),
        format!("--pid-file={}", directory.join("pid").display()),
    ];
    arguments.extend((is_root() && user.is_none()).then(|| "--user=root".to_owned()));
    arguments.extend(
        [
            "--bind-address=127.0.0.1",
            "--skip-name-resolve",
            "--max-connections=400",
            "--character-set-server=utf8mb4",
            "--collation-server=utf8mb4_general_ci",
            "--innodb-flush-log-at-trx-commit=1",
            "--innodb-buffer-pool-size=128M",
            "--innodb-log-file-size=64M",
            "--performance-schema=OFF",
        ]
        .map(str::to_owned),
    );
    Ok(Launch {
        name: MariaDb::NEED.name,
        program: find_programs()?.server,
        arguments: arguments.into_iter().map(Into::into).collect(),
        directory: directory.to_path_buf(),
        log: directory.join("log"),
        run_as: user,
        stop_signal: StopSignal::Terminate,
    })
}

fn find_programs() -> Result<Programs> {
    programs().context("find MariaDB after providing it")
}

fn programs() -> Option<Programs> {
    let mut folders = versioned_folders(&PathBuf::from(r"C:\Program Files"), "bin");
    folders.retain(|folder| folder.to_string_lossy().contains("MariaDB"));
    Some(Programs {
        server: find_program("mariadbd", &folders)?,
        install: find_program("mariadb-install-db", &folders)?,
    })
}

/// MariaDB speaks first: protocol version 10 in the fifth byte shows that it takes sessions.
fn greets(port: u16) -> bool {
    let mut greeting = [0; 5];
    connect(port).is_ok_and(|mut stream| stream.read_exact(&mut greeting).is_ok()) && greeting[4] == 10
}
