//! A log that cannot be written stops nothing: changes are delivered, and signals are obeyed.

use std::fs::File;
use std::io::{Write as _, pipe};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tests::host::{Configuration, Host};

use crate::slow_server::{Answer, SlowServer};
use crate::support::{QUICK, directory, patient, put};

const LIMIT: Duration = Duration::from_secs(60);

/// A process that is killed when the test fails before its end.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

impl Running {
    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.0), signal).expect("signal");
    }

    fn end(&mut self) -> Option<i32> {
        let until = Instant::now() + LIMIT;
        loop {
            if let Some(status) = self.0.try_wait().expect("wait") {
                return status.code();
            }
            assert!(Instant::now() < until, "it ignores SIGTERM");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Delivers a patient with this stderr, then another after the log has gone (`lose`), and ends in order at SIGTERM.
fn works_with(what: &str, stderr: impl FnOnce(&mut Command), lose: impl FnOnce()) {
    let server = SlowServer::start(Duration::ZERO, Answer::AtOnce);
    let configuration = Configuration::new("sqlite://.host/host.db").more(&directory("x", &server.url())).more(QUICK);
    let host = Host::new(&configuration).expect("host");
    put(&host, &patient("L-1"));
    let mut command = host.command(&["run"]);
    command.stdout(Stdio::null());
    stderr(&mut command);
    let mut running = Running(command.spawn().expect("spawn"));
    // The child alone holds its end now.
    drop(command);
    let delivered = |count: usize| {
        let until = Instant::now() + LIMIT;
        while server.patients().len() < count {
            assert!(running_since(until), "{what}: {count} were not delivered");
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    delivered(1);
    lose();
    running.signal(Signal::HUP);
    put(&host, &patient("L-2"));
    delivered(2);
    running.signal(Signal::TERM);
    assert_eq!(running.end(), Some(0), "{what}");
    assert_eq!(host.status()["totals"]["done"], 2, "{what}");
}

fn running_since(until: Instant) -> bool {
    Instant::now() < until
}

#[test]
fn a_full_disk_under_the_log_stops_no_delivery() {
    let Ok(full) = File::options().write(true).open("/dev/full") else { return };
    works_with("/dev/full", |command| _ = command.stderr(full), || {});
}

#[test]
fn a_dead_log_reader_stops_no_delivery() {
    let (reader, writer) = pipe().expect("pipe");
    works_with("a reader that dies", |command| _ = command.stderr(writer), move || drop(reader));
}

#[cfg(target_os = "linux")]
#[test]
fn a_blocked_log_reader_stops_no_delivery() {
    let (reader, mut writer) = pipe().expect("pipe");
    // As much as Linux keeps in a pipe: the first line of the log does not fit any more.
    writer.write_all(&vec![b'\n'; 65_536]).expect("fill the pipe");
    works_with("a reader that hangs", |command| _ = command.stderr(writer), || {});
    drop(reader);
}

#[test]
fn a_closed_stderr_stops_no_delivery() {
    works_with(
        "a closed stderr",
        |command| {
            let mut shell = Command::new("sh");
            shell.arg("-c").arg("exec \"$0\" \"$@\" 2>&-").arg(command.get_program()).args(command.get_args());
            if let Some(folder) = command.get_current_dir() {
                shell.current_dir(folder);
            }
            shell.stdin(Stdio::null()).stdout(Stdio::null());
            *command = shell;
        },
        || {},
    );
}
