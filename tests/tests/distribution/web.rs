//! Files and addresses: what is refused before anything is asked, and an aborted installation.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use tests::environment::adapter;

use crate::support::{assert_nothing_installed, assert_refused, host, installed, new_key, trust, trusting};

/// A server on loopback for as long as the test runs; it answers each request by its path.
fn serve(mut answer: impl FnMut(&str, &mut TcpStream) + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let address = format!("http://{}", listener.local_addr().expect("address"));
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("accept");
            let mut request = Vec::new();
            let mut byte = [0];
            while !request.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|read| read == 1) {
                request.extend(byte);
            }
            let request = String::from_utf8_lossy(&request).into_owned();
            answer(request.split(' ').nth(1).unwrap_or_default(), &mut stream);
        }
    });
    address
}

/// As [`serve`], with a thread for each connection, on which several requests may come.
fn serve_each(answer: impl Fn(&str, &mut TcpStream) + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let address = format!("http://{}", listener.local_addr().expect("address"));
    let answer = Arc::new(answer);
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let answer = Arc::clone(&answer);
            thread::spawn(move || {
                let mut request = Vec::new();
                let mut byte = [0];
                while !request.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|read| read == 1) {
                    request.extend(byte);
                }
                answer(String::from_utf8_lossy(&request).split(' ').nth(1).unwrap_or_default(), &mut stream);
            });
        }
    });
    address
}

fn respond(stream: &mut TcpStream, head: &str, body: &[u8]) {
    let head = format!("HTTP/1.1 {head}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    // Whoever asked may be gone.
    let _gone = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body));
}

#[test]
fn an_adapter_and_its_signature_are_downloaded_by_url() {
    let host = host("");
    let key = new_key(&host, "ours.key");
    trust(&host, &trusting(&key, true));
    let _ = host.run(&["plugin", "sign", "release.wasm", "--key", "ours.key"]).expect_success();
    let component = fs::read(host.folder().join("release.wasm")).expect("release");
    let signature = fs::read(host.folder().join("release.wasm.minisig")).expect("signature");
    let address = serve(move |path, stream| match path {
        "/openemr.wasm" => respond(stream, "200 OK", &component),
        "/openemr.wasm.minisig" => respond(stream, "200 OK", &signature),
        "/moved.wasm" => respond(stream, "302 Found\r\nLocation: /openemr.wasm", b""),
        "/away.wasm" => respond(stream, "302 Found\r\nLocation: http://192.0.2.1/openemr.wasm", b""),
        _ => respond(stream, "404 Not Found", b"no"),
    });
    let install = |path: &str| host.run(&["plugin", "install", &format!("{address}{path}"), "--name", "openemr"]);
    assert_refused(&install("/other.wasm"), 5, &["404"]);
    assert_refused(&install("/away.wasm"), 5, &["redirects to plain http"]);
    assert_refused(&install("/moved.wasm"), 5, &["has no signature"]);
    assert_nothing_installed(&host);
    let _ = install("/openemr.wasm").expect_success();
    assert!(installed(&host).is_file());
}

#[test]
fn plain_http_and_unknown_schemes_are_refused_before_any_request() {
    let host = host("");
    for (source, words) in [
        ("http://192.0.2.1/openemr.wasm", "plain http"),
        ("ftp://192.0.2.1/openemr.wasm", "none of https:// and oci://"),
        ("oci://openemr", "expected oci://REGISTRY"),
        ("https://me:hunter2@192.0.2.1/openemr.wasm", "holds a user"),
    ] {
        let output = host.run(&["plugin", "install", source]);
        assert_refused(&output, 2, &[words]);
        assert!(!output.stderr.contains("hunter2"), "{}", output.stderr);
    }
    assert_refused(&host.run(&["plugin", "install", "release.wasm", "--name", "../up"]), 2, &["--name"]);
    assert_nothing_installed(&host);
}

#[test]
fn an_aborted_download_leaves_nothing() {
    let host = host("");
    let half = fs::read(adapter("openemr")).expect("adapter");
    let (begun, has_begun) = mpsc::channel();
    let address = serve(move |path, stream| {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", half.len());
        stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&half[..half.len() / 2])).expect("send");
        if path == "/killed.wasm" {
            begun.send(()).expect("the test waits");
            // Until the other side is gone.
            let _gone = stream.read(&mut [0]);
        }
    });
    let cut = format!("{address}/cut.wasm");
    assert_refused(&host.run(&["plugin", "install", &cut, "--name", "openemr"]), 5, &[&cut]);
    assert_nothing_installed(&host);
    let mut killed =
        host.spawn(&["plugin", "install", &format!("{address}/killed.wasm"), "--name", "openemr"]).expect("spawn");
    has_begun.recv_timeout(Duration::from_secs(60)).expect("the download has begun");
    killed.kill();
    assert_nothing_installed(&host);
}

#[test]
fn an_endless_response_is_cut_off() {
    let host = host("");
    let address = serve(|_, stream| {
        let mut sent = stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
        let block = vec![0; 1 << 20];
        while sent.is_ok() {
            sent = stream.write_all(&block);
        }
    });
    assert_refused(&host.run(&["plugin", "install", &format!("{address}/a.wasm")]), 5, &["larger than 256 MiB"]);
    assert_nothing_installed(&host);
}

/// The most memory that a process had, KiB.
fn peak_kib(id: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?.trim().trim_end_matches(" kB").parse().ok()
}

/// Sends the same again and again, without end.
fn go_on(stream: &mut TcpStream, words: &[u8], pause: Duration) {
    while stream.write_all(words).is_ok() {
        thread::sleep(pause);
    }
}

/// Each would be followed for ever: a manifest, and interim heads before a file, a manifest, or a layer.
#[test]
fn hostile_registries_are_abandoned_within_time_and_memory_limits() {
    let interim = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n";
    let manifest = format!(
        r#"{{"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {{"mediaType": "application/vnd.wasm.config.v0+json", "digest": "sha256:{0}", "size": 2}},
        "layers": [{{"mediaType": "application/wasm", "digest": "sha256:{0}", "size": 9}}]}}"#,
        "0".repeat(64)
    );
    let address = serve_each(move |path, stream| match path {
        "/v2/" => respond(stream, "200 OK", b"{}"),
        path if path.starts_with("/v2/manifest/") => {
            let head = b"HTTP/1.1 200 OK\r\nContent-Type: application/vnd.oci.image.manifest.v1+json\r\n\r\n";
            if stream.write_all(head).is_ok() {
                go_on(stream, &b" ".repeat(1 << 16), Duration::ZERO);
            }
        }
        path if path.starts_with("/v2/layer/manifests/") => {
            let head = "200 OK\r\nContent-Type: application/vnd.oci.image.manifest.v1+json";
            respond(stream, head, manifest.as_bytes());
        }
        _ => go_on(stream, &interim.repeat(100), Duration::from_millis(10)),
    });
    let registry = address.replace("http://", "oci://");
    // The client of registries has a limit of its own for the same time.
    let late = &["did not answer within 30 s", "timed out"][..];
    let sources = [
        (format!("{registry}/manifest:1"), &["has no end"][..]),
        (format!("{registry}/interim:1"), late),
        (format!("{registry}/layer:1"), late),
        (format!("{address}/interim.wasm"), late),
    ];
    thread::scope(|scope| {
        for (source, words) in &sources {
            scope.spawn(move || {
                let host = host("");
                let began = Instant::now();
                let mut installing = host.spawn(&["plugin", "install", source, "--name", "openemr"]).expect("spawn");
                let (id, mut peak) = (installing.id(), 0);
                while installing.is_running().expect("running") {
                    peak = peak.max(peak_kib(id).unwrap_or_default());
                    assert!(began.elapsed() < Duration::from_secs(60), "{source}: it goes on");
                    thread::sleep(Duration::from_millis(20));
                }
                let output = installing.wait(Duration::from_secs(5)).expect("end");
                assert_refused(&output, 5, &[]);
                assert!(words.iter().any(|words| output.stderr.contains(words)), "{source}: {}", output.stderr);
                assert!(peak < 400 << 10, "{source}: {peak} KiB");
                assert_nothing_installed(&host);
            });
        }
    });
}
