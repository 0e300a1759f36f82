//! A host under systemd, as systemd sees it: what comes through the socket of `sd_notify(3)`, and the lines of its log.

use std::os::unix::net::UnixDatagram;

use tests::host::{Host, HostSignal, RunningHost};

use super::directory::Directory;
use super::{LIMIT, configuration};

/// A host whose reports a test receives.
struct Served {
    host: Host,
    socket: UnixDatagram,
    _folder: tempfile::TempDir,
}

impl Served {
    fn new(watchdog_us: Option<u64>) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("notify");
        let socket = UnixDatagram::bind(&path).expect("a socket");
        socket.set_read_timeout(Some(LIMIT)).expect("a limit");
        let port = tests::servers::process::free_port().expect("a free port");
        let host = Host::new(&configuration(port, &Directory::start().url())).expect("host");
        let mut host = host.with_variable("NOTIFY_SOCKET", &path.to_string_lossy());
        if let Some(limit) = watchdog_us {
            host = host.with_variable("WATCHDOG_USEC", &limit.to_string());
        }
        Self { host, socket, _folder: folder }
    }

    fn start(&self) -> RunningHost {
        self.host.spawn(&["run"]).expect("start")
    }

    fn next(&self) -> String {
        let mut report = [0; 512];
        let length = self.socket.recv(&mut report).expect("a report");
        String::from_utf8_lossy(&report[..length]).into_owned()
    }
}

#[test]
fn a_host_reports_that_it_is_ready_reloading_and_stopping() {
    let served = Served::new(None);
    let mut running = served.start();
    assert_eq!(served.next(), "READY=1\nSTATUS=delivering\n");
    running.wait_for_log("target is up", LIMIT).expect("it runs");
    running.signal(HostSignal::Hangup).expect("signal");
    let reloading = served.next();
    let time = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").and_then(|time| time.trim().parse::<u64>().ok());
    assert!(time.is_some_and(|time| time > 0), "{reloading}");
    assert_eq!(served.next(), "READY=1\nSTATUS=delivering\n");
    // Under `Type=notify` systemd waits for READY after RELOADING: a broken file must not keep it waiting.
    std::fs::write(served.host.folder().join("host.toml"), "[store]\nurl = 1\n").expect("write");
    running.signal(HostSignal::Hangup).expect("signal");
    assert!(served.next().starts_with("RELOADING=1\n"));
    assert_eq!(served.next(), "READY=1\nSTATUS=delivering; the reload was refused, see the log\n");
    running.signal(HostSignal::Terminate).expect("signal");
    assert_eq!(served.next(), "STOPPING=1\nSTATUS=ending calls under way\n");
    assert_eq!(running.wait(LIMIT).expect("it ends").status, Some(0));
}

#[cfg(target_os = "linux")]
#[test]
fn a_host_that_is_frozen_reports_nothing_to_the_watchdog() {
    let served = Served::new(Some(400_000));
    let running = served.start();
    let mut alive = 0;
    while alive < 5 {
        alive += usize::from(served.next() == "WATCHDOG=1\n");
    }
    running.signal(HostSignal::Freeze).expect("signal");
    let state = format!("/proc/{}/stat", running.id());
    while !std::fs::read_to_string(&state).expect("Linux").contains(") T ") {
        std::thread::yield_now();
    }
    served.socket.set_nonblocking(true).expect("set");
    // What was sent before.
    while served.socket.recv(&mut [0; 512]).is_ok() {}
    served.socket.set_nonblocking(false).expect("set");
    served.socket.set_read_timeout(Some(std::time::Duration::from_secs(2))).expect("a limit");
    assert!(served.socket.recv(&mut [0; 512]).is_err(), "ten times the watchdog's half: it is restarted");
    running.signal(HostSignal::Thaw).expect("signal");
    assert_eq!(served.next(), "WATCHDOG=1\n");
}

#[test]
fn lines_for_the_journal_begin_with_their_priority_and_have_no_time() {
    let served = Served::new(None);
    let mut running = served.host.spawn(&["run", "--log-format", "journal"]).expect("start");
    running.wait_for_log("target is up", LIMIT).expect("it runs");
    let log = running.stderr();
    let lines: Vec<_> = log.lines().collect();
    assert!(lines.iter().any(|line| line.starts_with("<6> INFO host started store=")), "{log}");
    assert!(lines.iter().all(|line| line.starts_with("<6> ") || line.starts_with("<4> ")), "{log}");
}
