//! Servers that answer without end, each in its own way, next to healthy targets in the same running host: those are
//! served, the host sends its heartbeat, and it ends when it is asked to.

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use tests::host::{Configuration, Host, HostSignal, quoted};

use crate::support::{QUICK, adapter, patient, put};

/// What is sent first, and then again and again without end.
const ENDLESS: &[(&str, &str, &str)] = &[
    ("interim", "", "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"),
    ("continue", "", "HTTP/1.1 100 Continue\r\n\r\n"),
    ("newlines", "", "\r\n"),
    ("lines", "HTTP/1.1 200 OK\r\n", "x: y\r\n"),
    ("line", "HTTP/1.1 200 OK\r\nx: ", "yyyyyyyyyyyyyyyy"),
    ("reason", "HTTP/1.1 200 ", "OK OK OK OK OK O"),
    ("interim-line", "HTTP/1.1 103 Early Hints\r\nx: ", "yyyyyyyyyyyyyyyy"),
    ("trailers", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n", "x: y\r\n"),
    ("extension", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;", "x=y;x=y;x=y;x=y;"),
    ("chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "1\r\nx\r\n"),
    ("body", "HTTP/1.1 200 OK\r\n\r\n", "xxxxxxxxxxxxxxxx"),
    ("token", "", "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"),
];

/// Further ones: interim heads as wide as may be, and a head that comes byte by byte.
const FURTHER: &[&str] = &["wide", "drip"];

fn serve() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("listen");
    let port = listener.local_addr().expect("address").port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || drop(answer(stream)));
        }
    });
    port
}

fn answer(mut stream: TcpStream) -> std::io::Result<()> {
    let mut head = [0; 4096];
    while let Ok(count @ 1..) = stream.read(&mut head) {
        let text = String::from_utf8_lossy(&head[..count]).into_owned();
        let name = text.split([' ', '/']).nth(3).unwrap_or_default();
        if let Some((_, first, again)) = ENDLESS.iter().find(|(known, ..)| *known == name) {
            stream.write_all(first.as_bytes())?;
            let many = again.repeat(2_000);
            loop {
                stream.write_all(many.as_bytes())?;
            }
        }
        if name == "wide" {
            let wide = format!("HTTP/1.1 103 Early Hints\r\n{}\r\n", "x: y\r\n".repeat(99));
            loop {
                stream.write_all(wide.as_bytes())?;
            }
        }
        if name == "drip" {
            loop {
                stream.write_all(b"H")?;
                std::thread::sleep(Duration::from_millis(50));
            }
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")?;
    }
    Ok(())
}

/// `checks` are the targets whose adapter sends a request already when it is checked.
fn configuration(port: u16, checks: bool) -> String {
    let probe = adapter("testing-http-probe");
    let probe = quoted(&probe.to_string_lossy());
    let mut text = String::new();
    let names = ENDLESS.iter().map(|(name, ..)| *name).chain(FURTHER.iter().copied()).chain(["healthy"]);
    for name in names {
        let auth = match name {
            "token" => format!(
                "[targets.{name}.http.auth]\ntype = \"oauth2-client-credentials\"\nclient_id = \"host\"\n\
                 token_url = \"http://127.0.0.1:{port}/fhir/token\"\nclient_secret = \"hunter2\"\n"
            ),
            _ => String::new(),
        };
        write!(
            text,
            "\n[targets.{name}]\nadapter = {probe}\n[targets.{name}.http]\nbase_url = \"http://127.0.0.1:{port}/fhir\"\n\
             allow_private = true\n{auth}[targets.{name}.settings]\nmethod = \"GET\"\nauthority = \"127.0.0.1:{port}\"\n\
             quiet_check = {}\npath = \"/fhir/{name}\"\n",
            !checks || name == "healthy"
        )
        .expect("text");
        if checks {
            write!(text, "[targets.{name}.limits]\ndeadline_ms = 10000\n").expect("text");
        }
    }
    text
}

#[test]
fn hostile_servers_delay_neither_the_healthy_target_nor_the_host() {
    let more = configuration(serve(), false);
    let host = Host::new(&Configuration::new("sqlite://.host/host.db").more(&more).more(QUICK)).expect("host");
    let _ = host.run(&["migrate"]).expect_success();
    put(&host, &patient("S-1"));
    let mut daemon = host.spawn(&["run"]).expect("start");
    let done = |count: u64| host.status()["targets"]["healthy"]["done"] == count;
    daemon.wait_until("the healthy target has its first change", Duration::from_secs(60), || done(1)).expect("first");
    // Now all of them are hit again.
    let _ = host.run(&["retry", "--failed"]);
    put(&host, &patient("S-2"));
    daemon.wait_until("the healthy target has its second change", Duration::from_secs(15), || done(2)).expect("second");
    assert_eq!(host.status()["hosts_running"], 1);
    let asked = Instant::now();
    daemon.signal(HostSignal::Terminate).expect("signal");
    let ended = daemon.wait(Duration::from_secs(40)).expect("an end");
    assert_eq!(ended.status, Some(0), "{}", ended.stderr);
    assert!(asked.elapsed() < Duration::from_secs(35), "{:?}", asked.elapsed());
}

/// The same while adapters are checked: by a command, which ends, and by a running host, which serves the healthy one.
#[test]
fn hostile_servers_delay_no_check() {
    let more = configuration(serve(), true);
    let host = Host::new(&Configuration::new("sqlite://.host/host.db").more(&more).more(QUICK)).expect("host");
    let _ = host.run(&["migrate"]).expect_success();
    let command = host.spawn(&["check"]).expect("start");
    // One after the other, each for its deadline at most.
    let limit = Duration::from_secs(11 * (ENDLESS.len() + FURTHER.len()) as u64 + 30);
    let checked = command.wait(limit).expect("it ends");
    assert_ne!(checked.status, Some(0));
    for name in ENDLESS.iter().map(|(name, ..)| *name).chain(FURTHER.iter().copied()) {
        let line = format!("[PROBLEM] target {name}: ");
        assert!(checked.stdout.contains(&line), "{name}: {}", checked.stdout);
    }
    assert!(checked.stdout.contains("[OK] target healthy: "), "{}", checked.stdout);
    put(&host, &patient("S-1"));
    let mut daemon = host.spawn(&["run"]).expect("start");
    let done = || host.status()["targets"]["healthy"]["done"] == 1;
    daemon.wait_until("the healthy target has its change", Duration::from_secs(60), done).expect("delivered");
    let asked = Instant::now();
    daemon.signal(HostSignal::Terminate).expect("signal");
    let ended = daemon.wait(Duration::from_secs(40)).expect("an end");
    assert_eq!(ended.status, Some(0), "{}", ended.stderr);
    assert!(asked.elapsed() < Duration::from_secs(35), "{:?}", asked.elapsed());
}

#[test]
fn hostile_file_that_never_opens_does_not_keep_the_host_from_stopping() {
    let port = serve();
    let probe = adapter("testing-http-probe");
    let more = format!(
        "\n[targets.healthy]\nadapter = {}\n[targets.healthy.http]\nbase_url = \"http://127.0.0.1:{port}/fhir\"\n\
         allow_private = true\nauth = {{ type = \"bearer\", token_file = \"token\" }}\n\
         [targets.healthy.settings]\nmethod = \"GET\"\nauthority = \"127.0.0.1:{port}\"\nquiet_check = true\n\
         path = \"/fhir/healthy\"\n[targets.healthy.limits]\ndeadline_ms = 2000\n",
        quoted(&probe.to_string_lossy())
    );
    let host = Host::new(&Configuration::new("sqlite://.host/host.db").more(&more).more(QUICK)).expect("host");
    let token = host.folder().join("token");
    std::fs::write(&token, "hunter2").expect("write");
    let _ = host.run(&["migrate"]).expect_success();
    let mut daemon = host.spawn(&["run"]).expect("start");
    let is_up = || host.status()["targets"]["healthy"]["state"] == "up";
    daemon.wait_until("the target is up", Duration::from_secs(60), is_up).expect("up");
    // Whoever opens it for reading waits for a writer.
    std::fs::remove_file(&token).expect("remove");
    let made = std::process::Command::new("mkfifo").arg(&token).status().expect("mkfifo");
    assert!(made.success());
    // Commands of another process would be refused such a file.
    host.configure(&Configuration::new("sqlite://.host/host.db")).expect("configure");
    put(&host, &patient("F-1"));
    std::thread::sleep(Duration::from_secs(1));
    daemon.signal(HostSignal::Terminate).expect("signal");
    let ended = daemon.wait(Duration::from_secs(60)).expect("an end");
    assert!(ended.status.is_some(), "{}", ended.stderr);
}
