//! Attempts to escape the sandbox or to exhaust the host.

use std::hint::black_box;
use std::time::{Instant, SystemTime};

use adapter_sdk::database::Value;
use adapter_sdk::{Failure, FailureKind, Outcome, log, settings};

use super::{Call, failure, honest};

pub(super) fn log_flood(call: &Call<'_>) -> Result<Vec<Outcome>, Failure> {
    for number in 0..1_000_000 {
        log::debug(&format!("line {number}"));
    }
    honest::echo(call)
}

pub(super) fn log_long(call: &Call<'_>) -> Result<Vec<Outcome>, Failure> {
    log::warn(&format!("begin\n{}end", "é".repeat(100_000)));
    honest::echo(call)
}

/// Logs data that only the target may get.
pub(super) fn log_payload(call: &Call<'_>) -> Result<Vec<Outcome>, Failure> {
    for change in call.changes {
        log::info(&change.payload);
    }
    honest::echo(call)
}

pub(super) fn host_call_flood(call: &Call<'_>) -> Result<Vec<Outcome>, Failure> {
    for _ in 0..1_000_000 {
        settings::target_name();
    }
    honest::echo(call)
}

/// Asks WASI for the time in a loop.
pub(super) fn clock_flood(call: &Call<'_>) -> Result<Vec<Outcome>, Failure> {
    for _ in 0..1_000_000 {
        black_box((SystemTime::now(), Instant::now()));
    }
    honest::echo(call)
}

/// Reports everything accessible through files, environment, arguments, sockets and names.
pub(super) fn look_around(_: &Call<'_>) -> Result<Vec<Outcome>, Failure> {
    let mut found = Vec::new();
    if std::env::vars().next().is_some() {
        found.push("environment");
    }
    if std::env::args().next().is_some() {
        found.push("arguments");
    }
    if std::fs::read_dir("/").is_ok() || std::fs::read("/etc/passwd").is_ok() || std::fs::write("x", "y").is_ok() {
        found.push("files");
    }
    if std::net::TcpStream::connect("127.0.0.1:1")
        .is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionRefused)
        || std::net::TcpListener::bind("127.0.0.1:0").is_ok()
        || std::net::UdpSocket::bind("127.0.0.1:0").is_ok()
    {
        found.push("sockets");
    }
    if std::net::ToSocketAddrs::to_socket_addrs("localhost:80").is_ok() {
        found.push("names");
    }
    Err(failure(FailureKind::Invalid, &format!("found: [{}]", found.join(", "))))
}

/// Sends one parameter of 40 MiB.
pub(super) fn long_parameter(call: &Call<'_>) -> Result<Vec<Outcome>, Failure> {
    let text = "x".repeat(40 << 20);
    call.db.query("SELECT ?", &[Value::Text(text)], 1).map_err(|error| honest::told(&error))?;
    honest::echo(call)
}
