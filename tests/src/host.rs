//! Owns the host as a process: a folder with a `host.toml`, commands run in it, and daemons that a test may stop,
//! freeze or kill. It sees what a user sees: exit code, output, files.
//!
//! Read next: `environment.rs` for where the binary and the adapters are found (`adapter("openemr")`).

mod log_reader;

use std::{
    ffi::OsStr,
    fmt::Write as _,
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use tempfile::TempDir;

pub use log_reader::LogReader;

use crate::environment::host_binary;

/// Begins the text of a host that listens nowhere.
const UNSEEN: &str = "observability = { enabled = false }\n";

/// The text of a `host.toml`, built target by target.
#[derive(Debug, Clone)]
pub struct Configuration {
    text: String,
}

impl Configuration {
    /// A configuration with this store and no target.
    #[must_use]
    pub fn new(store_url: &str) -> Self {
        // Hosts of many tests run at the same time, and one alone could have the usual port.
        Self { text: format!("{UNSEEN}[store]\nurl = {}\n", quoted(store_url)) }
    }

    /// Lets the host show metrics, health and status at this port of loopback.
    #[must_use]
    pub fn listening(self, port: u16) -> Self {
        Self { text: listening(&self.text, port) }
    }

    /// Adds the target `openemr` with this adapter at this database, writing its id back to the patient.
    #[must_use]
    pub fn openemr(self, adapter: &Path, database_url: &str) -> Self {
        self.more(&format!(
            "\n[targets.openemr]\nadapter = {}\nid_column = \"openemr_patient_id\"\n\
             [targets.openemr.database]\nurl = {}\nallow = {{ preset = \"openemr\" }}\n",
            quoted(&adapter.to_string_lossy()),
            quoted(database_url)
        ))
    }

    /// Adds the target `fhir` with this adapter at this base address, which may be on loopback.
    #[must_use]
    pub fn fhir(self, adapter: &Path, base_url: &str) -> Self {
        self.more(&format!(
            "\n[targets.fhir]\nadapter = {}\n[targets.fhir.http]\nbase_url = {}\nallow_private = true\n",
            quoted(&adapter.to_string_lossy()),
            quoted(base_url)
        ))
    }

    /// Lets a target that was added before take these types of aggregates, and not patients alone.
    ///
    /// # Panics
    /// When there is no such target.
    #[must_use]
    pub fn taking(self, target: &str, types: &[&str]) -> Self {
        let header = format!("[targets.{target}]\n");
        assert!(self.text.contains(&header), "no target {target}");
        let types: Vec<_> = types.iter().map(|kind| quoted(kind)).collect();
        Self { text: self.text.replace(&header, &format!("{header}aggregate_types = [{}]\n", types.join(", "))) }
    }

    /// Adds text as it is; tables of a target that was added last may go on here.
    #[must_use]
    pub fn more(mut self, text: &str) -> Self {
        self.text.push_str(text);
        self
    }

    /// The text so far.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }
}

/// The text of a `host.toml` that a [`Configuration`] made, with the port that it listens at.
#[must_use]
pub fn listening(text: &str, port: u16) -> String {
    text.replace(UNSEEN, &format!("observability = {{ listen = \"127.0.0.1:{port}\" }}\n"))
}

/// A text as TOML writes it. Every escape of JSON is also valid in TOML.
#[must_use]
pub fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// A host with a folder of its own.
#[derive(Debug)]
pub struct Host {
    directory: Directory,
    binary: PathBuf,
    environment: Vec<(String, String)>,
}

#[derive(Debug)]
enum Directory {
    Temporary(TempDir),
    Kept(PathBuf),
}

/// What a command of the host ended with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// The exit code; none when a signal ended it.
    pub status: Option<i32>,
    /// What it printed for the caller.
    pub stdout: String,
    /// What it printed for the operator: errors and logs.
    pub stderr: String,
}

impl Output {
    /// Itself, when the exit code is 0.
    ///
    /// # Panics
    /// When it is not; with everything that was printed.
    #[must_use]
    pub fn expect_success(self) -> Self {
        assert_eq!(self.status, Some(0), "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }

    /// Its standard output read as JSON.
    ///
    /// # Panics
    /// When it is not JSON.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("no JSON ({error}):\n{}", self.stdout))
    }
}

impl Host {
    /// A host in a folder that goes with it.
    ///
    /// # Errors
    /// When the folder cannot be made.
    ///
    /// # Panics
    /// When the host was not built.
    pub fn new(configuration: &Configuration) -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("neuronova-host-").tempdir()?;
        let host = Self { directory: Directory::Temporary(directory), binary: host_binary(), environment: Vec::new() };
        host.configure(configuration)?;
        Ok(host)
    }

    /// A host in a folder that stays, with the binary given.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn in_folder(folder: &Path, binary: PathBuf, configuration: &Configuration) -> Result<Self> {
        fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
        let host = Self { directory: Directory::Kept(folder.to_path_buf()), binary, environment: Vec::new() };
        host.configure(configuration)?;
        Ok(host)
    }

    /// Writes its `host.toml` anew.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn configure(&self, configuration: &Configuration) -> Result<()> {
        let file = self.folder().join("host.toml");
        fs::write(&file, configuration.text()).with_context(|| format!("write {}", file.display()))
    }

    /// Sets a variable for every command from now on.
    #[must_use]
    pub fn with_variable(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Its folder, where `host.toml` lies and commands run.
    #[must_use]
    pub fn folder(&self) -> &Path {
        match &self.directory {
            Directory::Temporary(directory) => directory.path(),
            Directory::Kept(folder) => folder,
        }
    }

    /// The command with its folder and environment set, for callers that want its output elsewhere.
    #[must_use]
    pub fn command<Argument: AsRef<OsStr>>(&self, arguments: &[Argument]) -> Command {
        let mut command = Command::new(&self.binary);
        command
            .args(arguments)
            .current_dir(self.folder())
            .stdin(Stdio::null())
            // Whoever runs the tests may have set these for a host of their own.
            .env_remove("RUST_LOG")
            .env("NO_COLOR", "1")
            .envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Runs one command to its end.
    ///
    /// # Panics
    /// When the binary cannot be run.
    #[must_use]
    pub fn run<Argument: AsRef<OsStr>>(&self, arguments: &[Argument]) -> Output {
        let output = self.command(arguments).output().expect("the host's binary runs");
        Output {
            status: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Runs `status --json` and reads it. A store that no command has made yet is made: `status` itself makes none.
    ///
    /// # Panics
    /// When it fails or prints no JSON.
    #[must_use]
    pub fn status(&self) -> serde_json::Value {
        let mut output = self.run(&["status", "--json"]);
        if output.status == Some(4) && output.stderr.contains("host migrate") {
            drop(self.run(&["migrate"]).expect_success());
            output = self.run(&["status", "--json"]);
        }
        output.expect_success().json()
    }

    /// Starts a command and leaves it running; its output goes to files in the host's folder.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn spawn<Argument: AsRef<OsStr>>(&self, arguments: &[Argument]) -> Result<RunningHost> {
        let output = tempfile::Builder::new().prefix("output-").tempdir_in(self.folder())?;
        let (stdout, stderr) = (output.path().join("stdout"), output.path().join("stderr"));
        let child = self
            .command(arguments)
            .stdout(File::create(&stdout)?)
            .stderr(File::create(&stderr)?)
            .spawn()
            .with_context(|| format!("start {}", self.binary.display()))?;
        Ok(RunningHost { child, _output: Some(output), stdout, stderr })
    }

    /// Starts a command and leaves it running; what it prints goes through a pipe, and is added to a file that stays
    /// until the pipe's reader is closed.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn spawn_through<Argument: AsRef<OsStr>>(
        &self,
        arguments: &[Argument],
        log: &Path,
    ) -> Result<(RunningHost, LogReader)> {
        let file = File::options().create(true).append(true).open(log)?;
        let mut child = self
            .command(arguments)
            .stdout(file.try_clone()?)
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("start {}", self.binary.display()))?;
        let pipe = child.stderr.take().context("take the pipe of the log")?;
        let reader = LogReader::start(pipe, file);
        Ok((RunningHost { child, _output: None, stdout: log.to_path_buf(), stderr: log.to_path_buf() }, reader))
    }
}

/// A host that runs. Dropping it kills it.
#[derive(Debug)]
pub struct RunningHost {
    child: Child,
    _output: Option<TempDir>,
    stdout: PathBuf,
    stderr: PathBuf,
}

/// The signals a host is tested with.
#[cfg(unix)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostSignal {
    /// SIGTERM: drain and end.
    Terminate,
    /// SIGINT: as Ctrl-C.
    Interrupt,
    /// SIGHUP: read the configuration and the adapters' files again.
    Hangup,
    /// SIGSTOP: freeze, as a machine that hangs.
    Freeze,
    /// SIGCONT: go on after a freeze.
    Thaw,
}

impl RunningHost {
    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Ends it at once and waits for that.
    pub fn kill(&mut self) {
        // Both fail only when it is already gone and waited for.
        let _gone = self.child.kill();
        let _waited = self.child.wait();
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// When it is already gone.
    #[cfg(unix)]
    pub fn signal(&self, signal: HostSignal) -> Result<()> {
        use rustix::process::{Pid, Signal, kill_process};
        let signal = match signal {
            HostSignal::Terminate => Signal::TERM,
            HostSignal::Interrupt => Signal::INT,
            HostSignal::Hangup => Signal::HUP,
            HostSignal::Freeze => Signal::STOP,
            HostSignal::Thaw => Signal::CONT,
        };
        kill_process(Pid::from_child(&self.child), signal).context("signal the host")
    }

    /// Whether it still runs.
    ///
    /// # Errors
    /// When the system cannot tell.
    pub fn is_running(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_none())
    }

    /// Its exit code once it has ended; none while it runs, and none when a signal ended it.
    ///
    /// # Errors
    /// When the system cannot tell.
    pub fn exit_code(&mut self) -> Result<Option<i32>> {
        Ok(self.child.try_wait()?.and_then(|status| status.code()))
    }

    /// Waits until it ends by itself.
    ///
    /// # Errors
    /// When it still runs after `limit`: it is killed then, and the error has what it printed.
    pub fn wait(mut self, limit: Duration) -> Result<Output> {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(Output { status: status.code(), stdout: self.stdout(), stderr: self.stderr() });
            }
            if Instant::now() >= deadline {
                self.kill();
                bail!("the host still ran after {limit:?}; {}", self.printed());
            }
            thread::sleep(POLL_EVERY);
        }
    }

    /// Waits until `condition` holds, asking again and again while the host runs.
    ///
    /// # Errors
    /// When the host ends before, or the condition does not hold within `limit`; with what the host printed.
    pub fn wait_until(&mut self, what: &str, limit: Duration, mut condition: impl FnMut() -> bool) -> Result<()> {
        let deadline = Instant::now() + limit;
        while !condition() {
            if !self.is_running()? {
                bail!("the host ended before {what}; {}", self.printed());
            }
            if Instant::now() >= deadline {
                bail!("waited {limit:?} for {what}; {}", self.printed());
            }
            thread::sleep(POLL_EVERY);
        }
        Ok(())
    }

    /// Waits until its log has these words.
    ///
    /// # Errors
    /// As [`Self::wait_until`].
    pub fn wait_for_log(&mut self, words: &str, limit: Duration) -> Result<()> {
        self.wait_for_log_times(words, 1, limit)
    }

    /// Waits until its log has these words so often.
    ///
    /// # Errors
    /// As [`Self::wait_until`].
    pub fn wait_for_log_times(&mut self, words: &str, times: usize, limit: Duration) -> Result<()> {
        let log = self.stderr.clone();
        let has = || read(&log).matches(words).count() >= times;
        self.wait_until(&format!("its log has `{words}`, {times} times"), limit, has)
    }

    /// What it has printed to standard output so far.
    #[must_use]
    pub fn stdout(&self) -> String {
        read(&self.stdout)
    }

    /// What it has printed to standard error so far.
    #[must_use]
    pub fn stderr(&self) -> String {
        read(&self.stderr)
    }

    fn printed(&self) -> String {
        let mut text = String::new();
        for (name, printed) in [("stdout", self.stdout()), ("stderr", self.stderr())] {
            // Writing to a String cannot fail.
            let _written = write!(text, "{name}:\n{printed}\n");
        }
        text
    }
}

impl Drop for RunningHost {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A process that is not ours has no other way to tell us than to be looked at.
const POLL_EVERY: Duration = Duration::from_millis(20);

fn read(file: &Path) -> String {
    fs::read(file)
        .map_or_else(|error| format!("(unreadable: {error})"), |bytes| String::from_utf8_lossy(&bytes).into_owned())
}
