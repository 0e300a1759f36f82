//! Owns a private Prometheus, Debian's `prometheus`, which scrapes hosts of a test, and `promtool`, which checks what
//! Prometheus is given.

use std::{
    fs,
    io::{Read as _, Write as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, bail};
use tempfile::TempDir;

use super::{
    process::{Launch, Process, StopSignal, connect, free_port},
    provision::{Need, find_program, provide},
};

/// A private Prometheus, gone when dropped.
pub struct Prometheus {
    // Dropped in this order: the process before its files.
    _process: Process,
    _directory: TempDir,
    port: u16,
}

impl Prometheus {
    /// What it needs of the system.
    pub const NEED: Need = Need {
        name: "Prometheus",
        packages: &["prometheus"],
        advice: "install Prometheus with promtool on the PATH (Debian, Ubuntu: apt-get install prometheus; \
                 macOS: brew install prometheus)",
        is_met: || ["prometheus", "promtool"].iter().all(|name| find_program(name, &[]).is_some()),
    };

    /// Starts one that scrapes these ports of loopback every second, and judges the rules of this file as often. `more`
    /// is the rest of its configuration.
    ///
    /// # Errors
    /// When it is missing and cannot be installed, or does not come up; with the end of its log.
    pub fn start(scraped: &[u16], rules: &Path, more: &str) -> Result<Self> {
        provide(&[Self::NEED])?;
        let program = find_program("prometheus", &[]).context("find Prometheus after providing it")?;
        let directory = tempfile::Builder::new().prefix("neuronova-prometheus-").tempdir()?;
        let port = free_port()?;
        let targets: Vec<_> = scraped.iter().map(|port| format!("\"127.0.0.1:{port}\"")).collect();
        let settings = format!(
            "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\nrule_files: [{:?}]\nscrape_configs:\n\
             - job_name: neuronova\n  static_configs: [{{targets: [{}]}}]\n{more}",
            rules.display(),
            targets.join(", ")
        );
        fs::write(directory.path().join("prometheus.yml"), settings)?;
        let launch = Launch {
            name: Self::NEED.name,
            program,
            arguments: vec![
                "--config.file=prometheus.yml".into(),
                "--storage.tsdb.path=data".into(),
                "--log.level=warn".into(),
                // What still fires is sent again: the first time is lost where no receiver was known yet.
                "--rules.alert.resend-delay=1s".into(),
                format!("--web.listen-address=127.0.0.1:{port}").into(),
            ],
            directory: directory.path().to_path_buf(),
            log: directory.path().join("log"),
            run_as: None,
            stop_signal: StopSignal::Terminate,
        };
        let process = Process::start(launch, move || is_ready(port))?;
        Ok(Self { _process: process, _directory: directory, port })
    }

    /// Its address, as `http://127.0.0.1:PORT`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

/// Runs `promtool` in this folder with this text on its standard input. Returns what it printed.
///
/// # Errors
/// When it is missing and cannot be installed, or finds a fault; with what it printed.
pub fn promtool(folder: &Path, arguments: &[&str], input: &str) -> Result<String> {
    provide(&[Prometheus::NEED])?;
    let program: PathBuf = find_program("promtool", &[]).context("find promtool after providing it")?;
    let mut child = Command::new(program)
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("run promtool")?;
    child.stdin.take().context("write to promtool")?.write_all(input.as_bytes())?;
    let output = child.wait_with_output()?;
    let printed = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    if !output.status.success() {
        bail!("promtool {} failed ({}):\n{printed}", arguments.join(" "), output.status);
    }
    Ok(printed)
}

/// Whether a program of Prometheus' family answers at this port that it is ready.
pub(super) fn is_ready(port: u16) -> bool {
    let mut answer = [0; 12];
    connect(port).is_ok_and(|mut stream| {
        stream.write_all(b"GET /-/ready HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n").is_ok()
            && stream.read_exact(&mut answer).is_ok()
    }) && answer.ends_with(b" 200")
}
