//! Owns a private Alertmanager, Debian's `prometheus-alertmanager`, to which the Prometheus of a test sends its alerts.
//! It sends no messages and looks for no other Alertmanager.

use std::{fs, path::PathBuf};

use anyhow::{Context as _, Result};
use tempfile::TempDir;

use super::{
    process::{Launch, Process, StopSignal, free_port},
    prometheus::is_ready,
    provision::{Need, find_program, provide},
};

/// One receiver without a channel: no message leaves it.
const SETTINGS: &str = "route: {receiver: none}\nreceivers: [{name: none}]\n";

/// A private Alertmanager, gone when dropped.
pub struct Alertmanager {
    // Dropped in this order: the process before its files.
    _process: Process,
    _directory: TempDir,
    port: u16,
}

impl Alertmanager {
    /// What it needs of the system.
    pub const NEED: Need = Need {
        name: "Alertmanager",
        packages: &["prometheus-alertmanager"],
        advice: "install Alertmanager on the PATH (Debian, Ubuntu: apt-get install prometheus-alertmanager; \
                 elsewhere: github.com/prometheus/alertmanager)",
        is_met: || program().is_some(),
    };

    /// Starts one that nothing but loopback reaches.
    ///
    /// # Errors
    /// When it is missing and cannot be installed, or does not come up; with the end of its log.
    pub fn start() -> Result<Self> {
        provide(&[Self::NEED])?;
        let program = program().context("find Alertmanager after providing it")?;
        let directory = tempfile::Builder::new().prefix("neuronova-alertmanager-").tempdir()?;
        let port = free_port()?;
        fs::write(directory.path().join("alertmanager.yml"), SETTINGS)?;
        let launch = Launch {
            name: Self::NEED.name,
            program,
            arguments: vec![
                "--config.file=alertmanager.yml".into(),
                "--storage.path=data".into(),
                "--log.level=warn".into(),
                format!("--web.listen-address=127.0.0.1:{port}").into(),
                // Without a cluster: by default it listens on every address for others.
                "--cluster.listen-address=".into(),
            ],
            directory: directory.path().to_path_buf(),
            log: directory.path().join("log"),
            run_as: None,
            stop_signal: StopSignal::Terminate,
        };
        let process = Process::start(launch, move || is_ready(port))?;
        Ok(Self { _process: process, _directory: directory, port })
    }

    /// The port of loopback on which it takes alerts.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }
}

/// Debian's name, or that of the project.
fn program() -> Option<PathBuf> {
    ["prometheus-alertmanager", "alertmanager"].iter().find_map(|name| find_program(name, &[]))
}
