//! Owns a private FHIR server: `sekmet-fhir`, a real R4 server, in a Python environment under `target/fhir-server/`.
//!
//! The environment is made once and shared; every server has its own port and its own folder with its data. It stands in
//! for no other FHIR server: what differs between servers is tested elsewhere.

use std::{
    fs::{self, File},
    io::{Read as _, Write as _},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};
use tempfile::TempDir;

use super::{
    process::{Launch, Process, StopSignal, connect, free_port, run_to_end},
    provision::{Need, find_program, provide},
};
use crate::environment::target_directory;

/// The package and version that is installed, by which the environment is also named when complete.
const PACKAGE: &str = "sekmet-fhir";
const VERSION: &str = "0.1.1";

/// A private FHIR server, gone when dropped.
pub struct FhirServer {
    // Dropped in this order: the process before its files.
    process: Process,
    directory: Option<TempDir>,
    port: u16,
}

impl FhirServer {
    /// What it needs of the system.
    pub const NEED: Need = Need {
        name: "FHIR server",
        packages: &["python3", "python3-venv"],
        advice: "install Python 3.11 or newer with its venv module on the PATH, and let pip reach a package index \
                 (Debian, Ubuntu: apt-get install python3-venv; macOS: brew install python; \
                 Windows: winget install Python.Python.3.12)",
        is_met: || is_complete() || python().is_some(),
    };

    /// Makes the Python environment, where it is not there yet. The first time takes about a minute.
    ///
    /// # Errors
    /// When Python is missing and cannot be installed, or `pip` fails; with what it printed.
    pub fn provision() -> Result<()> {
        provide(&[Self::NEED])?;
        if is_complete() {
            return Ok(());
        }
        let folder = environment_folder();
        fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
        // Two tests that start together must not both install into it.
        let lock = File::create(folder.join("lock"))?;
        lock.lock().context("wait for another installation of the FHIR server")?;
        if is_complete() {
            return Ok(());
        }
        let python = python().context("find Python after providing it")?;
        let environment = folder.join("environment");
        eprintln!("installing {PACKAGE} {VERSION} into {}", environment.display());
        run_to_end(Command::new(python).args(["-m", "venv", "--clear"]).arg(&environment), None)
            .context("make a Python environment for the FHIR server")?;
        run_to_end(
            Command::new(script("python"))
                .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"])
                .arg(format!("{PACKAGE}=={VERSION}")),
            None,
        )
        .context("install the FHIR server")?;
        fs::write(marker(), installed())?;
        Ok(())
    }

    /// Starts an empty server on a free port.
    ///
    /// # Errors
    /// As [`Self::provision`], and when it does not come up; with the end of its log.
    pub fn start() -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("neuronova-fhir-").tempdir()?;
        let mut server = Self::start_in(directory.path(), free_port()?)?;
        server.directory = Some(directory);
        Ok(server)
    }

    /// Starts a server over the data in `directory`, which stays when it ends.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_in(directory: &Path, port: u16) -> Result<Self> {
        Self::provision()?;
        let settings = directory.join("settings.yaml");
        // Its own defaults would listen on every address and invent patients.
        let text = format!(
            "base_url: http://127.0.0.1:{port}\nhost: 127.0.0.1\nport: {port}\n\
             simulator: {{enabled: false}}\nvalidation: {{inbound: strict}}\n"
        );
        fs::write(&settings, text).with_context(|| format!("write {}", settings.display()))?;
        let launch = Launch {
            name: Self::NEED.name,
            program: script("sekmet"),
            arguments: ["serve", "-c", "settings.yaml", "--host", "127.0.0.1", "--port", &port.to_string()]
                .map(Into::into)
                .to_vec(),
            directory: directory.to_path_buf(),
            log: directory.join("log"),
            run_as: None,
            stop_signal: StopSignal::Terminate,
        };
        let process = Process::start(launch, move || serves_metadata(port))?;
        Ok(Self { process, directory: None, port })
    }

    /// Its base address: `http://127.0.0.1:PORT/fhir`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/fhir", self.port)
    }

    /// Its port on 127.0.0.1, the same after [`Self::start_again`].
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What it is, as `sekmet-fhir 0.1.1`.
    #[must_use]
    pub fn version(&self) -> String {
        format!("{PACKAGE} {VERSION}")
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

/// What the marker says of a complete environment: which version, and where. An environment knows its own path, so that one
/// that was moved with its folder is made anew.
fn installed() -> String {
    format!("{VERSION} in {}", environment_folder().display())
}

fn environment_folder() -> PathBuf {
    target_directory().join("fhir-server")
}

fn script(name: &str) -> PathBuf {
    let (folder, suffix) = if cfg!(windows) { ("Scripts", ".exe") } else { ("bin", "") };
    environment_folder().join("environment").join(folder).join(format!("{name}{suffix}"))
}

fn marker() -> PathBuf {
    environment_folder().join("installed")
}

/// The marker is written last, so that an installation cut short is made anew.
fn is_complete() -> bool {
    fs::read_to_string(marker()).is_ok_and(|text| text == installed()) && script("sekmet").is_file()
}

/// A Python that can make environments. On Windows `python3` is often a shop window of the store: it must run.
fn python() -> Option<PathBuf> {
    ["python3", "python", "py"].into_iter().filter_map(|name| find_program(name, &[])).find(|program| {
        let mut command = Command::new(program);
        command.args(["-c", "import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))"]);
        run_to_end(&mut command, None).is_ok()
    })
}

fn serves_metadata(port: u16) -> bool {
    let mut answer = [0; 12];
    connect(port).is_ok_and(|mut stream| {
        stream.write_all(b"GET /fhir/metadata HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n").is_ok()
            && stream.read_exact(&mut answer).is_ok()
    }) && answer.ends_with(b" 200")
}
