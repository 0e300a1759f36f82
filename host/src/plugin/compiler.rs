//! Compiles in a child process with limits on time and memory, so that a file that crashes or overloads the validator
//! or the compiler affects only that process.
//!
//! The child is this program under a hidden command. It reads the component from stdin and writes a checksum and the
//! machine code to stdout, which is a file of the parent's. It has no environment, dies with its parent, and leaves no
//! core file.

use std::io::{Read as _, Write as _};
use std::path::PathBuf;
use std::process::Stdio;

use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::Command;
use wasmtime::Engine;

use super::engine::config;
use super::options::{COMMAND, CompileLimits, RuntimeOptions};
use super::structure::COMPONENT_BYTES_MAX;
use crate::domain::words::one_line;

/// The most that is read of the child's messages.
const WORDS_BYTES_MAX: u64 = 16 << 10;

/// Why compiling failed.
#[derive(Debug)]
pub(super) enum Failed {
    /// The compiler rejected the component.
    Refused(String),
    /// The file made the process crash or exceed its limits.
    Crashed(String),
    /// The process could not be run, or another process ended it: this says nothing about the file.
    Unavailable(String),
}

/// Compiles in a child; the checksum and the code are then in `output`.
pub(super) async fn compile_in_child(
    program: &PathBuf,
    options: &RuntimeOptions,
    bytes: &[u8],
    output: std::fs::File,
) -> Result<(), Failed> {
    let unavailable = |error: std::io::Error| Failed::Unavailable(format!("the compiler cannot be started: {error}"));
    let limits = options.compile_limits;
    let mut child = Command::new(program)
        .arg(COMMAND)
        .args(["--stack-kib", &options.stack_kib.to_string()])
        .args(["--table-elements-max", &options.table_elements_max.to_string()])
        .args(["--cpu-seconds-max", &limits.cpu_seconds_max.to_string()])
        .args(["--memory-bytes-max", &limits.memory_bytes_max.to_string()])
        .args(["--code-bytes-max", &limits.code_bytes_max.to_string()])
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(output)
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(unavailable)?;
    let (mut stdin, stderr) = (child.stdin.take(), child.stderr.take());
    let exchange = async {
        let feed = async {
            if let Some(mut stdin) = stdin.take() {
                // A child that has ended reads no more; its exit code shows why.
                drop(stdin.write_all(bytes).await);
            }
        };
        let listen = async {
            let mut words = Vec::new();
            if let Some(stderr) = stderr {
                drop(stderr.take(WORDS_BYTES_MAX).read_to_end(&mut words).await);
            }
            words
        };
        let ((), words) = tokio::join!(feed, listen);
        (child.wait().await, words)
    };
    match tokio::time::timeout(limits.wall_clock_max(), exchange).await {
        // The file's own cost is processor time, which has its own limit: here the machine is slow.
        Err(_) => {
            Err(Failed::Unavailable(format!("compiling it took longer than {} s", limits.wall_clock_max().as_secs())))
        }
        Ok((Err(error), _)) => Err(unavailable(error)),
        Ok((Ok(status), _)) if status.success() => Ok(()),
        Ok((Ok(status), words)) => {
            let words = one_line(&String::from_utf8_lossy(&words), 300);
            match status.code() {
                Some(REFUSED) => Err(Failed::Refused(words)),
                Some(PANICKED) => Err(Failed::Crashed("compiling it makes the compiler panic".to_owned())),
                Some(NOT_WRITTEN) => Err(Failed::Unavailable(
                    "its machine code cannot be written: is the disk of the cache full?".to_owned(),
                )),
                Some(code) => Err(Failed::Unavailable(format!("the compiler ended with {code}"))),
                None => Err(ended_by_signal(status, limits)),
            }
        }
    }
}

/// The child's exit code for a rejected component.
const REFUSED: i32 = 3;
/// The child's exit code when its output cannot be written.
const NOT_WRITTEN: i32 = 1;
/// The exit code of a Rust program that panicked.
const PANICKED: i32 = 101;

/// Signals that the system sends a process for its own fault. Any other came from outside: a service manager that stops
/// everything, the system when memory is short, an operator.
#[cfg(unix)]
fn ended_by_signal(status: std::process::ExitStatus, limits: CompileLimits) -> Failed {
    use rustix::process::Signal;
    use std::os::unix::process::ExitStatusExt as _;
    let signal = status.signal().unwrap_or_default();
    let own = [Signal::SEGV, Signal::ABORT, Signal::BUS, Signal::ILL, Signal::FPE, Signal::TRAP, Signal::SYS];
    if signal == Signal::XCPU.as_raw() {
        let seconds = limits.cpu_seconds_max;
        Failed::Crashed(format!("compiling it takes more than {seconds} s of processor time ([plugins] compile_cpu_s)"))
    } else if signal == Signal::XFSZ.as_raw() {
        Failed::Crashed(format!("its machine code has more than {} bytes", limits.code_bytes_max))
    } else if own.iter().any(|own| own.as_raw() == signal) {
        Failed::Crashed(format!(
            "compiling it crashes the compiler, or takes more than {} MiB of memory ([plugins] compile_memory_mib, signal {signal})",
            limits.memory_bytes_max >> 20
        ))
    } else {
        Failed::Unavailable(format!("the compiler was ended from outside (signal {signal})"))
    }
}

#[cfg(not(unix))]
fn ended_by_signal(_: std::process::ExitStatus, _: CompileLimits) -> Failed {
    Failed::Crashed("compiling it crashes the compiler".to_owned())
}

/// The child's side: from stdin to stdout. Gives the exit code.
#[must_use]
pub fn compile_for_parent(stack_kib: u32, table_elements_max: u64, limits: CompileLimits) -> u8 {
    let code = match compiled(stack_kib, table_elements_max, limits) {
        Ok(code) => code,
        Err(reason) => {
            drop(writeln!(std::io::stderr(), "{reason}"));
            return u8::try_from(REFUSED).unwrap_or(1);
        }
    };
    let mut output = std::io::stdout().lock();
    let written =
        output.write_all(&Sha256::digest(&code)).and_then(|()| output.write_all(&code)).and_then(|()| output.flush());
    if written.is_ok() { 0 } else { u8::try_from(NOT_WRITTEN).unwrap_or(1) }
}

fn compiled(stack_kib: u32, table_elements_max: u64, limits: CompileLimits) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    std::io::stdin()
        .lock()
        .take(COMPONENT_BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| format!("the component cannot be read: {error}"))?;
    let options = RuntimeOptions { stack_kib, table_elements_max, instances_max: 1, ..RuntimeOptions::default() };
    let engine = Engine::new(&config(1, &options)).map_err(|error| format!("{error:#}"))?;
    // The pool of instances has its address space by now.
    limit_this_process(limits).map_err(|error| format!("limits cannot be set: {error}"))?;
    engine.precompile_component(&bytes).map_err(|error| format!("{error:#}"))
}

#[cfg(unix)]
fn limit_this_process(limits: CompileLimits) -> std::io::Result<()> {
    use rustix::process::{Resource, Rlimit, nice, setrlimit};
    let set = |resource, max| setrlimit(resource, Rlimit { current: Some(max), maximum: Some(max) });
    // At the hard limit the system sends SIGKILL, which has many possible causes. The soft limit sends a specific
    // signal.
    let seconds = limits.cpu_seconds_max;
    let processor_time = Rlimit { current: Some(seconds), maximum: Some(seconds.saturating_add(10)) };
    #[cfg(target_os = "linux")]
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
    // Deliveries have priority. An error is ignored.
    let _nicer = nice(10);
    set(Resource::Core, 0)?;
    setrlimit(Resource::Cpu, processor_time)?;
    set(Resource::Fsize, limits.code_bytes_max)?;
    set(Resource::As, address_space()?.saturating_add(limits.memory_bytes_max))?;
    Ok(())
}

#[cfg(not(unix))]
fn limit_this_process(_: CompileLimits) -> std::io::Result<()> {
    Ok(())
}

/// Bytes of this process's address space.
#[cfg(target_os = "linux")]
fn address_space() -> std::io::Result<u64> {
    let text = std::fs::read_to_string("/proc/self/statm")?;
    let pages: u64 = text.split(' ').next().and_then(|word| word.parse().ok()).unwrap_or_default();
    Ok(pages * rustix::param::page_size() as u64)
}

#[cfg(all(unix, not(target_os = "linux")))]
fn address_space() -> std::io::Result<u64> {
    // Not known on this system: enough for the pool of one instance.
    Ok(64 << 30)
}
