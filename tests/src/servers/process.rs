//! Owns a server's process: start until ready, stop, kill, start again on the same port, and never outlive its owner.
//!
//! It does not know the server's protocol: the kinds next to this file define how to start one and when it is ready.
//! It never binds or probes anything but 127.0.0.1.

use std::{
    ffi::OsString,
    fs::{self, File},
    io::Read as _,
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{
        Arc, LazyLock,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, Result, bail};

/// How long a server may take from its start until it answers: one of Java needs minutes on a machine that builds
/// meanwhile.
const READY_WITHIN: Duration = Duration::from_mins(5);
/// How long an orderly stop may take before the process is killed.
const STOPPED_WITHIN: Duration = Duration::from_secs(30);
/// How often a foreign process is asked whether it is ready: it has no way to tell us.
const POLL_EVERY: Duration = Duration::from_millis(40);
/// Ports are taken below the range that systems hand to outgoing connections, so that a stopped server's port stays
/// free.
const PORTS: std::ops::Range<u16> = 20_000..32_000;

/// Set once an operator has asked this process to end.
static INTERRUPTED: LazyLock<Arc<AtomicBool>> = LazyLock::new(Arc::default);

/// The flag that makes every wait of this module end with an error, so that its caller unwinds and drops its servers.
///
/// The handler of Ctrl-C sets it: a process that the signal itself ends drops nothing.
#[must_use]
pub fn interrupted() -> Arc<AtomicBool> {
    Arc::clone(&INTERRUPTED)
}

/// Sets the flag.
pub fn interrupt() {
    INTERRUPTED.store(true, Ordering::Relaxed);
}

/// Whether the flag of [`interrupted`] is set.
#[must_use]
pub fn is_interrupted() -> bool {
    INTERRUPTED.load(Ordering::Relaxed)
}

/// Waits for a child; when this process is asked to end, asks the child as well and waits until it has.
///
/// # Errors
/// When the system cannot tell, or this process was interrupted.
pub fn wait_for(child: &mut Child) -> Result<ExitStatus> {
    loop {
        if let Some(status) = child.try_wait()? {
            if is_interrupted() {
                bail!("interrupted");
            }
            return Ok(status);
        }
        if is_interrupted() {
            end_in_order(child, StopSignal::Terminate);
            bail!("interrupted");
        }
        thread::sleep(POLL_EVERY);
    }
}

/// Waits until a signal asks this process to end.
pub fn wait_for_interrupt() {
    while !is_interrupted() {
        thread::sleep(POLL_EVERY);
    }
}

/// The signal that asks a server for an orderly stop. Off Unix every stop is a kill.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopSignal {
    /// SIGTERM.
    Terminate,
    /// SIGINT, which is PostgreSQL's "fast": it ends its sessions rather than waiting for them.
    Interrupt,
}

/// A user of the system that a server is started as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunAs {
    /// The numeric user id.
    pub user_id: u32,
    /// The numeric group id.
    pub group_id: u32,
}

/// How to start a server, again and again in the same way.
#[derive(Debug, Clone)]
pub struct Launch {
    /// The name for messages, as `MariaDB`.
    pub name: &'static str,
    /// The binary.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// The folder it is started in.
    pub directory: PathBuf,
    /// The file that gets what it prints; the end of it is part of the error when it does not come up.
    pub log: PathBuf,
    /// Another user to run as, for servers that refuse to run as root.
    pub run_as: Option<RunAs>,
    /// What an orderly stop sends.
    pub stop_signal: StopSignal,
}

type Probe = Box<dyn Fn() -> bool + Send + Sync>;

/// A running (or stopped) server process. Dropping it ends the process and waits for it.
pub struct Process {
    launch: Launch,
    ready: Probe,
    child: Option<Child>,
}

impl Process {
    /// Starts the server and waits until `ready` is true.
    ///
    /// # Errors
    /// When it cannot be started, ends by itself, or is not ready in two minutes; with the end of its log.
    pub fn start(launch: Launch, ready: impl Fn() -> bool + Send + Sync + 'static) -> Result<Self> {
        let mut process = Self { launch, ready: Box::new(ready), child: None };
        process.start_again()?;
        Ok(process)
    }

    /// Starts it again, with the same port and files. Does nothing while it runs.
    ///
    /// # Errors
    /// As [`Process::start`].
    pub fn start_again(&mut self) -> Result<()> {
        if self.child.is_some() {
            return Ok(());
        }
        let name = self.launch.name;
        let deadline = Instant::now() + READY_WITHIN;
        let mut attempts_left = 20;
        loop {
            let mut child =
                self.spawn().with_context(|| format!("start {name} ({})", self.launch.program.display()))?;
            // The probe alone would also be answered by a stranger on that port: the child must live, too.
            let exit = loop {
                if let Some(exit) = child.try_wait()? {
                    break exit;
                }
                if (self.ready)() && child.try_wait()?.is_none() {
                    self.child = Some(child);
                    return Ok(());
                }
                if is_interrupted() {
                    end(&mut child);
                    bail!("interrupted");
                }
                if Instant::now() >= deadline {
                    end(&mut child);
                    bail!("{name} was not ready after {READY_WITHIN:?}; its log ends:\n{}", tail(&self.launch.log));
                }
                thread::sleep(POLL_EVERY);
            };
            // After a kill, PostgreSQL's orphaned sessions hold the data folder for a moment.
            attempts_left -= 1;
            if attempts_left == 0 {
                bail!("{name} ended at its start ({exit}); its log ends:\n{}", tail(&self.launch.log));
            }
            thread::sleep(POLL_EVERY * 5);
        }
    }

    /// Whether it was started and not ended since, by us.
    #[must_use]
    pub fn is_started(&self) -> bool {
        self.child.is_some()
    }

    /// Its process, while it runs.
    #[must_use]
    pub fn id(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Its arguments from the next start on.
    pub fn set_arguments(&mut self, arguments: Vec<OsString>) {
        self.launch.arguments = arguments;
    }

    /// Ends it at once, as a power failure of the process would.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            end(&mut child);
        }
    }

    /// Ends it in order; kills it when that takes longer than half a minute.
    pub fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            end_in_order(&mut child, self.launch.stop_signal);
        }
    }

    fn spawn(&self) -> Result<Child> {
        let log = File::options().create(true).append(true).open(&self.launch.log)?;
        let mut command = Command::new(&self.launch.program);
        command
            .args(&self.launch.arguments)
            .current_dir(&self.launch.directory)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        run_as(&mut command, self.launch.run_as);
        Ok(command.spawn()?)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Runs a set-up command to its end.
///
/// # Errors
/// When it cannot be run or fails; with what it printed.
pub fn run_to_end(command: &mut Command, user: Option<RunAs>) -> Result<()> {
    run_as(command, user);
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("run {program}"))?;
    if !output.status.success() {
        let said = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
        bail!("{program} failed ({}):\n{}", output.status, String::from_utf8_lossy(&said));
    }
    Ok(())
}

/// A port of 127.0.0.1 that nothing listens on.
///
/// # Errors
/// When no port between 20000 and 32000 is free.
pub fn free_port() -> Result<u16> {
    let clock = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.subsec_nanos());
    let span = u32::from(PORTS.end - PORTS.start);
    // Processes and threads that start together begin their search at different places.
    let first = clock.wrapping_add(std::process::id().wrapping_mul(7919)) % span;
    (0..span)
        .filter_map(|step| u16::try_from((first + step) % span).ok())
        .map(|offset| PORTS.start + offset)
        .find(|port| is_free(*port))
        .with_context(|| format!("find a free port between {} and {}", PORTS.start, PORTS.end))
}

/// Whether nothing listens on this port of 127.0.0.1.
#[must_use]
pub fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

/// Opens a connection to a server here that answers within two seconds or not at all.
pub(crate) fn connect(port: u16) -> std::io::Result<TcpStream> {
    let limit = Duration::from_secs(2);
    let stream = TcpStream::connect_timeout(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)), limit)?;
    stream.set_read_timeout(Some(limit))?;
    stream.set_write_timeout(Some(limit))?;
    Ok(stream)
}

/// The user that a server which refuses to run as root is given, or `None` where we are not root.
#[must_use]
pub fn unprivileged_user(preferred: &str) -> Option<RunAs> {
    if !is_root() {
        return None;
    }
    let accounts = fs::read_to_string("/etc/passwd").ok()?;
    let find = |wanted: &str| {
        accounts.lines().find_map(|line| {
            let mut fields = line.split(':');
            if fields.next()? != wanted {
                return None;
            }
            let (_password, user, group) = (fields.next()?, fields.next()?, fields.next()?);
            Some(RunAs { user_id: user.parse().ok()?, group_id: group.parse().ok()? })
        })
    };
    find(preferred).or_else(|| find("nobody"))
}

/// Whether this process runs as root.
#[must_use]
pub fn is_root() -> bool {
    #[cfg(unix)]
    let answer = rustix::process::geteuid().is_root();
    #[cfg(not(unix))]
    let answer = false;
    answer
}

/// Hands a folder and what is in it to the user that a server runs as.
///
/// # Errors
/// When the system refuses.
pub fn give_to(folder: &Path, user: Option<RunAs>) -> Result<()> {
    #[cfg(unix)]
    if let Some(user) = user {
        std::os::unix::fs::chown(folder, Some(user.user_id), Some(user.group_id))
            .with_context(|| format!("hand {} to user {}", folder.display(), user.user_id))?;
    }
    #[cfg(not(unix))]
    let _ = (folder, user);
    Ok(())
}

fn run_as(command: &mut Command, user: Option<RunAs>) {
    #[cfg(unix)]
    if let Some(user) = user {
        use std::os::unix::process::CommandExt as _;
        command.uid(user.user_id).gid(user.group_id);
    }
    #[cfg(not(unix))]
    let _ = (command, user);
}

fn signal(child: &Child, stop_signal: StopSignal) {
    #[cfg(unix)]
    {
        use rustix::process::{Pid, Signal, kill_process};
        let signal = match stop_signal {
            StopSignal::Terminate => Signal::TERM,
            StopSignal::Interrupt => Signal::INT,
        };
        // A process that is already gone is what was wanted.
        let _gone = kill_process(Pid::from_child(child), signal);
    }
    #[cfg(not(unix))]
    let _ = (child, stop_signal);
}

fn end_in_order(child: &mut Child, stop_signal: StopSignal) {
    signal(child, stop_signal);
    let deadline = Instant::now() + STOPPED_WITHIN;
    while cfg!(unix) && Instant::now() < deadline {
        if !matches!(child.try_wait(), Ok(None)) {
            return;
        }
        thread::sleep(POLL_EVERY);
    }
    end(child);
}

fn end(child: &mut Child) {
    // Both fail only when the process is already gone and waited for.
    let _gone = child.kill();
    let _waited = child.wait();
}

fn tail(log: &Path) -> String {
    let mut text = Vec::new();
    if let Err(error) = File::open(log).and_then(|mut file| file.read_to_end(&mut text)) {
        return format!("(no log: {error})");
    }
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(15)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_free_port_can_be_bound_and_is_then_no_longer_free() {
        let port = free_port().unwrap();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
        assert!(!is_free(port));
        drop(listener);
        assert!(PORTS.contains(&port));
    }

    #[test]
    fn a_server_that_exits_at_start_is_an_error_with_its_log() {
        let folder = tempfile::tempdir().unwrap();
        let launch = Launch {
            name: "the server",
            program: std::env::current_exe().unwrap(),
            arguments: vec!["--no-such-option-of-a-test-binary".into()],
            directory: folder.path().to_path_buf(),
            log: folder.path().join("log"),
            run_as: None,
            stop_signal: StopSignal::Terminate,
        };
        let error = Process::start(launch, || false).err().unwrap().to_string();
        assert!(error.contains("the server ended at its start"), "{error}");
        assert!(error.contains("no-such-option-of-a-test-binary"), "{error}");
    }
}
